"""MySQL's own half: what a session is set up with, how values travel, and servers that die, hang and come back."""

from __future__ import annotations

import asyncio
import sys
import traceback
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest
from asyncmy.connection import Connection

from minihttp.db import (
    Database,
    DatabaseError,
    DataError,
    Deadlock,
    IntegrityError,
    LockTimeout,
    OutcomeUnknown,
    QueryError,
    Row,
    Timeout,
    Unavailable,
    UsageError,
    mysql,
)
from minihttp.db.rows import row_values
from minihttp.db.sql import Statement
from tests.support.mariadb import run_sql


@pytest.fixture
async def db(mysql_url):
    async with Database(mysql_url + "?pool_size=3") as db:
        await db.script("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT UNIQUE, b VARCHAR(5)) ENGINE=InnoDB")
        yield db


async def running(db, text: str) -> list[int]:
    """The server's connections that run a statement with this text in it."""
    rows = await db.all("SELECT id, info FROM information_schema.processlist WHERE info LIKE :like", like=f"%{text}%")
    return [row.id for row in rows if "processlist" not in row.info]


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.005)


# ---- the session


async def test_how_a_session_is_set_up(db):
    row = await db.one(
        "SELECT @@autocommit AS autocommit, @@sql_mode AS mode, @@time_zone AS zone, @@character_set_client AS charset"
    )
    assert (row.autocommit, row.zone, row.charset) == (1, "+00:00", "utf8mb4")
    assert "STRICT_ALL_TABLES" in row["mode"]
    assert "NO_BACKSLASH_ESCAPES" not in row["mode"]


async def test_a_release_of_the_driver_without_what_is_needed_of_it(mysql_url, monkeypatch):
    monkeypatch.setattr(mysql, "NEEDED", [*mysql.NEEDED, (Connection, "_gone")])
    with pytest.raises(UsageError, match=r"has no Connection\._gone, which minihttp needs: install asyncmy"):
        await Database(mysql_url).open()


async def test_strict_about_values(db):
    for value in ("too long", "x" * 300):
        with pytest.raises(DataError):
            await db.execute("INSERT INTO t (b) VALUES (:b)", b=value)
    with pytest.raises(DataError):
        await db.execute("INSERT INTO t (a) VALUES (:a)", a=2**40)


async def test_names_of_constraints_with_a_dot(db):
    await db.script("CREATE TABLE u (a INT CHECK (a < 9), b INT, CONSTRAINT `b.low` CHECK (b < 9)) ENGINE=InnoDB")
    await db.script("CREATE TABLE v (b INT, CONSTRAINT `v.b` FOREIGN KEY (b) REFERENCES t (id)) ENGINE=InnoDB")
    for sql, name in (("u (a)", "a"), ("u (b)", "b.low"), ("v (b)", "v.b")):
        with pytest.raises(IntegrityError) as caught:
            await db.execute(f"INSERT INTO {sql} VALUES (10)")
        assert caught.value.constraint == name


async def test_more_values_than_the_server_takes(db):
    most = 65_535

    async def iterate(sql, **ids):
        return [row async for row in db.iterate(sql, **ids)]

    await db.all("SELECT 1")
    connects = db.stats.connects
    for ask in (db.all, iterate):
        assert len(await ask("SELECT 1 IN :ids", ids=[*range(most)])) == 1
        with pytest.raises(QueryError, match=r"65,536 values, and MySQL takes 65,535 .*: split the list") as caught:
            await ask("SELECT 1 IN :ids", ids=[*range(most + 1)])
        assert caught.value.code is None, "the server was not asked"
    assert db.stats.connects == connects


async def test_the_server_refuses_a_second_statement(mysql_url):
    async with Database(mysql_url) as db:
        session = await db.lease()
        with pytest.raises(Exception, match="syntax"):
            await session._driver.query("SELECT 1; SELECT 2")
        db.give_back(session)


@pytest.mark.parametrize("options", ["", "?statement_cache=0"], ids=["prepared", "text"])
async def test_values_of_every_type(mysql_url, options):
    values = {
        "VARCHAR(50)": "it's \\ \" % %s 北京 🙂",
        "VARBINARY(300)": bytes(range(256)),
        "BIGINT UNSIGNED": 2**64 - 1,
        "DECIMAL(30,10)": Decimal("-12345678901234567890.0123456789"),
        "DOUBLE": 0.1,
        "DATE": date(2024, 2, 29),
        "DATETIME(6)": datetime(2024, 2, 29, 1, 2, 3, 456789),
        "TIME(6)": timedelta(hours=-700, microseconds=5),
        "BOOLEAN": True,
    }
    async with Database(mysql_url + options) as db:
        for kind, value in values.items():
            await db.script(f"CREATE TABLE one (v {kind})")
            await db.execute("INSERT INTO one VALUES (:v)", v=value)
            assert await db.scalar("SELECT v FROM one WHERE v = :v", v=value) == value, kind
            assert [row.v async for row in db.iterate("SELECT v FROM one WHERE v = :v", v=value)] == [value], kind
            await db.script("DROP TABLE one")
        assert await db.scalar("SELECT :at", at=time(1, 2, 3)) in (timedelta(seconds=3723), "01:02:03")


@pytest.mark.parametrize("options", ["", "?statement_cache=0"], ids=["prepared", "text"])
async def test_no_injection_whatever_the_mode(mysql_url, options):
    async with Database(mysql_url + options) as db:
        session = await db.lease()
        await session._driver.query("SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'")
        db.give_back(session)
        for evil in (b"' or 1=1 -- ", b"\\' or 1=1 -- ", "' or 1=1 -- ", "\\' or 1=1 -- "):
            assert await db.all("SELECT 1 FROM DUAL WHERE 'x' = :evil", evil=evil) == []


async def test_statements_are_prepared_once_and_the_cache_is_bounded(mysql_url):
    async with Database(mysql_url + "?statement_cache=2&pool_size=1") as db:

        async def count() -> int:
            return int((await db.one("SHOW SESSION STATUS LIKE 'Com_stmt_prepare'"))[1])

        session = await db.lease()
        db.give_back(session)
        for number in range(5):
            await db.scalar("SELECT :a", a=number)
        assert len(session._prepared) == 1
        for number in range(5):
            await db.scalar(f"SELECT :a + {number}", a=1)
        assert list(session._prepared) == ["SELECT %s + 3", "SELECT %s + 4"]
        assert await db.scalar("SELECT :a + 3", a=1) == 4
        assert list(session._prepared) == ["SELECT %s + 4", "SELECT %s + 3"]
        held = await db.scalar(
            "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'Prepared_stmt_count'"
        )
        assert int(held) <= 4


async def test_what_cannot_be_prepared_goes_as_text(mysql_url, own_mariadb):
    server = own_mariadb(options=("--max-prepared-stmt-count=0",))
    async with Database(server.url()) as db:
        assert await db.scalar("SELECT :a", a="it's") == "it's"
        assert await db.scalar("SELECT :a", a=b"\x00'") == b"\x00'"


async def test_prepared_statements_survive_a_change_of_their_table(db):
    await db.execute("INSERT INTO t (a) VALUES (1)")
    assert list(await db.one("SELECT * FROM t")) == ["id", "a", "b"]
    await db.script("ALTER TABLE t ADD c INT DEFAULT 7")
    for _ in range(3):
        assert dict(await db.one("SELECT * FROM t")) == {"id": 1, "a": 1, "b": None, "c": 7}


async def test_so_do_those_of_a_connection_that_does_not_hear_of_it(db):
    await db.execute("INSERT INTO t (a) VALUES (1)")
    session = await db.lease()
    assert type(session._driver) is Connection, "the driver's quick ways are for its own class"
    statement = Statement("SELECT * FROM t", "SELECT", True)
    for _ in range(3):
        assert (await session.run(statement))[:2] == (("id", "a", "b"), ((1, 1, None),))
    await db.script("ALTER TABLE t ADD c INT DEFAULT 7")
    for _ in range(3):
        assert (await session.run(statement))[:2] == (("id", "a", "b", "c"), ((1, 1, None, 7),))
    db.give_back(session)


async def test_settings_do_not_leak_to_the_next_task(mysql_url):
    async with Database(mysql_url + "?pool_size=1") as db:
        for leak in ("SET @x = 5", "SET SESSION time_zone = '+05:00'", "SET SESSION autocommit = 0"):
            await db.execute(leak)
            row = await db.one("SELECT @x AS x, @@time_zone AS zone, @@autocommit AS autocommit")
            assert (row.x, row.zone, row.autocommit) == (None, "+00:00", 1)
        await db.scalar("SELECT GET_LOCK('minihttp', 0)")
        await until(lambda: is_free(db))
        assert db.stats.discarded == 4


async def is_free(db) -> bool:
    return await db.scalar("SELECT IS_FREE_LOCK('minihttp')") == 1


async def test_clean_work_keeps_its_connection(db):
    await db.scalar("SELECT 1")
    connects = db.stats.connects
    for _ in range(20):
        await db.execute("INSERT INTO t (b) VALUES ('x')")
        await db.all("SELECT * FROM t")
        async with db.transaction() as tx:
            await tx.execute("UPDATE t SET b = 'y'")
    assert db.stats.connects == connects


async def test_warnings_cost_no_round_trip_and_no_log(mysql_url, caplog):
    async with Database(mysql_url + "?statement_cache=0") as db:
        session = await db.lease()
        await session._driver.query("SET SESSION sql_mode = ''")
        db.give_back(session)
        assert await db.scalar("SELECT CAST('secret' AS SIGNED)") == 0
        await db.execute("DROP TABLE IF EXISTS nothing")
        assert [row async for row in db.iterate("DROP TABLE IF EXISTS nothing")] == []
    assert "secret" not in caplog.text
    assert "nothing" not in caplog.text


async def test_an_idle_connection_is_asked_before_it_is_used(mysql_url):
    async with Database(mysql_url + "?check_idle=0") as db:
        mine = await db.scalar("SELECT CONNECTION_ID()")
        assert await db.scalar("SELECT CONNECTION_ID()") == mine


async def test_an_open_transaction_is_rolled_back_when_its_session_comes_back(db):
    await db.scalar("SELECT 1")
    connects = db.stats.connects
    session = await db.lease()
    await session.begin(None, False)
    await session.run(Statement("INSERT INTO t (a) VALUES (1)", "INSERT", True))
    db.give_back(session)
    assert await db.scalar("SELECT COUNT(*) FROM t") == 0
    while db.stats.used:
        await asyncio.sleep(0)
    assert session.is_clean
    assert db.stats.connects <= connects + 1, "a second one may have been made meanwhile"


async def test_the_side_connection_stops_nothing_on_another_server(db):
    session = await db.lease()
    host, port, number = session.identity
    session.identity = (host, port + 1, number)
    await session._connector.stop_query(session)
    assert (await session.run(Statement("SELECT 1", "SELECT", True)))[1] == ((1,),)
    session.identity = (host, port, 2**60)  # the number of one that was there before the server was restarted
    await session._connector.stop_query(session)
    assert (await session.run(Statement("SELECT 1", "SELECT", True)))[1] == ((1,),)
    session.identity = (host, port, number)
    await session._connector.stop_query(session)
    with pytest.raises(Unavailable):
        await session.run(Statement("SELECT 1", "SELECT", True))
    db.give_back(session)


async def test_unpreparable_statements_are_forgotten_like_others(mysql_url, own_mariadb):
    server = own_mariadb(options=("--max-prepared-stmt-count=0",))
    async with Database(server.url() + "?statement_cache=1") as db:
        for number in range(3):
            assert await db.scalar(f"SELECT {number} + :one", one=1) == number + 1


async def test_a_commit_on_a_closed_connection_was_never_sent(db):
    with pytest.raises(Unavailable, match="the transaction was rolled back"):
        async with db.transaction() as tx:
            tx._session.abort()
            await tx._session.end("COMMIT")


async def test_procedures(db):
    await db.script("CREATE PROCEDURE two () BEGIN SELECT 1 AS a; SELECT 2 AS b; END")
    assert [dict(row) for row in await db.all("CALL two()")] == [{"a": 1}]
    assert await db.scalar("SELECT 3") == 3


async def test_what_the_driver_cannot_send(db):
    session = await db.lease()
    with pytest.raises(QueryError, match="the driver cannot send or read this: ValueError"):
        await session.run(Statement("SELECT %s", "SELECT", True), (2**64,))
    db.give_back(session)
    assert await db.scalar("SELECT 1") == 1


@pytest.mark.parametrize("options", ["", "?statement_cache=0"], ids=["prepared", "text"])
async def test_an_idle_connection_keeps_no_answer(mysql_url, options):
    alone = Row({"x": 0}, tuple("x"))
    async with Database(mysql_url + options) as db:
        for _ in range(3):  # the driver has another way for what it has seen before
            [row] = await db.all("SELECT REPEAT('x', 1000) AS x")
            assert sys.getrefcount(row_values(row)) == sys.getrefcount(row_values(alone))


async def test_iterating_reads_piece_by_piece(db):
    await db.execute("INSERT INTO t (a) SELECT seq FROM seq_1_to_20000")
    count = 0
    async for row in db.iterate("SELECT a FROM t WHERE a > :a ORDER BY a", a=0):
        count += 1
        assert row.a == count
    assert count == 20000
    stream = db.iterate("SELECT REPEAT('x', 1000) AS x FROM seq_1_to_200000 WHERE seq > :a", a=0)
    assert (await anext(stream)).x == "x" * 1000
    await stream.aclose()
    assert await db.scalar("SELECT 1") == 1


async def test_an_iteration_killed_on_the_way(db):
    stream = db.iterate("SELECT REPEAT('x', 1000) AS x, CONNECTION_ID() AS me FROM seq_1_to_1000000")
    first = await anext(stream)
    await db.execute(f"KILL {first.me}")
    with pytest.raises((Unavailable, QueryError)):
        async for _ in stream:
            pass
    assert await db.scalar("SELECT 1") == 1


# ---- transactions


@pytest.mark.parametrize(
    ("table", "error"), [("other", "CREATE ended the transaction"), ("t", "already exists")], ids=["done", "failed"]
)
async def test_a_statement_that_commits_by_itself(db, table, error):
    with pytest.raises(UsageError, match=error):
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO t (a) VALUES (1)")
            with pytest.raises(DatabaseError, match=error):
                await tx.execute(f"CREATE TABLE {table} (id INT)")
            await tx.execute("INSERT INTO t (a) VALUES (2)")
    assert [row.a for row in await db.all("SELECT a FROM t")] == [1], "the second never ran on its own"


async def test_a_statement_that_fails_and_commits_nothing_leaves_the_transaction(db):
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO t (a) VALUES (1)")
        with pytest.raises(QueryError, match="Unknown system variable"):
            await tx.execute("SET no_such_variable = 1")
        await tx.execute("INSERT INTO t (a) VALUES (2)")
    assert len(await db.all("SELECT a FROM t")) == 2


async def test_a_statement_that_may_commit_loses_its_connection(db):
    with pytest.raises(Unavailable, match="transaction was rolled back"):
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO t (a) VALUES (1)")
            with pytest.raises(Unavailable, match="transaction was rolled back"):
                await tx.execute("KILL CONNECTION_ID()")
    assert await db.all("SELECT a FROM t") == []
    with pytest.raises(OutcomeUnknown, match="lost during KILL"):
        await db.execute("KILL CONNECTION_ID()")


async def test_isolation_holds_for_one_transaction(mysql_url):
    async with Database(mysql_url + "?pool_size=1") as db, Database(mysql_url) as other:
        await db.script("CREATE TABLE t (id INT) ENGINE=InnoDB")

        async def sees(isolation):
            async with db.transaction(isolation=isolation) as tx:
                before = await tx.scalar("SELECT COUNT(*) FROM t")
                await other.execute("INSERT INTO t VALUES (1)")
                return await tx.scalar("SELECT COUNT(*) FROM t") - before

        connects = db.stats.connects
        assert await sees("read committed") == 1
        assert await sees(None) == 0
        assert await sees("repeatable read") == 0
        assert db.stats.connects == connects + 1  # the script's connection was replaced


async def test_a_deadlock_is_a_deadlock_and_retry_solves_it(db):
    await db.execute("INSERT INTO t (id) VALUES (1), (2)")
    both = asyncio.Barrier(2)
    met = []

    async def cross(tx, first, second):
        await tx.execute("UPDATE t SET a = NULL WHERE id = :id", id=first)
        if len(met) < 2:
            met.append(first)
            await both.wait()
        await tx.execute("UPDATE t SET a = NULL WHERE id = :id", id=second)

    await asyncio.gather(db.retry(cross, 1, 2), db.retry(cross, 2, 1))
    met.clear()
    both = asyncio.Barrier(2)

    async def once(first, second):
        async with db.transaction() as tx:
            await cross(tx, first, second)

    results = await asyncio.gather(once(1, 2), once(2, 1), return_exceptions=True)
    errors = [each for each in results if each is not None]
    assert [type(each) for each in errors] == [Deadlock]
    assert errors[0].code == 1213


async def test_a_lock_that_is_not_granted(db):
    await db.execute("INSERT INTO t (id, a) VALUES (1, 0)")
    async with db.transaction() as tx:
        await tx.execute("UPDATE t SET a = 1")

        async def other():
            async with db.transaction() as second:
                await second.all("SELECT * FROM t WHERE id = 1 FOR UPDATE NOWAIT")

        with pytest.raises(LockTimeout):
            await asyncio.create_task(other())


async def test_a_duplicate_in_a_transaction_names_its_key(db):
    await db.execute("INSERT INTO t (a) VALUES (1)")
    with pytest.raises(IntegrityError) as caught:
        await db.execute("INSERT INTO t (a) VALUES (1)")
    assert caught.value.constraint == "a"
    assert caught.value.code == 1062


# ---- cancellation


async def test_a_cancelled_query_is_stopped_on_the_server(db):
    task = asyncio.create_task(db.scalar("SELECT BENCHMARK(100000000000, MD5('cancelled_one'))"))
    await until(lambda: running_any(db, "cancelled_one"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: none_running(db, "cancelled_one"))


async def test_a_query_out_of_time_is_stopped_on_the_server(db):
    async with db.within(0.2):
        with pytest.raises(Timeout):
            await db.scalar("SELECT BENCHMARK(100000000000, MD5('timed_out_one'))")
    await until(lambda: none_running(db, "timed_out_one"))


async def test_a_result_that_is_left_is_not_made_to_its_end(db):
    """The server by itself would see that nobody reads when its buffer is full again: hundreds of these rows later."""
    stream = db.iterate("SELECT 'left_one', IF(seq > 520, SLEEP(1), REPEAT('x', 1000)) FROM seq_1_to_1000")
    await anext(stream)
    asleep = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%left_one%' AND state = 'User sleep'"
    await until(lambda: db.scalar(asleep))
    await stream.aclose()
    await until(lambda: none_running(db, "left_one"))


async def test_what_still_runs_when_the_database_is_closed_is_stopped_on_the_server(db, mysql_url):
    async with Database(mysql_url + "?close_grace=0") as closing:
        task = asyncio.create_task(closing.scalar("SELECT BENCHMARK(100000000000, MD5('closed_one'))"))
        await until(lambda: running_any(db, "closed_one"))
    with pytest.raises(Unavailable):
        await task
    await until(lambda: none_running(db, "closed_one"))


async def running_any(db, text):
    return bool(await running(db, text))


async def none_running(db, text):
    return not await running(db, text)


# ---- servers that die and come back


async def test_killed_and_restarted(own_mariadb):
    server = own_mariadb()
    async with Database(server.url() + "?pool_size=4&retry_wait=0.05") as db:
        await db.script("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT) ENGINE=InnoDB")
        await asyncio.gather(*(db.execute("INSERT INTO t VALUES ()") for _ in range(8)))
        tasks = [
            asyncio.create_task(db.scalar("SELECT SLEEP(100)")),
            asyncio.create_task(db.execute("INSERT INTO t SELECT NULL FROM DUAL WHERE SLEEP(100)")),
        ]
        await until(lambda: running_any(db, "INSERT INTO t SELECT"))
        await until(lambda: running_any(db, "SELECT SLEEP"))
        async with asyncio.timeout(10):
            server.kill()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(each) for each in results] == [Unavailable, OutcomeUnknown]
            with pytest.raises(Unavailable, match=r"cannot reach the MySQL server at 127\.0\.0\.1") as caught:
                await db.scalar("SELECT 1")
            assert caught.value.http_status == 503
            assert "\n" not in str(caught.value)
            server.restart()

            async def back():
                try:
                    return await db.scalar("SELECT COUNT(*) FROM t") == 8
                except Unavailable:
                    return False

            await until(back)
            assert await asyncio.gather(*(db.scalar("SELECT 1") for _ in range(20))) == [1] * 20


async def test_connections_that_died_unnoticed_are_not_handed_out_twice(own_mariadb):
    server = own_mariadb()
    async with Database(server.url() + "?pool_size=4") as db:
        await asyncio.gather(*(db.scalar("SELECT SLEEP(0.01)") for _ in range(4)))
        server.kill()  # within one step of the loop, which sees no end of file in between
        server.restart()
        failures = 0
        for _ in range(10):
            try:
                await db.scalar("SELECT 1")
            except Unavailable:
                failures += 1
        assert failures <= 1


async def test_a_transaction_loses_its_server(own_mariadb):
    server = own_mariadb()
    async with Database(server.url()) as db:
        await db.script("CREATE TABLE t (id INT) ENGINE=InnoDB")
        with pytest.raises(Unavailable, match="rolled back"):
            async with db.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (1)")
                server.kill()
                server.restart()
                await tx.execute("INSERT INTO t VALUES (2)")
        with pytest.raises(Unavailable, match="is over because of an earlier error"):
            async with db.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (1)")
                server.kill()
                server.restart()
                with pytest.raises(Unavailable):
                    await tx.execute("INSERT INTO t VALUES (2)")
                with pytest.raises(Unavailable):
                    await tx.execute("INSERT INTO t VALUES (3)")
        assert await db.scalar("SELECT COUNT(*) FROM t") == 0


async def test_a_commit_behind_rows_that_nobody_reads_is_not_sent_too_late(db):
    await db.execute("INSERT INTO t (a) VALUES (1)")
    # The first 500 rows are read at once; what is left of them takes longer than there is time.
    slow = "SELECT REPEAT('x', 1000), IF(seq > 700, SLEEP(1), 0) FROM seq_1_to_710"
    with pytest.raises(Timeout, match="before COMMIT was sent: the transaction was rolled back"):
        async with db.within(0.3), db.transaction() as tx:
            await tx.execute("UPDATE t SET a = 2")
            await first_of(tx.iterate(slow))
    with pytest.raises(UsageError, match=r"transaction is over because .* before RELEASE was sent: the transaction"):
        async with db.transaction() as tx:
            await tx.execute("UPDATE t SET a = 3")
            with pytest.raises(Timeout, match="before RELEASE was sent: the transaction was rolled back"):
                async with db.within(0.3), tx.transaction() as inner:
                    await first_of(inner.iterate(slow))
    await until(lambda: unlocked(db))
    assert await db.scalar("SELECT a FROM t") == 1


async def test_a_deadlock_behind_rows_that_nobody_reads_is_met_by_the_next_savepoint(db):
    await db.script(
        "CREATE TABLE big (id INT PRIMARY KEY, filler VARCHAR(1000)) ENGINE=InnoDB;"
        "CREATE TABLE heavy (id INT) ENGINE=InnoDB;"
        "INSERT INTO big SELECT seq, REPEAT('x', 1000) FROM seq_1_to_20000"
    )
    locked, both = asyncio.Event(), asyncio.Event()

    async def survivor():
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO heavy SELECT seq FROM seq_1_to_50000")  # the victim is who has done less
            await tx.all("SELECT id FROM big WHERE id = 20000 FOR UPDATE")
            locked.set()
            await both.wait()
            await tx.execute("UPDATE big SET filler = '' WHERE id = 1")

    other = asyncio.create_task(survivor())
    await locked.wait()
    with pytest.raises(Deadlock, match="over because of an earlier error"):
        async with db.transaction() as tx:
            await first_of(tx.iterate("SELECT id, filler FROM big ORDER BY id FOR UPDATE"))
            both.set()
            with pytest.raises(Deadlock, match="for the sake of another"):
                async with tx.transaction():
                    pass
            with pytest.raises(Deadlock, match="over because of an earlier error"):
                await tx.execute("INSERT INTO t (a) VALUES (1)")
    await other
    assert await db.scalar("SELECT COUNT(*) FROM t") == 0


async def first_of(rows):
    await anext(rows)
    await rows.aclose()


async def unlocked(db) -> bool:
    return not await db.scalar("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_modified > 0")


async def test_a_commit_that_is_not_answered(own_mariadb):
    server = own_mariadb()
    async with Database(server.url()) as db:
        await db.script("CREATE TABLE t (id INT) ENGINE=InnoDB")
        tx = db.transaction()
        await tx.__aenter__()
        await tx.execute("INSERT INTO t VALUES (1)")
        server.pause()
        commit = asyncio.create_task(tx.__aexit__(None, None, None))
        await asyncio.sleep(0.05)
        server.kill()
        with pytest.raises(OutcomeUnknown, match="during COMMIT"):
            await commit
        server.restart()
        await until(lambda: reachable(db))
        with pytest.raises(OutcomeUnknown, match="COMMIT was not answered in time"):
            async with db.within(0.5), db.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (1)")
                server.pause()
        server.resume()


async def reachable(db):
    try:
        return await db.scalar("SELECT 1") == 1
    except Unavailable:
        return False


async def test_a_commit_out_of_time_is_not_stopped(own_mariadb):
    """To stop it would undo what may be as good as done."""
    server = own_mariadb()
    async with Database(server.root_url()) as blocker, Database(server.url()) as db:
        await db.script("CREATE TABLE t (id INT PRIMARY KEY)")
        session = await blocker.lease()
        tx = await db.transaction().__aenter__()
        await tx.execute("INSERT INTO t VALUES (1)")
        await session.run(Statement("FLUSH TABLES WITH READ LOCK", "FLUSH", True))
        with pytest.raises(OutcomeUnknown):
            async with db.within(0.2):
                await tx.__aexit__(None, None, None)
        while pending := db._pool._background:  # whatever closing has to do is done
            await asyncio.wait(pending)
        await session.run(Statement("UNLOCK TABLES", "UNLOCK", True))
        blocker.give_back(session)
        await until(lambda: db.scalar("SELECT COUNT(*) FROM t"))


async def test_a_silent_server(own_mariadb):
    server = own_mariadb()
    async with Database(server.url() + "?pool_size=2&connect_timeout=0.2&query_timeout=0.5&close_grace=0.1") as db:
        server.pause()
        with pytest.raises(Timeout, match="query_timeout"):
            await db.scalar("SELECT 1")
        with pytest.raises(Unavailable, match=r"did not answer within 0\.2 s"):
            await db.scalar("SELECT 1")
        server.resume()
        await until(lambda: reachable(db))


async def test_closing_with_a_silent_server_and_a_running_query(own_mariadb):
    server = own_mariadb()
    db = Database(server.url() + "?close_grace=0.1")
    await db.open()
    task = asyncio.create_task(db.scalar("SELECT SLEEP(100)"))
    await asyncio.sleep(0.05)
    server.pause()
    async with asyncio.timeout(10):
        await db.close()
        with pytest.raises(Unavailable):
            await task
    server.resume()


async def test_an_idle_connection_closed_by_the_server(own_mariadb):
    server = own_mariadb()
    async with Database(server.url()) as db:
        run_sql(server.root_url(), f"KILL {await db.scalar('SELECT CONNECTION_ID()')}")
        await until(lambda: noticed(db))
        for _ in range(3):
            assert await db.scalar("SELECT 1") == 1


async def test_a_lost_connection_takes_the_idle_ones_with_it(db):
    session, other = await db.lease(), await db.lease()
    db.give_back(other)
    assert db.stats.idle == 1
    session.abort()
    with pytest.raises(Unavailable):
        await session.run(Statement("SELECT 1", "SELECT", True))
    db.give_back(session)
    assert db.stats.idle == 0


async def noticed(db):
    return not db._pool._idle[0].connection.is_open


# ---- connecting


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace("app:", "app:hunter2"), "refuses user 'app'"),
        (lambda url: url.replace("app:", "nobody:hunter2"), "refuses user 'nobody'"),
        (lambda url: url.rpartition("/")[0] + "/test_nowhere", "no database 'test_nowhere'"),
        (lambda url: "mysql://app:hunter2@127.0.0.1:1/x", "cannot reach the MySQL server at 127.0.0.1:1: "),
        (lambda url: "mysql://app:hunter2@name.invalid/x", "cannot reach the MySQL server at name.invalid:3306: "),
        (lambda url: "mysql://app:hunter2@/x?socket=/nowhere", "cannot reach the MySQL server at /nowhere: "),
    ],
)
async def test_a_server_that_does_not_let_us_in(own_mariadb, change, words):
    url = change(own_mariadb().url())
    db = Database(url)
    with pytest.raises(Unavailable, match=words) as caught:
        await db.open()
    assert "\n" not in str(caught.value)
    assert "hunter2" not in shown(caught.value) + repr(db) + repr(db.url)


async def test_too_many_connections(own_mariadb):
    server = own_mariadb(options=("--max-connections=10",))
    async with Database(server.url() + "?pool_size=50&retry_wait=0.05") as db:
        assert await asyncio.gather(*(db.scalar("SELECT 1 + SLEEP(0.01)") for _ in range(100))) == [1] * 100


async def test_the_next_host_is_tried(mysql_url):
    url = mysql_url.replace("@", "@127.0.0.1:1,")
    async with Database(url) as db:
        assert await db.scalar("SELECT 1") == 1


async def test_a_peer_that_is_no_mysql_server():
    async def greet(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Unavailable):
        await Database(f"mysql://app@127.0.0.1:{port}/x").open()
    server.close()
    await server.wait_closed()


GREETING = (
    b"\x0a8.0.40\0\x01\0\0\0saltsalt\0" + (0xF7FF & ~0x800).to_bytes(2, "little") + b"\x2d\x02\0\xc8\0\x15"
    + bytes(10) + b"saltsaltsalt\0mysql_native_password\0"
)  # fmt: skip


@pytest.mark.parametrize("plugin", ["mysql_clear_password", "dialog", "mysql_old_password"])
async def test_whoever_answers_in_the_servers_place_does_not_get_the_password(plugin):
    """It greets like a server, and asks for another way to log in: one that shows the password, or nearly."""
    heard, over = [], asyncio.Event()
    question = (
        b"\xfe" + plugin.encode() + b"\0" + (b"\x04Password: " if plugin == "dialog" else b"saltsaltsaltsaltsalt\0")
    )

    async def impostor(reader, writer):
        with suppress(ConnectionError):
            for number, message in ((0, GREETING), (2, question)):
                writer.write(len(message).to_bytes(3, "little") + bytes([number]) + message)
                heard.append(await reader.read(1000))
        writer.close()
        over.set()

    server = await asyncio.start_server(impostor, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Unavailable, match=f"it asks for {plugin}, which needs tls=yes"):
        await Database(f"mysql://app:hunter2@127.0.0.1:{port}/x").open()
    await over.wait()
    server.close()
    await server.wait_closed()
    assert b"app\0" in heard[0]
    assert heard[1:] in ([], [b""])


async def test_a_password_beyond_latin_1(mysql_url, mariadb_server):
    run_sql(mariadb_server.root_url(), "CREATE OR REPLACE USER 'umlaut'@'127.0.0.1' IDENTIFIED BY 'пароль'")
    try:
        name = mysql_url.rpartition("/")[2]
        run_sql(mariadb_server.root_url(), f"GRANT ALL ON {name}.* TO 'umlaut'@'127.0.0.1'")
        tail = mysql_url.partition("@")[2]
        async with Database(f"mysql://umlaut:%D0%BF%D0%B0%D1%80%D0%BE%D0%BB%D1%8C@{tail}") as db:
            assert await db.scalar("SELECT 1") == 1
    finally:
        run_sql(mariadb_server.root_url(), "DROP USER 'umlaut'@'127.0.0.1'")

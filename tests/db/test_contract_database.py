"""What `Database` and `Transaction` promise, on both engines: every test here runs twice."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from minihttp.db import (
    Conflict,
    Database,
    DatabaseError,
    DataError,
    Deadlock,
    IntegrityError,
    MultipleRows,
    NotFound,
    QueryError,
    Row,
    Timeout,
    Unavailable,
    UsageError,
)
from minihttp.db import database as database_module

SCHEMA = """
CREATE TABLE city (id INTEGER PRIMARY KEY);
CREATE TABLE person (
    id INTEGER PRIMARY KEY /*! AUTO_INCREMENT */,
    name VARCHAR(20) NOT NULL CHECK (LENGTH(name) < 20),
    email VARCHAR(50),
    age BIGINT,
    city INTEGER,
    CONSTRAINT adult CHECK (age > 17),
    CONSTRAINT one_each UNIQUE (email),
    FOREIGN KEY (city) REFERENCES city (id)
) /*! CHARSET = utf8mb4 */;
-- a semicolon; in a comment
INSERT INTO city VALUES (1), (2)
"""
# A query that goes on for longer than any test waits.
ENDLESS = {
    "mysql": "SELECT SLEEP(100)",
    "sqlite": "WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT COUNT(*) FROM r",
}
# A change that takes a moment.
SLOW = {
    "mysql": "INSERT INTO person (name) SELECT CONCAT('slow', SLEEP(0.3))",
    "sqlite": "INSERT INTO person (name) "
    "WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT 1000000) SELECT COUNT(*) FROM r",
}


@pytest.fixture
async def db(database_url):
    async with Database(database_url) as db:
        await db.script(SCHEMA)
        yield db


async def names(executor) -> list[str]:
    return [row.name for row in await executor.all("SELECT name FROM person ORDER BY id")]


async def add(executor, name, **others):
    columns = {"name": name, **others}
    sql = f"INSERT INTO person ({', '.join(columns)}) VALUES ({', '.join(f':{each}' for each in columns)})"
    return await executor.execute(sql, columns)


# ---- queries


async def test_all_gives_rows(db):
    await add(db, "Ann", age=30)
    await add(db, "Bo")
    rows = await db.all("SELECT id, name, age FROM person ORDER BY id")
    assert all(isinstance(row, Row) for row in rows)
    assert [dict(row) for row in rows] == [{"id": 1, "name": "Ann", "age": 30}, {"id": 2, "name": "Bo", "age": None}]
    assert await db.all("SELECT * FROM person WHERE id = 0") == []


async def test_one(db):
    await add(db, "Ann")
    await add(db, "Bo")
    assert (await db.one("SELECT name FROM person WHERE id = :id", id=2)).name == "Bo"
    with pytest.raises(NotFound):
        await db.one("SELECT name FROM person WHERE id = :id", id=9)
    with pytest.raises(MultipleRows, match="found 2 rows"):
        await db.one("SELECT name FROM person")


async def test_scalar(db):
    assert await db.scalar("SELECT COUNT(*) FROM person") == 0
    assert await db.scalar("SELECT name FROM person") is None


async def test_execute_tells_count_and_id(db):
    first, second = await add(db, "Ann"), await add(db, "Bo")
    assert (first.rowcount, first.last_id, second.last_id) == (1, 1, 2)
    same = await db.execute("UPDATE person SET name = 'Bo' WHERE id = 2")
    assert (same.rowcount, same.last_id) == (1, None)
    assert (await db.execute("UPDATE person SET age = 20")).rowcount == 2
    assert (await db.execute("DELETE FROM person WHERE id = :id", {"id": 9})).rowcount == 0
    assert (await db.execute("SELECT * FROM person")).rowcount == 2


async def test_parameters_by_mapping_by_name_and_both(db):
    assert await db.scalar("SELECT :a + :b", {"a": 1, "b": 2}) == 3
    assert await db.scalar("SELECT :a + :b", {"a": 1}, b=2) == 3
    assert await db.scalar("SELECT :sql", sql="any name will do") == "any name will do"
    with pytest.raises(QueryError, match="not as tuple"):
        await db.scalar("SELECT :a", (1,))
    with pytest.raises(QueryError, match=":a is missing"):
        await db.scalar("SELECT :a")


@pytest.mark.parametrize(
    "value",
    [None, 0, -(2**63), 2**63 - 1, 1.5, "", "北京 🙂", "it's \\ % %s ? :x \0 \"", b"\x00\xff'\\%", "x" * 70_000],
    ids=lambda value: repr(value)[:20],
)
async def test_values_come_back_as_they_went(db, value):
    assert await db.scalar("SELECT :value", value=value) == value
    rows = [row[0] async for row in db.iterate("SELECT :value", value=value)]
    assert rows == [value]


async def test_chinese_and_emoji_everywhere(db):
    await db.script(
        "CREATE TABLE 用户 (编号 INTEGER PRIMARY KEY, 名字 VARCHAR(20) NOT NULL, CONSTRAINT 唯一 UNIQUE (名字))"
    )
    await db.execute("INSERT INTO 用户 VALUES (1, :名字)", 名字="王伟 🙂👩‍👩‍👧")
    row = await db.one(
        "SELECT 编号, 名字 AS `名 称`, '北京' AS 城市 FROM 用户 WHERE 名字 = :名字", {"名字": "王伟 🙂👩‍👩‍👧"}
    )
    assert dict(row) == {"编号": 1, "名 称": "王伟 🙂👩‍👩‍👧", "城市": "北京"}
    assert (row.编号, row["名 称"]) == (1, "王伟 🙂👩‍👩‍👧")
    assert [each.城市 async for each in db.iterate("SELECT '北京🙂' AS 城市 /* 评论 🙂 */ WHERE :值 = 1", 值=1)] == [
        "北京🙂"
    ]
    with pytest.raises(IntegrityError) as caught:
        await db.execute("INSERT INTO 用户 VALUES (2, :名字)", 名字="王伟 🙂👩‍👩‍👧")
    assert caught.value.constraint == {"mysql": "唯一", "sqlite": "名字"}[db.engine]
    assert "王伟" not in str(caught.value)
    for wrong in ("SELECT 没有 FROM 用户", "SELECT * FROM 没有"):
        with pytest.raises(QueryError, match="没有"):
            await db.all(wrong)
    with pytest.raises(QueryError, match=":名字 is missing"):
        await db.all("SELECT :名字")


async def test_the_statistics_are_right(database_url):
    async with Database(database_url + "?pool_size=2&queue=3&acquire_timeout=600") as db:
        await db.scalar("SELECT 1")
        at_rest = db.stats
        assert (at_rest.size, at_rest.idle, at_rest.used, at_rest.waiters, at_rest.connects) == (1, 1, 0, 0, 1)
        held = [await db.lease(), await db.lease()]
        tasks = [asyncio.create_task(db.scalar("SELECT 1")) for _ in range(4)]
        await asyncio.gather(*tasks[3:], return_exceptions=True)
        full = db.stats
        assert (full.size, full.idle, full.used, full.waiters, full.connects) == (2, 0, 2, 3, 2)
        assert full.waits - at_rest.waits == 4, "the second lease, and three tasks; the fourth was sent away"
        assert isinstance(tasks[3].exception(), Unavailable)
        tasks[0].cancel()
        for session in held:
            db.give_back(session)
        assert [await task for task in tasks[1:3]] == [1, 1]
        after = db.stats
        assert (after.size, after.idle, after.used, after.waiters) == (2, 2, 0, 0)
        assert (after.connects, after.errors, after.timeouts, after.discarded) == (2, 0, 0, 0)


async def test_moments_are_stored_in_utc(db):
    moment = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert str(await db.scalar("SELECT :at", at=moment)) == "2025-12-31 23:30:00"


@pytest.mark.parametrize("count", [0, 1, 3, 100])
async def test_lists(db, count):
    for number in range(5):
        await add(db, f"p{number}")
    ids = list(range(3, 3 + count))
    assert await db.scalar("SELECT COUNT(*) FROM person WHERE id IN :ids", ids=ids) == min(count, 3)
    assert await db.scalar("SELECT COUNT(*) FROM person WHERE id NOT IN (:ids)", ids=ids) == 5 - min(count, 3)


async def test_as_many_values_in_lists_as_the_engine_takes(db):
    lists = {"mysql": 7, "sqlite": 3}[db.engine]
    asked = " + ".join(f"(8999 IN :l{number})" for number in range(lists))
    found = await db.scalar(f"SELECT {asked}", {f"l{number}": [*range(9_000)] for number in range(lists)})
    assert found == lists


async def test_percent_and_question_marks_in_sql(db):
    assert await db.scalar("SELECT 'a%b?c'") == "a%b?c"
    assert await db.scalar("SELECT 7 % 4") == 3
    assert await db.scalar("SELECT '100%s' WHERE 1 = :one", one=1) == "100%s"


async def test_injection_stays_a_value(db):
    await add(db, "Ann")
    for evil in ("x' OR '1'='1", "x\\' OR 1=1 -- ", b"\\' or 1=1 -- "):
        assert await db.all("SELECT * FROM person WHERE name = :name", name=evil) == []
    with pytest.raises(QueryError, match="several statements"):
        await db.execute("SELECT 1; DELETE FROM person")
    assert await names(db) == ["Ann"]


# ---- errors


async def test_a_unique_key_has_one_name_on_both_engines(db):
    await db.script(
        "CREATE TABLE account (id INTEGER PRIMARY KEY, email VARCHAR(20) UNIQUE, a INT, b INT);"
        "CREATE UNIQUE INDEX both_of_them ON account (a, b); INSERT INTO account VALUES (1, 'a@x', 1, 1)"
    )
    both = {"mysql": "both_of_them", "sqlite": "a, b"}[db.engine]
    for values, name in (("2, 'a@x', 1, 2", "email"), ("3, 'c@x', 1, 1", both)):
        with pytest.raises(IntegrityError) as caught:
            await db.execute(f"INSERT INTO account VALUES ({values})")
        assert caught.value.constraint == name


async def test_constraints_have_names(db):
    await add(db, "Ann", email="a@x")
    with pytest.raises(IntegrityError) as caught:
        await add(db, "Bo", email="a@x")
    assert caught.value.kind == "unique"
    assert caught.value.constraint == {"mysql": "one_each", "sqlite": "email"}[db.engine]
    assert "a@x" not in str(caught.value)
    with pytest.raises(IntegrityError) as caught:
        await add(db, "Bo", age=3)
    assert (caught.value.kind, caught.value.constraint) == ("check", "adult")
    with pytest.raises(IntegrityError) as caught:
        await add(db, "x" * 20)
    assert caught.value.kind == "check"
    assert caught.value.constraint == {"mysql": "name", "sqlite": "LENGTH(name) < 20"}[db.engine]
    with pytest.raises(IntegrityError) as caught:
        await add(db, None)
    assert caught.value.kind == "not null"
    assert caught.value.constraint == "name"
    with pytest.raises(IntegrityError) as caught:
        await add(db, "Bo", city=9)
    assert caught.value.kind == "foreign key"
    assert db.stats.discarded <= 2, "an error of the server costs no connection"


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT * FROM nowhere", "SELECT nothing FROM person", "INSERT INTO city"])
async def test_wrong_sql(db, sql):
    await db.scalar("SELECT 1")
    connects = db.stats.connects
    with pytest.raises(QueryError) as caught:
        await db.execute(sql)
    assert not isinstance(caught.value, DataError)
    with pytest.raises(QueryError):
        await db.all(sql)
    async with db.transaction() as tx:
        with pytest.raises(QueryError):
            await tx.execute(sql)
        await add(tx, "Ann")
    assert await names(db) == ["Ann"]
    if sql != "SELEC 1":  # of a word that it does not know, nobody knows what it does to the session
        assert db.stats.connects == connects


@pytest.mark.parametrize("word", ["BEGIN", "commit", "ROLLBACK", "SAVEPOINT x", "START TRANSACTION", "/* x */ BEGIN"])
async def test_transactions_are_not_run_by_hand(db, word):
    with pytest.raises(UsageError, match=r"async with db\.transaction"):
        await db.execute(word)
    async with db.transaction() as tx:
        with pytest.raises(UsageError, match=r"async with db\.transaction"):
            await tx.execute(word)


async def test_a_closed_database_says_so(database_url):
    db = Database(database_url)
    with pytest.raises(UsageError, match="is not open"):
        await db.all("SELECT 1")
    with pytest.raises(UsageError, match="is not open"):
        _ = db.stats
    async with db:
        with pytest.raises(UsageError, match="open already"):
            await db.open()
    with pytest.raises(UsageError, match="is not open"):
        await db.all("SELECT 1")
    await db.close()
    async with db:
        assert await db.scalar("SELECT 1") == 1


async def test_closing_ends_with_the_last_transaction(database_url):
    db = Database(database_url + "?close_grace=600")
    async with db:
        await db.script("CREATE TABLE t (id INTEGER)")
    await db.open()
    tx = await db.transaction().__aenter__()
    await tx.execute("INSERT INTO t VALUES (1)")
    closing = asyncio.create_task(db.close())
    await asyncio.sleep(0)
    with pytest.raises(UsageError, match="is closing here"):
        await asyncio.create_task(db.scalar("SELECT 1"))
    await db.close()  # the second one waits for nothing, and takes nothing away
    with pytest.raises(UsageError, match="still being closed"):
        await db.open()
    await tx.__aexit__(None, None, None)
    async with asyncio.timeout(20):
        await closing
    async with db:
        assert await db.scalar("SELECT COUNT(*) FROM t") == 1


async def test_a_database_whose_close_was_cancelled_is_closed(database_url):
    db = Database(database_url + "?close_grace=600")
    await db.open()
    session = await db.lease()
    closing = asyncio.create_task(db.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    db.give_back(session)
    async with db:
        assert await db.scalar("SELECT 1") == 1


# ---- iterating


@pytest.fixture
async def many(db):
    await db.execute("INSERT INTO person (name) VALUES " + ", ".join(f"('p{number}')" for number in range(1200)))
    return db


async def test_iterate_gives_all_rows_in_order(many):
    ids = [row.id async for row in many.iterate("SELECT id FROM person WHERE id > :least ORDER BY id", least=10)]
    assert ids == list(range(11, 1201))
    assert [row async for row in many.iterate("SELECT id FROM person WHERE id > 5000")] == []
    assert [row async for row in many.iterate("DELETE FROM person WHERE id > 1000")] == []
    assert many.stats.used == 0


async def test_iterate_can_be_left_early_and_the_connection_is_free_at_once(many):
    async for row in many.iterate("SELECT id FROM person ORDER BY id"):
        assert row.id == 1
        break
    rows = many.iterate("SELECT id FROM person")
    assert (await anext(rows))["id"] > 0
    await rows.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(rows)
    while many.stats.used:  # being restored
        await asyncio.sleep(0)
    assert await many.scalar("SELECT COUNT(*) FROM person") == 1200


async def test_other_queries_run_beside_an_iteration(many):
    total = 0
    async for row in many.iterate("SELECT id FROM person WHERE id < :most", most=4):
        total += await many.scalar("SELECT :id * 2", id=row.id)
    assert total == 12


async def test_two_tasks_on_one_iteration(many):
    rows = many.iterate("SELECT id FROM person ORDER BY id")
    results = await asyncio.gather(anext(rows), anext(rows), rows.aclose(), return_exceptions=True)
    assert results[0].id == 1
    for each in results[1:]:
        assert isinstance(each, UsageError)
        assert "two tasks use one `iterate` at the same time" in str(each)
    assert [row.id async for row in rows] == list(range(2, 1201)), "the mistake did no harm"
    async with many.transaction() as tx:
        rows = tx.iterate("SELECT id FROM person ORDER BY id")
        results = await asyncio.gather(anext(rows), anext(rows), return_exceptions=True)
        assert (results[0].id, type(results[1])) == (1, UsageError)
        await rows.aclose()
        assert await tx.scalar("SELECT 1") == 1


async def test_a_wrong_iteration(many):
    with pytest.raises(QueryError, match=":id is missing"):
        many.iterate("SELECT :id")
    with pytest.raises(QueryError):
        await anext(many.iterate("SELECT * FROM nowhere WHERE id = :id", id=1))
    with pytest.raises(QueryError, match="two columns"):
        await anext(many.iterate("SELECT id, id FROM person"))
    assert await many.scalar("SELECT 1") == 1


# ---- transactions


async def test_commit_and_rollback(db):
    async with db.transaction() as tx:
        await add(tx, "Ann")
    with pytest.raises(KeyError):
        async with db.transaction() as tx:
            await add(tx, "Bo")
            raise KeyError
    assert await names(db) == ["Ann"]
    assert db.stats.used == 0


async def test_others_see_nothing_before_the_commit(db):
    async with db.transaction() as tx:
        await add(tx, "Ann")
        seen = await asyncio.create_task(names(db))
        assert seen == []
    assert await names(db) == ["Ann"]


async def test_savepoints(db):
    async with db.transaction() as tx:
        await add(tx, "Ann")
        with pytest.raises(KeyError):
            async with tx.transaction() as inner:
                await add(inner, "Bo")
                async with inner.transaction() as innermost:
                    await add(innermost, "Cy")
                raise KeyError
        async with tx.transaction() as inner:
            await add(inner, "Di")
        with pytest.raises(UsageError, match="is over"):
            await inner.all("SELECT 1")
    assert await names(db) == ["Ann", "Di"]


async def test_a_savepoint_that_cannot_be_undone_takes_the_whole_with_it(db):
    """While a statement runs nothing can be undone; what it did must not be committed for that."""
    with pytest.raises(UsageError, match=r"over because of an earlier error .*two tasks use one transaction"):
        async with db.transaction() as tx:
            await add(tx, "Ann")
            with pytest.raises(UsageError, match="two tasks use one transaction"):
                async with tx.transaction() as part:
                    slow = asyncio.ensure_future(part.execute(SLOW[db.engine]))
                    await asyncio.gather(slow, add(part, "Bo"))
            assert (await slow).rowcount == 1
            with pytest.raises(UsageError, match="over because of an earlier error"):
                await add(tx, "Cy")
    assert await names(db) == []


@pytest.mark.parametrize("error", [KeyError, None])
async def test_so_does_one_whose_rows_are_still_read(many, error):
    with pytest.raises(UsageError, match=r"over because of an earlier error .*not at its end"):
        async with many.transaction() as tx:
            with pytest.raises(error or UsageError):
                async with tx.transaction() as part:
                    await add(part, "of the part")
                    rows = part.iterate("SELECT id FROM person")
                    await anext(rows)
                    if error:
                        raise error
            await rows.aclose()
            with pytest.raises(UsageError, match="over because of an earlier error"):
                await add(tx, "behind it")
    assert await many.scalar("SELECT COUNT(*) FROM person") == 1200


async def test_a_late_savepoint_that_cannot_be_undone_says_so(many):
    with pytest.raises(UsageError, match="over because of an earlier error"):
        async with many.transaction() as tx:
            with pytest.raises(Timeout, match="before RELEASE was sent: the transaction was rolled back"):
                async with many.within(0.3), tx.transaction() as part:
                    await add(part, "of the part")
                    rows = part.iterate("SELECT id FROM person")
                    await anext(rows)
                    await asyncio.sleep(0.31)
            await rows.aclose()
    assert await many.scalar("SELECT COUNT(*) FROM person") == 1200


async def test_an_error_of_a_statement_leaves_the_rest_alone(db):
    async with db.transaction() as tx:
        await add(tx, "Ann", email="a@x")
        with pytest.raises(IntegrityError):
            await add(tx, "Bo", email="a@x")
        await add(tx, "Cy")
    assert await names(db) == ["Ann", "Cy"]


@pytest.mark.parametrize("level", ["read uncommitted", "read committed", "repeatable read", "serializable"])
async def test_isolation_levels(db, level):
    async with db.transaction(isolation=level) as tx:
        await add(tx, "Ann")
    assert await names(db) == ["Ann"]


async def test_an_unknown_isolation_level(db):
    with pytest.raises(UsageError, match="'chaos; DROP TABLE person': it is one of read uncommitted"):
        db.transaction(isolation="chaos; DROP TABLE person")


async def test_read_only(db):
    async with db.transaction(read_only=True) as tx:
        assert await names(tx) == []
        with pytest.raises(QueryError):
            await add(tx, "Ann")
    for _ in range(3):
        await add(db, "Bo")  # the connection can write again
    assert await names(db) == ["Bo"] * 3


async def test_using_the_database_beside_ones_own_transaction_is_a_mistake(db):
    async with db.transaction() as tx:
        for call in (
            lambda: db.all("SELECT 1"),
            lambda: anext(db.iterate("SELECT 1")),
            lambda: db.transaction().__aenter__(),
            lambda: db.script("SELECT 1"),
        ):
            with pytest.raises(UsageError, match="use its `tx`"):
                await call()
        await add(tx, "Ann")
    assert await names(db) == ["Ann"]


async def test_a_transaction_is_used_inside_of_its_block_and_once(db):
    tx = db.transaction()
    with pytest.raises(UsageError, match="not begun"):
        await tx.all("SELECT 1")
    async with tx:
        await tx.all("SELECT 1")
        with pytest.raises(UsageError, match="used once"):
            await tx.__aenter__()
    with pytest.raises(UsageError, match="is over"):
        await tx.all("SELECT 1")
    with pytest.raises(UsageError, match="is over"):
        await anext(tx.iterate("SELECT 1"))
    with pytest.raises(UsageError, match="is over"):
        await tx.transaction().__aenter__()
    with pytest.raises(UsageError, match="used once"):
        await tx.__aenter__()


async def test_two_tasks_on_one_transaction(db):
    async with db.transaction() as tx:
        results = await asyncio.gather(*(tx.scalar("SELECT 1") for _ in range(2)), return_exceptions=True)
        assert results[0] == 1
        assert isinstance(results[1], UsageError)
        assert "two tasks use one transaction" in str(results[1])
        await add(tx, "Ann")  # the mistake did no harm
    assert await names(db) == ["Ann"]


async def test_a_statement_still_under_way_when_its_transaction_ends_is_answered(db, monkeypatch):
    monkeypatch.setattr("minihttp.db.pool.TEST_TIMEOUT", 0.2)
    with pytest.raises(UsageError, match="two tasks use one transaction"):
        async with db.transaction() as tx:
            await add(tx, "Ann")
            endless = asyncio.ensure_future(tx.scalar(ENDLESS[db.engine]))
            await asyncio.gather(endless, tx.scalar("SELECT 1"))
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable):
            await endless
    assert await names(db) == []


async def test_iterating_in_a_transaction(many):
    async with many.transaction() as tx:
        ids = [row.id async for row in tx.iterate("SELECT id FROM person WHERE id > :least", least=700)]
        assert len(ids) == 500
        rows = tx.iterate("SELECT id FROM person")
        await anext(rows)
        with pytest.raises(UsageError, match="`iterate` of this transaction is not at its end"):
            await tx.scalar("SELECT 1")
        await rows.aclose()
        assert await tx.scalar("SELECT 2") == 2
        async for _ in tx.iterate("SELECT id FROM person"):
            break
        await add(tx, "last")
    assert await many.scalar("SELECT COUNT(*) FROM person") == 1201


@pytest.mark.parametrize("sql", ["CREATE TABLE other (id INTEGER)", "CALL pay()", "VALUES (1)"])
async def test_what_may_end_a_transaction_is_not_iterated(db, sql):
    async with db.transaction() as tx:
        await add(tx, "Ann")
        with pytest.raises(UsageError, match=f"{sql.split()[0]} is not for `iterate` in a transaction"):
            tx.iterate(sql)
        await add(tx, "Bo")
    assert await names(db) == ["Ann", "Bo"]


async def test_rows_that_one_task_leaves_are_not_those_that_the_next_one_reads(many, database_url):
    """A session goes from hand to hand; whoever had it before may still have rows of it, and drop them later."""
    ids = "SELECT id FROM person ORDER BY id"
    async with Database(database_url + "?pool_size=1") as db:
        with pytest.raises(KeyError):
            async with db.transaction() as tx:
                left = tx.iterate(ids)
                await anext(left)
                raise KeyError
        async for _ in db.iterate(ids):
            break
        async with db.transaction() as tx:
            rows = tx.iterate(ids)
            await anext(rows)
            for wrong in (lambda: anext(tx.iterate(ids)), lambda: tx.scalar("SELECT 1")):
                with pytest.raises(UsageError, match="not at its end"):
                    await wrong()
            await left.aclose()
            with pytest.raises(UsageError, match="not at its end"):
                await tx.scalar("SELECT 1")
            assert [row.id async for row in rows] == list(range(2, 1201))


async def test_an_iteration_left_open_at_the_end_of_its_transaction(many):
    async with many.transaction() as tx:
        await add(tx, "last")
        async for _ in tx.iterate("SELECT id FROM person"):
            break
    assert await many.scalar("SELECT COUNT(*) FROM person") == 1201


async def test_retry_runs_the_whole_again(db):
    runs = []

    async def work(tx, name, *, age):
        runs.append(name)
        await add(tx, name, age=age)
        if len(runs) < 3:
            raise Deadlock("chosen as the victim")
        return "done"

    assert await db.retry(work, "Ann", age=20) == "done"
    assert await names(db) == ["Ann"]
    assert len(runs) == 3


async def test_retry_gives_up_and_lets_other_errors_through(db):
    runs = []

    async def never(tx):
        runs.append(1)
        raise Deadlock("again")

    with pytest.raises(Conflict):
        await db.retry(never)
    assert len(runs) == 5

    async def wrong(tx):
        runs.append(1)
        raise KeyError

    with pytest.raises(KeyError):
        await db.retry(wrong)
    assert len(runs) == 6


async def test_a_deadline_is_for_all_attempts_and_their_pauses_together(db, monkeypatch):
    runs = []

    async def never(tx):
        runs.append(1)
        raise Deadlock("again")

    monkeypatch.setattr(database_module, "FIRST_PAUSE", 600)
    with pytest.raises(Deadlock, match="again"):
        async with db.within(60):
            await db.retry(never)
    assert len(runs) == 1, "a pause that would pass the deadline is not begun"

    async def slow(tx):
        runs.append(1)
        await add(tx, "Ann")
        await tx.scalar(ENDLESS[db.engine])

    with pytest.raises(Timeout, match="longer than `within` allows"):
        async with db.within(0.05):
            await db.retry(slow)
    with pytest.raises(Timeout, match="before BEGIN was begun"):
        async with db.within(0):
            await db.retry(slow)
    assert len(runs) == 2, "a Timeout is not run again"

    async def too_late(tx):
        await add(tx, "Bo")
        await asyncio.sleep(0.31)

    with pytest.raises(Timeout, match="before COMMIT was sent: the transaction was rolled back"):
        async with db.within(0.3):
            await db.retry(too_late)
    assert await names(db) == []


async def test_nothing_runs_on_after_a_conflict_that_was_caught(db):
    with pytest.raises(Deadlock, match="is over because of an earlier error"):
        async with db.transaction() as tx:
            await add(tx, "Ann")
            tx._note(Deadlock("chosen as the victim"), tx._session)
            with pytest.raises(Deadlock, match="is over because"):
                await add(tx, "Bo")
    assert await names(db) == []


async def test_a_savepoint_cannot_go_on_after_a_conflict_either(db):
    with pytest.raises(Deadlock):
        async with db.transaction() as tx:
            await add(tx, "Ann")
            with pytest.raises(Deadlock):
                async with tx.transaction() as inner:
                    inner._note(Deadlock("chosen as the victim"), inner._session)
            await add(tx, "Bo")
    assert await names(db) == []


async def test_concurrent_counting_loses_nothing(db):
    await add(db, "counter", age=100)

    async def increment(tx):
        lock = " FOR UPDATE" if tx.engine == "mysql" else ""
        age = await tx.scalar(f"SELECT age FROM person WHERE id = 1{lock}")
        await tx.execute("UPDATE person SET age = :age WHERE id = 1", age=age + 1)

    await asyncio.gather(*(db.retry(increment) for _ in range(20)))
    assert await db.scalar("SELECT age FROM person") == 120


# ---- deadlines and cancellation


async def test_within(db):
    async with db.within(0.05):
        with pytest.raises(Timeout, match="within"):
            await db.scalar(ENDLESS[db.engine])
        with pytest.raises(Timeout, match="before SELECT was begun"):
            await db.scalar("SELECT 1")
    assert await db.scalar("SELECT 1") == 1


async def test_waiting_for_a_connection_counts_whatever_is_run_on_it(database_url):
    async with Database(database_url + "?pool_size=1&acquire_timeout=600") as db:
        session = await db.lease()
        for wait in (
            lambda: db.script("SELECT 1"),
            lambda: db.scalar("SELECT 1"),
            lambda: anext(db.iterate("SELECT 1")),
            lambda: db.transaction().__aenter__(),
        ):
            with pytest.raises(Timeout, match="longer than `within` allows"):
                async with asyncio.timeout(10), db.within(0.05):
                    await wait()
        db.give_back(session)


async def test_a_deadline_in_a_transaction_rolls_it_back(db):
    with pytest.raises(Timeout):
        async with db.within(0.05), db.transaction() as tx:
            await add(tx, "Ann")
            await tx.scalar(ENDLESS[db.engine])
    with pytest.raises(DatabaseError):
        async with db.transaction() as tx:
            await add(tx, "Bo")
            async with db.within(0.05):
                with pytest.raises(Timeout):
                    await tx.scalar(ENDLESS[db.engine])
    assert await names(db) == []


async def test_a_deadline_that_is_over_before_the_commit(db):
    with pytest.raises(Timeout, match="before COMMIT was sent: the transaction was rolled back"):
        async with db.within(0.3), db.transaction() as tx:
            await add(tx, "Ann")
            await asyncio.sleep(0.31)
    assert await names(db) == []


async def test_a_deadline_that_is_over_before_the_end_of_a_savepoint(db):
    async with db.transaction() as tx:
        await add(tx, "Ann")
        with pytest.raises(Timeout, match="before RELEASE was sent: the savepoint was rolled back"):
            async with db.within(0.3), tx.transaction() as inner:
                await add(inner, "Bo")
                await asyncio.sleep(0.31)
        await add(tx, "Cy")
    assert await names(db) == ["Ann", "Cy"]


async def test_a_deadline_while_iterating(db):
    async with db.within(0.05):
        with pytest.raises(Timeout):
            await anext(db.iterate(ENDLESS[db.engine]))
    with pytest.raises(DatabaseError):
        async with db.transaction() as tx, db.within(0.05):
            await anext(tx.iterate(ENDLESS[db.engine]))
    assert await db.scalar("SELECT 1") == 1


async def test_a_cancelled_query_harms_nobody(db):
    for call in (
        lambda: db.scalar(ENDLESS[db.engine]),
        lambda: anext(db.iterate(ENDLESS[db.engine])),
    ):
        task = asyncio.ensure_future(call())
        while not db.stats.used:
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await db.scalar("SELECT 5") == 5


async def test_a_cancelled_transaction_is_rolled_back(db):
    inside = asyncio.Event()

    async def work():
        async with db.transaction() as tx:
            await add(tx, "Ann")
            inside.set()
            await tx.scalar(ENDLESS[db.engine])

    task = asyncio.create_task(work())
    await inside.wait()
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names(db) == []
    await add(db, "Bo")


async def test_cancelling_at_any_moment_never_mixes_results(db):
    async def ask(number):
        return await db.scalar("SELECT :number", number=number)

    for round_ in range(60):
        tasks = [asyncio.create_task(ask(number)) for number in range(6)]
        await asyncio.sleep(round_ * 0.00005)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for number, result in enumerate(results):
            assert result == number or (number % 2 == 0 and isinstance(result, asyncio.CancelledError))
    assert await ask(7) == 7


# ---- scripts


async def test_a_script_error_names_the_statement(db):
    with pytest.raises(QueryError) as caught:
        await db.script("INSERT INTO city VALUES (7); INSERT INTO nowhere VALUES (1); INSERT INTO city VALUES (8)")
    assert "in statement 2 of 3 of the script: INSERT INTO nowhere" in caught.value.__notes__[0]
    assert await db.scalar("SELECT MAX(id) FROM city") == 7


async def test_a_script_may_hold_a_trigger(db):
    each_row = "FOR EACH ROW" if db.engine == "mysql" else ""
    await db.script(f"""
        CREATE TRIGGER grow AFTER INSERT ON city {each_row} BEGIN
            INSERT INTO person (name) VALUES ('a;b');
        END;
        INSERT INTO city VALUES (50);
    """)
    assert await names(db) == ["a;b"]


async def test_a_script_in_a_transaction_is_undone_with_it(db):
    with pytest.raises(QueryError):
        async with db.transaction() as tx:
            await tx.script("INSERT INTO city VALUES (7); INSERT INTO city VALUES (8); INSERT INTO nowhere VALUES (1)")
    assert await db.scalar("SELECT COUNT(*) FROM city WHERE id IN (7, 8)") == 0
    async with db.transaction() as tx:
        await tx.script("INSERT INTO city VALUES (7); INSERT INTO city VALUES (8); -- done")
    assert await db.scalar("SELECT COUNT(*) FROM city WHERE id IN (7, 8)") == 2

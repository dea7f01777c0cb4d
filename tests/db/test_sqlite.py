"""SQLite's own half: files, memory, threads, and what its error names mean."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
import threading

import pytest

from minihttp.db import (
    Database,
    DataError,
    Deadlock,
    IntegrityError,
    LockTimeout,
    QueryError,
    Unavailable,
)
from minihttp.db.sql import Statement
from minihttp.db.sqlite import SQLiteConnector, SQLiteSession, translate
from minihttp.db.url import parse_url

ENDLESS = "WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT COUNT(*) FROM r"


@pytest.fixture
async def db(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/test.db") as db:
        await db.script("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT UNIQUE)")
        yield db


@pytest.fixture(params=["/test.db", ":memory:"])
async def either(request, tmp_path):
    url = "sqlite:///:memory:" if request.param == ":memory:" else f"sqlite:///{tmp_path}/test.db"
    async with Database(url) as db:
        await db.script("CREATE TABLE t (id INTEGER PRIMARY KEY, a INT UNIQUE)")
        yield db


async def test_how_a_file_is_set_up(db):
    assert await db.scalar("PRAGMA journal_mode") == "wal"
    assert await db.scalar("PRAGMA foreign_keys") == 1
    assert await db.scalar("PRAGMA busy_timeout") == 100
    assert await db.scalar("PRAGMA synchronous") == 1


async def test_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with Database("sqlite:///here.db"):
        pass
    assert (tmp_path / "here.db").exists()


@pytest.mark.parametrize("content", [None, b"this is no database" * 100])
async def test_a_file_that_cannot_be_opened(tmp_path, content):
    path = tmp_path / "sub" / "x.db"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    threads = threading.active_count()
    with pytest.raises(Unavailable, match="cannot open the SQLite file") as caught:
        await Database(f"sqlite:///{path}").open()
    assert "\n" not in str(caught.value)
    assert threading.active_count() <= threads + 1  # of asyncio's own pool


async def test_an_open_that_is_cancelled_leaves_no_thread(tmp_path):
    before = workers()
    connector = SQLiteConnector(parse_url(f"sqlite:///{tmp_path}/x.db"))
    for turns in range(4):
        task = asyncio.create_task(connector.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    connector = SQLiteConnector(parse_url(f"sqlite:///{tmp_path}/nowhere/x.db"))
    task = asyncio.create_task(connector.connect())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended(workers() - before)


async def test_the_loop_goes_on_while_a_query_runs(db):
    task = asyncio.create_task(db.scalar(ENDLESS))
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_foreign_keys_and_checks_are_kept(either):
    await either.script(
        "CREATE TABLE u (t INT REFERENCES t (id), n INT NOT NULL, c INT CHECK (c > 0), "
        "d INT DEFAULT 1 CHECK (TYPEOF(d) = 'integer'), e INT); CREATE TABLE s (i INT) STRICT;"
        "CREATE UNIQUE INDEX magnitude ON u (ABS(e))"
    )
    for sql, kind, name in (
        ("INSERT INTO u (t, n) VALUES (9, 1)", "foreign key", None),
        ("INSERT INTO u (t) VALUES (NULL)", "not null", "n"),
        ("INSERT INTO u (n, c) VALUES (1, 0)", "check", "c > 0"),
        ("INSERT INTO u (n, d) VALUES (1, 'x')", "check", "TYPEOF(d) = 'integer'"),
        ("INSERT INTO u (n, e) VALUES (1, 1), (1, -1)", "unique", "magnitude"),
    ):
        with pytest.raises(IntegrityError) as caught:
            await either.execute(sql)
        assert (caught.value.kind, caught.value.constraint) == (kind, name)
    with pytest.raises(DataError):
        await either.execute("INSERT INTO s VALUES ('x')")
    with pytest.raises(QueryError, match="64 bits"):
        await either.execute("INSERT INTO t (id) VALUES (:n)", n=2**63)


async def test_ids_are_told_only_for_rows_that_were_added(either):
    assert (await either.execute("INSERT INTO t (a) VALUES (1)")).last_id == 1
    assert (await either.execute("INSERT OR IGNORE INTO t (a) VALUES (1)")).last_id is None
    assert (await either.execute("DELETE FROM t")).last_id is None
    added = await either.all("INSERT INTO t (a) VALUES (7), (8) RETURNING a")
    assert [row.a for row in added] == [7, 8]
    assert (await either.execute("REPLACE INTO t (id, a) VALUES (40, 9)")).last_id == 40
    assert (await either.execute("/* only a comment */")).rowcount == 0


async def test_a_cancelled_query_leaves_a_usable_connection(either):
    for sql in (ENDLESS, f"INSERT INTO t (a) {ENDLESS}"):
        task = asyncio.create_task(either.scalar(sql))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await either.scalar("SELECT COUNT(*) FROM t") == 0


@pytest.mark.parametrize("turns", range(4))
async def test_a_query_cancelled_before_it_has_begun_is_stopped_too(either, turns):
    for _ in range(10):
        task = asyncio.create_task(either.scalar(ENDLESS))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await either.scalar("SELECT COUNT(*) FROM t") == 0, "in memory, a new connection would be empty"
    assert either.stats.discarded <= 1, "but for the one of the script, each was made clean"


async def test_a_query_that_has_not_begun_does_not_outlive_its_database(tmp_path):
    before = workers()
    for _ in range(10):
        db = Database(f"sqlite:///{tmp_path}/x.db?close_grace=0")
        await db.open()
        session = await db.lease()
        task = asyncio.create_task(session.run(Statement(ENDLESS, "SELECT", True)))
        await asyncio.sleep(0)
        await db.close()
        with pytest.raises(Unavailable):
            await task
    assert ended(workers() - before)


def workers():
    return {each for each in threading.enumerate() if "connection_worker" in each.name}


def ended(threads):
    """Their last act is to tell the loop so."""
    for each in threads:
        each.join(10)
    return not any(each.is_alive() for each in threads)


async def test_memory_is_one_database_for_everybody_and_is_never_lost():
    async with Database("sqlite:///:memory:?acquire_timeout=2") as db:
        await db.script("CREATE TABLE t (id INTEGER PRIMARY KEY); PRAGMA user_version = 3")
        await asyncio.gather(*(db.execute("INSERT INTO t DEFAULT VALUES") for _ in range(50)))
        count = 0
        async for row in db.iterate("SELECT id FROM t"):
            count += await db.scalar("SELECT COUNT(*) FROM t WHERE id = :id", id=row.id)
        assert count == 50
        with pytest.raises(QueryError):
            await anext(db.iterate("SELECT * FROM nowhere"))
        async with db.transaction(read_only=True) as tx:
            assert len([row async for row in tx.iterate("SELECT * FROM t")]) == 50
        await db.execute("INSERT INTO t DEFAULT VALUES")
        assert await db.scalar("PRAGMA user_version") == 3
        assert db.stats.connects == 1
    async with db:
        with pytest.raises(QueryError):
            await db.all("SELECT * FROM t")


async def test_a_read_only_transaction_that_was_cancelled_leaves_no_trace(either):
    task = asyncio.create_task(read_for_ever(either))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await either.execute("INSERT INTO t (a) VALUES (1)")).rowcount == 1


async def read_for_ever(db):
    async with db.transaction(read_only=True) as tx:
        await tx.scalar(ENDLESS)


async def test_an_iteration_cancelled_while_it_begins_interrupts_nobody_else(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/x.db?pool_size=1") as db:
        await db.script("CREATE TABLE t (a INT)")
        await db.execute("INSERT INTO t VALUES " + ", ".join(["(1)"] * 2000))
        gc.disable()  # which would close what is forgotten, some time
        try:
            for turns in [*range(12)] * 5:
                task = asyncio.create_task(anext(db.iterate("SELECT a FROM t")))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                assert await db.scalar("SELECT COUNT(*) FROM t") == 2000
                await db.execute("UPDATE t SET a = 2 WHERE a = 1")
        finally:
            gc.enable()


async def test_an_iteration_that_is_left_holds_no_snapshot(db):
    await db.execute(
        "INSERT INTO t (a) WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT 2000) SELECT i FROM r"
    )
    rows = db.iterate("SELECT * FROM t")
    await anext(rows)
    del rows
    await asyncio.gather(*(db.execute("DELETE FROM t WHERE a = :a", a=a) for a in range(1, 20)))
    assert await db.scalar("SELECT COUNT(*) FROM t") == 1981
    assert await db.scalar("PRAGMA wal_checkpoint(TRUNCATE)") == 0


async def test_settings_do_not_leak_to_the_next_task(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/x.db?pool_size=1") as db:
        await db.execute("PRAGMA foreign_keys = OFF")
        assert await db.scalar("PRAGMA foreign_keys") == 1


async def test_another_writer(tmp_path):
    path = tmp_path / "x.db"
    async with Database(f"sqlite:///{path}?busy_timeout=0.01") as db:
        await db.script("CREATE TABLE t (id INT)")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LockTimeout):
            await db.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(LockTimeout):
            async with db.transaction():
                pass
        assert await db.all("SELECT * FROM t") == []
        other.execute("ROLLBACK")
        other.close()
        await db.execute("INSERT INTO t VALUES (1)")


async def test_a_writer_that_waits_can_be_cancelled_and_closed(tmp_path):
    path = tmp_path / "x.db"
    before = workers()
    async with Database(f"sqlite:///{path}?busy_timeout=600&pool_size=1&close_grace=0") as db:
        await db.script("CREATE TABLE t (id INT)")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            task = asyncio.create_task(db.execute("INSERT INTO t VALUES (1)"))
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await db.scalar("SELECT COUNT(*) FROM t") == 0
        waiting = asyncio.create_task(db.execute("INSERT INTO t VALUES (2)"))
        streaming = asyncio.create_task(anext(db.iterate("INSERT INTO t VALUES (3) RETURNING id")))
        await asyncio.sleep(0.25)  # longer than the thread waits at a time
        assert not waiting.done()
        other.execute("ROLLBACK")
        assert (await waiting).rowcount == 1
        assert (await streaming).id == 3
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(db.execute("INSERT INTO t VALUES (4)"))
        await asyncio.sleep(0.02)
    with pytest.raises(Unavailable):
        await task
    other.close()
    assert ended(workers() - before)


WRITER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
other.execute("INSERT INTO t VALUES (1)")
print("writing", flush=True)
sys.stdin.readline()
other.execute("COMMIT")
"""


async def test_another_process_that_writes_never_stops_the_loop(tmp_path):
    """Held by turns of the loop, not by time: they go on while a statement, a stream and a transaction wait."""
    path = tmp_path / "x.db"
    async with Database(f"sqlite:///{path}?busy_timeout=600") as db:
        await db.script("CREATE TABLE t (id INT)")
        pipe = asyncio.subprocess.PIPE
        writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(path), stdin=pipe, stdout=pipe)
        assert await writer.stdout.readline() == b"writing\n"

        async def in_transaction():
            async with db.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (3)")

        waiting = [
            asyncio.create_task(db.execute("INSERT INTO t VALUES (2)")),
            asyncio.create_task(anext(db.iterate("INSERT INTO t VALUES (4) RETURNING id"))),
            asyncio.create_task(in_transaction()),
        ]
        for turn in range(3000):
            await asyncio.sleep(0)
            if turn % 100 == 0:
                assert await db.all("SELECT * FROM t") == [], "whoever reads does not wait for it either"
        assert not any(task.done() for task in waiting)
        await writer.communicate(b"go on\n")
        await asyncio.gather(*waiting)
        assert sorted([row.id for row in await db.all("SELECT id FROM t")]) == [1, 2, 3, 4]


async def test_closing_ends_a_running_query(tmp_path):
    db = Database(f"sqlite:///{tmp_path}/x.db?close_grace=0.01")
    await db.open()
    task = asyncio.create_task(db.scalar(ENDLESS))
    await asyncio.sleep(0.02)
    await db.close()
    with pytest.raises(Unavailable):
        await task


async def test_a_session_closed_under_its_user(tmp_path):
    session = await SQLiteConnector(parse_url(f"sqlite:///{tmp_path}/x.db")).connect()
    assert isinstance(session, SQLiteSession)
    assert await session.ping()
    await session.close()
    assert not session.is_open
    assert not session.in_transaction
    with pytest.raises(Unavailable, match="closed while it was in use"):
        await session.command("SELECT 1")
    await session.close()


async def test_a_session_is_made_clean_again(either):
    session = await either.lease()
    await session.command("BEGIN")
    await session.run(Statement("INSERT INTO t (a) VALUES (1)", "INSERT", True))
    assert not session.is_clean
    either.give_back(session)
    while either.stats.used:
        await asyncio.sleep(0)
    assert session.is_clean
    assert await either.scalar("SELECT COUNT(*) FROM t") == 0


async def test_an_iteration_that_fails_on_its_way(db):
    await db.execute(
        "INSERT INTO t (a) WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT 600) SELECT i FROM r"
    )
    with pytest.raises(QueryError, match="integer overflow"):
        async for _ in db.iterate("SELECT ABS(-9223372036854775807 - (a = 550)) FROM t"):
            pass
    assert await db.scalar("SELECT COUNT(*) FROM t") == 600


async def test_what_the_driver_cannot_take(db):
    session = await db.lease()
    for run in (session.run, session.stream):
        with pytest.raises(QueryError, match="SQLite cannot take this"):
            await run(Statement("SELECT ?", "SELECT", True), (2**64,))
    db.give_back(session)


def named(name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError("words")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_BUSY", LockTimeout), ("SQLITE_BUSY_SNAPSHOT", Deadlock), ("SQLITE_LOCKED", Deadlock),
        ("SQLITE_TOOBIG", DataError), ("SQLITE_FULL", Unavailable), ("SQLITE_IOERR_WRITE", Unavailable),
        ("SQLITE_INTERRUPT", Unavailable), ("SQLITE_ERROR", QueryError), ("SQLITE_CONSTRAINT_ROWID", IntegrityError),
    ],
)  # fmt: skip
def test_error_names(name, kind):
    error = translate(named(name))
    assert type(error) is kind
    assert error.code == name


def test_an_error_without_a_name():
    assert type(translate(sqlite3.ProgrammingError("wrong number of bindings"))) is QueryError

"""What MariaDB itself may do to a program: kill, refuse, forbid, time out, lock and roll back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from minihttp.db import (
    Database,
    LockTimeout,
    OutcomeUnknown,
    QueryError,
    Unavailable,
)
from tests.support.mariadb import PrivateMariaDB, run_sql

OPTIONS = ("--innodb-lock-wait-timeout=1", "--innodb-snapshot-isolation=OFF")
# Each would run for hours, and can be found in the server's list by its last word.
LONG = "SELECT COUNT(*) FROM seq_1_to_10000000 a, seq_1_to_10000000 b WHERE a.seq * b.seq < 0 AND 'victim' <> ''"
LONG_INSERT = f"INSERT INTO t (id) {LONG}"


@pytest.fixture(scope="module")
def server():
    """One for all tests here, with little patience. Each leaves it as it was."""
    with PrivateMariaDB(options=OPTIONS) as server:
        yield server


@pytest.fixture
def impatient(server):
    """Connections made now are closed by the server after a second without work."""
    run_sql(server.root_url(), "SET GLOBAL wait_timeout = 1")
    yield server
    run_sql(server.root_url(), "SET GLOBAL wait_timeout = 28800")


@pytest.fixture
async def db(server):
    name = server.create_database()
    async with Database(server.url(name) + "?pool_size=4&retry_wait=0.01") as db:
        await db.script("CREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL DEFAULT 0) ENGINE=InnoDB")
        yield db
    server.drop_database(name)


async def ids(db):
    return [row.id for row in await db.all("SELECT id FROM t ORDER BY id")]


def running(server, text):
    """Who runs a statement with this text, as the server sees it, and no longer only prepares it."""
    where = f"WHERE info LIKE '%{text}%' AND id <> CONNECTION_ID() AND time_ms > 30"
    return [row[0] for row in run_sql(server.root_url(), f"SELECT id FROM information_schema.processlist {where}")]


async def runs(server, text):
    """The connection that runs this text, as soon as there is one."""
    async with asyncio.timeout(10):
        while not (found := running(server, text)):
            await asyncio.sleep(0.005)
    return found[0]


async def gone(server, number):
    """Returns when the server has no connection of this number any more."""
    async with asyncio.timeout(10):
        while run_sql(server.root_url(), f"SELECT 1 FROM information_schema.processlist WHERE id = {number}"):
            await asyncio.sleep(0.02)


# ---- wait_timeout


async def test_idle_in_the_pool_for_longer_than_the_server_allows(impatient, server, db):
    number = await db.scalar("SELECT CONNECTION_ID()")
    [idle] = db._open_pool()._idle
    await gone(server, number)
    async with asyncio.timeout(10):
        while idle.connection.is_open:  # the server forgets it a moment before the news is here
            await asyncio.sleep(0.005)
    assert [await db.scalar("SELECT :n", n=n) for n in range(5)] == list(range(5))
    assert db.stats.errors == 0


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "unseen"])
async def test_held_for_longer_than_the_server_allows(impatient, server, db, seen):
    with pytest.raises(Unavailable, match="the transaction was rolled back"):
        async with db.transaction() as tx:
            number = await tx.scalar("SELECT CONNECTION_ID()")
            await tx.execute("INSERT INTO t (id) VALUES (1)")
            await gone(server, number)
            if not seen:  # the loop stands still, and the next statement is sent before the end is read
                run_sql(server.root_url(), "SELECT SLEEP(0.05)")
            await tx.execute("INSERT INTO t (id) VALUES (2)")
    with pytest.raises((Unavailable, OutcomeUnknown)):
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO t (id) VALUES (3)")
            await gone(server, await tx.scalar("SELECT CONNECTION_ID()"))
    assert await ids(db) == []


# ---- KILL


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        (LONG, Unavailable),
        (LONG_INSERT, OutcomeUnknown),
    ],
)
async def test_a_connection_killed_from_outside(server, db, sql, error):
    task = asyncio.create_task(db.execute(sql))
    run_sql(server.root_url(), f"KILL {await runs(server, 'victim')}")
    with pytest.raises(error, match="lost"):
        await task
    assert await db.scalar("SELECT 1") == 1
    assert await ids(db) == []


async def test_a_connection_killed_in_a_transaction(server, db):
    with pytest.raises(Unavailable, match="the transaction was rolled back"):
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO t (id) VALUES (1)")
            task = asyncio.create_task(runs(server, "victim"))
            task.add_done_callback(lambda task: run_sql(server.root_url(), f"KILL {task.result()}"))
            await tx.execute(LONG_INSERT)
    assert await ids(db) == []


async def test_a_query_killed_from_outside_costs_no_connection(server, db):
    await db.scalar("SELECT 1")
    for sql in (LONG, LONG_INSERT):
        discarded = db.stats.discarded
        task = asyncio.create_task(db.execute(sql))
        run_sql(server.root_url(), f"KILL QUERY {await runs(server, 'victim')}")
        with pytest.raises(Unavailable, match="interrupted") as caught:
            await task
        assert caught.value.code == 1317
        assert db.stats.discarded == discarded
    assert await ids(db) == []


async def test_a_query_killed_in_a_transaction_rolls_it_back(server, db):
    with pytest.raises(Unavailable, match="is over because of an earlier error"):
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO t (id) VALUES (1)")
            task = asyncio.create_task(runs(server, "victim"))
            task.add_done_callback(lambda task: run_sql(server.root_url(), f"KILL QUERY {task.result()}"))
            with pytest.raises(Unavailable):
                await tx.execute(LONG_INSERT)
    assert await ids(db) == []


async def test_a_commit_that_is_killed_while_it_waits(server, db):
    """Behind a global lock a COMMIT waits, and can be killed: whoever sent it cannot know what became of it."""
    run = asyncio.Event()

    async def commit():
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO t (id) VALUES (1)")
            run.set()
            await asyncio.sleep(0.1)

    task = asyncio.create_task(commit())
    await run.wait()
    async with Database(server.root_url() + "?pool_size=1") as root:
        session = await root.lease()
        await session.command("FLUSH TABLES WITH READ LOCK")
        number = await runs(server, "COMMIT")
        run_sql(server.root_url(), f"KILL {number}")
        with pytest.raises(OutcomeUnknown, match="during COMMIT"):
            await task
        await session.command("UNLOCK TABLES")
        root.give_back(session)
    assert await db.scalar("SELECT 1") == 1


# ---- a server that refuses


async def test_a_server_that_only_reads(server, db):
    run_sql(server.root_url(), "SET GLOBAL read_only = 1")
    try:
        for change in (
            db.execute("INSERT INTO t (id) VALUES (1)"),
            in_transaction(db, "INSERT INTO t (id) VALUES (1)"),
        ):
            with pytest.raises(
                Unavailable, match="if it is a replica, give the URL of the server that is written to"
            ) as it:
                await change
            assert (it.value.code, it.value.http_status) == (1290, 503)
        assert await ids(db) == []
    finally:
        run_sql(server.root_url(), "SET GLOBAL read_only = 0")
    await db.execute("INSERT INTO t (id) VALUES (2)")
    assert await ids(db) == [2]


async def in_transaction(db, sql):
    async with db.transaction() as tx:
        await tx.execute(sql)


async def test_writing_in_a_transaction_that_only_reads(server, db):
    async with db.transaction(read_only=True) as tx:
        with pytest.raises(QueryError, match="begin it without read_only=True") as caught:
            await tx.execute("INSERT INTO t (id) VALUES (1)")
        assert caught.value.code == 1792
        assert await tx.scalar("SELECT 1") == 1


async def test_no_room_for_another_connection(server, db):
    allowed = run_sql(server.root_url(), "SELECT @@max_connections")[0][0]
    others = await db.scalar("SELECT COUNT(*) FROM information_schema.processlist WHERE command <> 'Daemon'")
    run_sql(server.root_url(), f"SET GLOBAL max_connections = {max(10, others + 2)}")
    try:
        async with Database(server.url() + "?pool_size=100&retry_wait=0.02&acquire_timeout=60") as many:
            # More work than there is room for connections: it waits for those that there are.
            answers = await asyncio.gather(*(many.scalar("SELECT :n + SLEEP(0.01)", n=n) for n in range(200)))
            assert answers == list(range(200))
            assert many.stats.errors > 0
            assert many.stats.size < 100
        async with AsyncExitStack() as stack:
            with pytest.raises(Unavailable, match="too many connections: lower pool_size or raise") as caught:
                for _ in range(40):
                    await stack.enter_async_context(Database(server.url()))
        assert caught.value.code == 1040
        async with Database(server.url()) as again:
            assert await again.scalar("SELECT 1") == 1
    finally:
        run_sql(server.root_url(), f"SET GLOBAL max_connections = {allowed}")


# ---- locks


async def test_a_lock_that_is_not_granted_in_time_rolls_the_whole_back(server, db):
    await db.execute("INSERT INTO t (id) VALUES (1), (2)")
    async with db.transaction() as first:
        await first.execute("UPDATE t SET a = 1 WHERE id = 1")

        async def second():
            async with db.transaction() as tx:
                await tx.execute("UPDATE t SET a = 2 WHERE id = 2")
                with pytest.raises(LockTimeout) as caught:
                    await tx.execute("UPDATE t SET a = 2 WHERE id = 1")
                assert (caught.value.code, caught.value.retryable, caught.value.http_status) == (1205, True, 503)
                # The server itself keeps the transaction and its first half; here nothing more is run in it.
                await tx.execute("UPDATE t SET a = 3 WHERE id = 2")

        with pytest.raises(LockTimeout, match="is over because of an earlier error"):
            await asyncio.create_task(second())
        await first.execute("UPDATE t SET a = 1 WHERE id = 2")  # no lock of the second is left
    assert [row.a for row in await db.all("SELECT a FROM t")] == [1, 1]


async def test_retry_runs_again_after_a_lock_timeout(server, db):
    await db.execute("INSERT INTO t (id) VALUES (1)")
    tries = []
    holding = await db.lease()
    await holding.begin(None, False)
    await holding.command("UPDATE t SET a = 1")

    async def change(tx):
        tries.append(1)
        if len(tries) == 2:
            await holding.end("COMMIT")
        await tx.execute("UPDATE t SET a = a + 10")

    await db.retry(change)
    db.give_back(holding)
    assert len(tries) == 2
    assert await db.scalar("SELECT a FROM t") == 11


async def test_a_deadlock_chooses_one_and_retry_makes_it_good(server, db):
    await db.execute("INSERT INTO t (id) VALUES (1), (2)")
    meet = asyncio.Barrier(2)
    tries = []

    async def cross(tx, first, second):
        tries.append(first)
        await tx.execute("UPDATE t SET a = a + 1 WHERE id = :id", id=first)
        if len(tries) <= 2:
            await meet.wait()
        await tx.execute("UPDATE t SET a = a + 1 WHERE id = :id", id=second)

    await asyncio.gather(db.retry(cross, 1, 2), db.retry(cross, 2, 1))
    assert len(tries) == 3
    assert [row.a for row in await db.all("SELECT a FROM t")] == [2, 2]
    tries.clear()
    results = await asyncio.gather(whole(db, cross, 1, 2), whole(db, cross, 2, 1), return_exceptions=True)
    assert sorted(type(each).__name__ for each in results) == ["Deadlock", "NoneType"]
    assert [row.a for row in await db.all("SELECT a FROM t")] == [3, 3]


async def whole(db, work, *arguments):
    async with db.transaction() as tx:
        await work(tx, *arguments)


# ---- isolation


async def test_isolation_levels_are_those_that_were_asked_for(db):
    """What a transaction sees of another's change before and after its COMMIT, and what it keeps others from."""
    await db.execute("INSERT INTO t (id) VALUES (1)")
    seen = {}
    for level in ("read uncommitted", "read committed", "repeatable read", None):
        await db.execute("UPDATE t SET a = 0")
        other = await db.lease()
        async with db.transaction(isolation=level) as tx:
            await tx.scalar("SELECT a FROM t")
            await other.begin(None, False)
            await other.command("UPDATE t SET a = 1")
            before = await tx.scalar("SELECT a FROM t")
            await other.end("COMMIT")
            seen[level] = before, await tx.scalar("SELECT a FROM t")
        db.give_back(other)
    assert seen == {
        "read uncommitted": (1, 1), "read committed": (0, 1), "repeatable read": (0, 0), None: (0, 0),
    }  # fmt: skip
    other = await db.lease()
    async with db.transaction(isolation="serializable") as tx:
        await tx.scalar("SELECT a FROM t")  # which takes a lock, on this level
        with pytest.raises(LockTimeout):
            await other.command("UPDATE t SET a = 2")
    db.give_back(other)

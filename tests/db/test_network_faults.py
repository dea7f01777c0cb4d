"""What a program sees of a network that cuts, resets, delays and falls silent between it and MySQL."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from minihttp.db import Database, DatabaseError, OutcomeUnknown, Timeout, Unavailable
from minihttp.db import pool as pool_module
from tests.db.proxy import Proxy
from tests.support.mariadb import run_sql

OPEN = Path("/dev/fd")  # this process's descriptors
SLICES = 9  # of what is too long to be cut at every byte


@pytest.fixture
async def proxy(mysql_url):
    async with Proxy.before(mysql_url) as proxy:
        yield proxy


@pytest.fixture
async def direct(mysql_url):
    """The same database without the proxy, to see what has happened."""
    async with Database(mysql_url) as direct:
        await direct.script("CREATE TABLE t (id INT PRIMARY KEY, text VARCHAR(50)) ENGINE=InnoDB")
        yield direct


@pytest.fixture
async def db(proxy, direct, mysql_url):
    async with Database(proxy.url(mysql_url) + "?pool_size=1&retry_wait=0.01&connect_timeout=2") as db:
        yield db


async def sizes(db, proxy, work) -> tuple[int, int]:
    """How many bytes the work sends and gets, on a connection that has done it before."""
    await work()
    before = dict(proxy.passed)
    await work()
    return proxy.passed["request"] - before["request"], proxy.passed["answer"] - before["answer"]


async def recovers(db) -> None:
    assert await db.scalar("SELECT 40 + :two", two=2) == 42
    assert db.stats.used == db.stats.waiters == 0


async def ids(db) -> list[int]:
    return [row.id for row in await db.all("SELECT id FROM t ORDER BY id")]


def some(total: int) -> list[int]:
    """Places in a message: its first and last bytes, and some between."""
    return sorted({0, 1, 4, total - 1, *range(0, total, max(1, total // SLICES))})


@pytest.mark.parametrize("kind", ["cut", "reset"])
@pytest.mark.parametrize("way", ["request", "answer"])
async def test_a_query_cut_at_every_byte(db, proxy, way, kind):
    async def ask():
        return await db.scalar("SELECT :text", text="北京 🙂")

    total = (await sizes(db, proxy, ask))[way == "answer"]
    for place in range(total) if kind == "cut" else some(total):
        assert await ask() == "北京 🙂"
        proxy.fail(way, place, kind)
        with pytest.raises(Unavailable, match="nothing was changed") as caught:
            await ask()
        assert (caught.value.http_status, caught.value.retry_after) == (503, 1)
        await recovers(db)


@pytest.mark.parametrize("options", ["", "&statement_cache=0"], ids=["prepared", "text"])
async def test_the_first_use_of_a_statement_cut_at_every_byte(proxy, direct, mysql_url, options):
    """Prepared or as text: nothing was changed, or it is said that this is not known."""
    url = proxy.url(mysql_url) + "?pool_size=1&retry_wait=0.01" + options
    async with Database(url) as db:

        async def insert(number):
            # A text of its own each time, so that each is prepared.
            return await db.execute(f"INSERT INTO t VALUES (:id, '{number:06}')", id=number)

        await insert(100_000)
        before = proxy.passed["answer"]
        await insert(100_001)
        answers = proxy.passed["answer"] - before
        told = set()
        for place in range(answers):
            await recovers(db)
            proxy.fail("answer", place, "cut")
            with pytest.raises((Unavailable, OutcomeUnknown)) as caught:
                await insert(place)
            told.add(type(caught.value))
            await recovers(db)
            there = await direct.scalar("SELECT COUNT(*) FROM t WHERE id = :id", id=place)
            assert there == (type(caught.value) is OutcomeUnknown)
        assert told == ({OutcomeUnknown} if options else {Unavailable, OutcomeUnknown})


async def test_a_change_cut_at_every_byte(db, proxy, direct):
    numbers = iter(range(1_000_000))

    async def insert():
        number = next(numbers)
        await db.execute("INSERT INTO t VALUES (:id, 'x')", id=number)

    request, answer = await sizes(db, proxy, insert)
    await recovers(db)
    cuts = [("request", place, kind) for place in range(request) for kind in ("cut",)]
    cuts += [("answer", place, kind) for place in range(answer) for kind in ("cut", "reset")]
    for way, place, kind in cuts:
        await insert()
        known = await ids(direct)
        proxy.fail(way, place, kind)
        with pytest.raises(OutcomeUnknown, match="during INSERT: it may have been done or not") as caught:
            await insert()
        assert not hasattr(caught.value, "retry_after"), "nobody should just try again"
        await recovers(db)
        assert len(await ids(direct)) - len(known) == (way == "answer")


@pytest.mark.parametrize("way", ["request", "answer"])
async def test_a_transaction_cut_before_its_end_never_was(db, proxy, direct, way):
    async def work(tx, fault=None):
        await tx.execute("INSERT INTO t VALUES (1, 'x')")
        if fault:
            proxy.fail(*fault)
        await tx.execute("INSERT INTO t VALUES (2, 'y')")

    async with db.transaction() as tx:
        await work(tx)
    await direct.execute("DELETE FROM t")
    for place in range(12):
        with pytest.raises(Unavailable, match="the transaction was rolled back"):
            async with db.transaction() as tx:
                await work(tx, (way, place, "cut"))
        await recovers(db)
        assert await ids(direct) == []
        with pytest.raises(Unavailable):  # the same, for one whose error was caught inside
            async with db.transaction() as tx:
                with pytest.raises(Unavailable):
                    await work(tx, (way, place, "reset"))
        await recovers(db)
        assert await ids(direct) == []


@pytest.mark.parametrize("way", ["request", "answer"])
async def test_a_beginning_that_is_cut_changed_nothing(db, proxy, way):
    for isolation in (None, "serializable"):
        for place in range(7):
            await recovers(db)
            proxy.fail(way, place, "cut")
            with pytest.raises(Unavailable, match="nothing was changed"):
                await db.transaction(isolation=isolation).__aenter__()
            await recovers(db)


async def test_what_the_network_cuts_off_asks_for_no_side_connection(own_mariadb):
    """In an outage, one for each query that is lost would come on top of those that try whether it is over."""
    server = own_mariadb()
    async with Proxy.before(server.url()) as proxy, Database(proxy.url(server.url())) as db:
        task = asyncio.create_task(db.scalar("SELECT SLEEP(60)"))
        rows = db.iterate("SELECT REPEAT('x', 1000) FROM seq_1_to_100000")
        await anext(rows)
        while not run_sql(server.root_url(), "SELECT 1 FROM information_schema.processlist WHERE state = 'User sleep'"):
            await asyncio.sleep(0.01)
        count = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'CONNECTIONS'"
        [(before,)] = run_sql(server.root_url(), count)
        proxy.cut_all()
        for read in (task, read_on(rows)):
            with pytest.raises(Unavailable):
                await read
        while pending := db._pool._background:  # whatever closing has to do is done
            await asyncio.wait(pending)
        [(after,)] = run_sql(server.root_url(), count)
        assert int(after) - int(before) == 1, "but for the one that asks this"


async def read_on(rows):
    async for _ in rows:
        pass


@pytest.mark.parametrize("run", ["transaction", "retry"])
async def test_a_commit_cut_at_every_byte_is_in_doubt(db, proxy, direct, run):
    runs = []

    async def work(tx, number, fault=None):
        runs.append(number)
        await tx.execute("INSERT INTO t VALUES (:id, 'x')", id=number)
        if fault:
            proxy.fail(*fault)

    async def whole(number, fault=None):
        if run == "retry":
            return await db.retry(work, number, fault)
        async with db.transaction() as tx:
            return await work(tx, number, fault)

    await whole(1000)
    faults = [(way, place, kind) for way in ("request", "answer") for kind in ("cut", "reset") for place in range(11)]
    for number, fault in enumerate(faults):
        with pytest.raises(OutcomeUnknown, match="during COMMIT: the transaction may be committed or not"):
            await whole(number, fault)
        await recovers(db)
        assert (number in await ids(direct)) == (fault[0] == "answer")
    assert len(runs) == len(set(runs)), "what may be committed is not run again"


@pytest.mark.parametrize("values", [{}, {"most": 3000}], ids=["plain", "values"])
async def test_a_stream_cut_on_its_way(db, proxy, direct, values):
    await direct.script("INSERT INTO t SELECT seq, REPEAT('北', 10) FROM seq_1_to_3000")
    condition = "id <= :most" if values else "1 = 1"
    sql = f"SELECT id, text FROM t WHERE {condition} ORDER BY id"

    async def read():
        found = []
        try:
            async for row in db.iterate(sql, values):
                found.append(row.id)
                assert row.text == "北" * 10
        finally:
            assert found == list(range(1, len(found) + 1))
        return len(found)

    assert await read() == 3000
    before = proxy.passed["answer"]
    assert await read() == 3000
    total = proxy.passed["answer"] - before
    for place in some(total):
        proxy.fail("answer", place, "cut")
        with pytest.raises(Unavailable, match="lost; nothing was changed"):
            await read()
        await recovers(db)
    assert await read() == 3000


@pytest.mark.parametrize("count", [3, 700])
async def test_a_stream_whose_database_is_closed_under_it(proxy, direct, mysql_url, count):
    """What had arrived can still be read; then it is at its end, or says that it was cut."""
    db = Database(proxy.url(mysql_url) + "?close_grace=0")
    await db.open()
    rows = db.iterate(f"SELECT seq FROM seq_1_to_{count}")
    found = [(await anext(rows)).seq]
    await db.close()
    with suppress(Unavailable):
        found += [row.seq async for row in rows]
    assert found == list(range(1, len(found) + 1))
    assert len(found) in (3, 500, 700)


async def test_a_stream_of_changes_that_is_cut_is_in_doubt(db, proxy, direct):
    sql = "INSERT INTO t SELECT seq, REPEAT('x', 50) FROM seq_1_to_3000 RETURNING id, text"
    proxy.fail("answer", 150_000, "cut")  # the first rows have come by then
    with pytest.raises(OutcomeUnknown, match="during INSERT"):
        async for _ in db.iterate(sql):
            pass
    await recovers(db)


# ---- peers that say nothing


@pytest.mark.parametrize("way", ["request", "answer"])
@pytest.mark.parametrize("place", [0, 1, 8])
async def test_silence_ends_with_the_deadline(db, proxy, direct, way, place):
    await db.execute("INSERT INTO t VALUES (1, 'x')")
    proxy.fail(way, place, "silence")
    with pytest.raises(Timeout):
        async with db.within(0.1):
            await db.scalar("SELECT :a", a=1)
    await recovers(db)
    proxy.fail(way, place, "silence")
    with pytest.raises(Timeout, match="whether it was done is unknown"):
        async with db.within(0.1):
            await db.execute("INSERT INTO t VALUES (2, 'x')")
    await recovers(db)
    with pytest.raises(OutcomeUnknown, match="COMMIT was not answered in time"):
        async with db.within(0.1), db.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (3, 'x')")
            proxy.fail(way, place, "silence")
    await recovers(db)
    proxy.fail(way, place, "silence")
    with pytest.raises(Timeout):
        async with db.within(0.1):
            await anext(db.iterate("SELECT seq FROM seq_1_to_5000 WHERE seq < :most", most=4000))
    await recovers(db)


async def test_what_a_peer_does_not_take_is_not_kept_for_it(db, proxy, direct):
    """Else the rest of a statement would be sent later, after the program was told of a timeout; or never, and kept."""
    sql = "INSERT INTO t SELECT :id, LEFT(:text, 5)"
    await db.execute(sql, id=1, text="x")
    before = len(list(OPEN.iterdir()))
    proxy.fail("request", 100_000, "silence")
    with pytest.raises(Timeout):
        async with db.within(0.1):
            await db.execute(sql, id=2, text="x" * (8 << 20))
    await recovers(db)
    async with asyncio.timeout(10):
        while len(list(OPEN.iterdir())) > before + 2:  # the proxy keeps its two ends of the one that is stuck
            await asyncio.sleep(0.01)
    assert await ids(direct) == [1]


async def login_answers(proxy, url) -> int:
    before = proxy.passed["answer"]
    async with Database(url):
        return proxy.passed["answer"] - before


async def test_a_login_cut_at_every_byte(proxy, mysql_url):
    url = proxy.url(mysql_url) + "?connect_timeout=2"
    for place in range(await login_answers(proxy, url)):
        proxy.fail("answer", place, "cut")
        with pytest.raises(Unavailable, match="the MySQL server at 127") as caught:
            await Database(url).open()
        assert "\n" not in str(caught.value)
    async with Database(url) as db:
        await recovers(db)


async def test_one_timeout_for_connecting_greeting_and_login(proxy, mysql_url):
    total = await login_answers(proxy, proxy.url(mysql_url))
    url = proxy.url(mysql_url) + "?connect_timeout=0.05"
    for place in some(total):
        proxy.fail("answer", place, "silence")
        with pytest.raises(Unavailable, match=r"did not answer within 0\.05 s \(connect_timeout"):
            await Database(url).open()
    proxy.mute = True
    with pytest.raises(Unavailable, match=r"did not answer within 0\.05 s"):
        await Database(url).open()


async def test_a_slow_login_is_one_login(proxy, mysql_url):
    """Each answer comes in time, all of them together do not."""
    proxy.delay = 0.1
    with pytest.raises(Unavailable, match="connect_timeout"):
        await Database(proxy.url(mysql_url) + "?connect_timeout=0.35").open()


async def test_a_connect_that_hangs_delays_nobody_else(proxy, mysql_url):
    async with Database(proxy.url(mysql_url) + "?pool_size=2&connect_timeout=600&acquire_timeout=600") as db:
        session = await db.lease()
        proxy.mute = True
        waiting = asyncio.create_task(db.scalar("SELECT 1"))
        while not db.stats.connecting:
            await asyncio.sleep(0)
        db.give_back(session)
        assert await waiting == 1
        assert await asyncio.gather(*(db.scalar("SELECT 2") for _ in range(20))) == [2] * 20
        assert db.stats.connecting == 1


async def test_back_as_soon_as_the_server_is(proxy, mysql_url, caplog):
    async with Database(proxy.url(mysql_url) + "?pool_size=4&retry_wait=0.05") as db:
        for _ in range(3):
            proxy.stop_listening()
            proxy.cut_all()
            with pytest.raises(DatabaseError):
                await db.scalar("SELECT 1")
            for _ in range(50):  # at once, each: nobody waits for a server that is not there
                with pytest.raises(Unavailable):
                    await db.scalar("SELECT 1")
            await proxy.listen()
            await asyncio.sleep(0.05)  # the longest time between two attempts
            assert await asyncio.gather(*(db.scalar("SELECT 1") for _ in range(20))) == [1] * 20
    assert [record.getMessage() for record in caplog.records].count("the database is back") == 3


async def test_idle_connections_that_a_firewall_forgot(proxy, mysql_url, monkeypatch):
    monkeypatch.setattr(pool_module, "TEST_TIMEOUT", 0.1)
    async with Database(proxy.url(mysql_url) + "?pool_size=2&check_idle=0") as db:
        first = await db.scalar("SELECT CONNECTION_ID()")
        assert await db.scalar("SELECT CONNECTION_ID()") == first
        proxy.links[0].silent = True
        assert await db.scalar("SELECT CONNECTION_ID()") != first
        assert db.stats.discarded == 1


@pytest.mark.parametrize("stage", ["connecting", "query", "stream", "transaction", "restoring"])
async def test_closing_never_hangs_on_a_silent_server(proxy, direct, mysql_url, stage, monkeypatch):
    monkeypatch.setattr(pool_module, "TEST_TIMEOUT", 600)
    monkeypatch.setattr(pool_module, "CLOSE_TIMEOUT", 0.1)
    monkeypatch.setattr("minihttp.db.connection.CLOSE_TIMEOUT", 0.1)
    db = Database(proxy.url(mysql_url) + "?pool_size=2&close_grace=0.05&connect_timeout=600&query_timeout=0")
    await db.open()
    tasks = []
    if stage == "connecting":
        await db.lease()
        proxy.mute = True
        tasks = [asyncio.create_task(db.scalar("SELECT 1"))]
        while not db.stats.connecting:
            await asyncio.sleep(0)
    elif stage == "query":
        proxy.fail("answer", 0, "silence")
        tasks = [asyncio.create_task(db.scalar("SELECT 1"))]
        await proxy.struck()
    elif stage == "stream":
        rows = db.iterate("SELECT REPEAT('x', 1000) FROM seq_1_to_100000")
        await anext(rows)
        proxy.links[0].silent = True
    elif stage == "transaction":
        tx = db.transaction()
        await tx.__aenter__()
        proxy.links[0].silent = True
    else:
        session = await db.lease()
        await session.begin(None, False)
        proxy.links[0].silent = True
        db.give_back(session)
    async with asyncio.timeout(5):
        await db.close()
        for task in tasks:
            with pytest.raises(Unavailable):
                await task
        if stage == "transaction":
            with pytest.raises(Unavailable):
                await tx.__aexit__(None, None, None)

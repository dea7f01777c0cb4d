"""Rows of 32 MiB, and results larger than memory should hold: read to the end, slowly, left and cancelled half way."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from contextlib import contextmanager

import pytest

from minihttp.db import Database, DataError, QueryError, Timeout

ROWS = 24_000  # of 1,000 bytes each
FEW = 4 << 20  # bytes: what reading them may cost, a sixth of what they are
NUMBERS = {
    "mysql": "SELECT seq AS n, REPEAT('x', 1000) AS text FROM seq_1_to_24000 WHERE seq <= :most",
    "sqlite": "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < :most) "
    "SELECT n, HEX(ZEROBLOB(500)) AS text FROM r",
}


@contextmanager
def in_little_memory():
    """Fails where more than FEW bytes were held at any time inside."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < FEW


@pytest.fixture
async def db(database_url):
    async with Database(database_url + "?pool_size=2") as db:
        yield db


@pytest.mark.parametrize("values", [True, False], ids=["values", "plain"])
async def test_a_large_result_is_read_in_little_memory(db, values):
    sql, most = NUMBERS[db.engine], {"most": ROWS}
    if not values:
        sql, most = sql.replace(":most", str(ROWS)), {}
    with in_little_memory():
        count = 0
        async for row in db.iterate(sql, most):
            count += 1
            assert (row.n, len(row.text)) == (count, 1000)
    assert count == ROWS
    assert db.stats.used == 0


async def test_a_slow_reader_has_little_in_memory(db):
    """The loop turns often, and the server would send: what is read is still only what was asked for."""
    with in_little_memory():
        rows = db.iterate(NUMBERS[db.engine], most=ROWS)
        first = await anext(rows)
        for number in range(200):
            assert await db.scalar("SELECT :n", n=number) == number
        seen = [first.n] + [row.n async for row in rows]
    assert seen == list(range(1, ROWS + 1))


async def test_a_large_result_left_half_way(db):
    with in_little_memory():
        for _ in range(5):
            async for row in db.iterate(NUMBERS[db.engine], most=ROWS):
                if row.n == 700:
                    break
            assert await db.scalar("SELECT 1") == 1


async def test_a_large_result_cancelled_half_way(db):
    async def read(reached):
        async for row in db.iterate(NUMBERS[db.engine], most=ROWS):
            if row.n == 700:
                reached.set()

    with in_little_memory():
        for _ in range(5):
            reached = asyncio.Event()
            task = asyncio.create_task(read(reached))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await db.scalar("SELECT 1") == 1
    while db.stats.used:
        await asyncio.sleep(0)


# ---- what is over is not kept until the garbage collector comes by

ENDLESS = {
    "mysql": "SELECT SLEEP(60), LENGTH(:value)",
    "sqlite": "WITH RECURSIVE r (n) AS (SELECT LENGTH(:value) UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r",
}


async def wrong(db, value):
    with pytest.raises(QueryError):
        await db.all("SELECT :value FROM nowhere", value=value)


async def late(db, value):
    async with db.within(0.01):
        with pytest.raises(Timeout):
            await db.all(ENDLESS[db.engine], value=value)


async def late_in_a_transaction(db, value):
    with pytest.raises(Timeout):
        async with db.transaction() as tx, db.within(0.01):
            await tx.all(ENDLESS[db.engine], value=value)


async def cancelled(db, value):
    task = asyncio.create_task(db.all(ENDLESS[db.engine], value=value))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def left(db, value):
    async for _ in db.iterate(NUMBERS[db.engine], most=ROWS):
        break


@pytest.mark.parametrize("way", [wrong, late, late_in_a_transaction, cancelled, left])
async def test_what_ended_badly_holds_no_memory(db, way):
    gc.disable()
    try:
        await way(db, "")
        with in_little_memory():
            for letter in "abcdefghijklmnopqrstuvwxyz":
                await way(db, letter * (FEW // 16))
                while db.stats.used:
                    await asyncio.sleep(0)
    finally:
        gc.enable()


async def test_rows_of_32_mib(own_mariadb):
    server = own_mariadb(options=("--max-allowed-packet=33M",))
    size = 32 << 20
    async with Database(server.url()) as db:
        text = await db.scalar("SELECT :text", text="y" * size)
        assert (len(text), text[-1]) == (size, "y")
        sql = "SELECT REPEAT('x', :n) UNION ALL SELECT 'y' UNION ALL SELECT REPEAT('z', :n)"
        found = [(len(row[0]), row[0][-1]) async for row in db.iterate(sql, n=size)]
        assert found == [(size, "x"), (1, "y"), (size, "z")]
        with pytest.raises(DataError, match="max_allowed_packet"):
            await db.scalar("SELECT LENGTH(:text)", text="x" * (34 << 20))
        assert await db.scalar("SELECT 1") == 1
    async with Database(server.url() + "?statement_cache=0") as db:
        text = await db.scalar("SELECT REPEAT('x', :n)", n=size)
        assert (len(text), text[-1]) == (size, "x")

"""The pool on connections that obey the test: order, limits, cancellation, outages, closing."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from contextlib import asynccontextmanager
from math import inf

import pytest

from minihttp import waits
from minihttp.db.errors import DatabaseError, Timeout, Unavailable, UsageError
from minihttp.db.pool import Pool
from minihttp.db.url import PoolOptions
from tests.db.fakes import FakeConnector


@asynccontextmanager
async def a_pool(connector=None, **options):
    pool = Pool(connector or FakeConnector(), PoolOptions(**options))
    try:
        yield pool
    finally:
        await pool.close(0)


async def turns(count: int = 20) -> None:
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def finished(*tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_connections_are_reused_last_in_first_out():
    async with a_pool() as pool:
        first, second = await pool.acquire(), await pool.acquire()
        pool.release(first)
        pool.release(second)
        assert await pool.acquire() is second
        assert await pool.acquire() is first
        assert pool.stats.connects == 2


async def test_never_more_than_its_size_and_waiters_in_order():
    async with a_pool(pool_size=2) as pool:
        held = [await pool.acquire(), await pool.acquire()]
        order = []

        async def use(number):
            connection = await pool.acquire()
            order.append((number, connection))
            pool.release(connection)

        tasks = [asyncio.create_task(use(number)) for number in range(3)]
        await turns()
        assert (pool.stats.size, pool.stats.waiters) == (2, 3)
        pool.release(held[0])
        await finished(*tasks)
        assert order == [(0, held[0]), (1, held[0]), (2, held[0])]
        assert pool.stats.connects == 2


async def test_a_released_connection_goes_to_the_waiter_and_not_to_a_late_comer():
    async with a_pool(pool_size=1) as pool:
        held = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await turns()
        pool.release(held)
        late = asyncio.create_task(pool.acquire())
        await turns()
        assert waiting.result() is held
        assert not late.done()
        pool.release(held)
        assert await late is held


async def test_waiting_too_long_says_who_holds_the_connections():
    async with a_pool(pool_size=1, acquire_timeout=0.01) as pool:

        async def hold():
            connection = await pool.acquire()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                pool.release(connection)

        holder = asyncio.create_task(hold(), name="GET /report")
        await turns()
        with pytest.raises(Timeout, match=r"0\.01 s: 1 of 1 .*; GET /report \(at .*test_pool\.py:\d+\) has held"):
            await pool.acquire()
        assert (pool.stats.timeouts, pool.stats.waiters) == (1, 0)
        holder.cancel()
        await finished(holder)


async def test_waiting_too_long_for_a_connect():
    connector = FakeConnector()
    connector.gate = asyncio.Event()
    async with a_pool(connector, acquire_timeout=0.01) as pool:
        with pytest.raises(Timeout, match="0 of 8 are in use, 1 are being made"):
            await pool.acquire()


async def test_the_queue_has_an_end():
    async with a_pool(pool_size=1, queue=2) as pool:
        held = await pool.acquire()
        tasks = [asyncio.create_task(pool.acquire()) for _ in range(3)]
        await turns()
        with pytest.raises(Unavailable, match="2 tasks wait for a database connection already"):
            await tasks[2]
        for task in tasks[:2]:
            pool.release(held)
            assert await task is held


async def test_connects_run_in_parallel_up_to_a_cap_and_block_nobody():
    connector = FakeConnector()
    async with a_pool(connector, pool_size=20) as pool:
        held = await pool.acquire()
        connector.gate = asyncio.Event()
        tasks = [asyncio.create_task(pool.acquire()) for _ in range(10)]
        await turns()
        assert connector.running == 4
        pool.release(held)  # a free connection is handed over while four connects hang
        await turns()
        assert tasks[0].result() is held
        connector.gate.set()
        await finished(*tasks)
        assert connector.most_running == 4


async def test_a_connect_that_hangs_ends_after_connect_timeout():
    connector = FakeConnector()
    connector.gate = asyncio.Event()
    async with a_pool(connector, connect_timeout=0.01) as pool:
        with pytest.raises(Unavailable, match=r"the fake server did not answer within 0\.01 s"):
            await pool.acquire()
        assert connector.running == 0


async def test_a_cancelled_waiter_leaves_no_trace():
    async with a_pool(pool_size=1) as pool:
        held = await pool.acquire()
        task = asyncio.create_task(pool.acquire())
        await turns()
        task.cancel()
        await finished(task)
        assert pool.stats.waiters == 0
        pool.release(held)
        assert pool.stats.idle == 1


async def test_a_waiter_cancelled_in_the_step_of_its_grant_passes_the_connection_on():
    async with a_pool(pool_size=1) as pool:
        held = await pool.acquire()
        first, second = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
        await turns()
        pool.release(held)  # granted to `first`, which has not run yet
        first.cancel()
        await turns()
        assert first.cancelled()
        assert await second is held


async def test_a_waiter_cancelled_in_the_step_of_its_refusal():
    async with a_pool(pool_size=1) as pool:
        await pool.acquire()
        task = asyncio.create_task(pool.acquire())
        await turns()
        closing = asyncio.create_task(pool.close(0))
        await asyncio.sleep(0)
        task.cancel()
        await finished(task, closing)
        assert task.cancelled()


async def test_random_cancellations_lose_nothing():
    choose = random.Random(7)
    connector = FakeConnector()
    async with a_pool(connector, pool_size=3) as pool:

        async def use():
            connection = await pool.acquire()
            try:
                for _ in range(choose.randrange(4)):
                    await asyncio.sleep(0)
                if choose.random() < 0.1:
                    connection.is_open = False
                if choose.random() < 0.1:
                    connection.is_clean = False
            finally:
                pool.release(connection)

        for _ in range(300):
            tasks = [asyncio.create_task(use()) for _ in range(8)]
            for _ in range(choose.randrange(6)):
                await asyncio.sleep(0)
            for task in tasks:
                if choose.random() < 0.4:
                    task.cancel()
            await finished(*tasks)
            await turns()
            stats = pool.stats
            assert (stats.used, stats.waiters) == (0, 0)
            assert stats.size <= 3
    assert all(not each.is_open for each in connector.made)


async def test_a_closed_connection_is_replaced_for_whoever_waits():
    async with a_pool(pool_size=1) as pool:
        broken = await pool.acquire()
        task = asyncio.create_task(pool.acquire())
        await turns()
        broken.is_open = False
        pool.release(broken)
        fresh = await task
        assert fresh is not broken
        assert (broken.closed, pool.stats.discarded) == (1, 1)


async def test_idle_ones_that_are_dropped_are_counted():
    async with a_pool(pool_size=1) as pool:
        idle = await pool.acquire()
        pool.release(idle)
        idle.is_open = False
        pool.release(await pool.acquire())
        stats = pool.stats
        assert (stats.connects, stats.discarded, stats.idle) == (2, 1, 1)
    assert pool.stats.discarded == 2


async def test_one_that_is_not_clean_is_restored_before_the_next_gets_it():
    async with a_pool(pool_size=1) as pool:
        dirty = await pool.acquire()
        dirty.is_clean = False
        task = asyncio.create_task(pool.acquire())
        await turns()
        pool.release(dirty)
        assert await task is dirty
        assert dirty.is_clean


async def test_one_that_cannot_be_restored_is_replaced():
    async with a_pool(pool_size=1) as pool:
        dirty = await pool.acquire()
        dirty.is_clean = dirty.restores = False
        pool.release(dirty)
        assert pool.stats.used == 1, "it takes its place until it is restored"
        assert await pool.acquire() is not dirty
        assert not dirty.is_open


async def test_a_restore_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr("minihttp.db.pool.TEST_TIMEOUT", 0.01)
    async with a_pool(pool_size=1) as pool:
        dirty = await pool.acquire()
        dirty.is_clean, dirty.hold = False, asyncio.Event()
        pool.release(dirty)
        assert await pool.acquire() is not dirty
        dirty.hold.set()


async def test_a_long_idle_connection_is_tested_first():
    async with a_pool(check_idle=0) as pool:
        first = await pool.acquire()
        pool.release(first)
        assert await pool.acquire() is first
        first.answers = False
        pool.release(first)
        assert await pool.acquire() is not first
        assert pool.stats.used == 1


async def test_tests_of_idle_connections_count_as_waiting():
    """Where a host has gone silent, each would take its time to find that out."""
    connector = FakeConnector()
    async with a_pool(connector, check_idle=0, acquire_timeout=5) as pool:
        idle = [await pool.acquire() for _ in range(3)]
        for each in idle:
            pool.release(each)
            each.hold = asyncio.Event()
        began = pool._loop.time()
        getting = asyncio.create_task(pool.acquire(None, began))
        await turns()
        connector.gate = asyncio.Event()
        idle[-1].answers = False
        idle[-1].hold.set()
        await turns()
        assert [each.closed for each in idle] == [1, 1, 1], "the first has answered for those idle for longer"
        assert list(pool._waiters.values()) == [began + 5]
        connector.gate.set()
        await getting
        for each in idle:
            each.hold.set()


async def test_a_cancelled_test_discards_the_connection():
    async with a_pool(check_idle=0) as pool:
        first = await pool.acquire()
        pool.release(first)
        first.hold = asyncio.Event()
        task = asyncio.create_task(pool.acquire())
        await turns()
        task.cancel()
        await finished(task)
        assert (pool.stats.used, pool.stats.idle, first.is_open) == (0, 0, False)
        first.hold.set()


async def test_old_connections_are_replaced():
    async with a_pool(max_age=0.001) as pool:
        first = await pool.acquire()
        await asyncio.sleep(0.002)
        pool.release(first)
        assert pool.stats.idle == 0
        assert await pool.acquire() is not first


async def test_a_connection_broken_by_the_server_takes_the_idle_ones_with_it():
    async with a_pool() as pool:
        connections = [await pool.acquire() for _ in range(3)]
        pool.release(connections[0])
        pool.release(connections[1])
        connections[2].is_open = False
        pool.release(connections[2], lost=True)
        assert pool.stats.size == 0
        await turns()
        assert [each.closed for each in connections] == [1, 1, 1]


async def test_a_connection_broken_by_the_server_retires_those_in_use_when_they_come_back():
    async with a_pool(check_idle=1000) as pool:
        broken, used, dirty = [await pool.acquire() for _ in range(3)]
        dirty.is_clean = False
        dirty.hold = asyncio.Event()
        pool.release(dirty)
        pool.release(broken, lost=True)
        dirty.hold.set()
        await turns()
        assert used.is_open  # its task may finish
        pool.release(used)
        assert [broken.is_open, used.is_open, dirty.is_open, pool.stats.size] == [False, False, False, 0]


async def test_connections_go_to_one_server_at_a_time():
    connector = FakeConnector()
    connector.origin = "first"
    async with a_pool(connector) as pool:
        used, idle = await pool.acquire(), await pool.acquire()
        other = await pool.acquire()
        pool.release(idle)
        connector.origin = "second"
        other.is_open = False
        pool.release(other)
        assert await pool.acquire() is idle  # the first server is as good as before
        moved = await pool.acquire()
        assert (moved.origin, pool.stats.used) == ("second", 3)
        pool.release(idle)
        pool.release(moved)
        assert (idle.is_open, used.is_open, moved.is_open) == (False, True, True)
        pool.release(used, lost=True)  # what the first server does is nothing to the second
        assert (pool.stats.idle, await pool.acquire()) == (1, moved)


async def test_giving_back_twice_is_an_error():
    async with a_pool() as pool:
        connection = await pool.acquire()
        pool.release(connection)
        with pytest.raises(UsageError, match="given back already"):
            pool.release(connection)


async def test_least_idle_connections_are_made_and_made_again():
    connector = FakeConnector()
    async with a_pool(connector, min_idle=3) as pool:
        await pool.open()
        await turns()
        assert pool.stats.idle == 3
        broken = await pool.acquire()
        broken.is_open = False
        pool.release(broken)
        await turns()
        assert pool.stats.idle == 3


# ---- the server is down


async def test_while_the_server_is_down_everybody_is_told_at_once():
    connector = FakeConnector()
    connector.error = Unavailable("cannot reach it", code=2003)
    async with a_pool(connector, retry_wait=100) as pool:
        results = await finished(*(pool.acquire() for _ in range(5)))
        assert {type(each) for each in results} == {Unavailable}
        assert {str(each) for each in results} == {"cannot reach it"}
        assert len({id(each) for each in results}) == 5
        tried = connector.attempts
        pool._outage.retry_at += 1000
        with pytest.raises(Unavailable, match="cannot reach it") as caught:
            await pool.acquire()
        assert connector.attempts == tried, "nobody knocks before the time is up"
        assert caught.value.retry_after > 900
        assert pool.stats.errors == tried


async def test_after_the_pause_one_asks_and_all_profit():
    connector = FakeConnector()
    connector.error = Unavailable("cannot reach it")
    async with a_pool(connector) as pool:
        await finished(pool.acquire())
        connector.error, connector.gate = None, asyncio.Event()
        pool._outage.retry_at = 0
        tasks = [asyncio.create_task(pool.acquire()) for _ in range(3)]
        await turns()
        assert connector.running == 1
        connector.gate.set()
        results = await finished(*tasks)
        assert len(set(results)) == 3
        assert pool.stats.errors == 1


async def test_a_waiter_behind_a_used_connection_stays_while_new_ones_fail():
    connector = FakeConnector()
    async with a_pool(connector, pool_size=2) as pool:
        held = await pool.acquire()
        connector.error = Unavailable("too many connections")
        task = asyncio.create_task(pool.acquire())
        await turns()
        assert not task.done()
        assert connector.attempts == 2
        pool.release(held)
        assert await task is held


async def test_such_a_waiter_gets_a_new_connection_once_the_server_allows_it():
    connector = FakeConnector()
    async with a_pool(connector, pool_size=2) as pool:
        await pool.acquire()
        connector.error = Unavailable("too many connections")
        task = asyncio.create_task(pool.acquire())
        await turns()
        connector.error = None
        assert await task is connector.made[1], "the timer tries again by itself"


@pytest.mark.parametrize("error", [OSError("boom"), RuntimeError("secret detail")])
async def test_whatever_a_connect_raises_becomes_unavailable(error):
    connector = FakeConnector()
    connector.error = error
    async with a_pool(connector) as pool:
        with pytest.raises(Unavailable, match="cannot connect to the fake server") as caught:
            await pool.acquire()
        assert caught.value.__cause__ is error
        assert "secret" not in str(caught.value)


async def test_opening_fails_with_the_reason_and_leaves_nothing():
    connector = FakeConnector()
    connector.error = DatabaseError("no such database")
    pool = Pool(connector, PoolOptions())
    with pytest.raises(Unavailable, match="no such database"):
        await pool.open()
    with pytest.raises(UsageError, match="is closed here"):
        await pool.acquire()


# ---- closing


async def test_closing_waits_for_running_work():
    pool = Pool(FakeConnector(), PoolOptions())
    used, idle = await pool.acquire(), await pool.acquire()
    pool.release(idle)
    closing = asyncio.create_task(pool.close(10))
    await turns()
    assert not closing.done()
    assert not idle.is_open
    assert used.is_open
    pool.release(used)
    await closing
    assert not used.is_open
    await pool.close()


async def test_closing_does_not_wait_for_ever_and_a_late_release_is_harmless():
    pool = Pool(FakeConnector(), PoolOptions())
    used = await pool.acquire()
    await pool.close(0.01)
    assert not used.is_open
    pool.release(used)
    assert pool.stats.size == 0


async def test_closing_sends_waiters_away_and_stops_connects():
    connector = FakeConnector()
    pool = Pool(connector, PoolOptions())
    connector.gate = asyncio.Event()
    task = asyncio.create_task(pool.acquire())
    await turns()
    await pool.close()
    with pytest.raises(Unavailable, match="being closed"):
        await task
    assert connector.running == 0
    assert pool.stats.size == 0


async def test_closing_stops_the_timer_that_would_try_again():
    connector = FakeConnector()
    pool = Pool(connector, PoolOptions(min_idle=1))
    connector.error = Unavailable("down")
    await finished(pool.acquire())
    assert pool._retry.at < inf
    await pool.close()
    assert pool._retry.at == inf


async def test_a_connection_that_arrives_while_closing_is_closed():
    connector = FakeConnector()
    pool = Pool(connector, PoolOptions())
    held = await pool.acquire()
    dirty = await pool.acquire()
    dirty.is_clean, dirty.hold = False, asyncio.Event()
    pool.release(dirty)
    await turns()
    closing = asyncio.create_task(pool.close(10))
    await turns()
    dirty.hold.set()
    await turns()
    assert not dirty.is_open
    pool.release(held)
    await closing


async def test_a_restore_still_running_when_the_grace_is_over(monkeypatch):
    monkeypatch.setattr("minihttp.db.pool.CLOSE_TIMEOUT", 0.01)
    pool = Pool(FakeConnector(), PoolOptions())
    dirty = await pool.acquire()
    dirty.is_clean, dirty.hold = False, asyncio.Event()
    pool.release(dirty)
    await turns()
    await pool.close(0)
    assert not dirty.is_open
    dirty.hold.set()
    await turns()
    assert pool.stats.size == 0


async def test_a_cancelled_close_still_closes():
    pool = Pool(FakeConnector(), PoolOptions())
    used = await pool.acquire()
    closing = asyncio.create_task(pool.close(10))
    await turns()
    closing.cancel()
    await finished(closing)
    assert not used.is_open


# ---- what others see


async def test_the_pool_can_be_read_as_a_gauge():
    async with a_pool(pool_size=3) as pool:
        await pool.acquire()
        assert pool in waits.gauges
        assert pool.gauge() == {
            "kind": "pool", "name": "the fake server", "limit": 3, "used": 1, "idle": 0, "waiters": 0,
        }  # fmt: skip
    seen = weakref.ref(pool)
    del pool
    gc.collect()
    assert seen() is None, "the registry keeps nothing alive"


async def test_it_knows_who_holds_a_connection_and_for_how_long():
    async with a_pool() as pool:
        task = asyncio.current_task()
        assert pool.held_by(task) is None
        first, second = await pool.acquire(), await pool.acquire()
        pool._used[first].since -= 5
        assert pool.held_by(task) >= 5
        assert pool.held_by(asyncio.ensure_future(turns())) is None
        pool.release(first)
        assert pool.held_by(task) < 5
        pool.release(second)
        assert pool.held_by(task) is None


async def test_a_wait_is_labelled(monkeypatch):
    class Record:
        why = None

    record = Record()
    async with a_pool(pool_size=1) as pool:
        held = await pool.acquire()
        monkeypatch.setattr(waits.current, "record", record)
        task = asyncio.create_task(pool.acquire())
        await turns()
        assert record.why == ("connection", "1/1")
        pool.release(held)
        await task


async def test_the_time_counts_from_when_it_was_given_back_or_out():
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    async with a_pool(pool_size=2, check_idle=0) as pool:
        first, second = await pool.acquire(), await pool.acquire()
        before = loop.time()
        pool.release(first)
        pool.release(second)
        assert all(slot.since >= before for slot in pool._idle)
        second.answers, second.hold = False, asyncio.Event()
        getting = asyncio.create_task(pool.acquire(task))
        await turns()
        before = loop.time()
        second.hold.set()
        third = await getting
        assert third is not first and not first.is_open
        assert pool._used[third].since >= before
        others = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire(task))
        await turns()
        before = loop.time()
        pool.release(others)
        assert await waiting is others
        assert pool._used[others].since >= before
        pool.release(others)
        others.hold, before = None, loop.time()
        assert await pool.acquire() is others
        assert pool._used[others].since >= before

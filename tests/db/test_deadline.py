"""`within`, and the limit that holds without it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf

import pytest

from minihttp.db.deadline import Deadline, Limit
from minihttp.db.errors import Timeout


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def at_once() -> str:
    return "done"


async def run(deadline, work, what="SELECT", **options):
    with Limit(deadline, what, **options):
        return await work()


async def test_in_time():
    deadline = Deadline(10)
    assert await run(deadline, at_once) == "done"
    async with deadline.within(10):
        assert await run(deadline, at_once) == "done"
    deadline.stop()


async def test_no_limit():
    deadline = Deadline(0)
    assert await run(deadline, at_once) == "done"
    assert deadline.alarm.at == inf


async def test_the_default_limit():
    with pytest.raises(Timeout, match=r"query_timeout allows \(0\.01 s\)$"):
        await run(Deadline(0.01), for_ever)
    current = asyncio.current_task()
    assert current is not None and current.cancelling() == 0


async def test_a_write_that_took_too_long_may_be_done():
    with pytest.raises(Timeout, match="whether it was done is unknown"):
        await run(Deadline(0.01), for_ever, "INSERT")


async def test_the_default_can_be_lifted():
    task = asyncio.create_task(run(Deadline(0.001), for_ever, "script", default=False))
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    task.cancel()
    await asyncio.wait([task])


async def test_within_overrules_the_default_and_nests():
    deadline = Deadline(0.001)
    async with deadline.within(10), deadline.within(0.01), deadline.within(60):
        async with asyncio.timeout(5):  # the longer one inside does not prolong it
            with pytest.raises(Timeout, match="`within` allows"):
                await run(deadline, for_ever)
    assert deadline.left == inf


async def test_what_is_too_late_is_not_begun():
    deadline = Deadline(10)
    async with deadline.within(0):
        assert deadline.left <= 0
        with pytest.raises(Timeout, match="before INSERT was begun"):
            await run(deadline, for_ever, "INSERT")
    assert not deadline.running


async def test_tasks_started_inside_inherit_it():
    deadline = Deadline(10)
    async with deadline.within(0.01):
        task = asyncio.create_task(run(deadline, for_ever))
    with pytest.raises(Timeout):
        await task


async def test_a_timeout_of_the_work_itself_is_not_ours():
    async def own() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        await run(Deadline(10), own)
    assert not isinstance(caught.value, Timeout)


# ---- one alarm for all


async def test_a_shorter_limit_rings_first_and_the_longer_ones_go_on():
    deadline = Deadline(10)
    long = [asyncio.create_task(run(deadline, for_ever)) for _ in range(3)]
    await asyncio.sleep(0)
    async with deadline.within(0.02), deadline.within(0.01):
        with pytest.raises(Timeout):
            await run(deadline, for_ever)
    assert len(deadline.running) == 3
    assert asyncio.get_running_loop().time() + 5 < deadline.alarm.at < inf, "it rings for the others next"
    for task in long:
        task.cancel()
    assert [type(each) for each in await asyncio.gather(*long, return_exceptions=True)] == 3 * [asyncio.CancelledError]
    assert not deadline.running
    deadline.stop()
    assert deadline.alarm.at == inf


async def test_each_is_ended_in_its_own_time():
    deadline = Deadline(10)
    ended = []

    async def wait(seconds):
        async with deadline.within(seconds):
            with pytest.raises(Timeout):
                await run(deadline, for_ever)
        ended.append(seconds)

    await asyncio.gather(wait(0.06), wait(0.01), wait(0.03))
    assert ended == [0.01, 0.03, 0.06]


async def test_nothing_is_made_or_cancelled_per_piece_of_work():
    deadline = Deadline(10)
    await run(deadline, at_once)
    at = deadline.alarm.at
    for _ in range(3):
        await run(deadline, at_once)
    assert deadline.alarm.at == at
    deadline.stop()


# ---- whose cancellation it is


async def test_a_cancellation_by_somebody_else_stays_one():
    deadline = Deadline(10)
    task = asyncio.create_task(run(deadline, for_ever))
    await asyncio.sleep(0)
    task.cancel("stop")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled() and not deadline.running


async def test_one_in_the_same_moment_as_the_deadline_wins():
    deadline = Deadline(10)
    task = asyncio.create_task(run(deadline, for_ever))
    await asyncio.sleep(0)
    (limit,) = deadline.running
    limit.end()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_one_from_before_does_not_count():
    deadline = Deadline(0.01)

    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await for_ever()
        with pytest.raises(Timeout):
            await run(deadline, for_ever)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert task.cancelling() == 1


async def test_what_the_work_makes_of_its_cancellation_is_kept():
    async def swallow() -> str:
        with suppress(asyncio.CancelledError):
            await for_ever()
        return "saved"

    async def fail() -> None:
        try:
            await for_ever()
        finally:
            raise ValueError("on the way out")

    assert await run(Deadline(0.01), swallow) == "saved"
    with pytest.raises(ValueError, match="on the way out"):
        await run(Deadline(0.01), fail)
    current = asyncio.current_task()
    assert current is not None and current.cancelling() == 0, "the cancellation was ours, and is over"


async def test_work_that_takes_its_time_to_end_is_cancelled_once():
    deadline = Deadline(10)
    seen = []

    async def slow() -> None:
        while len(seen) < 3:
            try:
                await asyncio.sleep(0.01)
                seen.append("slept")
            except asyncio.CancelledError:
                seen.append("cancelled")

    async def another() -> None:  # so that the alarm rings again meanwhile
        async with deadline.within(0.01):
            with pytest.raises(Timeout):
                await run(deadline, for_ever)

    other = asyncio.create_task(another())
    async with deadline.within(0.005):
        await run(deadline, slow)
    await other
    assert seen == ["cancelled", "slept", "slept"]

"""`within`, and the limit that holds without it."""

from __future__ import annotations

import asyncio

import pytest

from minihttp.db.deadline import Deadline
from minihttp.db.errors import Timeout


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def at_once() -> str:
    return "done"


async def test_in_time():
    deadline = Deadline(10)
    assert await deadline.run(at_once(), "SELECT") == "done"
    async with deadline.within(10):
        assert await deadline.run(at_once(), "SELECT") == "done"


async def test_no_limit():
    assert await Deadline(0).run(at_once(), "SELECT") == "done"


async def test_the_default_limit():
    with pytest.raises(Timeout, match=r"query_timeout allows \(0\.01 s\)$"):
        await Deadline(0.01).run(for_ever(), "SELECT")


async def test_a_write_that_took_too_long_may_be_done():
    with pytest.raises(Timeout, match="whether it was done is unknown"):
        await Deadline(0.01).run(for_ever(), "INSERT")


async def test_the_default_can_be_lifted():
    task = asyncio.create_task(Deadline(0.001).run(for_ever(), "script", default=False))
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    task.cancel()
    await asyncio.wait([task])


async def test_within_overrules_the_default_and_nests():
    deadline = Deadline(0.001)
    async with deadline.within(10), deadline.within(0.01), deadline.within(60):
        async with asyncio.timeout(5):  # the longer one inside does not prolong it
            with pytest.raises(Timeout, match="`within` allows"):
                await deadline.run(for_ever(), "SELECT")
    assert not deadline.is_over


async def test_what_is_too_late_is_not_begun():
    deadline = Deadline(10)
    async with deadline.within(0):
        assert deadline.is_over
        with pytest.raises(Timeout, match="before INSERT was begun"):
            await deadline.run(for_ever(), "INSERT")


async def test_tasks_started_inside_inherit_it():
    deadline = Deadline(10)
    async with deadline.within(0.01):
        task = asyncio.create_task(deadline.run(for_ever(), "SELECT"))
    with pytest.raises(Timeout):
        await task


async def test_a_timeout_of_the_work_itself_is_not_ours():
    async def own() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        await Deadline(10).run(own(), "SELECT")
    assert not isinstance(caught.value, Timeout)

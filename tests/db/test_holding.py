"""Who holds a connection for long, in the log and in words."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import minihttp
from minihttp.db.holding import longest_held, place
from minihttp.db.pool import Pool
from minihttp.db.url import PoolOptions
from tests.db.fakes import FakeConnector

HERE = __file__


class Lines(logging.Handler):
    """The lines of the log, and an event per line."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.put_nowait(record.getMessage())


@pytest.fixture
def lines():
    lines = Lines()
    logger = logging.getLogger("minihttp.db")
    logger.addHandler(lines)
    yield lines.texts
    logger.removeHandler(lines)


@asynccontextmanager
async def a_pool(**options):
    pool = Pool(FakeConnector(), PoolOptions(**options))
    try:
        yield pool
    finally:
        await pool.close(0)


async def hold(pool: Pool[object], until: asyncio.Event) -> None:
    connection = await pool.acquire()
    try:
        await until.wait()
    finally:
        pool.release(connection)


def line_of(function: object, text: str) -> str:
    source, first = inspect.getsourcelines(function)  # type: ignore[arg-type]  # any function
    return f"{HERE}:{first + next(number for number, each in enumerate(source) if text in each)}"


async def test_a_task_that_holds_one_for_long_is_named_once_with_its_line(lines):
    async with a_pool(hold_warning=0.01) as pool:
        enough = asyncio.Event()
        task = asyncio.create_task(hold(pool, enough), name="GET /report")
        said = await lines.get()
        assert said.startswith(
            f"GET /report (at {line_of(hold, 'until.wait')}) has held a database connection for 0.0 s"
        )
        assert said.endswith("end transactions and iterations sooner")
        looks = pool._holding._alarm.at
        while pool._holding._alarm.at == looks:  # it has looked again
            await asyncio.sleep(0.001)
        assert lines.empty()
        enough.set()
        await task
        assert pool.stats.idle == 1, "a warning takes nothing away"


async def test_each_that_borrows_anew_has_its_own_time(lines):
    async with a_pool(hold_warning=0.02, pool_size=1) as pool:
        for name in ("first", "second"):
            enough = asyncio.Event()
            task = asyncio.create_task(hold(pool, enough), name=name)
            said = await lines.get()
            assert said.startswith(f"{name} (")
            assert "for 0.0 s" in said
            enough.set()
            await task
        assert lines.empty()


async def test_only_those_are_named_whose_time_has_come(lines):
    async with a_pool(hold_warning=0.06) as pool:
        enough = asyncio.Event()
        early = asyncio.create_task(hold(pool, enough), name="early")
        await asyncio.sleep(0.03)
        late = asyncio.create_task(hold(pool, enough), name="late")
        assert (await lines.get()).startswith("early (")
        assert lines.empty()
        assert (await lines.get()).startswith("late (")
        enough.set()
        await asyncio.gather(early, late)


async def test_one_that_is_being_restored_is_nobodys(lines):
    async with a_pool(hold_warning=0.01) as pool:
        connection = await pool.acquire()
        connection.is_clean, connection.hold = False, asyncio.Event()
        pool.release(connection)
        looks = pool._holding._alarm.at
        while pool._holding._alarm.at == looks:  # it looks
            await asyncio.sleep(0.001)
        assert pool._holding._alarm.at < float("inf"), "and will look again"
        assert lines.empty()
        connection.hold.set()


async def test_a_task_that_ends_with_one_gives_it_back(lines):
    async with a_pool(hold_warning=0.01, pool_size=1) as pool:

        async def forget():
            return await pool.acquire()

        connection = await asyncio.create_task(forget(), name="the careless one")
        another = await pool.acquire()  # waits until it is missed
        assert another is not connection
        assert not connection.is_open
        said = await lines.get()
        assert said.startswith(f"the careless one (from {line_of(forget, 'async def forget')}) has held a database")
        assert said.endswith("and has ended: the connection is closed and replaced")
        pool.release(connection)  # found and given back after all: nothing happens
        assert pool.stats.used == 1
        pool.release(another)


async def test_nobody_is_named_where_it_is_turned_off(lines):
    async with a_pool(hold_warning=0) as pool:
        await pool.acquire()
        assert pool._holding._alarm.at == float("inf")


async def test_a_closed_pool_looks_no_further():
    async with a_pool() as pool:
        await pool.acquire()
        assert pool._holding._alarm.at < float("inf")
    assert pool._holding._alarm.at == float("inf")


async def test_who_has_held_longest():
    task = asyncio.current_task()
    assert task is not None
    slots = [SimpleNamespace(holder=holder, since=since) for holder, since in ((None, 1.0), (task, 3.0), (task, 2.0))]
    assert f"{task.get_name()} (at {HERE}:" in longest_held(slots, 10.0)
    assert ") has held a database connection for 8.0 s: end " in longest_held(slots, 10.0)
    assert longest_held(slots[:1], 10.0) == ""


async def test_the_place_is_the_applications_not_the_librarys():
    async def outer():
        await asyncio.wait_for(asyncio.get_running_loop().create_future(), 100)

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    assert place(task) == f"at {line_of(outer, 'wait_for')}"
    task.cancel()
    await asyncio.wait([task])
    assert place(task) == f"from {line_of(outer, 'async def outer')}"


async def test_an_application_beside_the_package_whose_name_begins_alike():
    file = f"{Path(minihttp.__file__).parent}_shop/main.py"
    names: dict[str, Any] = {"asyncio": asyncio}
    exec(compile("async def wait():\n    await asyncio.sleep(100)", file, "exec"), names)
    task = asyncio.create_task(names["wait"]())
    await asyncio.sleep(0)
    assert place(task) == f"at {file}:2"
    task.cancel()
    await asyncio.wait([task])


async def test_the_place_of_what_has_no_lines_of_ours():
    task = asyncio.create_task(asyncio.sleep(100))
    await asyncio.sleep(0)
    assert "tasks.py:" in place(task)
    task.cancel()
    await asyncio.wait([task])
    other = SimpleNamespace(get_coro=lambda: object())
    assert place(other) == "of unknown origin"  # type: ignore[arg-type]  # a task of compiled code

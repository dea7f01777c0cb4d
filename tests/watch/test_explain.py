"""What a suspended coroutine waits for: each kind in the table, from a real wait of that kind."""

from __future__ import annotations

import asyncio
import inspect
import linecache
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from minihttp.watch.explain import QUERIES, WAITS, explain, overdue
from minihttp.watch.records import KINDS, Record
from minihttp.watch.source import Place, is_yours

from .recording import turns

Wait = Callable[[], Awaitable[Any]]


async def locks() -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    await lock.acquire()  # here


async def semaphores() -> None:
    await asyncio.Semaphore(0).acquire()  # here


async def conditions() -> None:
    condition = asyncio.Condition()
    async with condition:
        await condition.wait()  # here


async def barriers() -> None:
    await asyncio.Barrier(2).wait()  # here


async def events() -> None:
    await asyncio.Event().wait()  # here


async def sleeps() -> None:
    await asyncio.sleep(60)  # here


async def gets() -> None:
    await asyncio.Queue[int]().get()  # here


async def puts() -> None:
    queue = asyncio.Queue[int](1)
    await queue.put(1)
    await queue.put(2)  # here


async def joins() -> None:
    queue = asyncio.Queue[int]()
    await queue.put(1)
    await queue.join()  # here


async def waits_for_tasks() -> None:
    await asyncio.wait([asyncio.ensure_future(sleeps())])  # here


async def gathers() -> None:
    await asyncio.gather(sleeps(), sleeps())  # here


async def awaits_a_task() -> None:
    await asyncio.ensure_future(sleeps())  # here


async def groups() -> None:
    async with asyncio.TaskGroup() as group:  # here
        group.create_task(sleeps())


async def threads() -> None:
    await asyncio.to_thread(asyncio.run, asyncio.sleep(0.05))  # here


async def reads() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        await reader.read()  # here
    finally:
        writer.close()
        theirs.close()


async def processes() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    try:
        await process.wait()  # here
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # else its pipes are closed by the collector


async def futures() -> None:
    await asyncio.get_running_loop().create_future()  # here


async def generates() -> None:
    async def numbers() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1

    async for _ in numbers():  # here
        pass


CASES: list[tuple[Wait, str, str]] = [
    (locks, "lock", "Lock"), (semaphores, "lock", "Semaphore"), (conditions, "lock", "Condition"),
    (barriers, "lock", "Barrier"), (events, "event", ""), (sleeps, "sleep", ""), (gets, "queue", "get"),
    (puts, "queue", "put"), (joins, "queue", "join"), (waits_for_tasks, "tasks", "wait"),
    (gathers, "tasks", "gather"), (awaits_a_task, "tasks", ""), (groups, "tasks", "TaskGroup"),
    (threads, "thread", ""), (reads, "socket", "read"), (processes, "process", ""), (futures, "other", ""),
    (generates, "other", ""),
]  # fmt: skip


def record_of(coro: Any, future: Any = None) -> Record:
    record = Record()
    record.coro, record.future, record.why, record.said = coro, future, None, None
    return record


def line_of(function: Any) -> int:
    """The line that says `# here`."""
    first: int = function.__code__.co_firstlineno
    return next(number for number in range(first, first + 20) if "# here" in linecache.getline(__file__, number))


async def suspended(task: asyncio.Task[Any], settled: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not settled():
            await asyncio.to_thread(lambda: None)


@pytest.mark.parametrize(("wait", "kind", "detail"), CASES)
async def test_a_wait_is_named_with_its_line(wait: Wait, kind: str, detail: str) -> None:
    coro: Any = wait()
    task: Any = asyncio.create_task(coro)
    await turns()

    def label() -> Any:
        return explain(record_of(coro, task._fut_waiter))

    await suspended(task, lambda: task._fut_waiter and label().at == Place(__file__, line_of(wait)))
    await turns()
    assert (label().kind, label().detail) == (kind, detail)
    assert kind in KINDS
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for each in others:
        each.cancel()
    await asyncio.wait(others)


async def test_what_the_waiting_code_says_itself_counts_more() -> None:
    coro: Any = sleeps()
    task: Any = asyncio.create_task(coro)
    await turns()
    record = record_of(coro, task._fut_waiter)
    record.why = ("query", "SELECT 1")
    label = explain(record)
    assert (label.kind, label.detail, label.at) == ("query", "SELECT 1", Place(__file__, line_of(sleeps)))
    record.why, record.said = None, ("query", "SELECT 1")
    assert explain(record).kind == "sleep", "the query was over before"
    task.cancel()


async def test_a_sleep_says_for_how_long_it_has_been_over_and_nothing_else_does() -> None:
    async def short() -> None:
        await asyncio.sleep(0.02)

    coros, turning = [short(), sleeps(), events()], asyncio.sleep(0)
    began = time.monotonic()
    tasks = [asyncio.create_task(each) for each in coros]
    await turns(1)
    time.sleep(0.1)
    late = overdue(record_of(coros[0]))
    assert 0.078 < late < time.monotonic() - began - 0.018, "uvloop counts in milliseconds"
    assert [overdue(record_of(each)) for each in coros[1:]] == [0, 0]
    turning.send(None)
    assert overdue(record_of(turning)) == 0, "it has no timer"
    turning.close()
    for each in tasks:
        each.cancel()
    await asyncio.wait(tasks)


def test_the_table_names_kinds_that_there_are() -> None:
    assert {kind for kind, _ in WAITS.values()} <= set(KINDS)
    from minihttp.db.executor import RowStream
    from minihttp.db.session import Session

    ours: list[Any] = [Session.run, Session.stream, RowStream._more]
    named = {("/".join(each.__code__.co_filename.split("/")[-2:]), each.__qualname__) for each in ours}
    assert named == QUERIES


def test_whose_code_a_file_is() -> None:
    import json

    import minihttp.app
    import minihttp.watch.tour

    assert is_yours(__file__)
    assert is_yours(minihttp.watch.tour.__file__)
    assert not is_yours(minihttp.app.__file__ or "")
    assert not is_yours(json.__file__)
    assert not is_yours(pytest.__file__)
    assert not is_yours("<frozen importlib>")


def test_a_place_shows_its_line_and_its_neighbors() -> None:
    line = line_of(events)
    place = Place(__file__, line)
    assert str(place) == f"tests/watch/test_explain.py:{line}"
    assert Place("/nowhere/app.py", 7).name == "app.py"
    assert place.text() == "await asyncio.Event().wait()  # here"
    assert [number for number, _ in place.around()][:2] == [line - 1, line]
    assert (line, "    await asyncio.Event().wait()  # here") in place.around()
    assert Place("/nowhere/app.py", 7).around() == [(7, "")]
    assert not place.is_muted()
    here = inspect.currentframe()
    assert here is not None
    assert Place(__file__, here.f_lineno).is_muted()  # loop: ok

"""What is recorded of a request, and that nothing else changes by it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import pytest

from minihttp import waits
from minihttp.watch import recorder as module
from minihttp.watch.records import SEGMENTS, Record, State
from minihttp.watch.snapshot import Lanes

from .recording import Recording, states, turns

# -- the same results on as off --------------------------------------------------------------------------------------

log: list[str] = []
variable = contextvars.ContextVar("variable", default=0)


async def nap(value: int = 5) -> int:
    await asyncio.sleep(0.001)
    return value


async def fails() -> None:
    await asyncio.sleep(0)
    raise ValueError("said by the handler")


async def cleans_up() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        log.append("cleaned up")


async def cancels_a_task() -> object:
    task = asyncio.create_task(cleans_up())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return task.cancelled(), log.copy()


async def cancels_before_the_start() -> object:
    task = asyncio.create_task(nap())
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return task.cancelled()


async def swallows() -> object:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "went on"

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    task.cancel()
    return await task


async def times_out() -> object:
    try:
        async with asyncio.timeout(0.005):
            await asyncio.Event().wait()
    except TimeoutError:
        return "late"


async def waits_for() -> object:
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 0.005)
    return await asyncio.wait_for(nap(), 5)


async def groups() -> object:
    async with asyncio.TaskGroup() as group:
        one, two = group.create_task(nap(1), name="first"), group.create_task(nap(2))
    return one.get_name(), one.result() + two.result()


async def fails_in_a_group() -> object:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            group.create_task(asyncio.Event().wait())
    except ExceptionGroup as error:
        return repr(error.exceptions)
    return None


async def gathers() -> object:
    return [str(each) for each in await asyncio.gather(nap(1), nap(2), fails(), return_exceptions=True)]


async def shields() -> object:
    return await asyncio.shield(nap())


async def generates() -> object:
    async def numbers() -> AsyncIterator[int]:
        try:
            for each in range(3):
                await asyncio.sleep(0)
                yield each
        finally:
            log.append("generator closed")

    return [each async for each in numbers()], log.copy()


async def has_context() -> object:
    async def child() -> int:
        seen = variable.get()
        variable.set(9)
        await asyncio.sleep(0)
        return seen

    variable.set(7)
    await asyncio.sleep(0)
    return await asyncio.create_task(child()), variable.get()


async def asks_a_thread() -> object:
    return await asyncio.to_thread(lambda: 3)


async def raises_and_catches() -> object:
    try:
        await fails()
    except ValueError as error:
        names = []
        trace = error.__traceback__
        while trace is not None:
            names.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        return str(error), names


async def looks_at_a_task() -> object:
    task = asyncio.create_task(nap())
    await asyncio.sleep(0)
    names = [frame.f_code.co_name for frame in task.get_stack()], "nap()" in repr(task), "test_recorder" in repr(task)
    await task
    return names


SCENARIOS = [
    nap, cancels_a_task, cancels_before_the_start, swallows, times_out, waits_for, groups, fails_in_a_group, gathers,
    shields, generates, has_context, asks_a_thread, raises_and_catches, looks_at_a_task,
]  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_results_are_the_same_on_as_off(scenario: Callable[[], Awaitable[Any]]) -> None:
    log.clear()
    off = await asyncio.create_task(scenario())  # type: ignore[arg-type]  # they are all coroutine functions
    log.clear()
    loop = asyncio.get_running_loop()
    recording = Recording()
    recording.recorder.watch_tasks(loop)
    on = await recording.run(scenario)
    loop.set_task_factory(None)
    assert on == off
    assert waits.current.record is None
    assert recording.recorder.live == {}


async def test_an_exception_leaves_the_handler_as_it_came() -> None:
    recording = Recording()
    with pytest.raises(ValueError, match="said by the handler"):
        await recording.run(fails)
    assert waits.current.record is None
    assert recording.last.ended
    with pytest.raises(KeyError):
        await recording.run(fails_at_once)
    assert waits.current.record is None


async def fails_at_once() -> None:
    raise KeyError


async def test_a_handler_that_is_cancelled_cleans_up() -> None:
    log.clear()
    recording = Recording()
    task = recording.start(cleans_up)
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["cleaned up"]
    assert recording.recorder.live == {}


async def test_a_handler_that_is_closed_cleans_up() -> None:
    recording = Recording()

    async def handler() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("closed")

    log.clear()
    serving = recording.serve(handler)
    serving.send(None)
    assert len(recording.recorder.live) == 1
    serving.close()
    assert log == ["closed"]
    assert recording.recorder.live == {}
    assert recording.last.ended


async def test_a_task_factory_of_somebody_else_goes_on_working() -> None:
    loop, seen = asyncio.get_running_loop(), []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        seen.append(coro.__name__)
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(factory)
    recording = Recording()
    recording.recorder.watch_tasks(loop)

    async def handler() -> int:
        return await asyncio.create_task(nap())

    assert await recording.run(handler) == 5
    loop.set_task_factory(None)
    assert "nap" in seen
    assert [each.path for each in recording.recorder.finished] == ["nap", "/"]


# -- states ------------------------------------------------------------------------------------------------------------


async def test_a_request_that_never_waits_is_one_run() -> None:
    recording = Recording()

    async def handler() -> None:
        recording.clock.go(0.002)

    await recording.run(handler, "/hello")
    record = recording.last
    assert (record.method, record.path, record.spans) == ("GET", "/hello", None)
    assert record.ended - record.begun == pytest.approx(0.002)
    assert not recording.recorder.fresh


async def test_runs_and_waits_follow_one_another() -> None:
    recording = Recording()
    clock, event = recording.clock, asyncio.Event()

    async def handler() -> None:
        clock.go(0.001)
        await event.wait()
        clock.go(0.002)

    task = recording.start(handler)
    await turns()
    clock.go(0.040)
    event.set()
    await task
    record = recording.last
    assert states(record) == [("run", 1), ("wait", 40), ("run", 2)]
    label = record.spans[1].label
    assert label is not None
    assert (label.kind, label.at.name if label.at else "") == ("event", "tests/watch/test_recorder.py")
    assert record.ran == pytest.approx(0.003)
    assert list(recording.recorder.fresh) == [record]
    assert record.coro is record.future is None, "what was awaited is not kept"


async def test_who_gives_up_its_turn_could_have_gone_on() -> None:
    recording = Recording()

    async def handler() -> None:
        await asyncio.sleep(0)

    task = recording.start(handler)
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: loop.call_soon(recording.clock.go, 0.003))
    await task
    assert states(recording.last) == [("woken", 3)]


async def test_a_long_step_of_another_is_waiting_for_a_turn() -> None:
    recording = Recording()
    clock = recording.clock
    future = asyncio.get_running_loop().create_future()

    async def patient() -> None:
        waits.waiting_for("query", "SELECT 1")
        await future

    async def busy() -> None:
        clock.go(0.030)

    first = recording.start(patient)
    await turns()
    clock.go(0.010)
    # The loop itself sets what a query waits for; then a step of somebody else comes first.
    asyncio.get_running_loop().call_soon(future.set_result, None)
    await asyncio.gather(asyncio.Task(recording.serve(busy)), first)
    assert states(recording.last) == [("wait", 10), ("woken", 30)]


async def test_what_another_request_sets_was_set_at_the_end_of_its_step_at_the_latest() -> None:
    recording = Recording()
    clock, lock = recording.clock, asyncio.Lock()
    await lock.acquire()

    async def patient() -> None:
        async with lock:
            clock.go(0.001)

    async def holder() -> None:
        lock.release()
        clock.go(0.030)

    first = recording.start(patient)
    await turns()
    await recording.start(holder)
    await first
    assert states(recording.last) == [("wait", 30), ("run", 1)]


async def test_a_sleep_that_is_over_during_a_block_could_have_gone_on_from_then() -> None:
    recording = Recording()
    recording.recorder.clock = time.perf_counter

    async def patient() -> None:
        await asyncio.sleep(0.02)

    async def blocks() -> None:
        time.sleep(0.1)

    await recording.run(patient)
    assert "woken" not in dict(states(recording.last)), "the loop slept too"
    await asyncio.gather(recording.start(patient, "/patient"), recording.start(blocks))
    assert recording.last.path == "/patient"
    took = dict(states(recording.last))
    assert took["wait"] < 22, "uvloop counts in milliseconds"
    assert took["woken"] > 78


async def test_two_never_run_at_once() -> None:
    recording = Recording()
    clock = recording.clock
    order: list[str] = []

    async def inner() -> None:
        clock.go(0.002)
        order.append("inner")

    async def outer() -> None:
        await asyncio.sleep(0)
        clock.go(0.001)
        # As the server does with the next pipelined request: it begins within the last step of the one before.
        serving = recording.serve(inner, "/inner")
        with pytest.raises(StopIteration):
            serving.send(None)
        clock.go(0.004)
        order.append("outer")

    await recording.run(outer, "/outer")
    assert order == ["inner", "outer"]
    one, two = recording.recorder.finished
    assert (one.path, two.path) == ("/inner", "/outer")
    assert states(two) == [("run", 1), ("run", 4)]
    runs = [(each.start, each.end) for each in two.spans or () if each.state is State.RUN]
    assert runs[0][1] == one.begun
    assert runs[1][0] == one.ended


async def test_tasks_of_a_request_are_lanes_of_their_own() -> None:
    recording = Recording()
    loop = asyncio.get_running_loop()
    recording.recorder.watch_tasks(loop)

    async def grandchild() -> None:
        await asyncio.sleep(0)

    async def child() -> None:
        await asyncio.create_task(grandchild())

    async def handler() -> None:
        await asyncio.gather(child(), child())

    await recording.run(handler, "/both")
    await asyncio.create_task(nap())
    loop.set_task_factory(None)
    records = {each.path: each for each in recording.recorder.finished}
    assert set(records) == {"grandchild", "child", "/both"}
    assert records["child"].parent is records["/both"]
    assert records["grandchild"].parent is records["/both"], "a chain of tasks would never be forgotten"
    assert (recording.recorder.most, recording.recorder.apart) == (1, set()), "one request was in flight"
    assert records["child"].made is not None
    assert records["child"].made.text() == "await asyncio.gather(child(), child())"
    assert [span.label.kind for span in records["/both"].spans or () if span.label] in (["tasks"], [])


# -- bounds ------------------------------------------------------------------------------------------------------------


async def test_a_long_request_keeps_its_latest_spans() -> None:
    recording = Recording()

    async def handler() -> None:
        for _ in range(SEGMENTS * 2):
            recording.clock.go(0.0001)
            await asyncio.sleep(0)

    await recording.run(handler)
    assert len(recording.last.spans or ()) == SEGMENTS
    assert recording.last.ran == pytest.approx(SEGMENTS * 2 * 0.0001)


async def test_finished_requests_are_forgotten_in_time() -> None:
    recording = Recording()
    for _ in range(module.KEPT + 5):
        await recording.run(returns)
    assert len(recording.recorder.finished) == module.KEPT
    gc.collect()
    assert sum(isinstance(each, Record) for each in gc.get_objects()) <= module.KEPT + 5


async def returns() -> None:
    pass


async def test_beyond_the_budget_requests_are_served_and_not_recorded() -> None:
    recording = Recording()
    recording.recorder.left = 1
    assert await recording.run(nap) == 5
    assert await recording.run(nap) == 5
    assert (len(recording.recorder.finished), recording.recorder.skipped) == (1, 1)


async def test_what_begins_within_a_recorded_step_is_recorded_also_beyond_the_budget() -> None:
    recording = Recording()

    async def inner() -> None:
        waits.waiting_for("query", "SELECT 1")

    async def outer() -> None:
        await asyncio.sleep(0)
        recording.recorder.left = 0
        with pytest.raises(StopIteration):
            recording.serve(inner, "/inner").send(None)
        await asyncio.sleep(0)

    await recording.run(outer, "/outer")
    assert [each.path for each in recording.recorder.finished] == ["/inner", "/outer"]
    assert recording.last.said is None, "it did not say that"


# -- holding the loop up -----------------------------------------------------------------------------------------------


async def test_a_long_step_is_told_with_those_who_could_have_gone_on() -> None:
    recording = Recording(limit=0.05)
    clock, event = recording.clock, asyncio.Event()
    loop = asyncio.get_running_loop()
    came = loop.create_future()

    async def patient() -> None:
        await event.wait()

    async def reads() -> None:
        waits.waiting_for("body")
        await came

    async def forever() -> None:
        await asyncio.Event().wait()

    async def blocks() -> None:
        await asyncio.sleep(0)
        event.set()
        clock.go(0.120)

    waiting = recording.start(patient, "/patient")
    reading = recording.start(reads, "/reads")
    endless = recording.start(forever, "/endless")
    await turns()
    guilty = recording.start(blocks, "/blocks")
    guilty.add_done_callback(lambda task: None)
    # What had arrived in the meantime is read in the turn after the block.
    loop.call_later(0, lambda: came.done() or came.set_result(None))
    await asyncio.gather(waiting, reading, guilty)
    await turns()
    [hold] = recording.recorder.holds
    assert hold.record is not None
    assert hold.record.path == "/blocks"
    assert hold.end - hold.start == pytest.approx(0.120)
    assert {each.path for each in hold.victims} >= {"/patient"}
    assert "/endless" not in {each.path for each in hold.victims}
    endless.cancel()
    with suppress(asyncio.CancelledError):
        await endless


async def test_a_step_within_the_limit_is_not_told() -> None:
    recording = Recording(limit=0.05)

    async def handler() -> None:
        recording.clock.go(0.049)

    await recording.run(handler)
    await turns()
    assert not recording.recorder.holds


async def test_bytes_that_nobody_read_belong_to_the_request_they_become() -> None:
    arrived: dict[Any, float] = {"connection": 0.0}
    recording = Recording(unread=lambda since: arrived)
    clock = recording.clock
    arrived["connection"] = clock.now + 0.040

    async def blocks() -> None:
        clock.go(0.100)

    await recording.run(blocks)
    await recording.run(returns, "/late", "connection")
    assert states(recording.last)[:1] == [("arrived", 60)]
    assert recording.last in recording.recorder.fresh
    await recording.run(returns, "/again", "connection")
    assert recording.last.spans is None


async def test_bytes_of_a_request_that_is_not_recorded_are_not_the_next_ones() -> None:
    recording = Recording(unread=lambda since: {"connection": since})
    recording.recorder.hold(None, 100.0, 100.1)
    recording.recorder.left = 0
    await recording.run(returns, "/late", "connection")
    recording.recorder.left = 1
    await recording.run(returns, "/next", "connection")
    assert recording.last.path == "/next"
    assert recording.last.spans is None


async def test_who_blocks_is_not_held_up_by_that() -> None:
    recording = Recording()

    async def blocks() -> None:
        soon = asyncio.get_running_loop().create_future()
        soon.get_loop().call_soon(soon.set_result, None)
        recording.clock.go(0.100)
        await soon

    await recording.run(blocks)
    await turns()
    [hold] = recording.recorder.holds
    assert (hold.record, hold.victims, hold.others) == (recording.last, set(), 0)


async def test_who_is_held_up_shows_while_the_loop_stands() -> None:
    recording = Recording()
    recorder, clock, event = recording.recorder, recording.clock, asyncio.Event()
    waiting = [recording.start(event.wait, "/a"), recording.start(event.wait, "/b")]
    await turns()
    one, two = recorder.live
    start = clock.now
    clock.go(0.03)
    recorder.look_around(clock.now, asyncio.get_running_loop())
    assert recorder.held_up_since(start, None) == (set(), 0)
    event.set()
    assert recorder.held_up_since(start, None) == ({one, two}, 0)
    assert recorder.held_up_since(start, one) == ({two}, 0)
    assert recorder.held_up_since(clock.now, None) == (set(), 0), "nobody has looked since then"
    await asyncio.gather(*waiting)


async def test_a_late_loop_is_told_once() -> None:
    recording = Recording(limit=0.05)
    recorder = recording.recorder
    recorder.late(100.0, 100.2)
    recorder.hold(None, 101.0, 101.2)
    recorder.late(101.1, 101.3)  # a ping that was sent during the block
    recorder.late(102.0, 102.01)
    await turns()
    assert [(each.start, each.end) for each in recorder.holds] == [(100.0, 100.2), (101.0, 101.2)]
    assert [round(late, 3) for _, late in recorder.lag] == [0.2, 0.2, 0.01]


async def test_gauges_are_asked_now_and_then() -> None:
    class Tank:
        used = 1

        def gauge(self) -> dict[str, Any]:
            return {"kind": "pool", "name": "t", "limit": 3, "used": self.used, "idle": 0, "waiters": 0}

        def held_by(self, task: object) -> None: ...

    class Other(Tank):
        asked = 0

        def gauge(self) -> dict[str, Any]:
            self.asked += 1
            return {"kind": "loop"}

    tank, other = Tank(), Other()
    waits.gauges.add(tank)
    waits.gauges.add(other)
    recording = Recording()
    for used in (1, 1, 2):
        tank.used = used
        recording.clock.go(0.01)
        recording.recorder.look(recording.clock.now)
    tank.used = 3
    recording.recorder.measure(recording.clock.now - 0.001)  # another thread, which was slow
    assert [each[1:] for each in recording.recorder.gauges[tank]] == [(1, 0), (2, 0)]
    assert other not in recording.recorder.gauges
    assert other.asked == 1, "it has no limit, and may take long to say so"


class Tank:
    def gauge(self) -> dict[str, Any]:
        return {"kind": "pool", "name": "t", "limit": 3, "used": 1, "idle": 0, "waiters": 0}

    def held_by(self, task: object) -> None: ...


class GrowingSet(WeakSet[Tank]):
    late: Tank

    def __iter__(self) -> Iterator[Tank]:
        for each in super().__iter__():
            self.add(self.late)  # another thread, meanwhile
            yield each


class GrowingDictionary(WeakKeyDictionary[Tank, Any]):
    late: Tank

    def __iter__(self) -> Iterator[Tank]:
        for each in super().__iter__():
            self.setdefault(self.late, deque())  # another thread, meanwhile
            yield each


async def test_a_gauge_may_be_added_while_another_thread_asks_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    recording, one, two, three = Recording(), Tank(), Tank(), Tank()
    known, recording.recorder.gauges = GrowingSet([one]), (measured := GrowingDictionary())
    known.late, measured.late = two, three
    monkeypatch.setattr(module, "gauges", known)
    recording.recorder.measure(recording.clock.now)
    assert {each() for each in measured.keyrefs()} == {one, two}
    lanes = Lanes(recording.recorder, lambda method, path: path, "asyncio")
    assert len(lanes.gauges(recording.clock.now)) == 3


def test_nothing_warns_of_a_coroutine_that_was_never_awaited() -> None:
    async def main() -> None:
        recording = Recording()
        recording.recorder.watch_tasks(asyncio.get_running_loop())
        assert await recording.run(cancels_before_the_start) is True

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())
        gc.collect()

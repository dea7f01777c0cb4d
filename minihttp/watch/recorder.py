"""Records each request step by step, by driving its coroutine from outside.

Owns: when each request ran, waited and could have gone on; the rings that hold it; who was held up by a long step.
Must not know: stacks, warnings, viewers. The watchdog's thread judges what is recorded here.
Invariant: a recorded coroutine behaves as an unrecorded one: values, exceptions, cancellation and `close` pass through
untouched. Two requests never run at once: a step that starts another request is cut in two. A request that never
waits pays for two looks at the clock and one small object; everything dearer is done at most once in `LOOK` seconds.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from itertools import islice
from time import perf_counter
from types import CoroutineType
from typing import Any, NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet

from ..request import Request
from ..server.service import NAME, Run
from ..waits import Gauge, current, gauges
from .explain import explain, overdue, place_of, stack
from .loop import Turns
from .records import RUNNING, SEGMENTS, Label, Record, Span, State

__all__ = ["Hold", "Recorder", "copied"]

T = TypeVar("T")

LOOK = 0.001  # seconds between two looks at those who wait, while requests run
EXPLAINED = 0.0005  # seconds: shorter waits are not worth the search for their line
KEPT = 512  # finished requests
MEASURE = 0.005  # seconds between two looks at the gauges
SETTLE = 2  # turns of the loop until what had arrived during a hold has woken those who wait for it
LIVE = 2048  # waiting requests that a look goes through, at the most
# Results of these are set by the loop itself, never by another request's step.
BY_LOOP = frozenset({"query", "body", "client", "sleep", "thread", "socket", "process"})
DONE = object()
NOT_YET: Any = None


class Hold(NamedTuple):
    """The loop did not turn for longer than the limit; seconds on the recorder's clock."""

    record: Record | None  # whose step it was; None for a callback, or a request that was not recorded
    start: float
    end: float
    victims: set[Record]
    unread: Mapping[Any, float]  # connection: when its unread bytes arrived
    others: int = 0  # requests that were held up too, and are not recorded
    queued: int = 0  # clients that waited to be accepted


class Recorder:
    """What a server needs as its `trace`; `left` requests are recorded until somebody sets it again.

    `limit` is in seconds; `unread(since)` tells which connections have bytes that nobody read, and since when,
    `queued()` how many clients wait to be accepted.
    """

    def __init__(
        self,
        limit: float = 0.05,
        clock: Callable[[], float] = perf_counter,
        unread: Callable[[float], Mapping[Any, float]] = lambda since: {},
        queued: Callable[[], int] = lambda: 0,
    ) -> None:
        self.limit = limit
        self.clock = clock
        self.left = 1 << 62
        self.skipped = self.most = 0
        self.finished: deque[Record] = deque(maxlen=KEPT)
        self.fresh: deque[Record] = deque(maxlen=KEPT)  # those of them that waited, for the lints
        self.live: dict[Record, Any] = {}  # those that wait, and the connection of each
        self.apart: set[Record] = set()  # of those that wait: tasks, and requests for the pages about the loop
        self.holds: deque[Hold] = deque(maxlen=64)
        self.lag: deque[tuple[float, float]] = deque(maxlen=600)
        self.gauges: MutableMapping[Gauge, deque[tuple[float, int, int]]] = WeakKeyDictionary()  # when, used, waiters
        self._endless: WeakSet[Gauge] = WeakSet()  # that have no limit: they are asked once
        self.arrivals: dict[Any, float] = {}
        self.turns = Turns()  # stays empty on a loop that cannot be watched
        self.unread, self.queued = unread, queued
        self.held_until = 0.0  # the end of the last hold
        self._due = self._measured = 0.0
        self._seen: tuple[float, Mapping[Any, Record | None]] = (0.0, {})  # when, what is awaited, by whom

    # -- the server's requests -------------------------------------------------------------------------------------

    def wrap(self, run: Run) -> Run:
        """What the server runs instead of `run`, as long as the budget lasts."""
        recorded, arrivals = self._recorded(run), self.arrivals

        def chosen(connection: Any, request: Request) -> Coroutine[Any, Any, None]:
            if self.left > 0 or current.record is not None:  # within a recorded step: what it says is not the other's
                self.left -= 1
                return recorded(connection, request)
            self.skipped += 1
            if arrivals:  # what had arrived was this request, not the next one of its connection
                arrivals.pop(connection, None)
            return run(connection, request)

        return chosen

    def _recorded(self, run: Run) -> Run:
        """The first step is written out here: most requests have no second."""
        clock, finished, arrivals = self.clock, self.finished, self.arrivals

        async def recorded(connection: Any, request: Request) -> None:
            outer = current.record
            begun = clock()
            if outer is not None:
                self.cut(outer, begun)  # type: ignore[arg-type]  # only this recorder puts records there
            current.record = record = Record()
            record.begun = record.since = begun
            record.spans = record.why = record.said = record.parent = NOT_YET
            record.method, record.path = request.method, request.raw_path
            if arrivals and connection in arrivals:
                self.add_arrival(record, arrivals.pop(connection))
            work = run(connection, request)
            future: Any = None
            try:
                future = next(work.__await__(), DONE)
            finally:
                current.record = outer
                record.ended = now = clock()
                if outer is not None:
                    outer.since = now  # type: ignore[attr-defined]  # as above
            if future is not DONE:
                record.ended = 0.0
                self.live[record] = connection
                self.most = max(self.most, len(self.live) - len(self.apart))
                steps = Steps(self, record, work, future)
                self.suspend(record, future, now)
                await steps
                return
            if record.spans is not None:  # another request ran in between, or its bytes had waited
                self.add(record, State.RUN, now)
                self.fresh.append(record)
            finished.append(record)
            if now > self._due:
                self.look(now, record, begun)

        return recorded

    # -- from state to state ---------------------------------------------------------------------------------------

    def add(self, record: Record, state: State, end: float, label: Label | None = None, lease: float = 0.0) -> None:
        """The state that a record has had since `since` is over."""
        if record.spans is None:
            record.spans, record.ran = deque(maxlen=SEGMENTS), 0.0
        if state is State.RUN:
            record.ran += end - record.since
        if end > record.since or label is not None:
            record.spans.append(Span(state, record.since, end, label, lease))
        record.since = end

    def add_arrival(self, record: Record, at: float) -> None:
        """Its first bytes had come before anybody read them."""
        record.since = min(at, record.begun)
        self.add(record, State.ARRIVED, record.begun)

    def cut(self, outer: Record, now: float) -> None:
        """Another request begins within a step: two never run at once."""
        self.add(outer, State.RUN, now)

    def suspend(self, record: Record, future: Any, now: float) -> None:
        """A step is over, and the request waits for `future`."""
        start = record.since
        self.add(record, State.RUN, now)
        record.future, record.woken = future, 0.0
        if now > self._due:
            self.look(now, record, start)

    def resume(self, record: Record, now: float) -> None:
        """The wait is over, and the next step begins; the coroutine is still suspended, so it can be asked."""
        if record.future is not None:
            since, woken, label = record.since, record.woken, None
            if record.why is not None or record.said is not None or now - since > EXPLAINED:
                label = explain(record)
                woken = woken or (self.turns.before if label.kind in BY_LOOP else self.turns.now)
                if label.kind == "sleep" and since < self.held_until and (late := overdue(record)):
                    woken = now - late  # its time was over while the loop stood
            if record.why is not None:
                record.said, record.why = record.why, None
            lease = held_since(now) if now - since > EXPLAINED else 0.0
            self.add(record, State.WAIT, woken if since < woken < now else now, label, lease)
        if now > record.since:  # could go on before: from the beginning, if it gave up its turn or is a new task
            self.add(record, State.WOKEN, now)
        record.future = RUNNING

    def end(self, record: Record, now: float) -> None:
        """The last step is over."""
        start = record.since
        self.add(record, State.RUN, now)
        record.ended = now
        record.future = record.coro = None
        self.live.pop(record, None)
        self.apart.discard(record)
        self.finished.append(record)
        self.fresh.append(record)
        if now > self._due:
            self.look(now, record, start)

    # -- looking around, now and then ------------------------------------------------------------------------------

    def look(self, now: float, record: Record | None = None, start: float = 0.0) -> None:
        """See who could go on by now. `record` has just ended a step that began at `start`."""
        self._due = now + LOOK
        if record is not None and now - start > self.limit:
            self.hold(record, start, now)
        for each in self._ready():
            if not each.woken:
                # What the loop sets was set before this step; what this step set, at its end at the latest.
                kind = each.why[0] if each.why else explain(each).kind
                each.woken = start if record is not None and kind in BY_LOOP else now
        if now > self._measured + MEASURE:
            self._measured = now
            self.measure(now)

    def _ready(self) -> Iterator[Record]:
        for each in islice(self.live, LIVE):
            if each.future is not None and each.future.done():
                yield each

    def measure(self, now: float) -> None:
        """Ask the gauges how full they are; from any thread, for the last change of a burst is followed by no step."""
        for gauge in copied(gauges):
            if gauge in self._endless:
                continue
            value = gauge.gauge()
            if "limit" not in value:
                self._endless.add(gauge)
                continue
            history = self.gauges.setdefault(gauge, deque(maxlen=KEPT))
            used, waiters = int(value["used"]), int(value["waiters"])
            if not history or (history[-1][1:] != (used, waiters) and history[-1][0] <= now):
                history.append((now, used, waiters))

    def late(self, start: float, end: float) -> None:
        """The loop did not turn for so long. One step of a request that took all of it has been told already."""
        self.lag.append((end, end - start))
        if end - start > self.limit and self.held_until <= start:
            self.hold(None, start, end)

    def hold(self, record: Record | None, start: float, end: float) -> None:
        """The loop stood still. Who was held up shows now, and when what came meanwhile has been read."""
        unread = self.unread(start)
        self.arrivals.clear()
        self.arrivals.update(unread)
        self.held_until = end
        loop = asyncio.get_running_loop()
        if not start < self._seen[0] <= end:
            self.look_around(end, loop)
        self._settle(Hold(record, start, end, set(), unread, queued=self.queued()), self._seen[1], SETTLE)

    def look_around(self, now: float, loop: AbstractEventLoop) -> None:
        """Note what everybody waits for. While the loop stands this is the same at all times, from every thread."""
        asked = {
            getattr(each, "_fut_waiter", None): None for each in asyncio.all_tasks(loop) if each.get_name() == NAME
        }
        self._seen = (now, {**asked, **{each.future: each for each in list(self.live)}})

    def _settle(self, hold: Hold, waiting: Mapping[Any, Record | None], turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._settle, hold, waiting, turns - 1)
            return
        victims, others = held_up(waiting, hold.record)
        self.holds.append(hold._replace(victims=victims, others=others))

    def held_up_since(self, start: float, record: Record | None) -> tuple[set[Record], int]:
        """Who is held up by what goes on since `start`, from any thread: the recorded, and how many that are not."""
        seen, waiting = self._seen
        return held_up(waiting if seen > start else {}, record)

    # -- tasks that requests start ---------------------------------------------------------------------------------

    def watch_tasks(self, loop: AbstractEventLoop) -> None:
        """Record the tasks that a recorded request starts, as lanes of their own."""
        inner: Any = loop.get_task_factory()

        def factory(loop: AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
            if current.record is not None and type(coro) is CoroutineType:
                coro = self._child(cast(Record, current.record), coro)
            if inner is not None:
                return cast("asyncio.Task[Any]", inner(loop, coro, **options))
            return asyncio.Task(coro, loop=loop, **options)

        loop.set_task_factory(factory)

    def _child(self, parent: Record, coro: CoroutineType[Any, Any, Any]) -> Steps:
        record = Record()
        record.begun = record.since = self.clock()
        record.ended = 0.0
        record.why = record.said = record.spans = record.future = None
        record.method, record.path = "TASK", coro.__qualname__.rpartition(".<locals>.")[2]
        record.parent = parent.parent or parent  # of a task's tasks too: a chain of them would never be forgotten
        record.made = place_of(stack(sys._getframe(2)))
        self.live[record] = None
        self.apart.add(record)
        return Steps(self, record, coro)


class Steps(Coroutine[Any, Any, Any]):
    """A coroutine in whose place a task, or another coroutine, drives this, so that each step is recorded.

    `future` is what it awaits already, if its first step has been made. Whoever looks at the coroutine (debuggers,
    `Task.get_stack`) sees through to it.
    """

    __slots__ = ("_coro", "_first", "_record", "_recorder")

    def __init__(self, recorder: Recorder, record: Record, coro: Coroutine[Any, Any, Any], first: Any = DONE) -> None:
        record.coro = self._coro = coro
        self._recorder, self._record, self._first = recorder, record, first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        return cast("Generator[Any, Any, Any]", self)

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        if self._first is not DONE:
            first, self._first = self._first, DONE
            return first
        return self._step(self._coro.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._coro.throw, *error)

    def close(self) -> None:
        recorder, record = self._recorder, self._record
        if not record.ended:
            recorder.resume(record, recorder.clock())
        try:
            self._coro.close()
        finally:
            if not record.ended:
                recorder.end(record, recorder.clock())

    def _step(self, go: Callable[..., Any], *given: Any) -> Any:
        recorder, record, outer = self._recorder, self._record, cast("Record | None", current.record)
        now = recorder.clock()
        if outer is not None:
            recorder.cut(outer, now)
        recorder.resume(record, now)
        current.record = record
        try:
            future = go(*given)
        except BaseException:
            recorder.end(record, recorder.clock())
            raise
        else:
            recorder.suspend(record, future, recorder.clock())
        finally:
            current.record = outer
            if outer is not None:
                outer.since = recorder.clock()
        return future


def copied(changing: Iterable[T]) -> list[T]:
    """What is in a collection to which another thread may add meanwhile: then it is copied anew."""
    while True:
        with suppress(RuntimeError):  # its size changed
            return list(changing)


def held_since(now: float) -> float:
    """When the running task took the database connection that it holds; 0.0 for none."""
    task = asyncio.current_task()
    held = [seconds for each in gauges if (seconds := each.held_by(task)) is not None]
    return now - max(held) if held else 0.0


def held_up(waiting: Mapping[Any, Record | None], guilty: Record | None) -> tuple[set[Record], int]:
    """Of those that waited who could go on by now: the recorded, and how many that are not."""
    ready = [each for future, each in waiting.items() if future is not None and future.done()]
    return {each for each in ready if each is not None} - {guilty}, ready.count(None)

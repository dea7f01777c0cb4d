"""A watched server: the recorder, its thread, and the pages about them, put together.

Owns: what is started with the server and stopped with it, and the snapshot.
Must not know: the application: it is a handler, and routes are found by a function.
Invariant: what watching changes in the process (task factory, garbage collector's callbacks, warnings) is as before
when it has stopped. `/_loop` is answered before the application sees it, and is not part of what is shown.
"""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import Any, TextIO, cast

from ..errors import HTTPError
from ..options import Options
from ..request import Request
from ..response import Response
from ..routing import Route
from ..server.server import Server
from ..server.service import Handler
from ..waits import current, gauges
from .arrivals import backlog, unread
from .cards import Cards, Finding
from .judge import Judge
from .loop import Ping, WatchedLoop, idle_time
from .outlet import Outlet
from .pages import Page
from .recorder import Hold, Recorder
from .records import PREFIX, TOUR, Block, Record, Snapshot
from .snapshot import Lanes
from .source import Place, declared
from .watchdog import Watchdog

__all__ = ["Watch", "watched"]

LIMIT = Options().watch_limit  # seconds that a step of the loop may take
BUDGET = 1000  # requests recorded per second, at the most
WINDOW = 10.0  # seconds of which shares and the worst lag are told
LATELY = 60.0  # seconds of which a terminal can show something
PAUSE = 0.02  # seconds of a garbage collection that are worth telling
PAGE = "minihttp page"  # tasks of this name are not among those who are held up
NEVER = re.compile(r"coroutine '(.+)' was never awaited")
Find = Callable[[str, str], tuple[Route, Mapping[str, Any]] | None]


@contextmanager
def watched(handler: Handler, options: Options, find: Find | None = None, where: str = "") -> Iterator[Server]:
    """A server for the handler, watched within the block: `with watched(app, options) as server: ...`.

    `where` is "file.py:12", the making of the application.
    """
    watch = Watch(handler, find, options.watch_hosts, options.watch_limit, where)
    server = Server(watch.handle, options, trace=watch.recorder)
    watch.start(server)
    try:
        yield server
    finally:
        watch.stop()


class Watch:
    """Watches the handler of one server.

    `find(method, path)` is the router's; `hosts` may ask for `/_loop` from elsewhere; `limit` is in seconds; `where` is
    "file.py:12", where the application was made.
    """

    def __init__(
        self, handler: Handler, find: Find | None = None, hosts: str = "", limit: float = LIMIT, where: str = ""
    ) -> None:
        self.recorder = Recorder(limit, perf_counter, self._unread, self._look_at_the_queue)
        self.cards = Cards()
        self._handler = handler
        self._find = find
        self._where = Place.at(where) if where else declared(handler)
        self._page = Page(self, hosts)
        self._asked = 0  # requests for what is shown here; of these run now
        self._own: set[asyncio.Task[None]] = set()
        self._collecting = 0.0
        self._told: deque[tuple[Finding, float]] = deque(maxlen=64)  # findings that wait for the judge's thread

    def handle(self, request: Request) -> Awaitable[Response]:
        """The handler to serve: `/_loop` is ours, all the rest the application's."""
        if request.raw_path.startswith(PREFIX) and f"{request.raw_path}/".startswith(f"{PREFIX}/"):
            if not request.raw_path.startswith(TOUR):
                self._set_apart(cast("asyncio.Task[None]", asyncio.current_task()))
            return self._page.answer(request)
        return self._handler(request)

    def _set_apart(self, task: asyncio.Task[None]) -> None:
        """A request for what is shown here is not part of it."""
        recorder, record = self.recorder, cast("Record | None", current.record)
        task.set_name(PAGE)
        self._asked += 1
        self._own.add(task)
        task.add_done_callback(self._own.discard)
        if record is None:
            recorder.skipped -= 1
        else:
            recorder.apart.add(record)
            task.add_done_callback(lambda task: recorder.apart.discard(record))

    # -- start and stop --------------------------------------------------------------------------------------------

    def start(self, server: Server) -> None:
        """Begin, in the loop's thread. Raises ConfigError where `minihttp top` could not be served."""
        self._loop = loop = asyncio.get_running_loop()
        recorder = self.recorder
        self._server = server
        ping = None
        if isinstance(loop, WatchedLoop):
            recorder.turns = loop.turns
            recorder.turns.late = recorder.late
        else:
            ping = Ping(loop, recorder.late)
        name = "uvloop" if type(loop).__module__.startswith("uvloop") else "asyncio"
        self.lanes = Lanes(recorder, self.route_of, name)
        self.judge = Judge(recorder, self.lanes, self.cards, self.declared_of)
        look = partial(recorder.look_around, loop=loop)
        self.watchdog = Watchdog(recorder.turns, ping, recorder.clock, recorder.limit, self._beat, look, self._ended)
        self.judge.samples, self.judge.machine = self.watchdog.samples, self.watchdog.machine
        self._thread = threading.get_ident()
        self._idle_until = idle_time(loop.turns if isinstance(loop, WatchedLoop) else None)
        self._idle: list[tuple[float, float]] = []
        self._note_idle(recorder.clock())
        self._factory = loop.get_task_factory()
        recorder.watch_tasks(loop)
        gc.callbacks.append(self._on_collection)
        self._show_warning, warnings.showwarning = warnings.showwarning, self._on_warning
        gauges.add(self)
        server.when_draining.append(self._page.stop)
        self._outlet = Outlet(lambda: self.snapshot(recorder.clock() - LATELY))
        self.watchdog.start()

    def stop(self) -> None:
        """End, and leave no trace in the process."""
        self._page.stop()
        self._outlet.close()
        self.watchdog.stop()
        warnings.showwarning = self._show_warning
        gc.callbacks.remove(self._on_collection)
        self._loop.set_task_factory(self._factory)
        gauges.discard(self)
        self.recorder.turns.late = lambda start, end: None

    # -- on the watchdog's thread ----------------------------------------------------------------------------------

    def _beat(self, now: float) -> None:
        recorder = self.recorder
        recorder.left = round(BUDGET * recorder.limit / 2)
        recorder.measure(now)
        if now > self._next_second:
            self._note_idle(now)
            self._look_at_the_queue()
        if not self._server.sockets:  # before it listens, and after: a start may take its time, for nobody waits
            recorder.holds.clear()
        self.judge(now)
        while self._told:
            found, at = self._told.popleft()
            self.cards.add(found, self.lanes.ms(at))

    def _note_idle(self, now: float) -> None:
        self._next_second = now + 1
        if self._idle_until is not None:
            self._idle = [*self._idle[-round(WINDOW) :], (now, self._idle_until(now))]

    def _ended(self) -> int:
        return self._server.service.handled if self._server.sockets else 0

    def _look_at_the_queue(self) -> int:
        """How many clients wait to be accepted; L13 where they are too many. The queue is longest after a block."""
        found = [backlog(each) for each in self._server.sockets]
        for waiting, most in found:
            if most and waiting > most / 2:
                title = f"{waiting} connections wait to be accepted, of {most} that may"
                fix = "add workers, or raise backlog; see what holds the loop up"
                told = Finding("L13", "warning", title, "", fix, about="backlog", declared=self._where)
                self._told.append((told, self.recorder.clock()))
        return sum(waiting for waiting, _ in found)

    # -- what the process tells ------------------------------------------------------------------------------------

    def _on_collection(self, phase: str, info: Mapping[str, int]) -> None:
        now = self.recorder.clock()
        if phase == "start":
            self._collecting = now
        elif now - self._collecting > PAUSE and threading.get_ident() == self._thread:
            self.judge.pauses.append((self._collecting, now))
            title = f"A garbage collection took {(now - self._collecting) * 1000:.0f} ms"
            fix = "gc.freeze() once the application has started"
            self._told.append((Finding("L15", "hint", title, "", fix, about="gc", declared=self._where), now))

    def _on_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """L9: a coroutine that nobody awaited. All warnings go on to whoever showed them before."""
        found = NEVER.search(str(message))
        if found is not None:
            record: Any = current.record
            during = f"during {self.lanes.name(record)}" if record is not None else ""
            title = f"{found[1]} was called and never awaited"
            place, route = Place(filename, lineno), self.declared_of(record) if record is not None else None
            told = Finding("L9", "error", title, during, "put await before it", place, declared=route)
            self._told.append((told, self.recorder.clock()))
        self._show_warning(message, category, filename, lineno, file, line)

    def _unread(self, since: float) -> Mapping[Any, float]:
        if not self._server.sockets:  # the lifespan begins before the server and ends after it
            return {}
        return unread(list(self._server.service.connections), since, self.recorder.clock())  # from other threads, too

    # -- what others read ------------------------------------------------------------------------------------------

    def route_of(self, method: str, path: str) -> str:
        """The template of a path: `/users/{id}`. A path that no route has is not shown: a part of it may be a value."""
        if f"{path}/".startswith(f"{PREFIX}/"):
            return path
        if self._find is None:
            return "(bare handler)"
        with suppress(HTTPError):
            found = self._find(method, path)
            if found is not None:
                return found[0].pattern.text
        return "(no route)"

    def declared_of(self, record: Record | None) -> Place | None:
        """The line that speaks for a record, its route's; for what belongs to no route the application's."""
        asked = record and (record.parent or record)
        if self._find is None or asked is None:
            return self._where
        if asked.path.startswith(TOUR):
            return None
        with suppress(HTTPError):
            found = self._find(asked.method, asked.path)
            if found is not None:
                return declared(found[0].handler) or Place.at(found[0].where)
        return self._where

    def snapshot(self, since: float = 0.0) -> Snapshot:
        """Everything there is to see, from any thread; of the lanes those that lived after `since` (the clock's)."""
        recorder, lanes = self.recorder, self.lanes
        now = recorder.clock()
        numbers = self.gauge()
        running = int(numbers.get("requests_running", 0))
        recorder.most = max(recorder.most, running)
        return {
            "version": 1,
            "now": lanes.ms(now),
            "process": lanes.process,
            "loop": {
                "lag": [(lanes.ms(at), round(late * 1000, 3)) for at, late in list(recorder.lag)],
                "lag_max": round(float(numbers["lag_seconds"]) * 1000, 3),
                "busy": float(numbers["busy_ratio"]) if "busy_ratio" in numbers else None,
                "handlers": lanes.handlers(now, WINDOW),
            },
            "requests": {
                "running": running,
                "handled": int(numbers.get("requests_total", 0)),
                "skipped": recorder.skipped,
                "running_max": recorder.most,
            },
            "lanes": lanes.lanes(now, since),
            "blocks": [*list(self.judge.blocks), *self._block_now(now)],
            "gauges": lanes.gauges(now),
            "cards": self.cards.latest(),
        }

    def _block_now(self, now: float) -> list[Block]:
        """The block that goes on at this moment."""
        since = self.watchdog.standing_since()
        if not since or now - since < self.recorder.limit:
            return []
        record: Any = current.record
        victims, others = self.recorder.held_up_since(since, record)
        queued = sum(backlog(each)[0] for each in self._server.sockets)
        return [self.judge.going_on(Hold(record, since, now, victims, self._unread(since), others, queued))]

    def addresses(self) -> Sequence[str]:
        """Where the server listens, as URLs."""
        return self._server.addresses

    def gauge(self) -> Mapping[str, int | float | str]:
        """The loop in numbers, for `minihttp.watch.metrics`."""
        recorder, now = self.recorder, self.recorder.clock()
        lag = max([late for at, late in list(recorder.lag) if at > now - WINDOW], default=0.0)
        numbers: dict[str, int | float | str] = {"kind": "loop", "name": str(self.lanes.process["pid"])}
        if self._idle_until is not None:
            at, idle = self._idle[0]
            numbers["busy_ratio"] = round(1 - min(1.0, (self._idle_until(now) - idle) / max(now - at, 1e-9)), 4)
        if self._server.sockets:  # it has been started
            stats, own = self._server.stats(), len(self._own)
            running, handled = max(0, stats.running - own), stats.handled - self._asked + own
            numbers |= {"requests_running": running, "requests_total": handled}
            numbers["connections"] = stats.connections
        return {
            **numbers,
            "lag_seconds": round(lag, 6),
            "blocks_total": self.judge.count,
            "warnings_total": self.cards.total,
        }

    def held_by(self, task: object) -> None:
        """Nobody holds a part of the loop."""

"""A schedule played: the server, its clients and its end, under the eyes of the invariants.

Owns: the clients, the moment at which the server stops, and the search for what was left behind.
Must not know: how a schedule was chosen.
Invariant: a run ends by itself, in virtual time; it leaves nothing behind, and its outcome is the list of rules that
were broken.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from minihttp.options import Options
from minihttp.server.server import FAREWELL, Server
from minihttp.server.service import Service

from .handlers import MARK, SERVERS, handle, turns
from .invariants import at_rest, bounded, judge
from .ledger import EPSILON, Ledger
from .schedule import Schedule, make_schedule
from .world import Clock, Line, probed

__all__ = ["Play", "play"]

LONGEST = 200.0  # seconds of virtual time, after which somebody must be waiting for ever
Trace = Callable[[str], None]


class Broken(Exception):
    """A rule has been broken; what comes behind it would say nothing more."""


class Listener:
    """In the place of listening sockets."""

    sockets = ()

    def close(self) -> None:
        """Clients look at `service.stopping`."""


class Play:
    """One run of one schedule."""

    def __init__(self, schedule: Schedule, trace: Trace | None = None) -> None:
        self.schedule = schedule
        self.trace = trace
        self.broken: list[str] = []
        self.loop = Clock(self.look)
        self.loop.set_exception_handler(self.report)
        self.is_over = False
        self.ledgers = [Ledger(self, number, dial) for number, dial in enumerate(schedule.dials)]
        options = Options(limits=schedule.limits, grace=schedule.grace)
        self.server = Server(handle, options)
        self.service: Service[Any]

    def report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self.is_over:
            self.broken.append(f"asyncio had to report: {context.get('exception') or context['message']!r}")

    def look(self, jump: float) -> None:
        """Before every turn of the loop."""
        if self.is_over:
            return
        for ledger in self.ledgers:
            bounded(ledger)
            if jump > 0:
                at_rest(ledger, jump)
        if self.loop.now > LONGEST:
            self.broken.append("it never ends")
        if self.broken:
            raise Broken

    def run(self) -> list[str]:
        """The rules that were broken."""
        with probed():
            try:
                self.loop.run_until_complete(self.main())
            except Broken:
                pass
            except Exception as error:
                self.broken.append(f"{type(error).__name__}: {error}")
            finally:
                self.is_over = True
                self.loop.run_until_complete(self.clear())
                self.loop.close()
        return self.broken

    async def main(self) -> None:
        MARK.set(SERVERS)
        self.service = service = Service(handle, self.schedule.limits, self.loop, self.server._run)
        self.server._service, self.server._listener = service, Listener()  # type: ignore[assignment]  # no sockets
        clients = asyncio.gather(*(self.client(ledger) for ledger in self.ledgers))
        await asyncio.wait([clients], timeout=self.schedule.stop)
        if clients.done():
            clients.result()
        await self.stop()
        clients.cancel()
        with suppress(asyncio.CancelledError):
            await clients
        await turns(3)
        self.search()
        for ledger in self.ledgers:
            judge(ledger)
        self.is_over = True

    # -- clients -----------------------------------------------------------------------------------------------------

    async def client(self, ledger: Ledger) -> None:
        dial = ledger.dial
        await asyncio.sleep(dial.at)
        if self.service.stopping:
            return
        ledger.line = line = Line(ledger, window=dial.window, high_water=dial.high_water)
        self.server._accept(None, SimpleNamespace(transport=line))  # type: ignore[arg-type]  # all it takes of a writer
        reading = asyncio.create_task(self.reader(ledger))
        try:
            for step in dial.steps:
                await self.do(ledger, *step)
            await line.lost()
            await turns(2)
            if not line.has_left:
                await reading
        finally:
            reading.cancel()

    async def do(self, ledger: Ledger, what: str, amount: Any = None) -> None:
        line = ledger.line
        if what == "turns":
            await turns(amount)
        elif what == "sleep":
            await asyncio.sleep(amount)
        elif what == "answered":
            while ledger.answered < len(ledger.dial.requests) and not (line.is_over or ledger.refused):
                await ledger.changed()
            await turns(3)
        else:
            ledger.say(f"client: {what}{f' {len(amount)} bytes' if amount else ''}")
            if what == "send":
                line.send(amount)
            elif what == "eof":
                line.send_eof()
            elif what == "reset":
                line.reset()
            elif what == "leave":
                line.leave()

    async def reader(self, ledger: Ledger) -> None:
        line = ledger.line
        *first, last = ledger.dial.reading
        while True:
            what, *amounts = first.pop(0) if first else last
            if what == "never":
                return
            if what == "sleep":
                await asyncio.sleep(*amounts)
                continue
            try:
                data = await line.receive(amounts[0])
            except ConnectionResetError:
                ledger.torn = True
                ledger.say("client's reading fails")
                return
            if line.has_left:
                return
            if not data:
                ledger.saw_end = True
                ledger.say("client reads the end")
                return
            ledger.got += data
            if amounts[1]:
                await asyncio.sleep(amounts[1])

    # -- the end -----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        schedule, began = self.schedule, self.loop.now
        self.say("the server stops")
        stopping = asyncio.create_task(self.server.stop())
        if schedule.hurry is not None and schedule.hurry > schedule.stop:
            self.loop.call_later(schedule.hurry - schedule.stop, stopping.cancel)
        await asyncio.wait([stopping])
        self.say("the server has stopped")
        with suppress(TimeoutError):  # who ends the grace twice does not wait for handlers that will not be cancelled
            async with asyncio.timeout(FAREWELL if stopping.cancelled() else 0):
                await self.service.emptied()
        if not stopping.cancelled() and self.loop.now > began + schedule.grace + 2 * FAREWELL + EPSILON:
            self.broken.append(f"stopping took {self.loop.now - began:.3f} s")

    def say(self, text: str) -> None:
        if self.trace is not None:
            self.trace(f"{self.loop.now:9.4f}     {text}")

    def search(self) -> None:
        """Look for what was left behind."""
        left = [
            *(f"a task: {task!r}" for task in asyncio.all_tasks(self.loop) if task is not asyncio.current_task()),
            *(f"a connection: {each!r}" for each in self.service.connections),
        ]
        if self.service.deadlines._timer is not None:
            left.append("the timer of the deadlines")
        self.broken += [f"left behind: {each}" for each in left]

    async def clear(self) -> None:
        """Whatever still runs is ended, so that the next run begins anew."""
        for _ in range(20):
            tasks = asyncio.all_tasks(self.loop) - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=1)
        await self.loop.shutdown_asyncgens()


def play(seed: int, trace: Trace | None = None) -> list[str]:
    """Run the schedule of a seed; the rules that were broken."""
    logger, collects = logging.getLogger("minihttp"), gc.isenabled()
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # handlers fail here on purpose
    gc.disable()  # its moments would depend on what ran before
    try:
        return Play(make_schedule(seed), trace).run()
    finally:
        logger.setLevel(level)
        if collects:
            gc.enable()

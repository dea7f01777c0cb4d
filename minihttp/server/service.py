"""What all connections of one server share.

Owns: the handler, the limits, the open connections, the timer of their deadlines, and how a Task is started.
Must not know: sockets and signals (the server above has them), or what a connection does.
Invariant: `context` is the one the server was started in; each request gets a copy of it, never another's.
The timer is armed exactly while a connection is open, or its handler still runs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from inspect import isroutine
from math import inf
from typing import Any, Generic, Protocol, TypeVar

from ..options import Limits
from ..request import Request, json_codec
from ..response import Response
from .deadlines import Alarms, Deadlines

__all__ = ["Handler", "Run", "Service", "Tracer", "start_task"]

C = TypeVar("C")

NAME = "minihttp request"  # of every Task: asyncio would number them, which takes longer

Handler = Callable[[Request], Awaitable[Response]]
# Runs one request on a connection, from its handler to the last byte of its answer.
Work = Coroutine[Any, Any, None]
Run = Callable[[Any, Request], Work]


class Tracer(Protocol):
    """A recorder of requests, as the server sees it."""

    def wrap(self, run: Run) -> Run:
        """A coroutine function that does what `run(connection, request)` does, and watches it."""
        ...


class Service(Generic[C]):
    """The shared half of every connection `C`."""

    __slots__ = (
        "_emptied", "connections", "context", "deadlines", "handled", "handler", "limits", "loop", "run", "stopping",
    )  # fmt: skip

    def __init__(self, handler: Handler, limits: Limits, loop: asyncio.AbstractEventLoop, run: Run) -> None:
        json_codec()  # imported now, while no client waits for it
        # A bound method: calling an object goes through its class each time.
        self.handler: Handler = handler if isroutine(handler) else handler.__call__  # type: ignore[operator]  # it is callable
        self.limits = limits
        self.loop = loop
        self.run = run
        self.context = copy_context()
        self.stopping = False  # from then on every answer closes its connection
        self.handled = 0
        self.connections: dict[C, Alarms] = {}  # and what each waits for
        self.deadlines = Deadlines(loop, shortest_time(limits), self.connections.values())
        self._emptied = asyncio.Event()
        self._emptied.set()

    def enter(self, connection: C, alarms: Alarms) -> None:
        """A connection has been made."""
        if not self.connections:
            self._emptied.clear()
            self.deadlines.start()
        self.connections[connection] = alarms

    def leave(self, connection: C) -> None:
        """A connection has been lost."""
        del self.connections[connection]
        if not self.connections:
            self._emptied.set()
            self.deadlines.stop()

    async def emptied(self) -> None:
        """Return when no connection is left."""
        await self._emptied.wait()


def shortest_time(limits: Limits) -> float:
    """The shortest time in seconds that a connection will ask to be watched for."""
    return min(
        limits.header_timeout,
        limits.body_grace,
        limits.keep_alive,
        limits.write_timeout,
        limits.half_close_grace,
        inf if limits.handler_timeout is None else limits.handler_timeout,
    )


if sys.version_info >= (3, 12):

    def start_task(loop: asyncio.AbstractEventLoop, work: Work, context: Context) -> asyncio.Task[None]:
        """A Task whose first step runs at once: a handler that does not wait needs no turn of the loop."""
        return asyncio.Task(work, loop=loop, name=NAME, context=context, eager_start=True)

else:

    def start_task(loop: asyncio.AbstractEventLoop, work: Work, context: Context) -> asyncio.Task[None]:
        """A Task; its first step runs in the next turn of the loop."""
        return asyncio.Task(work, loop=loop, name=NAME, context=context)

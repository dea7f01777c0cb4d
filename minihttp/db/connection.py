"""What the pool asks of a connection and of whoever makes one.

Owns: the two protocols, the record that the pool keeps per connection, the stack of idle ones, and the quiet way to
close one.
Must not know: a driver, nor what the pool decides.
Invariant: the properties and `abort` cost no I/O and never fail; only what is declared `async` may wait.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any, Generic, Protocol, TypeVar

from .alarm import Alarm

__all__ = ["Connection", "Connector", "Idle", "Lent", "Slot", "close_quietly"]

CLOSE_TIMEOUT = 2.0  # seconds for one polite goodbye


class Connection(Protocol):
    """What the pool asks of a connection. The properties cost no I/O.

    `origin` names the server that it goes to, where there may be several.
    """

    origin: str

    @property
    def is_open(self) -> bool:
        """Whether it can be used as far as this side knows."""
        ...

    @property
    def is_clean(self) -> bool:
        """Whether the next task may have it as it is."""
        ...

    async def ping(self) -> bool:
        """Ask the server whether it is there."""
        ...

    async def restore(self) -> bool:
        """Make it clean; False where only a new one is as good as new."""
        ...

    async def close(self) -> None:
        """Say goodbye, or, after `abort`, do what is left to do."""
        ...

    def abort(self) -> None:
        """Close it at once, whatever it does."""
        ...


C = TypeVar("C", bound=Connection)
C_co = TypeVar("C_co", bound=Connection, covariant=True)


class Connector(Protocol[C_co]):
    """Makes connections; `where` names the server for messages, without a password."""

    @property
    def where(self) -> str: ...

    async def connect(self) -> C_co:
        """A connection ready for use. Raises DatabaseError, and leaves nothing open when it is cancelled."""
        ...


class Slot(Generic[C]):
    """One connection and what the pool remembers of it: times on the loop's clock, in seconds."""

    __slots__ = ("connection", "expires", "holder", "since", "warned")

    def __init__(self, connection: C, now: float, max_age: float) -> None:
        self.connection = connection
        # By chance up to a tenth less: connections made together should not all be replaced together.
        self.expires = now + max_age * random.uniform(0.9, 1.0)
        self.since = now
        self.warned: float | None = None  # the `since` of which the log was told
        self.holder: asyncio.Task[Any] | None = None

    def is_good(self, now: float) -> bool:
        """Whether the next task may have it, as far as this side knows."""
        return self.connection.is_open and now < self.expires


class Lent(Generic[C]):
    """What a pool has lent."""

    _loop: asyncio.AbstractEventLoop
    _used: dict[C, Slot[C]]

    def held_by(self, task: object) -> float | None:
        """For how many seconds a task has held a connection; None if it holds none."""
        return max(
            (self._loop.time() - each.since for each in self._used.values() if each.holder is task), default=None
        )


class Idle(list[Slot[C]]):
    """The idle connections, last in, first out. Beyond `least`, those nobody took for `limit` seconds are dropped."""

    def __init__(self, limit: float, least: int, drop: Callable[[Slot[C]], None]) -> None:
        super().__init__()
        self._limit = limit
        self._least = least
        self._drop = drop
        self._alarm = Alarm(self._reap)

    def push(self, slot: Slot[C]) -> None:
        """Keep a connection that was just given back, `since` now."""
        self.append(slot)
        if self._alarm.at == inf:
            self._alarm.by(self._next())

    def take(self, now: float) -> Slot[C] | None:
        """The connection that was given back last; dropped on the way: those that are closed or too old."""
        while self:
            slot = self.pop()
            if slot.is_good(now):
                return slot
            self._drop(slot)
        return None

    def clear(self) -> None:
        """Drop all of them."""
        while self:
            self._drop(self.pop())
        self._alarm.stop()

    def _next(self) -> float:
        """When the connection that was given back first is to be dropped."""
        return self[0].since + self._limit if len(self) > self._least else inf

    def _reap(self, now: float) -> float:
        while self._next() <= now:
            self._drop(self.pop(0))
        return self._next()


async def close_quietly(connection: Connection) -> None:
    """Close a connection of which nobody wants to hear any more: in time, and without an error."""
    try:
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await connection.close()
    finally:
        connection.abort()

"""A pool of connections of any kind, handed out to one task at a time.

Owns: how many connections there are, who holds which, who waits for how long, and what is tried when.
Must not know: SQL, a driver, what a transaction is.
Invariant: every connection is idle, used or being closed, never two of these; idle ones and waiting tasks do not exist
at the same time. Decisions are plain functions that never wait; whatever waits (connect, test, restore, close) runs
outside of them, so a slow server delays only those who need it. Trade-off: idle connections are reused last in,
first out, so that those that a quiet hour does not need grow old and are closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any

from .. import waits
from .alarm import Alarm
from .connection import CLOSE_TIMEOUT, C, Connector, Idle, Lent, Slot, close_quietly
from .errors import DatabaseError, Timeout, Unavailable, UsageError
from .holding import Holding, longest_held
from .url import PoolOptions
from .waiting import Outage, Waiters

__all__ = ["Pool", "PoolStats"]

PARALLEL_CONNECTS = 4  # more at once would greet a server that comes back with a stampede
TEST_TIMEOUT = 2.0  # seconds for a connection to prove that it lives, or to be made clean


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool is doing (`size` = `idle` + `used` + `connecting`, `waiters`) and has done since it was opened.

    `waits` counts acquisitions that had to wait, `timeouts` those that gave up, `connects` and `errors` the attempts
    to connect that succeeded and failed, `discarded` the connections that were closed: broken, too old, or not wanted.
    """

    size: int
    idle: int
    used: int
    connecting: int
    waiters: int
    waits: int
    timeouts: int
    connects: int
    errors: int
    discarded: int


class State(Enum):
    """OPEN, then CLOSING while running work may end, then CLOSED; there is no way back."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


OPEN, CLOSING, CLOSED = State  # up to Python 3.11 `State.OPEN` takes 0.1 us, twice per query


class Pool(Lent[C]):
    """At most `options.pool_size` connections; `acquire` and `release` are made for `try ... finally`.

    Example: `connection = await pool.acquire()`, then `pool.release(connection)`, which never waits.
    """

    def __init__(self, connector: Connector[C], options: PoolOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = connector
        self._options = options
        self._state = OPEN
        self._origin: str | None = None
        self._idle: Idle[C] = Idle(options.idle_timeout, options.min_idle, self._close)
        self._used: dict[C, Slot[C]] = {}
        self._waiters: Waiters[Slot[C]] = Waiters()
        self._outage = Outage(options.retry_wait)
        self._connecting: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._holding = Holding(self._used, options.hold_warning, self._discard)
        self._expiry = Alarm(self._expire)
        self._retry = Alarm(self._try_again)
        self._all_returned: asyncio.Future[None] | None = None
        self._waits = self._timeouts = self._connects = self._errors = self._discarded = 0
        waits.gauges.add(self)

    @property
    def stats(self) -> PoolStats:
        """The numbers of this moment."""
        idle, used, connecting = len(self._idle), len(self._used), len(self._connecting)
        now = (idle + used + connecting, idle, used, connecting, len(self._waiters))
        return PoolStats(*now, self._waits, self._timeouts, self._connects, self._errors, self._discarded)

    def gauge(self) -> Mapping[str, int | float | str]:
        """How full the pool is, for whoever draws it."""
        now = {"used": len(self._used), "idle": len(self._idle), "waiters": len(self._waiters)}
        return {"kind": "pool", "name": self._connector.where, "limit": self._options.pool_size, **now}

    async def acquire(self, holder: asyncio.Task[Any] | None = None, now: float | None = None) -> C:
        """A connection for this task alone, until `release`. Whoever knows the task and the time saves it two looks.

        Raises Timeout when none is free in time; Unavailable when the queue is full or the server is down, at once;
        UsageError when the pool is closed.
        """
        now = self._loop.time() if now is None else now
        while (slot := self._idle.take(now)) is not None:
            self._used[slot.connection] = slot
            if now - slot.since < self._options.check_idle or await self._lives(slot):
                slot.since = now
                break
            self._idle.clear()  # the others have been idle for longer
        else:
            slot = await self._wait(now + self._options.acquire_timeout)
        slot.holder = holder or asyncio.current_task(self._loop)
        return slot.connection

    def release(self, connection: C, *, lost: bool = False) -> None:
        """Give a connection back. One that is closed is replaced, one that is not clean restored first.

        `lost=True` says that the server broke it off: then the others are closed too, since they go to the same.
        Raises UsageError for a connection that is not out.
        """
        slot = self._used.get(connection)
        if slot is None:
            if self._state is OPEN and connection.is_open:
                raise UsageError("this connection was given back already, or belongs to another pool")
            return  # the pool ran out of patience and closed it
        slot.holder = None
        if lost and connection.origin == self._origin:
            self._retire()
        now = self._loop.time()
        if not slot.is_good(now):
            self._discard(slot)
        elif connection.is_clean:
            self._offer(slot, now)
        else:
            self._run(self._restore(slot))

    async def open(self) -> None:
        """Make the first connection, and start those of `min_idle`. Raises Unavailable or another DatabaseError."""
        try:
            # The first connect has its own limit; acquire_timeout is for waiting on others.
            now = self._loop.time()
            self._offer(await self._wait(now + self._options.connect_timeout + TEST_TIMEOUT), now)
        except BaseException:
            await self.close(0)
            raise
        self._pump()

    async def close(self, grace: float | None = None) -> None:
        """Close idle connections now, used ones when they return or after `grace` seconds. Never hangs."""
        if self._state is not OPEN:
            return
        self._state = CLOSING
        self._waiters.fail(lambda: Unavailable(f"{self._connector.where} is being closed by this program"))
        self._retry.stop()
        for task in self._connecting:
            task.cancel()
        self._idle.clear()
        grace = self._options.close_grace if grace is None else grace
        try:
            if self._used and grace > 0:
                self._all_returned = self._loop.create_future()
                await asyncio.wait([self._all_returned], timeout=grace)
        finally:
            for slot in list(self._used.values()):
                self._discard(slot)
            self._state = CLOSED
            self._holding.stop()
            self._expiry.stop()
        if pending := self._connecting | self._background:
            await asyncio.wait(pending, timeout=2 * CLOSE_TIMEOUT)

    def _offer(self, slot: Slot[C], now: float) -> None:
        """Hand a good connection to the task that waits longest, else keep it."""
        if self._state is not OPEN:
            self._discard(slot)
            return
        slot.since = now
        if self._waiters and self._waiters.grant(slot):
            self._used[slot.connection] = slot
        else:
            self._used.pop(slot.connection, None)
            self._idle.push(slot)

    def _discard(self, slot: Slot[C]) -> None:
        """Stop counting a connection, close it in the background, and replace it where somebody waits."""
        self._used.pop(slot.connection, None)
        slot.connection.abort()
        self._close(slot)
        self._pump()
        if self._all_returned is not None and not self._used and not self._all_returned.done():
            self._all_returned.set_result(None)

    def _retire(self) -> None:
        """Have no more of the connections there are: idle ones go now, used ones when they come back."""
        self._idle.clear()
        for slot in self._used.values():
            slot.expires = self._loop.time()

    def _pump(self) -> None:
        """Start the connects that are needed now; while the server is down, none, and nobody waits for it in vain."""
        size = len(self._idle) + len(self._used) + len(self._connecting)
        if size >= self._options.pool_size or self._state is not OPEN:
            return
        if (needed := max(len(self._waiters) - len(self._connecting), self._options.min_idle - size)) <= 0:
            return
        if self._loop.time() < self._outage.retry_at:
            if not self._used and not self._connecting:
                self._waiters.fail(lambda: self._outage.error(self._loop.time()))
            self._retry.by(self._outage.retry_at)
            return
        at_once = 1 if self._outage.failures else PARALLEL_CONNECTS  # after a failure, one asks whether it is back
        for _ in range(min(needed, self._options.pool_size - size, at_once - len(self._connecting))):
            task = self._loop.create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _expire(self, now: float) -> float:
        for waiter in self._waiters.late(now):
            self._timeouts += 1
            held = longest_held(self._used.values(), now)
            waiter.set_exception(timed_out(self._options, len(self._used), len(self._connecting), held))
        return self._waiters.next()

    def _try_again(self, now: float) -> float:
        self._pump()
        return inf

    async def _wait(self, until: float) -> Slot[C]:
        """Wait in the queue, to a time on the loop's clock; whatever ends the wait, no connection is lost."""
        if self._state is not OPEN:
            raise UsageError(f"{self._connector.where} is {self._state.value} here: use it inside `async with db`")
        if len(self._waiters) >= self._options.queue:
            raise queue_full(len(self._waiters))
        waiter: asyncio.Future[Slot[C]] = self._loop.create_future()
        self._waiters[waiter] = until
        self._waits += 1
        self._expiry.by(until)
        if len(self._used) < self._options.pool_size:  # the usual case, at the price of one comparison
            self._pump()
        if waits.current.record is not None:  # the words are made only where somebody reads them
            waits.waiting_for("connection", f"{len(self._used)}/{self._options.pool_size}")
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiters.pop(waiter, None)
            if not waiter.cancelled() and waiter.exception() is None:  # granted in the same step: pass it on
                self.release(waiter.result().connection)
            raise

    async def _lives(self, slot: Slot[C]) -> bool:
        """Whether a connection that was idle for long still answers; discarded if not."""
        alive = False
        try:
            alive = await in_time(slot.connection.ping())
        finally:
            if not alive:
                self._discard(slot)
        return alive

    async def _connect(self) -> None:
        """One attempt, under one deadline. Nothing is awaited between having a connection and counting it."""
        connection: C | None = None
        error: DatabaseError | None = None
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                connection = await self._connector.connect()
        except DatabaseError as refused:
            error = refused
        except TimeoutError as timeout:
            limit = self._options.connect_timeout
            error = Unavailable(f"{self._connector.where} did not answer within {limit:g} s (connect_timeout)")
            error.__cause__ = timeout
        except Exception as other:
            error = Unavailable(f"cannot connect to {self._connector.where}: {type(other).__name__}")
            error.__cause__ = other
        self._connecting -= {asyncio.current_task()}
        now = self._loop.time()
        if connection is not None:
            self._connects += 1
            self._outage.over()
            if connection.origin != self._origin:
                self._retire()  # all go to one server, so that what was written is read
                self._origin = connection.origin
            self._offer(Slot(connection, now, self._options.max_age), now)
        elif error is not None:
            self._errors += 1
            self._outage.failed(error, now)
        self._pump()

    async def _restore(self, slot: Slot[C]) -> None:
        restored = False
        try:
            restored = await in_time(slot.connection.restore())
        finally:
            if slot.connection in self._used:  # else the pool was closed meanwhile
                now = self._loop.time()
                if restored and slot.connection.is_clean and slot.is_good(now):
                    self._offer(slot, now)
                else:
                    self._discard(slot)

    def _close(self, slot: Slot[C]) -> None:
        self._discarded += 1
        self._run(close_quietly(slot.connection))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def in_time(answer: Awaitable[bool]) -> bool:
    """What a connection says of itself; False for an error, or for no answer in time."""
    with suppress(Exception):
        async with asyncio.timeout(TEST_TIMEOUT):
            return await answer
    return False


def queue_full(waiters: int) -> Unavailable:
    return Unavailable(f"{waiters} tasks wait for a database connection already, as many as the option queue allows")


def timed_out(options: PoolOptions, used: int, connecting: int, held: str) -> Timeout:
    state = f"{used} of {options.pool_size} are in use, {connecting} are being made{held}"
    return Timeout(f"no database connection became free within {options.acquire_timeout:g} s: {state}")

"""When the loop turns: from its own selector on asyncio, from a ping on any other loop.

Owns: the moments at which the loop began to work and went to wait for events.
Must not know: requests, records, what is done about a loop that does not turn.
Invariant: on asyncio nothing is added to the loop but two looks at the clock per turn, and an idle loop stays asleep.
uvloop lets nobody look: a callback from outside, now and then, tells how late it comes, its thread's clock how long it
computed, and nothing more is claimed.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from math import inf
from time import perf_counter

__all__ = ["Late", "Ping", "Turns", "WatchedLoop", "idle_time"]

NOTICED = 0.001  # seconds: shorter turns are not told
Late = Callable[[float, float], None]  # from when to when the loop did not turn, in seconds on the clock


class Turns:
    """Plain stores by the loop's thread, read by others: seconds on `perf_counter`."""

    __slots__ = ("asked", "before", "busy_since", "idle", "late", "now")

    def __init__(self) -> None:
        self.asked = inf  # when it last began to wait for events
        self.now = self.before = 0.0  # when this turn began, and the one before
        self.busy_since = 0.0  # 0.0 while it waits for events
        self.idle = 0.0  # seconds spent waiting for events, in all, but for the wait that goes on
        self.late: Late = lambda start, end: None  # told of turns longer than NOTICED

    def idle_until(self, now: float) -> float:
        """Seconds spent waiting for events, in all: a loop that nobody asks for anything waits for minutes."""
        return self.idle if self.busy_since else self.idle + max(0.0, now - self.asked)


def idle_time(turns: Turns | None) -> Callable[[float], float] | None:
    """How many seconds until a moment this thread did nothing, or None where the system cannot tell (macOS).

    Without `turns` it is what the thread had no CPU for: a loop that is blocked by a sleep then counts as idle too.
    """
    if turns is not None:
        return turns.idle_until
    if not hasattr(time, "pthread_getcpuclockid"):
        return None
    clock = time.pthread_getcpuclockid(threading.get_ident())
    return lambda now: now - time.clock_gettime(clock)


class WatchedLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, on a selector that notes when it is asked."""

    def __init__(self) -> None:
        self.turns = Turns()
        super().__init__(TimedSelector(self.turns))


class TimedSelector(selectors.DefaultSelector):
    """The platform's selector. Between two calls of `select` the loop works."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns
        self._select = super().select

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        turns = self._turns
        turns.asked = asked = perf_counter()
        since, turns.busy_since = turns.busy_since, 0.0
        if since and asked - since > NOTICED:
            turns.late(since, asked)
            timeout = 0  # whom it told may have asked for the next turn, of which `timeout` knows nothing
        events = self._select(timeout)
        turns.before, turns.now = turns.now, perf_counter()
        turns.busy_since = turns.now
        turns.idle += turns.now - asked
        return events


class Ping:
    """Asks a loop to answer; `since` is when it was asked, if it has not answered yet."""

    def __init__(self, loop: AbstractEventLoop, late: Late, clock: Callable[[], float] = perf_counter) -> None:
        self._loop = loop
        self._late = late
        self._clock = clock
        self.since = 0.0

    def send(self) -> None:
        """Called from another thread. A loop that is closed never answers, which is no block."""
        if not self.since and not self._loop.is_closed():
            self.since = self._clock()
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        since, self.since = self.since, 0.0
        self._late(since, self._clock())

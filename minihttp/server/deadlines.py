"""All deadlines of a server on one timer.

Owns: the timer, the clock that is as fine as the deadlines need, and what each connection is waiting for.
Must not know: what happens when something is late; whoever armed the alarm is told.
Invariant: a deadline passes up to two ticks late, never early. Setting one costs a store or two: no timer is made or
cancelled per request, nor per connection while there are others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from math import inf

from .stages import Late

__all__ = ["Alarms", "Deadlines"]

NOTHING: Mapping[Late, float] = {}
FINEST, COARSEST = 0.02, 0.5  # seconds between two ticks


class Deadlines:
    """The timer of a server, for the alarms that are in `watched` when it ticks.

    `shortest` is the shortest time in seconds that will be asked for; a tick is a fifth.
    """

    __slots__ = ("_loop", "_timer", "_watched", "now", "tick")

    def __init__(self, loop: asyncio.AbstractEventLoop, shortest: float, watched: Collection[Alarms]) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._watched = watched
        self.tick = min(max(shortest / 5, FINEST), COARSEST)
        self.now = loop.time()

    def start(self) -> None:
        """Set the clock, and tick until `stop`."""
        self.now = self._loop.time()
        self._timer = self._loop.call_later(self.tick, self._pass)

    def stop(self) -> None:
        """Stop ticking: no connection is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pass(self) -> None:
        self.start()
        # Deadlines are set from a `now` that may be a tick old, so they pass a tick later.
        due = self.now - self.tick
        for alarms in [each for each in self._watched if each.deadline <= due]:
            alarms.ring(due)


class Alarms:
    """What one connection waits for, each with its deadline; `expire(late)` is called for what is late."""

    __slots__ = ("_deadlines", "_expire", "armed", "deadline", "renewed", "stage_ends")

    def __init__(self, deadlines: Deadlines, expire: Callable[[Late], None]) -> None:
        self._deadlines = deadlines
        self._expire = expire
        self.armed: Mapping[Late, float] = NOTHING  # replaced, never changed: an idle connection has none of its own
        self.stage_ends = inf
        self.renewed = 0.0  # the stage may last until then; looked at when it would end, so that this costs one store
        self.deadline = inf  # the earliest of all

    def stage(self, seconds: float) -> None:
        """The stage that has begun now may last so long."""
        self.renewed = self.stage_ends = self.deadline = self._deadlines.now + seconds
        if self.armed:
            self._settle()

    def arm(self, late: Late, seconds: float) -> None:
        """Tell me when this has lasted so long."""
        self.armed = {**self.armed, late: self._deadlines.now + seconds}
        self._settle()

    def disarm(self, *which: Late) -> None:
        """It has happened in time."""
        self.armed = {late: at for late, at in self.armed.items() if late not in which}
        self._settle()

    def _settle(self) -> None:
        self.deadline = min(self.stage_ends, *self.armed.values()) if self.armed else self.stage_ends

    def ring(self, due: float) -> None:
        """Tell of everything whose deadline is not after `due`."""
        passed = [late for late, at in self.armed.items() if at <= due]
        if self.stage_ends <= due < self.renewed:
            self.stage_ends = self.renewed
        elif self.stage_ends <= due:
            passed.append(Late.STAGE)
            self.stage_ends = inf
        self.disarm(*passed)
        for late in passed:
            self._expire(late)

    def end(self) -> None:
        """The connection is over: nothing is late any more, and nobody is told."""
        self._expire = ignore


def ignore(late: Late) -> None:
    """Replaces a connection's method once it is over, so that the two do not keep each other alive."""

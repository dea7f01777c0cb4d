"""One timer for many times: nothing is made or cancelled for each of them.

Owns: the timer, and when it rings next.
Must not know: what is due; whoever set the alarm sees to that when it rings.
Invariant: it rings at the earliest time that was asked for, never early. Trade-off: a time that nobody needs any more
is not taken back: the alarm then rings once for nothing, which costs less than a timer for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

__all__ = ["Alarm"]


class Alarm:
    """Calls `ring(now)` when the earliest of the times given to `by` has come; `ring` returns the next one, or inf.

    Example: `alarm = Alarm(self._see_to_it)`, then `alarm.by(loop.time() + 60)` for each piece of work.
    """

    __slots__ = ("_ring", "_timer", "at")

    def __init__(self, ring: Callable[[float], float]) -> None:
        self._ring = ring
        self.at = inf  # when it rings next
        self._timer: asyncio.TimerHandle | None = None

    def by(self, when: float) -> None:
        """Ring at `when`, in seconds on the loop's clock, or before."""
        if when < self.at:
            self.stop()
            self.at = when
            self._timer = asyncio.get_running_loop().call_at(when, self._rings)

    def stop(self) -> None:
        """Forget all times."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.at = None, inf

    def _rings(self) -> None:
        # A loop's timers may be coarser than its clock: what this one was set for is due, whatever the clock says.
        now = max(self.at, asyncio.get_running_loop().time())
        self._timer, self.at = None, inf
        self.by(self._ring(now))

"""The thread that sees what the loop cannot: a loop that does not turn, and whose line it stands at.

Owns: the stack samples, and the thread in which all judging is done.
Must not know: how a record becomes a warning (`judge` is asked), HTTP, pages.
Invariant: the loop's thread is never made to wait, and no stack is read without the GIL: faulthandler's timer does so
and now and then crashes a busy process. A line is named only from a sample taken within the block. A C call that holds
the GIL keeps this thread asleep too; but it waits for the GIL by then, gets it as the call returns, and looks before it
does anything that could let the loop go on.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from .blame import Blame, blame, look
from .loop import Ping, Turns

__all__ = ["Sample", "Watchdog"]

SAMPLING = 0.01  # seconds between two samples of a loop that stands
KEPT = 2000  # samples

logger = logging.getLogger("minihttp.watch")


class Sample(NamedTuple):
    """Where the loop's thread was at a moment."""

    at: float
    blame: Blame
    slept: float  # seconds that the watching thread had slept before it looked


class Watchdog(threading.Thread):
    """Watches the thread it is made in. `judge(now)` is called at every beat, on this thread.

    `look_around(now)` is called instead, once, when the loop seems to stand. `limit` is in seconds; `ended()` tells how
    many requests have ended.
    """

    def __init__(
        self,
        turns: Turns,
        ping: Ping | None,
        clock: Callable[[], float],
        limit: float,
        judge: Callable[[float], None],
        look_around: Callable[[float], None],
        ended: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__(name="minihttp-watchdog", daemon=True)
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self.delays: deque[tuple[float, ...]] = deque(maxlen=KEPT)  # (when, waited for a CPU, had one), in seconds
        self._turns = turns
        self._ping = ping
        self._clock = clock
        self._limit = limit
        self._beat = limit / 2
        self._judge = judge
        self._look_around = look_around
        self._ended = ended
        self._standing = 0.0  # since when, at the last look
        self._thread = threading.get_ident()
        self._schedule = open_schedule()
        self._note_delay(clock())  # a block may begin before the first beat
        self._own: int | None = None  # the same of this thread, while it runs
        self._failure = ""  # the last that was told
        self._over = threading.Event()

    def run(self) -> None:
        self._own, pause = open_schedule(), self._beat
        while True:
            asleep, queued = self._clock(), self._queued()
            if self._over.wait(pause):
                break
            try:
                pause = self.check(asleep, queued)
            except Exception as error:  # a mistake of the judge's must not end the watch; the same again is not news
                if repr(error) != self._failure:
                    self._failure = repr(error)
                    logger.exception("what the loop did could not be judged; the watch goes on")
        for each in (self._schedule, self._own):
            if each is not None:
                os.close(each)

    def stop(self) -> None:
        """End the thread, and wait until it has ended."""
        self._over.set()
        if self.is_alive():
            self.join()

    def standing_since(self) -> float:
        """Since when the loop has not turned; 0.0 if it waits for events, or if nobody can tell yet."""
        return self._ping.since if self._ping is not None else self._turns.busy_since

    def check(self, asleep: float, queued: float = 0.0) -> float:
        """One look, after a sleep that began at `asleep`, when this thread had waited for a CPU for `queued` seconds.

        Gives the seconds until the next.
        """
        now, since = self._clock(), self.standing_since()
        stands = since and now - since > self._beat  # not yet a block; but one that ends just behind the limit was seen
        if stands:
            self.sample(now, since, now - asleep, queued)
        self._note_delay(now)
        if stands:
            return SAMPLING
        if self._ping is not None:
            self._ping.send()
        self._judge(now)
        return self._beat

    def sample(self, now: float, since: float, slept: float = 0.0, queued: float = 0.0) -> None:
        """Look where the loop is that has stood since `since`; if it went on meanwhile, that proves nothing.

        A sleep longer than asked for is a held GIL, unless most of it was spent waiting for a CPU.
        """
        frame = sys._current_frames().get(self._thread)
        seen = look(frame) if frame is not None else []
        if since != self._standing:
            self._standing = since
            self._look_around(now)
        if self.standing_since() == since:
            held_gil = slept > self._limit and self._queued() - queued < slept / 2
            self.samples.append(Sample(now, blame(seen, held_gil, self._ended()), slept))

    # -- the machine and the GIL -----------------------------------------------------------------------------------

    def machine(self, start: float, end: float) -> tuple[float, float] | None:
        """For how long, between two moments, the loop's thread waited for a CPU and had one; None if not known."""
        delays = list(self.delays)
        before, after = bisect_right(delays, (start, inf)) - 1, bisect_left(delays, (end,))
        if before < 0 or after == len(delays):
            return None
        return delays[after][1] - delays[before][1], delays[after][2] - delays[before][2]

    def _note_delay(self, now: float) -> None:
        if self._schedule is not None:
            self.delays.append((now, *delay(self._schedule)))

    def _queued(self) -> float:
        """For how long this thread has waited for a CPU, in all."""
        return 0.0 if self._own is None else delay(self._own)[0]


def open_schedule() -> int | None:
    """Where Linux tells how long this thread had a CPU, and how long it waited for one; None elsewhere."""
    try:
        return os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
    except OSError:
        return None


def delay(schedule: int) -> tuple[float, float]:
    """For how many seconds a thread has waited for a CPU, and had one."""
    had, waited, _ = os.pread(schedule, 100, 0).split()
    return int(waited) / 1e9, int(had) / 1e9

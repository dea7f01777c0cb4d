"""The thread that sees what the loop cannot: a loop that does not turn, and whose line it stands at.

Owns: the stack samples, faulthandler's timer, and the thread in which all judging is done.
Must not know: how a record becomes a warning (`judge` is asked), HTTP, pages.
Invariant: the loop's thread is never made to wait. A line is named only from a sample taken within the block; a C
call that holds the GIL keeps this thread asleep too, then faulthandler, which needs no GIL, has written the stack.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from .blame import Blame, blame, parse_dump
from .loop import Ping, Turns

__all__ = ["Sample", "Watchdog"]

SAMPLING = 0.01  # seconds between two samples of a loop that stands
KEPT = 2000  # samples


class Sample(NamedTuple):
    """Where the loop's thread was at a moment."""

    at: float
    blame: Blame


class Watchdog(threading.Thread):
    """Watches the thread it is made in. `judge(now)` is called at every beat, on this thread.

    `limit` is in seconds; without `gil` faulthandler, of which a process has only one timer, is left alone.
    """

    def __init__(
        self,
        turns: Turns,
        ping: Ping | None,
        clock: Callable[[], float],
        limit: float,
        judge: Callable[[float], None],
        gil: bool = True,
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
        self._thread = threading.get_ident()
        self._schedule = open_schedule()
        self._over = threading.Event()
        self._dump = tempfile.TemporaryFile() if gil else None  # noqa: SIM115 - open as long as the thread runs
        self._armed = 0.0

    def run(self) -> None:
        pause = self._beat
        while True:
            asleep = self._arm()
            if self._over.wait(pause):
                break
            pause = self.check(asleep)
        if self._dump is not None:
            faulthandler.cancel_dump_traceback_later()
            self._dump.close()
        if self._schedule is not None:
            os.close(self._schedule)

    def stop(self) -> None:
        """End the thread, and wait until it has ended."""
        self._over.set()
        if self.is_alive():
            self.join()

    def standing_since(self) -> float:
        """Since when the loop has not turned; 0.0 if it waits for events, or if nobody can tell yet."""
        return self._ping.since if self._ping is not None else self._turns.busy_since

    def check(self, asleep: float) -> float:
        """One look, after a sleep that began at `asleep`. Gives the seconds until the next."""
        now = self._clock()
        self._note_delay(now)
        if now - asleep > self._limit:
            self._read_dump()
        since = self.standing_since()
        if since and now - since > self._beat:  # not yet a block; but one that ends just behind the limit was seen
            self.sample(now, since)
            return SAMPLING
        if self._ping is not None:
            self._ping.send()
        self._judge(now)
        return self._beat

    def sample(self, now: float, since: float) -> None:
        """Look where the loop is that has stood since `since`; if it went on meanwhile, that proves nothing."""
        frame = sys._current_frames().get(self._thread)
        found = blame(frame) if frame is not None else Blame(None)
        if self.standing_since() == since:
            self.samples.append(Sample(now, found))

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
            had, waited, _ = os.pread(self._schedule, 100, 0).split()
            self.delays.append((now, int(waited) / 1e9, int(had) / 1e9))

    def _arm(self) -> float:
        """Have faulthandler write all stacks if this thread does not come back in time."""
        self._armed = now = self._clock()
        if self._dump is not None:
            faulthandler.dump_traceback_later(self._limit, file=self._dump)
        return now

    def _read_dump(self) -> None:
        if self._dump is None:
            return
        faulthandler.cancel_dump_traceback_later()
        self._dump.seek(0)
        text = self._dump.read().decode(errors="replace")
        self._dump.seek(0)
        self._dump.truncate()
        if text:
            self.samples.append(Sample(self._armed + self._limit, parse_dump(text, self._thread)))


def open_schedule() -> int | None:
    """Where Linux tells how long this thread had a CPU, and how long it waited for one; None elsewhere."""
    try:
        return os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
    except OSError:
        return None

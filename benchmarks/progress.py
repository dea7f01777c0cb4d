"""A bar on the terminal while it runs; elsewhere a line for each workload.

Owns: what is drawn, and the estimate of what is left.
Must not know: what is measured.
Invariant: one line at the bottom, wiped before anything else is printed.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO


def duration(seconds: float) -> str:
    """`48 s`, `12 min`."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


class Progress:
    """`Progress(total)`, in seconds of planned measuring; `step(seconds, text)` before each piece of it."""

    def __init__(self, total: float, out: TextIO = sys.stderr) -> None:
        self._total, self._out, self._drawn = total, out, out.isatty()
        self._done = self._planned = 0.0
        self._started = time.monotonic()
        self._last = ""

    def skip(self, seconds: float) -> None:
        """A piece that an earlier run has done."""
        self._total -= seconds

    def step(self, seconds: float, workload: str, contender: str) -> None:
        self._done += self._planned
        self._planned = seconds
        share = self._done / self._total if self._total > 0 else 1.0
        spent = time.monotonic() - self._started
        left = f"{duration(spent / share - spent)} left" if share > 0.02 else f"about {duration(self._total)}"
        if self._drawn:
            bar = "█" * round(share * 24)
            self._out.write(f"\r\x1b[K{bar:░<24} {share:4.0%}  {workload} · {contender}  ({left})")
        elif workload != self._last:
            self._out.write(f"{share:4.0%}  {workload}  ({left})\n")
        self._last = workload
        self._out.flush()

    def say(self, text: str) -> None:
        if self._drawn:
            self._out.write("\r\x1b[K")
        self._out.write(text + "\n")
        self._out.flush()

    def close(self) -> None:
        if self._drawn:
            self._out.write("\r\x1b[K")
            self._out.flush()

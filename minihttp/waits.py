"""What the running request waits for, said by the code that waits.

Owns: `current.record`, the record of the request step now running (None while nobody records), and the gauges that
can be read (a pool, a server).
Must not know: who reads them, what a record looks like beyond its one field, or any clock.
Invariant: costs one attribute test where nobody records. The loop has one thread, so one place is enough; the
recorder fills it on entry to each step of a request and empties it on exit. A slot, not a variable of the module:
a recorder sets it twice per request, and that costs it 50 ns instead of 150.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from weakref import WeakSet

__all__ = ["Current", "Gauge", "Record", "current", "gauges", "waiting_for"]


class Record(Protocol):
    """What a recorder keeps of one request: here only the label of the wait that comes next."""

    why: tuple[str, str] | None


class Gauge(Protocol):
    """Anything that can say how full it is."""

    def gauge(self) -> Mapping[str, int | float | str]: ...

    def held_by(self, task: object) -> float | None:
        """For how many seconds a task has held a part of it; None if it holds none."""
        ...


class Current:
    """Who runs now."""

    __slots__ = ("record",)
    record: Record | None


current = Current()
current.record = None
gauges: WeakSet[Gauge] = WeakSet()


def waiting_for(kind: str, detail: str = "") -> None:
    """Label the await that follows, if a recorder listens: `waiting_for("query", "SELECT ...")`.

    Where nothing had to be waited for, `waiting_for("")` takes the label back. Never pass values of parameters: what
    is said here may be shown on a page.
    """
    if current.record is not None:
        current.record.why = (kind, detail) if kind else None

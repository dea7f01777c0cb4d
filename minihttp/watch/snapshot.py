"""From records to the snapshot that viewers read.

Owns: how a record becomes a lane, what a lane is called, and the zero of all times.
Must not know: HTTP, threads, warnings' reasons.
Invariant: only reads, from any thread: finished records change no more, and a living one only grows.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from itertools import count
from pathlib import Path
from threading import Lock

from .explain import explain, overdue
from .recorder import Recorder, copied
from .records import PREFIX, RUNNING, TOUR, Gauge, Label, Lane, Process, Record, Segment, Span, State

__all__ = ["Lanes", "is_shown"]

NOTHING = Label("other")


class Lanes:
    """Names, ids and times of what a recorder holds. `route_of(method, path)` gives a path's template."""

    def __init__(self, recorder: Recorder, route_of: Callable[[str, str], str], loop: str) -> None:
        self.recorder = recorder
        self.zero = recorder.clock()
        self.process: Process = {
            "pid": os.getpid(),
            "name": Path(sys.argv[0]).name or "python",
            "python": platform.python_version(),
            "loop": loop,
            "minihttp": version(),
            "started": time.time(),
            "limit": recorder.limit * 1000,
        }
        self._route_of = route_of
        self._ids = count(1)
        self._lock = Lock()

    def ms(self, at: float) -> float:
        """A time on the recorder's clock in milliseconds since the start."""
        return round((at - self.zero) * 1000, 3)

    def id(self, record: Record) -> int:
        """A record's number; the same each time, from every thread."""
        with self._lock:
            if not hasattr(record, "id"):
                record.id = next(self._ids)
            return record.id

    def name(self, record: Record | None) -> str:
        """`GET /users/{id}`, `task fetch`, or nothing."""
        if record is None:
            return ""
        if record.parent is not None:
            return f"task {record.path}"
        return f"{record.method} {self._route_of(record.method, record.path)}"

    def lanes(self, now: float, since: float = 0.0) -> list[Lane]:
        """Those that lived after `since`, by their start."""
        recorder = self.recorder
        ended = [each for each in list(recorder.finished) if each.ended >= since]
        shown = [each for each in (*ended, *list(recorder.live)) if is_shown(each)]
        return [self.lane(each, now) for each in sorted(shown, key=lambda each: each.begun)]

    def lane(self, record: Record, now: float) -> Lane:
        """One record as viewers see it."""
        spans = list(spans_of(record, now))
        run = record.ran if record.spans is not None else spans[0].end - spans[0].start
        return {
            "id": self.id(record),
            "parent": None if record.parent is None else self.id(record.parent),
            "name": self.name(record),
            "start": self.ms(spans[0].start),
            "end": self.ms(record.ended) if record.ended else None,
            "ran": round(run * 1000, 3),
            "segments": [self._segment(each) for each in spans],
        }

    def _segment(self, span: Span) -> Segment:
        label = (span.label or NOTHING) if span.state is State.WAIT else None
        return {
            "state": span.state.value,
            "start": self.ms(span.start),
            "end": self.ms(span.end),
            "kind": label.kind if label else "",
            "detail": label.detail if label else "",
            "at": str(label.at) if label and label.at else "",
        }

    def gauges(self, now: float) -> list[Gauge]:
        """How full everything is that has a limit."""
        histories = self.recorder.gauges
        return [
            {
                "kind": str(value["kind"]),
                "name": str(value["name"]),
                "limit": int(value["limit"]),
                "used": int(value["used"]),
                "idle": int(value["idle"]),
                "waiters": int(value["waiters"]),
                "history": [(self.ms(at), used, waiters) for at, used, waiters in list(history)],
            }
            for value, history in [(gauge.gauge(), histories[gauge]) for gauge in copied(histories)]
        ]

    def handlers(self, now: float, seconds: float) -> float:
        """The share of the last seconds in which recorded steps ran."""
        since = now - seconds
        records = [*[each for each in list(self.recorder.finished) if each.ended > since], *list(self.recorder.live)]
        shown = filter(is_shown, records)
        spans = (span for each in shown for span in spans_of(each, now) if span.state is State.RUN)
        return min(1.0, sum(max(0.0, span.end - max(span.start, since)) for span in spans) / seconds)


def version() -> str:
    """Of the distribution, which has another name than the package; empty where it is not installed."""
    try:
        return metadata.version("minihttp-asyncio")
    except metadata.PackageNotFoundError:
        return ""


def is_shown(record: Record) -> bool:
    """Whether a record is the application's, or a demonstration, and not a request for what is shown here."""
    path = (record.parent or record).path + "/"
    return not path.startswith(f"{PREFIX}/") or path.startswith(TOUR)


def spans_of(record: Record, now: float) -> Iterable[Span]:
    """All of a record's stretches, the one that it is in included."""
    spans = list(record.spans or ())
    if record.ended:
        return spans or [Span(State.RUN, record.begun, record.ended)]
    since, future = record.since, record.future
    if future is RUNNING:
        return [*spans, Span(State.RUN, since, now)]
    if future is None:
        return [*spans, Span(State.WOKEN, since, now)]
    label = explain(record)
    late = overdue(record) if label.kind == "sleep" else 0.0  # its time is over while the loop stands
    woken = record.woken if record.woken > since else max(since, now - late)
    waited = Span(State.WAIT, since, woken, label)
    return [*spans, waited, Span(State.WOKEN, woken, now)] if woken < now else [*spans, waited]

"""What a suspended coroutine waits for, read off the chain of those that await each other.

Owns: the table of the standard library's waits, and for how long a sleep has been over.
Must not know: requests, when anything was recorded.
Invariant: only looks. The coroutine must be suspended; frames are not kept, since they would keep their locals, and no
locals are looked at but the timer of a sleep.
"""

from __future__ import annotations

from asyncio import Task
from collections.abc import Callable, Iterator
from time import monotonic
from types import FrameType
from typing import Any

from .records import Label, Record
from .source import Place, is_yours

__all__ = ["explain", "overdue", "place_of", "stack"]

SLEEP = ("asyncio/tasks.py", "sleep")
# By file and qualified name. What the application calls decides, not what that calls in turn. Second: the detail.
WAITS = {
    SLEEP: ("sleep", ""),
    ("asyncio/locks.py", "Lock.acquire"): ("lock", "Lock"),
    ("asyncio/locks.py", "Semaphore.acquire"): ("lock", "Semaphore"),
    ("asyncio/locks.py", "Condition.wait"): ("lock", "Condition"),
    ("asyncio/locks.py", "Barrier.wait"): ("lock", "Barrier"),
    ("asyncio/locks.py", "Event.wait"): ("event", ""),
    ("asyncio/queues.py", "Queue.get"): ("queue", "get"),
    ("asyncio/queues.py", "Queue.put"): ("queue", "put"),
    ("asyncio/queues.py", "Queue.join"): ("queue", "join"),
    ("asyncio/tasks.py", "_wait"): ("tasks", "wait"),
    ("asyncio/taskgroups.py", "TaskGroup.__aexit__"): ("tasks", "TaskGroup"),
    ("asyncio/taskgroups.py", "TaskGroup._aexit"): ("tasks", "TaskGroup"),
    ("asyncio/threads.py", "to_thread"): ("thread", ""),
    ("asyncio/streams.py", "StreamReader._wait_for_data"): ("socket", "read"),
    ("asyncio/streams.py", "FlowControlMixin._drain_helper"): ("socket", "write"),
    ("asyncio/subprocess.py", "Process.wait"): ("process", ""),
    ("asyncio/subprocess.py", "Process.communicate"): ("process", ""),
    ("asyncio/base_subprocess.py", "BaseSubprocessTransport._wait"): ("process", ""),
}
# One query waits many times, and says only at the first what it is.
QUERIES = {
    ("db/session.py", "Session.run"),
    ("db/session.py", "Session.stream"),
    ("db/executor.py", "RowStream._more"),
}
DEEP = 64  # links of a chain that are followed


def explain(record: Record) -> Label:
    """The label of the wait that a suspended record is in."""
    frames = list(chain(record.coro))
    at = place_of(reversed(frames))
    if record.why is not None:
        return Label(*record.why, at)
    names = [name_of(frame) for frame in frames]
    if record.said is not None and not QUERIES.isdisjoint(names):
        return Label(*record.said, at, goes_on=True)
    yours = [number for number, frame in enumerate(frames) if is_yours(frame.f_code.co_filename)]
    for name in names[yours[-1] if yours else 0 :]:
        if name in WAITS:
            return Label(*WAITS[name], at)
    if isinstance(record.future, Task):
        return Label("tasks", "", at)
    return (
        Label("tasks", "gather", at) if type(record.future).__name__ == "_GatheringFuture" else Label("other", "", at)
    )


def overdue(record: Record) -> float:
    """For how many seconds the `asyncio.sleep` of a suspended record has been over; 0.0 also if it hides that."""
    for frame in chain(record.coro):
        if name_of(frame) == SLEEP:
            # uvloop makes a sleep of less than half a millisecond without a timer.
            when: Callable[[], float] | None = getattr(frame.f_locals.get("h"), "when", None)
            return max(0.0, monotonic() - when()) if when is not None else 0.0
    return 0.0


def name_of(frame: FrameType) -> tuple[str, str]:
    """The file, with its folder, and the qualified name of what runs in a frame."""
    return "/".join(frame.f_code.co_filename.rsplit("/", 2)[-2:]), frame.f_code.co_qualname


def chain(awaiting: Any) -> Iterator[FrameType]:
    """The frames of a coroutine and of those it awaits, outermost first."""
    for _ in range(DEEP):
        for prefix, next_name in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            frame = getattr(awaiting, f"{prefix}_frame", None)
            if frame is not None:
                yield frame
                awaiting = getattr(awaiting, next_name)
                break
        else:
            return


def place_of(frames: Iterator[FrameType]) -> Place | None:
    """The first line of the application's own code, of frames from the inside out."""
    for frame in frames:
        if is_yours(frame.f_code.co_filename):
            return Place(frame.f_code.co_filename, frame.f_lineno)
    return None


def stack(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and its callers, from the inside out."""
    while frame is not None:
        yield frame
        frame = frame.f_back

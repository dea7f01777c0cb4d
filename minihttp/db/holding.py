"""Who has a connection for long: said once in the log, and taken back where its task has ended.

Owns: the alarm over the connections that are lent, and finding the line of the program that keeps one.
Must not know: why a connection was lent, or how it is closed.
Invariant: to lend a connection costs no more than remembering its task; the rest is found out when it has been held
for too long. Trade-off: so the line is the one where the task is now, not the one where it asked.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from pathlib import Path
from types import FrameType
from typing import Any, Generic

from .alarm import Alarm
from .connection import C, Slot

__all__ = ["Holding", "longest_held", "place"]

logger = logging.getLogger("minihttp.db")

# Code that is not the application's: this package, Python's own, and what is installed beside it.
FOLDERS = (Path(__file__).parents[1], *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")))
LIBRARIES = tuple([f"{folder}{os.sep}" for folder in FOLDERS])


class Holding(Generic[C]):
    """Looks after `used` connections: after `limit` seconds with one task (0: never) a warning names that task.

    A connection whose task has ended by then is given to `take_back`.
    """

    def __init__(self, used: Mapping[C, Slot[C]], limit: float, take_back: Callable[[Slot[C]], None]) -> None:
        self._used = used
        self._limit = limit or inf
        self._take_back = take_back
        self._alarm = Alarm(self._look)
        self._alarm.by(asyncio.get_running_loop().time() + self._limit)

    def stop(self) -> None:
        """Look no further."""
        self._alarm.stop()

    def _look(self, now: float) -> float:
        held = [(slot.holder, slot) for slot in self._used.values() if slot.holder is not None]
        for holder, slot in held:
            if slot.since + self._limit > now:
                continue
            if holder.done():
                logger.warning(
                    "%s and has ended: the connection is closed and replaced", says(holder, now - slot.since)
                )
                self._take_back(slot)
            elif slot.warned != slot.since:
                logger.warning("%s: end transactions and iterations sooner", says(holder, now - slot.since))
            slot.warned = slot.since
        # What is lent from now on is due that much later, or after; then it is also time to ask whether those whom the
        # log knows have ended.
        return min((slot.since for _, slot in held if slot.warned != slot.since), default=now) + self._limit


def longest_held(slots: Iterable[Slot[Any]], now: float) -> str:
    """Who has had a connection for the longest time, for the message to those who wait for one."""
    held = [(slot.since, slot.holder) for slot in slots if slot.holder is not None]
    if not held:
        return ""
    since, holder = min(held, key=lambda each: each[0])
    return f"; {says(holder, now - since)}: end transactions and iterations sooner, or raise pool_size"


def says(holder: asyncio.Task[Any], seconds: float) -> str:
    return f"{holder.get_name()} ({place(holder)}) has held a database connection for {seconds:.1f} s"


def place(task: asyncio.Task[Any]) -> str:
    """The line of the application where the task is, `at /srv/reports.py:31`; of one that has ended, its coroutine."""
    coroutine = task.get_coro()
    frames = [(frame.f_code.co_filename, frame.f_lineno) for frame in _frames(coroutine)]
    application = [each for each in frames if not each[0].startswith(LIBRARIES)]
    for file, line in (application or frames)[-1:]:
        return f"at {file}:{line}"
    code = getattr(coroutine, "cr_code", None)  # the driver's coroutines have none
    return f"from {code.co_filename}:{code.co_firstlineno}" if code is not None else "of unknown origin"


def _frames(step: Any) -> Iterator[FrameType]:
    """The frames of a coroutine that waits, from the outermost on."""
    while step is not None:
        frame = getattr(step, "cr_frame", None) or getattr(step, "gi_frame", None)
        if frame is not None:
            yield frame
        step = getattr(step, "cr_await", None) or getattr(step, "gi_yieldfrom", None)

"""Who waits for a connection, and how long nobody needs to try while the server is down.

Owns: the queue of waiting tasks, and the back-off between failed connects.
Must not know: connections, the pool, any I/O.
Invariant: plain data and plain functions; times are given by the caller, so that every decision can be tested
without a clock.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from .errors import DatabaseError, Unavailable

__all__ = ["Outage", "Waiters"]

T = TypeVar("T")

logger = logging.getLogger("minihttp.db")

FIRST_RETRY = 0.05  # seconds; doubled per failure up to the option retry_wait


class Waiters(OrderedDict["asyncio.Future[T]", float]):
    """Tasks in the order in which they came, until when each waits; those that gave up are passed over.

    Ordered, so that the first is cheap to take, and a dict, so that one that gives up is cheap to remove.
    """

    def grant(self, value: T) -> bool:
        """Give the value to the first who still waits; False where nobody does."""
        while self:
            future, _ = self.popitem(last=False)
            if not future.done():
                future.set_result(value)
                return True
        return False

    def late(self, now: float) -> list[asyncio.Future[T]]:
        """Take those out of the queue whose time is over."""
        late = [future for future, until in self.items() if until <= now]
        for future in late:
            del self[future]
        return [future for future in late if not future.done()]

    def next(self) -> float:
        """When the first time is over; inf while nobody waits."""
        return min(self.values(), default=math.inf)

    def fail(self, make_error: Callable[[], Exception]) -> None:
        """Send everybody away. One exception each: an object raised in several tasks would mix their traces."""
        while self:
            future, _ = self.popitem(last=False)
            if not future.done():
                future.set_exception(make_error())


class Outage:
    """When to try to connect again: at once the first time, then after a growing, jittered time, up to `longest`.

    The operator reads one line when a database that was there is lost, and one when it is back.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._error: DatabaseError | None = None
        self._was_up = False
        self.failures = 0
        self.retry_at = 0.0

    def failed(self, error: DatabaseError, now: float) -> None:
        """A connect failed at `now` (seconds on the caller's clock)."""
        if self._was_up and not self.failures:
            logger.error("the database is lost, trying again until it is back: %s", error)
        wait = min(self._longest, FIRST_RETRY * 2 ** min(self.failures, 20))
        self.failures += 1
        self.retry_at = now + wait * random.uniform(0.5, 1.0)
        self._error = error

    def over(self) -> None:
        """A connect succeeded."""
        if self._was_up and self.failures:
            logger.warning("the database is back")
        self._was_up = True
        self.failures = 0
        self.retry_at = 0.0
        self._error = None

    def error(self, now: float) -> Unavailable:
        """Why there is no connection, as a new exception that says when to come back."""
        last = self._error
        wait = max(1, math.ceil(self.retry_at - now))
        error = Unavailable(str(last), code=last.code if last else None, retry_after=wait)
        error.__cause__ = last.__cause__ if last else None
        return error

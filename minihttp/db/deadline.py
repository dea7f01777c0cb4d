"""How long a statement may take: the deadline of `within`, else the option query_timeout.

Owns: the deadline in force, which a task inherits from the one that started it, and the work that is under way.
Must not know: sessions, the pool, SQL.
Invariant: an inner `within` can only shorten what an outer one allows. Work whose time is over is not started. A task
is cancelled by its deadline once, and whoever else cancels it meanwhile is not overheard. One alarm serves all work:
a timer for each would cost more than the statement does here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from math import inf
from types import TracebackType
from typing import Self

from .alarm import Alarm
from .errors import Timeout, UsageError

__all__ = ["Deadline", "Limit"]


class Deadline:
    """The limit of one database; `default` is in seconds, 0 for none."""

    def __init__(self, default: float) -> None:
        self.default = default or inf
        self.until: ContextVar[float | None] = ContextVar("until", default=None)
        self.running: set[Limit] = set()
        self.alarm = Alarm(self._ring)
        # Set while all work is on one loop: up to Python 3.11, to ask for the running one costs a system call.
        self.loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Everything run inside must be done `seconds` from now."""
        until = asyncio.get_running_loop().time() + seconds
        outer = self.until.get()
        token = self.until.set(until if outer is None else min(until, outer))
        try:
            yield
        finally:
            self.until.reset(token)

    @property
    def left(self) -> float:
        """Seconds until the `within` in force is over, infinite without one."""
        until = self.until.get()
        return inf if until is None else until - asyncio.get_running_loop().time()

    def stop(self) -> None:
        """Stop the timer: there will be no work for now."""
        self.alarm.stop()
        self.loop = None

    def late(self, what: str) -> Timeout:
        """The error for work that took too long."""
        limit = f"query_timeout allows ({self.default:g} s)" if self.until.get() is None else "`within` allows"
        advice = "" if what == "SELECT" else "; whether it was done is unknown"
        return Timeout(f"{what} took longer than {limit}{advice}")

    def _ring(self, now: float) -> float:
        pending = [limit for limit in self.running if not limit.is_over]
        for limit in pending:
            if limit.until <= now:
                limit.end()
        return min((limit.until for limit in pending if not limit.is_over), default=inf)


class Limit:
    """One piece of work of the current task, which is cancelled when its time is over, as `asyncio.timeout` does it.

    Example: `with Limit(deadline, "SELECT"): ...`. The time runs from the making on, to the end of the block. `what` is
    the first word of the statement, for the text of Timeout, which is raised before the block where the time is over
    already, else out of it. Without `default` there is no limit but that of `within`.
    """

    __slots__ = ("_cancels", "_deadline", "_what", "begun", "is_over", "task", "until")

    def __init__(self, deadline: Deadline, what: str, *, default: bool = True) -> None:
        loop = deadline.loop or asyncio.get_running_loop()
        until, now = deadline.until.get(), loop.time()
        if until is None:
            until = now + deadline.default if default else inf
        elif now >= until:
            raise Timeout(f"the time given by `within` was over before {what} was begun")
        task = asyncio.current_task(loop)
        if task is None:
            raise UsageError("this database was opened on another event loop: open one on each loop that uses it")
        self._deadline, self._what, self.until, self.is_over = deadline, what, until, False
        self.task, self.begun, self._cancels = task, now, task.cancelling()
        deadline.running.add(self)
        if until < deadline.alarm.at:
            deadline.alarm.by(until)

    def __enter__(self) -> Self:
        return self

    def end(self) -> None:
        """The time is over."""
        self.is_over = True
        self.task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadline.running.discard(self)
        # Where somebody else cancelled the task too, more cancellations are left than there were: that one goes on.
        if self.is_over and self.task.uncancel() <= self._cancels and isinstance(error, asyncio.CancelledError):
            raise self._deadline.late(self._what) from None

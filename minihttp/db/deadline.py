"""How long a statement may take: the deadline of `within`, else the option query_timeout.

Owns: the deadline in force, which a task inherits from the one that started it.
Must not know: sessions, the pool, SQL.
Invariant: an inner `within` can only shorten what an outer one allows. Work whose time is over is not started.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from math import inf
from typing import Any, TypeVar

from .errors import Timeout

__all__ = ["Deadline"]

T = TypeVar("T")


class Deadline:
    """The limit of one database; `default` is in seconds, 0 for none."""

    def __init__(self, default: float) -> None:
        self._default = default
        self._until: ContextVar[float | None] = ContextVar("until", default=None)

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Everything run inside must be done `seconds` from now."""
        until = asyncio.get_running_loop().time() + seconds
        outer = self._until.get()
        token = self._until.set(until if outer is None else min(until, outer))
        try:
            yield
        finally:
            self._until.reset(token)

    @property
    def is_over(self) -> bool:
        """Whether a `within` is in force whose time has passed."""
        return self.left <= 0

    @property
    def left(self) -> float:
        """Seconds until the `within` in force is over, infinite without one."""
        until = self._until.get()
        return inf if until is None else until - asyncio.get_running_loop().time()

    async def run(self, work: Coroutine[Any, Any, T], what: str, *, default: bool = True) -> T:
        """Do the work in time. Raises Timeout; `what` is the first word of the statement, for its text."""
        until = self._until.get()
        if until is None and not (default and self._default):
            return await work
        now = asyncio.get_running_loop().time()
        if until is not None and now >= until:
            work.close()
            raise Timeout(f"the time given by `within` was over before {what} was begun")
        try:
            async with asyncio.timeout_at(now + self._default if until is None else until) as scope:
                return await work
        except TimeoutError:
            if not scope.expired():
                raise
            limit = "`within` allows" if until is not None else f"query_timeout allows ({self._default:g} s)"
            advice = "" if what == "SELECT" else "; whether it was done is unknown"
            raise Timeout(f"{what} took longer than {limit}{advice}") from None

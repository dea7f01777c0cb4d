"""The handlers of the guided tour, each of which makes one pattern happen.

Owns: what they do, among it the mistakes that the tour is about.
Must not know: who asks, how the page tells the story.
Invariant: each ends by itself within seconds and touches nothing but time. They answer only to a header that no page
of another origin can send unasked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping

from .. import waits
from ..errors import HTTPError
from ..request import Request
from ..response import Response, Stream

__all__ = ["HEADER", "Tour"]

HEADER = "x-loop-tour"
LONG = 0.4  # seconds
QUERY = 0.15
PIECE, PIECES = b"\0" * 262_144, 32  # 8 MiB: more than any buffer between here and the browser
ROUNDS = 40_000  # of computing between two looks at the clock


class OnePool:
    """A pretended database pool of one connection."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)
        self._waiters = self._used = 0

    def gauge(self) -> Mapping[str, int | float | str]:
        """How full it is, as a real pool says it."""
        used, idle = self._used, 1 - self._used
        return {
            "kind": "pool",
            "name": "the tour's pool",
            "limit": 1,
            "used": used,
            "idle": idle,
            "waiters": self._waiters,
        }

    def held_by(self, task: object) -> float | None:
        """It does not know who holds its connection."""
        return None

    async def query(self, text: str) -> None:
        """Wait for the connection, then for the answer."""
        self._waiters += 1
        waits.waiting_for("connection", "1/1")
        try:
            await self._free.acquire()
        finally:
            self._waiters -= 1
        self._used = 1
        try:
            await query(text, QUERY)
        finally:
            self._used = 0
            self._free.release()


async def query(text: str, seconds: float) -> None:
    """A pretended query."""
    waits.waiting_for("query", text)
    await asyncio.sleep(seconds)


class Tour:
    """Answers `POST /_loop/demo/NAME`."""

    def __init__(self) -> None:
        self._pool = OnePool()
        self._demos = {
            "wait": self._wait, "sleep": self._sleep, "compute": self._compute, "thread": self._thread,
            "pool": self._ask_the_pool, "large": self._large, "rows": self._rows,
        }  # fmt: skip

    @property
    def names(self) -> Collection[str]:
        """What can be asked for."""
        return self._demos

    async def answer(self, request: Request, name: str) -> Response:
        """Run the demonstration of this name. Raises HTTPError: 404, 405 or 403."""
        demo = self._demos.get(name)
        if demo is None:
            raise HTTPError(404, f"the tour has no {name!r}")
        if request.method != "POST":
            raise HTTPError(405, "the tour asks with POST", {"allow": "POST"})
        if HEADER not in request.headers:
            raise HTTPError(403, f"only the tour's page asks here, and says so in the field {HEADER}")
        return await demo()

    async def _wait(self) -> Response:
        await asyncio.sleep(LONG)
        return Response(b"waited\n")

    async def _sleep(self) -> Response:
        time.sleep(LONG)  # noqa: ASYNC251 - the mistake of story 1
        return Response(b"slept\n")

    async def _compute(self) -> Response:
        end = time.perf_counter() + LONG
        while time.perf_counter() < end:
            sum(number * number for number in range(ROUNDS))
        return Response(b"computed\n")

    async def _thread(self) -> Response:
        await asyncio.to_thread(time.sleep, LONG)
        return Response(b"slept in a thread\n")

    async def _ask_the_pool(self) -> Response:
        waits.gauges.add(self._pool)
        await self._pool.query("SELECT * FROM user WHERE id = ?")
        return Response(b"asked\n")

    async def _large(self) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(PIECES):
                yield PIECE

        return Stream(pieces(), content_type="application/octet-stream")

    async def _rows(self) -> Response:
        await query("SELECT id FROM book LIMIT ?", 0.02)
        for _ in range(20):
            await query("SELECT name FROM author WHERE id = ?", 0.02)
        return Response(b"21 queries\n")

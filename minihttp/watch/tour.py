"""The handlers of the guided tour, each of which makes one pattern happen.

Owns: what they do, among it the mistakes that the tour is about.
Must not know: who asks, how the page tells the story.
Invariant: each ends by itself within seconds and touches nothing but time, and one of them a connection to its own
server. They answer only to a header that no page of another origin can send unasked.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from urllib.parse import urlsplit

from .. import waits
from ..errors import HTTPError
from ..request import Request
from ..response import Response, Stream
from .records import TOUR

__all__ = ["HEADER", "Tour"]

HEADER = "x-loop-tour"
LONG = 0.4  # seconds
WAIT = 0.15  # less: who only waits could go on long before a long step ends
QUERY = 0.15
PIECE, PIECES = b"\0" * 262_144, 32  # 8 MiB: more than the buffers between a server and a client on one machine
SIPS = (1.1, 0.1, 0.1)  # seconds before each of the first looks at the answer; the rest is taken at once
ROUNDS = 40_000  # of computing between two looks at the clock


class OnePool:
    """A pretended database pool of one connection."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)
        self._inside = 0  # who has it, and who waits for it

    def gauge(self) -> Mapping[str, int | float | str]:
        """How full it is, as a real pool says it."""
        used = min(self._inside, 1)  # it goes from hand to hand: while somebody waits, it is never free
        return {
            "kind": "pool",
            "name": "the tour's pool",
            "limit": 1,
            "used": used,
            "idle": 1 - used,
            "waiters": self._inside - used,
        }

    def held_by(self, task: object) -> float | None:
        """It does not know who holds its connection."""
        return None

    async def query(self, text: str) -> None:
        """Wait for the connection, then for the answer."""
        self._inside += 1
        waits.waiting_for("connection", "1/1")
        try:
            async with self._free:
                await query(text, QUERY)
        finally:
            self._inside -= 1


async def query(text: str, seconds: float) -> None:
    """A pretended query."""
    waits.waiting_for("query", text)
    await asyncio.sleep(seconds)


async def connect(address: str) -> tuple[StreamReader, StreamWriter]:
    """A connection to where this server listens itself, so that its certificate need not be looked at."""
    if address.startswith("unix:"):
        return await asyncio.open_unix_connection(address.removeprefix("unix:"))
    url, context = urlsplit(address), None
    if url.scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await asyncio.open_connection(url.hostname, url.port, ssl=context)


class Tour:
    """Answers `POST /_loop/demo/NAME`; `addresses()` tells where this server listens."""

    def __init__(self, addresses: Callable[[], Sequence[str]]) -> None:
        self._addresses = addresses
        self._pool = OnePool()
        self._demos: Mapping[str, Callable[[Request], Awaitable[Response]]] = {
            "wait": self._wait, "sleep": self._sleep, "compute": self._compute, "thread": self._thread,
            "pool": self._ask_the_pool, "large": self._large, "slow": self._take_slowly, "rows": self._rows,
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
        return await demo(request)

    async def _wait(self, request: Request) -> Response:
        await asyncio.sleep(WAIT)
        return Response(b"waited\n")

    async def _sleep(self, request: Request) -> Response:
        time.sleep(LONG)  # noqa: ASYNC251 - the mistake of story 1
        return Response(b"slept\n")

    async def _compute(self, request: Request) -> Response:
        end = time.perf_counter() + LONG
        while time.perf_counter() < end:
            sum(number * number for number in range(ROUNDS))
        return Response(b"computed\n")

    async def _thread(self, request: Request) -> Response:
        await asyncio.to_thread(time.sleep, LONG)
        return Response(b"slept in a thread\n")

    async def _ask_the_pool(self, request: Request) -> Response:
        waits.gauges.add(self._pool)
        await self._pool.query("SELECT * FROM user WHERE id = ?")
        return Response(b"asked\n")

    async def _large(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(PIECES):
                yield PIECE

        return Stream(pieces(), content_type="application/octet-stream")

    async def _take_slowly(self, request: Request) -> Response:
        """Be the slow client oneself: browsers take whatever comes."""
        addresses = self._addresses()
        if not addresses:
            raise HTTPError(503, "this server accepts no connection any more")
        reader, writer = await connect(addresses[0])
        try:
            head = f"POST {TOUR}large HTTP/1.1\r\nhost: {request.headers['host']}\r\n{HEADER}: 1\r\n"
            writer.write(f"{head}connection: close\r\n\r\n".encode())
            for pause in SIPS:
                await asyncio.sleep(pause)
                await reader.read(len(PIECE))
            while await reader.read(len(PIECE)):
                pass
        finally:
            writer.close()
        return Response(b"took it slowly\n")

    async def _rows(self, request: Request) -> Response:
        await query("SELECT id FROM book LIMIT ?", 0.02)
        for _ in range(20):
            await query("SELECT name FROM author WHERE id = ?", 0.02)
        return Response(b"21 queries\n")

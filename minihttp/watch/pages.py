"""`/_loop`: the page, its feed, and the trace, for people at this machine.

Owns: the addresses below `/_loop`, and who may ask for them.
Must not know: how a snapshot is made.
Invariant: answered only to a client on this machine that asked for a name of this machine (a foreign page's script
comes under a foreign name), unless the option watch_hosts says otherwise. Over a Unix socket nobody is known to be on
this machine: what listens there listens behind a proxy. Nothing is made while nobody looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from .. import codec
from ..errors import HTTPError
from ..request import Request
from ..response import Response, Stream
from .export import trace
from .recorder import Recorder
from .records import PREFIX, TOUR, Snapshot
from .tour import Tour

__all__ = ["Page"]

FILES = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
}
OURS = ("localhost", "127.0.0.1", "[::1]")
PERIOD = 0.5  # seconds between two pieces of the feed
FEEDS = 8  # at once


class Watched(Protocol):
    """What can be looked at."""

    recorder: Recorder

    def addresses(self) -> Sequence[str]: ...

    def snapshot(self, since: float = 0.0) -> Snapshot: ...


class Page:
    """Answers requests below `/_loop`. `hosts` are names, separated by commas, under which anybody may ask."""

    def __init__(self, watch: Watched, hosts: str = "") -> None:
        self._watch = watch
        self._hosts = {each.strip().lower() for each in hosts.split(",")} - {""}
        self._stopped = asyncio.Event()
        self._tour = Tour(watch.addresses)
        self._files = {each.name for each in FILES.iterdir()}
        self._feeds = 0

    def stop(self) -> None:
        """The server drains: feeds, which have no end, end now."""
        self._stopped.set()

    async def answer(self, request: Request) -> Response:
        """The page, or what it needs. Raises HTTPError for whoever may not see it, and for what is not there."""
        self._check(request)
        if request.raw_path.startswith(TOUR):
            return await self._tour.answer(request, request.raw_path.removeprefix(TOUR))
        if request.method not in ("GET", "HEAD"):
            raise HTTPError(405, "this page is only looked at", {"allow": "GET, HEAD"})
        name = request.raw_path.removeprefix(PREFIX).removeprefix("/") or "index.html"
        if name == "feed":
            return self._feed()
        if name in ("snapshot.json", "trace.json"):
            return Response(await asyncio.to_thread(self._json, name), headers=HEADERS, content_type="application/json")
        if name in self._files:
            body = await asyncio.to_thread((FILES / name).read_bytes)
            return Response(body, headers=HEADERS, content_type=TYPES[Path(name).suffix])
        raise HTTPError(404, f"there is {PREFIX}, {PREFIX}/feed, {PREFIX}/snapshot.json and {PREFIX}/trace.json")

    def _check(self, request: Request) -> None:
        host = request.headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name in self._hosts:
            return
        near = request.client is not None and ip_address(request.client[0].partition("%")[0]).is_loopback
        forwarded = "forwarded" in request.headers or "x-forwarded-for" in request.headers
        if not near or forwarded or name not in OURS:
            raise HTTPError(403, f"{PREFIX} is for this machine; the option watch_hosts names others that may see it")

    def _json(self, name: str) -> bytes:
        snapshot = self._watch.snapshot()
        return codec.encode(snapshot if name == "snapshot.json" else trace(snapshot))

    def _since(self, since: float) -> bytes:
        return codec.encode(self._watch.snapshot(since))

    def _feed(self) -> Response:
        if self._feeds >= FEEDS:
            raise HTTPError(503, f"{FEEDS} pages look at this already")
        return Stream(self._events(), headers=HEADERS, content_type="text/event-stream")

    async def _events(self) -> AsyncGenerator[bytes, None]:
        """Snapshots as server-sent events: the first has every lane, the next those that lived since the one before."""
        self._feeds += 1
        since = 0.0
        try:
            while not self._stopped.is_set():
                now = self._watch.recorder.clock()
                yield b"data: " + await asyncio.to_thread(self._since, since) + b"\n\n"
                since = now
                with suppress(TimeoutError):
                    async with asyncio.timeout(PERIOD):
                        await self._stopped.wait()
        finally:
            self._feeds -= 1

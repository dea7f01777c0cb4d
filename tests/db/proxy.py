"""A TCP proxy between the program and its database that cuts, delays and falls silent where a test says.

Owns: listening, passing bytes on, and one fault at a time, counted in bytes.
Must not know: MySQL, minihttp.
Invariant: bytes before the fault arrive, bytes behind it never do; without a fault nothing is changed.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import Literal, NamedTuple, Self

Way = Literal["request", "answer"]
# cut: both sides see the end; reset: both see it as an error; silence: nobody sees anything.
Kind = Literal["cut", "reset", "silence"]


class Fault(NamedTuple):
    """What happens behind the first `after` bytes that go this `way` from now on, whichever connection they are of."""

    way: Way
    after: int
    kind: Kind


class Link:
    """One connection through the proxy; `silent` ones stay open, pass nothing on and take nothing more."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.writers = {"request": server, "answer": client}
        self.silent = False

    def close(self, kind: Kind) -> None:
        """Bytes on their way arrive, unless it is a reset: then the other side may never see them."""
        if kind == "silence":
            self.silent = True
            return
        for writer in self.writers.values():
            if kind == "reset":
                writer.transport.abort()
            else:
                writer.close()


class Proxy:
    """Example: `async with Proxy("127.0.0.1", port) as proxy: Database(proxy.url(server.url()))`."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._fault: Fault | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._struck: asyncio.Event = asyncio.Event()
        self._listening: asyncio.Server | None = None
        self.links: list[Link] = []
        self.passed: Counter[Way] = Counter()
        self.mute = False  # new connections are accepted, and hear nothing
        self.listener: Callable[[bytes], None] = lambda data: None  # hears what the program sends
        self.delay = 0.0  # seconds, for everything in both directions
        self.port = 0

    @classmethod
    def before(cls, url: str) -> Self:
        """A proxy to the server of this URL."""
        host, _, port = url.partition("@")[2].partition("/")[0].partition(":")
        return cls(host, int(port))

    def url(self, url: str) -> str:
        """The same database through the proxy."""
        host, port = self._target
        return url.replace(f"@{host}:{port}/", f"@127.0.0.1:{self.port}/")

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *reason: object) -> None:
        self.stop_listening()
        for link in self.links:
            link.close("reset")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self) -> None:
        """Accept connections, on the same port as before."""
        listening = socket.create_server(("127.0.0.1", self.port))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # what it does not read, it does not take
        self._listening = await asyncio.start_server(self._accepted, sock=listening)
        self.port = listening.getsockname()[1]

    def stop_listening(self) -> None:
        """Refuse new connections; those that there are stay."""
        if self._listening is not None:
            self._listening.close()

    def fail(self, way: Way, after: int, kind: Kind) -> None:
        """Let the next bytes that go this way meet with a fault, once."""
        self._fault = Fault(way, after, kind)
        self._struck = asyncio.Event()

    async def struck(self) -> None:
        """Returns when the fault has come about."""
        await self._struck.wait()

    def cut_all(self, kind: Kind = "reset") -> None:
        """End every connection there is."""
        for link in self.links:
            link.close(kind)
        self.links.clear()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mute:
            link = Link(writer, writer)
            link.silent = True
            self.links.append(link)
            return
        try:
            from_server, to_server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        link = Link(writer, to_server)
        self.links.append(link)
        for pump in (self._pump(link, "request", reader), self._pump(link, "answer", from_server)):
            task = asyncio.create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, link: Link, way: Way, source: asyncio.StreamReader) -> None:
        target = link.writers[way]
        try:
            while data := await source.read(1 << 16):
                if way == "request":
                    self.listener(data)
                if self.delay:
                    await asyncio.sleep(self.delay)
                if link.silent:
                    return
                fault = self._fault
                if fault is None or fault.way != way:
                    target.write(data)
                    self.passed[way] += len(data)
                elif len(data) <= fault.after:
                    self._fault = fault._replace(after=fault.after - len(data))
                    target.write(data)
                    self.passed[way] += len(data)
                else:
                    target.write(data[: fault.after])
                    self._fault = None
                    await target.drain()
                    link.close(fault.kind)
                    self._struck.set()
                await target.drain()
        except (ConnectionError, OSError):
            pass
        if not link.silent:
            link.close("cut")

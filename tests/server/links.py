"""The server's protocol over memory and over a real socket, driven by the same calls.

Owns: both kinds of link, the watching of the protocol, and what must hold when a test is over: no connection, timer
or task left, no stage change that the table does not know, nothing that asyncio had to report.
Must not know: what is tested.
Invariant: waiting is for events. `until` looks again after everything that happens to a protocol.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

from minihttp.options import Limits
from minihttp.request import Request
from minihttp.response import Response
from minihttp.server.connection import Connection
from minihttp.server.exchange import serve_request
from minihttp.server.protocol import HTTPProtocol
from minihttp.server.service import Handler, Service
from minihttp.server.stages import TRANSITIONS, Stage
from minihttp.testing import MemoryTransport, Reply, ReplyReader

__all__ = ["End", "Host", "Watched", "chunked", "echo", "get", "ok", "post", "turns"]

PATIENCE = 10.0  # seconds until a test that waits for something fails


def get(path: str = "/", *fields: str, method: str = "GET", minor: int = 1) -> bytes:
    """A request without a body."""
    return "\r\n".join([f"{method} {path} HTTP/1.{minor}", "host: a", *fields, "", ""]).encode()


def post(body: bytes, path: str = "/", *fields: str, method: str = "POST", minor: int = 1) -> bytes:
    """A request with a Content-Length."""
    return get(path, f"content-length: {len(body)}", *fields, method=method, minor=minor) + body


def chunked(*chunks: bytes, path: str = "/", trailers: bytes = b"") -> bytes:
    """A request with a chunked body."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks)
    return get(path, "transfer-encoding: chunked", method="POST") + body + b"0\r\n" + trailers + b"\r\n"


async def ok(request: Request) -> Response:
    """Says which path was asked for, without waiting."""
    return Response(request.raw_path)


async def echo(request: Request) -> Response:
    """The body back."""
    return Response(await request.body(), content_type="application/octet-stream")


async def turns(count: int = 10) -> None:
    """Let the loop turn: whatever does not wait for anything outside has happened then."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        turned = loop.create_future()
        loop.call_soon(turned.set_result, None)
        await turned


class Watched(HTTPProtocol):
    """A protocol that tells of everything that happens to it, and whose stages are held to the table."""

    def __init__(self, service: Service[HTTPProtocol], keep: object = None) -> None:
        self.stages: list[Stage] = []
        self.happened = asyncio.Event()
        self.calls: list[str] = []
        super().__init__(service, keep)

    @property
    def stage(self) -> Stage:  # type: ignore[override]  # an attribute below, watched here
        return Connection.stage.__get__(self)

    @stage.setter
    def stage(self, stage: Stage) -> None:
        if self.stages and stage is not self.stages[-1]:
            assert stage in TRANSITIONS[self.stages[-1]], f"from {self.stages[-1]} to {stage}"
        if not self.stages or stage is not self.stages[-1]:
            self.stages.append(stage)
        Connection.stage.__set__(self, stage)
        self.happened.set()

    def note(self, call: str) -> None:
        self.calls.append(call)
        self.happened.set()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.note("data_received")

    def eof_received(self) -> bool:
        stays = super().eof_received()
        self.note("eof_received")
        return stays

    def pause_writing(self) -> None:
        super().pause_writing()
        self.note("pause_writing")

    def resume_writing(self) -> None:
        super().resume_writing()
        self.note("resume_writing")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.note("connection_lost")

    def finish(self) -> None:
        super().finish()
        self.note("finish")


class End:
    """The client's end of a link, and the protocol at the other."""

    def __init__(self, protocol: Watched, transport: asyncio.Transport, replies: ReplyReader) -> None:
        self.protocol = protocol
        self.transport = transport  # the server's
        self.replies = replies

    async def until(self, true: Callable[[], Any]) -> None:
        """Return when it is true, looking again after each thing that happens to the protocol."""
        async with asyncio.timeout(PATIENCE):
            while not true():
                self.protocol.happened.clear()
                await self.protocol.happened.wait()

    async def reply(self, method: str = "GET", minor: int = 1) -> Reply:
        async with asyncio.timeout(PATIENCE):
            return await self.replies.read(method, minor)

    async def interim(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.replies.interim()

    async def everything(self) -> bytes:
        """All bytes until the server closes."""
        pieces = [self.replies.buffered]
        async with asyncio.timeout(PATIENCE):
            while piece := await self.receive():
                pieces.append(piece)
        return b"".join(pieces)

    async def last(self, method: str = "GET", minor: int = 1) -> Reply:
        """The reply behind which the server closes: nothing follows it."""
        reply = await self.reply(method, minor)
        assert reply.closes
        assert await self.everything() == b""
        return reply

    async def ended(self) -> None:
        await self.until(lambda: "connection_lost" in self.protocol.calls)

    def send(self, *pieces: bytes) -> None:
        raise NotImplementedError

    def eof(self) -> None:
        raise NotImplementedError

    def reset(self) -> None:
        raise NotImplementedError

    async def receive(self) -> bytes:
        raise NotImplementedError


class MemoryEnd(End):
    transport: MemoryTransport

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.transport.send(piece)

    def eof(self) -> None:
        self.transport.send_eof()

    def reset(self) -> None:
        self.transport.reset()

    async def receive(self) -> bytes:
        return await self.transport.receive()


class SocketEnd(End):
    def __init__(
        self,
        protocol: Watched,
        transport: asyncio.Transport,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        super().__init__(protocol, transport, ReplyReader(self.receive))
        self.reader, self.writer = reader, writer

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)

    def eof(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        # No lingering: the system sends a reset instead of an orderly end.
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def receive(self) -> bytes:
        return await self.reader.read(1 << 16)


class Host:
    """A handler that is served, and the links to it. `kind` is "memory" or "socket"."""

    def __init__(self, kind: str, handler: Handler, limits: Limits) -> None:
        self.kind = kind
        self.service: Service[HTTPProtocol] = Service(handler, limits, asyncio.get_running_loop(), serve_request)
        self.reported: list[dict[str, Any]] = []
        self.ends: list[End] = []
        self._accepted: asyncio.Queue[tuple[Watched, asyncio.Transport]] = asyncio.Queue()
        self._listener: asyncio.Server | None = None
        self._tasks = asyncio.all_tasks()

    async def start(self) -> None:
        self.service.loop.set_exception_handler(lambda loop, context: self.reported.append(context))
        if self.kind == "socket":
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = Watched(self.service, writer)
        writer.transport.set_protocol(protocol)
        protocol.connection_made(writer.transport)
        self._accepted.put_nowait((protocol, writer.transport))

    async def connect(self, *, window: int | None = None, high_water: int | None = None) -> End:
        """A new link. Small `window` and `high_water` make the server's transport full early."""
        if self._listener is None:
            protocol = Watched(self.service)
            sizes = {"window": window, "high_water": high_water}
            transport = MemoryTransport(protocol, **{name: size for name, size in sizes.items() if size is not None})
            end: End = MemoryEnd(protocol, transport, ReplyReader(transport.receive))
        else:
            sock = socket.socket()
            if window is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            sock.setblocking(False)
            await self.service.loop.sock_connect(sock, self._listener.sockets[0].getsockname())
            reader, writer = await asyncio.open_connection(sock=sock, limit=window or 1 << 16)
            protocol, server_side = await self._accepted.get()
            if window is not None:
                server_side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, window)
            if high_water is not None:
                server_side.set_write_buffer_limits(high_water)
            end = SocketEnd(protocol, server_side, reader, writer)
        self.ends.append(end)
        return end

    async def close(self) -> None:
        """The clients go, the running handlers are cancelled, and nothing may remain."""
        for end in self.ends:
            if isinstance(end, SocketEnd):
                end.writer.transport.abort()
            elif "connection_lost" not in end.protocol.calls:
                end.reset()
        for protocol in list(self.service.connections):
            protocol.cancel()
            protocol.abort()
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        async with asyncio.timeout(PATIENCE):
            await self.service.emptied()
        self.ends.clear()
        await turns()
        assert self.service.deadlines._timer is None, "the timer runs on without a connection"
        assert asyncio.all_tasks() - {asyncio.current_task()} <= self._tasks, "a task was left behind"
        assert self.reported == [], "asyncio had to report something"

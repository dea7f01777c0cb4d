"""Clients of bytes: good ones that read strictly, and sockets to be mistreated.

Owns: connecting, one asking client, many at a time, and the cutting of a connection in each of its ways.
Must not know: what the server makes of it.
Invariant: a socket made in a block is closed when the block is left.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

from minihttp.testing import Reply, ReplyReader

from .process import PATIENCE, Process

__all__ = ["BATCH", "Bystander", "Peer", "ask", "bystander", "connect", "crowd", "cut", "peer", "rest"]

BATCH = 200  # connections made before the server is waited for: the queue of the listening socket is not the subject
# Bytes of a segment on Ethernet. On loopback they have 64 KiB, and for those the system makes buffers of megabytes.
SEGMENT = 1460
RESET = struct.pack("ii", 1, 0)


class Peer:
    """A client that reads its replies strictly."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.replies = ReplyReader(lambda: reader.read(1 << 18))

    def send(self, path: str = "/", method: str = "GET", head: str = "") -> None:
        self.writer.write(f"{method} {path} HTTP/1.1\r\nhost: a\r\n{head}\r\n".encode())

    async def ask(self, path: str = "/", method: str = "GET", head: str = "") -> Reply:
        self.send(path, method, head)
        async with asyncio.timeout(PATIENCE):
            return await self.replies.read(method)


@asynccontextmanager
async def peer(server: Process) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def ask(server: Process, path: str = "/", method: str = "GET") -> Reply:
    """One request on a connection of its own."""
    async with peer(server) as one:
        return await one.ask(path, method, "connection: close\r\n")


class Bystander:
    """A decent client that asks all the time, to see whether others still are served."""

    def __init__(self) -> None:
        self.answered = 0
        self.longest = 0.0  # seconds
        self.over = False

    def row(self) -> tuple[str, str]:
        """For the table of what was measured."""
        return "meanwhile, a bystander", f"{self.answered} answers, the slowest after {self.longest * 1000:.0f} ms"

    async def watch(self, server: Process) -> None:
        while not self.over:
            since = time.monotonic()
            reply = await ask(server)
            if reply.text != "hello":
                raise RuntimeError(f"a bystander was answered {reply!r}")
            self.answered += 1
            self.longest = max(self.longest, time.monotonic() - since)
            await asyncio.sleep(0.02)  # decent


@asynccontextmanager
async def bystander(server: Process) -> AsyncIterator[Bystander]:
    """Somebody who asks on new connections while the block runs; whatever goes wrong with that is raised at its end."""
    one = Bystander()
    watching = asyncio.create_task(one.watch(server))
    try:
        yield one
    finally:
        one.over = True
        await watching


# -- sockets to be mistreated ------------------------------------------------------------------------------------------


def connect(server: Process, number: int = 0, receive: int = 0) -> socket.socket:
    """A socket that does not block; of many thousands some come from other addresses, as ports are few."""
    one = socket.socket()
    try:
        if receive:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        if number and sys.platform == "linux":
            one.bind((f"127.0.0.{1 + number // 8000}", 0))
        one.settimeout(PATIENCE)
        one.connect((server.host, server.port))
        one.setblocking(False)
    except BaseException:
        one.close()
        raise
    return one


@asynccontextmanager
async def crowd(
    server: Process, count: int, request: bytes = b"", receive: int = 0, accepted: bool = True
) -> AsyncIterator[list[socket.socket]]:
    """So many clients, each of which has sent `request`, and that the server has accepted all at the same time."""
    with ExitStack() as stack:
        many: list[socket.socket] = []
        for first in range(0, count, BATCH):
            for number in range(first, min(first + BATCH, count)):
                one = stack.enter_context(connect(server, number, receive))
                if request:
                    one.sendall(request)
                many.append(one)
            if accepted:
                await server.until(lambda health: health["connections"] >= len(many))
        yield many


async def rest(one: socket.socket) -> bytes:
    """What comes until the end of the connection, b"" where it was reset."""
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionError):
            while piece := await loop.sock_recv(one, 1 << 16):
                data += piece
    return data


def cut(one: socket.socket, how: str) -> None:
    """End a connection: `reset` at once, `close`, or `half`, of our side only."""
    with suppress(OSError):  # the server may have been first
        if how == "half":
            one.shutdown(socket.SHUT_WR)
            return
        if how == "reset":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    one.close()

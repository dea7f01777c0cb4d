"""Flow control of a connection, both ways: what is written, what is held back, whether we read.

Owns: the transport, the answers collected for one write, and who waits for room in its buffer.
Must not know: what is written or read, or why.
Invariant: bytes leave in the order in which they came; a writer waits only while the transport's buffer is full, and
is always woken: by room, or by the loss of the client.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from ..errors import ClientDisconnected
from ..waits import waiting_for

__all__ = ["Flow"]

BATCH = 1 << 16  # bytes of answers held for one write, at the most
SHARE = 4  # chunks of one answer between two turns of the loop: megabytes fit into the system's buffers
NOTHING_LEFT = struct.pack("ii", 1, 0)  # SO_LINGER: what is not sent when the socket closes is thrown away


class Flow:
    """A transport as a connection uses it: `write` at once, `hold` for the next write, `drain` waits for room."""

    __slots__ = (
        "_drained", "_left", "_loop", "_lost", "_size", "_waiters", "held", "is_full", "is_reading", "send",
        "transport",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.send: Callable[[bytes], None] = transport.write
        self.held: list[bytes] = []  # for the next write
        self.is_full = False
        self.is_reading = True
        self._loop = loop
        self._size = 0  # of what is held
        self._drained = 0
        self._left = 0  # bytes unsent when somebody last looked
        self._lost = False
        self._waiters: tuple[asyncio.Future[None], ...] = ()

    def hold(self, data: bytes) -> None:
        """Write later, with more; at the latest when BATCH is reached."""
        self.held.append(data)
        self._size += len(data)
        if self._size > BATCH:
            self.flush()

    def write(self, data: bytes) -> None:
        """Write now, behind what was held."""
        if self.held:
            self.held.append(data)
            self.flush()
        else:
            self.send(data)

    def flush(self) -> None:
        """Write what was held."""
        if self.held:
            data = b"".join(self.held)
            self.held.clear()
            self._size = 0
            self.send(data)

    def read(self, on: bool) -> None:
        """Take bytes from the socket, or leave them there, so that the client has to wait."""
        if on is not self.is_reading and not self.transport.is_closing():
            self.is_reading = on
            if on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def unsent(self) -> int:
        """How many bytes the client has not taken yet."""
        self._left = self.transport.get_write_buffer_size()
        return self._left

    def has_moved(self) -> bool:
        """Whether the client has taken bytes since this or `unsent` was last asked."""
        return self._left > self.unsent()

    def has_rest(self) -> bool:
        """Whether some of it is still to be taken; from now on the transport tells when all of it is gone."""
        self.transport.set_write_buffer_limits(1)
        return self.is_full

    def fill(self) -> None:
        """The transport's buffer is full."""
        self.is_full = True
        self.unsent()

    def clear(self) -> None:
        """The transport's buffer has room again."""
        self.is_full = False
        self._wake()

    def reset(self) -> None:
        """End it at once, and let go of what the system holds for a client that takes nothing: megabytes, for ever."""
        sock = self.transport.get_extra_info("socket")
        with suppress(OSError):  # it is closed already
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOTHING_LEFT)
        self.transport.abort()

    def lose(self) -> None:
        """The client is gone: nothing will be taken any more."""
        self._lost = True
        self.send = ignore
        self.held.clear()
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters = ()

    async def drain(self) -> None:
        """Return when more may be written. Raises ClientDisconnected once the client is gone."""
        self.flush()
        # A transport that closes by itself has met an error; that the client is lost it tells in a later turn.
        while (self.is_full or self.transport.is_closing()) and not self._lost:
            waiting_for("client", "to take its answer")
            await self._turn()
        self._drained += 1
        if self._drained % SHARE == 0:
            self._loop.call_soon(self._wake)
            await self._turn()
        if self._lost:
            raise ClientDisconnected("the client went away while its answer was sent")

    async def _turn(self) -> None:
        """Return when somebody has called `_wake`."""
        waiter = self._loop.create_future()
        self._waiters += (waiter,)
        await waiter


def ignore(data: bytes) -> None:
    """Takes the place of a transport's `write` once the client is gone."""

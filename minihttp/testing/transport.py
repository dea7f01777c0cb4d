"""A transport without a socket: what a protocol writes is there to be read, what a test sends arrives.

Owns: both directions of one connection, their buffers, and the order in which a protocol is told of things.
Must not know: HTTP.
Invariant: a protocol is called as asyncio calls it: from the loop, never from within its own call of the transport;
`connection_lost` once, and nothing after it. Stricter than Linux in one point: a connection closed over bytes that
were not read tears away what the client had not read yet, as the other systems do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

__all__ = ["MemoryTransport"]

PIECE = 1 << 18  # bytes; asyncio reads so many from a socket at a time
MARK = 1 << 16  # bytes; asyncio's high-water mark, and what a small socket buffer holds


class MemoryTransport(asyncio.Transport):
    """One connection: the protocol's transport on one side, a client's `send` and `receive` on the other.

    `window` is how many unread bytes the client's system holds for it, `high_water` how many more the transport
    buffers before it calls `pause_writing`; below a quarter of them it calls `resume_writing`. `writes` has every
    write by itself, `dropped` counts bytes that were written after the end. `extra` is for `get_extra_info`.

    Example: `MemoryTransport(protocol, window=0, high_water=100)` is full after 101 bytes that nobody read.
    """

    def __init__(
        self,
        protocol: asyncio.Protocol,
        *,
        window: int = MARK,
        high_water: int = MARK,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 80), **(extra or {})})
        self.writes: list[bytes] = []
        self.dropped = 0
        self.window = window
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.Protocol | None = protocol
        self._incoming: deque[bytes | None] = deque()  # what the client sent; None is the end
        self._unread = bytearray()  # what the client has not read
        self._waiters: list[asyncio.Future[None]] = []
        self._delivers = False  # a delivery is scheduled
        self._reads = True
        self._full = False
        self._ended = False  # nothing more will be written
        self._closing = False
        self._lost = False
        self._failure: BaseException | None = None  # why the client's reads fail
        self._reset = False
        self.set_write_buffer_limits(high_water)
        protocol.connection_made(self)

    def __repr__(self) -> str:
        state = "lost" if self._lost else "closing" if self._closing else "open"
        return f"<MemoryTransport {state}, {self.undelivered} bytes to the protocol, {len(self._unread)} to the client>"

    # -- the protocol's side -----------------------------------------------------------------------------------------

    def get_protocol(self) -> asyncio.BaseProtocol:
        if self._protocol is None:
            raise RuntimeError("the connection is lost, and its protocol forgotten")
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError(f"a MemoryTransport is for an asyncio.Protocol, not {type(protocol).__name__}")
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reads and not self._closing

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True
        self._schedule()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = MARK if high is None else high
        self._low = self._high // 4 if low is None else low
        self._check_room()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return max(0, len(self._unread) - self.window)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._ended and not self._closing:
            raise RuntimeError("write() after write_eof()")
        if self._closing or self._reset:
            self.dropped += len(data)
            self._schedule(noticed=self._reset)
        elif data:
            self.writes.append(bytes(data))
            self._unread += data
            self._wake()
            self._check_room()

    def _check_room(self) -> None:
        if not self._full and self.get_write_buffer_size() > self._high:
            self._full = True
            self.get_protocol_of_stream().pause_writing()

    def get_protocol_of_stream(self) -> asyncio.Protocol:
        """The protocol, with its type."""
        protocol = self.get_protocol()
        return protocol  # type: ignore[return-value]  # set_protocol takes no other

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._ended = True
        self._wake()

    def close(self) -> None:
        if not self._closing:
            self._closing = self._ended = True
            self._wake()
            self._settle()

    def abort(self) -> None:
        if not self._lost:
            self._closing = self._ended = True
            del self._unread[self.window :]  # the rest had not left the transport yet
            self._loop.call_soon(self._lose, None)

    def _settle(self) -> None:
        """After the client took bytes, or the protocol closed: tell who waits for an empty buffer."""
        if self._closing and not self.get_write_buffer_size():
            self._loop.call_soon(self._lose, None)
        elif self._full and self.get_write_buffer_size() <= self._low:
            self._full = False
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    def _lose(self, error: Exception | None) -> None:
        if self._protocol is None:
            return
        protocol, self._protocol = self._protocol, None
        self._closing = self._ended = self._lost = True
        if any(self._incoming):
            self._tear()
        self._incoming.clear()
        protocol.connection_lost(error)
        self._wake()

    def _tear(self) -> None:
        """The client's system learns that its bytes will not be read, and throws away what it holds."""
        self._unread.clear()
        self._failure = self._failure or ConnectionResetError("the server closed the connection over unread bytes")

    # -- towards the protocol ----------------------------------------------------------------------------------------

    def _schedule(self, noticed: bool = False) -> None:
        if not self._delivers and (self._reads or noticed):
            self._delivers = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """The next thing that came from the client."""
        self._delivers = False
        if self._reset:
            self._lose(ConnectionResetError("the client reset the connection"))
        if self._closing or not self._reads or not self._incoming:
            return
        protocol, data = self.get_protocol_of_stream(), self._incoming.popleft()
        try:
            if data is not None:
                protocol.data_received(data)
            elif not protocol.eof_received():
                self.close()
        except Exception as error:
            self._failure = error
            self._loop.call_exception_handler(
                {"message": "a protocol failed", "exception": error, "transport": self, "protocol": protocol}
            )
            self._lose(error)
        self._wake()
        if self._incoming:
            self._schedule()

    # -- the client's side -------------------------------------------------------------------------------------------

    @property
    def undelivered(self) -> int:
        """How many bytes the protocol has not been given, for it paused reading or its turn has not come."""
        return sum(len(piece) for piece in self._incoming if piece)

    @property
    def is_over(self) -> bool:
        """Whether the protocol will write nothing more."""
        return self._ended

    def send(self, data: bytes) -> None:
        """Bytes from the client; they arrive in one call of `data_received`, unless they are very many."""
        if self._lost:
            self._tear()
        elif not self._reset:
            self._incoming.extend(data[i : i + PIECE] for i in range(0, len(data), PIECE))
            self._schedule()

    def send_eof(self) -> None:
        """The client closes its side, and still reads."""
        if not self._lost:
            self._incoming.append(None)
            self._schedule()

    def reset(self) -> None:
        """The client is gone. As with a socket, who has paused reading learns of it when it writes or reads again."""
        self._reset = True
        self._incoming.clear()
        self._unread.clear()
        self._failure = ConnectionResetError("the client has reset the connection itself")
        self._schedule()
        self._wake()

    async def receive(self, limit: int = PIECE) -> bytes:
        """The next bytes for the client, at most `limit`, or b"" at the end. Raises ConnectionResetError."""
        while not self._unread:
            if self._failure is not None:
                raise ConnectionResetError(str(self._failure)) from self._failure
            if self._ended:
                return b""
            await self._change()
        data = bytes(self._unread[:limit])
        del self._unread[:limit]
        self._settle()
        return data

    async def delivered(self, most: int = 0) -> None:
        """Return when at most so many bytes are undelivered. Raises ConnectionResetError once nobody takes them."""
        while self.undelivered > most or self._lost:
            if self._lost or self._failure is not None:
                raise ConnectionResetError("the server has closed the connection")
            await self._change()

    async def lost(self) -> None:
        """Return when the protocol has been told that the connection is over."""
        while not self._lost:
            await self._change()

    async def _change(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

"""One connection to a server in memory, byte by byte.

Owns: a transport, the server's protocol behind it, and the reader of its replies.
Must not know: requests; it sends the bytes it is given, also those that are none.
Invariant: nothing is sent or read but what the test asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..server.protocol import HTTPProtocol
from ..server.service import Service
from .replies import Reply, ReplyReader
from .transport import MARK, MemoryTransport

__all__ = ["MemoryConnection"]


class MemoryConnection:
    """A client's end, made by `client.open()`.

    Example: `connection.send(b"GET / HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n")`, then `await connection.read_reply()`.
    `transport` and `protocol` are the server's end; `transport.writes` has each of its writes.
    """

    def __init__(
        self,
        service: Service[HTTPProtocol],
        *,
        window: int = MARK,
        high_water: int = MARK,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.protocol = HTTPProtocol(service)
        self.transport = MemoryTransport(self.protocol, window=window, high_water=high_water, extra=extra)
        self.replies = ReplyReader(self.transport.receive)

    def __repr__(self) -> str:
        return f"<MemoryConnection to {self.protocol!r} over {self.transport!r}>"

    def send(self, *pieces: bytes) -> None:
        """Bytes to the server; each piece arrives by itself."""
        for piece in pieces:
            self.transport.send(piece)

    def eof(self) -> None:
        """Close this side; replies can still be read."""
        self.transport.send_eof()

    def reset(self) -> None:
        """Go away at once, as a client does that crashed."""
        self.transport.reset()

    async def read_reply(self, method: str = "GET", minor: int = 1) -> Reply:
        """The next reply, to a request of that method and HTTP/1.`minor`, whole; interim ones are in `reply.interim`.

        Raises InvalidReply, IncompleteReply.
        """
        return await self.replies.read(method, minor)

    async def read_interim(self) -> int:
        """The status of the next interim reply. Raises InvalidReply if another kind comes."""
        return await self.replies.interim()

    async def read_all(self) -> bytes:
        """Every byte until the server closes the connection. Raises ConnectionResetError."""
        pieces = [self.replies.buffered]
        while piece := await self.transport.receive():
            pieces.append(piece)
        return b"".join(pieces)

"""A response into bytes on the connection: its framing chosen, its body at hand, streamed, or read from a file.

Owns: which framing a response gets (RFC 9112 6.1 to 6.3), and the check that a handler's own headers agree with it.
Must not know: how the request was read, or what happens to the connection afterwards.
Invariant: a response has exactly one framing, and never more or fewer bytes than it announced: what does not fit is
an error in the log and, once the head is out, the end of the connection; the next response is never corrupted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import AsyncExitStack
from io import FileIO
from typing import Protocol

from ..errors import HTTPError
from ..headers import MutableHeaders
from ..request import Request
from ..response import File, Response, Stream
from ..wire.writer import CHUNKED, LAST_CHUNK, encode_chunk, encode_head

__all__ = ["Outlet", "encode_response", "send"]

logger = logging.getLogger("minihttp")

PIECE = 1 << 19  # bytes read from a file at a time; each costs a way to a thread and back, a tenth of a millisecond
# The connection's own business: an application that sets them either repeats us or contradicts us.
FRAMING = ("content-length", "transfer-encoding", "connection", "keep-alive", "upgrade")
INFORMATIONAL = "a handler returned status %s: informational responses are sent by the server alone"


class Outlet(Protocol):
    """What sending needs of the connection."""

    minor: int
    head_sent: bool

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def persist(self, wish: bool = True) -> bytes:
        """The Connection field of this response, CLOSE if the connection ends behind it, as `wish` False asks for."""
        ...


def encode_response(request: Request, response: Response, outlet: Outlet) -> bytes:
    """A response whose body is at hand, whole. Raises ValueError for a status or header that cannot be sent."""
    body, status, wish = response.body, response.status, True
    framing: int | bytes = len(body)
    if response.fields is not None:
        if request.method == "HEAD" and not body:  # its handler may state what GET would send (RFC 9110 8.6)
            framing = stated_length(response) or 0
        wish = check_headers(response, len(body))
    if status != 200:
        if status < 200:
            raise ValueError(INFORMATIONAL % status)
        if status == 204 or status == 304:
            if body:
                logger.error("%r for %r has a body, which is not sent (RFC 9110 6.4.1)", response, request)
            framing = body = b""
    if request.method == "HEAD":
        body = b""
    return encode_head(status, response.only_type, response.fields, framing, outlet.persist(wish), body)


def check_headers(response: Response, length: int | None) -> bool:
    """Take the framing out of a response's headers, say where it was wrong; False if they ask to close."""
    headers = response.headers
    if not any(name in headers for name in FRAMING):
        return True
    stated = headers.get("content-length")
    if length is not None and stated is not None and stated != str(length) and response.body:
        logger.error("%r states content-length %s, but its body has %d bytes", response, stated, length)
    wish = "close" not in headers.get("connection", "").lower()
    response.fields = MutableHeaders([pair for pair in headers.multi_items() if pair[0] not in FRAMING])
    return wish


async def send(request: Request, response: Response, outlet: Outlet) -> None:
    """A response whose body is made or read while it is sent.

    Raises what its iterator raises, HTTPError 404 for a file that is not there, ClientDisconnected. While
    `outlet.head_sent` is False nothing has been sent and another answer is possible.
    """
    async with AsyncExitStack() as stack:
        length: int | None = None
        chunks: AsyncIterable[bytes | str]
        if isinstance(response, File):
            file, length = await asyncio.to_thread(open_file, response.path)
            stack.callback(file.close)
            pieces = read_pieces(file)
            stack.push_async_callback(pieces.aclose)
            chunks = pieces
        elif isinstance(response, Stream):
            chunks = response.chunks
            if isinstance(chunks, AsyncGenerator):
                stack.push_async_callback(chunks.aclose)
            length = stated_length(response)
        else:
            raise TypeError(f"{type(response).__name__} is not at hand, and neither a Stream nor a File")
        await send_chunks(request, response, outlet, length, chunks)


def stated_length(response: Response) -> int | None:
    stated = response.headers.get("content-length")
    if stated is None:
        return None
    if not (stated.isascii() and stated.isdigit()):
        raise ValueError(f"{response!r} states content-length {stated!r}, which is not a number of bytes")
    return int(stated)


async def send_chunks(
    request: Request, response: Response, outlet: Outlet, length: int | None, chunks: AsyncIterable[bytes | str]
) -> None:
    """Head and body. The head leaves with the first chunk, so that a stream failing at once is a plain 500."""
    if response.status < 200:
        raise ValueError(INFORMATIONAL % response.status)
    wish = check_headers(response, length)
    chunked = length is None and outlet.minor == 1
    framing = length if length is not None else CHUNKED if chunked else b""
    if response.status == 204 or response.status == 304:
        raise ValueError(f"{response!r} is a {response.status}, which has no body to stream (RFC 9110 6.4.1)")
    # A 1.0 client learns the end of a body of unknown length from the end of the connection (RFC 9112 6.3).
    wish = wish and (length is not None or chunked)
    if request.method == "HEAD":
        outlet.write(encode_head(response.status, response.only_type, response.fields, framing, outlet.persist(wish)))
        return
    sent = 0
    async for chunk in chunks:
        data = chunk.encode() if isinstance(chunk, str) else chunk
        if not isinstance(data, bytes):
            raise TypeError(f"{response!r} yielded {type(chunk).__name__}: a stream is made of bytes or str")
        sent += len(data)
        if length is not None and sent > length:
            raise ValueError(f"{response!r} yielded more than the {length} bytes it announced")
        data = encode_chunk(data) if chunked else data
        if not outlet.head_sent:
            data = start(response, outlet, framing, wish) + data
        outlet.write(data)
        await outlet.drain()
    if length is not None and sent < length:
        raise ValueError(f"{response!r} ended after {sent} of the {length} bytes it announced")
    end = LAST_CHUNK if chunked else b""
    outlet.write(end if outlet.head_sent else start(response, outlet, framing, wish) + end)


def start(response: Response, outlet: Outlet, framing: int | bytes, wish: bool) -> bytes:
    head = encode_head(response.status, response.only_type, response.fields, framing, outlet.persist(wish))
    outlet.head_sent = True
    return head


# -- files: every call that may block runs in a thread ---------------------------------------------------------


def open_file(path: str) -> tuple[FileIO, int]:
    try:
        file = FileIO(path)  # nothing to buffer: each piece is larger
    except OSError as error:
        raise HTTPError(404, "there is no such file") from error
    length = file.seek(0, 2)
    file.seek(0)
    return file, length


async def read_pieces(file: FileIO) -> AsyncGenerator[bytes, None]:
    while piece := await asyncio.to_thread(file.read, PIECE):
        yield piece

"""Response bytes into replies, and nothing forgiven: a client for testing servers.

Owns: the grammar and framing of responses (RFC 9112 4, 6.3), read without the code that wrote them.
Must not know: where the bytes come from, or the request beyond its method and version.
Invariant: a reply has exactly one framing; whatever is not a response in every byte is an InvalidReply that says what
is wrong. Reading is never ahead of the reply: what follows it stays for the next.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ..headers import Headers

__all__ = ["IncompleteReply", "InvalidReply", "Reply", "ReplyReader"]

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)")
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
CHARSET = re.compile(r"charset=\"?([\w-]+)", re.ASCII | re.IGNORECASE)
# RFC 9110: these have one value, not a list of them.
ONCE = ("content-length", "transfer-encoding", "content-type", "date", "location", "connection", "etag", "server")

Receive = Callable[[], Awaitable[bytes]]


class InvalidReply(Exception):
    """The server sent what is no HTTP/1.1 response; the text says what is wrong with it."""


class IncompleteReply(InvalidReply):
    """The connection ended before the response did. `content` has what came of its body."""

    content = b""


class Reply:
    """What the server answered: `reply.status`, `reply.headers`, `reply.text`, `reply.json()`, `reply.content`.

    `interim` has the statuses of the 1xx that came before, `trailers` the fields behind a chunked body, `closes` is
    True if the connection carries no other request, `history` has the redirects that led here.
    """

    def __init__(self, status: int, reason: str, headers: Headers, interim: list[int], closes: bool) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.interim = interim
        self.closes = closes
        self.content = b""
        self.trailers = Headers()
        self.history: list[Reply] = []
        self.is_complete = False
        self._pieces: AsyncIterator[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Reply {self.status} {self.reason}, {len(self.content)} bytes>"

    @property
    def text(self) -> str:
        """The body as text, in the charset that Content-Type names, else UTF-8."""
        charset = CHARSET.search(self.headers.get("content-type", ""))
        return self.content.decode(charset[1] if charset else "utf-8")

    def json(self) -> Any:
        """The body as JSON, read by the standard library. Raises ValueError."""
        return json.loads(self.content)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, for a reply of `client.stream(...)`. Raises InvalidReply, IncompleteReply."""
        if self._pieces is not None:
            async for piece in self._pieces:
                yield piece

    async def read(self) -> bytes:
        """The rest of the body, kept in `content`."""
        pieces: list[bytes] = []
        try:
            async for piece in self.chunks():
                pieces.append(piece)
        except IncompleteReply as error:
            error.content = b"".join(pieces)
            raise
        self.content += b"".join(pieces)
        return self.content


class ReplyReader:
    """Reads the replies of one connection: `await ReplyReader(transport.receive).read("GET")`.

    `receive` gives the next bytes, or b"" at the end.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._buffer = bytearray()

    @property
    def buffered(self) -> bytes:
        """What came behind the last reply."""
        return bytes(self._buffer)

    async def read(self, method: str = "GET", minor: int = 1) -> Reply:
        """The next reply, whole. Raises InvalidReply, IncompleteReply."""
        reply = await self.begin(method, minor)
        await reply.read()
        return reply

    async def begin(self, method: str = "GET", minor: int = 1) -> Reply:
        """The next reply up to its body, which `reply.chunks()` reads; to a request of HTTP/1.`minor`."""
        interim: list[int] = []
        status, reason, headers = await self._head()
        while 100 <= status < 200 and status != 101:
            self._check_interim(status, headers, minor)
            interim.append(status)
            status, reason, headers = await self._head()
        framing = framing_of(method, minor, status, headers)
        options = [option.strip().lower() for option in headers.get("connection", "").split(",")]
        closes = "close" in options or (minor == 0 and "keep-alive" not in options)
        if framing == "close" and not closes:
            raise InvalidReply("neither Content-Length nor chunked, but the connection is to stay open (RFC 9112 6.3)")
        reply = Reply(status, reason, headers, interim, closes)
        reply._pieces = self._body(reply, framing)
        if framing == 0:
            reply.is_complete = True
        return reply

    async def interim(self) -> int:
        """The status of the next interim response, when it has come. Raises InvalidReply if another comes."""
        status, _, headers = await self._head()
        if not 100 <= status < 200:
            raise InvalidReply(f"a final response, {status}, where an interim one was expected")
        self._check_interim(status, headers, 1)
        return status

    # -- heads -----------------------------------------------------------------------------------------------------

    async def _head(self) -> tuple[int, str, Headers]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if self._buffer and not b"HTTP/1.1 ".startswith(self._buffer[:9]):
                raise InvalidReply(f"no status line: {bytes(self._buffer[:60])!r}")
            await self._fill("a response")
        line, *fields = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        match = STATUS_LINE.fullmatch(line)
        if match is None:
            raise InvalidReply(f"malformed status line: {line!r} (RFC 9112 4)")
        headers = parse_fields(fields)
        for name in ONCE:
            if len(headers.getall(name)) > 1:
                raise InvalidReply(f"{name} more than once: {headers.getall(name)}")
        return int(match[1]), match[2].decode("latin-1"), headers

    @staticmethod
    def _check_interim(status: int, headers: Headers, minor: int) -> None:
        if minor == 0:
            raise InvalidReply(f"interim response {status} to an HTTP/1.0 client (RFC 9110 15.2)")
        for name in ("content-length", "transfer-encoding"):
            if name in headers:
                raise InvalidReply(f"{name} in an interim response (RFC 9110 8.6, RFC 9112 6.1)")

    # -- bodies ----------------------------------------------------------------------------------------------------

    async def _body(self, reply: Reply, framing: int | str) -> AsyncIterator[bytes]:
        if framing == "close":
            while await self._fill("", may_end=True):
                yield self._take(len(self._buffer))
        elif framing == "chunked":
            while size := await self._chunk_size():
                async for piece in self._exactly(size):
                    yield piece
                if await self._line():
                    raise InvalidReply("chunk data without its line end (RFC 9112 7.1)")
            fields = []
            while line := await self._line():
                fields.append(line)
            reply.trailers = parse_fields(fields)
        elif isinstance(framing, int):
            async for piece in self._exactly(framing):
                yield piece
        reply.is_complete = True

    async def _exactly(self, missing: int) -> AsyncIterator[bytes]:
        while missing:
            if not self._buffer:
                await self._fill(f"the body, of which {missing} bytes are missing,")
            piece = self._take(missing)
            missing -= len(piece)
            yield piece

    async def _chunk_size(self) -> int:
        line = await self._line()
        if not CHUNK_SIZE.fullmatch(line):
            raise InvalidReply(f"malformed chunk size: {line!r} (RFC 9112 7.1)")
        return int(line, 16)

    async def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            await self._fill("the chunked body")
        return self._take(end + 2)[:-2]

    def _take(self, most: int) -> bytes:
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        return data

    async def _fill(self, what: str, may_end: bool = False) -> bool:
        if may_end and self._buffer:
            return True
        try:
            data = await self._receive()
        except ConnectionError as error:
            raise IncompleteReply(f"{what or 'the body'} was cut off: {error}") from error
        self._buffer += data
        if not data and not may_end:
            began = f" after {bytes(self._buffer[:60])!r}" if self._buffer else ""
            raise IncompleteReply(f"the connection ended before {what} did{began}")
        return bool(data)


def parse_fields(lines: list[bytes]) -> Headers:
    pairs = []
    for line in lines:
        match = FIELD.fullmatch(line)
        if match is None:
            raise InvalidReply(f"malformed header field: {line!r} (RFC 9112 5)")
        pairs.append((match[1].decode(), match[2].strip(b" \t").decode("latin-1")))
    return Headers(pairs)


def framing_of(method: str, minor: int, status: int, headers: Headers) -> int | str:
    """How long the body is: a number of bytes, "chunked", or "close" (RFC 9112 6.3)."""
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if length is not None and coding is not None:
        raise InvalidReply("both Content-Length and Transfer-Encoding (RFC 9112 6.2)")
    if status in (101, 204) and (length is not None or coding is not None):
        raise InvalidReply(f"Content-Length or Transfer-Encoding in a {status} (RFC 9110 8.6, RFC 9112 6.1)")
    if coding is not None and (coding != "chunked" or minor == 0):
        raise InvalidReply(f"Transfer-Encoding {coding!r} to an HTTP/1.{minor} client (RFC 9112 6.1)")
    if length is not None and not re.fullmatch("[0-9]{1,18}", length):
        raise InvalidReply(f"malformed Content-Length {length!r} (RFC 9110 8.6)")
    if method == "HEAD" or status in (101, 204, 304):
        return 0
    if length is not None:
        return int(length)
    return "close" if coding is None else "chunked"

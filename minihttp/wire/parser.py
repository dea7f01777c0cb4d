"""Request bytes into heads and bodies: the framing of HTTP/1.1 as a state machine without I/O.

Owns: the buffer of one connection, the state of its reading, the limits on what may be buffered.
Must not know: sockets, the loop, what a request is used for, or the grammar of a single line (`head` does).
Invariant: bytes are looked at once, however they were split; after a refusal no further byte is interpreted
(a smuggled request lives behind a framing error). Memory is bounded by the limits, not by the peer.

Pull style: `feed` stores, `head` and `body` take. The caller asks for the next head only when it wants to answer it,
so that pipelined requests wait here as bytes.
"""

from __future__ import annotations

import re
from enum import Enum

from ..errors import ProtocolError
from ..headers import Headers
from ..options import Limits
from .head import Fields, parse_field, parse_fields, parse_target, parse_version

__all__ = ["AT_HEAD", "TRANSITIONS", "Head", "Parser", "State"]

# Method, undecoded path, undecoded query, and all that follows the target. A tuple, for it is made per request.
Head = tuple[str, str, str, Fields]


class State(Enum):
    """What the next byte belongs to."""

    __hash__ = object.__hash__  # that of Enum is written in Python

    HEAD = "a request head"
    LENGTH = "a body of known length"
    CHUNK_SIZE = "the size line of a chunk"
    CHUNK_DATA = "the data of a chunk"
    CHUNK_END = "the line end behind a chunk's data"
    TRAILERS = "the trailer section"
    REFUSED = "nothing: the peer broke the protocol"


AT_HEAD = State.HEAD  # by itself: in Python 3.11 the way through the class costs as much as a call

TRANSITIONS: dict[State, frozenset[State]] = {
    State.HEAD: frozenset({State.HEAD, State.LENGTH, State.CHUNK_SIZE, State.REFUSED}),
    State.LENGTH: frozenset({State.HEAD}),
    State.CHUNK_SIZE: frozenset({State.CHUNK_DATA, State.TRAILERS, State.REFUSED}),
    State.CHUNK_DATA: frozenset({State.CHUNK_END}),
    State.CHUNK_END: frozenset({State.CHUNK_SIZE, State.REFUSED}),
    State.TRAILERS: frozenset({State.HEAD, State.REFUSED}),
    State.REFUSED: frozenset(),
}

# What can never become part of a valid head or trailer, whatever follows: a line feed without its carriage return
# and the reverse, and control characters. STRICT: RFC 9112 2.2 lets a bare LF end a line; parsers that differ in it
# see different requests.
ILLEGAL = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# RFC 9112 7.1, 7.1.1. 16 digits hold 64 bits; more would only invite an overflow somewhere behind us.
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
CHUNK = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + QUOTED + rb"))?)*)"
)
CHUNK_LINE = 1024  # bytes; longest size line, extensions included
# Fields that frame or route a message mean nothing good behind its body (RFC 9110 6.5.1).
NOT_IN_TRAILERS = frozenset({"content-length", "transfer-encoding", "host", "connection", "trailer", "te", "upgrade"})
# Heads and their fields up to this many bytes are kept, to be compared with the next of the connection.
REMEMBERED = 2048
NO_TRAILERS = Headers()


class Parser:
    """Reads the requests of one connection.

    Example: `parser.feed(b"GET / HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n")`, then `parser.head()` is
    `("GET", "/", "", fields)`. While `state` is not HEAD a body follows: `body()` gives what there is of it.
    """

    __slots__ = (
        "_at", "_extensions", "_fields", "_head", "_last", "_limits", "_missing", "_rest", "_room", "_scanned",
        "_trailers", "buffer", "state", "trailers",
    )  # fmt: skip

    _trailers: list[tuple[str, str]]  # of the chunked body that is read

    def __init__(self, limits: Limits) -> None:
        self.state = State.HEAD
        self.trailers = NO_TRAILERS
        self._limits = limits
        self.buffer = b""  # what came, for as long as some of it waits to be taken
        # Before the first everything is taken, before the second searched for what may not stand there and for the end.
        self._at = self._scanned = 0
        # The last head that came alone, the last version with its fields to the empty line, and what they mean.
        self._last = self._rest = b""
        self._head: Head | None = None
        self._fields: Fields | None = None
        self._missing = self._extensions = self._room = 0  # bytes: of body or chunk, of chunk extensions, for trailers

    def feed(self, data: bytes) -> None:
        """Store what the peer sent; after a refusal it is thrown away."""
        if self.buffer:
            self.buffer = self.buffer[self._at :] + data
            self._scanned, self._at = max(self._scanned - self._at, 0), 0
        elif self.state is not State.REFUSED:
            self.buffer = data

    def buffered(self) -> int:
        """How many bytes wait to be taken."""
        return len(self.buffer) - self._at

    def has_begun(self) -> bool:
        """Whether a request has begun that is not complete (a line end before a head is none)."""
        return self.state is not State.HEAD or self.buffer[self._at :] not in (b"", b"\r", b"\r\n")

    def head(self) -> Head | None:
        """The next request head, or None until it is complete. To be asked for while `state` is HEAD.

        Raises ProtocolError, once: after a refusal there is no next head.
        """
        buffer, start, fields = self.buffer, self._at, self._fields
        if buffer == self._last and not start:  # the same request again: compared, it needs no parsing
            self.buffer, self._scanned = b"", 0
            return self._head
        # Pipelined too: a head ends in its first empty line, so one that begins like the last ends where that did.
        if start and self._head and buffer.startswith(self._last, start):
            self._take(start + len(self._last))
            return self._head
        eol = buffer.find(b"\r\n", start)
        # A kept-alive client sends the same fields again behind another target: they need none either.
        if eol - start >= 10 and fields is not None and buffer.startswith(self._rest, eol - 9):
            end = eol - 9 + len(self._rest)
        else:
            fields, end = None, buffer.find(b"\r\n\r\n", start if start > self._scanned else self._scanned) + 4
            if end < 4:
                self._wait_for_head()
                return None
            if eol - start < 10:  # shorter than any request line: an empty line before it, or nonsense
                return self._short_line(eol)
        return self._parse_head(start, eol, end, fields)

    def body(self) -> bytes:
        """All bytes of the body that have come and were not taken yet; it is complete when `state` is HEAD again.

        Raises ProtocolError for wrong chunks or trailers.
        """
        pieces = []
        while self.buffer and (step := STEPS.get(self.state)) and (piece := step(self)) is not None:
            pieces.append(piece)
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    # -- heads ---------------------------------------------------------------------------------------------------

    def _parse_head(self, start: int, eol: int, end: int, fields: Fields | None) -> Head:
        buffer = self.buffer
        try:
            if eol - start > self._limits.request_line:
                raise ProtocolError("request line too long", 414, "RFC 9110 15.5.15")
            method, path, query, authority = parse_target(buffer[start : eol - 9].decode("latin-1"))
            if fields is None:
                fields = self._new_fields(buffer[eol - 9 : end])
            if authority is not None:
                fields = fields.for_authority(authority)
        except ProtocolError as error:
            self._refuse()
            if error.http_status != 414:
                self._check_line(buffer[start:eol])  # of several errors the same one is told, however the bytes came
            raise
        self._take(end)
        head = (method, path, query, fields)
        if fields.length != 0:
            self._expect_body(fields.length)
        elif not self.buffer and fields.persistent and end - start <= REMEMBERED:
            # A copy: asyncio receives into 256 KiB and shrinks that in place; kept, it would fragment the heap.
            self._last, self._head = b"".join((buffer[start:], b"")), head
        return head

    def _new_fields(self, rest: bytes) -> Fields:
        if len(rest) - 13 > self._limits.header_bytes:
            raise ProtocolError("header fields too large", 431, "RFC 6585 5")
        fields = parse_fields(rest[:-4], self._limits.header_count)
        if len(rest) <= REMEMBERED:
            self._rest, self._fields = rest, fields
        return fields

    def _short_line(self, eol: int) -> Head | None:
        if eol > self._at:
            raise self._refusal("malformed request line", section="RFC 9112 3")
        # RFC 9112 2.2: one empty line before a request is ignored, for clients that send one too many after a body.
        self._take(self._at + 2)
        if self.buffer.startswith(b"\r\n", self._at):
            raise self._refusal("empty lines instead of a request", section="RFC 9112 2.2")
        return self.head()

    def _wait_for_head(self) -> None:
        """Refuse at once what no further byte can save, so that nobody waits for a deadline to be told."""
        buffer, start = self.buffer, self._at
        if buffer.startswith(b"\r\n", start):
            start += 2
        if start == len(buffer):
            return
        try:
            eol = buffer.find(b"\r\n", start)
            # One byte more while the line is open: the CR of its end may be there already.
            if (len(buffer) - 1 if eol < 0 else eol) - start > self._limits.request_line:
                raise ProtocolError("request line too long", 414, "RFC 9110 15.5.15")
            if eol >= self._scanned:  # once, or every byte that drips in would cost a look at the whole line
                self._check_line(buffer[start:eol])
            # The first byte by itself: to the pattern, a body that ends in CR would make a line end of it.
            if buffer.startswith(b"\n", start) or ILLEGAL.search(buffer, max(start, self._scanned - 1)):
                raise ProtocolError("control character or bare line end in the head", section="RFC 9112 2.2")
            if eol >= 0 and len(buffer) - eol - 3 > self._limits.header_bytes:
                raise ProtocolError("header fields too large", 431, "RFC 6585 5")
        except ProtocolError:
            self._refuse()
            raise
        self._scanned = max(len(buffer) - 3, self._at)

    @staticmethod
    def _check_line(line: bytes) -> None:
        """The whole request line; its version first, which says most about a foreign protocol (HTTP/2's preface)."""
        parse_version(line[-9:])
        parse_target(line[:-9].decode("latin-1"))

    # -- bodies --------------------------------------------------------------------------------------------------
    # Each step takes what belongs to its state from the buffer and moves on; None says that more bytes are needed.

    def _expect_body(self, length: int | None) -> None:
        self.trailers = NO_TRAILERS
        if length is None:
            self.state, self._extensions, self._trailers = State.CHUNK_SIZE, 0, []
        else:
            self.state, self._missing = State.LENGTH, length

    def _take_data(self) -> bytes:
        """Up to the missing bytes of a body or a chunk."""
        start = self._at
        data = self.buffer[start : start + self._missing]
        self._take(start + len(data))
        self._missing -= len(data)
        if self._missing == 0:
            self.state = State.HEAD if self.state is State.LENGTH else State.CHUNK_END
        return data

    def _take_size(self) -> bytes | None:
        line = self._take_line(CHUNK_LINE, "chunk size line too long")
        if line is None:
            return None
        if not (match := CHUNK.fullmatch(line)):
            raise self._refusal("malformed chunk size")
        self._extensions += len(match[2])
        if self._extensions > self._limits.chunk_extensions:
            raise self._refusal("too many chunk extensions")
        self._missing = int(match[1], 16)
        self.state = State.CHUNK_DATA if self._missing else State.TRAILERS
        self._room = self._limits.trailer_bytes
        return b""

    def _take_end(self) -> bytes | None:
        end = self.buffer[self._at : self._at + 2]
        if not b"\r\n".startswith(end):
            # Two bytes skipped unseen here have been a smuggling vector in several servers.
            raise self._refusal("chunk data without its line end")
        if len(end) < 2:
            return None
        self._take(self._at + 2)
        self.state = State.CHUNK_SIZE
        return b""

    def _take_trailer(self) -> bytes | None:
        line = self._take_line(self._room, "trailer section too large", 431, "RFC 6585 5")
        if line is None:
            return None
        if not line:
            self.trailers, self.state = Headers(self._trailers), State.HEAD
            return b""
        try:
            name, value = parse_field(line)
        except ProtocolError:
            self._refuse()
            raise
        if name in NOT_IN_TRAILERS:
            raise self._refusal(f"{name} in the trailer section", section="RFC 9110 6.5.1")
        self._room -= len(line) + 2
        self._trailers.append((name, value))
        if len(self._trailers) > self._limits.header_count:
            raise self._refusal("too many trailer fields", 431, "RFC 6585 5")
        return b""

    def _take_line(self, limit: int, too_long: str, status: int = 400, section: str = "RFC 9112 7.1") -> bytes | None:
        """A line of the chunked framing, without its end."""
        eol = self.buffer.find(b"\r\n", self._at)
        end = len(self.buffer) if eol < 0 else eol
        if ILLEGAL.search(self.buffer, max(self._at, self._scanned - 1), end):
            raise self._refusal("control character or bare line end in the chunked framing", section="RFC 9112 7.1")
        if end - self._at > limit + (eol < 0):  # without its end, the line may already hold the CR of it
            raise self._refusal(too_long, status, section)
        if eol < 0:
            self._scanned = end
            return None
        line = self.buffer[self._at : eol]
        self._take(eol + 2)
        return line

    def _take(self, end: int) -> None:
        """Everything up to there is taken; a connection keeps no buffer of which nothing waits."""
        if end == len(self.buffer):
            self.buffer, end = b"", 0
        self._at = self._scanned = end

    def _refuse(self) -> None:
        """From here on no byte is interpreted, neither one that comes nor one that waits."""
        self.state = State.REFUSED
        self._take(len(self.buffer))

    def _refusal(self, reason: str, status: int = 400, section: str = "RFC 9112 7.1") -> ProtocolError:
        self._refuse()
        return ProtocolError(reason, status, section)


STEPS = {
    State.LENGTH: Parser._take_data,
    State.CHUNK_SIZE: Parser._take_size,
    State.CHUNK_DATA: Parser._take_data,
    State.CHUNK_END: Parser._take_end,
    State.TRAILERS: Parser._take_trailer,
}

"""Responses into bytes: status line, fields, framing.

Owns: the form of a response head, the chunked coding, the Date line and the memo of head prefixes.
Must not know: which request is answered, who writes the bytes, or why the connection stays open.
Invariant: every head has exactly one Date and ends in an empty line; fields come from `MutableHeaders`, which let
nothing in that could split a response. The Date line and the memo are this module's only mutable state.
"""

from __future__ import annotations

from email.utils import formatdate
from time import time

from ..errors import reason_phrase
from ..headers import Headers, check_field

__all__ = ["CHUNKED", "CLOSE", "CONTINUE", "KEEP_ALIVE", "LAST_CHUNK", "content_length", "encode_chunk", "encode_head"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
CLOSE = b"connection: close\r\n"
KEEP_ALIVE = b"connection: keep-alive\r\n"
LAST_CHUNK = b"0\r\n\r\n"
PREFIX_ENTRIES = 256

# Status line and content type of the responses sent lately. Both are the application's, not the peer's.
PREFIXES: dict[tuple[int, str | None], bytes] = {}


class Clock:
    """The Date line, formatted once a second (RFC 9110 6.6.1)."""

    second = 0
    line = b""


def date_line() -> bytes:
    """`b"date: Sun, 06 Nov 1994 08:49:37 GMT\\r\\n"`, for now."""
    now = int(time())
    if now != Clock.second:
        Clock.second = now
        Clock.line = b"date: %b\r\n" % formatdate(now, usegmt=True).encode()
    return Clock.line


def encode_head(
    status: int, content_type: str | None, headers: Headers | None, framing: bytes, connection: bytes
) -> bytes:
    """A response head.

    `headers` are those beside Content-Type; `framing` is `content_length(n)`, CHUNKED or empty, `connection` CLOSE,
    KEEP_ALIVE or empty. Example: `encode_head(200, "text/plain", None, content_length(2), b"") + b"ok"`.
    Raises ValueError for a status that is none.
    """
    prefix = PREFIXES.get((status, content_type))
    if prefix is None:
        prefix = new_prefix(status, content_type)
    if headers is None:
        return b"%b%b%b%b\r\n" % (prefix, date_line(), framing, connection)
    date = b"" if "date" in headers else date_line()
    return b"%b%b%b%b%b\r\n" % (prefix, date, framing, connection, encode_fields(headers))


def new_prefix(status: int, content_type: str | None) -> bytes:
    if not isinstance(status, int) or not 100 <= status <= 999:
        raise ValueError(f"{status!r} is not a status code: an integer from 100 to 999 (RFC 9110 15)")
    prefix = b"HTTP/1.1 %d %b\r\n" % (status, reason_phrase(status).encode())
    if content_type is not None:
        check_field("content-type", content_type)
        prefix += b"content-type: %b\r\n" % content_type.encode("latin-1")
    if len(PREFIXES) >= PREFIX_ENTRIES:
        PREFIXES.clear()
    PREFIXES[status, content_type] = prefix
    return prefix


def encode_fields(headers: Headers) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.multi_items()]).encode("latin-1")


def content_length(length: int) -> bytes:
    """The framing of a body whose length in bytes is known (RFC 9112 6.2)."""
    return b"content-length: %d\r\n" % length


def encode_chunk(data: bytes) -> bytes:
    """One chunk (RFC 9112 7.1). An empty one would end the body, so it is left out."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""

"""Responses into bytes: status line, fields, framing.

Owns: the form of a response head, the chunked coding, the Date line and the memo of how heads begin.
Must not know: which request is answered, who writes the bytes, or why the connection stays open.
Invariant: every head has exactly one Date and ends in an empty line; fields come from `MutableHeaders`, which let
nothing in that could split a response. The Date line and the memo are this module's only mutable state.
"""

from __future__ import annotations

from math import floor
from time import time

from ..errors import reason_phrase
from ..headers import Headers, check_field, format_date

__all__ = ["CHUNKED", "CLOSE", "CONTINUE", "KEEP_ALIVE", "LAST_CHUNK", "encode_chunk", "encode_head"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
CLOSE = b"connection: close\r\n"
KEEP_ALIVE = b"connection: keep-alive\r\n"
LAST_CHUNK = b"0\r\n\r\n"
PREFIX_ENTRIES = 256


PREFIXES: dict[tuple[int, str | None], bytes] = {}  # by status and content type: the application's, not the peer's
second_ends = 0.0
date_line = b""


def encode_head(
    status: int, content_type: str | None, headers: Headers | None, framing: int | bytes, connection: bytes,
    body: bytes = b"",
) -> bytes:  # fmt: skip
    """A response head, and its body if that is at hand.

    `headers` are those beside Content-Type; `framing` is the length of the body in bytes (RFC 9112 6.2), CHUNKED or
    empty, `connection` CLOSE, KEEP_ALIVE or empty. Example: `encode_head(200, "text/plain", None, 2, b"", b"ok")`.
    Raises ValueError for a status that is none.
    """
    global second_ends, date_line
    if not 0.0 < second_ends - time() <= 1.0:
        second_ends = floor(time()) + 1.0
        date_line = b"date: %b\r\n" % format_date(second_ends - 1).encode()
        PREFIXES.clear()
    prefix = PREFIXES.get((status, content_type)) or new_prefix(status, content_type)
    if headers is not None:
        connection += encode_fields(headers)
        if "date" in headers:
            prefix = prefix.removesuffix(date_line)
    if isinstance(framing, int):
        return b"%bcontent-length: %d\r\n%b\r\n%b" % (prefix, framing, connection, body)
    return b"%b%b%b\r\n%b" % (prefix, framing, connection, body)


def new_prefix(status: int, content_type: str | None) -> bytes:
    """How heads begin until the second ends: status line, content type, date."""
    if not isinstance(status, int) or not 100 <= status <= 999:
        raise ValueError(f"{status!r} is not a status code: an integer from 100 to 999 (RFC 9110 15)")
    prefix = b"HTTP/1.1 %d %b\r\n" % (status, reason_phrase(status).encode())
    if content_type is not None:
        check_field("content-type", content_type)
        prefix += b"content-type: %b\r\n" % content_type.encode("latin-1")
    if len(PREFIXES) >= PREFIX_ENTRIES:
        PREFIXES.clear()
    PREFIXES[status, content_type] = prefix = prefix + date_line
    return prefix


def encode_fields(headers: Headers) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.multi_items()]).encode("latin-1")


def encode_chunk(data: bytes) -> bytes:
    """One chunk (RFC 9112 7.1). An empty one would end the body, so it is left out."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""

"""Raw bytes and the verdict on them, as data: for the parser alone, over memory and over sockets.

Owns: which streams of bytes are which requests, and which end in a refusal, with what status.
Must not know: who reads the bytes.
Invariant: a scenario has one error at most, so that its verdict does not depend on how the bytes were split, and
nothing behind a refusal is ever read: a request appended to the bytes is not served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from minihttp.options import Limits

from .fragments import (
    BAD_CHUNKS,
    BAD_FIELDS,
    BAD_FRAMINGS,
    BAD_HOSTS,
    BAD_LINES,
    CHUNKED,
    CHUNKS,
    FIELDS,
    FRAMINGS,
    HEAD,
    HOSTS,
    LINES,
    NEXT,
    NEXT_REQUEST,
    Request,
)  # fmt: skip

__all__ = [
    "ACCEPTED", "AT_THE_LIMIT", "BEYOND_THE_LIMIT", "NEXT", "NEXT_REQUEST", "REFUSED", "REFUSED_EARLY", "Request",
    "Scenario",
]  # fmt: skip

Pair = tuple[str, str]


class Scenario(NamedTuple):
    """Bytes, the requests in them and, where they end in a refusal, its status."""

    name: str
    data: bytes
    requests: tuple[Request, ...] = ()
    status: int | None = None
    limits: Limits = Limits()


def get(*fields: Pair, body: bytes = b"", persistent: bool = True) -> Request:
    """What HEAD and more fields are read as."""
    return Request(headers=(("host", "a"), *fields), body=body, persistent=persistent)


def posted(body: bytes = b"", trailers: tuple[Pair, ...] = ()) -> Request:
    """What CHUNKED and a body are read as."""
    return Request("POST", headers=(("host", "a"), ("transfer-encoding", "chunked")), body=body, trailers=trailers)


def old(*fields: Pair, persistent: bool = False) -> Request:
    return Request(headers=fields, persistent=persistent)


OLD = b"GET / HTTP/1.0\r\n"
ABSOLUTE = b"GET http://b/ HTTP/1.1\r\n"
BODY_BETWEEN = HEAD + b"Content-Length: 1\r\n\r\nx\r\n" + NEXT
# A body that looks like the head before it.
DISGUISED = NEXT * 3 + HEAD + b"Content-Length: %d\r\n\r\n" % len(NEXT) + NEXT + NEXT
PIPELINE = HEAD + b"\r\n" + NEXT + CHUNKED + b"1\r\nx\r\n0\r\n\r\n" + NEXT

# Connections and what passes through them: RFC 9112 2.2, 3.2, 9.3.
STREAMS: dict[str, tuple[bytes, tuple[Request, ...]]] = {
    "1.0 without fields": (OLD + b"\r\n", (old(),)),
    "1.0 with keep-alive": (
        OLD + b"Connection: Keep-Alive\r\n\r\n", (old(("connection", "Keep-Alive"), persistent=True),),
    ),
    "1.0 with both": (OLD + b"Connection: keep-alive, close\r\n\r\n", (old(("connection", "keep-alive, close")),)),
    "1.0 with a body": (OLD + b"Content-Length: 2\r\n\r\nab", (old(("content-length", "2"))._replace(body=b"ab"),)),
    "1.0 with an absolute target": (b"GET http://b/ HTTP/1.0\r\n\r\n", (old(("host", "b")),)),
    "1.0 ignores the expectation": (
        OLD + b"Content-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
        (old(("content-length", "1"), ("expect", "100-continue"))._replace(body=b"x"),),
    ),
    "close": (HEAD + b"Connection: close\r\n\r\n", (get(("connection", "close"), persistent=False),)),
    "close in a list": (
        HEAD + b"Connection: x,\tClose ,y\r\n\r\n", (get(("connection", "x,\tClose ,y"), persistent=False),),
    ),
    "close in the second field": (
        HEAD + b"Connection: keep-alive\r\nConnection: close\r\n\r\n",
        (get(("connection", "keep-alive"), ("connection", "close"), persistent=False),),
    ),
    "not quite close": (HEAD + b"Connection: closed\r\n\r\n", (get(("connection", "closed")),)),
    "one empty line before": (b"\r\n" + HEAD + b"\r\n", (get(),)),
    "one empty line between": (HEAD + b"\r\n\r\n" + HEAD + b"\r\n", (get(), get())),
    "one empty line behind a body": (BODY_BETWEEN, (get(("content-length", "1"), body=b"x"), NEXT_REQUEST)),
    "pipelined": (PIPELINE, (get(), NEXT_REQUEST, posted(b"x"), NEXT_REQUEST)),
    "the same again and again": (NEXT * 4, (NEXT_REQUEST,) * 4),
    "the same, another, the same": (NEXT * 3 + HEAD + b"\r\n" + NEXT, (*(NEXT_REQUEST,) * 3, get(), NEXT_REQUEST)),
    "the same line, other fields": (
        NEXT * 3 + NEXT.replace(b"Host: n", b"Host: t"),
        (*(NEXT_REQUEST,) * 3, NEXT_REQUEST._replace(headers=(("host", "text"),))),
    ),
    "the same as a body": (
        DISGUISED, (*(NEXT_REQUEST,) * 3, get(("content-length", f"{len(NEXT)}"), body=NEXT), NEXT_REQUEST),
    ),
    "the same behind an empty line": (NEXT * 2 + b"\r\n" + NEXT * 2, (NEXT_REQUEST,) * 4),
    "the same, then one that closes": (
        (OLD + b"Connection: keep-alive\r\n\r\n") * 3 + OLD + b"\r\n",
        (*(old(("connection", "keep-alive"), persistent=True),) * 3, old()),
    ),
    "the same fields, another target": (
        HEAD + b"\r\n" + HEAD.replace(b"/ ", b"/b?c ") + b"\r\n", (get(), get()._replace(path="/b", query="c")),
    ),
    "absolute, then not": (
        ABSOLUTE + b"Host: a\r\n\r\n" + HEAD + b"\r\n", (get()._replace(headers=(("host", "b"),)), get()),
    ),
    "absolute, and other fields": (
        ABSOLUTE + b"X: 1\r\nHost: a\r\nY: 2\r\n\r\n", (Request(headers=(("host", "b"), ("x", "1"), ("y", "2"))),),
    ),
    "PUT in chunks": (CHUNKED.replace(b"POST", b"PUT") + b"0\r\n\r\n", (posted()._replace(method="PUT"),)),
}  # fmt: skip
BAD_STREAMS: dict[str, tuple[bytes, int]] = {
    "no fields": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "no Host": (b"GET / HTTP/1.1\r\nX: 1\r\n\r\n", 400),
    "no Host with an absolute target": (ABSOLUTE + b"\r\n", 400),
    "no Host in 1.2": (b"GET / HTTP/1.2\r\nX: 1\r\n\r\n", 400),
    "two Hosts": (HEAD + b"Host: b\r\n\r\n", 400),
    "one Host twice": (HEAD + b"host: a\r\n\r\n", 400),
    "two Hosts in 1.0": (OLD + b"Host: a\r\nHost: b\r\n\r\n", 400),
    "Host and an empty one": (HEAD + b"Host:\r\n\r\n", 400),
    "chunked in 1.0": (OLD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "two empty lines": (b"\r\n\r\n" + HEAD + b"\r\n", 400),
    "line feed before": (b"\n" + HEAD + b"\r\n", 400),
    "carriage return before": (b"\r" + HEAD + b"\r\n", 400),
    "space before": (b" " + HEAD + b"\r\n", 400),
    "NUL before": (b"\x00" + HEAD + b"\r\n", 400),
    "byte order mark": (b"\xef\xbb\xbf" + HEAD + b"\r\n", 400),
    "line feeds only": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "carriage returns only": (b"GET / HTTP/1.1\rHost: a\r\r", 400),
    "line feed ends the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "line feed ends the head": (HEAD + b"\n", 400),
    "line feed, then a line end": (HEAD[:-2] + b"\n\r\n", 400),
    "blank line is not empty": (HEAD + b" \r\n\r\n", 400),
    "blank before the first field": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 20, 400),
    # Requests within requests, as request smuggling tries them.
    "CL.TE": (HEAD + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400),
    "TE.CL": (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nG\r\n0\r\n\r\n", 400),
    "TE.TE": (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n\r\n0\r\n\r\n", 400),
    "0.CL": (HEAD + b"Content-Length:\r\n 31\r\n\r\nGET /evil HTTP/1.1\r\nX: ", 400),
    "CL behind a line feed": (HEAD + b"X: a\nContent-Length: 31\r\n\r\nGET /evil HTTP/1.1\r\nX: ", 400),
    "chunk ended by the size line's line feed": (CHUNKED + b"2;\nxx\r\n1e\r\n0\r\n\r\n" + NEXT, 400),
}

# Each of these is one request that fills a limit exactly; with one byte, digit or field more it is refused.
LINE = Limits(request_line=64)
FIELD_BYTES = Limits(header_bytes=256)
EXTENSIONS = Limits(chunk_extensions=40)
TRAILER_BYTES = Limits(trailer_bytes=64)
END = b"\r\nHost: a\r\n\r\n"
AS_MUCH: dict[str, tuple[Limits, int, Callable[[int], bytes]]] = {
    "request line, path": (LINE, 414, lambda more: b"GET /" + b"a" * (50 + more) + b" HTTP/1.1" + END),
    "request line, query": (LINE, 414, lambda more: b"GET /?" + b"a" * (49 + more) + b" HTTP/1.1" + END),
    "request line, method": (LINE, 414, lambda more: b"A" * (53 + more) + b" / HTTP/1.1" + END),
    "behind an empty line": (LINE, 414, lambda more: b"\r\nGET /" + b"a" * (50 + more) + b" HTTP/1.1" + END),
    "default request line": (Limits(), 414, lambda more: b"GET /" + b"a" * (8176 + more) + b" HTTP/1.1" + END),
    "one field": (FIELD_BYTES, 431, lambda more: HEAD + b"X: " + b"a" * (242 + more) + b"\r\n\r\n"),
    "one field of blanks": (FIELD_BYTES, 431, lambda more: HEAD + b"X: " + b" " * (242 + more) + b"\r\n\r\n"),
    "many fields": (FIELD_BYTES, 431, lambda more: HEAD + b"Y: b\r\n" * 40 + b"Z:" + b"a" * (3 + more) + b"\r\n\r\n"),
    "default fields": (Limits(), 431, lambda more: HEAD + b"X: " + b"a" * (32754 + more) + b"\r\n\r\n"),
    "number of fields": (Limits(header_count=5), 431, lambda more: HEAD + b"X: 1\r\n" * (4 + more) + b"\r\n"),
    "chunk line": (Limits(), 400, lambda more: CHUNKED + b"1;" + b"a" * (1022 + more) + b"\r\nx\r\n0\r\n\r\n"),
    "chunk size": (Limits(), 400, lambda more: CHUNKED + b"0" * (15 + more) + b"1\r\nx\r\n0\r\n\r\n"),
    "one extension": (EXTENSIONS, 400, lambda more: CHUNKED + b"1;" + b"a" * (39 + more) + b"\r\nx\r\n0\r\n\r\n"),
    "many extensions": (
        EXTENSIONS, 400, lambda more: CHUNKED + b"1;a\r\nx\r\n" * 19 + b"0;" + b"a" * (1 + more) + b"\r\n\r\n",
    ),
    "one trailer": (TRAILER_BYTES, 431, lambda more: CHUNKED + b"0\r\nX: " + b"a" * (59 + more) + b"\r\n\r\n"),
    "many trailers": (
        TRAILER_BYTES, 431, lambda more: CHUNKED + b"0\r\n" + b"X: 1\r\n" * 10 + b"X:" + b"a" * more + b"\r\n\r\n",
    ),
    "trailers of blanks": (
        TRAILER_BYTES, 431, lambda more: CHUNKED + b"0\r\n" + b"X:        \r\n" * 5 + b"X:" + b" " * more + b"\r\n\r\n",
    ),
    "number of trailers": (
        Limits(header_count=5), 431, lambda more: CHUNKED + b"0\r\n" + b"X: 1\r\n" * (5 + more) + b"\r\n",
    ),
}  # fmt: skip

# Refused as soon as these bytes are there, however long the rest may take.
REFUSED_EARLY = {
    "TLS": (b"\x16", 400),
    "line feed first": (b"\n", 400),
    "line feed behind an empty line": (b"\r\n\n", 400),
    "two empty lines": (b"\r\n\r\n", 400),
    "NUL in the method": (b"GE\x00", 400),
    "HTTP/2": (b"GET / HTTP/2.0\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n", 505),
    "no version": (b"GET /\r\n", 400),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\n", 501),
    "bad target": (b"GET /<a> HTTP/1.1\r\n", 400),
    "bad target behind an empty line": (b"\r\nGET /<a> HTTP/1.1\r\n", 400),
    "bad query": (b"GET /?<a> HTTP/1.1\r\n", 400),
    "request line ended by a line feed": (b"GET / HTTP/1.1\n", 400),
    "carriage return in the request line": (b"GET / HTTP/1.1\rH", 400),
    "NUL in a field": (HEAD + b"X: \x00", 400),
    "field ended by a line feed": (HEAD + b"X: 1\n", 400),
    "endless request line": (b"G" * 8192, 414),
    "endless query": (b"GET /?" + b"a" * 8186, 414),
    "endless field": (b"GET / HTTP/1.1\r\nX: " + b"a" * 32767, 431),
    "NUL in a chunk size": (CHUNKED + b"1\x00", 400),
    "endless chunk size": (CHUNKED + b"0" * 1026, 400),
    "wrong byte behind a chunk": (CHUNKED + b"1\r\nxy", 400),
    "line feed behind a chunk": (CHUNKED + b"1\r\nx\n", 400),
    "endless trailer": (CHUNKED + b"0\r\nX:" + b"a" * 8192, 431),
}


def of_heads() -> Iterator[Scenario]:
    for name, (line, request) in LINES.items():
        yield Scenario(f"line: {name}", line + END, (request,))
    for status, lines in BAD_LINES.items():
        for name, line in lines.items():
            yield Scenario(f"line: {name}", line + END, (), status)
    for name, (raw, pairs) in FIELDS.items():
        yield Scenario(f"field: {name}", HEAD + raw + b"\r\n", (get(*pairs),))
    for status, fields in BAD_FIELDS.items():
        for name, raw in fields.items():
            yield Scenario(f"field: {name}", HEAD + raw + b"\r\n", (), status)
    for host in HOSTS:
        data = b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host
        yield Scenario(f"host: {host!r}", data, (Request(headers=(("host", host.decode()),)),))
    for host in BAD_HOSTS:
        yield Scenario(f"host: {host!r}", b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host, (), 400)


def of_bodies() -> Iterator[Scenario]:
    for name, (fields, raw, body) in FRAMINGS.items():
        pairs = [line.decode().split(":", 1) for line in fields.splitlines()]
        request = get(*((key.lower(), value.strip(" \t")) for key, value in pairs), body=body)
        yield Scenario(f"framing: {name}", HEAD + fields + b"\r\n" + raw, (request,))
    for status, framings in BAD_FRAMINGS.items():
        for name, fields in framings.items():
            yield Scenario(f"framing: {name}", HEAD + fields + b"\r\n", (), status)
    for name, (raw, body, trailers) in CHUNKS.items():
        yield Scenario(f"chunks: {name}", CHUNKED + raw, (posted(body, trailers),))
    for status, bodies in BAD_CHUNKS.items():
        for name, raw in bodies.items():
            yield Scenario(f"chunks: {name}", CHUNKED + raw, (), status)


def of_streams() -> Iterator[Scenario]:
    for name, (data, requests) in STREAMS.items():
        yield Scenario(f"stream: {name}", data, requests)
    for name, (data, status) in BAD_STREAMS.items():
        yield Scenario(f"stream: {name}", data, (), status)
        for count in (1, 3):
            yield Scenario(f"stream: {count} good, then {name}", NEXT * count + data, (NEXT_REQUEST,) * count, status)


ALL = [*of_heads(), *of_bodies(), *of_streams()]
ACCEPTED = [each for each in ALL if each.status is None]
REFUSED = [each for each in ALL if each.status is not None]
AT_THE_LIMIT = [Scenario(name, make(0), (), None, limits) for name, (limits, _, make) in AS_MUCH.items()]
BEYOND_THE_LIMIT = [Scenario(name, make(1), (), status, limits) for name, (limits, status, make) in AS_MUCH.items()]

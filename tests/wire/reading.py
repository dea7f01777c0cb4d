"""Driving the parser as a connection does, and the ways in which bytes can arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from minihttp.errors import ProtocolError
from minihttp.options import Limits
from minihttp.wire.parser import Parser, State

from .fragments import Request

__all__ = ["one_by_one", "read", "splits"]

DEFAULT = Limits()


def read(
    pieces: Iterable[bytes], limits: Limits = DEFAULT, *, parser: Parser | None = None, close: bool = False
) -> tuple[list[Request], ProtocolError | None, Request | None]:
    """The complete requests in the bytes, the refusal that ended them, and the request still under way.

    With `close`, reading ends behind a request that is the connection's last.
    """
    parser = parser or Parser(limits)
    done: list[Request] = []
    begun: Request | None = None
    try:
        for piece in pieces:
            parser.feed(piece)
            while True:
                if begun is None:
                    if close and done and not done[-1].persistent:
                        return done, None, None
                    head = parser.head()
                    if head is None:
                        break
                    method, path, query, fields = head
                    headers = tuple(fields.headers.multi_items())
                    begun = Request(method, path, query, headers, persistent=fields.persistent)
                begun = begun._replace(body=begun.body + parser.body())
                if parser.state is not State.HEAD:
                    break
                if dict(begun.headers).get("transfer-encoding"):
                    begun = begun._replace(trailers=tuple(parser.trailers.multi_items()))
                done.append(begun)
                begun = None
    except ProtocolError as error:
        return done, error, begun
    return done, None, begun


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def splits(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """In two, at every byte; of long data at the first and last bytes, where something can happen."""
    edges = range(1, len(data)) if len(data) < 1000 else [*range(1, 100), *range(len(data) - 100, len(data))]
    return ((data[:i], data[i:]) for i in edges)

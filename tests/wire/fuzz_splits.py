"""The same bytes in other pieces: whole, in two and one by one, they must be read alike, requests and replies.

Owns: what "alike" means for the parser, under default and under small limits, and for the reader of replies.
Must not know: where the bytes and the cut come from, and how other parsers read them.
Invariant: only the part of a body that came before a refusal may depend on the pieces, and which of several errors is
told; whatever a reader raises beside its own error goes through.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from minihttp.options import Limits
from minihttp.testing.replies import IncompleteReply, InvalidReply, Reply, ReplyReader
from minihttp.wire.parser import Parser

from .reading import one_by_one, read

__all__ = ["check_replies", "check_requests", "read_replies"]

T = TypeVar("T")

# So small that a fuzzer's short inputs reach every one of them, and those of scenarios that fill a limit exactly.
SMALL = Limits(request_line=64, header_bytes=256, header_count=5, chunk_extensions=40, trailer_bytes=64)
DEFAULT = Limits()
STATUSES = {400, 413, 414, 417, 431, 501, 505}
ASKED = (("GET", 1), ("HEAD", 1), ("GET", 0))  # the request that is answered: method, and minor version


def in_pieces(data: bytes, cut: int) -> dict[str, list[bytes]]:
    return {f"cut at {cut}": [data[:cut], data[cut:]], "one by one": one_by_one(data)}


def check_requests(data: bytes, cut: int) -> None:
    """Raise AssertionError where the parser reads the bytes otherwise when they come in pieces."""
    under_small = None
    for limits in (SMALL, DEFAULT):
        whole = outcome([data], limits)
        if whole == under_small:
            return  # no limit was near
        under_small = whole
        for how, pieces in in_pieces(data, cut).items():
            other = outcome(pieces, limits)
            assert other[0] == whole[0], f"{how}, {whole[0]} is {other[0]}"
            shorter, longer = sorted((whole[1], other[1]))
            refused = whole[0][1]
            assert longer.startswith(shorter) if refused else longer == shorter, f"{how}, {shorter!r} is {longer!r}"


def outcome(pieces: Iterable[bytes], limits: Limits) -> tuple[tuple[Any, ...], bytes]:
    """All that the pieces may not change, and the body of the request under way."""
    parser = Parser(limits)
    done, refusal, begun = read(pieces, limits, parser=parser)
    head = begun and begun._replace(body=b"")
    assert refusal is None or (refusal.http_status in STATUSES and refusal.section.startswith("RFC ")), refusal
    waiting = (parser.state, parser.has_begun(), parser.buffered())
    return (done, refusal is not None, head, waiting), begun.body if begun else b""


def check_replies(data: bytes, cut: int) -> None:
    """Raise AssertionError where the reader of replies depends on the pieces, and whatever it raises wrongly."""
    method, minor = ASKED[cut % len(ASKED)]
    whole = read_replies([data], method, minor)
    for how, pieces in in_pieces(data, cut).items():
        other = read_replies(pieces, method, minor)
        assert other == whole, f"{how}, {whole} is {other}, answering {method} of HTTP/1.{minor}"


def read_replies(pieces: Iterable[bytes], method: str, minor: int) -> tuple[list[object], type[InvalidReply], bytes]:
    """All replies in the bytes; what ended them: the end of the bytes or an error; the body that was cut off."""
    coming = filter(None, pieces)  # an empty one would be the end

    async def receive() -> bytes:
        return next(coming, b"")

    reader = ReplyReader(receive)
    replies: list[object] = []
    while True:
        try:
            replies.append(comparable(run(reader.read(method, minor))))
        except IncompleteReply as error:
            return replies, IncompleteReply, error.content
        except InvalidReply:
            return replies, InvalidReply, b""


def comparable(reply: Reply) -> tuple[object, ...]:
    assert reply.is_complete, reply
    fields = reply.headers.multi_items(), reply.trailers.multi_items()
    return reply.status, reply.reason, fields, reply.interim, reply.closes, reply.content


def run(reading: Coroutine[Any, Any, T]) -> T:
    """The reading's result without a loop, which would cost more than the reading: all bytes are there at once."""
    try:
        reading.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the reader waits for something else than bytes")

"""A fuzz target: our parser beside h11, an independent one, on any bytes.

Owns: the comparison, and the list of places where the two may differ, each with its reason.
Must not know: where the bytes come from: hypothesis draws them in `test_against_h11`, a fuzzer in `fuzz_run`.
Invariant: where we accept, h11 reads the same requests; where only we refuse, the refusal is a strictness listed here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import h11

from .fragments import Request
from .fuzz_splits import check_requests
from .reading import read

__all__ = ["check"]

CONTROL = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
BARE = rb"(?<!\r)\n|\r(?!\n)"
# What we refuse and h11 accepts: the section we name, and what must then be found in the bytes.
STRICTER = {
    "RFC 9112 2.2": BARE + rb"|" + CONTROL,
    # The same in places where a bare line feed makes one line of two.
    "RFC 9112 3": BARE,
    "RFC 9112 5": BARE,
    "RFC 9110 5.1": BARE,
    "RFC 9112 3.2": rb" ",  # h11 takes any visible characters for a target
    "RFC 9112 3.2.4": rb"(?i:OPTIONS )",  # and so a query behind an asterisk
    "RFC 3986 3.4": rb"\?",
    "RFC 3986 3.2.2": rb"(?i:\nhost:|http)",  # h11 does not look into Host and absolute targets
    "RFC 9110 4.2.1": rb"://",
    "RFC 9110 5.5": BARE + rb"|" + CONTROL,
    "RFC 9110 6.5.1": rb"\r\n0+",  # h11 takes framing fields in trailers as any others
    "RFC 9110 8.6": rb"(?i:\ncontent-length:)",  # h11 joins equal lengths, and takes 20 digits
    "RFC 9110 9.3.6, 9.3.8": rb"CONNECT|TRACE",
    "RFC 9110 10.1.1": rb"(?i:\nexpect:)",
    "RFC 9110 15.5.15": rb"[^\n]{8190}",
    "RFC 9110 15.6.6": rb"HTTP/[^1]",  # h11 takes HTTP/2.0 and HTTP/0.9 in a request line as they are
    "RFC 9112 5.2": rb"\n[ \t]",
    "RFC 9112 6.1": rb"(?i:\ntransfer-encoding:)",  # h11 lets it win over Content-Length, and allows it in 1.0
    "RFC 9112 7.1": rb"(?i:\ntransfer-encoding:)",  # h11 skips extensions, and takes 20 digits of a size
    "RFC 6585 5": rb"(?s).{8192}|(?:\n[^\n]*){100}",
}
# What h11 refuses and we accept, by what it says, and what must then be found in the bytes.
LAXER = {
    "no request line received": rb"\r\n",  # one empty line before a request (RFC 9112 2.2)
    "illegal chunk header": rb"[ \t];",  # blanks before an extension (RFC 9112 7.1.1)
}


class Reading(NamedTuple):
    """What h11 made of the bytes: complete requests, its refusal, and the request under way."""

    requests: list[Request]
    refusal: str | None
    begun: Request | None
    ended: bool = False  # it read what it takes for the last request of the connection


def read_h11(data: bytes) -> Reading:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    done: list[Request] = []
    begun: Request | None = None
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            return Reading(done, str(error), None)
        if isinstance(event, h11.Request):
            path, _, query = event.target.decode("latin-1").partition("?")
            begun = Request(event.method.decode(), path, query, pairs(event.headers))
        elif isinstance(event, h11.Data) and begun:
            begun = begun._replace(body=begun.body + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and begun:
            done.append(begun._replace(trailers=pairs(event.headers)))
            begun = None
            connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                return Reading(done, None, None, True)
            connection.start_next_cycle()
        else:
            return Reading(done, None, begun)


def pairs(headers: h11._headers.Headers) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def comparable(request: Request) -> Request:
    """In one form: h11 does not take absolute targets apart, and changes the case of Transfer-Encoding."""
    headers = [(name, value.lower() if name == "transfer-encoding" else value) for name, value in request.headers]
    target = request.path + ("?" + request.query if request.query else "")
    absolute = re.fullmatch(r"(?i:https?)://([^/?]*)([^?]*)\??(.*)", target)
    if absolute:
        authority, path, query = absolute.groups()
        path = path or ("*" if request.method == "OPTIONS" else "/")
        headers = [("host", authority), *(pair for pair in headers if pair[0] != "host")]
        request = request._replace(path=path, query=query)
    return request._replace(headers=tuple(headers), persistent=True)


def check(data: bytes, cut: int = 0) -> None:
    """Raise AssertionError where the two parsers differ without a listed reason, or a split changes our reading."""
    check_requests(data, cut)
    ours, refusal, begun = read([data], close=True)
    theirs = read_h11(data)
    common = min(len(ours), len(theirs.requests))
    mine = [comparable(each) for each in ours[:common]]
    others = [comparable(each) for each in theirs.requests[:common]]
    assert mine == others, f"{mine} is to h11 {others}"
    if len(theirs.requests) == common and theirs.ended:
        return  # h11 closes every 1.0 connection, ours stays open where the client asks for keep-alive
    if theirs.refusal is not None:
        laxer = any(theirs.refusal.startswith(text) and re.search(found, data) for text, found in LAXER.items())
        agreed = len(ours) == common and (refusal or not begun)
        assert laxer or agreed, f"only we accept {ours[common:]} {begun}: {theirs}"
    elif refusal is not None:
        stricter = re.search(STRICTER.get(refusal.section, rb"(?!)"), data)
        nothing_more = len(theirs.requests) == common and (begun or not theirs.begun)  # h11 waits for more to refuse
        assert stricter or nothing_more, f"we refuse what h11 accepts: {refusal}: {theirs}"
    else:
        assert len(ours) == len(theirs.requests), f"{ours[common:]} is to h11 {theirs.requests[common:]}"
        mine, others = ([each and comparable(each)] for each in (begun, theirs.begun))
        assert mine == others, f"{mine}, not complete, is to h11 {others}"

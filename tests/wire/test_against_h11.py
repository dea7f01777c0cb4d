from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .fragments import Request
from .fuzz import check, read_h11
from .reading import read
from .scenarios import ACCEPTED, AT_THE_LIMIT, BEYOND_THE_LIMIT, REFUSED, REFUSED_EARLY, Scenario

# The database of failed examples would be a file beside the tests; the scenarios keep what was found.
quick = settings(max_examples=200, deadline=None, database=None, derandomize=True)

TOKEN = st.text("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)
PATH = st.text("-._~!$&'()*+,;=:@/0123456789abcXYZ", max_size=20).map(lambda text: "/" + text)
VALUE = st.text([*map(chr, range(0x21, 0x7F)), *map(chr, range(0xA1, 0x100)), " ", "\t"], max_size=20).map(
    lambda text: text.strip(" \t")
)
BLANKS = st.text(" \t", max_size=3)
FRAMING = {"content-length", "transfer-encoding", "host", "connection", "expect", "te", "trailer", "upgrade"}
FIELDS = st.lists(st.tuples(TOKEN.filter(lambda name: name not in FRAMING), VALUE), max_size=6)
# What grammars turn on.
PIECES = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"0", b"1", b"5", b";", b"=", b'"', b"\\", b",", b"\x00", b"\xff",
        b"\x0b", b"\x85", b"?", b"*", b"%", b"/", b"#", b"+", b"_", b"x", b"Host: a\r\n", b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding", b"Connection: close\r\n",
        b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"0\r\n\r\n",
        b"5\r\nhello\r\n", b"\r\n\r\n", b" HTTP/1.1", b" HTTP/1.0", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"http://b", b"OPTIONS ", b"CONNECT ", b"POST ",
    ]
)  # fmt: skip
KNOWN = st.sampled_from([each.data for each in ACCEPTED + REFUSED if len(each.data) < 400])


@st.composite
def written(draw: st.DrawFn) -> tuple[Request, bytes]:
    """A request and one of the ways to write it."""
    method = draw(TOKEN.filter(lambda text: text.upper() not in ("CONNECT", "TRACE")))
    path, query, fields, body = draw(PATH), draw(PATH), draw(FIELDS), draw(st.binary(max_size=40))
    raw, trailers = body, []
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    headers = [("host", "a"), *fields]
    if kind == "none":
        raw = body = b""
    elif kind == "length":
        headers.append(("content-length", str(len(body))))
    else:
        headers.append(("transfer-encoding", "chunked"))
        trailers = draw(FIELDS)
        size = draw(st.integers(1, 50))
        chunks = [body[i : i + size] for i in range(0, len(body), size)]
        raw = b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        raw += b"0\r\n" + lines(draw, trailers) + b"\r\n"
    headers = draw(st.permutations(headers))
    line = f"{method} {path}?{query} HTTP/1.1\r\n".encode()
    request = Request(method, path, query, tuple(headers), body, tuple(trailers))
    return request, line + lines(draw, headers) + b"\r\n" + raw


def lines(draw: st.DrawFn, fields: list[tuple[str, str]]) -> bytes:
    spelled = [(draw(st.sampled_from([name, name.title(), name.upper()])), value) for name, value in fields]
    return b"".join(f"{name}:{draw(BLANKS)}{value}{draw(BLANKS)}\r\n".encode("latin-1") for name, value in spelled)


@settings(quick, max_examples=100)
@given(st.lists(written(), min_size=1, max_size=3), st.lists(st.integers(1, 400), max_size=5))
def test_what_is_written_by_the_grammar_is_read_alike(requests: list[tuple[Request, bytes]], cuts: list[int]) -> None:
    data = b"".join(raw for _, raw in requests)
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    expected = [request for request, _ in requests]
    assert read(pieces) == (expected, None, None)
    assert read_h11(data).requests == expected
    check(data)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = draw(KNOWN)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.integers(0, 3))
        data = data[:start] + draw(PIECES | KNOWN | st.binary(max_size=2)) + data[end:]
    return data


@settings(quick, max_examples=1000)
@given(mutated())
def test_bytes_nearly_right_are_read_alike(data: bytes) -> None:
    check(data)


@quick
@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_pieces_of_requests_are_read_alike(data: bytes) -> None:
    check(data)
    check(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    check(b"GET / HTTP/1.1\r\nHost: a\r\n" + data)


@quick
@given(st.binary(max_size=60))
def test_any_bytes_are_read_alike(data: bytes) -> None:
    check(data)
    check(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)


@pytest.mark.parametrize("scenario", ACCEPTED + REFUSED + AT_THE_LIMIT + BEYOND_THE_LIMIT, ids=lambda each: each.name)
def test_the_scenarios_are_read_alike(scenario: Scenario) -> None:
    check(scenario.data)


@pytest.mark.parametrize("name", REFUSED_EARLY)
def test_early_refusals_are_no_surprise_to_h11(name: str) -> None:
    check(REFUSED_EARLY[name][0])


# -- the comparison itself can fail ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "theirs",
    [
        b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"",
    ],
)
def test_a_difference_is_noticed(theirs: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = read_h11(theirs)
    monkeypatch.setattr("tests.wire.fuzz.read_h11", lambda data: reading)
    with pytest.raises(AssertionError):
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


def test_a_refusal_without_a_reason_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = read_h11(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    monkeypatch.setattr("tests.wire.fuzz.read_h11", lambda data: reading)
    with pytest.raises(AssertionError, match="we refuse what h11 accepts"):
        check(b"GET / HTTP/1.1\r\nX : a\r\n\r\n")

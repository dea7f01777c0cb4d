from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minihttp.errors import ProtocolError
from minihttp.options import Limits
from minihttp.wire import parser as module
from minihttp.wire.parser import TRANSITIONS, Parser, State

from .reading import one_by_one, read, splits
from .scenarios import (
    ACCEPTED,
    AT_THE_LIMIT,
    BEYOND_THE_LIMIT,
    NEXT,
    NEXT_REQUEST,
    REFUSED,
    REFUSED_EARLY,
    Scenario,
)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def ways(data: bytes) -> Iterator[list[bytes]]:
    """Whole, one byte at a time, and split at every byte."""
    yield [data]
    yield one_by_one(data)
    for first, second in splits(data):
        yield [first, second]


@pytest.mark.parametrize("scenario", ACCEPTED, ids=lambda each: each.name)
def test_is_read_as_however_it_comes(scenario: Scenario) -> None:
    for pieces in ways(scenario.data):
        assert read(pieces) == (list(scenario.requests), None, None), pieces
    for pieces in ways(scenario.data + NEXT):
        assert read(pieces) == ([*scenario.requests, NEXT_REQUEST], None, None), pieces


@pytest.mark.parametrize("scenario", REFUSED, ids=lambda each: each.name)
def test_is_refused_however_it_comes(scenario: Scenario) -> None:
    for data in (scenario.data, scenario.data + NEXT):
        for pieces in ways(data):
            requests, refusal, _ = read(pieces)
            assert requests == list(scenario.requests), pieces
            assert refusal is not None, pieces
            assert refusal.http_status == scenario.status, pieces
            assert refusal.section.startswith("RFC "), pieces


@pytest.mark.parametrize("scenario", AT_THE_LIMIT, ids=lambda each: each.name)
def test_what_fills_a_limit_is_read(scenario: Scenario) -> None:
    for pieces in ways(scenario.data):
        requests, refusal, begun = read(pieces, scenario.limits)
        assert (len(requests), refusal, begun) == (1, None, None), len(pieces[0])
    for pieces in ways(NEXT + scenario.data):
        assert len(read(pieces, scenario.limits)[0]) == 2


@pytest.mark.parametrize("scenario", BEYOND_THE_LIMIT, ids=lambda each: each.name)
def test_what_goes_beyond_a_limit_is_refused(scenario: Scenario) -> None:
    for pieces in ways(scenario.data):
        requests, refusal, _ = read(pieces, scenario.limits)
        assert requests == []
        assert refusal is not None, len(pieces[0])
        assert refusal.http_status == scenario.status, len(pieces[0])


@pytest.mark.parametrize("name", REFUSED_EARLY)
def test_is_refused_before_it_is_complete(name: str) -> None:
    data, status = REFUSED_EARLY[name]
    for pieces in ([data], one_by_one(data), [data[:-1], data[-1:]]):
        _, refusal, _ = read(pieces)
        assert refusal is not None
        assert refusal.http_status == status
    assert read([data[:-1]])[1] is None, "the last byte is what is wrong"


def test_nothing_is_refused_that_more_bytes_could_save() -> None:
    for data in (GET, POST + b"hello", CHUNKED + b"5;a=b\r\nhello\r\n0\r\nX: 1\r\n\r\n", b"\r\n" + GET):
        for end in range(len(data)):
            requests, refusal, _ = read([data[:end]])
            assert (requests, refusal) == ([], None), data[:end]


# -- pieces of the interface -----------------------------------------------------------------------------------------


def test_head_says_what_the_fields_mean() -> None:
    parser = Parser(Limits())
    parser.feed(b"PUT /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n")
    parser.feed(b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
    head = parser.head()
    assert head is not None
    method, path, query, fields = head
    assert (method, path, query) == ("PUT", "/a", "b")
    assert (fields.length, fields.expects, fields.persistent, fields.minor) == (5, True, False, 1)
    assert fields.headers["content-length"] == "5"
    assert parser.state is State.LENGTH


def test_body_gives_what_has_come() -> None:
    parser = Parser(Limits())
    parser.feed(POST + b"he")
    assert parser.head() is not None
    assert parser.body() == b"he"
    assert parser.body() == b""
    parser.feed(b"llo" + NEXT)
    assert parser.body() == b"llo"
    assert parser.state is State.HEAD
    assert parser.body() == b"", "the next request is no body"
    assert parser.buffered() == len(NEXT)


def test_trailers_are_those_of_the_last_body() -> None:
    parser = Parser(Limits())
    parser.feed(CHUNKED + b"0\r\nX: 1\r\n\r\n" + POST + b"hello")
    assert parser.head() is not None
    assert parser.body() == b""
    assert parser.trailers.multi_items() == [("x", "1")]
    assert parser.head() is not None
    assert parser.trailers.multi_items() == []


@pytest.mark.parametrize(
    ("data", "begun"), [(b"", False), (b"\r", False), (b"\r\n", False), (b"G", True), (b"\r\nG", True), (POST, True)]
)
def test_has_begun_knows_a_request_from_a_line_end(data: bytes, begun: bool) -> None:
    parser = Parser(Limits())
    parser.feed(GET + data)
    assert parser.head() is not None
    parser.head()
    assert parser.has_begun() is begun


def test_buffered_counts_what_was_not_taken() -> None:
    parser = Parser(Limits())
    parser.feed(GET + NEXT)
    assert parser.buffered() == len(GET + NEXT)
    parser.head()
    assert parser.buffered() == len(NEXT)
    parser.head()
    assert parser.buffered() == 0


def test_the_same_fields_are_parsed_once() -> None:
    parser = Parser(Limits())
    parser.feed(GET + GET.replace(b"/ ", b"/b?c ") + NEXT + GET)
    heads = [parser.head() for _ in range(4)]
    fields = [head[3] for head in heads if head]
    assert fields[0] is fields[1]
    assert fields[2] is not fields[1]
    assert fields[3] is not fields[1], "only the last ones are kept"


def test_the_same_request_is_parsed_once_wherever_it_stands() -> None:
    parser = Parser(Limits())
    heads = []
    for data in (GET, GET, GET + GET, GET[:5], GET[5:], b"\r\n" + GET, GET):
        parser.feed(data)
        while (head := parser.head()) is not None:
            heads.append(head)
    assert len(heads) == 7
    assert heads == heads[:1] * 7
    assert heads[1] is heads[0]
    assert parser.buffer == b""


def test_what_is_pipelined_and_the_same_is_parsed_once() -> None:
    parser = Parser(Limits())
    parser.feed(GET)
    first = parser.head()
    parser.feed(b"\r\n" + GET * 2 + GET[:5])
    assert [parser.head() is first for _ in range(2)] == [True, True]
    assert parser.head() is None
    parser.feed(GET[5:] + GET)
    assert parser.head() == first
    assert parser.head() is first
    assert parser.buffer == b""


def test_a_head_with_a_body_has_one_each_time() -> None:
    for second in ([POST, b"hello"], [POST + b"hello"], [POST + b"hello" + POST + b"hello"]):
        requests, refusal, begun = read([POST, b"hello", *second])
        assert (refusal, begun) == (None, None)
        assert {request.body for request in requests} == {b"hello"}


class Forgetful(Parser):
    """Remembers nothing from one head to the next."""

    def head(self) -> module.Head | None:
        self._last = self._rest = b""
        self._head = self._fields = None
        return super().head()


REPEATED = [
    GET, GET, GET, NEXT, GET.replace(b"/ ", b"/b "), GET.replace(b"1.1", b"1.0"), GET.replace(b"/", b"http://b/", 1),
    POST + b"hello", POST.replace(b"5", b"0"), POST.replace(b"5", b"%d" % len(GET)) + GET,
    CHUNKED + b"5\r\nhello\r\n0\r\nX: 1\r\n\r\n", GET[:-2], b"\r\n", b"\n",
]  # fmt: skip


@settings(max_examples=1000, deadline=None, database=None, derandomize=True)
@given(st.lists(st.sampled_from(REPEATED), max_size=10).map(b"".join), st.lists(st.integers(0, 400), max_size=8))
def test_what_is_remembered_changes_nothing(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    readings = []
    for parser in (Parser(Limits()), Forgetful(Limits())):
        done, refusal, begun = read(pieces, parser=parser)
        readings.append((done, str(refusal), begun, parser.state, parser.buffered()))
    assert readings[0] == readings[1]


def test_the_same_fields_end_where_they_ended_before() -> None:
    parser = Parser(Limits())
    fields = b" HTTP/1.1\r\nhost: a\r\n"
    for path, more in ((b"/a", b""), (b"/b", b""), (b"/c", b"x: 1\r\n"), (b"/d", b""), (b"/e?q", b"")):
        parser.feed(b"GET " + path + fields + more + b"\r\n")
        head = parser.head()
        assert head is not None
        assert head[1] + ("?" if head[2] else "") + head[2] == path.decode()
        assert ("x" in head[3].headers) is bool(more)


def test_the_last_head_of_a_connection_is_not_kept() -> None:
    for last, kept in ((GET, True), (GET[:-2] + b"Connection: close\r\n\r\n", False)):
        parser = Parser(Limits())
        heads = []
        for _ in range(2):
            parser.feed(last)
            heads.append(parser.head())
        assert heads[0] == heads[1]
        assert (heads[0] is heads[1]) is kept


def test_long_fields_are_not_kept() -> None:
    parser = Parser(Limits())
    data = GET[:-2] + b"X: " + b"a" * 2048 + b"\r\n\r\n"
    parser.feed(data + data)
    first, second = parser.head(), parser.head()
    assert first is not None
    assert second is not None
    assert first[3] is not second[3]


def test_limits_of_a_body_are_not_those_of_all_bodies() -> None:
    body = CHUNKED + b"1;abcdefgh\r\nx\r\n0\r\nX: 1\r\n\r\n"
    requests, refusal, _ = read([body * 5], Limits(chunk_extensions=10, trailer_bytes=8, header_count=2))
    assert refusal is None
    assert [request.trailers for request in requests] == [(("x", "1"),)] * 5


def test_a_line_feed_behind_a_body_is_bare_though_the_body_ends_in_a_carriage_return() -> None:
    for pieces in ways(POST + b"hell\r\n"):
        requests, refusal, _ = read(pieces)
        assert len(requests) == 1
        assert refusal is not None, pieces


# -- after a refusal -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", REFUSED, ids=lambda each: each.name)
def test_no_byte_is_interpreted_after_a_refusal(scenario: Scenario) -> None:
    parser = Parser(Limits())
    _, refusal, _ = read([scenario.data + NEXT + b"\r\n" + NEXT], parser=parser)
    assert refusal is not None
    assert parser.state is State.REFUSED
    for _ in range(2):
        assert parser.head() is None
        assert parser.body() == b""
        assert parser.buffered() == 0
        assert parser.has_begun()
        parser.feed(NEXT)
    assert parser.state is State.REFUSED


@pytest.mark.parametrize("name", REFUSED_EARLY)
def test_no_byte_is_interpreted_after_an_early_refusal(name: str) -> None:
    parser = Parser(Limits())
    read([REFUSED_EARLY[name][0]], parser=parser)
    parser.feed(b"\r\n\r\n" + NEXT)
    assert parser.head() is None
    assert parser.buffered() == 0


def test_a_refused_head_enters_nothing_into_the_next_connection() -> None:
    bad = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"
    for _ in range(2):
        assert read([GET + bad])[1] is not None


# -- one peer's limits are not another's -----------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", [*AT_THE_LIMIT, *BEYOND_THE_LIMIT], ids=lambda each: each.name)
def test_what_a_generous_parser_remembers_does_not_pass_a_strict_one(scenario: Scenario) -> None:
    read([scenario.data], Limits(request_line=1 << 16, header_bytes=1 << 17, header_count=1000, trailer_bytes=1 << 16))
    _, refusal, _ = read([scenario.data], scenario.limits)
    assert (refusal.http_status if refusal else None) == scenario.status


# -- states ----------------------------------------------------------------------------------------------------------


class Recorded(Parser):
    """Writes down every state it comes from and goes to."""

    def __init__(self, limits: Limits) -> None:
        self.seen: set[tuple[State, State]] = set()
        self.now: State | None = None
        super().__init__(limits)

    @property
    def state(self) -> State:  # type: ignore[override]  # a slot in the base
        assert self.now is not None
        return self.now

    @state.setter
    def state(self, state: State) -> None:
        if self.now is not None:
            self.seen.add((self.now, state))
        self.now = state

    def head(self) -> module.Head | None:
        head = super().head()
        if head is not None and self.state is State.HEAD:
            self.seen.add((State.HEAD, State.HEAD))
        return head


def test_the_transitions_are_those_of_the_table_and_all_of_them() -> None:
    seen: set[tuple[State, State]] = set()
    for scenario in [*ACCEPTED, *REFUSED, *AT_THE_LIMIT, *BEYOND_THE_LIMIT]:
        for pieces in ([scenario.data + NEXT], one_by_one(scenario.data[:1000])):
            parser = Recorded(scenario.limits)
            read(pieces, parser=parser)
            seen |= parser.seen
    assert seen == {(old, new) for old, following in TRANSITIONS.items() for new in following}
    assert set(TRANSITIONS) == set(State)


# -- work and memory -------------------------------------------------------------------------------------------------


class Counting:
    """A pattern that counts the bytes it is asked to look at."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.pattern = pattern
        self.looked_at = 0

    def search(self, data: bytes, start: int, end: int | None = None) -> re.Match[bytes] | None:
        end = len(data) if end is None else end
        self.looked_at += max(end - start, 0)
        return self.pattern.search(data, start, end)


DRIPS = {
    "path": b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "query": b"GET /?" + b"a" * 8000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "field": GET[:-2] + b"X: " + b"a" * 32000 + b"\r\n\r\n",
    "fields behind a long request line": b"GET /%b HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"a" * 8000, b"a" * 32000),
    "fields": GET[:-2] + b"X: 1\r\n" * 99 + b"\r\n",
    "chunks": CHUNKED + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n",
    "chunk extension": CHUNKED + b"1;" + b"a" * 1000 + b"\r\nx\r\n0\r\n\r\n",
    "trailer": CHUNKED + b"0\r\nX: " + b"a" * 8000 + b"\r\n\r\n",
    "trailers": CHUNKED + b"0\r\n" + b"X: 1\r\n" * 99 + b"\r\n",
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_byte_that_drips_in_costs_no_look_at_those_before(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    illegal = Counting(module.ILLEGAL)
    lines = []
    monkeypatch.setattr(module, "ILLEGAL", illegal)
    monkeypatch.setattr(module, "parse_target", lambda line: lines.append(line) or ("GET", "/", "", None))
    data = DRIPS[name]
    requests, refusal, _ = read(one_by_one(data))
    assert (len(requests), refusal) == (1, None)
    assert illegal.looked_at <= 6 * len(data)
    assert len(lines) <= 6


def test_no_pattern_backtracks_beyond_reason() -> None:
    # Quadratic, any of these would take minutes.
    blanks = b" " * 30000
    for data in (
        GET[:-2] + b"X:" + blanks + b"\x00\r\n\r\n",
        GET[:-2] + b"X" + blanks + b": 1\r\n\r\n",
        GET[:-2] + b"Connection: " + b"close ," * 4000 + b"\r\nTransfer-Encoding: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"a" * 30000 + b"@\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"%41" * 10000 + b"%\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [" + b":" * 30000 + b"]\r\n\r\n",
        GET[:-2] + b"Transfer-Encoding: " + b"," * 30000 + b"x\r\n\r\n",
        GET[:-2] + b"Content-Length: " + b"9" * 30000 + b"\r\n\r\n",
        b"GET /" + b"%41" * 2700 + b"% HTTP/1.1\r\nHost: a\r\n\r\n",
        CHUNKED + b"1" + b" ;a=b" * 200 + b"\x01\r\n",
        CHUNKED + b"1" + b"\t ; \t" * 200 + b"\r\n",
        CHUNKED + b'1;a="' + b"\\a" * 500 + b"\r\n",
    ):
        _, refusal, _ = read([data])
        assert refusal is not None, data[:60]


def test_of_what_came_a_copy_is_kept() -> None:
    parser = Parser(Limits())
    came = b"".join((GET, b""))
    before = sys.getrefcount(came)
    parser.feed(came)
    assert parser.head() is not None
    assert sys.getrefcount(came) == before


def test_bytes_that_were_taken_are_not_kept() -> None:
    parser = Parser(Limits())
    parser.feed(POST.replace(b"5", b"999999") + b"x" * 500_000)
    assert parser.head() is not None
    assert len(parser.body()) == 500_000
    assert len(parser.buffer) == 0, "a client that stops here must not cost half a megabyte"


def test_a_pipeline_of_small_requests_is_not_copied() -> None:
    parser = Parser(Limits())
    parser.feed(GET * 1000)
    buffer = parser.buffer
    for _ in range(999):
        assert parser.head() is not None
    assert parser.buffer is buffer


# -- the documentation -----------------------------------------------------------------------------------------------


PAGE = Path(__file__).parents[2].joinpath("docs/http.md").read_text(encoding="utf-8")
REFUSING = ("ProtocolError", "self._refusal", "self._take_line")


def refusals() -> Iterator[str]:
    """The reasons in the source, in pieces around what is filled in."""
    for path in sorted(Path(module.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in REFUSING:
                for piece in (piece for argument in node.args[:2] for piece in ast.walk(argument)):
                    if isinstance(piece, ast.Constant) and isinstance(piece.value, str):
                        yield piece.value.strip()


@pytest.mark.parametrize("reason", sorted(set(refusals())))
def test_every_refusal_is_in_the_documentation(reason: str) -> None:
    assert reason in PAGE


def test_the_states_in_the_documentation_are_those_of_the_table() -> None:
    drawn = [(old, new) for old, new in re.findall(r"^    (\w+) --> (\w+)$", PAGE, re.MULTILINE)]
    assert sorted(drawn) == sorted((old.name, new.name) for old in State for new in TRANSITIONS[old])
    for state in State:
        assert f"| {state.name} | {state.value} |" in PAGE


def test_a_refusal_says_what_is_wrong() -> None:
    with pytest.raises(ProtocolError, match=r"space before the colon of a header field \(RFC 9112 5\.1\)"):
        parser = Parser(Limits())
        parser.feed(GET[:-2] + b"X : 1\r\n\r\n")
        parser.head()

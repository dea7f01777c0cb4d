from __future__ import annotations

import pytest

from minihttp.errors import ProtocolError
from minihttp.wire import head
from minihttp.wire.head import parse_field, parse_fields, parse_query, parse_start, parse_version


@pytest.fixture(autouse=True)
def empty_memos() -> None:
    head.STARTS.clear()
    head.FIELDS.clear()


def refusal(parse: object, *arguments: object) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse(*arguments)  # type: ignore[operator]  # one of the functions above
    return caught.value


def test_start_is_method_path_and_authority() -> None:
    assert parse_start(b"GET /a") == ("GET", "/a", None)
    assert parse_start(b"GET http://b:1/c") == ("GET", "/c", "b:1")
    assert parse_start(b"OPTIONS *") == ("OPTIONS", "*", None)
    assert parse_start(b"OPTIONS https://b") == ("OPTIONS", "*", "b")
    assert refusal(parse_start, b"GET http:///a").section == "RFC 9110 4.2.1"


def test_query_and_version() -> None:
    assert parse_query(b"a=%", "/") == "a=%"
    assert refusal(parse_query, b"a b", "/").section == "RFC 3986 3.4"
    assert refusal(parse_query, b"a", "*").section == "RFC 9112 3.2.4"
    assert [parse_version(b" HTTP/1.%d" % minor) for minor in range(10)] == [0] + [1] * 9
    assert refusal(parse_version, b" HTTP/2.0").http_status == 505


def test_field_is_lower_case_name_and_stripped_value() -> None:
    assert parse_field(b"X-Name:\t a  b ") == ("x-name", "a  b")
    assert parse_field(b"Host:a") == ("host", "a")


@pytest.mark.parametrize(
    ("line", "reason", "section"),
    [
        (b" a", "folded header field", "RFC 9112 5.2"),
        (b"a", "header field without a name", "RFC 9112 5"),
        (b":a", "header field without a name", "RFC 9112 5"),
        (b"", "header field without a name", "RFC 9112 5"),
        (b"a : b", "space before the colon of a header field", "RFC 9112 5.1"),
        (b"a: \x00", "control character in the value of a", "RFC 9110 5.5"),
        (b"a\x00: b", "illegal character in a header name", "RFC 9110 5.1"),
        (b"\xe4: b", "illegal character in a header name", "RFC 9110 5.1"),
    ],
)
def test_a_malformed_field_is_told_by_its_rule(line: bytes, reason: str, section: str) -> None:
    error = refusal(parse_field, line)
    assert (error.reason, error.section, error.http_status) == (reason, section, 400)


def test_every_byte_of_a_name_and_a_value_is_held_to_the_grammar() -> None:
    token = set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    value = {9, *range(0x20, 0x7F), *range(0x80, 0x100)}
    for byte in range(256):
        for line, legal in (
            (b"a%c: b" % byte, byte in token or byte == ord(":")),
            (b"a: b%cc" % byte, byte in value),
            (b"a:%c" % byte, byte in value),
        ):
            try:
                parse_field(line)
            except ProtocolError:
                assert not legal, line
            else:
                assert legal, line


def test_every_byte_of_a_target_is_held_to_the_grammar() -> None:
    path = set(b"-._~!$&'()*+,;=:@/0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    query = path | set(b"?[]{}|^`\\%")
    for byte in range(256):
        for parse, arguments, legal in (
            (parse_start, (b"GET /a%c" % byte,), byte in path),
            (parse_start, (b"GET http://a/%c" % byte,), byte in path),
            (parse_query, (b"a%c" % byte, "/"), byte in query),
        ):
            try:
                parse(*arguments)  # type: ignore[operator]  # two functions of different arguments
            except ProtocolError:
                assert not legal, arguments
            else:
                assert legal, arguments


def test_fields_carry_what_they_say_about_the_message() -> None:
    fields = parse_fields(b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue", 3)
    assert (fields.length, fields.persistent, fields.expects, fields.minor) == (None, True, True, 1)
    fields = parse_fields(b" HTTP/1.0", 0)
    assert (fields.length, fields.persistent, fields.expects, fields.minor) == (0, False, False, 0)
    for rest, expects in (
        (b" HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1", True),
        (b" HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0", False),
        (b" HTTP/1.1\r\nHost: a\r\nExpect: 100-continue", False),
        (b" HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1", False),
    ):
        assert parse_fields(rest, 9).expects is expects
    assert refusal(parse_fields, b" HTTP/1.1\r\nHost: a\r\nX: 1", 1).http_status == 431


def test_another_authority_replaces_host_alone() -> None:
    fields = parse_fields(b" HTTP/1.1\r\nX: 1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close", 9)
    other = fields.for_authority("b")
    assert other.headers.multi_items() == [("host", "b"), ("x", "1"), ("content-length", "5"), ("connection", "close")]
    assert (other.length, other.persistent, other.expects, other.minor) == (5, False, False, 1)
    assert fields.headers["host"] == "a"


# -- memos -----------------------------------------------------------------------------------------------------------


def test_what_repeats_is_parsed_once() -> None:
    for parse, line in ((parse_field, b"Accept: */*"), (parse_start, b"GET /a")):
        first, second, third = parse(line), parse(line), parse(line)
        assert first == second
        assert second is third


def test_memos_are_bounded() -> None:
    for i in range(5000):
        parse_field(b"User-Agent: %d" % i)
        parse_start(b"GET /%d" % i)
        assert len(head.FIELDS) <= head.MEMO_ENTRIES
        assert len(head.STARTS) <= head.MEMO_ENTRIES
    assert parse_field(b"User-Agent: 0") == ("user-agent", "0")
    assert parse_start(b"GET /0") == ("GET", "/0", None)


def test_long_lines_are_not_remembered() -> None:
    fits = b"User-Agent: " + b"a" * (head.MEMO_LINE - 12)
    parse_field(fits)
    parse_field(fits + b"a")
    assert list(head.FIELDS) == [fits]
    fits = b"GET /" + b"a" * (head.MEMO_LINE - 5)
    parse_start(fits)
    parse_start(fits + b"a")
    assert list(head.STARTS) == [fits]


@pytest.mark.parametrize(
    "line",
    [
        b"Cookie: session=secret", b"Authorization: Bearer secret", b"Proxy-Authorization: Basic secret",
        b"X-Api-Key: secret", b"X-CSRF-Token: secret", b"Referer: http://a/?token=secret", b"Sec-WebSocket-Key: secret",
        b"If-None-Match: secret", b"X-Forwarded-For: secret", b"From: secret",
    ],
)  # fmt: skip
def test_no_secret_is_remembered(line: bytes) -> None:
    parse_fields(b" HTTP/1.1\r\nHost: a\r\n" + line, 9)
    assert b"secret" not in b"".join(head.FIELDS)


def test_no_query_is_remembered() -> None:
    parse_start(b"GET /a")
    parse_query(b"token=secret", "/a")
    parse_start(b"GET http://secret@b/".replace(b"@", b"."))
    assert list(head.STARTS) == [b"GET /a"]


MALFORMED = [b"Host : a", b"Host: \x00", b" Host: a", b"Ho\xe4st: a", b"Host", b"Host: a\r", b"Host: a\n"]


@pytest.mark.parametrize("line", MALFORMED)
def test_nothing_malformed_is_remembered(line: bytes) -> None:
    for _ in range(2):
        refusal(parse_field, line)
    assert head.FIELDS == {}


@pytest.mark.parametrize("start", [b"GET", b"GET  /", b"GET /<", b"G(T /", b"CONNECT /", b"TRACE /", b"GET *"])
def test_no_malformed_start_is_remembered(start: bytes) -> None:
    for _ in range(2):
        refusal(parse_start, start)
    assert head.STARTS == {}


def test_lines_that_differ_in_a_byte_are_not_taken_for_each_other() -> None:
    assert parse_field(b"Host: a") == ("host", "a")
    assert parse_field(b"Host: A") == ("host", "A")
    assert parse_field(b"Host:  a") == ("host", "a")
    assert parse_start(b"GET /a") != parse_start(b"GET /A")
    refusal(parse_field, b"Host: a\x7f")


def test_a_remembered_field_is_still_weighed_with_the_others() -> None:
    parse_fields(b" HTTP/1.1\r\nHost: a\r\nContent-Length: 5", 9)
    parse_fields(b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", 9)
    assert refusal(parse_fields, b" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", 9)
    assert refusal(parse_fields, b" HTTP/1.1\r\nHost: a\r\nHost: a", 9)
    assert refusal(parse_fields, b" HTTP/1.0\r\nTransfer-Encoding: chunked", 9)

from __future__ import annotations

import pytest

from minihttp.errors import ProtocolError
from minihttp.wire import head
from minihttp.wire.head import NAMES, parse_field, parse_fields, parse_target, parse_version

HEAD = b" HTTP/1.1\r\nHost: a\r\n"


def refusal(parse: object, *arguments: object) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse(*arguments)  # type: ignore[operator]  # one of the functions above
    return caught.value


def test_a_target_is_method_path_query_and_authority() -> None:
    assert parse_target("GET /a") == ("GET", "/a", "", None)
    assert parse_target("GET /a?b=%?") == ("GET", "/a", "b=%?", None)
    assert parse_target("CONNECTED /") == ("CONNECTED", "/", "", None)
    assert parse_target("GET http://b:1/c?d") == ("GET", "/c", "d", "b:1")
    assert parse_target("GET HTTPS://b") == ("GET", "/", "", "b")
    assert parse_target("OPTIONS *") == ("OPTIONS", "*", "", None)
    assert parse_target("OPTIONS https://b") == ("OPTIONS", "*", "", "b")


@pytest.mark.parametrize(
    ("line", "status", "section"),
    [
        ("GET", 400, "RFC 9112 3.2"),
        ("GET  /", 400, "RFC 9112 3.2"),
        ("G(T /?a b", 400, "RFC 9112 3"),
        ("CONNECT /", 501, "RFC 9110 9.3.6, 9.3.8"),
        ("TRACE /", 501, "RFC 9110 9.3.6, 9.3.8"),
        ("GET *", 400, "RFC 9112 3.2"),
        ("GET /<?a b", 400, "RFC 9112 3.2"),
        ("GET http:///a", 400, "RFC 9110 4.2.1"),
        ("GET http://a@b/", 400, "RFC 3986 3.2.2"),
        ("GET /?a b", 400, "RFC 3986 3.4"),
        ("GET http://a?b c", 400, "RFC 3986 3.4"),
        ("OPTIONS *?", 400, "RFC 9112 3.2.4"),
        ("OPTIONS http://a?b", 400, "RFC 9112 3.2.4"),
    ],
)
def test_a_malformed_target_is_told_by_the_first_rule_it_breaks(line: str, status: int, section: str) -> None:
    error = refusal(parse_target, line)
    assert (error.http_status, error.section) == (status, section)


def test_version() -> None:
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
        (b"host", "header field without a name", "RFC 9112 5"),
        (b":a", "header field without a name", "RFC 9112 5"),
        (b"", "header field without a name", "RFC 9112 5"),
        (b"a : b", "space before the colon of a header field", "RFC 9112 5.1"),
        (b"a: \x00", "control character in the value of a", "RFC 9110 5.5"),
        (b"a: \r", "control character in the value of a", "RFC 9110 5.5"),
        (b"a: \rb\n", "control character in the value of a", "RFC 9110 5.5"),
        (b"a\x00: b", "illegal character in a header name", "RFC 9110 5.1"),
        (b"\xe4: b", "illegal character in a header name", "RFC 9110 5.1"),
    ],
)
def test_a_malformed_field_is_told_by_its_rule(line: bytes, reason: str, section: str) -> None:
    for error in (
        refusal(parse_field, line),
        refusal(parse_fields, HEAD + line, 9),
        refusal(parse_fields, HEAD + b"b: c\r\n" + line + b"\r\n\x00: d", 9),
    ):
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
            if legal:
                name, read = parse_field(line)
                assert parse_fields(HEAD + line, 9).headers.multi_items() == [("host", "a"), (name, read)]
            else:
                refusal(parse_field, line)
                refusal(parse_fields, HEAD + line, 9)


def test_every_byte_of_a_target_is_held_to_the_grammar() -> None:
    path = set(b"-._~!$&'()*+,;=:@/0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    query = path | set(b"?[]{}|^`\\%")
    for byte in range(256):
        for line, legal in (
            ("GET /a%c", byte in path or byte == ord("?")),
            ("GET http://a/%c", byte in path or byte == ord("?")),
            ("GET /?a%c", byte in query),
            ("GET http://a?%c", byte in query),
        ):
            if legal:
                parse_target(line % byte)
            else:
                refusal(parse_target, line % byte)


def test_a_well_formed_head_is_not_read_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "parse_field", None)
    fields = parse_fields(HEAD + b"X-Unusual:\t1 \t2 \r\ncookie:\x85\xc3\xb6\xad: \xa0 \r\nDNT:", 9)
    expected = [("host", "a"), ("x-unusual", "1 \t2"), ("cookie", "\x85\xc3\xb6\xad: \xa0"), ("dnt", "")]
    assert fields.headers.multi_items() == expected
    assert fields.headers.as_dict() == dict(expected)


def test_a_name_may_repeat() -> None:
    fields = parse_fields(HEAD + b"X: 1\r\nB: 2\r\nx: 3", 9)
    assert fields.headers.multi_items() == [("host", "a"), ("x", "1"), ("b", "2"), ("x", "3")]
    assert fields.headers["X"] == "1, 3"


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


# -- what is remembered ------------------------------------------------------------------------------------------------


def test_usual_names_need_no_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "METHOD", None)
    for name in ("host", "Host", "HOST", "User-Agent", "user-agent", "sec-ch-ua", "DNT", "Cookie"):
        assert NAMES[name] == name.lower()


def test_nothing_is_remembered_of_a_name_that_a_client_makes_up() -> None:
    known = dict(NAMES)
    assert [NAMES[name] for name in ("X-Secret", "x y", "", "\xe4")] == ["x-secret", "", "", ""]
    assert dict(NAMES) == known
    assert all(name.lower() == lower for name, lower in known.items())


@pytest.mark.parametrize("host", [b"a:65535", b"a:00080", b"a:", b"[::1]:65535", b"[::1]", b"a%41"])
def test_hosts(host: bytes) -> None:
    assert parse_fields(b" HTTP/1.1\r\nHost: " + host, 1).headers["host"] == host.decode()


@pytest.mark.parametrize("host", [b"a:65536", b"a:99999", b"a:000080", b":80", b"[::1]:65536", b"[:1]", b"[]", b"a:b"])
def test_malformed_hosts(host: bytes) -> None:
    assert refusal(parse_fields, b" HTTP/1.1\r\nHost: " + host, 1).section == "RFC 3986 3.2.2"


def test_fields_are_weighed_together() -> None:
    both = b" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"
    assert refusal(parse_fields, both, 9).section == "RFC 9112 6.1"
    assert refusal(parse_fields, b" HTTP/1.1\r\nHost: a\r\nHost: a", 9).section == "RFC 9112 3.2"
    assert refusal(parse_fields, b" HTTP/1.0\r\nTransfer-Encoding: chunked", 9).section == "RFC 9112 6.1"

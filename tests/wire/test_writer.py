from __future__ import annotations

from email.utils import parsedate_to_datetime
from http import HTTPStatus

import h11
import pytest

from minihttp.headers import MutableHeaders
from minihttp.wire import writer
from minihttp.wire.writer import (
    CHUNKED,
    CLOSE,
    CONTINUE,
    KEEP_ALIVE,
    LAST_CHUNK,
    encode_chunk,
    encode_head,
)

NOW = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 5.6.7


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "time", lambda: NOW + 0.9)
    monkeypatch.setattr(writer, "second_ends", 0.0)
    writer.PREFIXES.clear()


def read_h11(data: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """What a client makes of a response."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data == (b"", False)
    return response, body


def test_a_head_is_status_line_fields_and_an_empty_line() -> None:
    assert encode_head(200, "text/plain", None, 2, b"") == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        b"content-length: 2\r\n\r\n"
    )


def test_a_head_with_everything() -> None:
    headers = MutableHeaders([("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("X", "\xe4")])
    assert encode_head(404, None, headers, CHUNKED, CLOSE) == (
        b"HTTP/1.1 404 Not Found\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ntransfer-encoding: chunked\r\n"
        b"connection: close\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx: \xe4\r\n\r\n"
    )


def test_a_client_reads_what_was_written() -> None:
    response, body = read_h11(encode_head(200, "text/plain", None, 5, KEEP_ALIVE) + b"hello")
    assert (response.status_code, response.reason, body) == (200, b"OK", b"hello")
    assert dict(response.headers)[b"connection"] == b"keep-alive"
    chunks = [b"a", b"", b"x" * 300, b"0\r\n\r\n"]
    data = encode_head(200, None, None, CHUNKED, b"") + b"".join(map(encode_chunk, chunks)) + LAST_CHUNK
    assert read_h11(data)[1] == b"".join(chunks)


def test_chunks_are_counted_in_hex_and_an_empty_one_is_none() -> None:
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert encode_chunk(b"") == b""
    assert encode_chunk(memoryview(b"ab").tobytes()) == b"2\r\nab\r\n"


def test_continue_is_an_interim_response() -> None:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="PUT", target="/", headers=[("host", "a"), ("content-length", "1")]))
    client.receive_data(CONTINUE)
    event = client.next_event()
    assert isinstance(event, h11.InformationalResponse)
    assert event.status_code == 100


@pytest.mark.parametrize("status", [*HTTPStatus, 299, 599, 999])
def test_every_status_has_a_line(status: int) -> None:
    line, _, rest = encode_head(status, None, None, b"", b"").partition(b"\r\n")
    version, code, reason = line.split(b" ", 2)
    assert (version, int(code)) == (b"HTTP/1.1", status)
    assert reason.replace(b" ", b"").replace(b"-", b"").replace(b"'", b"").isalpha()
    assert rest.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [0, 99, 1000, -200, "200", 200.5, None, True])
def test_what_is_no_status_is_refused(status: object) -> None:
    with pytest.raises(ValueError, match="is not a status code"):
        encode_head(status, None, None, b"", b"")  # type: ignore[arg-type]  # the mistake that is tested
    assert writer.PREFIXES == {}


@pytest.mark.parametrize("content_type", ["a\r\nset-cookie: x", "a\nb", "a\rb", "a\x00", "a\x7f", "\u2028", "\u010a"])
def test_no_content_type_splits_the_response(content_type: str) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="content-type"):
            encode_head(200, content_type, None, b"", b"")
    assert writer.PREFIXES == {}


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\r", "\x00", "a\u560d\u560a"])
def test_no_field_splits_the_response(value: str) -> None:
    with pytest.raises(ValueError, match="header"):
        encode_head(200, None, MutableHeaders([("x", value)]), b"", b"")


# -- Date ------------------------------------------------------------------------------------------------------------


def test_the_date_follows_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for second in (NOW, NOW, NOW + 1, NOW + 3600, NOW - 5):
        monkeypatch.setattr(writer, "time", lambda now=second: now + 0.5)
        data = encode_head(204, None, None, b"", b"")
        text = data.partition(b"date: ")[2].partition(b"\r\n")[0].decode()
        assert parsedate_to_datetime(text).timestamp() == second
        assert data.count(b"date: ") == 1


def test_the_date_is_formatted_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    format_date = writer.format_date
    monkeypatch.setattr(writer, "format_date", lambda now: calls.append(now) or format_date(now))
    for _ in range(10):
        encode_head(200, None, None, b"", b"")
    assert calls == [NOW]


def test_a_date_of_the_application_is_the_only_one() -> None:
    data = encode_head(200, None, MutableHeaders({"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}), b"", b"")
    assert data.count(b"date: ") == 1
    assert b"1970" in data


# -- the memo --------------------------------------------------------------------------------------------------------


def test_the_memo_is_bounded() -> None:
    for i in range(1000):
        assert b"text/x%d\r\n" % i in encode_head(200, f"text/x{i}", None, b"", b"")
        assert len(writer.PREFIXES) <= writer.PREFIX_ENTRIES
    assert b"text/x0\r\n" in encode_head(200, "text/x0", None, b"", b"")


def test_the_memo_tells_status_and_type_apart() -> None:
    keys = [(status, kind) for status in (200, 201) for kind in (None, "", "a/b", "A/b")]
    heads = [encode_head(*key, None, b"", b"") for key in keys]
    assert len(set(heads)) == len(keys)
    assert heads == [encode_head(*key, None, b"", b"") for key in keys]

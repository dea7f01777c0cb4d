"""What a handler reads: the body in its four forms, what the client may not do to it, and the policy around it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from minihttp.errors import ClientDisconnected, FieldError, HTTPError, ProtocolError
from minihttp.forms import UploadFile
from minihttp.headers import Headers
from minihttp.options import Limits
from minihttp.request import Request
from minihttp.wire.head import Fields

MULTIPART = "multipart/form-data; boundary=edge"
URLENCODED = "application/x-www-form-urlencoded"


@dataclass
class User:
    name: str
    age: int = 0


class Channel:
    """A body that comes in pieces; an exception among them is raised. Counts what has been read."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = list(pieces)
        self.reads = 0
        self.trailers = Headers()

    async def read(self) -> bytes:
        self.reads += 1
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        if not piece:
            self.trailers = Headers([("x-checksum", "1")])
        return piece


class Origin:
    """The connection, as a request sees it."""

    client: tuple[str, int] | None = ("192.0.2.1", 5000)
    scheme = "http"
    is_gone = False

    def __init__(self) -> None:
        self.limits: list[float | None] = []

    async def disconnected(self) -> None:
        self.is_gone = True

    def limit_handler(self, seconds: float | None) -> None:
        self.limits.append(seconds)


class Application:
    state: Any = None

    def url_for(self, name: str, /, **params: Any) -> str:
        return f"/{name}/{params}"


def make(
    body: bytes | Channel = b"",
    path: str = "/",
    query: str = "",
    method: str = "POST",
    max_body: int = 1000,
    length: int | None = None,
    origin: Origin | None = None,
    **headers: str,
) -> Request:
    fields = Headers([(name.replace("_", "-"), value) for name, value in headers.items()])
    head = (method, path, query, Fields(fields, length, True, False, 1))
    return Request(head, body, origin or Origin(), Limits(max_body=max_body, handler_timeout=30.0))


async def refusal(awaitable: Any) -> HTTPError:
    with pytest.raises(HTTPError) as caught:
        await awaitable
    return caught.value


# --- what it carries


def test_a_request_carries_what_the_parser_read_and_the_policy_it_runs_under() -> None:
    request = make(path="/a%20b", query="x=1", method="GET", max_body=7, host="example.org")
    assert (request.method, request.raw_path, request.query_string) == ("GET", "/a%20b", "x=1")
    assert request.headers["Host"] == "example.org"
    assert (request.max_body, request.timeout, request.on_disconnect) == (7, 30.0, None)
    assert request.params == {}
    with pytest.raises(RuntimeError, match=r"bare handler: request\.app\.state needs an App"):
        _ = request.app.state
    assert repr(request) == "<Request GET /a%20b>"


def test_client_and_scheme_are_those_of_the_connection() -> None:
    origin = Origin()
    request = make(origin=origin)
    assert (request.client, request.scheme) == (("192.0.2.1", 5000), "http")
    origin.client, origin.scheme = None, "https"
    assert (request.client, request.scheme) == (None, "https")


def test_path_is_decoded() -> None:
    assert make(path="/plain").path == "/plain"
    assert make(path="/%E5%8C%97%E4%BA%AC%2F+").path == "/北京/+"


def test_a_path_that_is_not_utf8_is_refused_with_400() -> None:
    with pytest.raises(HTTPError) as caught:
        _ = make(path="/%ff").path
    assert caught.value.status == 400


def asking(query: str, fields: Fields) -> Request:
    """The next request on a connection whose client sends these fields each time."""
    return Request(("GET", "/", query, fields), b"", Origin(), Limits())


def test_a_query_that_comes_again_with_the_same_fields_is_read_once() -> None:
    fields = Fields(Headers(), 0, True, False, 1)
    first = asking("a=1", fields).query
    assert asking("a=1", fields).query is first
    assert asking("a=2", fields).query["a"] == "2"
    assert asking("a=1", fields).query == first
    assert asking("a=1", Fields(Headers(), 0, True, False, 1)).query is not first


def test_a_request_keeps_its_query_whatever_the_next_one_asks() -> None:
    fields = Fields(Headers(), 0, True, False, 1)
    request = asking("a=1", fields)
    query = request.query
    assert asking("a=2", fields).query["a"] == "2"
    assert request.query is query
    assert query["a"] == "1"


def test_a_query_that_is_refused_is_refused_each_time() -> None:
    fields = Fields(Headers(), 0, True, False, 1)
    assert asking("a=1", fields).query["a"] == "1"
    for _ in range(2):
        with pytest.raises(HTTPError, match="is not UTF-8"):
            _ = asking("a=%ff", fields).query


def test_a_long_query_is_not_kept_for_the_next_request_but_for_its_own() -> None:
    fields = Fields(Headers(), 0, True, False, 1)
    short, long = asking("a" * 256, fields), asking("b" * 257, fields)
    assert short.query == {"a" * 256: ""}
    assert long.query is long.query
    assert fields.last_query == (short.query_string, short.query)


def test_state_is_one_namespace_per_request() -> None:
    request, other = make(), make()
    request.state.user = "ann"
    assert request.state.user == "ann"
    assert not hasattr(other.state, "user")


def test_url_for_asks_the_application_even_for_a_parameter_called_name() -> None:
    request = make()
    request.app = Application()
    assert request.url_for("user", name="ann", self=1) == "/user/{'name': 'ann', 'self': 1}"


def test_url_for_without_an_application_says_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match="url_for needs an App"):
        make().url_for("user")


@pytest.mark.parametrize(
    ("method", "word", "cancels"),
    [
        ("GET", None, True),
        ("HEAD", None, True),
        ("OPTIONS", None, True),
        ("POST", None, False),
        ("DELETE", None, False),
        ("get", None, False),
        ("GET", "finish", False),
        ("POST", "cancel", True),
    ],
)
def test_the_routes_word_decides_about_a_client_that_leaves_else_the_method(
    method: str, word: Any, cancels: bool
) -> None:
    request = make(method=method)
    request.on_disconnect = word
    assert request.cancels_on_disconnect is cancels


def test_a_timeout_set_while_the_handler_runs_is_passed_to_the_connection() -> None:
    origin = Origin()
    request = make(origin=origin)
    request.timeout = 2.5
    assert request.timeout == 2.5
    request.timeout = None
    assert request.timeout is None
    assert origin.limits == [2.5, None]


async def test_disconnected_returns_when_the_client_is_gone() -> None:
    request = make()
    assert request.is_gone is False
    await request.disconnected()
    assert request.is_gone is True


# --- query and cookies


def test_query_is_a_mapping_read_once() -> None:
    request = make(query="a=1&a=2&b=x+%E4%BA%AC&empty=")
    assert request.query["a"] == "1"
    assert request.query.getall("a") == ["1", "2"]
    assert request.query.get("b") == "x 京"
    assert request.query.get("empty") == ""
    assert request.query.get("none") is None
    assert request.query.get("a", 0, int) == 1
    assert request.query.get("none", 5, int) == 5
    assert request.query is request.query


def test_a_query_parameter_that_is_missing_is_answered_with_400_that_names_it() -> None:
    with pytest.raises(FieldError) as caught:
        _ = make().query["id"]
    assert caught.value.http_status == 400
    assert list(caught.value.errors) == [{"field": "id", "detail": "is missing"}]


@pytest.mark.parametrize("type", [int, bool, float, UUID, Decimal])
def test_a_query_parameter_of_the_wrong_type_is_answered_with_400_that_names_it(type: Any) -> None:
    with pytest.raises(HTTPError) as caught:
        make(query="id=x").query.get("id", type=type)
    assert caught.value.http_status == 400
    assert caught.value.errors[0]["field"] == "id"


def test_a_query_that_is_not_utf8_is_answered_with_400() -> None:
    with pytest.raises(HTTPError) as caught:
        _ = make(query="id=%ff").query
    assert caught.value.http_status == 400


def test_cookies_are_a_mapping_read_once() -> None:
    request = make(cookie='a=1; b="two"')
    assert (request.cookies["a"], request.cookies.get("b"), request.cookies.get("a", 0, int)) == ("1", "two", 1)
    assert request.cookies is request.cookies
    assert list(make().cookies) == []


def test_a_cookie_that_is_missing_is_answered_with_400_that_names_it() -> None:
    with pytest.raises(HTTPError) as caught:
        _ = make().cookies["session"]
    assert (caught.value.http_status, caught.value.errors[0]["field"]) == (400, "session")


# --- body and stream


async def test_a_body_that_came_with_the_head_is_read_any_number_of_times() -> None:
    request = make(b"hello")
    assert await request.body() == b"hello"
    assert [chunk async for chunk in request.stream()] == [b"hello"]
    assert [chunk async for chunk in request.stream()] == [b"hello"]
    assert await request.body() == b"hello"


async def test_no_body_is_an_empty_one() -> None:
    assert await make().body() == b""
    assert [chunk async for chunk in make().stream()] == []


async def test_a_body_that_comes_in_pieces_is_read_once_and_kept() -> None:
    channel = Channel(b"hel", b"lo")
    request = make(channel)
    assert await request.body() == b"hello"
    assert await request.body() == b"hello"
    assert [chunk async for chunk in request.stream()] == [b"hello"]
    assert channel.reads == 3


async def test_a_stream_takes_a_piece_only_when_it_is_asked_for_one() -> None:
    channel = Channel(b"a", b"b")
    stream = make(channel).stream()
    assert (await anext(stream), channel.reads) == (b"a", 1)
    assert (await anext(stream), channel.reads) == (b"b", 2)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_body_after_a_started_stream_is_an_error() -> None:
    request = make(Channel(b"a", b"b"))
    async for _ in request.stream():
        with pytest.raises(RuntimeError, match="streamed already"):
            await request.body()
        with pytest.raises(RuntimeError, match="streamed already"):
            await anext(request.stream())
    with pytest.raises(RuntimeError, match="use body\\(\\) from the start"):
        await request.json()


async def test_trailers_are_there_once_the_body_has_been_read() -> None:
    request = make(Channel(b"a"))
    assert list(request.trailers) == []
    await request.body()
    assert request.trailers["X-Checksum"] == "1"
    assert list(make(b"whole").trailers) == []


@pytest.mark.parametrize("error", [ProtocolError("bad chunk"), ClientDisconnected("gone")])
async def test_what_goes_wrong_on_the_connection_reaches_the_reader(error: Exception) -> None:
    with pytest.raises(type(error)):
        await make(Channel(b"a", error)).body()


# --- 413


async def test_an_announced_length_beyond_the_limit_is_refused_before_anything_is_read() -> None:
    channel = Channel(b"a" * 11)
    request = make(channel, max_body=10, length=11)
    with pytest.raises(HTTPError) as caught:
        request.check_length()
    assert (caught.value.status, caught.value.detail) == (413, "the body may have at most 10 bytes")
    assert (await refusal(request.body())).status == 413
    assert (await refusal(anext(request.stream()))).status == 413
    assert channel.reads == 0


async def test_a_chunked_body_is_refused_as_soon_as_it_is_beyond_the_limit() -> None:
    channel = Channel(b"12345", b"67890", b"1", b"never read")
    request = make(channel, max_body=10)
    request.check_length()
    assert (await refusal(request.body())).status == 413
    assert channel.reads == 3


async def test_a_body_as_long_as_the_limit_is_fine() -> None:
    assert await make(Channel(b"12345", b"67890"), max_body=10, length=10).body() == b"1234567890"
    assert await make(b"1234567890", max_body=10).body() == b"1234567890"


async def test_a_body_that_came_with_the_head_obeys_the_limit_of_the_route_too() -> None:
    request = make(b"12345", content_type=URLENCODED)
    request.max_body = 4
    for reading in (request.body(), anext(request.stream()), request.json(), request.form()):
        assert (await refusal(reading)).status == 413


# --- json


async def test_json_is_read_as_it_is_or_as_a_type_and_more_than_once() -> None:
    request = make(b'{"name": "Ann", "age": 7}')
    assert await request.json() == {"name": "Ann", "age": 7}
    assert await request.json(User) == User("Ann", 7)
    assert await make(b"[1, 2]").json(list[int]) == [1, 2]
    assert await make(b"null").json(User | None) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"a": 1} x',
        b'{"a": NaN}',
        b'"\xff"',
        b'{"name": "\xc3\x28"}',
        b'"\\ud800"',
        b'{"name": "\\udc00x"}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"\xef\xbb\xbf{}",
    ],
    ids=range(13),
)
@pytest.mark.parametrize("type", [None, User, list[User], dict[str, Any]])
async def test_what_is_no_json_is_answered_with_400(body: bytes, type: Any) -> None:
    assert (await refusal(make(body, max_body=1 << 20).json(type))).http_status == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"age": 7}', "name"),
        (b'{"name": 7}', "name"),
        (b'{"name": "Ann", "age": "7"}', "age"),
        (b'{"name": "Ann", "nmae": 1}', "nmae"),
        (b"[]", ""),
    ],
)
async def test_json_of_the_wrong_content_is_answered_with_422_that_names_the_field(body: bytes, field: str) -> None:
    error = await refusal(make(body).json(User))
    assert error.http_status == 422
    assert [each["field"] for each in error.errors] == [field]


# --- form

PARTS = (
    b'--edge\r\nContent-Disposition: form-data; name="city"\r\n\r\n\xe5\x8c\x97\xe4\xba\xac\r\n'
    b'--edge\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    b"\x89PNG\r\n--edge--\r\n"
)


@pytest.mark.parametrize("pieces", [[b"a=1&a=2&city=%E5%8C%97"], [b"a=1&a", b"=2&cit", b"y=%E5%8C%97"]])
async def test_an_urlencoded_form_is_a_mapping_read_once(pieces: list[bytes]) -> None:
    request = make(Channel(*pieces), content_type=URLENCODED)
    form = await request.form()
    assert (form["city"], form.getall("a"), form.get("a", 0, int)) == ("北", ["1", "2"], 1)
    assert await request.form() is form


async def test_a_multipart_form_brings_its_files() -> None:
    with_head, in_pieces = (
        make(PARTS, content_type=MULTIPART),
        make(Channel(*PARTS.partition(b"\n")), content_type=MULTIPART),
    )
    for request in (with_head, in_pieces):
        form = await request.form()
        photo = form["photo"]
        assert form["city"] == "北京"
        assert isinstance(photo, UploadFile)
        assert (photo.filename, photo.content_type, photo.read()) == ("a.png", "image/png", b"\x89PNG")
        form.close()


async def test_form_and_body_of_what_came_with_the_head_do_not_exclude_each_other() -> None:
    request = make(b"a=1", content_type=URLENCODED)
    assert (await request.form())["a"] == "1"
    assert await request.body() == b"a=1"


async def test_a_form_field_that_is_missing_or_of_the_wrong_type_is_answered_with_400_that_names_it() -> None:
    form = await make(PARTS, content_type=MULTIPART).form()
    for read in (lambda: form["id"], lambda: form.get("city", type=int), lambda: form.get("photo", type=int)):
        with pytest.raises(FieldError) as caught:
            read()
        assert caught.value.http_status == 400
        assert caught.value.errors[0]["field"] in ("id", "city", "photo")
    form.close()


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("", b"a=1", 415),
        ("application/json", b"{}", 415),
        (URLENCODED + "; charset=latin-1", b"a=1", 415),
        (URLENCODED, b"a=%ff", 400),
        (URLENCODED, b"a=\xff", 400),
        (URLENCODED, b"&".join([b"a=1"] * 1001), 413),
        ("multipart/form-data", PARTS, 400),
        (MULTIPART, PARTS[:100], 400),
        (MULTIPART, b"nonsense", 400),
    ],
)
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_form_that_is_none_is_refused(content_type: str, body: bytes, status: int, in_pieces: bool) -> None:
    request = make(Channel(body) if in_pieces else body, max_body=10_000, content_type=content_type)
    assert (await refusal(request.form())).http_status == status


async def test_a_refused_form_leaves_no_open_stream_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[AsyncGenerator[bytes, None]] = []
    stream = Request.stream

    def watched(self: Request) -> AsyncGenerator[bytes, None]:
        streams.append(stream(self))
        return streams[-1]

    monkeypatch.setattr(Request, "stream", watched)
    request = make(Channel(b"nonsense" * 10, b"more"), content_type=MULTIPART)
    assert (await refusal(request.form())).http_status == 400
    assert streams[0].ag_frame is None  # type: ignore[attr-defined]  # what a closed generator has in place of a frame

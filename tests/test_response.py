"""What a handler returns, what its return value becomes, and what every exception becomes."""

from __future__ import annotations

import asyncio
import json
import logging
import types
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from minihttp.errors import ClientDisconnected, FieldError, HTTPError, ProtocolError, reason_phrase
from minihttp.headers import Headers, MutableHeaders
from minihttp.options import Limits
from minihttp.request import Request
from minihttp.response import (
    HTML,
    JSON,
    File,
    Redirect,
    Response,
    Stream,
    error_response,
    log_failure,
    media_type,
    to_response,
)
from minihttp.wire.head import Fields

TEXT = "text/plain; charset=utf-8"
SPLITTING = ["a\r\nset-cookie: x=1", "a\nb", "a\rb", "a\0b", "a\x7fb"]


class Origin:
    client: tuple[str, int] | None = None
    scheme = "http"
    is_gone = False

    async def disconnected(self) -> None: ...

    def limit_handler(self, seconds: float | None) -> None: ...


def request_with(accept: str | None = None) -> Request:
    fields = Headers([] if accept is None else [("Accept", accept)])
    return Request(("GET", "/here", "", Fields(fields, 0, True, False, 1)), b"", Origin(), Limits())


async def rows() -> AsyncIterator[bytes]:
    yield b"row"


# --- Response


def test_a_response_is_body_status_headers_and_content_type() -> None:
    response = Response(b"\x89", 201, {"etag": '"1"'}, "image/png")
    assert (response.body, response.status, response.content_type) == (b"\x89", 201, "image/png")
    assert response.headers.multi_items() == [("content-type", "image/png"), ("etag", '"1"')]
    assert response.at_hand
    assert repr(response) == "<Response 201 image/png>"


def test_the_plainest_response_is_an_empty_200_without_headers() -> None:
    response = Response()
    assert (response.body, response.status, response.content_type) == (b"", 200, None)
    assert list(response.headers) == []
    assert response.content_type is None


def test_text_is_sent_as_utf8_and_says_so() -> None:
    assert Response("北京").body == "北京".encode()
    assert Response("北京").content_type == TEXT
    assert Response("a,b", content_type="text/csv").content_type == "text/csv"


@pytest.mark.parametrize("body", [None, 7, {"a": 1}, bytearray(b"x"), ["x"]])
def test_a_body_is_bytes_or_str(body: Any) -> None:
    with pytest.raises(TypeError, match="bytes or str, not"):
        Response(body)


def test_headers_may_be_pairs_and_a_name_may_repeat() -> None:
    response = Response(b"", headers=[("Link", "</a>"), ("link", "</b>")])
    assert response.headers.getall("link") == ["</a>", "</b>"]
    again = Response(b"", headers=response.headers)
    assert again.headers.getall("link") == ["</a>", "</b>"]
    assert again.headers is not response.headers


def test_a_content_type_among_the_headers_wins_and_stands_once() -> None:
    response = JSON({}, headers=[("Content-Type", "application/a+json"), ("content-type", "application/b+json")])
    assert response.headers.getall("content-type") == ["application/b+json"]
    assert response.content_type == "application/b+json"


def test_headers_can_be_changed_until_the_response_is_sent() -> None:
    response = Response("x")
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["content-type"] = "text/markdown"
    response.headers.add("vary", "cookie")
    assert dict(response.headers) == {"content-type": "text/markdown", "x-frame-options": "DENY", "vary": "cookie"}
    assert response.only_type is None


@pytest.mark.parametrize("text", SPLITTING)
def test_nothing_can_split_a_response(text: str) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: Response(b"", headers={"x-name": text}),
        lambda: Response(b"", headers={text: "x"}),
        lambda: Response(b"", headers=[("x-name", text)]),
        lambda: Response(b"", content_type=text),
        lambda: Response("", content_type=f"text/plain; {text}"),
        lambda: Response(b"", headers={"content-type": text}),
        lambda: JSON({}, 200, {"x-name": text}),
        lambda: HTML("", 200, {"x-name": text}),
        lambda: Stream(rows(), content_type=text),
        lambda: File("a.txt", content_type=text),
        lambda: File("a.txt", download_name=text),
        lambda: Redirect(text),
        lambda: Redirect("/", headers={"x-name": text}),
        lambda: Response().headers.add("x-name", text),
        lambda: Response().headers.update({"x-name": text}),
        lambda: Response().set_cookie(text, "x"),
        lambda: Response().set_cookie("x", text),
        lambda: Response().set_cookie("x", "y", path=f"/{text}"),
        lambda: Response().set_cookie("x", "y", domain=text),
        lambda: Response().delete_cookie("x", path=f"/{text}"),
        lambda: to_response(("x", 200, {"x-name": text})),
        lambda: to_response(("x", 200, [(text, "x")])),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match=r"."):
            attempt()


@pytest.mark.parametrize("status", [99, 1000, -1, 0, True, False, "200", None, 404.5])
def test_what_is_no_status_is_refused_where_it_is_given(status: Any) -> None:
    for make in (Response, JSON, HTML):
        with pytest.raises(ValueError, match="is not a status code"):
            make("x", status)
    with pytest.raises(ValueError, match="is not a status code"):
        Stream(rows(), status)


@pytest.mark.parametrize("status", [100, 204, 299, 404, 999, HTTPStatus.CREATED])
def test_a_status_is_an_integer_known_or_not(status: int) -> None:
    assert Response(b"", status).status == status


# --- cookies


def test_cookies_are_set_one_field_each_with_safe_defaults() -> None:
    response = Response("x")
    response.set_cookie("theme", "dark", max_age=60)
    response.set_cookie(
        "id", "7", expires=datetime(2030, 1, 2, tzinfo=UTC), path=None, domain="example.org", secure=True,
        httponly=False, samesite="none",
    )  # fmt: skip
    assert response.headers.getall("set-cookie") == [
        "theme=dark; Max-Age=60; Path=/; HttpOnly; SameSite=Lax",
        "id=7; Expires=Wed, 02 Jan 2030 00:00:00 GMT; Domain=example.org; Secure; SameSite=None",
    ]
    assert response.content_type == TEXT


def test_a_cookie_is_deleted_where_it_was_set() -> None:
    response = Response()
    response.delete_cookie("theme")
    response.delete_cookie("id", path="/app", domain="example.org", max_age=99)
    assert response.headers.getall("set-cookie") == [
        "theme=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
        "id=; Max-Age=0; Path=/app; Domain=example.org; HttpOnly; SameSite=Lax",
    ]


def test_an_unknown_cookie_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="maxage"):
        Response().set_cookie("a", "b", maxage=1)  # type: ignore[call-arg]  # the mistake under test


# --- the kinds of response


def test_json() -> None:
    response = JSON({"city": "北京"}, 201, {"location": "/7"})
    assert (response.body, response.status) == ('{"city":"北京"}'.encode(), 201)
    assert (response.content_type, response.headers["location"]) == ("application/json", "/7")
    with pytest.raises(TypeError, match="object as JSON"):
        JSON({"a": object()})


def test_html_is_sent_as_it_is() -> None:
    response = HTML("<p>北京 & more</p>", 404, {"x-robots-tag": "none"})
    assert (response.body, response.status) == ("<p>北京 & more</p>".encode(), 404)
    assert response.content_type == "text/html; charset=utf-8"
    assert HTML("").content_type == "text/html; charset=utf-8"
    with pytest.raises(TypeError, match="not NoneType"):
        HTML(None)  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/users/7?a=1&b=2#top", "/users/7?a=1&b=2#top"),
        ("https://example.org:8080/~ann/", "https://example.org:8080/~ann/"),
        ("/北京 street", "/%E5%8C%97%E4%BA%AC%20street"),
        ("/already%20escaped", "/already%20escaped"),
        ('/"<script>\\', "/%22%3Cscript%3E%5C"),
        ("", ""),
    ],
)
def test_a_redirect_goes_to_an_address_that_can_be_sent(url: str, location: str) -> None:
    response = Redirect(url)
    assert (response.status, response.headers["location"], response.body) == (303, location, b"")


def test_a_redirect_takes_the_statuses_that_redirect() -> None:
    assert [Redirect("/", status).status for status in (201, 300, 301, 302, 303, 307, 308)]
    assert Redirect("/", 308, {"cache-control": "no-store"}).headers["cache-control"] == "no-store"
    for status in (200, 304, 404):
        with pytest.raises(ValueError, match="is not a redirect"):
            Redirect("/", status)


async def test_a_stream_holds_its_chunks_and_leaves_them_alone() -> None:
    chunks = rows()
    response = Stream(chunks, 206, {"x-a": "b"}, "text/csv")
    assert (response.status, response.headers["x-a"], response.content_type) == (206, "b", "text/csv")
    assert (response.chunks, response.at_hand) == (chunks, False)
    assert [chunk async for chunk in response.chunks] == [b"row"]
    assert Stream(rows()).content_type == "application/octet-stream"


@pytest.mark.parametrize("chunks", [[b"a"], b"a", rows, None, iter([b"a"])])
def test_a_stream_takes_an_async_iterable(chunks: Any) -> None:
    with pytest.raises(TypeError, match="Stream takes an async iterable"):
        Stream(chunks)


def test_a_file_is_data_only() -> None:
    response = File("/no/such/report.pdf", "Bericht 京\"';.pdf", status=203, headers={"x-a": "b"})
    assert (response.path, response.status, response.at_hand) == ("/no/such/report.pdf", 203, False)
    assert (response.content_type, response.headers["x-a"]) == ("application/pdf", "b")
    disposition = "attachment; filename*=UTF-8''Bericht%20%E4%BA%AC%22%27%3B.pdf"
    assert response.headers["content-disposition"] == disposition
    assert "content-disposition" not in File(Path("a.txt")).headers
    assert File("a.txt", content_type="x/y").content_type == "x/y"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.HTML", "text/html; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.json", "application/json"),
        ("a.tar.gz", "application/octet-stream"),
        ("a.no-such-suffix", "application/octet-stream"),
        ("Makefile", "application/octet-stream"),
    ],
)
def test_a_files_name_suggests_its_content_type(name: str, expected: str) -> None:
    assert media_type(name) == expected


# --- coercion


@dataclass
class User:
    name: str


@dataclass(frozen=True, slots=True)
class Frozen:
    name: str


class Struct(msgspec.Struct):
    name: str


class Row(Mapping[str, Any]):
    """A mapping that is no dict, as the rows of the database are."""

    def __init__(self, **values: Any) -> None:
        self.inner = values

    def __getitem__(self, name: str) -> Any:
        return self.inner[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)


class Text(str):
    __slots__ = ()


class Bytes(bytes):
    __slots__ = ()


class Names(list[str]):
    __slots__ = ()


class Point(NamedTuple):
    x: int
    y: int


ANN = b'{"name":"Ann"}'


@pytest.mark.parametrize(
    ("value", "body", "content_type"),
    [
        ("héllo", "héllo".encode(), TEXT),
        ("", b"", TEXT),
        (Text("x"), b"x", TEXT),
        (b"x", b"x", "application/octet-stream"),
        (Bytes(b"x"), b"x", "application/octet-stream"),
        ({"name": "Ann"}, ANN, "application/json"),
        ({}, b"{}", "application/json"),
        (OrderedDict(name="Ann"), ANN, "application/json"),
        (defaultdict(str, name="Ann"), ANN, "application/json"),
        (types.MappingProxyType({"name": "Ann"}), ANN, "application/json"),
        (Row(name="Ann"), ANN, "application/json"),
        ([Row(name="Ann"), User("Ann")], b"[" + ANN + b"," + ANN + b"]", "application/json"),
        ([], b"[]", "application/json"),
        (Names(["Ann"]), b'["Ann"]', "application/json"),
        (User("Ann"), ANN, "application/json"),
        (Frozen("Ann"), ANN, "application/json"),
        (Struct("Ann"), ANN, "application/json"),
    ],
)
def test_a_plain_value_becomes_a_response(value: Any, body: bytes, content_type: str) -> None:
    for returned, status in ((value, 200), ((value, 202), 202), ((value, 202, None), 202)):
        response = to_response(returned)
        assert (response.status, response.body, response.content_type) == (status, body, content_type)


def test_none_is_204_unless_it_says_otherwise() -> None:
    response = to_response(None)
    assert (response.status, response.body, response.content_type) == (204, b"", None)
    assert to_response((None, 202)).status == 202


def test_a_response_is_taken_as_it_is() -> None:
    for response in (Response(b"x"), JSON({}), Stream(rows()), File("a"), Redirect("/")):
        assert to_response(response) is response


@pytest.mark.parametrize("headers", [{"X-A": "b"}, [("x-a", "b")], (("x-a", "b"),), MutableHeaders({"x-a": "b"})])
def test_value_status_and_headers(headers: Any) -> None:
    response = to_response(({"id": 7}, HTTPStatus.CREATED, headers))
    assert (response.status, response.body, response.headers["x-a"]) == (201, b'{"id":7}', "b")
    assert response.content_type == "application/json"


def test_headers_beside_a_response_take_the_place_of_its_own_and_cookies_add_up() -> None:
    given = [("ETag", '"2"'), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("content-type", "text/csv")]
    response = to_response((Response("x", headers={"etag": '"1"', "x-a": "b"}), 404, given))
    assert response.status == 404
    assert sorted(response.headers.multi_items()) == [
        ("content-type", "text/csv"),
        ("etag", '"2"'),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-a", "b"),
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, r"returned int: return str, bytes, a mapping"),
        (True, r"returned bool"),
        (1.5, r"returned float"),
        ({1, 2}, r"returned set"),
        (bytearray(b"x"), r"returned bytearray"),
        (object(), r"returned object"),
        (User, r"returned type"),
        (Struct, r"returned StructMeta"),
        (iter([1]), r"returned list_iterator: .* or a list"),
        ((x for x in "a"), r"returned generator: .* or a list"),
        (rows(), r"returned async_generator: return Stream\(\.\.\.\)"),
        ((), r"not \(value, status\[, headers\]\): a JSON array is a list"),
        (("x",), r"not \(value, status"),
        (("x", 200, {}, 1), r"not \(value, status"),
        ((("x", 200), 200), r"not \(value, status"),
        (("x", "y"), r"with 'y', which is not a status"),
        (("x", True), r"with True, which is not a status"),
        (("x", False), r"with False, which is not a status"),
        (("x", None), r"with None, which is not a status"),
        (("x", 30), r"with 30, which is not a status"),
        (("x", 1000), r"with 1000, which is not a status"),
        (("x", 200.0), r"with 200\.0, which is not a status"),
        (("x", {"x-a": "b"}), r"which is not a status"),
        (("x", 200, "text/html"), r"headers as str: return a mapping or a list of pairs"),
        (("x", 200, 7), r"headers as int"),
        ((7, 200), r"returned int"),
        (Point(1, 200), r"named tuple Point: return _asdict\(\)"),
        ((Point(1, 2), 200), r"not \(value, status"),
    ],
)
def test_anything_else_is_a_clear_error(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        to_response(value)


def test_a_forgotten_await_is_named() -> None:
    async def work() -> None: ...

    coroutine = work()
    with pytest.raises(TypeError, match="returned coroutine: is an `await` missing"):
        to_response(coroutine)
    coroutine.close()


# --- errors


class Unavailable(Exception):
    """Another package's exception, honored by duck type."""

    http_status = 503
    retry_after: Any = 2.1


def answer(error: BaseException, accept: str | None = None, debug: bool = False) -> dict[str, Any]:
    response = error_response(error, request_with(accept), debug)
    assert response.content_type == "application/problem+json"
    members: dict[str, Any] = json.loads(response.body)
    assert members["status"] == response.status
    return members


class Page(HTMLParser):
    """The elements and the text of a page as a browser sees them."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        assert response.content_type == "text/html; charset=utf-8"
        self.tags: list[str] = []
        self.text = ""
        self.feed(response.body.decode())

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_an_http_error_is_answered_with_its_problem() -> None:
    error = HTTPError(409, "this name is taken", {"X-Hint": "other", "content-language": "en"})
    response = error_response(error)
    assert response.status == 409
    assert json.loads(response.body) == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "this name is taken",
    }
    assert (response.headers["x-hint"], response.headers["content-language"]) == ("other", "en")
    assert response.content_type == "application/problem+json"


def test_without_detail_there_is_no_such_member() -> None:
    assert answer(HTTPError(404)) == {"type": "about:blank", "title": "Not Found", "status": 404}
    assert answer(HTTPError(499)) == {"type": "about:blank", "title": "Unknown", "status": 499}


def test_field_errors_are_listed() -> None:
    errors = [{"field": "a", "detail": "is missing"}, {"field": "b", "detail": "must be an integer"}]
    assert answer(HTTPError(422, "2 fields", errors=errors))["errors"] == errors
    assert answer(FieldError("query parameter", "id", "is missing"))["errors"] == [
        {"field": "id", "detail": "is missing"}
    ]


def test_what_the_parser_refuses_is_answered_before_there_is_a_request() -> None:
    response = error_response(ProtocolError("space before the colon", 400, "RFC 9112 5.1"))
    assert (response.status, json.loads(response.body)["detail"]) == (400, "space before the colon")
    assert "vary" not in response.headers


def test_status_and_retry_after_of_any_exception_are_honored() -> None:
    response = error_response(Unavailable("mysql://root:secret@db"), request_with())
    assert (response.status, response.headers["retry-after"]) == (503, "3")
    assert b"secret" not in response.body
    assert "detail" not in json.loads(response.body)


@pytest.mark.parametrize(
    ("seconds", "header"),
    [
        (0, "0"),
        (0.2, "1"),
        (7, "7"),
        (-3, "0"),
        (float("-inf"), "0"),
        (float("inf"), None),
        (float("nan"), None),
        ("soon", None),
        (None, None),
        ("5\r\nx: y", None),
    ],
)
def test_retry_after_is_whole_seconds_rounded_up_and_never_harm(seconds: Any, header: str | None) -> None:
    error = Unavailable()
    error.retry_after = seconds
    response = error_response(error)
    assert (response.status, response.headers.get("retry-after")) == (503, header)


@pytest.mark.parametrize("status", [None, "404", 200, 302, 399, 600, True, 404.0])
def test_a_status_that_no_error_can_have_is_a_plain_500(status: Any) -> None:
    error = Unavailable("secret")
    error.http_status = status
    assert answer(error) == {"type": "about:blank", "title": "Internal Server Error", "status": 500}


def test_an_enum_as_status_is_a_number() -> None:
    error = Unavailable()
    error.http_status = HTTPStatus.NOT_FOUND
    assert answer(error)["status"] == 404
    assert Page(error_response(error, request_with("text/html"))).text.count("404") == 2


class Talkative(Exception):
    detail = reason = "the secret of the server"
    errors = ({"field": "secret", "detail": "secret"},)
    headers = types.MappingProxyType({"x-secret": "secret"})


class TalkativeFault(Talkative):
    http_status = 500


@pytest.mark.parametrize("error", [Talkative("secret"), TalkativeFault("secret"), KeyError("secret")])
@pytest.mark.parametrize("accept", ["", "text/html"])
def test_a_fault_tells_nothing_of_the_inside(error: Exception, accept: str) -> None:
    response = error_response(error, request_with(accept))
    assert response.status == 500
    assert b"secret" not in response.body
    assert "x-secret" not in response.headers


def test_a_500_of_the_handlers_own_says_what_the_handler_said() -> None:
    assert answer(HTTPError(500, "the printer burns"))["detail"] == "the printer burns"


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_a_stack_trace_is_shown_only_with_debug_and_only_of_a_fault() -> None:
    error = raised(ValueError("<secret>"))
    assert "traceback" not in answer(error)
    assert "test_response.py" in answer(error, debug=True)["traceback"]
    assert "traceback" not in answer(raised(HTTPError(404, "x")), debug=True)
    assert "pre" not in Page(error_response(error, request_with("text/html"))).tags
    page = Page(error_response(error, request_with("text/html"), debug=True))
    assert "pre" in page.tags
    assert "secret" not in page.tags
    assert "ValueError: <secret>" in page.text


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("application/xhtml+xml", False),
        ("text/html-sandboxed", False),
        ("text/html", True),
        ("TEXT/HTML", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("*/*, text/html;q=0.1", True),
        ("text/html ; charset=utf-8 ; q=0.5", True),
        ("text/html;q=0", False),
        ("text/html; q=0.000, */*", False),
        ("text/html;Q=0", False),
        ("text/html;q=nonsense", True),
        ("text/html;level=2;q=0, text/html", True),
        ("text/html, application/json", True),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0.5, application/problem+json;q=0.6", False),
        (";;,,=", False),
    ],
)
def test_a_page_is_for_those_who_name_html_and_do_not_prefer_json(accept: str | None, html: bool) -> None:
    response = error_response(HTTPError(404, "nothing here"), request_with(accept))
    assert response.status == 404
    assert response.headers["vary"] == "accept"
    assert response.content_type == ("text/html; charset=utf-8" if html else "application/problem+json")


def test_the_page_shows_status_title_and_detail_and_everything_in_it_is_escaped() -> None:
    error = HTTPError(404, "<script>alert('$status ${title} & 北京')</script>", {"x-hint": "other"})
    response = error_response(error, request_with("text/html"))
    page = Page(response)
    assert "script" not in page.tags
    assert "<script>alert('$status ${title} & 北京')</script>" in page.text
    assert page.text.count("404") == page.text.count("Not Found") == 2
    assert (response.status, response.headers["x-hint"]) == (404, "other")
    assert page.tags.count("h1") == 1


@pytest.mark.parametrize("accept", ["", "text/html"])
@pytest.mark.parametrize("debug", [False, True])
def test_text_with_a_lone_surrogate_can_be_told_too(accept: str, debug: bool) -> None:
    for error, status in ((HTTPError(404, "no file \udcff"), 404), (raised(ValueError("\ud800")), 500)):
        assert error_response(error, request_with(accept), debug).status == status


class Spiteful(Exception):
    @property
    def http_status(self) -> int:
        raise RuntimeError("secret")


@pytest.mark.parametrize(
    "error",
    [
        HTTPError(401, "x", {"www-authenticate": "Basic realm=a\r\nset-cookie: x=1"}),
        HTTPError(429, "x", {"retry-after": 5}),  # type: ignore[dict-item]  # the mistake under test
        HTTPError(422, "x", errors=[{"field": object()}]),  # type: ignore[dict-item]  # the mistake under test
        Spiteful(),
    ],
    ids=range(4),
)
def test_an_error_that_cannot_be_answered_as_it_asks_is_a_logged_500(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    response = error_response(error, request_with())
    assert json.loads(response.body) == {"type": "about:blank", "title": "Internal Server Error", "status": 500}
    assert "set-cookie" not in response.headers
    assert f"{type(error).__name__} cannot be answered as it asks" in caplog.text
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("status", [400, 404, 413, 422, 429, 451, 501, 503, 505])
def test_the_title_is_the_phrase_of_the_status(status: int) -> None:
    assert answer(HTTPError(status))["title"] == reason_phrase(status)


@pytest.mark.parametrize(
    "error", [ValueError("x"), TalkativeFault("x"), HTTPError(500), asyncio.CancelledError(), KeyError("x")]
)
def test_what_is_answered_with_500_is_logged_with_its_traceback(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    log_failure(error, request_with())
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("minihttp", logging.ERROR, "GET /here failed")
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("error", [HTTPError(404), Unavailable(), ProtocolError("x"), ClientDisconnected("gone")])
def test_an_answer_is_no_fault_nor_is_a_client_that_left(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    log_failure(error, request_with())
    assert caplog.records == []

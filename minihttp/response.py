"""What a handler returns, and what every exception becomes.

Owns: the kinds of response, the coercion of plain values, and the one function that makes error answers.
Must not know: connections, framing, or who sends the response; `File` and `Stream` are data here.
Invariant: a response is complete and sendable when it has been made: what could not stand on the wire raised
ValueError in the handler. An error answer tells nothing of the server's inside unless `debug` is set.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import is_dataclass
from datetime import datetime
from functools import cache
from math import ceil, inf
from os import PathLike, fspath
from string import Template
from typing import Any, Literal, TypedDict, TypeGuard, Unpack
from urllib.parse import quote

from .errors import HTTPError, reason_phrase
from .forms import format_cookie
from .headers import Headers, MutableHeaders, check_field
from .request import Request, json_codec

__all__ = ["HTML", "JSON", "File", "Redirect", "Response", "Stream", "error_response", "log_failure", "to_response"]

logger = logging.getLogger("minihttp")

TEXT = "text/plain; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
JSON_TYPE = "application/json"
PROBLEM = "application/problem+json"
BINARY = "application/octet-stream"

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
QUALITY = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")  # RFC 9110 12.4.2

HeaderPairs = Mapping[str, str] | Iterable[tuple[str, str]] | None


class CookieOptions(TypedDict, total=False):
    """What `set_cookie` takes beside name and value."""

    max_age: int | None
    expires: datetime | None
    path: str | None
    domain: str | None
    secure: bool
    httponly: bool
    samesite: Literal["lax", "strict", "none"] | None


class Response:
    """A response with a body that is at hand: `Response(b"...", 200, {"etag": '"1"'}, "image/png")`.

    A str body is encoded as UTF-8; a Content-Type among the headers wins. Make one per request: middleware may change
    it. Raises ValueError for a status or header that could not be sent, TypeError for a body neither bytes nor str.
    """

    # `only_type` is the content type for as long as no other header is set: most responses never make a mapping.
    __slots__ = ("at_hand", "body", "fields", "only_type", "status")

    def __init__(
        self, body: bytes | str = b"", status: int = 200, headers: HeaderPairs = None, content_type: str | None = None
    ) -> None:
        if isinstance(body, str):
            body, content_type = body.encode(), content_type or TEXT
        elif not isinstance(body, bytes):
            raise TypeError(f"a response body is bytes or str, not {type(body).__name__}: use JSON(...) or Stream(...)")
        if status != 200 and not is_status(status):
            raise ValueError(f"{status!r} is not a status code: an integer from 100 to 999 (RFC 9110 15)")
        if content_type is not None and not (content_type.isascii() and content_type.isprintable()):
            check_field("content-type", content_type)
        self.at_hand = True  # the whole body is in `body`, so that one write sends it all
        self.body = body
        self.status = status
        self.only_type: str | None = content_type
        self.fields: MutableHeaders | None = None
        if headers:
            put_headers(self.headers, headers)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.content_type}>"

    @property
    def headers(self) -> MutableHeaders:
        """All header fields, to read and to change. Date and the framing are added when the response is sent."""
        if self.fields is None:
            self.fields = MutableHeaders()
            if self.only_type is not None:
                self.fields.add("content-type", self.only_type)
                self.only_type = None
        return self.fields

    @property
    def content_type(self) -> str | None:
        """The media type, with its parameters."""
        return self.only_type if self.fields is None else self.fields.get("content-type")

    def set_cookie(self, name: str, value: str, **options: Unpack[CookieOptions]) -> None:
        """Add a Set-Cookie field: `response.set_cookie("theme", "dark", max_age=86400)`.

        Options: `max_age` in seconds, `expires`, `path`, `domain`, `secure`, `httponly`, `samesite`; by default
        httponly, samesite=lax and path "/". Raises ValueError for what cannot stand in a cookie (RFC 6265 4.1).
        """
        self.headers.add("set-cookie", format_cookie(name, value, **options))

    def delete_cookie(self, name: str, **options: Unpack[CookieOptions]) -> None:
        """Have the client forget a cookie: `path`, `domain` and `secure` must be those it was set with."""
        options["max_age"] = 0
        self.set_cookie(name, "", **options)


def is_status(value: object) -> TypeGuard[int]:
    # `True` is an int: `return found, True` is a mistake and not a status.
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 999


def put_headers(own: MutableHeaders, given: HeaderPairs) -> None:
    """Set fields in place of those of the same name; what is given twice stands twice, except for Content-Type."""
    if isinstance(given, Mapping):
        given = given.multi_items() if isinstance(given, Headers) else given.items()
    seen = set[str]()
    for name, value in given or ():
        if name in own and (name.lower() not in seen or name.lower() == "content-type"):
            del own[name]
        seen.add(name.lower())
        own.add(name, value)


class JSON(Response):
    """A value as JSON: `JSON({"id": 7}, 201)`. Raises TypeError for a value that JSON cannot hold."""

    __slots__ = ()

    def __init__(self, value: Any, status: int = 200, headers: HeaderPairs = None) -> None:
        super().__init__(json_codec().encode(value), status, headers, JSON_TYPE)


class HTML(Response):
    """A text as a page: `HTML("<h1>Hello</h1>")`. Nothing in it is escaped here."""

    __slots__ = ()

    def __init__(self, text: str, status: int = 200, headers: HeaderPairs = None) -> None:
        super().__init__(text, status, headers, HTML_TYPE)


class Redirect(Response):
    """Another address to go to: `Redirect("/users/7")`, by default with 303, which makes the next request a GET.

    Characters beyond ASCII are percent-encoded; a line break or control character raises ValueError.
    """

    __slots__ = ()

    def __init__(self, url: str, status: int = 303, headers: HeaderPairs = None) -> None:
        if status not in (201, 300, 301, 302, 303, 307, 308):
            raise ValueError(f"{status} is not a redirect: use 301, 302, 303, 307 or 308 (RFC 9110 15.4)")
        super().__init__(b"", status, headers)
        refuse_control("the address of a redirect", url)
        self.headers["location"] = quote(url, safe="!#$%&'()*+,/:;=?@[]~")


class Stream(Response):
    """A body made while it is sent, at the speed of the client: `Stream(rows(), content_type="text/csv")`.

    Takes an async iterable of bytes or str. Its length is unknown unless `headers` state a Content-Length.
    """

    __slots__ = ("chunks",)

    def __init__(
        self,
        chunks: AsyncIterable[bytes | str],
        status: int = 200,
        headers: HeaderPairs = None,
        content_type: str | None = BINARY,
    ) -> None:
        super().__init__(b"", status, headers, content_type)
        self.at_hand = False
        if not isinstance(chunks, AsyncIterable):
            raise TypeError(f"Stream takes an async iterable, not {type(chunks).__name__}: `async def` with `yield`")
        self.chunks = chunks


class File(Response):
    """A file, opened and sent by the connection: `File("report.pdf", download_name="Report.pdf")`.

    `download_name` makes the browser save it. The caller vouches for the path: nothing a client sent belongs in it
    unchecked. A file that is missing when it is opened is answered with 404. Raises ValueError for a line break.
    """

    __slots__ = ("path",)

    def __init__(
        self,
        path: str | PathLike[str],
        download_name: str | None = None,
        content_type: str | None = None,
        status: int = 200,
        headers: HeaderPairs = None,
    ) -> None:
        self.path = fspath(path)
        super().__init__(b"", status, headers, content_type or media_type(self.path.rpartition("/")[2]))
        self.at_hand = False
        if download_name is not None:
            refuse_control("a download name", download_name)
            # RFC 6266 4.3, RFC 8187: the one form that carries any name, and no quoting to get wrong.
            self.headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(download_name, safe='')}"


def refuse_control(what: str, text: str) -> None:
    if CONTROL.search(text):
        raise ValueError(f"{what} cannot hold a line break or control character: {text!r}")


def media_type(name: str) -> str:
    """The content type that a file's name suggests."""
    from mimetypes import guess_type  # reads the system's tables: not at import, and only for files

    kind, encoding = guess_type(name)
    if kind is None or encoding is not None:
        return BINARY
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


# -- coercion ----------------------------------------------------------------------------------------------------------

PLAIN: dict[type, tuple[Callable[[Any], bytes], str]] = {
    str: (str.encode, TEXT),
    bytes: (bytes, BINARY),
    **dict.fromkeys((dict, list), (lambda value: json_codec().encode(value), JSON_TYPE)),
}


def to_response(value: Any) -> Response:
    """What a handler returned, as a Response: `to_response({"id": 7})` is a JSON one, `to_response(None)` a 204.

    Takes str, bytes, mappings, lists, dataclasses, Structs, None, Response, `(value, status)` and
    `(value, status, headers)`. Raises TypeError for anything else.
    """
    if known := PLAIN.get(type(value)):  # as most are; of these nothing needs to be checked
        encode, content_type = known
        response = Response.__new__(Response)
        response.at_hand, response.status, response.fields = True, 200, None
        response.body, response.only_type = encode(value), content_type
        return response
    if isinstance(value, Response):
        return value
    if value is None:
        return Response(status=204)
    if isinstance(value, tuple):
        return from_tuple(value)
    if isinstance(value, str | bytes):
        return Response(value, content_type=TEXT if isinstance(value, str) else BINARY)
    if isinstance(value, Mapping | list) or is_record(value):
        return JSON(value)
    raise TypeError(f"a handler returned {type(value).__name__}: {advice(value)}")


def is_record(value: object) -> bool:
    # A Struct of msgspec is told without importing it; a class is no record of its own.
    return not isinstance(value, type) and (is_dataclass(value) or hasattr(value, "__struct_fields__"))


def advice(value: object) -> str:
    """What to return instead of a value that is no answer."""
    if hasattr(value, "__await__"):
        return "is an `await` missing before it?"
    if hasattr(value, "__aiter__") or hasattr(value, "__next__"):
        return "return Stream(...) of an async generator, or a list"
    return "return str, bytes, a mapping, list, dataclass, None, Response, (value, status) or (value, status, headers)"


def from_tuple(value: tuple[Any, ...]) -> Response:
    if type(value) is not tuple:
        raise TypeError(f"a handler returned the named tuple {type(value).__name__}: return _asdict() of it")
    if not 2 <= len(value) <= 3 or isinstance(value[0], tuple):
        raise TypeError("a handler returned a tuple, but not (value, status[, headers]): a JSON array is a list")
    if not is_status(value[1]):
        raise TypeError(f"a handler returned (value, status) with {value[1]!r}, which is not a status from 100 to 999")
    headers = value[2] if len(value) == 3 else None
    if not isinstance(headers, Mapping | list | tuple | None):
        raise TypeError(f"a handler returned headers as {type(headers).__name__}: return a mapping or a list of pairs")
    response = to_response(value[0])
    response.status = value[1]
    if headers:
        put_headers(response.headers, headers)
    return response


# -- errors ------------------------------------------------------------------------------------------------------------


def error_response(error: BaseException, request: Request | None = None, debug: bool = False) -> Response:
    """The answer to an exception: problem+json (RFC 9457), or a small page where Accept prefers text/html.

    Honors `http_status` and `retry_after` (seconds) on any exception; without the first it is a plain 500. Never
    raises: an exception whose headers or errors cannot be sent is logged and answered with 500.
    """
    try:
        return make_answer(error, request, debug)
    except Exception as failure:
        logger.error("%s cannot be answered as it asks", type(error).__name__, exc_info=failure)
        return make_answer(failure, request, debug)


def make_answer(error: BaseException, request: Request | None, debug: bool) -> Response:
    status = status_of(error)
    title, detail = reason_phrase(status), detail_of(error, status)
    trace = clean("".join(traceback.format_exception(error))) if debug and status == 500 else None
    if request is not None and wants_html(request.headers.get("accept", "")):
        response: Response = HTML(error_page(status, title, detail, trace), status)
    else:
        response = Response(problem(error, status, title, detail, trace), status, None, PROBLEM)
    if request is not None:
        response.headers["vary"] = "accept"  # a cache must not give the page to a program (RFC 9110 12.5.5)
    if isinstance(error, HTTPError) and error.headers:
        put_headers(response.headers, error.headers)
    seconds = getattr(error, "retry_after", None)
    if isinstance(seconds, int | float) and seconds < inf:
        response.headers["retry-after"] = str(ceil(max(0, seconds)))
    return response


def log_failure(error: BaseException, request: Request) -> None:
    """Log, with its traceback, an exception answered with 500: another status is an answer and no fault."""
    if status_of(error) == 500:
        logger.error("%s %s failed", request.method, request.raw_path, exc_info=error)


def status_of(error: BaseException) -> int:
    """The status an exception asks for, 500 where it asks for none that an error can have."""
    status = getattr(error, "http_status", None)
    return int(status) if isinstance(status, int) and 400 <= status <= 599 else 500


def detail_of(error: BaseException, status: int) -> str | None:
    """What an exception says to the client: of ours their sentence, of others what they offer, of a fault nothing."""
    if status == 500 and not isinstance(error, HTTPError):
        return None
    text = getattr(error, "detail", getattr(error, "reason", None))
    return clean(text) if isinstance(text, str) else None


def clean(text: str) -> str:
    """The text without lone surrogates, which neither JSON nor a page can hold."""
    return text.encode(errors="replace").decode()


def wants_html(accept: str) -> bool:
    """Whether Accept names text/html and no JSON before it (RFC 9110 12.5.1). `*/*` is what tools send: JSON."""
    html = quality(accept, ("text/html",))
    return html > 0 and html >= quality(accept, (JSON_TYPE, PROBLEM))


def quality(accept: str, kinds: tuple[str, ...]) -> float:
    """How much Accept wants one of the media types it names, 0 to 1; 0 where it names none of them."""
    best = 0.0
    for choice in accept.lower().split(","):
        kind, *parameters = (part.strip(" \t") for part in choice.split(";"))
        if kind in kinds:
            best = max(best, *[float(found[1]) for part in parameters if (found := QUALITY.fullmatch(part))] or [1.0])
    return best


def problem(error: BaseException, status: int, title: str, detail: str | None, trace: str | None) -> bytes:
    members: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    if detail:
        members["detail"] = detail
    if isinstance(error, HTTPError) and error.errors:
        members["errors"] = [dict(each) for each in error.errors]
    if trace:
        members["traceback"] = trace
    return json_codec().encode(members)  # type: ignore[no-any-return]  # the codec gives bytes


def error_page(status: int, title: str, detail: str | None, trace: str | None) -> str:
    from html import escape  # with its list of all entities

    texts = {"title": escape(title), "detail": escape(detail or "")}
    return page_template().substitute(texts, status=status, traceback=f"<pre>{escape(trace)}</pre>" if trace else "")


@cache
def page_template() -> Template:
    from importlib.resources import files

    return Template((files(__package__) / "error.html").read_text(encoding="utf-8"))

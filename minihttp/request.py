"""What a handler reads: the request, its body, and whether the client is still there.

Owns: the lazy reading of query, cookies, body, JSON and form, the policy a request runs under, and when JSON is
imported.
Must not know: how bytes reach the body, which application runs, or how a response is made. What it needs of the
connection and the application it declares below.
Invariant: a body is read once from the connection and never beyond `max_body`; read again, `body` and `stream`
replay it. Nothing that the client could have sent raises anything but an exception with an `http_status`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal, Protocol, TypeVar, overload
from urllib.parse import unquote

from .errors import HTTPError
from .forms import FormData, parse_cookies, parse_query, read_form
from .headers import Cookies, Headers, QueryParams
from .options import Limits
from .wire.parser import Head

__all__ = ["Application", "BodyChannel", "OnDisconnect", "Origin", "Request", "json_codec"]

T = TypeVar("T")
OnDisconnect = Literal["cancel", "finish"]

# RFC 9110 9.2.1: a handler of these changes nothing, so nothing is half done when it is cancelled.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

REMEMBERED = 256  # characters of a query that an idle connection keeps as it was read, which takes many times the room


class Application(Protocol):
    """What a request needs of the application it is for."""

    state: Any

    def url_for(self, name: str, /, **params: Any) -> str: ...


class NoApplication:
    """In the place of the application where a bare handler serves: whatever is asked of it says so."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"this request is served by a bare handler: request.app.{name} needs an App")


NO_APP: Any = NoApplication()


class BodyChannel(Protocol):
    """Where a body comes from that was not complete with its head."""

    trailers: Headers

    async def read(self) -> bytes:
        """The next piece, or b"" at the end. Raises ProtocolError or ClientDisconnected."""
        ...


class Origin(Protocol):
    """What a request needs of the connection it came on."""

    client: tuple[str, int] | None
    scheme: str
    is_gone: bool

    async def disconnected(self) -> None: ...

    def limit_handler(self, seconds: float | None) -> None:
        """Cancel the running handler and answer 503 after so many seconds, None for never."""
        ...


class Request:
    """One HTTP request.

    `method` (upper case as sent), `raw_path` and `query_string` as they came, `headers`, `params` (path parameters),
    `app`, and the policy: `max_body` in bytes, `timeout` in seconds or None, `on_disconnect` "cancel" or "finish".

    Example: `request.query.get("page", 1, int)`, `await request.json(User)`.
    """

    __slots__ = (
        "__weakref__", "_body", "_channel", "_cookies", "_fields", "_form", "_origin", "_query", "_started", "_state",
        "_timeout", "app", "headers", "length", "max_body", "method", "on_disconnect", "params", "query_string",
        "raw_path",
    )  # fmt: skip

    on_disconnect: OnDisconnect | None
    # Either the whole body or the channel it comes through; both, once it has been read through the channel.
    _body: bytes | None
    _channel: BodyChannel | None
    _query: QueryParams | None
    _cookies: Cookies | None
    _form: FormData | None
    _state: SimpleNamespace | None

    def __init__(self, head: Head, body: bytes | BodyChannel, origin: Origin, limits: Limits) -> None:
        self.method, self.raw_path, self.query_string, fields = head
        self._fields = fields
        self.headers = fields.headers
        self.length = fields.length  # bytes of the body; None for a chunked one
        self.max_body = limits.max_body
        self.params: dict[str, Any] = {}
        self.app: Application = NO_APP
        self._origin = origin
        self._timeout = limits.handler_timeout
        self._started = False
        self._body, self._channel = (body, None) if isinstance(body, bytes) else (None, body)
        self._query = self._cookies = self._form = self._state = self.on_disconnect = None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.raw_path}>"

    @property
    def path(self) -> str:
        """The path, percent-decoded as UTF-8. Raises HTTPError 400 where that is impossible."""
        try:
            return unquote(self.raw_path, errors="strict")
        except UnicodeDecodeError:
            raise HTTPError(400, "the path is not UTF-8 when percent-decoded") from None

    @property
    def query(self) -> QueryParams:
        """The query parameters; `request.query["id"]` missing is answered with 400."""
        if self._query is None:
            last = self._fields.last_query
            if last is None or last[0] != self.query_string:
                last = self.query_string, parse_query(self.query_string)
                if len(self.query_string) <= REMEMBERED:
                    self._fields.last_query = last
            self._query = last[1]
        return self._query

    @property
    def cookies(self) -> Cookies:
        """The cookies the client sent (RFC 6265)."""
        if self._cookies is None:
            self._cookies = parse_cookies(self.headers.get("cookie", ""))
        return self._cookies

    @property
    def state(self) -> SimpleNamespace:
        """A place for what middleware wants to tell handlers: `request.state.user = ...`."""
        if self._state is None:
            self._state = SimpleNamespace()
        return self._state

    @property
    def client(self) -> tuple[str, int] | None:
        """Address and port of the peer, None on a Unix socket."""
        return self._origin.client

    @property
    def scheme(self) -> str:
        """`"http"` or `"https"`: how the connection came, whatever the target says."""
        return self._origin.scheme

    @property
    def trailers(self) -> Headers:
        """The trailer fields of a chunked body, once it has been read to its end (RFC 9110 6.5)."""
        return Headers() if self._channel is None else self._channel.trailers

    @property
    def cancels_on_disconnect(self) -> bool:
        """Whether the handler is cancelled when the client goes: by its route's word, else if the method is safe."""
        return self.method in SAFE_METHODS if self.on_disconnect is None else self.on_disconnect == "cancel"

    @property
    def timeout(self) -> float | None:
        """Seconds the handler may take before it is cancelled and 503 is answered; None for any time.

        Set while the handler runs, it counts from then.
        """
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._timeout = seconds
        self._origin.limit_handler(seconds)

    @property
    def is_gone(self) -> bool:
        """Whether the client has gone away."""
        return self._origin.is_gone

    async def disconnected(self) -> None:
        """Return when the client has gone: `await request.disconnected()` beside the work, in a task of its own."""
        await self._origin.disconnected()

    def url_for(self, name: str, /, **params: Any) -> str:
        """The path of a named route: `request.url_for("user", id=7)` is `"/users/7"`.

        Raises what the application raises for an unknown name, RuntimeError where there is no application.
        """
        return self.app.url_for(name, **params)

    # -- the body ------------------------------------------------------------------------------------------------

    def check_length(self) -> None:
        """Raise HTTPError 413 if the announced or received length is beyond `max_body`, before any of it is read."""
        length = self.length if self._body is None else len(self._body)
        if length is not None and length > self.max_body:
            raise HTTPError(413, f"the body may have at most {self.max_body} bytes")

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body piece by piece, at the speed of the reader: `async for chunk in request.stream()`.

        Replays a body that has been read. Raises HTTPError 413 beyond `max_body`, ProtocolError (400, 408) for a
        broken one, ClientDisconnected, RuntimeError where the stream was begun and left before.
        """
        self.check_length()
        if self._body is not None:
            if self._body:
                yield self._body
            return
        if self._started:
            raise RuntimeError("the body is being streamed already: read it in one place, or use body() from the start")
        self._started = True
        channel, total = self._channel, 0
        while channel is not None and (chunk := await channel.read()):
            total += len(chunk)
            if total > self.max_body:
                raise HTTPError(413, f"the body may have at most {self.max_body} bytes")
            yield chunk

    async def body(self) -> bytes:
        """The whole body; asked again, the same bytes. Raises as `stream` does."""
        self.check_length()
        if self._body is None:
            self._body = b"".join([chunk async for chunk in self.stream()])
        return self._body

    @overload
    async def json(self, type: type[T]) -> T: ...
    @overload
    async def json(self, type: Any = None) -> Any: ...
    async def json(self, type: Any = None) -> Any:
        """The body as JSON, checked against a type: `await request.json(User)`.

        Raises HTTPError: 400 for what is not JSON, 422 naming each field that is wrong, missing or unknown.
        """
        body = await self.body()
        return json_codec().decode(body) if type is None else json_codec().decode(body, type)

    async def form(self) -> FormData:
        """The fields of an HTML form, URL-encoded or multipart, files included.

        Raises HTTPError: 400 for a malformed form, 413 for too large a one, 415 where the body is no form.
        """
        if self._form is None:
            async with aclosing(self.stream()) as chunks:  # a form that is refused leaves the rest unread
                self._form = await read_form(self.headers.get("content-type", ""), chunks)
        return self._form


@cache
def json_codec() -> Any:
    """The module `codec`, imported on first use: with msgspec it is a third of the time of the import."""
    from . import codec

    return codec

"""A client for the tests of an application: through the real parser and protocol, in memory, in the test's own loop.

Owns: the making of requests, the connections kept open between them, cookies, redirects, and the lifespan around all.
Must not know: how the server reads a request, or what is in the application.
Invariant: when the `async with` block is left, no task, timer or connection of it remains. A request is what a strict
client would send; bytes that break the rules go through `open()`.
"""

from __future__ import annotations

import asyncio
import json as standard_json
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urljoin, urlsplit

from ..app import App
from ..headers import MutableHeaders
from ..options import Limits
from ..server.exchange import serve_request
from ..server.protocol import HTTPProtocol
from ..server.service import Handler, Service
from .connection import MemoryConnection
from .replies import Reply
from .transport import MARK

__all__ = ["Client"]

T = TypeVar("T")

HOST = "localhost"
REDIRECTS = 20  # in a row, at the most
FORM = "application/x-www-form-urlencoded"

Body = bytes | AsyncIterable[bytes] | None
HeaderPairs = Mapping[str, str] | Iterable[tuple[str, str]]
Form = Mapping[str, Any] | Iterable[tuple[str, Any]]


class Client:
    """Asks an App, or a bare handler, as a client would.

    Example::

        async with Client(app) as client:
            reply = await client.get("/users/7")
            assert reply.status == 200 and reply.json()["id"] == 7

    `async with` runs the lifespan, unless `lifespan=False`. `limits` replaces the App's. `follow_redirects` follows
    them; `raise_errors` raises in the test what a handler raised, where the server would log it and answer 500.
    `headers` go with every request; `cookies` are kept by name, whatever their path. A reply that takes longer than
    `timeout` seconds (None: any time) is a TimeoutError.
    """

    def __init__(
        self,
        app: App | Handler,
        limits: Limits | None = None,
        *,
        lifespan: bool = True,
        follow_redirects: bool = False,
        raise_errors: bool = False,
        headers: HeaderPairs = (),
        cookies: Mapping[str, str] | None = None,
        timeout: float | None = 30.0,
    ) -> None:
        self.app = app
        self.limits = limits or (app.limits if isinstance(app, App) else Limits())
        self.follow_redirects = follow_redirects
        self.headers = MutableHeaders(headers)
        self.cookies = dict(cookies or {})
        self.timeout = timeout
        self._lifespan = lifespan
        self._failures = Failures() if raise_errors else None
        self._stack = AsyncExitStack()
        self._service: Service[HTTPProtocol] | None = None
        self._connections: list[MemoryConnection] = []
        self._idle: list[MemoryConnection] = []

    # -- the block -------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Client:
        if self._service is not None:
            raise RuntimeError("this client is in use: make another one")
        async with AsyncExitStack() as stack:
            if isinstance(self.app, App) and self._lifespan:
                await stack.enter_async_context(self.app.lifespan_context())
            if self._failures is not None:
                logging.getLogger("minihttp").addHandler(self._failures)
                stack.callback(logging.getLogger("minihttp").removeHandler, self._failures)
            self._service = Service(self.app, self.limits, asyncio.get_running_loop(), serve_request)
            stack.push_async_callback(self._stop)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._stack.__aexit__(*exc_info)

    async def _stop(self) -> None:
        """Everybody goes: clients, running handlers, connections."""
        service, self._service = self.service, None
        service.stopping = True
        if isinstance(self.app, App):
            self.app.begin_stopping()
        for connection in self._connections:
            connection.reset()
        for protocol in list(service.connections):
            protocol.cancel()
            protocol.abort()
        self._connections.clear()
        self._idle.clear()
        async with asyncio.timeout(self.timeout):
            await service.emptied()

    @property
    def service(self) -> Service[HTTPProtocol]:
        """What the server's connections share: `client.service.connections`."""
        if self._service is None:
            raise RuntimeError("the client serves only within its block: async with Client(app) as client: ...")
        return self._service

    def open(
        self, *, window: int = MARK, high_water: int = MARK, extra: Mapping[str, Any] | None = None
    ) -> MemoryConnection:
        """A new connection for bytes of the test's choice; see MemoryConnection and, for the sizes, MemoryTransport."""
        self._connections = [each for each in self._connections if not each.transport.is_over]
        connection = MemoryConnection(self.service, window=window, high_water=high_water, extra=extra)
        self._connections.append(connection)
        return connection

    # -- requests --------------------------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: HeaderPairs = (),
        json: Any = None,
        data: Form | bytes | None = None,
        content: bytes | str | AsyncIterable[bytes] | None = None,
        follow_redirects: bool | None = None,
    ) -> Reply:
        """Ask, and read the whole reply.

        `path` may have a query; characters that cannot stand in it are percent-encoded. The body is `json` (a value),
        `data` (a form as a mapping, or bytes), or `content` (bytes, str, or an async iterable of bytes, sent in
        chunks). Raises InvalidReply for an invalid or cut off answer, TimeoutError.
        """
        history: list[Reply] = []
        async with self.stream(method, path, headers=headers, json=json, data=data, content=content) as reply:
            await self._in_time(reply.read(), lambda: f"{method} {path}")
        follow = self.follow_redirects if follow_redirects is None else follow_redirects
        while follow and (target := redirection(path, reply)) is not None:
            history.append(reply)
            if len(history) > REDIRECTS:
                raise RuntimeError(f"more than {REDIRECTS} redirects, the last to {target}")
            path = target
            if reply.status == 303 or (reply.status in (301, 302) and method == "POST"):
                method, json, data, content = "HEAD" if method == "HEAD" else "GET", None, None, None
            elif isinstance(content, AsyncIterable):
                raise RuntimeError(f"a redirect to {target} wants the body again, which came from an iterable")
            reply = await self.request(
                method, path, headers=headers, json=json, data=data, content=content, follow_redirects=False
            )
        reply.history = history
        return reply

    async def get(self, path: str, **options: Any) -> Reply:
        """GET; the options are those of `request`."""
        return await self.request("GET", path, **options)

    async def head(self, path: str, **options: Any) -> Reply:
        """HEAD; the options are those of `request`."""
        return await self.request("HEAD", path, **options)

    async def post(self, path: str, **options: Any) -> Reply:
        """POST; the options are those of `request`."""
        return await self.request("POST", path, **options)

    async def put(self, path: str, **options: Any) -> Reply:
        """PUT; the options are those of `request`."""
        return await self.request("PUT", path, **options)

    async def patch(self, path: str, **options: Any) -> Reply:
        """PATCH; the options are those of `request`."""
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> Reply:
        """DELETE; the options are those of `request`."""
        return await self.request("DELETE", path, **options)

    async def options(self, path: str, **options: Any) -> Reply:
        """OPTIONS; the options are those of `request`."""
        return await self.request("OPTIONS", path, **options)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        headers: HeaderPairs = (),
        json: Any = None,
        data: Form | bytes | None = None,
        content: bytes | str | AsyncIterable[bytes] | None = None,
    ) -> AsyncIterator[Reply]:
        """Ask, and read the reply as it comes: `async with client.stream("GET", "/events") as reply:` and then
        `async for chunk in reply.chunks():`. Leaving the block before the end closes the connection.
        """
        kind, body = encode_body(json, data, content)
        head = self._head(method, path, headers, kind, body)
        connection = self._idle.pop() if self._idle else self.open()
        if connection.transport.is_over or connection.replies.buffered:
            connection.reset()
            connection = self.open()
        connection.send(head + body if isinstance(body, bytes) else head)
        pump = None if body is None or isinstance(body, bytes) else asyncio.create_task(send_chunks(connection, body))
        reply: Reply | None = None
        try:
            begun = connection.replies.begin(method)
            reply = await self._in_time(begun, lambda: f"{method} {path}, from {connection!r}")
            self._keep_cookies(reply)
            yield reply
        finally:
            sent = pump is None or await finished(pump)
            if reply is not None and reply.is_complete and not reply.closes and sent:
                self._idle.append(connection)
            else:
                connection.reset()
        if self._failures is not None:
            self._failures.raise_first()

    async def _in_time(self, work: Awaitable[T], what: Callable[[], str]) -> T:
        try:
            async with asyncio.timeout(self.timeout) as deadline:
                return await work
        except TimeoutError:
            if not deadline.expired():
                raise
            raise TimeoutError(f"no complete reply within {self.timeout} seconds to {what()}") from None

    def _head(self, method: str, path: str, headers: HeaderPairs, kind: str | None, body: Body) -> bytes:
        fields = MutableHeaders(headers)
        for name, value in [pair for pair in self.headers.multi_items() if pair[0] not in fields]:
            fields.add(name, value)
        fields.setdefault("host", HOST)
        if kind is not None:
            fields.setdefault("content-type", kind)
        if self.cookies and "cookie" not in fields:
            fields["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if "content-length" not in fields and "transfer-encoding" not in fields:
            if body is not None and not isinstance(body, bytes):
                fields["transfer-encoding"] = "chunked"
            elif body or method in ("POST", "PUT", "PATCH"):
                fields["content-length"] = str(len(body or b""))
        target = quote(path, safe="!$%&'()*+,/:;=?@")
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.multi_items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _keep_cookies(self, reply: Reply) -> None:
        """Remember and forget what Set-Cookie says (RFC 6265 5.3), for one host and every path of it."""
        for line in reply.headers.getall("set-cookie"):
            pair, *attributes = line.split(";")
            name, _, value = pair.strip().partition("=")
            given = {key.strip().lower(): text for key, _, text in (each.partition("=") for each in attributes)}
            age = given.get("max-age", "1")
            if age.startswith("-") or not age.strip("0"):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


class Failures(logging.Handler):
    """What the server logged with an exception."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.found.append(record.exc_info[1])

    def raise_first(self) -> None:
        """Raise the first of them, once."""
        found, self.found = self.found, []
        if found:
            raise found[0]


def encode_body(json: Any, data: Form | bytes | None, content: Any) -> tuple[str | None, Body]:
    """Content type and body of a request. Raises TypeError for more than one body."""
    if (json is not None) + (data is not None) + (content is not None) > 1:
        raise TypeError("a request has one body: give json, data or content")
    if json is not None:
        return "application/json", standard_json.dumps(json).encode()
    if isinstance(data, bytes):
        return None, data
    if data is not None:
        return FORM, urlencode(data if isinstance(data, Mapping) else list(data), doseq=True).encode()
    return None, content.encode() if isinstance(content, str) else content


async def send_chunks(connection: MemoryConnection, body: AsyncIterable[bytes]) -> None:
    """A body in chunks, no faster than the server reads it (RFC 9112 7.1)."""
    try:
        async for chunk in body:
            if chunk:
                connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                await connection.transport.delivered(MARK)
        connection.send(b"0\r\n\r\n")
    except ConnectionResetError:
        pass  # the server has answered without the rest, or its reply will tell
    except BaseException:
        connection.reset()  # the reply to half a request will not come
        raise


async def finished(pump: asyncio.Task[None]) -> bool:
    """Whether all of the body was sent; if not, no more of it is. Raises what its iterable raised."""
    sent = pump.done()
    pump.cancel()
    await asyncio.wait([pump])
    if not pump.cancelled() and (error := pump.exception()) is not None:
        raise error
    return sent


def redirection(path: str, reply: Reply) -> str | None:
    """Where a reply sends us, if it does, and not to another host."""
    location = reply.headers.get("location")
    if location is None or reply.status not in (301, 302, 303, 307, 308):
        return None
    parts = urlsplit(urljoin(f"http://{HOST}{path}", location))
    if parts.netloc != HOST:
        return None
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

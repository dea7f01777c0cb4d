"""The application: where routes, middleware, error handlers and the lifespan meet the server.

Owns: the order in which they are asked, and the start and stop of the whole.
Must not know: bytes, connections, databases.
Invariant: composed once, when it first serves, and fixed from then on; every exception becomes a response inside the
middleware, so that each middleware sees a response and never an exception of what lies within it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, asynccontextmanager
from inspect import isasyncgenfunction, isawaitable, signature
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar

from .errors import ConfigError, HTTPError
from .options import Limits, Options
from .request import Request
from .response import Redirect, Response, error_response, log_failure, to_response
from .routing import METHODS, Policy, Route, Router, caller
from .server.server import Server
from .server.service import Handler

__all__ = ["App", "in_thread", "serve"]

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

CallNext = Callable[[Request], Awaitable[Response]]
Middleware = Callable[[Request, CallNext], Awaitable[Response]]
ErrorHandler = Callable[[Request, Any], Awaitable[Any]]
Lifespan = Callable[["App"], AbstractAsyncContextManager[Any] | AsyncGenerator[Any, None]]

logger = logging.getLogger("minihttp")


class App:
    """A web application.

    Example::

        app = App()

        @app.get("/hello/{name}")
        async def hello(request, name: str):
            return f"Hello, {name}!"

        app.run()

    `lifespan(app)` is an async context manager around the serving; the dict it yields fills `app.state`.
    `middleware` are functions `async (request, call_next) -> Response`, the first outermost. `debug` shows
    tracebacks in answers to failures.
    """

    def __init__(
        self,
        lifespan: Lifespan | None = None,
        middleware: Iterable[Middleware] = (),
        limits: Limits | None = None,
        debug: bool = False,
    ) -> None:
        self.state = SimpleNamespace()
        self.limits = limits or Limits()
        self.debug = debug
        self.router = router = Router()
        self.route, self.get, self.post, self.put = router.route, router.get, router.post, router.put
        self.patch, self.delete, self.head, self.options = router.patch, router.delete, router.head, router.options
        self.include, self.mount = router.include, router.mount
        self._lifespan = lifespan
        self._middleware = list(middleware)
        self._error_handlers: dict[int | type[BaseException], ErrorHandler] = {}
        self._entry: Handler | None = None
        self._stopping = asyncio.Event()
        self._reported: set[Callable[..., Any]] = set()
        self._where = caller()

    # -- composing -------------------------------------------------------------------------------------------------

    def middleware(self, function: Middleware) -> Middleware:
        """Register middleware: `@app.middleware`, then `async def f(request, call_next)`. The first is outermost."""
        self._check_open("middleware")
        self._middleware.append(function)
        return function

    def error(self, which: int | type[BaseException]) -> Callable[[F], F]:
        """Register who answers a status or a kind of exception: `@app.error(404)`, `async def f(request, exc)`.

        What it returns without a status of its own is sent with that of the error, and with its headers.
        """
        self._check_open("error handler")
        if which not in range(400, 600) and not (isinstance(which, type) and issubclass(which, Exception)):
            raise ConfigError(f"app.error takes a status from 400 to 599 or a kind of Exception, not {which!r}")

        def register(function: F) -> F:
            if self._error_handlers.setdefault(which, function) is not function:
                raise ConfigError(f"two error handlers for {which}: {self._error_handlers[which]} and {function}")
            return function

        return register

    def _check_open(self, what: str) -> None:
        if self._entry is not None:
            raise ConfigError(f"this {what} comes too late, because the app is serving already: register it earlier")

    def url_for(self, name: str, /, **params: Any) -> str:
        """The path of a named route: `app.url_for("user", id=7)`. Raises LookupError, TypeError or ValueError."""
        return self.router.url_for(name, **params)

    def _compose(self) -> Handler:
        """Fold the middleware around the dispatch, and accept no more routes."""
        self.router.freeze()
        self._entry = self._dispatch
        for function in reversed(self._middleware):
            self._entry = self._layer(function, self._entry)
        return self._entry

    def _layer(self, function: Middleware, inner: Handler) -> Handler:
        async def layer(request: Request) -> Response:
            try:
                response = await function(request, inner)
                if response is None:
                    raise TypeError(f"middleware {function!r} returned None: it must return the response")
                return to_response(response)
            except Exception as error:
                return await self._answer(request, error)

        return layer

    # -- serving one request ---------------------------------------------------------------------------------------

    def __call__(self, request: Request) -> Awaitable[Response]:
        """Answer a request: an App is a handler for a `Server`."""
        request.app = self
        return (self._entry or self._compose())(request)

    async def _dispatch(self, request: Request) -> Response:
        try:
            found = self.router.find(request.method, request.raw_path)
            if found is None:
                return self._missing(request)
            route, params = found
            if params:
                request.params = params
            if route.policy is not None:
                apply(route.policy, request)
            if request.length:
                request.check_length()
            result = route.handler(request, **params) if params else route.handler(request)
            if route.is_async or isawaitable(result):
                result = await result
            if result is None and self.debug:
                self._report_none(route)
            return to_response(result)
        except Exception as error:
            return await self._answer(request, error)

    def _missing(self, request: Request) -> Response:
        """No route: the automatic OPTIONS, 405, 501, a redirect to the path with or without its last slash, or 404."""
        path, method = request.raw_path, request.method
        allowed = METHODS if path == "*" else self.router.allowed(path)
        if allowed:
            if method == "OPTIONS":
                return Response(status=204, headers={"allow": ", ".join(allowed)})
            if method not in METHODS:
                raise HTTPError(501, f"method {method} is not implemented here")
            raise HTTPError(405, f"{method} is not possible here", {"allow": ", ".join(allowed)})
        other = self.router.alternative(path)
        if other is None:
            raise HTTPError(404, "there is nothing at this address")
        return Redirect(f"{other}?{request.query_string}" if request.query_string else other, 308)

    async def _answer(self, request: Request, error: Exception) -> Response:
        """The response to an exception: the application's own, by its kind or its status, else the standard one."""
        key = self._error_key(error)
        if key in (None, 500, Exception):  # nobody foresaw it
            log_failure(error, request)
        try:
            if key is not None:
                result = await self._error_handlers[key](request, error)
                response = to_response(result)
                if not isinstance(result, Response | tuple):
                    response.status = error_response(error).status
                for name, value in error.headers.items() if isinstance(error, HTTPError) else ():
                    response.headers.setdefault(name, value)
                return response
        except Exception as second:
            log_failure(second, request)
            error = second
        return error_response(error, request, self.debug)

    def _error_key(self, error: Exception) -> int | type[BaseException] | None:
        """What an exception's handler is registered for: its own kind, then its status, then what all errors are."""
        handlers = self._error_handlers
        status = getattr(error, "http_status", 500)
        for kind in type(error).__mro__ if handlers else ():
            if kind in (HTTPError, Exception) and status in handlers:
                return status
            if kind in handlers:
                return kind
        return None

    def _report_none(self, route: Route) -> None:
        """In debug, say once that a handler returned None without saying so: mostly a forgotten return."""
        if route.handler not in self._reported and signature(route.handler).return_annotation not in (None, "None"):
            self._reported.add(route.handler)
            logger.warning(
                "%s returned None, which is answered with 204: if that is meant, annotate it -> None", route.where
            )

    # -- the whole -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lifespan_context(self) -> AsyncIterator[None]:
        """Run the lifespan around a block; `serve` and the test client do."""
        if self._entry is None:
            self._compose()
        self._stopping = asyncio.Event()  # an event belongs to one loop; an app may be served on several
        if self._lifespan is None:
            yield
            return
        lifespan: Any = self._lifespan
        if isasyncgenfunction(lifespan):
            lifespan = asynccontextmanager(lifespan)
        async with lifespan(self) as state:
            vars(self.state).update(state or {})
            yield

    def begin_stopping(self) -> None:
        """Tell whoever awaits `stopping()` that the server drains."""
        self._stopping.set()

    async def stopping(self) -> None:
        """Return when the server begins to stop: what streams without an end should end then."""
        await self._stopping.wait()

    def run(self, host: str = "127.0.0.1", port: int = 8000, *, limits: Limits | None = None, **options: Any) -> None:
        """Serve until Ctrl-C or SIGTERM: `app.run(port=8080, loop="uvloop")`.

        Takes every option of `Options`; `limits` replaces the App's. Where the server cannot start, the program ends
        with status 1 and one line that says why.
        """
        run_until_stopped(self, lambda: Options(host=host, port=port, limits=limits or self.limits, **options))


def apply(policy: Policy, request: Request) -> None:
    """Let a request run under its route's policy."""
    for name in ("max_body", "timeout", "on_disconnect"):
        if (value := getattr(policy, name)) is not None:
            setattr(request, name, value)


async def serve(
    app: App | Handler,
    *,
    limits: Limits | None = None,
    announce: Callable[[Server], None] | None = None,
    **options: Any,
) -> None:
    """Serve an app, or a bare handler, until SIGTERM or SIGINT: `await serve(app, port=8080)`.

    Takes every option of `Options`; `limits` given here replaces the App's; `announce` is called with the server once
    it listens, and hears signals. Raises ConfigError where it cannot start.
    """
    standard = app.limits if isinstance(app, App) else Limits()
    await serve_with(app, Options(limits=limits or standard, **options), announce)


async def serve_with(app: App | Handler, options: Options, announce: Callable[[Server], None] | None) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(watched(app, options)) if options.watch else Server(app, options)
        if isinstance(app, App):
            server.when_draining.append(app.begin_stopping)
            await stack.enter_async_context(app.lifespan_context())
        await server.start()
        stack.push_async_callback(server.stop, 0)
        await server.run(announce)


def watched(app: App | Handler, options: Options) -> AbstractContextManager[Server]:
    """A server whose loop is recorded, and shown at /_loop."""
    from .watch.watch import watched

    return watched(app, options, app.router.search, app._where) if isinstance(app, App) else watched(app, options)


def run_until_stopped(app: App | Handler, make_options: Callable[[], Options]) -> None:
    """The whole of a program that serves: its own loop, its address on screen, one line and status 1 if it cannot."""
    try:
        options = make_options()
        with asyncio.Runner(loop_factory=loop_factory(options.loop, options.watch)) as runner:
            runner.run(serve_with(app, options, announce))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if not isinstance(error, ConfigError) and getattr(error, "http_status", None) is None:
            raise
        raise SystemExit(f"cannot start: {error}") from None


def announce(server: Server) -> None:
    for address in server.addresses:
        print(f"Serving on {address} (Ctrl-C to stop)", flush=True)


def loop_factory(name: str, watch: bool = False) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop: `"uvloop"`, `"asyncio"`, or `"auto"`, which is uvloop where it is installed."""
    if name != "asyncio":
        try:
            from uvloop import new_event_loop

            return new_event_loop
        except ImportError:
            if name == "uvloop":
                raise ConfigError(
                    'option loop is uvloop, which is not installed: pip install "minihttp-asyncio[uvloop]"'
                ) from None
    if not watch:
        return None
    from .watch.loop import WatchedLoop

    return WatchedLoop


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking function in a thread, so that the loop can serve others: `await in_thread(Path.read_text, path)`.

    Context variables are seen there. Raises what the function raises.
    """
    return await asyncio.to_thread(function, *args, **kwargs)

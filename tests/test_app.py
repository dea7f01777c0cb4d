"""An application as its first user meets it: every promise about it, kept through real requests."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
from collections import UserDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from minihttp import (
    HTML,
    JSON,
    App,
    ConfigError,
    HTTPError,
    Limits,
    Options,
    Redirect,
    Request,
    Response,
    Router,
    Server,
    Stream,
    abort,
    in_thread,
    serve,
)
from minihttp.app import loop_factory
from minihttp.headers import Headers
from minihttp.testing import Client, Reply
from minihttp.wire.head import Fields

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


async def ask(app: App, method: str, path: str, **options: Any) -> Reply:
    async with Client(app) as client:
        return await client.request(method, path, **options)


async def answer(request: Request, **params: Any) -> Any:
    return {"method": request.method, **params}


# --- routes and their policy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
async def test_each_method_has_its_decorator(method: str) -> None:
    app = App()

    @getattr(app, method.lower())("/it")
    async def handler(request: Request) -> Any:
        return Response(b"", 200, {"x-by": request.method})

    reply = await ask(app, method, "/it")
    assert (reply.status, reply.headers["x-by"]) == (200, method)


async def test_a_route_may_have_several_methods() -> None:
    app = App()
    app.route("/it", methods=["POST", "PURGE"])(answer)
    async with Client(app) as client:
        assert (await client.post("/it")).json() == {"method": "POST"}
        assert (await client.request("PURGE", "/it")).json() == {"method": "PURGE"}
        assert (await client.get("/it")).headers["allow"] == "OPTIONS, POST, PURGE"


async def policy_of(request: Request) -> Any:
    return [request.max_body, request.timeout, request.on_disconnect]


@pytest.mark.parametrize(
    ("policy", "seen"),
    [
        ({}, [100, 9.0, None]),
        ({"max_body": 7}, [7, 9.0, None]),
        ({"max_body": 0}, [0, 9.0, None]),
        ({"timeout": 0.5}, [100, 0.5, None]),
        ({"on_disconnect": "finish"}, [100, 9.0, "finish"]),
        ({"max_body": 200, "timeout": 20, "on_disconnect": "cancel"}, [200, 20, "cancel"]),
    ],
)
async def test_the_policy_of_a_route_reaches_the_request(policy: dict[str, Any], seen: list[Any]) -> None:
    app = App(limits=Limits(max_body=100, handler_timeout=9.0))
    app.get("/direct", **policy)(policy_of)
    app.route("/by-route", methods=["GET"], **policy)(policy_of)

    @app.route("/class", **policy)
    class Resource:
        async def get(self, request: Request) -> Any:
            return await policy_of(request)

    router = Router()
    router.get("/included", **policy)(policy_of)
    app.include(router)
    async with Client(app) as client:
        for path in ("/direct", "/by-route", "/class", "/included"):
            assert (await client.get(path)).json() == seen


async def test_the_timeout_of_a_route_ends_its_handler() -> None:
    app = App()
    ended = asyncio.Event()

    @app.get("/slow", timeout=0.01)
    async def slow(request: Request) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    reply = await ask(app, "GET", "/slow")
    assert reply.status == 503
    assert ended.is_set()


async def test_too_large_a_body_is_refused_before_the_handler_is_called() -> None:
    app = App(limits=Limits(max_body=10))
    called = []

    @app.post("/small")
    async def small(request: Request) -> Any:
        called.append(await request.body())
        return "taken"

    @app.post("/large", max_body=20)
    async def large(request: Request) -> Any:
        return await request.body()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 11

    async with Client(app) as client:
        assert (await client.post("/small", content=b"x" * 11)).status == 413
        assert called == []
        assert (await client.post("/small", content=pieces())).status == 413  # its length is known only when read
        assert called == []
        assert (await client.post("/small", content=b"x" * 10)).text == "taken"
        assert (await client.post("/large", content=b"x" * 20)).content == b"x" * 20
        assert (await client.post("/large", content=b"x" * 21)).status == 413


async def test_a_refused_body_is_not_asked_for() -> None:
    app = App(limits=Limits(max_body=10))
    app.post("/small")(answer)
    async with Client(app) as client:
        connection = client.open()
        connection.send(b"POST /small HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\nexpect: 100-continue\r\n\r\n")
        reply = await connection.read_reply()
        assert (reply.status, reply.interim, reply.closes) == (413, [], True)


async def test_a_class_is_a_resource_with_one_instance_made_at_registration() -> None:
    app = App()
    made = []

    @app.route("/story/{id:int}", name="story")
    class Story:
        def __init__(self) -> None:
            made.append(self)
            self.seen: list[int] = []

        async def get(self, request: Request, id: int) -> Any:
            self.seen.append(id)
            return self.seen

        def delete(self, request: Request, **params: Any) -> Any:
            return params

    assert len(made) == 1
    async with Client(app) as client:
        assert (await client.get("/story/1")).json() == [1]
        assert (await client.get(app.url_for("story", id=2))).json() == [1, 2]
        assert (await client.delete("/story/3")).json() == {"id": 3}
        refused = await client.post("/story/1")
        assert (refused.status, refused.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS")
    assert len(made) == 1


async def test_parameters_come_by_name_and_converted() -> None:
    app = App()
    app.get("/a/{text}/{n:int}/{x:float}/{rest:path}")(answer)
    reply = await ask(app, "GET", "/a/%E5%8C%97%2F/7/1.5/b/c%20d")
    assert reply.json() == {"method": "GET", "text": "北/", "n": 7, "x": 1.5, "rest": "b/c d"}


async def test_include_mount_and_url_for() -> None:
    app, admin = App(), Router()

    @admin.get("/users/{id:int}", name="user")
    async def show(request: Request, id: int) -> Any:
        return [request.url_for("user", id=id + 1), request.params]

    async def files(request: Request, path: str) -> Any:
        return f"{request.method} {path}"

    app.include(admin, prefix="/admin")
    app.mount("/static", files)
    assert app.url_for("user", id=7) == "/admin/users/7"
    with pytest.raises(LookupError, match="'users'"):
        app.url_for("users")
    with pytest.raises(TypeError, match="id"):
        app.url_for("user")
    async with Client(app) as client:
        assert (await client.get("/admin/users/7")).json() == ["/admin/users/8", {"id": 7}]
        assert (await client.get("/users/7")).status == 404
        assert (await client.get("/static/css/a.css")).text == "GET css/a.css"
        assert (await client.put("/static/x")).text == "PUT x"


@pytest.mark.parametrize(
    "late",
    [
        lambda app: app.get("/late")(answer),
        lambda app: app.route("/late")(answer),
        lambda app: app.mount("/late", answer),
        lambda app: app.include(with_a_route(Router()), prefix="/late"),
        lambda app: app.middleware(passing),
        lambda app: app.error(404)(plainly),
    ],
)
async def test_registration_after_the_start_is_an_error(late: Callable[[App], Any]) -> None:
    app = App()
    async with Client(app):
        with pytest.raises(ConfigError):
            late(app)


def with_a_route(router: Router) -> Router:
    router.get("/late")(answer)
    return router


def places(error: Exception) -> set[str]:
    """The places in this file that an error names."""
    return set(re.findall(re.escape(__file__) + r":\d+", str(error)))


async def test_a_late_route_names_both_places() -> None:
    app = App()
    await app(request_for(app))  # as a bare Server does, without a lifespan
    with pytest.raises(ConfigError) as caught:
        app.get("/late")(answer)
    assert len(places(caught.value)) == 2


def request_for(app: App) -> Request:
    head = ("GET", "/", "", Fields(Headers(), 0, True, False, 1))
    return Request(head, b"", None, app.limits)  # type: ignore[arg-type]  # its origin is not asked


async def test_a_route_that_could_not_work_names_both_places() -> None:
    app = App()
    app.get("/users/{id}")(answer)
    with pytest.raises(ConfigError) as caught:
        app.get("/users/{name}")(answer)
    assert len(places(caught.value)) == 2
    with pytest.raises(ConfigError, match="declares id: str"):

        @app.get("/books/{id:int}")
        async def book(request: Request, id: str) -> None: ...


async def test_plain_functions_are_handlers_too() -> None:
    app = App()

    @app.get("/plain")
    def plain(request: Request) -> Any:
        return {"thread": threading.get_ident()}

    @app.get("/awaitable")
    def awaitable(request: Request) -> Awaitable[Any]:
        return answer(request)

    class Called:
        async def __call__(self, request: Request) -> Any:
            return "called"

    app.get("/object")(Called())
    async with Client(app) as client:
        assert (await client.get("/plain")).json() == {"thread": threading.get_ident()}
        assert (await client.get("/awaitable")).json() == {"method": "GET"}
        assert (await client.get("/object")).text == "called"


# --- what handlers return ---------------------------------------------------------------------------------------------


@dataclass
class Point:
    x: int
    y: int


class Book(msgspec.Struct):
    title: str


TEXT, JSON_TYPE, BINARY = "text/plain; charset=utf-8", "application/json", "application/octet-stream"


@pytest.mark.parametrize(
    ("value", "status", "kind", "body"),
    [
        ("北京", 200, TEXT, "北京".encode()),
        ("", 200, TEXT, b""),
        (b"\x00\xff", 200, BINARY, b"\x00\xff"),
        ({"a": 1}, 200, JSON_TYPE, b'{"a":1}'),
        (UserDict(a=1), 200, JSON_TYPE, b'{"a":1}'),
        (MappingProxyType({"a": 1}), 200, JSON_TYPE, b'{"a":1}'),
        ([1, "b"], 200, JSON_TYPE, b'[1,"b"]'),
        (Point(1, 2), 200, JSON_TYPE, b'{"x":1,"y":2}'),
        (Book("红"), 200, JSON_TYPE, '{"title":"红"}'.encode()),
        (None, 204, None, b""),
        (HTML("<p>"), 200, "text/html; charset=utf-8", b"<p>"),
        (JSON([], 202), 202, JSON_TYPE, b"[]"),
        (Response(b"x", 299, content_type="a/b"), 299, "a/b", b"x"),
        (({"id": 7}, 201), 201, JSON_TYPE, b'{"id":7}'),
        (("gone", 410), 410, TEXT, b"gone"),
        ((None, 202), 202, None, b""),
        ((HTML("x"), 203), 203, "text/html; charset=utf-8", b"x"),
    ],
)
async def test_what_a_handler_may_return(value: Any, status: int, kind: str | None, body: bytes) -> None:
    app = App()

    @app.get("/")
    async def handler(request: Request) -> Any:
        return value

    reply = await ask(app, "GET", "/")
    assert (reply.status, reply.headers.get("content-type"), reply.content) == (status, kind, body)


@pytest.mark.parametrize("headers", [{"x-a": "1", "content-type": "a/b"}, [("x-a", "1"), ("content-type", "a/b")]])
async def test_a_tuple_may_have_headers(headers: Any) -> None:
    app = App()

    @app.get("/")
    async def handler(request: Request) -> Any:
        return "x", 201, headers

    reply = await ask(app, "GET", "/")
    assert (reply.status, reply.headers["x-a"], reply.headers["content-type"]) == (201, "1", "a/b")


@pytest.mark.parametrize(
    "value",
    [7, (), ("x",), ("x", "201"), ("x", 200, {}, 4), (("x", 200), 201), object(), Point, {1, 2}, {"a": object()}],
)
async def test_anything_else_is_an_error_of_the_program(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.get("/")
    async def handler(request: Request) -> Any:
        return value

    reply = await ask(app, "GET", "/")
    assert (reply.status, reply.headers["content-type"]) == (500, "application/problem+json")
    [record] = caplog.records
    assert record.exc_info and isinstance(record.exc_info[1], TypeError)


async def test_a_header_that_would_split_the_response_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.get("/")
    async def handler(request: Request) -> Any:
        return "x", 200, {"x-name": request.query["name"]}

    async with Client(app) as client:
        assert (await client.get("/?name=a")).headers["x-name"] == "a"
        reply = await client.get("/?name=a%0d%0aset-cookie:%20b=c")
        assert reply.status == 500
        assert "set-cookie" not in reply.headers
    assert len(caplog.records) == 1


async def test_in_debug_a_forgotten_return_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    app = App(debug=True)

    @app.get("/forgotten")
    async def forgotten(request: Request): ...  # type: ignore[no-untyped-def]  # what is tested

    @app.get("/meant")
    async def meant(request: Request) -> None: ...

    async with Client(app) as client:
        for path in ("/forgotten", "/meant", "/forgotten"):
            assert (await client.get(path)).status == 204
    [record] = caplog.records
    assert f"{__file__}:{forgotten.__code__.co_firstlineno}" in record.getMessage()
    assert "-> None" in record.getMessage()


async def test_without_debug_a_forgotten_return_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.get("/forgotten")
    async def forgotten(request: Request): ...  # type: ignore[no-untyped-def]  # what is tested

    assert (await ask(app, "GET", "/forgotten")).status == 204
    assert caplog.records == []


# --- the lifespan -----------------------------------------------------------------------------------------------------


def lifespans(events: list[str]) -> dict[str, Callable[[App], Any]]:
    async def generator(app: App) -> AsyncGenerator[dict[str, str], None]:
        events.append("open")
        yield {"db": "database"}
        events.append("close")

    return {"generator": generator, "manager": asynccontextmanager(generator)}


@pytest.mark.parametrize("kind", ["generator", "manager"])
async def test_the_lifespan_surrounds_the_serving_and_fills_the_state(kind: str) -> None:
    events: list[str] = []
    app = App(lifespans(events)[kind])

    @app.get("/")
    async def handler(request: Request) -> Any:
        events.append("request")
        return request.app.state.db

    assert (await ask(app, "GET", "/")).text == "database"
    assert events == ["open", "request", "close"]
    assert (await ask(app, "GET", "/")).text == "database"  # and again, as tests do


async def test_a_lifespan_may_yield_nothing_and_set_the_state_itself() -> None:
    async def lifespan(app: App) -> AsyncGenerator[None, None]:
        app.state.db = "mine"
        yield

    app = App(lifespan)
    async with Client(app):
        assert app.state.db == "mine"


async def test_a_failing_lifespan_fails_the_start_and_what_was_begun_is_ended() -> None:
    events = []

    async def lifespan(app: App) -> AsyncGenerator[None, None]:
        try:
            raise OSError("no database")
            yield
        finally:
            events.append("closed")

    with pytest.raises(OSError, match="no database"):
        await serve(App(lifespan), port=0)
    assert events == ["closed"]


async def test_a_lifespan_ends_also_when_the_server_cannot_listen() -> None:
    events: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="in use"):
        await serve(App(lifespans(events)["manager"]), port=taken.getsockname()[1])
    assert events == ["open"]  # its end is left to the exception, as in every context manager without try


async def test_wrong_options_are_told_before_the_lifespan_begins() -> None:
    events: list[str] = []
    with pytest.raises(ConfigError, match="port"):
        await serve(App(lifespans(events)["manager"]), port=-1)
    assert events == []


# --- middleware -------------------------------------------------------------------------------------------------------


async def passing(request: Request, call_next: Any) -> Response:
    response: Response = await call_next(request)
    return response


async def plainly(request: Request, error: Any) -> Any:
    return f"mine: {error}", 418


async def test_the_first_middleware_is_outermost() -> None:
    events: list[str] = []

    def noting(name: str) -> Any:
        async def middleware(request: Request, call_next: Any) -> Response:
            events.append(f"{name} in")
            response: Response = await call_next(request)
            events.append(f"{name} out")
            return response

        return middleware

    app = App(middleware=[noting("a"), noting("b")])
    third = noting("c")
    assert app.middleware(third) is third

    @app.get("/")
    async def handler(request: Request) -> None:
        events.append("handler")

    await ask(app, "GET", "/")
    assert events == ["a in", "b in", "c in", "handler", "c out", "b out", "a out"]


async def test_middleware_sees_every_answer_errors_too(caplog: pytest.LogCaptureFixture) -> None:
    app = App(limits=Limits(max_body=1))
    seen: list[int] = []

    @app.middleware
    async def note(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        seen.append(response.status)
        response.headers["x-seen"] = "yes"
        return response

    @app.get("/fails")
    async def fails(request: Request) -> None:
        raise ZeroDivisionError

    @app.get("/aborts")
    async def aborts(request: Request) -> None:
        abort(409, "no")

    app.post("/post/")(answer)
    wanted = [
        ("GET", "/fails", 500), ("GET", "/aborts", 409), ("GET", "/nothing", 404), ("PUT", "/aborts", 405),
        ("BREW", "/aborts", 501), ("GET", "/post", 308), ("OPTIONS", "/aborts", 204), ("GET", "/%ff", 400),
    ]  # fmt: skip
    async with Client(app) as client:
        for method, path, status in wanted:
            reply = await client.request(method, path)
            assert (reply.status, reply.headers["x-seen"]) == (status, "yes")
        assert (await client.post("/post/", content=b"xx")).headers["x-seen"] == "yes"
    assert seen == [status for *_, status in wanted] + [413]
    assert len(caplog.records) == 1  # the ZeroDivisionError


async def test_what_middleware_raises_becomes_a_response_that_the_outer_one_sees(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()
    seen = []

    @app.middleware
    async def outer(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        seen.append(response.status)
        return response

    @app.middleware
    async def inner(request: Request, call_next: Any) -> Response:
        if "token" not in request.query:
            raise HTTPError(401, "who are you?", {"www-authenticate": "Basic"})
        raise ZeroDivisionError

    app.get("/")(answer)
    async with Client(app) as client:
        reply = await client.get("/")
        assert (reply.status, reply.json()["detail"], reply.headers["www-authenticate"]) == (
            401,
            "who are you?",
            "Basic",
        )
        assert caplog.records == []
        assert (await client.get("/?token")).status == 500
        assert len(caplog.records) == 1
    assert seen == [401, 500]


async def test_middleware_may_answer_itself_and_change_what_it_passes_on() -> None:
    app = App()

    @app.middleware
    async def gate(request: Request, call_next: Any) -> Response:
        if request.path == "/closed":
            return Response("closed", 403)
        request.state.user = "Ada"
        response: Response = await call_next(request)
        response.body = response.body.upper()
        return response

    @app.get("/")
    async def handler(request: Request) -> Any:
        return request.state.user

    async with Client(app) as client:
        assert (await client.get("/closed")).text == "closed"
        assert (await client.get("/")).text == "ADA"


async def test_middleware_that_forgets_its_return_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.middleware
    async def forgetful(request: Request, call_next: Any) -> Any:
        await call_next(request)

    app.get("/")(answer)
    assert (await ask(app, "GET", "/")).status == 500
    assert len(caplog.records) == 1
    assert "forgetful" in caplog.text


async def test_a_context_variable_of_middleware_is_the_requests_own() -> None:
    app = App()
    user = ContextVar("user", default="nobody")

    @app.middleware
    async def sign_in(request: Request, call_next: Any) -> Response:
        if "user" in request.query:
            user.set(request.query["user"])
        response: Response = await call_next(request)
        return response

    @app.get("/")
    async def handler(request: Request) -> Any:
        return user.get()

    async with Client(app) as client:
        connection = client.open()
        for path, seen in (("/?user=Ada", "Ada"), ("/", "nobody"), ("/?user=Bob", "Bob"), ("/", "nobody")):
            connection.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
            assert (await connection.read_reply()).text == seen
        connection.send(b"GET /?user=Eve HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert [(await connection.read_reply()).text for _ in range(2)] == ["Eve", "nobody"]
    assert user.get() == "nobody"


# --- errors -----------------------------------------------------------------------------------------------------------


async def failing(error: BaseException, prepare: Callable[[App], Any], **options: Any) -> Reply:
    """What a client gets when a handler raises this."""
    app = App(**options)
    prepare(app)

    @app.get("/")
    async def handler(request: Request) -> None:
        raise error

    return await ask(app, "GET", "/")


def handlers_for(*which: Any) -> Callable[[App], None]:
    """Registers, for each, a handler that answers with its name."""

    def prepare(app: App) -> None:
        for each in which:

            async def handler(request: Request, error: Any, name: str = getattr(each, "__name__", str(each))) -> Any:
                return name, 418

            app.error(each)(handler)

    return prepare


class Conflict(Exception):
    http_status = 409


@pytest.mark.parametrize(
    ("error", "registered", "winner"),
    [
        (HTTPError(404), [404], "404"),
        (ZeroDivisionError(), [500], "500"),
        (ZeroDivisionError(), [ArithmeticError], "ArithmeticError"),
        (ZeroDivisionError(), [ArithmeticError, ZeroDivisionError, Exception], "ZeroDivisionError"),
        (ZeroDivisionError(), [500, ZeroDivisionError], "ZeroDivisionError"),
        (Conflict(), [409], "409"),
        (Conflict(), [409, Conflict], "Conflict"),
        (HTTPError(404), [HTTPError], "HTTPError"),
        (HTTPError(404), [HTTPError, 404], "404"),
        (HTTPError(404), [Exception, 404], "404"),
        (HTTPError(404), [Exception], "Exception"),
        (Conflict(), [Exception, 409], "409"),
        (ValueError(), [Exception, 500], "500"),
    ],
)
async def test_an_error_is_answered_by_the_nearest_handler(error: Exception, registered: Any, winner: str) -> None:
    reply = await failing(error, handlers_for(*registered))
    assert (reply.status, reply.text) == (418, winner)


async def test_an_error_handler_of_another_kind_is_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    reply = await failing(ValueError("x"), handlers_for(404, KeyError))
    assert reply.status == 500
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/no", 404), ("POST", "/", 405), ("BREW", "/", 501), ("GET", "/%ff", 400)]
)
async def test_error_handlers_answer_what_no_handler_raised(method: str, path: str, status: int) -> None:
    app = App()
    app.get("/")(answer)

    @app.error(status)
    async def mine(request: Request, error: Any) -> Any:
        return f"{request.method} {request.raw_path} {error.http_status}", error.http_status

    reply = await ask(app, method, path)
    assert (reply.status, reply.text) == (status, f"{method} {path} {status}")


async def test_what_an_error_handler_returns_without_a_status_has_that_of_the_error() -> None:
    """A page for 404 that is sent with 200 would be indexed, cached and taken for success."""
    app = App()

    @app.error(404)
    async def missing(request: Request, error: Any) -> Any:
        return {"missing": request.path}

    @app.error(ZeroDivisionError)
    async def infinite(request: Request, error: Any) -> Any:
        return "infinite"

    @app.error(KeyError)
    async def redirected(request: Request, error: Any) -> Any:
        return Redirect("/elsewhere")

    @app.get("/fails")
    async def fails(request: Request) -> Any:
        return {}["x"] if "key" in request.query else 1 // 0

    async with Client(app) as client:
        reply = await client.get("/no")
        assert (reply.status, reply.json()) == (404, {"missing": "/no"})
        reply = await client.get("/fails")
        assert (reply.status, reply.text) == (500, "infinite")
        assert (await client.get("/fails?key")).status == 303


async def test_an_error_handler_cannot_forget_the_headers_of_the_error() -> None:
    """RFC 9110 15.5.2, 15.5.6: a 401 without WWW-Authenticate and a 405 without Allow are not valid."""
    app = App()

    @app.error(405)
    async def wrong_method(request: Request, error: Any) -> Any:
        return HTML("<p>no", 405)

    @app.error(401)
    async def who(request: Request, error: Any) -> Any:
        return "who?", 401, {"WWW-Authenticate": "Bearer"}

    @app.get("/")
    async def handler(request: Request) -> None:
        abort(401, headers={"www-authenticate": "Basic", "x-a": "1"})

    async with Client(app) as client:
        assert (await client.post("/")).headers["allow"] == "GET, HEAD, OPTIONS"
        reply = await client.get("/")
        assert (reply.headers.getall("www-authenticate"), reply.headers["x-a"]) == (["Bearer"], "1")


async def test_a_foreseen_kind_of_error_is_not_logged_as_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    assert (await failing(ZeroDivisionError(), handlers_for(ZeroDivisionError))).status == 418
    assert caplog.records == []


@pytest.mark.parametrize("which", [500, Exception])
async def test_a_page_for_failures_does_not_hide_them_from_the_log(
    which: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await failing(ZeroDivisionError(), handlers_for(which))).status == 418
    [record] = caplog.records
    assert record.exc_info and isinstance(record.exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize(
    ("which", "first", "logged"),
    [
        (404, HTTPError(404), [RuntimeError]),
        (Exception, HTTPError(404), [RuntimeError]),
        (ZeroDivisionError, ZeroDivisionError(), [RuntimeError]),
        (500, ZeroDivisionError(), [ZeroDivisionError, RuntimeError]),
    ],
)
async def test_a_failing_error_handler_is_a_500_and_logged_once(
    which: Any, first: Exception, logged: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(request: Request, error: Any) -> None:
        raise RuntimeError("second")

    reply = await failing(first, lambda app: app.error(which)(broken), middleware=[passing, passing], debug=True)
    assert reply.status == 500
    assert "second" in reply.json()["traceback"]
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == logged
    assert caplog.records[-1].exc_info and caplog.records[-1].exc_info[1].__context__ is first  # type: ignore[union-attr]  # an exception


async def test_what_an_error_handler_aborts_with_is_the_answer() -> None:
    async def elsewhere(request: Request, error: Any) -> None:
        abort(410, "gone for good")

    reply = await failing(HTTPError(404), lambda app: app.error(404)(elsewhere))
    assert (reply.status, reply.json()["detail"]) == (410, "gone for good")


@pytest.mark.parametrize("which", ["404", 200, 99, 600, True, int, BaseException, None, plainly])
def test_an_error_handler_for_nothing_is_an_error(which: Any) -> None:
    with pytest.raises(ConfigError, match="status"):
        App().error(which)


def test_two_error_handlers_for_one_thing_are_an_error() -> None:
    app = App()
    app.error(404)(plainly)
    with pytest.raises(ConfigError, match=r"404.*plainly.*passing"):
        app.error(404)(passing)


async def test_abort_answers_with_status_detail_and_headers(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.get("/{name}")
    async def handler(request: Request, name: str) -> None:
        abort(404, f"no {name}", {"x-a": "1"})

    reply = await ask(app, "GET", "/b")
    assert (reply.status, reply.headers["content-type"], reply.headers["x-a"]) == (404, "application/problem+json", "1")
    assert reply.json() == {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no b"}
    assert caplog.records == []


async def test_any_exception_may_say_its_status_and_when_to_come_back(caplog: pytest.LogCaptureFixture) -> None:
    class Unavailable(Exception):
        http_status = 503
        retry_after = 1.6

    reply = await failing(Unavailable("password is hunter2"), lambda app: None)
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
    assert "hunter2" not in reply.text
    assert caplog.records == []


@pytest.mark.parametrize("status", [200, 99, 600, "404", None])
async def test_a_status_that_is_no_error_is_a_500(status: Any) -> None:
    class Strange(Exception):
        http_status = status

    assert (await failing(Strange(), lambda app: None)).status == 500


async def test_a_page_for_people_and_json_for_programs() -> None:
    app = App()
    async with Client(app) as client:
        for accept in ("*/*", "", "application/json", "text/html;q=0"):
            reply = await client.get("/no", headers={"accept": accept})
            assert reply.headers["content-type"] == "application/problem+json"
        reply = await client.get("/no", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert reply.headers["content-type"] == "text/html; charset=utf-8"
        assert "404" in reply.text


@pytest.mark.parametrize("accept", ["text/html", "*/*"])
async def test_a_traceback_is_shown_in_debug_alone(accept: str, caplog: pytest.LogCaptureFixture) -> None:
    for debug in (False, True):
        app = App(debug=debug)

        @app.get("/")
        async def handler(request: Request) -> None:
            raise ValueError("<secret>")

        reply = await ask(app, "GET", "/", headers={"accept": accept})
        assert reply.status == 500
        assert ("Traceback" in reply.text) is debug
        assert ("secret" in reply.text) is debug
        assert "<secret>" not in reply.text or accept == "*/*"
    assert len(caplog.records) == 2


# --- what is answered without a handler -------------------------------------------------------------------------------


@pytest.fixture
def books() -> App:
    app = App()

    @app.get("/book")
    async def book(request: Request) -> Any:
        return "a book", 200, {"x-kind": "book"}

    app.get("/shelf/")(answer)
    app.post("/order/{id:int}")(answer)
    app.get("/both")(answer)
    app.get("/both/")(lambda request: "with slash")
    app.get("/{one}/b/")(answer)
    return app


async def test_head_is_answered_for_every_get_route(books: App) -> None:
    async with Client(books) as client:
        get, head = await client.get("/book"), await client.head("/book")
        assert (head.status, head.content, head.headers["x-kind"]) == (200, b"", "book")
        for name in ("content-length", "content-type"):
            assert head.headers[name] == get.headers[name]
        assert (await client.head("/order/7")).status == 405
        assert (await client.head("/no")).content == b""
        assert (await client.get("/book")).text == "a book"  # the connection is still in step


@pytest.mark.parametrize(
    ("path", "allowed"), [("/book", "GET, HEAD, OPTIONS"), ("/order/7", "OPTIONS, POST"), ("*", ", ".join(METHODS))]
)
async def test_options_is_answered_for_every_path(books: App, path: str, allowed: str) -> None:
    async with Client(books) as client:
        connection = client.open()
        connection.send(f"OPTIONS {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        reply = await connection.read_reply("OPTIONS")
        assert (reply.status, reply.headers["allow"], reply.content) == (204, allowed, b"")


async def test_options_for_the_server_comes_also_in_absolute_form(books: App) -> None:
    async with Client(books) as client:
        connection = client.open()
        connection.send(b"OPTIONS http://a HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await connection.read_reply("OPTIONS")).status == 204


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/book", 405),
        ("GET", "/order/7", 405),
        ("BREW", "/book", 501),
        ("GET", "/order/x", 404),
        ("OPTIONS", "/no", 404),
    ],
)
async def test_what_no_route_answers(books: App, method: str, path: str, status: int) -> None:
    reply = await ask(books, method, path)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    if status == 405:
        assert reply.headers["allow"] == ("OPTIONS, POST" if "order" in path else "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/book/", "/book"),
        ("/shelf", "/shelf/"),
        ("/book/?a=1&b=%20c", "/book?a=1&b=%20c"),
        ("/shelf?next=//evil.example", "/shelf/?next=//evil.example"),
        ("/order/7/", "/order/7"),
        ("/%E5%8C%97/b", "/%E5%8C%97/b/"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
async def test_the_last_slash_redirects_and_keeps_the_query(books: App, method: str, path: str, location: str) -> None:
    reply = await ask(books, method, path)
    assert (reply.status, reply.headers["location"]) == (308, location)


async def test_both_forms_of_a_path_may_exist(books: App) -> None:
    async with Client(books) as client:
        assert (await client.get("/both")).json() == {"method": "GET"}
        assert (await client.get("/both/")).text == "with slash"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example", "//evil.example/", "//evil.example/b", "///evil.example/", "//evil.example/%2e%2e",
        "/%5Cevil.example/b", "/%2Fevil.example/b", "/.//evil.example", "//book/", "/book//",
        "http://evil.example/book/", "http://evil.example//evil.example", "/%0d%0alocation:%20evil/b",
    ],
)  # fmt: skip
async def test_no_redirect_leads_to_another_host(books: App, target: str) -> None:
    async with Client(books) as client:
        connection = client.open()
        connection.send(f"GET {target} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        reply = await connection.read_reply()
        location = reply.headers.get("location", "/")
        assert location[0] == "/" and location[1:2] not in ("/", "\\")
        assert reply.status in (200, 308, 404)


# --- the whole --------------------------------------------------------------------------------------------------------


async def test_stopping_returns_when_draining_starts() -> None:
    app = App()
    told = asyncio.Event()

    async def lifespan(app: App) -> AsyncGenerator[None, None]:
        async def tell() -> None:
            await app.stopping()
            told.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(tell())
            yield

    app = App(lifespan)
    async with Client(app) as client:
        assert (await client.get("/")).status == 404
        assert not told.is_set()
    assert told.is_set()


async def test_a_stream_without_an_end_may_end_when_the_server_stops() -> None:
    app = App()

    @app.get("/")
    async def events(request: Request) -> Any:
        async def forever() -> AsyncIterator[str]:
            yield "first"
            await app.stopping()
            yield " last"

        return Stream(forever(), content_type="text/plain")

    server = Server(app, Options(port=0))
    server.when_draining.append(app.begin_stopping)
    await server.start()
    host, port = server.addresses[0].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    async with asyncio.timeout(20):
        await reader.readuntil(b"first")
        await server.stop()
        assert await reader.read() == b" last"
    writer.close()


def test_an_app_may_be_served_on_one_loop_after_another() -> None:
    """A module has one app; each test has a loop of its own."""
    app = App()

    @app.get("/")
    async def handler(request: Request) -> Any:
        try:
            async with asyncio.timeout(0):
                await app.stopping()
        except TimeoutError:
            return "not yet"

    async def once() -> None:
        assert (await ask(app, "GET", "/")).text == "not yet"
        await app.stopping()

    for _ in range(2):
        with asyncio.Runner() as runner:
            runner.run(once())


async def served(app: Any, **options: Any) -> tuple[Limits, list[str]]:
    """The limits and addresses that `serve` uses; it is cancelled then."""
    ready: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, port=0, announce=ready.set_result, **options))
    await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED, timeout=20)
    server = ready.result()
    found = server.service.limits, server.addresses
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return found


async def test_limits_given_to_serve_replace_those_of_the_app() -> None:
    app = App(limits=Limits(max_body=1))
    assert (await served(app))[0].max_body == 1
    assert (await served(app, limits=None))[0].max_body == 1
    assert (await served(app, limits=Limits(max_body=2)))[0].max_body == 2
    assert (await served(answer, limits=Limits(max_body=3)))[0].max_body == 3
    assert (await served(answer, limits=None))[0] == (await served(answer))[0] == Limits()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"port": -1}, "option port"),
        ({"loop": "twisted"}, "option loop"),
        ({"uds": "/nowhere/at/all/socket"}, "/nowhere/at/all/socket"),
        ({"fd": 3, "uds": "x"}, "exclude"),
        ({"certificate": "/nowhere/cert.pem", "port": 0}, "/nowhere/cert.pem"),
    ],
)
def test_a_program_that_cannot_serve_ends_with_one_line(options: Any, problem: str) -> None:
    with pytest.raises(SystemExit) as ended:
        App().run(**options)
    message = str(ended.value.code)
    assert message.startswith("cannot start: ")
    assert problem in message
    assert "\n" not in message


def test_a_database_that_is_not_there_ends_the_program_with_one_line() -> None:
    class Unavailable(Exception):
        http_status = 503

    async def lifespan(app: App) -> AsyncGenerator[None, None]:
        raise Unavailable("no database at db:3306")
        yield

    with pytest.raises(SystemExit, match=r"cannot start: no database at db:3306"):
        App(lifespan).run(port=0)


def test_a_fault_of_the_program_is_shown_whole() -> None:
    async def lifespan(app: App) -> AsyncGenerator[None, None]:
        raise KeyError("x")
        yield

    with pytest.raises(KeyError):
        App(lifespan).run(port=0)


def test_an_option_that_does_not_exist_is_named() -> None:
    with pytest.raises(TypeError, match="prot"):
        App().run(prot=8000)


def test_the_loop_is_uvloops_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import uvloop

    assert loop_factory("asyncio") is None
    assert loop_factory("auto") is loop_factory("uvloop") is uvloop.new_event_loop
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    assert loop_factory("auto") is None
    with pytest.raises(ConfigError, match=r"minihttp-asyncio\[uvloop\]"):
        loop_factory("uvloop")


async def test_in_thread_runs_elsewhere_and_sees_context_variables(tmp_path: Path) -> None:
    name = ContextVar("name", default="nobody")
    name.set("Ada")

    def work(a: int, *, b: int) -> tuple[int, str]:
        if a < 0:
            raise ValueError("negative")
        return threading.get_ident(), f"{name.get()} {a + b}"

    thread, text = await in_thread(work, 1, b=2)
    assert thread != threading.get_ident()
    assert text == "Ada 3"
    with pytest.raises(ValueError, match="negative"):
        await in_thread(work, -1, b=0)
    (tmp_path / "a").write_text("read")
    assert await in_thread((tmp_path / "a").read_text, encoding="utf-8") == "read"


def test_an_app_logs_to_one_logger() -> None:
    assert logging.getLogger("minihttp").handlers == []

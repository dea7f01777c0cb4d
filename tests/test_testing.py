"""The client for tests, its transport, and that its reader of replies forgives nothing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from minihttp import App, Limits, Redirect, Request, Response, Stream
from minihttp.testing import Client, IncompleteReply, InvalidReply, MemoryTransport, Reply, ReplyReader
from minihttp.testing.transport import PIECE

from .server.links import turns

# -- an application ----------------------------------------------------------------------------------------------------


def make_app(events: list[str] | None = None) -> App:
    events = [] if events is None else events

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[dict[str, str]]:
        events.append("start")
        yield {"name": "the state"}
        events.append("stop")

    app = App(lifespan=lifespan, limits=Limits(max_body=10 << 20))

    @app.get("/users/{id:int}")
    async def user(request: Request, id: int) -> dict[str, int]:
        return {"id": id}

    @app.get("/state")
    async def state(request: Request) -> str:
        return str(request.app.state.name)

    @app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    async def echo(request: Request) -> dict[str, object]:
        body = await request.body()
        return {
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "headers": dict(request.headers),
            "body": body.decode("latin-1") if len(body) < 1000 else len(body),
        }

    @app.get("/count")
    async def count(request: Request) -> Response:
        async def numbers() -> AsyncIterator[str]:
            for number in range(3):
                yield f"{number}\n"
                await turns(1)

        return Stream(numbers())

    @app.get("/bug")
    async def bug(request: Request) -> None:
        raise LookupError("a bug")

    return app


async def test_the_example_of_the_documentation() -> None:
    app = make_app()
    async with Client(app) as client:
        reply = await client.get("/users/7")
        assert reply.status == 200
        assert reply.json()["id"] == 7
        assert reply.headers["content-type"] == "application/json"
        assert reply.text == reply.content.decode()
        assert repr(reply) == f"<Reply 200 OK, {len(reply.content)} bytes>"


async def test_the_lifespan_runs_around_the_block() -> None:
    events: list[str] = []
    async with Client(make_app(events)) as client:
        assert events == ["start"]
        assert (await client.get("/state")).text == "the state"
    assert events == ["start", "stop"]
    async with Client(make_app(events), lifespan=False) as client:
        assert (await client.get("/users/1")).status == 200
    assert events == ["start", "stop"]


async def test_a_lifespan_that_fails_leaves_nothing() -> None:
    async def lifespan(app: App) -> AsyncIterator[None]:
        raise LookupError("no database")
        yield

    client = Client(App(lifespan=lifespan))
    with pytest.raises(LookupError):
        async with client:
            pass
    with pytest.raises(RuntimeError, match="only within its block"):
        client.open()


async def test_a_bare_handler_and_limits() -> None:
    async def handler(request: Request) -> Response:
        return Response(await request.body())

    async with Client(handler, Limits(max_body=3)) as client:
        assert (await client.post("/", content="abc")).text == "abc"
        assert (await client.post("/", content="abcd")).status == 413
        with pytest.raises(RuntimeError, match="in use"):
            await client.__aenter__()
    assert Client(make_app()).limits.max_body == 10 << 20


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
async def test_every_method(method: str) -> None:
    async with Client(make_app()) as client:
        reply = await getattr(client, method)("/echo?a=1", headers={"x-a": "b"})
        assert reply.json()["method"] == method.upper()
        assert reply.json()["query"] == {"a": "1"}
        assert reply.json()["headers"]["x-a"] == "b"
        head = await client.head("/echo")
        assert (head.status, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 0


async def pieces(*each: bytes) -> AsyncIterator[bytes]:
    for piece in each:
        yield piece
        await turns(1)


@pytest.mark.parametrize(
    ("options", "kind", "body"),
    [
        ({"json": {"a": [1, "é"]}}, "application/json", json.dumps({"a": [1, "é"]})),
        ({"data": {"a": "1 2", "b": ["x", "y"]}}, "application/x-www-form-urlencoded", "a=1+2&b=x&b=y"),
        ({"data": [("a", "1"), ("a", "2")]}, "application/x-www-form-urlencoded", "a=1&a=2"),
        ({"data": b"\x00"}, None, "\x00"),
        ({"content": b"abc"}, None, "abc"),
        ({"content": b"abc", "headers": {"content-type": "text/x"}}, "text/x", "abc"),
        ({"content": "é"}, None, "é".encode().decode("latin-1")),
        ({"content": pieces(b"ab", b"", b"c")}, None, "abc"),
        ({}, None, ""),
    ],
)
async def test_bodies(options: dict, kind: str | None, body: str) -> None:
    async with Client(make_app()) as client:
        for _ in range(1 if "content" in options and not isinstance(options["content"], bytes | str) else 2):
            seen = (await client.post("/echo", **options)).json()
            assert (seen["headers"].get("content-type"), seen["body"]) == (kind, body)
        assert len(client.service.connections) == 1
        with pytest.raises(TypeError, match="one body"):
            await client.post("/echo", json=1, content=b"2")


async def test_a_large_body_in_chunks_waits_for_its_reader() -> None:
    sent = 0
    go = asyncio.Event()

    async def handler(request: Request) -> Response:
        await go.wait()
        return Response(str(len(await request.body())))

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b"x" * 50_000

    async with Client(handler, Limits(max_body=10 << 20)) as client:
        asking = asyncio.create_task(client.post("/", content=body()))
        await turns(100)
        assert sent < 20
        go.set()
        assert (await asking).text == "5000000"
        assert (await client.get("/")).status == 200


async def test_an_early_answer_ends_the_sending() -> None:
    async def handler(request: Request) -> Response:
        return Response("not interested")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000
            await turns(1)

    async with Client(handler) as client:
        assert (await client.post("/", content=endless())).text == "not interested"
        assert (await client.get("/")).text == "not interested"


async def test_a_body_that_fails_says_so() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise LookupError("the test's own mistake")

    async with Client(make_app()) as client:
        with pytest.raises(LookupError, match="own mistake"):
            await client.post("/echo", content=failing())
        assert (await client.get("/users/1")).status == 200


async def test_paths_are_encoded_and_headers_checked() -> None:
    async with Client(make_app(), headers={"x-all": "1", "x-b": "2"}) as client:
        reply = await client.get("/echo?q=北 京&r=%20", headers=[("x-b", "3"), ("x-b", "4"), ("Host", "example.org")])
        assert reply.json()["query"] == {"q": "北 京", "r": " "}
        seen = reply.json()["headers"]
        assert (seen["x-all"], seen["x-b"], seen["host"]) == ("1", "3, 4", "example.org")
        with pytest.raises(ValueError, match="line break"):
            await client.get("/echo", headers={"x": "1\r\ny: 2"})


async def test_one_connection_is_kept_and_more_are_opened_when_needed() -> None:
    async with Client(make_app()) as client:
        for _ in range(3):
            await client.get("/users/1")
        assert len(client.service.connections) == 1
        replies = await asyncio.gather(*(client.get(f"/users/{number}") for number in range(5)))
        assert [reply.json()["id"] for reply in replies] == [0, 1, 2, 3, 4]
        assert len(client.service.connections) == 5
        await client.get("/users/1", headers={"connection": "close"})
        await turns()
        assert len(client.service.connections) == 4
        for connection in client.service.connections:
            connection.abort()
        assert (await client.get("/users/2")).json() == {"id": 2}


async def test_cookies_are_kept_and_forgotten() -> None:
    async def handler(request: Request) -> Response:
        response = Response(request.headers.get("cookie", ""))
        if request.path == "/in":
            response.set_cookie("session", "abc", secure=True)
            response.set_cookie("theme", "dark")
        elif request.path == "/out":
            response.delete_cookie("session")
        return response

    async with Client(handler, cookies={"first": "1"}) as client:
        assert (await client.get("/in")).text == "first=1"
        assert client.cookies == {"first": "1", "session": "abc", "theme": "dark"}
        assert (await client.get("/out")).text == "first=1; session=abc; theme=dark"
        assert (await client.get("/")).text == "first=1; theme=dark"
        assert (await client.get("/", headers={"cookie": "mine=1"})).text == "mine=1"


@pytest.mark.parametrize(
    ("status", "method", "after"),
    [(303, "POST", "GET"), (301, "POST", "GET"), (302, "PUT", "PUT"), (307, "POST", "POST"), (308, "PUT", "PUT")],
)
async def test_redirects(status: int, method: str, after: str) -> None:
    async def handler(request: Request) -> Response:
        if request.path == "/there":
            return Response(f"{request.method} {request.query_string} {(await request.body()).decode()}")
        return Redirect({"/a/old": "../there?x=1", "/away": "https://example.org/"}.get(request.path, "/loop"), status)

    async with Client(handler) as client:
        reply = await client.request(method, "/a/old", content=b"body")
        assert (reply.status, reply.history) == (status, [])
        reply = await client.request(method, "/a/old", content=b"body", follow_redirects=True)
        assert reply.text == f"{after} x=1 {'body' if after == method else ''}"
        assert [each.status for each in reply.history] == [status]
        assert (await client.request(method, "/away", follow_redirects=True)).status == status
        if after == method:
            with pytest.raises(RuntimeError, match="wants the body again"):
                await client.request(method, "/a/old", content=pieces(b"body"), follow_redirects=True)
    async with Client(handler, follow_redirects=True) as client:
        with pytest.raises(RuntimeError, match="more than 20"):
            await client.request(method, "/loop")


async def test_a_stream_as_it_comes_and_one_that_is_left() -> None:
    async with Client(make_app()) as client:
        async with client.stream("GET", "/count") as reply:
            assert [chunk async for chunk in reply.chunks()] == [b"0\n", b"1\n", b"2\n"]
        await client.get("/users/1")
        assert len(client.service.connections) == 1
        async with client.stream("GET", "/count") as reply:
            assert await anext(reply.chunks()) == b"0\n"
            assert not reply.is_complete
        await turns()
        assert len(client.service.connections) == 0
        async with client.stream("GET", "/users/1") as reply:
            pass
        assert (await client.get("/users/2")).json() == {"id": 2}


async def test_errors_are_answers_or_raised_as_wished(caplog: pytest.LogCaptureFixture) -> None:
    async with Client(make_app()) as client:
        assert (await client.get("/bug")).status == 500
        assert (await client.get("/nowhere")).status == 404
    async with Client(make_app(), raise_errors=True) as client:
        with pytest.raises(LookupError, match="a bug"):
            await client.get("/bug")
        assert (await client.get("/nowhere")).status == 404
        logging.getLogger("minihttp").error("a message alone")
        assert (await client.get("/users/1")).status == 200
    assert logging.getLogger("minihttp").handlers == []


async def test_a_reply_that_does_not_come() -> None:
    async def handler(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    async with Client(handler, timeout=0.05) as client:
        with pytest.raises(TimeoutError, match=r"0\.05 seconds to GET /slow, from .*HANDLER"):
            await client.get("/slow")

    async def impatient(request: Request) -> Response:
        raise LookupError

    async with Client(impatient, timeout=None) as client:
        assert (await client.get("/")).status == 500


async def test_nothing_is_left_behind() -> None:
    begun = asyncio.Event()

    async def handler(request: Request) -> Response:
        begun.set()
        await asyncio.Event().wait()
        return Response()

    before = asyncio.all_tasks()
    async with Client(handler) as client:
        asking = asyncio.create_task(client.post("/", content=pieces(b"a")))
        await begun.wait()
        raw = client.open()
        raw.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await turns()
        service = client.service
    with pytest.raises(IncompleteReply):
        await asking
    await turns()
    assert service.connections == {}
    assert service.deadlines._timer is None
    assert asyncio.all_tasks() == before


# -- connections byte by byte ------------------------------------------------------------------------------------------


async def test_a_raw_connection() -> None:
    async with Client(make_app()) as client:
        connection = client.open()
        connection.send(b"GET /users/1 HTTP/1.1\r\nhost: a\r\n\r\nGET /users/2", b" HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await connection.read_reply()).json() == {"id": 1}
        assert (await connection.read_reply()).json() == {"id": 2}
        assert len(connection.transport.writes) == 2
        connection.send(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\n")
        assert await connection.read_interim() == 100
        connection.send(b"xgarbage\r\n\r\n")
        assert (await connection.read_reply()).json()["body"] == "x"
        assert (await connection.read_all()).startswith(b"HTTP/1.1 400 ")
        assert "MemoryConnection" in repr(connection)
        connection.eof()
        await connection.transport.lost()
        assert "lost" in repr(connection)
        other = client.open()
        other.reset()
        with pytest.raises(IncompleteReply):
            await other.read_reply()


# -- the transport -----------------------------------------------------------------------------------------------------


class Notes(asyncio.Protocol):
    """Writes down what it is told; keeps its side open on EOF if told to."""

    def __init__(self, stays: bool = False) -> None:
        self.notes: list[object] = []
        self.stays = stays

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.notes.append("made")

    def data_received(self, data: bytes) -> None:
        if data == b"bug":
            raise LookupError("a bug")
        self.notes.append(data)

    def eof_received(self) -> bool:
        self.notes.append("eof")
        return self.stays

    def pause_writing(self) -> None:
        self.notes.append("pause")

    def resume_writing(self) -> None:
        self.notes.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.notes.append(type(exc) if exc else "lost")


async def test_bytes_arrive_from_the_loop_and_in_order() -> None:
    protocol = Notes()
    transport = MemoryTransport(protocol, extra={"peername": ("::1", 1)})
    assert transport.get_extra_info("peername") == ("::1", 1)
    assert transport.get_extra_info("sockname") == ("127.0.0.1", 80)
    transport.send(b"a")
    transport.send(b"b")
    transport.send(b"")
    assert (protocol.notes, transport.undelivered) == (["made"], 2)
    await transport.delivered()
    assert protocol.notes == ["made", b"a", b"b"]
    transport.send(b"x" * (PIECE + 1))
    await transport.delivered()
    assert [len(each) for each in protocol.notes[3:]] == [PIECE, 1]
    transport.send(b"last")
    transport.send_eof()
    await transport.lost()
    assert protocol.notes[5:] == [b"last", "eof", "lost"]
    assert await transport.receive() == b""


async def test_a_pause_in_reading_is_kept() -> None:
    protocol = Notes(stays=True)
    transport = MemoryTransport(protocol)
    transport.send(b"a")
    transport.pause_reading()
    transport.pause_reading()
    assert not transport.is_reading()
    transport.send(b"b")
    transport.send_eof()
    await turns()
    assert protocol.notes == ["made"]
    transport.resume_reading()
    await turns()
    assert protocol.notes == ["made", b"a", b"b", "eof"]
    transport.write(b"still")
    assert await transport.receive() == b"still"


async def test_the_writer_is_paused_and_resumed() -> None:
    protocol = Notes()
    transport = MemoryTransport(protocol, window=10, high_water=100)
    assert transport.get_write_buffer_limits() == (25, 100)
    transport.write(b"x" * 110)
    assert (protocol.notes, transport.get_write_buffer_size()) == (["made"], 100)
    transport.write(bytearray(b"y"))
    transport.write(b"z")
    transport.write(b"")
    assert protocol.notes == ["made", "pause"]
    assert transport.writes == [b"x" * 110, b"y", b"z"]
    assert await transport.receive(76) == b"x" * 76
    await turns()
    assert protocol.notes == ["made", "pause"]
    await transport.receive(1)
    assert protocol.notes == ["made", "pause"]  # from the loop, not from within the client's call
    await turns()
    assert protocol.notes == ["made", "pause", "resume"]
    transport.set_write_buffer_limits(7, 3)
    assert transport.get_write_buffer_limits() == (3, 7)


async def test_close_sends_what_was_written_and_nothing_later() -> None:
    protocol = Notes()
    transport = MemoryTransport(protocol, window=0, high_water=1)
    transport.write(b"abc")
    transport.close()
    transport.close()
    transport.write(b"too late")
    transport.send(b"")
    assert (transport.is_closing(), transport.is_over, transport.dropped) == (True, True, 8)
    await turns()
    assert protocol.notes == ["made", "pause"]
    assert await transport.receive() == b"abc"
    assert await transport.receive() == b""
    await transport.lost()
    assert protocol.notes == ["made", "pause", "lost"]
    with pytest.raises(RuntimeError, match="forgotten"):
        transport.get_protocol()


async def test_a_resumption_that_comes_too_late() -> None:
    protocol = Notes()
    transport = MemoryTransport(protocol, window=0, high_water=1)
    transport.write(b"abc")
    await transport.receive()
    transport._lose(None)
    await turns()
    assert protocol.notes == ["made", "pause", "lost"]


async def test_write_eof_closes_one_side() -> None:
    protocol = Notes()
    transport = MemoryTransport(protocol)
    assert transport.can_write_eof()
    transport.write(b"abc")
    transport.write_eof()
    with pytest.raises(RuntimeError, match="after write_eof"):
        transport.write(b"d")
    assert [await transport.receive(2), await transport.receive(), await transport.receive()] == [b"ab", b"c", b""]
    transport.send(b"still heard")
    await transport.delivered()
    assert protocol.notes == ["made", b"still heard"]


async def test_abort_keeps_what_had_left() -> None:
    protocol = Notes()
    transport = MemoryTransport(protocol, window=2, high_water=100)
    transport.write(b"abcdef")
    transport.abort()
    transport.abort()
    await transport.lost()
    transport.abort()
    assert [await transport.receive(), await transport.receive()] == [b"ab", b""]
    assert protocol.notes == ["made", "lost"]
    transport.send_eof()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_connection_closed_over_unread_bytes_is_torn(when: str) -> None:
    protocol = Notes()
    transport = MemoryTransport(protocol)
    transport.write(b"an answer that cannot be read")
    transport.pause_reading()
    if when == "before":
        transport.send(b"unread")
    transport.close()
    await transport.lost()
    if when == "after":
        transport.send(b"unread")
    with pytest.raises(ConnectionResetError):
        await transport.receive()
    with pytest.raises(ConnectionResetError):
        await transport.delivered()


async def test_a_reset_is_noticed_when_the_protocol_reads_or_writes() -> None:
    for act in (MemoryTransport.resume_reading, lambda transport: transport.write(b"x")):
        protocol = Notes()
        transport = MemoryTransport(protocol)
        transport.pause_reading()
        await turns()
        transport.reset()
        transport.send(b"ignored")
        await turns()
        assert protocol.notes == ["made"]
        act(transport)
        await transport.lost()
        assert protocol.notes == ["made", ConnectionResetError]
        with pytest.raises(ConnectionResetError, match="itself"):
            await transport.receive()


async def test_who_waits_is_woken() -> None:
    transport = MemoryTransport(Notes())
    transport.pause_reading()
    transport.send(b"abc")
    waiting = asyncio.create_task(transport.delivered())
    cancelled = asyncio.create_task(transport.lost())
    await turns()
    cancelled.cancel()
    transport.abort()
    with pytest.raises(ConnectionResetError):
        await waiting


async def test_a_protocol_that_fails_is_reported_and_lost() -> None:
    reported: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    protocol = Notes()
    transport = MemoryTransport(protocol)
    transport.send(b"bug")
    with pytest.raises(ConnectionResetError, match="a bug") as caught:
        await transport.receive()
    assert isinstance(caught.value.__cause__, LookupError)
    assert protocol.notes == ["made", LookupError]
    assert [context["protocol"] for context in reported] == [protocol]


async def test_another_protocol_may_take_over() -> None:
    first, second = Notes(), Notes()
    transport = MemoryTransport(first)
    transport.set_protocol(second)
    assert transport.get_protocol() is second
    transport.send(b"a")
    await turns()
    assert (first.notes, second.notes) == (["made"], [b"a"])
    with pytest.raises(TypeError, match=r"asyncio\.Protocol"):
        transport.set_protocol(asyncio.BaseProtocol())


# -- the reader --------------------------------------------------------------------------------------------------------


async def read(data: bytes, method: str = "GET", minor: int = 1, size: int | None = None) -> tuple[Reply, bytes]:
    """The first reply in these bytes, and what is behind it; the bytes come in pieces of `size`."""
    size = size or len(data) or 1
    left = [data[start : start + size] for start in range(0, len(data), size)]

    async def receive() -> bytes:
        return left.pop(0) if left else b""

    reader = ReplyReader(receive)
    reply = await reader.read(method, minor)
    return reply, reader.buffered + b"".join(left)


OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"content-length: 3\r\n\r\nabc"
CHUNKS = OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n"
UNTIL_CLOSE = OK + b"connection: close\r\n\r\nabc"


@pytest.mark.parametrize("size", [None, 1, 2, 7])
@pytest.mark.parametrize("data", [LENGTH, CHUNKS + b"\r\n", CHUNKS + b"x: y\r\n\r\n"])
async def test_a_reply_however_it_comes(data: bytes, size: int | None) -> None:
    reply, rest = await read(data + LENGTH, size=size)
    assert (reply.status, reply.reason, reply.content, reply.closes) == (200, "OK", b"abc", False)
    assert (reply.is_complete, rest) == (True, LENGTH)
    assert dict(reply.trailers) == ({"x": "y"} if b"x: y" in data else {})


@pytest.mark.parametrize("size", [None, 1])
async def test_a_reply_until_the_end(size: int | None) -> None:
    reply, _ = await read(UNTIL_CLOSE, size=size)
    assert (reply.content, reply.closes) == (b"abc", True)
    reply, _ = await read(OK + b"\r\nabc", minor=0, size=size)
    assert (reply.content, reply.closes) == (b"abc", True)


async def test_a_reply_without_a_body() -> None:
    for data, method in [
        (OK + b"content-length: 3\r\n\r\n", "HEAD"),
        (OK + b"transfer-encoding: chunked\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET"),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n", "GET"),
        (b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n", "GET"),
    ]:
        reply, rest = await read(data + LENGTH, method)
        assert (reply.content, reply.is_complete, rest) == (b"", True, LENGTH)


async def test_interim_replies() -> None:
    reply, _ = await read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + LENGTH)
    assert (reply.interim, reply.content) == ([100, 103], b"abc")


async def test_text_in_its_charset() -> None:
    reply, _ = await read(OK + b"content-type: text/plain; charset=latin-1\r\ncontent-length: 1\r\n\r\n\xe9")
    assert reply.text == "é"
    with pytest.raises(ValueError, match="Expecting"):
        reply.content = b"{"
        reply.json()


INVALID = {
    b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n": "status line",
    b"abc": "status line",
    b"\r\n" + LENGTH: "status line",
    b"HTTP/1.1 99 Low\r\ncontent-length: 0\r\n\r\n": "status line",
    b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n": "status line",
    OK + b"content-length : 0\r\n\r\n": "header field",
    OK + b"x: 1\r\n y\r\ncontent-length: 0\r\n\r\n": "header field",
    OK + b"x: 1\ny: 2\r\ncontent-length: 0\r\n\r\n": "header field",
    OK + b"x: \x00\r\ncontent-length: 0\r\n\r\n": "header field",
    OK + b"content-length: 0\r\ncontent-length: 0\r\n\r\n": "content-length more than once",
    OK + b"date: a\r\ndate: a\r\ncontent-length: 0\r\n\r\n": "date more than once",
    OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n": "both",
    OK + b"content-length: +3\r\n\r\nabc": "malformed Content-Length",
    OK + b"transfer-encoding: gzip, chunked\r\n\r\n": "Transfer-Encoding",
    OK + b"\r\nabc": "neither",
    b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n": "in a 204",
    b"HTTP/1.1 100 Continue\r\ncontent-length: 0\r\n\r\n" + LENGTH: "in an interim",
    OK + b"transfer-encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n": "chunk size",
    OK + b"transfer-encoding: chunked\r\n\r\n1;a\r\na\r\n0\r\n\r\n": "chunk size",
    OK + b"transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n": "line end",
    CHUNKS + b"not a trailer\r\n\r\n": "header field",
}


@pytest.mark.parametrize("data", INVALID)
async def test_an_invalid_reply_is_named(data: bytes) -> None:
    with pytest.raises(InvalidReply, match=INVALID[data]) as caught:
        await read(data)
    assert not isinstance(caught.value, IncompleteReply)


async def test_what_an_old_client_must_not_get() -> None:
    with pytest.raises(InvalidReply, match=r"HTTP/1\.0"):
        await read(b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH, minor=0)
    with pytest.raises(InvalidReply, match=r"HTTP/1\.0"):
        await read(CHUNKS + b"\r\n", minor=0)


@pytest.mark.parametrize("data", [LENGTH, CHUNKS + b"x: y\r\n\r\n"])
async def test_a_reply_that_ends_too_early(data: bytes) -> None:
    head = data.index(b"\r\n\r\n") + 4
    for end in range(len(data)):
        with pytest.raises(IncompleteReply) as caught:
            await read(data[:end])
        assert b"abc".startswith(caught.value.content)
        assert caught.value.content == b"" or end > head


async def test_an_interim_reply_alone() -> None:
    left = [b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH]

    async def receive() -> bytes:
        return left.pop()

    reader = ReplyReader(receive)
    assert await reader.interim() == 100
    with pytest.raises(InvalidReply, match="a final response, 200"):
        await reader.interim()

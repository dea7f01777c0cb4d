"""A server on real sockets: listening, TLS, the limit on connections, stopping, signals and restarts."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme

from minihttp import ConfigError, HTTPError, Limits, Options, Request, Response, Server, Stream, in_thread
from minihttp.server.server import TOLD, descriptor_limit
from minihttp.server.service import Handler, Run
from minihttp.testing import IncompleteReply, Reply, ReplyReader

T = TypeVar("T")

PROJECT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds until something that does not come fails the test


async def bounded(work: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE):
        return await work


class Peer:
    """A client over a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.replies = ReplyReader(lambda: bounded(reader.read(1 << 16)))

    def send(self, path: str = "/", method: str = "GET", head: str = "") -> None:
        self.writer.write(f"{method} {path} HTTP/1.1\r\nhost: a\r\n{head}\r\n".encode())

    async def ask(self, path: str = "/", method: str = "GET", head: str = "") -> Reply:
        self.send(path, method, head)
        return await self.replies.read(method)

    async def rest(self) -> bytes:
        """What comes until the server closes the connection."""
        return self.replies.buffered + await bounded(self.reader.read())

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):  # the server was first
            await bounded(self.writer.wait_closed())


async def connect(address: str, context: ssl.SSLContext | None = None) -> Peer:
    """A client of what `server.addresses` or the program's first line names."""
    scheme, _, place = address.partition(":")
    if scheme == "unix":
        return Peer(
            *await bounded(
                asyncio.open_unix_connection(place, ssl=context, server_hostname="localhost" if context else None)
            )
        )
    host, _, port = place.removeprefix("//").rpartition(":")
    return Peer(*await bounded(asyncio.open_connection(host.strip("[]"), int(port), ssl=context)))


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


Serving = Callable[..., Awaitable[Server]]
Dialing = Callable[..., Awaitable[Peer]]


@pytest.fixture
def serving(stack: AsyncExitStack) -> Serving:
    """Starts servers: `await serving(handler, port=0, ...)`; they are stopped at the end."""

    async def start(handler: Handler, trace: Any = None, **options: Any) -> Server:
        if not options.keys() & {"uds", "fd", "port"}:
            options["port"] = 0
        server = Server(handler, Options(**options), trace=trace)
        await server.start()
        stack.push_async_callback(server.stop, 0)
        return server

    return start


@pytest.fixture
def dial(stack: AsyncExitStack) -> Dialing:
    """Makes clients: `await dial(server)`; they are closed at the end."""

    async def open_one(server: Server | str, context: ssl.SSLContext | None = None) -> Peer:
        peer = await connect(server if isinstance(server, str) else server.addresses[0], context)
        stack.push_async_callback(peer.close)
        return peer

    return open_one


async def hello(request: Request) -> Response:
    return Response(f"{request.method} {request.path}")


class Held:
    """A handler that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.release = asyncio.Event()
        self.ended: list[str] = []

    async def __call__(self, request: Request) -> Response:
        self.running.set()
        try:
            await self.release.wait()
            self.ended.append("finished")
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        return Response("finished")


# --- a bare handler ---------------------------------------------------------------------------------------------------


async def test_a_bare_handler_is_served(serving: Serving, dial: Dialing) -> None:
    peer = await dial(await serving(hello))
    assert [(await peer.ask(path)).text for path in ("/a", "/b")] == ["GET /a", "GET /b"]


@pytest.mark.parametrize(
    ("outcome", "status", "logged"),
    [("text", 500, 1), (ZeroDivisionError(), 500, 1), (HTTPError(409, "no"), 409, 0), (None, 500, 1)],
)
async def test_what_leaves_a_bare_handler_is_answered(
    serving: Serving, dial: Dialing, caplog: pytest.LogCaptureFixture, outcome: Any, status: int, logged: int
) -> None:
    async def handler(request: Request) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    reply = await (await dial(await serving(handler))).ask()
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert len(caplog.records) == logged


# --- listening --------------------------------------------------------------------------------------------------------


async def test_port_0_is_any_free_one(serving: Serving, dial: Dialing) -> None:
    servers = [await serving(hello) for _ in range(2)]
    addresses = [each.addresses[0] for each in servers]
    assert len(set(addresses)) == 2
    assert not any(each.endswith(":0") for each in addresses)
    for server in servers:
        assert (await (await dial(server)).ask()).status == 200


@pytest.mark.parametrize(("host", "start"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
async def test_its_address_is_a_url(serving: Serving, dial: Dialing, host: str, start: str) -> None:
    server = await serving(lambda request: answer_client(request), host=host)
    [address] = server.addresses
    assert address.startswith(start)
    peer = await dial(server)
    assert (await peer.ask()).text == str(peer.writer.get_extra_info("sockname")[:2])


async def answer_client(request: Request) -> Response:
    return Response(str(request.client))


async def test_before_the_start_and_after_the_end_it_has_no_address(serving: Serving) -> None:
    server = Server(hello, Options(port=0))
    assert server.addresses == []
    with pytest.raises(RuntimeError, match="not been started"):
        server.stats()
    await server.stop()  # nothing to stop
    await server.start()
    with pytest.raises(RuntimeError, match="already"):
        await server.start()
    await server.stop()
    assert server.addresses == []


async def test_it_may_be_started_again(dial: Dialing) -> None:
    server = Server(hello, Options(port=0))
    for _ in range(2):
        await server.start()
        peer = await dial(server)
        assert (await peer.ask()).status == 200
        await server.stop()
        assert await peer.rest() == b""


async def test_a_unix_socket(serving: Serving, dial: Dialing, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = await serving(answer_client, uds=str(path))
    assert server.addresses == [f"unix:{path}"]
    assert (await (await dial(server)).ask()).text == "None"


async def test_a_socket_file_left_by_a_dead_server_is_no_obstacle(
    serving: Serving, dial: Dialing, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.is_socket()
    assert (await (await dial(await serving(hello, uds=str(path)))).ask()).status == 200


async def test_a_unix_socket_is_not_taken_from_the_server_that_has_it(
    serving: Serving, dial: Dialing, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    first = await serving(hello, uds=path)
    await refused("is in use", uds=path)
    assert (await (await dial(first)).ask()).status == 200


async def test_nor_from_one_that_is_too_busy_to_accept(tmp_path: Path) -> None:
    """Connecting to a Unix socket waits while its queue is full: whoever asks must not wait with it."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(path)
        busy.listen(0)
        first.connect(path)
        await refused("is in use", uds=path)
        busy.accept()[0].close()  # it is still there to be reached


async def refused(problem: str, **options: Any) -> None:
    """Starting must fail in one line that says this, and leave nothing open."""
    server = Server(hello, Options(**options))
    with pytest.raises(ConfigError, match=problem) as caught:
        await server.start()
    assert "\n" not in str(caught.value)
    assert server.addresses == []
    await server.stop()
    del server, caught
    gc.collect()


async def test_a_port_in_use(serving: Serving) -> None:
    server = await serving(hello)
    await refused(r"127.0.0.1:\d+ is in use", port=int(server.addresses[0].rpartition(":")[2]))


@pytest.mark.parametrize("host", ["does-not-exist.invalid", "192.0.2.1", "not a host"])
async def test_an_address_of_another_machine(host: str) -> None:
    await refused(f"cannot listen on {host}:0: this machine has no such address", host=host, port=0)


async def test_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may do everything, so the system is not asked."""

    async def denied(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(asyncio, "start_server", denied)
    await refused("no permission to listen on 127.0.0.1:80", port=80)


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("important")
    await refused("notes", uds=str(path))
    assert path.read_text() == "important"


async def test_a_unix_socket_where_none_can_be(tmp_path: Path) -> None:
    await refused("No such file or directory", uds=str(tmp_path / "no" / "socket"))
    await refused("too long", uds=str(tmp_path / ("x" * 200)))


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_an_inherited_descriptor(serving: Serving, dial: Dialing, tmp_path: Path, kind: str) -> None:
    if kind == "tcp":
        listening = socket.create_server(("127.0.0.1", 0))
    else:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
    server = await serving(answer_client, fd=listening.detach())
    [address] = server.addresses
    assert address.startswith("http://127.0.0.1:" if kind == "tcp" else "unix:/")
    assert (await (await dial(server)).ask()).status == 200


@pytest.mark.parametrize("kind", ["closed", "file", "udp", "connected"])
async def test_a_descriptor_that_cannot_listen(tmp_path: Path, kind: str) -> None:
    pair = socket.socketpair()
    if kind == "file":
        fd = os.open(tmp_path / "file", os.O_CREAT)
    elif kind == "udp":
        fd = socket.socket(type=socket.SOCK_DGRAM).detach()
    else:
        fd = os.dup(pair[0].fileno())
    if kind == "closed":
        os.close(fd)
    await refused(f"descriptor {fd}", fd=fd)
    if kind == "file":
        os.close(fd)
    for each in pair:
        each.close()


# --- TLS --------------------------------------------------------------------------------------------------------------


@dataclass
class Tls:
    certificate: str
    private_key: str
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for pem in issued.cert_chain_pems:
        pem.write_to_path(folder / "cert.pem", append=True)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Tls(str(folder / "cert.pem"), str(folder / "key.pem"), client)


async def answer_scheme(request: Request) -> Response:
    return Response(request.scheme)


async def test_https(serving: Serving, dial: Dialing, tls: Tls) -> None:
    server = await serving(answer_scheme, certificate=tls.certificate, private_key=tls.private_key)
    assert server.addresses[0].startswith("https://127.0.0.1:")
    peer = await dial(server, tls.client)
    assert [(await peer.ask()).text for _ in range(2)] == ["https", "https"]
    assert peer.writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")


async def test_ones_own_context(serving: Serving, dial: Dialing, tls: Tls, tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.private_key)
    server = await serving(answer_scheme, ssl=context, uds=str(tmp_path / "socket"))
    assert (await (await dial(server, tls.client)).ask()).text == "https"


async def test_strangers_on_the_tls_port_do_no_harm_to_others(
    serving: Serving, dial: Dialing, tls: Tls, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(tls_handshake=0.2)
    server = await serving(answer_scheme, certificate=tls.certificate, private_key=tls.private_key, limits=limits)
    address = server.addresses[0]
    stalled, plain, garbage = [await dial(address) for _ in range(3)]
    plain.send()
    garbage.writer.write(bytes(range(256)) * 100)
    for peer in (stalled, plain, garbage):
        assert (await (await dial(server, tls.client)).ask()).text == "https"
        with suppress(ConnectionError):  # so it ended too
            assert not (await peer.rest()).startswith(b"HTTP")
    assert (await (await dial(server, tls.client)).ask()).text == "https"
    assert caplog.records == []


async def test_a_stop_does_not_wait_for_clients_that_ignore_the_end_of_tls(
    serving: Serving, dial: Dialing, tls: Tls
) -> None:
    server = await serving(hello, certificate=tls.certificate, private_key=tls.private_key, grace=PATIENCE)
    peer = await dial(server, tls.client)
    assert (await peer.ask()).status == 200
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport can
    async with asyncio.timeout(PATIENCE - 10):
        await server.stop()
    peer.writer.transport.abort()


@pytest.mark.parametrize("problem", ["missing", "empty", "other key", "no key"])
async def test_a_certificate_that_cannot_be_used(tls: Tls, tmp_path: Path, problem: str) -> None:
    cert, key, place = tls.certificate, tls.private_key, "cert.pem"
    if problem == "missing":
        cert = str(tmp_path / "cert.pem")
    elif problem == "empty":
        cert = str(tmp_path / "cert.pem")
        Path(cert).touch()
    elif problem == "other key":
        key = str(tmp_path / "other.pem")
        trustme.CA().issue_cert("b").private_key_pem.write_to_path(key)
    else:
        key = place = str(tmp_path / "missing.pem")
    await refused(f"cannot use certificate .*{place}", port=0, certificate=cert, private_key=key)


# --- the limit on connections, and what a server tells of itself ------------------------------------------------------


async def test_a_connection_above_the_limit_is_told_so(serving: Serving, dial: Dialing) -> None:
    server = await serving(hello, limits=Limits(connections=1))
    first = await dial(server)
    assert (await first.ask()).status == 200
    # All that it sends has come before it is accepted: a socket closed over it would reset the connection.
    with socket.socket() as second:
        second.setblocking(False)
        host, port = server.addresses[0].removeprefix("http://").split(":")
        await asyncio.get_running_loop().sock_connect(second, (host, int(port)))
        second.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10000\r\n\r\n" + b"x" * 10000)
        reader = ReplyReader(lambda: bounded(asyncio.get_running_loop().sock_recv(second, 1 << 16)))
        reply = await reader.read()
        assert (reply.status, reply.closes, reply.json()["status"]) == (503, True, 503)
        assert int(reply.headers["retry-after"]) > 0
        with pytest.raises(IncompleteReply, match="the connection ended"):
            await reader.read()
    assert (await first.ask()).status == 200
    await first.close()
    await bounded(server.service.emptied())
    assert (await (await dial(server)).ask()).status == 200


async def test_each_of_a_crowd_above_the_limit_is_told_so_and_few_are_kept(serving: Serving, dial: Dialing) -> None:
    server = await serving(hello, limits=Limits(connections=2))
    admitted = [await dial(server) for _ in range(2)]
    for peer in admitted:
        assert (await peer.ask()).status == 200
    crowd = [await dial(server) for _ in range(100)]
    for peer in crowd:
        assert (await peer.rest()).startswith(b"HTTP/1.1 503 ")
    assert server.stats().connections <= 2 + TOLD
    assert (await admitted[0].ask()).status == 200


def test_the_limit_leaves_descriptors_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    for soft, allowed in ((1024, 960), (65536, 65472), (100, 50), (resource.RLIM_INFINITY, 1 << 20)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, soft=soft: (soft, soft))
        assert descriptor_limit() == allowed


async def test_stats_count_what_is_going_on(serving: Serving, dial: Dialing) -> None:
    held = Held()
    server = await serving(held)
    assert server.stats() == type(server.stats())(0, 0, 0)
    peer, idle = await dial(server), await dial(server)
    peer.send()
    await bounded(held.running.wait())
    stats = server.stats()
    assert (stats.running, stats.handled) == (1, 0)
    held.release.set()
    assert (await peer.replies.read()).status == 200
    assert (await idle.ask()).status == 200
    stats = server.stats()
    assert (stats.connections, stats.running, stats.handled) == (2, 0, 2)


async def test_another_thread_may_ask_for_stats_while_clients_come(serving: Serving) -> None:
    server = await serving(hello)
    connections: dict[Any, Any] = server.service.connections

    class Arriving:
        @property
        def is_busy(self) -> bool:
            connections[object()] = None  # the loop's thread has its turn here
            return True

    connections[Arriving()] = None
    assert server.stats().running == 1
    connections.clear()


async def test_a_tracer_runs_each_request_its_own_way(serving: Serving, dial: Dialing) -> None:
    events: list[str] = []

    class Tracer:
        def wrap(self, run: Run) -> Run:
            events.append("wrap")

            async def traced(connection: Any, request: Request) -> None:
                events.append(f"begin {request.path}")
                await run(connection, request)
                events.append(f"end {request.path}")

            return traced

    server = await serving(hello, trace=Tracer())
    peer = await dial(server)
    assert [(await peer.ask(path)).text for path in ("/a", "/b")] == ["GET /a", "GET /b"]
    assert events == ["wrap", "begin /a", "end /a", "begin /b", "end /b"]


# --- stopping ---------------------------------------------------------------------------------------------------------


async def test_a_stop_closes_the_idle_and_lets_the_running_finish(serving: Serving, dial: Dialing) -> None:
    held = Held()
    server = await serving(held, grace=PATIENCE)
    drains: list[str] = []
    server.when_draining += [lambda: drains.append("one"), lambda: drains.append("two")]
    address = server.addresses[0]
    running, idle, fresh = [await dial(server) for _ in range(3)]
    held.release.set()
    assert (await idle.ask()).status == 200
    held.release.clear()
    held.running.clear()
    running.send()
    await bounded(held.running.wait())

    stopping = asyncio.create_task(server.stop())
    assert await idle.rest() == b""
    assert await fresh.rest() == b""
    assert drains == ["one", "two"]
    assert not stopping.done()
    with pytest.raises(ConnectionRefusedError):
        await connect(address)

    held.release.set()
    reply = await running.replies.read()
    assert (reply.text, reply.closes) == ("finished", True)
    assert await running.rest() == b""
    await running.close()
    await bounded(stopping)
    await server.stop()
    assert drains == ["one", "two"]


async def test_pipelined_requests_behind_the_running_one_are_not_begun(serving: Serving, dial: Dialing) -> None:
    held = Held()
    server = await serving(held)
    peer = await dial(server)
    peer.send("/1")
    peer.send("/2")
    await bounded(held.running.wait())
    stopping = asyncio.create_task(server.stop())
    held.release.set()
    assert (await peer.replies.read()).closes
    assert await peer.rest() == b""
    await peer.close()
    await bounded(stopping)
    assert held.ended == ["finished"]


@pytest.mark.parametrize("length", [None, 2])
async def test_a_connection_whose_stream_had_begun_closes_behind_it(
    serving: Serving, dial: Dialing, length: int | None
) -> None:
    """Its head promised to keep the connection open; nobody may wait for its client to use that."""
    going = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        await going.wait()
        yield b"b"

    async def handler(request: Request) -> Response:
        return Stream(pieces(), headers={"content-length": str(length)} if length else None)

    server = await serving(handler, grace=PATIENCE)
    peer, idle = await dial(server), await dial(server)
    peer.send()
    reply = await peer.replies.begin()
    assert not reply.closes
    stopping = asyncio.create_task(server.stop())
    assert await idle.rest() == b""  # so all that were idle have been closed
    going.set()
    assert await reply.read() == b"ab"
    assert await peer.rest() == b""
    await peer.close()
    async with asyncio.timeout(PATIENCE - 10):
        await stopping


async def test_a_request_that_had_come_before_the_stop_is_answered(serving: Serving, dial: Dialing) -> None:
    """It may be in the socket's buffer, unread: closing now would throw it away."""
    server = await serving(hello)
    known, fresh = await dial(server), await dial(server)
    assert (await known.ask()).status == 200
    for peer in (known, fresh):
        os.write(peer.writer.get_extra_info("socket").fileno(), b"GET /late HTTP/1.1\r\nhost: a\r\n\r\n")
    stopping = asyncio.create_task(server.stop())
    for peer in (known, fresh):
        reply = await peer.replies.read()
        assert reply.text == "GET /late"
        assert await peer.rest() == b""
        await peer.close()
    await bounded(stopping)


@pytest.mark.parametrize("turn", range(32))
async def test_what_connects_while_a_server_stops_is_answered_by_it_or_by_the_next(
    serving: Serving, stack: AsyncExitStack, turn: int
) -> None:
    """In whichever turn of the loop it comes; the server is told to stop in the eighth."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[asyncio.Task[None]] = loop.create_future()
    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    client = stack.enter_context(socket.socket())
    server = await serving(hello, fd=os.dup(listening.fileno()))

    def after(turns: int, action: Callable[[], None]) -> None:
        if turns:
            loop.call_soon(after, turns - 1, action)
        else:
            action()

    def ask() -> None:
        client.connect(listening.getsockname())
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        client.setblocking(False)

    after(turn, ask)
    after(8, lambda: stopped.set_result(asyncio.create_task(server.stop())))
    await bounded(await stopped)
    await serving(hello, fd=os.dup(listening.fileno()))
    while client.getblocking():
        await bounded(loop.run_in_executor(None, int))  # it has not asked yet
    answer = b""
    while piece := await bounded(loop.sock_recv(client, 1 << 16)):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200")


async def test_what_outlasts_the_grace_is_cancelled_and_answered_with_503(
    serving: Serving, dial: Dialing, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held()
    server = await serving(held, grace=0.05)
    peer, half = await dial(server), await dial(server)
    half.writer.write(b"GET / HT")
    peer.send()
    await bounded(held.running.wait())
    await bounded(server.stop())
    reply = await peer.replies.read()
    assert (reply.status, reply.closes) == (503, True)
    assert held.ended == ["cancelled"]
    assert b"200" not in await half.rest()
    assert caplog.records == []


async def test_a_handler_that_will_not_be_cancelled_does_not_hold_the_server(
    serving: Serving, dial: Dialing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minihttp.server.server.FAREWELL", 0.05)
    running, release = asyncio.Event(), asyncio.Event()

    async def stubborn(request: Request) -> Response:
        running.set()
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()
        return Response("never sent")

    server = await serving(stubborn)
    peer = await dial(server)
    peer.send()
    await bounded(running.wait())
    await bounded(server.stop(0))
    with pytest.raises((ConnectionError, IncompleteReply)):
        await peer.replies.read()
    release.set()


async def test_a_second_stop_may_shorten_the_first(serving: Serving, dial: Dialing) -> None:
    held = Held()
    server = await serving(held)
    peer = await dial(server)
    peer.send()
    await bounded(held.running.wait())
    first = asyncio.create_task(server.stop(1e6))
    second = asyncio.create_task(server.stop(0))
    await bounded(asyncio.gather(first, second))
    assert (await peer.replies.read()).status == 503
    await server.stop()


async def test_a_stop_that_is_cancelled_cancels_what_runs(serving: Serving, dial: Dialing) -> None:
    held = Held()
    server = await serving(held)
    peer = await dial(server)
    peer.send()
    await bounded(held.running.wait())
    draining = asyncio.Event()
    server.when_draining.append(draining.set)
    stopping = asyncio.create_task(server.stop(1e6))
    await bounded(draining.wait())
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bounded(stopping)
    assert (await peer.replies.read()).status == 503


async def test_nothing_is_left_behind(dial: Dialing) -> None:
    before = asyncio.all_tasks()
    server = Server(hello, Options(port=0))
    await server.start()
    peers = [await dial(server) for _ in range(5)]
    for peer in peers:
        assert (await peer.ask()).status == 200
    await bounded(server.stop())
    for peer in peers:
        await peer.close()
    assert asyncio.all_tasks() == before
    assert server.stats().connections == 0
    del server, peer, peers
    gc.collect()  # an unclosed transport or socket would warn


# --- signals ----------------------------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys
from minihttp import App

async def lifespan(app):
    yield
    print("left", len(asyncio.all_tasks()) - 1, flush=True)

app = App(lifespan)

@app.get("/")
async def held(request):
    print("running", flush=True)
    await app.stopping()
    print("draining", flush=True)
    if "forever" in request.query:
        await asyncio.Event().wait()
    return b"complete" * 500_000

app.run(port=0, loop=sys.argv[1], grace=float(sys.argv[2]))
"""


@asynccontextmanager
async def program(source: str, *arguments: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process with every warning an error; killed at the end, should it still run."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", source, *arguments,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, **options,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await bounded(process.communicate())


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await bounded(process.stdout.readline())).decode().strip()


async def address_of(process: asyncio.subprocess.Process) -> str:
    text = await line(process)
    assert text.startswith("Serving on "), text
    return text.removeprefix("Serving on ").removesuffix(" (Ctrl-C to stop)")


async def end_of(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    """Status, the rest of its output, and its errors."""
    output, errors = await bounded(process.communicate())
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_signal_lets_the_running_request_finish(dial: Dialing, loop: str, number: signal.Signals) -> None:
    async with program(PROGRAM, loop, "30") as process:
        peer = await dial(await address_of(process))
        peer.send()
        assert await line(process) == "running"
        process.send_signal(number)
        reply = await peer.replies.read()
        assert (reply.status, len(reply.content), reply.closes) == (200, 4_000_000, True)
        await peer.close()
        assert await end_of(process) == (0, "draining\nleft 0\n", "")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_second_signal_ends_the_grace(dial: Dialing, loop: str) -> None:
    async with program(PROGRAM, loop, "1000") as process:
        peer = await dial(await address_of(process))
        peer.send("/?forever")
        assert await line(process) == "running"
        process.send_signal(signal.SIGTERM)
        assert await line(process) == "draining"
        process.send_signal(signal.SIGTERM)
        reply = await peer.replies.read()
        assert (reply.status, reply.closes) == (503, True)
        await peer.close()
        assert await end_of(process) == (0, "left 0\n", "")


async def test_the_grace_ends_by_itself(dial: Dialing) -> None:
    async with program(PROGRAM, "asyncio", "0.05") as process:
        peer = await dial(await address_of(process))
        peer.send("/?forever")
        assert await line(process) == "running"
        process.send_signal(signal.SIGINT)
        assert (await peer.replies.read()).status == 503
        await peer.close()
        assert await end_of(process) == (0, "draining\nleft 0\n", "")


async def test_a_signal_is_heard_from_the_moment_the_address_is_told() -> None:
    source = """
import asyncio, os, signal
from minihttp import App, serve
asyncio.run(serve(App(), port=0, announce=lambda server: os.kill(os.getpid(), signal.SIGTERM)))
"""
    async with program(source) as process:
        assert await end_of(process) == (0, "", "")


async def test_idle_clients_and_stalled_handshakes_leave_nothing_behind(dial: Dialing, tls: Tls) -> None:
    source = """
import sys
from minihttp import App
App().run(port=0, loop="asyncio", certificate=sys.argv[1], private_key=sys.argv[2])
"""
    async with program(source, tls.certificate, tls.private_key) as process:
        address = await address_of(process)
        await dial(address)
        peer = await dial(address, tls.client)
        assert (await peer.ask()).status == 404
        process.send_signal(signal.SIGTERM)
        assert await end_of(process) == (0, "", "")


async def test_a_program_on_an_inherited_descriptor(dial: Dialing, tmp_path: Path) -> None:
    source = "import sys; from minihttp import App; App().run(fd=int(sys.argv[1]))"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        fd = listening.fileno()
        async with program(source, str(fd), pass_fds=[fd]) as process:
            assert await address_of(process) == f"http://{host}:{port}"
            assert (await (await dial(f"http://{host}:{port}")).ask()).status == 404
            process.send_signal(signal.SIGTERM)
            assert await end_of(process) == (0, "", "")


# --- restarts ---------------------------------------------------------------------------------------------------------


class Load:
    """Clients that keep asking, and how many answers they got, whole and in part.

    A connection may end without a word before an answer has begun: then its client asks again (RFC 9112 9.3.1).
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.complete = self.partial = 0
        self.over = False

    async def client(self) -> None:
        while not self.over:
            peer = await connect(self.address)
            try:
                await self.use(peer)
            finally:
                await peer.close()

    async def use(self, peer: Peer) -> None:
        """Ask on one connection until it ends."""
        asked = 0
        while not self.over:
            asked += 1
            peer.send("/wait" if asked % 2 else "/")
            try:
                reply = await peer.replies.begin()
            except IncompleteReply:
                self.partial += bool(peer.replies.buffered)
                return
            try:
                await reply.read()
            except IncompleteReply:
                self.partial += 1
                return
            self.complete += 1
            if reply.closes:
                return


async def test_restarts_under_load_answer_all_that_was_begun(caplog: pytest.LogCaptureFixture) -> None:
    restarts, begun, answers = 5, 0, 0
    enough = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            await in_thread(int)
            yield b"x" * 10_000

    async def handler(request: Request) -> Response:
        nonlocal begun, answers
        begun += 1
        answers += 1
        if answers >= 100:
            enough.set()
        return Stream(pieces()) if request.path == "/wait" else Response(b"x" * 20_000)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        load = Load(f"http://{host}:{port}")
        server: Server | None = None
        clients: list[asyncio.Task[None]] = []
        for _ in range(restarts + 1):
            successor = Server(handler, Options(fd=os.dup(listening.fileno()), grace=PATIENCE))
            await successor.start()
            if server is None:
                clients = [asyncio.create_task(load.client()) for _ in range(8)]
            else:
                await bounded(server.stop())
            server, answers = successor, 0
            enough.clear()
            await bounded(enough.wait())
        load.over = True
        await bounded(asyncio.gather(*clients))
        if server is not None:
            await bounded(server.stop())
    assert (load.complete, load.partial) == (begun, 0)
    assert begun >= 100 * (restarts + 1)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

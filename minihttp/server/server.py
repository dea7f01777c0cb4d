"""Listening and stopping: from an address to connections, from a signal to the last answer.

Owns: the listening sockets, TLS, the limit on connections, and the order in which a server ends.
Must not know: applications. What is told of the stop is told to `when_draining`.
Invariant: whatever was accepted and read is answered before the server is gone, unless the grace runs out. What can
go wrong at the start is a ConfigError of one line that says what to do.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ConfigError, ProtocolError
from ..options import Options
from .exchange import encode_refusal, serve_request
from .protocol import HTTPProtocol
from .service import Handler, Service, Tracer

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["Server", "ServerStats"]

RESERVE = 64  # descriptors left for files, databases and logs
TOLD = 16  # connections above the limit that get the time to read so; more are told and closed at once
BURST = 8  # connections that asyncio accepts in one turn of the loop, so before the limit can be looked at
ARRIVAL = 5  # turns of the loop from a connection the system has accepted to the first bytes read from it
FAREWELL = 3.0  # seconds for cancelled handlers to answer and for clients to read it


class ServerStats(NamedTuple):
    """What a server is doing: open connections, handlers running now, requests handled since the start."""

    connections: int
    running: int
    handled: int


class Overloaded(ProtocolError):
    """More connections than the limit allows."""

    retry_after = 1

    def __init__(self) -> None:
        super().__init__("the server has as many connections as it can serve", 503)


class Server:
    """Serves a handler, `async (Request) -> Response`, on an address.

    Example: `server = Server(handler, Options(port=8080)); await server.start(); ...; await server.stop()`.
    `trace` is a recorder that runs each request its own way.
    """

    def __init__(self, handler: Handler, options: Options | None = None, *, trace: Tracer | None = None) -> None:
        self.options = options or Options()
        self.when_draining: list[Callable[[], None]] = []
        self._handler = handler
        self._run = serve_request if trace is None else trace.wrap(serve_request)
        self._service: Service[HTTPProtocol] | None = None
        self._listener: asyncio.Server | None = None
        most = descriptor_limit()
        self._allowed = min(self.options.limits.connections or most, most)

    # -- listening -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to listen. Raises ConfigError where that is impossible: an address in use, a wrong certificate."""
        if self._listener is not None:
            raise RuntimeError("this server has been started already")
        options = self.options
        self._service = Service(self._handler, options.limits, asyncio.get_running_loop(), self._run)
        try:
            self._listener = await listen(self._accept, options)
        except OSError as error:
            raise ConfigError(explain(error, options)) from error

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A new connection: its transport gets our protocol. A plain function, so that asyncio makes no Task of it."""
        service, transport = self.service, writer.transport
        excess = len(service.connections) - self._allowed
        if excess >= TOLD:
            if transport.get_extra_info("sslcontext") is None:
                transport.write(encode_refusal(Overloaded()))
                transport.close()
            else:
                transport.abort()  # TLS closes by an exchange, and that would take its time
            return
        # What the writer keeps for reading, 1.5 kB, is not read any more; its own methods but `close` need it.
        writer._protocol = writer._reader = None  # type: ignore[attr-defined]  # private; under another name, no harm
        protocol = HTTPProtocol(service, writer)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if excess >= 0:
            protocol.refuse(Overloaded())

    @property
    def service(self) -> Service[HTTPProtocol]:
        """What the connections share. Raises RuntimeError before `start`."""
        if self._service is None:
            raise RuntimeError("this server has not been started")
        return self._service

    @property
    def sockets(self) -> Sequence[Any]:
        """What it listens on; none before the start and after the end."""
        return () if self._listener is None else self._listener.sockets

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as URLs (or `unix:/path`): `["http://127.0.0.1:8000"]`."""
        secure = self.options.certificate is not None or self.options.ssl is not None
        return [url(each.getsockname(), "https" if secure else "http") for each in self.sockets]

    def stats(self) -> ServerStats:
        """A snapshot of what it is doing."""
        connections = list(self.service.connections)  # also asked for by another thread, while the loop adds to them
        return ServerStats(len(connections), sum(each.is_busy for each in connections), self.service.handled)

    # -- stopping --------------------------------------------------------------------------------------------------

    async def stop(self, grace: float | None = None) -> None:
        """Stop listening, let running requests finish within `grace` seconds (default: the option), then cancel them.

        Idle connections close at once, the others behind their answer. Cancelled itself, it cancels at once.
        """
        if self._listener is None:
            return
        service = self.service
        service.stopping = True
        for tell in self.when_draining:
            tell()
        try:
            # Not closed yet: asyncio loses the connections that it accepts in the turn in which it closes.
            for listening in self._listener.sockets:
                service.loop.remove_reader(listening)
            await turns(ARRIVAL)
            self._listener.close()
            await turns(ARRIVAL)  # uvloop accepts until it is closed, and tells of it later
            for connection in list(service.connections):
                connection.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.options.grace if grace is None else grace):
                    await service.emptied()
        finally:
            self._listener.close()
            await self._force()
        self._listener = None

    async def _force(self) -> None:
        """The grace is over: cancel what still runs, then close what is still open, and wait a moment for each."""
        try:
            for connection in list(self.service.connections):
                connection.cancel()
            await self._farewell()
        finally:  # also where a second signal ends this
            for connection in list(self.service.connections):
                connection.abort()
        await self._farewell()

    async def _farewell(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self.service.emptied()

    async def run(self, announce: Callable[[Server], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT (Ctrl-C), then stop gracefully; a second signal ends the grace.

        `announce` is called with this server once signals are heard: whoever is told may send one at once.
        """
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        stopping: asyncio.Task[None] | None = None

        def on_signal() -> None:
            if stopping is not None:
                stopping.cancel()
            asked.set()

        signals = (signal.SIGTERM, signal.SIGINT)
        for each in signals:
            loop.add_signal_handler(each, on_signal)
        try:
            if announce is not None:
                announce(self)
            await asked.wait()
            stopping = asyncio.create_task(self.stop())
            await asyncio.wait([stopping])
        finally:
            for each in signals:
                loop.remove_signal_handler(each)


def descriptor_limit() -> int:
    """How many connections fit under the limit on open files, with a reserve for everything else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else max(soft - RESERVE, soft // 2)


async def listen(accept: Callable[..., None], options: Options) -> asyncio.Server:
    """A listener. To asyncio the length of the queue is also how many it accepts in a turn, and how often it logs, in
    that turn, that no descriptor is left; so it is given a short one, and the system the right one.
    """
    listener = await start_listener(accept, options)
    for each in listener.sockets:
        with socket.socket(fileno=os.dup(each.fileno())) as twin:
            twin.listen(options.backlog)
    return listener


async def start_listener(accept: Callable[..., None], options: Options) -> asyncio.Server:
    settings: dict[str, Any] = {"backlog": min(BURST, options.backlog), "ssl": tls_context(options)}
    if settings["ssl"] is not None:
        # The second: how long to wait for a client's word that TLS is over; asyncio's 30 s would hold up every stop.
        settings |= {"ssl_handshake_timeout": options.limits.tls_handshake, "ssl_shutdown_timeout": FAREWELL}
    if options.uds is not None:
        check_socket_path(options.uds)
        return await asyncio.start_unix_server(accept, options.uds, **settings)
    if options.fd is None:
        return await asyncio.start_server(accept, options.host, options.port, **settings)
    sock = socket.socket(fileno=options.fd)
    try:
        sock.listen(options.backlog)  # uvloop would not tell that it cannot
        return await asyncio.start_server(accept, sock=sock, **settings)
    except BaseException:
        sock.close()
        raise


async def turns(count: int) -> None:
    """Let the loop go round: what has come by now is read then."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        turn = asyncio.Event()
        loop.call_soon(turn.set)
        await turn.wait()


def tls_context(options: Options) -> SSLContext | None:
    if options.ssl is not None or options.certificate is None:
        return options.ssl
    import ssl  # 10 ms that only a server with TLS should pay

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.certificate, options.private_key)
    except (OSError, ssl.SSLError) as error:
        key = f" with private_key {options.private_key}" if options.private_key else ""
        raise ConfigError(f"cannot use certificate {options.certificate}{key}: {error.strerror or error}") from error
    return context


def check_socket_path(path: str) -> None:
    """Raise ConfigError if somebody answers there: asyncio would take the path from under a running server."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            pass  # its queue is full: somebody is there, and busy
        except OSError:
            return
    raise ConfigError(f"socket {path} is in use: stop the program that serves it, or choose another path")


def explain(error: OSError, options: Options) -> str:
    """A failed start in one line, with what to do."""
    place = options.uds or (f"descriptor {options.fd}" if options.fd is not None else f"{options.host}:{options.port}")
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use: stop the program that listens there, or choose another place"
    if error.errno == errno.EACCES:
        return f"no permission to listen on {place}: ports below 1024 and foreign folders need more rights"
    # The last: asyncio's own words, from Python 3.13 on.
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL or "not bind on any" in str(error):
        return f"cannot listen on {place}: this machine has no such address"
    return f"cannot listen on {place}: {error.strerror or error}"


def url(name: Any, scheme: str) -> str:
    if isinstance(name, str | bytes):
        return f"unix:{os.fsdecode(name)}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{scheme}://{host}:{name[1]}"

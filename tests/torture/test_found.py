"""What the torture found in the server, each as small as it can be shown."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from minihttp import ClientDisconnected, Limits, Options, Request, Response, Server
from minihttp.app import loop_factory
from minihttp.server.flow import SHARE, Flow
from minihttp.server.server import ARRIVAL, BURST, descriptor_limit, turns

from .process import torture


class Transport(asyncio.Transport):
    """One that takes everything, and closes by itself when told to."""

    closing = False

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing


async def hello(request: Request) -> Response:
    return Response("hello")


async def test_a_stream_that_never_waits_lets_others_have_their_turn() -> None:
    loop = asyncio.get_running_loop()
    flow, turn = Flow(loop, Transport()), asyncio.Event()
    loop.call_soon(turn.set)
    for _ in range(SHARE):
        assert not turn.is_set()
        flow.write(b"x")
        await flow.drain()
    assert turn.is_set()


async def test_after_a_failed_write_a_stream_waits_for_the_loss_of_its_client() -> None:
    transport = Transport()
    flow = Flow(asyncio.get_running_loop(), transport)
    transport.closing = True
    draining = asyncio.create_task(flow.drain())
    await asyncio.wait([draining], timeout=0)
    assert not draining.done()
    flow.lose()
    with pytest.raises(ClientDisconnected):
        await draining


async def test_more_connections_than_descriptors_are_not_promised() -> None:
    server = Server(hello, Options(limits=Limits(connections=1 << 30)))
    assert server._allowed == descriptor_limit()


@pytest.mark.parametrize("length", [3, 500])
async def test_asyncio_accepts_a_few_at_a_time_but_the_queue_is_long(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    lengths: list[int] = []
    listen = socket.socket.listen

    def listened(self: socket.socket, *length: int) -> None:
        lengths.extend(length)
        listen(self, *length)

    monkeypatch.setattr(socket.socket, "listen", listened)
    server = Server(hello, Options(port=0, backlog=length))
    await server.start()
    await server.stop()
    assert lengths[-1] == length
    assert max(lengths[:-1], default=0) <= BURST


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_who_takes_nothing_is_reset_and_the_system_keeps_nothing_for_him(loop: str) -> None:
    async with torture(loop=loop, limits={"write_timeout": 0.1}) as server:
        with socket.create_connection((server.host, server.port)) as one:
            one.sendall(b"GET /download/%d HTTP/1.1\r\nhost: a\r\n\r\n" % (1 << 30))
            await server.until(lambda health: health["handled"] == 1)
            with pytest.raises(ConnectionResetError):
                while one.recv(1 << 20):
                    pass


async def left_behind(turn: int) -> int:
    """How many connections a server has after its stop, if a client came in that turn of it."""
    server = Server(hello, Options(port=0))
    await server.start()
    port = int(server.addresses[0].rpartition(":")[2])
    with socket.socket() as client:
        client.setblocking(False)
        stopping = asyncio.create_task(server.stop())
        await turns(turn)
        client.connect_ex(("127.0.0.1", port))
        await stopping
        await turns(3 * ARRIVAL)
        return server.stats().connections


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_who_comes_while_the_server_stops_is_not_left_behind(loop: str) -> None:
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        assert [runner.run(left_behind(turn)) for turn in range(3 * ARRIVAL)] == [0] * 3 * ARRIVAL

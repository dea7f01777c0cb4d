"""Flow control both ways: alone over memory, then on connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from minihttp.errors import ClientDisconnected
from minihttp.request import Request
from minihttp.response import Response, Stream
from minihttp.server.flow import BATCH, Flow
from minihttp.server.stages import Late
from minihttp.testing import MemoryTransport

from .conftest import Serve
from .links import End, get, ok, turns


class Silent(asyncio.Protocol):
    """Tells its flow, when there is one, of room."""

    flow: Flow | None = None

    def pause_writing(self) -> None:
        if self.flow is not None:
            self.flow.fill()

    def resume_writing(self) -> None:
        if self.flow is not None:
            self.flow.clear()


def made(high_water: int = 1 << 20) -> tuple[Flow, MemoryTransport]:
    protocol = Silent()
    transport = MemoryTransport(protocol, window=0, high_water=high_water)
    protocol.flow = flow = Flow(asyncio.get_running_loop(), transport)
    return flow, transport


async def test_what_is_held_leaves_before_what_is_written() -> None:
    flow, transport = made()
    flow.hold(b"a")
    assert flow.held
    flow.hold(b"b")
    assert transport.writes == []
    flow.write(b"c")
    assert not flow.held
    flow.write(b"d")
    flow.hold(b"e")
    flow.flush()
    flow.flush()
    assert transport.writes == [b"abc", b"d", b"e"]


async def test_not_too_much_is_held() -> None:
    flow, transport = made()
    flow.hold(b"x" * BATCH)
    assert transport.writes == []
    flow.hold(b"y")
    assert [len(each) for each in transport.writes] == [BATCH + 1]
    flow.hold(b"x" * BATCH)
    assert len(transport.writes) == 1


async def test_drain_waits_for_room() -> None:
    flow, transport = made(high_water=10)
    await flow.drain()
    flow.hold(b"x" * 11)
    waiting = [asyncio.create_task(flow.drain()) for _ in range(2)]
    await turns()
    assert flow.is_full
    assert not any(each.done() for each in waiting)
    assert await transport.receive() == b"x" * 11
    await asyncio.gather(*waiting)
    assert not flow.is_full


async def test_drain_raises_when_the_client_is_lost() -> None:
    flow, transport = made(high_water=10)
    flow.write(b"x" * 11)
    waiting, cancelled = asyncio.create_task(flow.drain()), asyncio.create_task(flow.drain())
    await turns()
    cancelled.cancel()
    flow.lose()
    with pytest.raises(ClientDisconnected):
        await waiting
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    with pytest.raises(ClientDisconnected):
        await flow.drain()
    flow.hold(b"a")
    flow.flush()
    flow.write(b"b")
    assert len(transport.writes) == 1


async def test_reading_is_paused_and_resumed_once() -> None:
    flow, transport = made()
    flow.read(True)
    flow.read(False)
    assert not transport.is_reading()
    flow.read(False)
    flow.read(True)
    assert transport.is_reading()
    transport.close()
    flow.read(False)
    flow.read(True)


# -- on connections --------------------------------------------------------------------------------------------------


def pause(end: End) -> None:
    """The client stops taking bytes, as far as its system lets it."""
    if hasattr(end, "writer"):
        end.writer.transport.pause_reading()


def resume(end: End) -> None:
    if hasattr(end, "writer"):
        end.writer.transport.resume_reading()


async def test_a_stream_pauses_while_the_client_does_not_read(serve: Serve) -> None:
    made = 0

    async def numbers() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(1000):
            made += 1
            yield b"x" * 50_000

    async def handler(request: Request) -> Response:
        return Stream(numbers())

    end = await (await serve(handler)).connect(window=4096, high_water=60_000)
    pause(end)
    end.send(get())
    await end.until(lambda: end.protocol._flow.is_full)
    await turns()
    stopped_at = made
    await turns(50)
    assert made == stopped_at < 1000
    resume(end)
    assert len((await end.reply()).content) == 1000 * 50_000


async def test_a_client_that_takes_nothing_is_aborted(serve: Serve) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 50_000
        finally:
            closed.set()

    async def handler(request: Request) -> Response:
        return Stream(endless())

    host = await serve(handler, write_timeout=0.05)
    end = await host.connect(window=4096, high_water=60_000)
    pause(end)
    end.send(get())
    await end.ended()
    await closed.wait()
    await host.service.emptied()


async def test_a_slow_client_is_not_a_stalled_one(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        return Response(b"x" * 10_000_000)

    end = await (await serve(handler)).connect(window=4096, high_water=60_000)
    pause(end)
    end.send(get())
    await end.until(lambda: end.protocol._flow.is_full)
    before = end.transport.get_write_buffer_size()
    resume(end)
    taken = b""
    while end.transport.get_write_buffer_size() >= before:
        taken += await end.receive()
    pause(end)
    end.protocol._expire(Late.WRITE)  # bytes have moved: it may go on
    assert not end.transport.is_closing()
    assert Late.WRITE in end.protocol._alarms.armed
    while True:
        unsent = end.transport.get_write_buffer_size()
        end.protocol._expire(Late.WRITE)
        if end.transport.is_closing():
            break
        await turns(1)
    assert unsent > 0
    await end.ended()


@pytest.mark.parametrize("fields", [["connection: close"], ["connection: close", "content-length: 10"]])
async def test_a_closing_connection_whose_client_takes_nothing_is_aborted(serve: Serve, fields: list[str]) -> None:
    async def handler(request: Request) -> Response:
        return Response(b"x" * 10_000_000)

    host = await serve(handler, write_timeout=0.05)
    end = await host.connect(window=4096, high_water=100_000_000)
    pause(end)
    end.send(get("/", *fields, method="POST"))
    await end.ended()
    await host.service.emptied()


async def test_the_rest_of_a_last_answer_may_take_longer_than_lingering(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        return Response(b"x" * 10_000_000)

    end = await (await serve(handler)).connect(window=4096, high_water=100_000_000)
    pause(end)
    end.send(get("/", "connection: close", method="POST"))
    await end.until(lambda: end.transport.is_closing())
    before = end.transport.get_write_buffer_size()
    resume(end)
    pieces = []
    while end.transport.get_write_buffer_size() >= before:
        pieces.append(await end.receive())
    end.protocol._expire(Late.WRITE)
    while piece := await end.receive():
        pieces.append(piece)
    assert b"".join(pieces).endswith(b"\r\n\r\n" + b"x" * 10_000_000)


async def test_a_client_that_comes_back_is_served_on(serve: Serve) -> None:
    end = await (await serve(ok)).connect(window=4096, high_water=100)
    for _ in range(3):
        end.send(get("/a") * 3)
        for _ in range(3):
            assert (await end.reply()).text == "/a"

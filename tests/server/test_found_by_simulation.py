"""What the simulation found, each as the shortest way to it: lingering, waiting for room, stopping, half-closing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from math import inf

import pytest

from minihttp.options import Options
from minihttp.request import Request
from minihttp.response import Response, Stream
from minihttp.server.connection import LINGER
from minihttp.server.server import Server
from minihttp.server.stages import Late, Stage
from minihttp.testing import MemoryTransport

from .conftest import Serve
from .links import End, get, ok, post, turns

CLOSE = {"connection": "close"}


async def large(request: Request) -> Response:
    return Response(request.raw_path * 100_000)


async def full(serve: Serve, sent: bytes, **limits: object) -> End:
    """A link over memory whose client has sent this, and takes nothing yet."""
    host = await serve(large, **limits)
    end = await host.connect(window=4096, high_water=1000)
    if hasattr(end, "reader"):
        end.writer.transport.pause_reading()
    end.send(sent)
    await end.until(lambda: end.protocol._flow.is_full and end.protocol.stage in (Stage.IDLE, Stage.HEAD))
    return end


async def take(end: End, count: int) -> None:
    """So many answers, whole and in order."""
    if hasattr(end, "reader"):
        end.writer.transport.resume_reading()
    for number in range(1, count + 1):
        assert (await end.reply()).text == f"/{number}" * 100_000


async def test_lingering_reads_though_much_was_read_ahead(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        return Response("last", headers=CLOSE)

    end = await (await serve(handler, pipeline=1024)).connect()
    end.send(get() * 100)
    assert (await end.last()).text == "last"
    assert end.transport.is_reading()
    end.send(get() * 100)
    end.eof()
    await end.ended()
    assert end.protocol.stages[-2:] == [Stage.LINGERING, Stage.CLOSED]


async def test_the_server_lingers_where_it_was_not_the_client_who_meant_to_close(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        return Response("last", headers=CLOSE)

    end = await (await serve(handler)).connect()
    end.send(get())
    end.send(post(b"x" * 1000))  # on its way when the server decides to close
    assert (await end.last()).text == "last"
    assert end.protocol.stage is Stage.LINGERING
    end.eof()
    await end.ended()


async def test_lingering_begins_when_the_client_has_taken_the_answer(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        return Response(b"x" * 300_000, headers=CLOSE)

    end = await (await serve(handler)).connect(window=4096)
    if hasattr(end, "reader"):
        end.writer.transport.pause_reading()
    end.send(get())
    await end.until(lambda: end.protocol.stage is Stage.LINGERING)
    assert end.protocol._alarms.stage_ends == inf
    assert Late.WRITE in end.protocol._alarms.armed
    if hasattr(end, "reader"):
        end.writer.transport.resume_reading()
    assert len((await end.last()).content) == 300_000
    await end.until(lambda: "resume_writing" in end.protocol.calls)
    assert end.protocol._alarms.stage_ends <= end.protocol.service.deadlines.now + LINGER


async def test_requests_that_wait_for_room_are_not_idle(serve: Serve) -> None:
    end = await full(serve, get("/1") + get("/2") + get("/3"))
    end.protocol._expire(Late.STAGE)
    await take(end, 3)


async def test_requests_that_wait_for_room_are_answered_by_a_stopping_server(serve: Serve) -> None:
    end = await full(serve, get("/1") + get("/2"))
    end.protocol.service.stopping = True
    end.protocol.stop()
    await take(end, 2)
    end.eof()
    await end.ended()


async def test_a_head_that_was_completed_while_it_waited_for_room(serve: Serve) -> None:
    end = await full(serve, get("/1") + get("/2")[:10])
    end.send(get("/2")[10:])
    await end.until(lambda: end.protocol._parser.buffered() == len(get("/2")))
    end.protocol._expire(Late.STAGE)
    end.eof()
    await end.until(lambda: "eof_received" in end.protocol.calls)
    await take(end, 2)
    assert await end.everything() == b""


async def test_the_grace_of_a_half_close_does_not_run_without_a_handler(serve: Serve) -> None:
    go = asyncio.Event()

    async def handler(request: Request) -> Response:
        await go.wait()
        return await large(request)

    end = await (await serve(handler, half_close_grace=60)).connect(window=4096, high_water=1000)
    if hasattr(end, "reader"):
        end.writer.transport.pause_reading()
    end.send(get("/1") + get("/2"))
    end.eof()
    await end.until(lambda: "eof_received" in end.protocol.calls)
    go.set()
    await end.until(lambda: end.protocol._flow.is_full and end.protocol.stage is Stage.IDLE)
    assert Late.HALF_CLOSED not in end.protocol._alarms.armed
    await take(end, 2)
    assert await end.everything() == b""


async def test_each_pipelined_handler_behind_a_half_close_has_the_whole_grace(serve: Serve) -> None:
    go = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.raw_path == "/2":
            begun.set()
            await go.wait()
        return Response(request.raw_path)

    begun = asyncio.Event()
    end = await (await serve(handler, half_close_grace=60)).connect()
    end.send(get("/1") + get("/2"))
    end.eof()
    await begun.wait()
    await end.until(lambda: "eof_received" in end.protocol.calls)
    assert Late.HALF_CLOSED in end.protocol._alarms.armed
    go.set()
    assert [(await end.reply()).text for _ in range(2)] == ["/1", "/2"]


async def test_a_stopping_server_closes_behind_a_stream_that_promised_to_stay(serve: Serve) -> None:
    go = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"1"
        await go.wait()
        yield b"2"

    async def handler(request: Request) -> Response:
        return Stream(slowly())

    end = await (await serve(handler)).connect()
    end.send(get())
    reply = await end.replies.begin()
    chunks = reply.chunks()
    assert await anext(chunks) == b"1"
    end.protocol.service.stopping = True
    end.protocol.stop()
    go.set()
    assert [chunk async for chunk in chunks] == [b"2"]
    assert not reply.closes
    assert await end.everything() == b""
    end.eof()
    await end.ended()


async def test_a_stopping_server_closes_behind_a_body_that_it_drains(serve: Serve) -> None:
    end = await (await serve(ok)).connect()
    end.send(post(b"x" * 100)[:-50])
    assert not (await end.reply()).closes
    await end.until(lambda: end.protocol.stage is Stage.DRAINING)
    end.protocol.service.stopping = True
    end.protocol.stop()
    end.send(b"x" * 50)
    await end.until(lambda: end.protocol.stage is Stage.LINGERING)
    assert await end.everything() == b""
    end.eof()
    await end.ended()


async def test_what_came_of_a_body_before_it_was_asked_for_counts_for_its_speed(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        begun.set()
        return Response(await request.body())

    begun = asyncio.Event()
    end = await (await serve(handler, body_rate=10, body_grace=60)).connect()
    end.send(post(b"x" * 1000)[:-100])
    await begun.wait()
    body = end.protocol._body
    assert body is not None
    body._waited = 60 + 89  # seconds; 900 bytes, ten a second, are worth 90
    assert body._patience() == pytest.approx(1)
    end.send(b"x" * 100)
    assert (await end.reply()).text == "x" * 1000


async def test_room_for_answers_is_no_news_of_the_body(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        begun.set()
        return Response(await request.body())

    begun = asyncio.Event()
    end = await (await serve(handler, body_grace=60)).connect()
    end.send(post(b"abc")[:-1])
    await begun.wait()
    await end.until(lambda: end.protocol._body is not None and end.protocol._body.is_wanted)
    assert end.protocol._body is not None
    waiter = end.protocol._body._waiter
    end.protocol.pause_writing()
    end.protocol.resume_writing()
    await turns()
    assert end.protocol._body._waiter is waiter  # and its time runs on
    end.send(b"c")
    assert (await end.reply()).text == "abc"


async def test_a_stop_that_is_cancelled_in_its_farewell_leaves_nothing_open() -> None:
    go, begun = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        begun.set()
        while not go.is_set():
            with suppress(asyncio.CancelledError):
                await go.wait()
        return Response("after all")

    server = Server(handler, Options(port=0))
    await server.start()
    host, port = server.addresses[0].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(get())
    await begun.wait()
    stopping = asyncio.create_task(server.stop(0))
    connection = next(iter(server.service.connections))
    try:
        async with asyncio.timeout(10):
            while not connection._task or not connection._task.cancelling():
                await turns(1)
            stopping.cancel()
            assert await reader.read() == b""
    finally:
        go.set()
        with suppress(asyncio.CancelledError):
            await stopping
        await server.service.emptied()
        writer.close()


async def test_a_smaller_limit_of_the_memory_transport_is_told_at_once() -> None:
    told = []

    class Told(asyncio.Protocol):
        def pause_writing(self) -> None:
            told.append("full")

        def resume_writing(self) -> None:
            told.append("room")

    transport = MemoryTransport(Told(), window=0)
    transport.write(b"ab")
    transport.set_write_buffer_limits(1)
    assert told == ["full"]
    assert await transport.receive() == b"ab"
    await turns(2)
    assert told == ["full", "room"]

"""One connection from its first byte to its last: order, persistence, pipelining, refusals, ends."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextvars import ContextVar

import pytest

from minihttp.errors import HTTPError
from minihttp.request import Request
from minihttp.response import Response, Stream
from minihttp.server.stages import Stage
from minihttp.testing import IncompleteReply
from tests.wire.scenarios import ACCEPTED, REFUSED

from .conftest import Serve
from .links import End, chunked, echo, get, ok, post, turns

Seen = ContextVar("Seen", default="nothing")


async def test_three_requests_on_one_connection_that_nobody_else_holds(serve: Serve) -> None:
    host = await serve(ok)
    end = await host.connect()
    for path in ("/1", "/2", "/3"):
        gc.collect()  # whoever forgets the StreamWriter loses the connection here
        end.send(get(path))
        assert (await end.reply()).text == path
    assert len(host.service.connections) == 1
    assert host.service.handled == 3
    assert end.protocol.stages == [Stage.IDLE, *[Stage.HANDLER, Stage.IDLE] * 3]


async def test_a_head_in_pieces(serve: Serve) -> None:
    end = await (await serve(ok)).connect()
    for byte in get("/slowly"):
        end.send(bytes([byte]))
        await turns(2)
    assert (await end.reply()).text == "/slowly"
    assert end.protocol.stages[:3] == [Stage.IDLE, Stage.HEAD, Stage.HANDLER]


async def test_the_client_asks_to_close(serve: Serve) -> None:
    end = await (await serve(ok)).connect()
    end.send(get("/", "connection: close"))
    assert (await end.last()).status == 200
    await end.ended()


# -- pipelining ----------------------------------------------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        if request.raw_path == "/1":
            await turns(3)
        return Response(await request.body() or request.raw_path)

    end = await (await serve(handler)).connect()
    end.send(get("/1") + post(b"two", "/2") + chunked(b"th", b"ree") + get("/4"))
    assert [(await end.reply()).text for _ in range(4)] == ["/1", "two", "three", "/4"]


async def test_answers_that_need_no_waiting_leave_in_one_write(serve: Serve) -> None:
    end = await (await serve(ok)).connect()
    written: list[bytes] = []
    end.protocol._flow.send = Recorder(end.transport, written).write
    end.send(get("/1") + get("/2") + get("/3"))
    assert [(await end.reply()).text for _ in range(3)] == ["/1", "/2", "/3"]
    assert len(written) == 1


class Recorder:
    """Writes to a transport, written down."""

    def __init__(self, transport: asyncio.Transport, written: list[bytes]) -> None:
        self.transport, self.written = transport, written

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.transport.write(data)


async def test_a_batch_is_bounded(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        return Response(b"x" * 20_000)

    end = await (await serve(handler)).connect(high_water=1 << 20)
    written: list[bytes] = []
    end.protocol._flow.send = Recorder(end.transport, written).write
    end.send(get() * 8)
    for _ in range(8):
        assert len((await end.reply()).content) == 20_000
    assert 2 <= len(written) <= 3


async def test_a_handler_that_waits_does_not_hold_back_the_answers_before_it(serve: Serve) -> None:
    go = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.raw_path == "/waits":
            await go.wait()
        return Response(request.raw_path)

    end = await (await serve(handler)).connect()
    end.send(get("/1") + get("/2") + get("/waits") + get("/4"))
    assert (await end.reply()).text == "/1"
    assert (await end.reply()).text == "/2"
    assert not go.is_set()
    go.set()
    assert (await end.reply()).text == "/waits"
    assert (await end.reply()).text == "/4"


async def test_an_answer_leaves_though_a_part_of_the_next_request_is_there(serve: Serve) -> None:
    end = await (await serve(ok)).connect()
    end.send(get("/1") + b"GET /2 HT")
    assert (await end.reply()).text == "/1"
    await end.until(lambda: end.protocol.stage is Stage.HEAD)
    end.send(b"TP/1.1\r\nhost: a\r\n\r\n")
    assert (await end.reply()).text == "/2"


async def test_pipelining_is_bounded_and_goes_on(serve: Serve) -> None:
    go = asyncio.Event()

    async def handler(request: Request) -> Response:
        await go.wait()
        return Response(request.raw_path)

    host = await serve(handler, pipeline=1024)
    end = await host.connect()
    end.send(get("/first"))
    await end.until(lambda: end.protocol.stage is Stage.HANDLER)
    for number in range(60):
        end.send(get(f"/{number:050}"))
    await end.until(lambda: not end.transport.is_reading())
    go.set()
    assert (await end.reply()).text == "/first"
    for number in range(60):
        assert int((await end.reply()).text[1:]) == number


async def test_a_client_that_takes_no_answers_gets_no_more_handlers(serve: Serve) -> None:
    asked = []

    async def handler(request: Request) -> Response:
        asked.append(request.raw_path)
        return Response(b"x" * 300_000)

    end = await (await serve(handler)).connect(window=4096, high_water=1000)
    if hasattr(end, "reader"):
        end.writer.transport.pause_reading()
    end.send(get() * 50)
    await end.until(lambda: "pause_writing" in end.protocol.calls)
    await turns()
    begun = len(asked)
    await turns(100)
    assert len(asked) == begun < 50
    if hasattr(end, "reader"):
        end.writer.transport.resume_reading()
    for _ in range(50):
        assert len((await end.reply()).content) == 300_000
    assert len(asked) == 50


async def test_a_half_close_behind_pipelined_requests_that_wait_for_room(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        return Response(b"x" * 300_000)

    end = await (await serve(handler)).connect(window=4096, high_water=1000)
    end.send(get() * 20)
    end.eof()
    for _ in range(20):
        assert len((await end.reply()).content) == 300_000
    assert await end.everything() == b""


async def test_context_variables_of_one_request_are_not_seen_by_the_next(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        before = Seen.get()
        Seen.set(request.raw_path)
        if "wait" in request.raw_path:
            await turns(1)
        return Response(before)

    Seen.set("the server's")
    end = await (await serve(handler)).connect()
    for path in ("/1", "/wait"):
        end.send(get(path))
        assert (await end.reply()).text == "the server's"
    end.send(get("/1") + get("/wait") + get("/3") + get("/wait") + get("/5"))
    assert [(await end.reply()).text for _ in range(5)] == ["the server's"] * 5
    assert Seen.get() == "the server's"


# -- refusals ------------------------------------------------------------------------------------------------------

REFUSALS = {
    400: b"GET /<> HTTP/1.1\r\nhost: a\r\n\r\n",
    414: b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    417: get("/", "expect: a-miracle"),
    431: get("/", *[f"x-{n}: 1" for n in range(101)]),
    501: get(method="TRACE"),
    505: b"GET / HTTP/2.0\r\nhost: a\r\n\r\n",
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_what_cannot_be_parsed_is_answered_and_nothing_behind_it(serve: Serve, status: int) -> None:
    asked = []

    async def handler(request: Request) -> Response:
        asked.append(request.raw_path)
        return Response("served")

    end = await (await serve(handler)).connect()
    end.send(REFUSALS[status] + get("/smuggled"))
    reply = await end.reply()
    assert (reply.status, reply.closes) == (status, True)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == status
    end.send(get("/afterwards"))
    assert await end.everything() == b""
    assert asked == []


async def test_a_good_request_before_a_bad_one_is_answered_first(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        await turns(3)
        return Response("good")

    end = await (await serve(handler)).connect()
    end.send(get("/good") + REFUSALS[400] + get("/smuggled"))
    assert (await end.reply()).text == "good"
    assert (await end.last()).status == 400


async def test_the_refusal_can_be_read_though_the_client_keeps_sending(serve: Serve) -> None:
    end = await (await serve(ok)).connect()
    end.send(REFUSALS[400])
    await end.until(lambda: end.protocol.stage is Stage.LINGERING)
    for _ in range(50):
        end.send(b"more of what nobody reads" * 100)
        await turns(1)
    assert (await end.last()).status == 400
    end.eof()
    await end.ended()
    assert end.protocol.stages[-2:] == [Stage.LINGERING, Stage.CLOSED]


async def test_a_head_that_ends_too_early(serve: Serve) -> None:
    end = await (await serve(ok)).connect()
    end.send(b"GET / HTTP/1.1\r\nho")
    end.eof()
    assert (await end.last()).status == 400


@pytest.mark.parametrize("end_of_line", ["", "\r\n"])
async def test_a_client_that_only_connects_gets_nothing(serve: Serve, end_of_line: str) -> None:
    end = await (await serve(ok)).connect()
    end.send(end_of_line.encode())
    end.eof()
    assert await end.everything() == b""
    await end.ended()


@pytest.mark.parametrize("size", [1 << 20, 1], ids=["whole", "byte by byte"])
async def test_every_accepted_stream_of_the_parser_is_served_and_every_refused_one_refused(
    serve: Serve, size: int
) -> None:
    async def handler(request: Request) -> Response:
        await request.body()
        return Response(request.method)

    async def send(end: End, data: bytes) -> None:
        for at in range(0, len(data), size):
            end.send(data[at : at + size])
            await turns(1)

    host = await serve(handler, half_close_grace=60)
    for scenario in ACCEPTED:
        end = await host.connect()
        await send(end, scenario.data)
        end.eof()
        for request in scenario.requests:
            reply = await end.reply(request.method, 1)
            assert reply.status in (200, 413), scenario.name
            if reply.closes:
                break
        assert await end.everything() == b"", scenario.name
    for scenario in REFUSED:
        end = await host.connect()
        await send(end, scenario.data + get("/smuggled"))
        for _ in scenario.requests:
            assert (await end.reply()).status == 200, scenario.name
        reply = await end.reply()
        assert reply.status == scenario.status, scenario.name
        assert reply.closes
        end.eof()
        assert await end.everything() == b"", scenario.name


# -- bodies that nobody reads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_bytes", [post(b"x" * 1000), chunked(b"x" * 1000, trailers=b"a: b\r\n")])
async def test_an_unread_body_is_drained_and_the_next_request_served(serve: Serve, request_bytes: bytes) -> None:
    end = await (await serve(ok)).connect()
    end.send(request_bytes[:-500])
    assert not (await end.reply()).closes
    await end.until(lambda: end.protocol.stage is Stage.DRAINING)
    end.send(request_bytes[-500:] + get("/next"))
    assert (await end.reply()).text == "/next"


async def test_a_long_unread_body_closes_the_connection(serve: Serve) -> None:
    end = await (await serve(ok, unread_body=100)).connect()
    end.send(get("/", "content-length: 1000", method="POST") + b"x")
    assert (await end.reply()).closes
    end.send(b"x" * 999 + get("/smuggled"))
    assert await end.everything() == b""


async def test_a_chunked_body_that_turns_out_long_closes_the_connection(serve: Serve) -> None:
    end = await (await serve(ok, unread_body=100)).connect()
    end.send(get("/", "transfer-encoding: chunked", method="POST"))
    assert (await end.reply()).status == 200
    end.send(b"1001\r\n" + b"x" * 4096)
    await end.until(lambda: end.protocol.stage is Stage.LINGERING)
    end.send(b"x\r\n0\r\n\r\n" + get("/smuggled"))
    assert await end.everything() == b""


async def test_a_broken_body_that_is_drained_is_no_second_answer(serve: Serve) -> None:
    end = await (await serve(ok)).connect()
    end.send(get("/", "transfer-encoding: chunked", method="POST"))
    assert (await end.reply()).status == 200
    end.send(b"not a size\r\n" + get("/smuggled"))
    assert await end.everything() == b""  # an answer here would be taken for that to the client's next request


async def test_an_unread_body_that_ends_too_early(serve: Serve) -> None:
    end = await (await serve(ok)).connect()
    end.send(get("/", "content-length: 10", method="POST") + b"abc")
    assert (await end.reply()).status == 200
    end.eof()
    assert await end.everything() == b""
    await end.ended()


# -- the client leaves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_half_close_is_answered_within_the_grace(serve: Serve, method: str) -> None:
    go = asyncio.Event()

    async def handler(request: Request) -> Response:
        await go.wait()
        return Response("still here")

    end = await (await serve(handler, half_close_grace=60)).connect()
    end.send(get(method=method))
    end.eof()
    await end.until(lambda: "eof_received" in end.protocol.calls)
    go.set()
    reply = await end.last()
    assert reply.text == "still here"
    await end.ended()


async def test_pipelined_requests_before_a_half_close_are_all_answered(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        await turns(2)
        return Response(request.raw_path)

    end = await (await serve(handler, half_close_grace=60)).connect()
    end.send(get("/1") + get("/2") + get("/3"))
    end.eof()
    assert [(await end.reply()).text for _ in range(2)] == ["/1", "/2"]
    assert (await end.last()).text == "/3"


async def test_a_half_close_behind_a_part_of_a_request(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        await turns(5)
        return Response("whole")

    end = await (await serve(handler, half_close_grace=60)).connect()
    end.send(get() + b"GET /part")
    end.eof()
    assert (await end.reply()).text == "whole"
    assert await end.everything() == b""


async def test_a_half_close_while_a_stream_leaves_the_body_unread(serve: Serve) -> None:
    go = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"1"
        await go.wait()
        yield b"2"

    async def handler(request: Request) -> Response:
        assert await anext(request.stream()) == b"abc"
        return Stream(slowly())

    end = await (await serve(handler, half_close_grace=60)).connect()
    end.send(get("/", "content-length: 10", method="POST"))
    await end.until(lambda: end.protocol.stage is Stage.HANDLER)
    await turns()
    end.send(b"abc")
    reply = await end.replies.begin()
    chunks = reply.chunks()
    assert await anext(chunks) == b"1"
    end.eof()
    await end.until(lambda: "eof_received" in end.protocol.calls)
    go.set()
    assert await anext(chunks) == b"2"
    assert [chunk async for chunk in chunks] == []
    assert await end.everything() == b""


async def test_after_the_grace_an_unanswered_request_ends_the_connection(serve: Serve) -> None:
    begun = []

    async def handler(request: Request) -> Response:
        begun.append(request.raw_path)
        if request.raw_path == "/slow":
            await asyncio.Event().wait()
        return Response(request.raw_path)

    end = await (await serve(handler, half_close_grace=0.05)).connect()
    end.send(get("/slow") + get("/behind"))
    end.eof()
    # The answer to /behind would be taken for that to /slow.
    assert await end.everything() == b""
    assert begun == ["/slow"]


async def test_each_pipelined_handler_has_its_own_grace(serve: Serve) -> None:
    cancelled = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.raw_path == "/slow":
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        await turns(3)
        return Response(request.raw_path)

    end = await (await serve(handler, half_close_grace=0.05)).connect()
    end.send(get("/1") + get("/slow"))
    end.eof()
    assert (await end.reply()).text == "/1"
    assert await end.everything() == b""
    assert cancelled.is_set()


# -- errors of ours ------------------------------------------------------------------------------------------------


async def test_an_error_answer_keeps_the_connection(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        raise HTTPError(404, "no such thing")

    end = await (await serve(handler)).connect()
    for _ in range(2):
        end.send(get())
        reply = await end.reply()
        assert (reply.status, reply.closes) == (404, False)


async def test_a_body_beyond_the_limit_is_413_before_it_is_read(serve: Serve) -> None:
    end = await (await serve(echo, max_body=10, unread_body=100)).connect()
    end.send(get("/", "content-length: 1000", "expect: 100-continue", method="POST"))
    reply = await end.last()
    assert (reply.status, reply.interim) == (413, [])


async def test_nothing_is_collectable_garbage_and_a_closed_connection_is_freed_at_once(serve: Serve) -> None:
    async def numbers() -> AsyncIterator[bytes]:
        yield b"1"
        yield b"2"

    async def handler(request: Request) -> Response:
        if request.raw_path == "/stream":
            return Stream(numbers())
        if request.raw_path == "/error":
            raise HTTPError(400, "wrong")
        if request.raw_path == "/wait":
            await turns(1)
        return Response(await request.body())

    host = await serve(handler)
    end = await host.connect()
    requests = [get(), get("/wait"), get("/stream"), get("/error"), post(b"abc"), chunked(b"abc")]

    async def once() -> None:
        for each in requests:
            end.send(each)
            await end.reply()
        end.send(post(b"abc")[:-1])
        await turns(3)
        end.send(b"c")
        await end.reply()

    await once()  # caches fill
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await once()
        await turns()
        gc.collect()
        ours = [
            each for each in gc.garbage if type(each).__module__.startswith("minihttp") or type(each) is asyncio.Task
        ]
        assert ours == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_a_lost_connection_is_not_kept(serve: Serve) -> None:
    host = await serve(ok)
    end = await host.connect()
    end.send(get())
    await end.reply()
    end.reset()
    await end.ended()
    assert host.service.connections == {}
    if host.kind == "memory":
        with pytest.raises(IncompleteReply):
            await end.reply()

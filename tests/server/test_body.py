"""Bodies of requests that come while their handler runs: in pieces, in chunks, on demand, broken, or not at all."""

from __future__ import annotations

import asyncio
import logging

import pytest

from minihttp.errors import ClientDisconnected, ProtocolError
from minihttp.request import Request
from minihttp.response import Response
from minihttp.server.stages import Stage

from .conftest import Serve
from .links import chunked, echo, get, ok, post, turns

BODY = bytes(range(256)) * 40
CONTINUE = "expect: 100-continue"


@pytest.mark.parametrize("request_bytes", [post(BODY), chunked(BODY[:100], BODY[100:5000], BODY[5000:])])
@pytest.mark.parametrize("size", [None, 1000, 37])
async def test_a_body_however_it_comes(serve: Serve, request_bytes: bytes, size: int | None) -> None:
    end = await (await serve(echo)).connect()
    if size is None:
        end.send(request_bytes)
    else:
        for start in range(0, len(request_bytes), size):
            end.send(request_bytes[start : start + size])
            await turns(1)
    assert (await end.reply()).content == BODY
    end.send(get())
    assert (await end.reply()).content == b""


async def test_pieces_are_there_as_they_come_and_can_be_read_again(serve: Serve) -> None:
    seen: list[bytes] = []

    async def handler(request: Request) -> Response:
        async for piece in request.stream():
            seen.append(piece)
            end.protocol.happened.set()
        return Response("read")

    end = await (await serve(handler)).connect()
    end.send(get("/", "content-length: 6", method="POST"))
    for count, piece in enumerate((b"ab", b"cd", b"ef")):
        await end.until(lambda count=count: len(seen) == count and end.protocol.stage is Stage.HANDLER)
        end.send(piece)
    assert (await end.reply()).text == "read"
    assert seen == [b"ab", b"cd", b"ef"]


async def test_trailers(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        assert dict(request.trailers) == {}
        await request.body()
        return Response(request.trailers.get("digest", "none"))

    end = await (await serve(handler)).connect()
    end.send(chunked(b"abc", trailers=b"Digest: xyz\r\n"))
    assert (await end.reply()).text == "xyz"
    end.send(chunked(b"abc"))
    assert (await end.reply()).text == "none"
    end.send(post(b"abc"))
    assert (await end.reply()).text == "none"


async def test_a_handler_that_does_not_read_pauses_the_client(serve: Serve) -> None:
    go, size = asyncio.Event(), 1 << 23

    async def handler(request: Request) -> Response:
        await go.wait()
        return Response(str(len(await request.body())))

    end = await (await serve(handler, max_body=size)).connect()
    end.send(get("/", f"content-length: {size}", method="POST"))
    for _ in range(128):
        end.send(b"x" * (size >> 7))
    await end.until(lambda: not end.transport.is_reading())
    assert end.protocol._parser.buffered() <= 1 << 18
    go.set()
    assert (await end.reply()).text == str(size)


async def test_only_much_of_a_body_that_is_wanted_pauses_the_client(serve: Serve) -> None:
    end = await (await serve(echo, pipeline=1024)).connect()
    end.send(get("/", "content-length: 6000", method="POST"))
    await end.until(lambda: end.protocol.stage is Stage.HANDLER)
    await turns()
    for size, reads in ((2047, True), (2048, False)):
        end.protocol.data_received(b"x" * size)  # as a loop does that has more to read before the handler's turn
        assert end.transport.is_reading() is reads
        await turns()
        assert end.transport.is_reading()
    end.send(b"x" * (6000 - 2047 - 2048))
    assert (await end.reply()).text == "x" * 6000


async def test_a_client_is_not_paused_before_its_body_has_begun(serve: Serve) -> None:
    go = asyncio.Event()

    async def handler(request: Request) -> Response:
        await go.wait()
        return await echo(request)

    end = await (await serve(handler)).connect()
    end.send(get("/", "content-length: 6", method="POST"))
    await end.until(lambda: end.protocol.stage is Stage.HANDLER)
    await turns()
    assert end.transport.is_reading()
    end.send(b"abc")
    await end.until(lambda: not end.transport.is_reading())
    end.send(b"def")
    go.set()
    assert (await end.reply()).text == "abcdef"


# -- Expect: 100-continue (RFC 9110 10.1.1) --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rest", [("content-length: 3", b"abc"), ("transfer-encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n")]
)
async def test_the_body_is_asked_for_when_it_is_wanted(serve: Serve, rest: tuple[str, bytes]) -> None:
    end = await (await serve(echo)).connect()
    end.send(get("/", rest[0], CONTINUE, method="POST"))
    assert await end.interim() == 100
    end.send(rest[1] + get("/"))
    reply = await end.reply()
    assert (reply.text, reply.closes) == ("abc", False)
    assert (await end.reply()).status == 200


async def test_it_is_asked_for_behind_earlier_answers(serve: Serve) -> None:
    end = await (await serve(echo)).connect()
    end.send(post(b"first") + get("/", "content-length: 3", CONTINUE, method="POST"))
    assert (await end.reply()).text == "first"
    assert await end.interim() == 100
    end.send(b"abc")
    assert (await end.reply()).text == "abc"


async def test_an_unwanted_body_is_not_asked_for_and_the_connection_closes(serve: Serve) -> None:
    end = await (await serve(ok)).connect()
    end.send(get("/", "content-length: 3", CONTINUE, method="POST"))
    reply = await end.reply()
    assert (reply.status, reply.interim, reply.closes) == (200, [], True)
    end.send(b"abc" + get("/smuggled"))
    assert await end.everything() == b""


@pytest.mark.parametrize("request_bytes", [post(b"abc", "/", CONTINUE), post(b"abc", "/", CONTINUE, minor=0)])
async def test_a_body_that_is_there_is_not_asked_for(serve: Serve, request_bytes: bytes) -> None:
    end = await (await serve(echo)).connect()
    end.send(request_bytes)
    reply = await end.reply(minor=0 if b"1.0" in request_bytes else 1)
    assert (reply.text, reply.interim) == ("abc", [])


async def test_a_body_that_has_begun_is_not_asked_for_at_once(serve: Serve) -> None:
    begun = asyncio.Event()

    async def handler(request: Request) -> Response:
        stream = request.stream()
        assert await anext(stream) == b"a"
        begun.set()
        return Response("enough")

    end = await (await serve(handler)).connect()
    end.send(get("/", "content-length: 3", CONTINUE, method="POST") + b"a")
    await begun.wait()
    reply = await end.last()
    assert (reply.text, reply.interim) == ("enough", [])


async def test_a_chunk_that_has_begun_is_not_asked_for(serve: Serve) -> None:
    end = await (await serve(echo)).connect()
    end.send(get("/", "transfer-encoding: chunked", CONTINUE, method="POST") + b"3")
    await end.until(lambda: end.protocol.stage is Stage.HANDLER)
    await turns()
    end.send(b"\r\nabc\r\n0\r\n\r\n")
    reply = await end.reply()
    assert (reply.text, reply.interim) == ("abc", [])


async def test_an_old_client_is_never_told_to_continue(serve: Serve) -> None:
    end = await (await serve(echo)).connect()
    end.send(get("/", "content-length: 3", CONTINUE, method="POST", minor=0))
    await end.until(lambda: end.protocol.stage is Stage.HANDLER)
    end.send(b"abc")
    reply = await end.last(minor=0)
    assert (reply.text, reply.interim) == ("abc", [])


async def test_no_body_is_not_asked_for(serve: Serve) -> None:
    end = await (await serve(echo)).connect()
    end.send(get("/", CONTINUE) + post(b"", "/", CONTINUE))
    for _ in range(2):
        reply = await end.reply()
        assert (reply.status, reply.interim, reply.closes) == (200, [], False)


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("swallow", [False, True])
async def test_wrong_chunks_are_400_and_the_end(serve: Serve, swallow: bool) -> None:
    async def handler(request: Request) -> Response:
        try:
            await request.body()
        except ProtocolError:
            with pytest.raises((ProtocolError, RuntimeError)):
                await request.body()
            if not swallow:
                raise
        return Response("swallowed")

    end = await (await serve(handler)).connect()
    end.send(get("/", "transfer-encoding: chunked", method="POST") + b"3\r\nabc\r\n", b"zz\r\n" + get("/smuggled"))
    assert (await end.last()).status == (200 if swallow else 400)


async def test_what_came_before_an_error_can_be_read(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        stream = request.stream()
        first = await anext(stream)
        await turns(5)
        with pytest.raises(ProtocolError):
            await anext(stream)
        return Response(first)

    end = await (await serve(handler)).connect()
    end.send(get("/", "transfer-encoding: chunked", method="POST") + b"3\r\nabc\r\n")
    await end.until(lambda: end.protocol.stage is Stage.HANDLER)
    end.send(b"zz\r\n")
    assert (await end.last()).text == "abc"


@pytest.mark.parametrize("how", ["eof", "reset"])
async def test_a_client_that_leaves_in_the_middle_wakes_the_handler(serve: Serve, how: str) -> None:
    raised: list[BaseException] = []

    async def handler(request: Request) -> Response:
        try:
            await request.body()
        except ClientDisconnected as error:
            raised.append(error)
            raise
        return Response("whole")

    host = await serve(handler)
    end = await host.connect()
    end.send(get("/", "content-length: 10", method="POST") + b"abc")
    await end.until(lambda: end.protocol.stage is Stage.HANDLER)
    await turns()
    getattr(end, how)()
    await end.until(lambda: "finish" in end.protocol.calls)
    assert len(raised) == 1
    if how == "eof":
        assert (await end.last()).status == 400
    await host.service.emptied()


async def test_a_body_cut_off_is_the_clients_fault_and_not_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    end = await (await serve(echo)).connect()
    end.send(get("/", "content-length: 10", method="POST") + b"abc")
    end.eof()
    assert (await end.last()).status == 400
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_a_handler_that_begins_after_the_end_of_a_short_body(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        if request.raw_path == "/first":
            await end.until(lambda: "eof_received" in end.protocol.calls)
        return Response(await request.body())

    end = await (await serve(handler, half_close_grace=60)).connect()
    end.send(get("/first") + get("/", "content-length: 10", method="POST") + b"abc")
    end.eof()
    assert (await end.reply()).status == 200
    assert (await end.last()).status == 400


async def test_two_tasks_cannot_read_one_body(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        channel = request._channel
        assert channel is not None
        first = asyncio.create_task(channel.read())
        await turns(2)
        with pytest.raises(RuntimeError, match="two tasks"):
            await channel.read()
        end.send(b"abc")
        return Response(await first)

    end = await (await serve(handler)).connect()
    end.send(get("/", "content-length: 3", method="POST"))
    assert (await end.reply()).text == "abc"


async def test_after_the_answer_the_body_belongs_to_others(serve: Serve) -> None:
    readers: list[asyncio.Task[bytes]] = []

    async def handler(request: Request) -> Response:
        readers.append(asyncio.create_task(request.body()))
        await turns(2)
        return Response("not waiting for it")

    end = await (await serve(handler)).connect()
    end.send(get("/", "content-length: 3", method="POST"))
    assert (await end.reply()).status == 200
    with pytest.raises(RuntimeError, match="the request is over"):
        await readers[0]
    end.send(b"abc" + get("/next"))
    assert (await end.reply()).status == 200


async def test_a_body_beyond_its_limit_is_413(serve: Serve) -> None:
    end = await (await serve(echo, max_body=100)).connect()
    end.send(post(b"x" * 101))
    assert (await end.reply()).status == 413
    end.send(chunked(b"x" * 60, b"x" * 60))
    assert (await end.reply()).status == 413
    end.send(post(b"x" * 100))
    assert len((await end.reply()).content) == 100

"""One request and its answer: exceptions, timeouts, and that there is never more than one answer."""

from __future__ import annotations

import asyncio
import logging

import pytest

from minihttp.errors import ClientDisconnected, FieldError, HTTPError, ProtocolError
from minihttp.request import Request
from minihttp.response import Response, Stream
from minihttp.server.exchange import encode_refusal
from minihttp.testing import IncompleteReply, ReplyReader

from .conftest import Serve
from .links import get, post, turns


class Busy(Exception):
    http_status = 503
    retry_after = 2.4
    detail = "the pool is exhausted"


class Odd(Exception):
    http_status = 99
    retry_after = "soon"


ANSWERS: dict[str, tuple[Exception, int, str | None]] = {
    "said by the handler": (HTTPError(409, "this name is taken"), 409, "this name is taken"),
    "a missing parameter": (FieldError("query parameter", "id", "is missing"), 400, None),
    "of another package": (Busy("secret"), 503, "the pool is exhausted"),
    "of the protocol": (ProtocolError("too slow", 408, "RFC"), 408, "too slow"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_exception_with_a_status_is_an_answer(
    serve: Serve, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    error, status, detail = ANSWERS[name]

    async def handler(request: Request) -> Response:
        raise error

    end = await (await serve(handler)).connect()
    end.send(get() * 2)
    for _ in range(2):
        reply = await end.reply()
        assert reply.status == status
        assert reply.headers["content-type"] == "application/problem+json"
        if detail:
            assert reply.json()["detail"] == detail
        assert "secret" not in reply.text
    assert caplog.records == []


async def test_retry_after(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        raise Busy

    end = await (await serve(handler)).connect()
    end.send(get())
    assert (await end.reply()).headers["retry-after"] == "3"


async def forgets(request: Request) -> object:
    return None


async def fails(request: Request) -> Response:
    raise LookupError("secret")


async def cancels(request: Request) -> Response:
    raise asyncio.CancelledError


async def unfit(request: Request) -> Response:
    raise HTTPError(400, "no", headers={"x-a": "1\r\nset-cookie: evil=1"})


async def odd(request: Request) -> Response:
    raise Odd


def no_coroutine(request: Request) -> Response:
    return Response("forgot async")


@pytest.mark.parametrize("handler", [forgets, fails, cancels, unfit, odd, no_coroutine])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_any_other_failure_is_500_logged_and_the_connection_goes_on(
    serve: Serve, handler: object, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    end = await (await serve(handler)).connect()
    for _ in range(2):
        end.send(get(method=method))
        reply = await end.reply()
        assert (reply.status, reply.closes) == (500, False)
        assert "secret" not in reply.text
        assert "set-cookie" not in reply.headers
    assert {each.levelno for each in caplog.records} == {logging.ERROR}
    assert len(caplog.records) == 2


async def test_a_handler_that_takes_too_long_is_503(serve: Serve) -> None:
    cancelled = asyncio.Event()

    async def handler(request: Request) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Response()

    end = await (await serve(handler, handler_timeout=0.05)).connect()
    for request in (get(), post(b"abc")):
        cancelled.clear()
        end.send(request)
        reply = await end.reply()
        assert (reply.status, reply.closes) == (503, False)
        assert cancelled.is_set()


async def test_a_request_has_its_own_timeout(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        if request.raw_path == "/patient":
            request.timeout = None
            await end.until(lambda: asyncio.get_running_loop().time() > begun + 0.2)
            return Response("in peace")
        if request.raw_path == "/late":
            request.timeout = 0.05
            await asyncio.Event().wait()
        return Response("at once")

    end = await (await serve(handler, handler_timeout=0.1)).connect()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    loop.call_later(0.25, lambda: end.protocol.happened.set())
    end.send(get("/patient"))
    assert (await end.reply()).text == "in peace"
    end.send(get("/late"))
    assert (await end.reply()).status == 503
    end.send(get("/"))
    assert (await end.reply()).text == "at once"


async def test_a_stream_that_takes_too_long_is_cut(serve: Serve) -> None:
    async def slowly() -> object:
        yield b"x"
        await asyncio.Event().wait()

    async def handler(request: Request) -> Response:
        return Stream(slowly())  # type: ignore[arg-type]  # an async generator

    end = await (await serve(handler, handler_timeout=0.05)).connect()
    end.send(get())
    with pytest.raises(IncompleteReply) as caught:
        await end.reply()
    assert caught.value.content == b"x"


async def test_a_handler_that_answers_its_cancellation(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Response("partly", 203)
        return Response()

    end = await (await serve(handler, handler_timeout=0.05)).connect()
    for _ in range(2):
        end.send(get())
        assert (await end.reply()).status == 203


async def test_a_stopping_server_says_so(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    host = await serve(handler)
    end = await host.connect()
    end.send(get() + get("/never"))
    await end.until(lambda: end.protocol._task is not None)
    await turns()
    host.service.stopping = True
    end.protocol.cancel()
    assert (await end.last()).status == 503


async def test_what_fails_after_the_client_left_is_logged_unless_that_is_why(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Response:
        begun.set()
        await request.disconnected()
        if request.raw_path == "/bug":
            raise LookupError("a bug")
        raise ClientDisconnected

    begun = asyncio.Event()
    host = await serve(handler)
    for path in ("/bug", "/gone"):
        end = await host.connect()
        begun.clear()
        end.send(get(path, method="POST"))
        await begun.wait()
        end.reset()
        await host.service.emptied()
    assert [each.getMessage() for each in caplog.records] == ["POST /bug failed"]


async def test_a_refusal_is_a_whole_answer() -> None:
    data = [encode_refusal(ProtocolError("missing Host", 400, "RFC 9112 3.2"))]

    async def receive() -> bytes:
        return data.pop() if data else b""

    reply = await ReplyReader(receive).read()
    assert (reply.status, reply.closes, reply.json()["detail"]) == (400, True, "missing Host")

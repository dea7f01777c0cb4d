"""Responses on the wire: one framing each, and what happens when a handler contradicts itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minihttp.request import Request
from minihttp.response import File, Response, Stream
from minihttp.server.stages import Stage
from minihttp.testing import IncompleteReply

from .conftest import Serve
from .links import End, get, turns


async def pieces(*each: bytes | str) -> AsyncIterator[bytes | str]:
    for piece in each:
        yield piece
        await turns(1)


async def asked(serve: Serve, make: object, request: bytes = get(), method: str = "GET", minor: int = 1) -> End:
    """A link to a handler that returns what `make()` makes, with the request sent."""

    async def handler(request: Request) -> Response:
        return make()  # type: ignore[operator]  # a function without parameters

    end = await (await serve(handler)).connect()
    end.send(request)
    return end


# -- bodies that are none --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda: Response("12345"), lambda: Stream(pieces("12345"), headers={"content-length": "5"})]
)
async def test_head_is_answered_as_get_without_the_body(serve: Serve, make: object) -> None:
    end = await asked(serve, make, get(method="HEAD") + get())
    head, full = await end.reply("HEAD"), await end.reply()
    assert head.headers["content-length"] == "5" == full.headers["content-length"]
    assert (head.content, full.content) == (b"", b"12345")


async def test_head_of_a_stream_does_not_begin_it(serve: Serve) -> None:
    begun = []

    async def stream() -> AsyncIterator[bytes]:
        begun.append(True)
        yield b"x"

    end = await asked(serve, lambda: Stream(stream()), get(method="HEAD") + get())
    assert (await end.reply("HEAD")).headers["transfer-encoding"] == "chunked"
    assert (await end.reply()).text == "x"
    assert begun == [True]


async def test_a_head_handler_may_state_the_length_of_what_get_would_send(serve: Serve) -> None:
    end = await asked(
        serve, lambda: Response(headers={"content-length": "1234"}), get(method="HEAD") + get(method="HEAD")
    )
    assert (await end.reply("HEAD")).headers["content-length"] == "1234"
    assert (await end.reply("HEAD")).headers["content-length"] == "1234"


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("body", [b"", b"not sent"])
async def test_no_content_has_no_body(serve: Serve, status: int, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    end = await asked(serve, lambda: Response(body, status), get() * 2)
    for _ in range(2):
        reply = await end.reply()
        assert (reply.status, reply.closes) == (status, False)
        assert "content-length" not in reply.headers
    assert bool(caplog.records) is bool(body)


async def test_no_content_cannot_be_streamed(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    end = await asked(serve, lambda: Stream(pieces("x"), 204))
    assert (await end.reply()).status == 500
    assert "no body to stream" in caplog.text


# -- framings --------------------------------------------------------------------------------------------------------


async def test_a_stream_is_chunked(serve: Serve) -> None:
    end = await asked(serve, lambda: Stream(pieces("a", b"", "é", b"b" * 100_000)), get() * 2)
    for _ in range(2):
        reply = await end.reply()
        assert reply.headers["transfer-encoding"] == "chunked"
        assert reply.content == b"a" + "é".encode() + b"b" * 100_000


async def test_an_empty_stream(serve: Serve) -> None:
    end = await asked(serve, lambda: Stream(pieces()), get() * 2)
    assert [(await end.reply()).content for _ in range(2)] == [b"", b""]


async def test_chunks_leave_as_they_are_made(serve: Serve) -> None:
    go = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"first"
        await go.wait()
        yield b"second"

    # The next request waits already, so answers would be held.
    end = await asked(serve, lambda: Stream(slowly()), get() + get())
    reply = await end.replies.begin()
    chunks = reply.chunks()
    assert await anext(chunks) == b"first"
    go.set()
    assert await anext(chunks) == b"second"


async def test_a_stream_that_states_its_length(serve: Serve) -> None:
    end = await asked(serve, lambda: Stream(pieces("abc", "de"), headers={"content-length": "5"}), get() * 2)
    for _ in range(2):
        reply = await end.reply()
        assert (reply.text, reply.headers["content-length"]) == ("abcde", "5")
        assert "transfer-encoding" not in reply.headers


async def test_an_old_client_learns_the_end_from_the_end(serve: Serve) -> None:
    end = await asked(serve, lambda: Stream(pieces("abc", "de")), get("/", "connection: keep-alive", minor=0))
    reply = await end.last(minor=0)
    assert reply.text == "abcde"
    assert "content-length" not in reply.headers
    await end.ended()


async def test_an_old_client_may_keep_the_connection(serve: Serve) -> None:
    end = await asked(serve, lambda: Response("kept"), get("/", "connection: keep-alive", minor=0))
    reply = await end.reply(minor=0)
    assert (reply.headers["connection"], reply.closes) == ("keep-alive", False)
    end.send(get(minor=0))
    assert (await end.last(minor=0)).text == "kept"


async def test_a_handler_may_ask_to_close(serve: Serve) -> None:
    end = await asked(serve, lambda: Response("bye", headers={"connection": "close"}), get() + get("/smuggled"))
    assert (await end.last()).text == "bye"


@pytest.mark.parametrize(
    "headers",
    [{"transfer-encoding": "chunked"}, {"connection": "upgrade"}, {"keep-alive": "timeout=5"}, {"upgrade": "x"}],
)
async def test_the_framing_is_not_the_handlers(serve: Serve, headers: dict[str, str]) -> None:
    end = await asked(serve, lambda: Response("body", headers={**headers, "x-mine": "1"}), get() * 2)
    for _ in range(2):
        reply = await end.reply()
        assert (reply.text, reply.headers["x-mine"]) == ("body", "1")
        assert not set(headers) & set(reply.headers)


async def test_a_wrong_length_is_corrected_and_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    end = await asked(serve, lambda: Response("body", headers={"content-length": "400"}), get() * 2)
    assert [(await end.reply()).text for _ in range(2)] == ["body", "body"]
    assert "states content-length 400" in caplog.text


# -- what cannot be sent ---------------------------------------------------------------------------------------------


def late(status: object = 200, content_type: object = None) -> Response:
    response = Response("x")
    response.status, response.only_type = status, content_type  # type: ignore[assignment]  # wrong on purpose
    return response


UNSENDABLE = {
    "status 99": lambda: Response("x", 99),
    "status 150": lambda: Response("x", 150),
    "status 1000": lambda: Response("x", 1000),
    "status 150, streamed": lambda: Stream(pieces("x"), 150),
    "status 99, streamed": lambda: Stream(pieces("x"), 99),
    "no number": lambda: late("200"),
    "CRLF in a header": lambda: Response("x", headers={"x-a": "1\r\nset-cookie: evil=1"}),
    "CRLF in a header's name": lambda: Response("x", headers={"x-a: 1\r\nset-cookie": "evil=1"}),
    "CRLF in the content type": lambda: Response("x", content_type="text/plain\r\nset-cookie: evil=1"),
    "CRLF in the content type, set later": lambda: late(content_type="a\r\nset-cookie: evil=1"),
    "CRLF in a stream's content type": lambda: Stream(pieces("x"), content_type="a\r\nset-cookie: evil=1"),
    "length is no number": lambda: Stream(pieces("x"), headers={"content-length": "many"}),
    "length in other digits": lambda: Stream(pieces("x"), headers={"content-length": "\xb2"}),
    "stream fails at once": lambda: Stream(failing(0)),
    "no bytes": lambda: Stream(pieces(7)),  # type: ignore[arg-type]  # wrong on purpose
}


async def failing(after: int) -> AsyncIterator[bytes]:
    for _ in range(after):
        yield b"x" * 10
    raise LookupError("the stream has failed")


@pytest.mark.parametrize("name", UNSENDABLE)
async def test_what_cannot_be_sent_is_500_and_the_next_answer_intact(
    serve: Serve, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    async def handler(request: Request) -> Response:
        calls.append(request)
        return UNSENDABLE[name]() if len(calls) == 1 else Response("intact")

    end = await (await serve(handler)).connect()
    end.send(get() * 2)
    reply = await end.reply()
    assert (reply.status, reply.closes) == (500, False)
    assert "set-cookie" not in reply.headers
    assert (await end.reply()).text == "intact"
    assert [each.levelno for each in caplog.records] == [logging.ERROR]


CUT = {
    "fails": lambda: Stream(failing(2)),
    "fails, of known length": lambda: Stream(failing(2), headers={"content-length": "30"}),
    "too short": lambda: Stream(pieces("abc"), headers={"content-length": "5"}),
    "too long": lambda: Stream(pieces("abc", "def"), headers={"content-length": "5"}),
}


@pytest.mark.parametrize("name", CUT)
async def test_a_stream_that_fails_later_ends_the_connection(
    serve: Serve, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    end = await asked(serve, CUT[name], get() + get("/smuggled"))
    with pytest.raises(IncompleteReply) as caught:
        await end.reply()
    assert caught.value.content in (b"", b"abc", b"x" * 20)
    assert len(caplog.records) == 1
    await end.ended()


async def test_a_stream_is_closed_when_its_client_leaves(serve: Serve) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await turns(1)
        finally:
            before.extend(end.protocol.calls)
            closed.set()

    before: list[str] = []
    end = await asked(serve, lambda: Stream(endless()), get(method="POST"))
    await end.receive()
    end.reset()
    await closed.wait()
    assert "finish" not in before  # by the request itself, and not by the collector, some time


async def test_an_iterable_that_is_no_generator(serve: Serve) -> None:
    class Numbers:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> Numbers:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return b"%d" % self.left

    end = await asked(serve, lambda: Stream(Numbers()))
    assert (await end.reply()).text == "210"


class Strange(Response):
    def __init__(self) -> None:
        super().__init__()
        self.at_hand = False


async def test_a_response_of_an_unknown_kind(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    end = await asked(serve, Strange)
    assert (await end.reply()).status == 500
    assert "neither a Stream nor a File" in caplog.text


# -- files -----------------------------------------------------------------------------------------------------------


async def test_a_file(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"<p>" * 300_000)
    end = await asked(serve, lambda: File(path), get() + get(method="HEAD") + get())
    first, head, second = await end.reply(), await end.reply("HEAD"), await end.reply()
    assert first.content == second.content == b"<p>" * 300_000
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert head.headers["content-length"] == first.headers["content-length"] == "900000"


async def test_an_empty_file(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    end = await asked(serve, lambda: File(path), get() * 2)
    assert [(await end.reply()).content for _ in range(2)] == [b"", b""]


async def test_a_missing_file_is_404(serve: Serve, tmp_path: Path) -> None:
    end = await asked(serve, lambda: File(tmp_path / "missing"), get() * 2)
    assert [(await end.reply()).status for _ in range(2)] == [404, 404]


async def test_a_file_of_which_the_client_takes_only_a_part(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 10_000_000)
    host = await serve(lambda request: asyncio.sleep(0, File(path)))
    end = await host.connect(window=4096, high_water=1000)
    end.send(get())
    await end.receive()
    end.reset()
    await host.service.emptied()
    assert end.protocol.stage is Stage.CLOSED

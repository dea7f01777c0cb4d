"""The life of a connection: who it is with, when it is over, and who learns of that."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from minihttp.request import Request
from minihttp.response import Response, Stream
from minihttp.server.connection import Connection
from minihttp.server.stages import TRANSITIONS, Late, Stage
from minihttp.testing import MemoryTransport

from .conftest import Serve
from .links import Watched, get, ok, post, turns


async def test_who_the_client_is(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        assert request.client is not None
        return Response(f"{request.scheme}://{request.client[0]}:{request.client[1]}")

    end = await (await serve(handler)).connect()
    end.send(get())
    host, port = end.transport.get_extra_info("peername")
    assert (await end.reply()).text == f"http://{host}:{port}"
    assert "127.0.0.1" in repr(end.protocol)
    assert repr(end.protocol).endswith(" IDLE>")  # and no request is kept


@pytest.mark.parametrize(
    ("extra", "client", "scheme"),
    [
        ({"peername": ""}, None, "http"),
        ({"peername": ("::1", 5, 0, 0)}, ("::1", 5), "http"),
        ({"sslcontext": object()}, ("127.0.0.1", 50000), "https"),
    ],
)
async def test_other_kinds_of_client(serve: Serve, extra: dict, client: object, scheme: str) -> None:
    host = await serve(ok)
    protocol = Watched(host.service)
    transport = MemoryTransport(protocol, extra=extra)
    assert (protocol.client, protocol.scheme) == (client, scheme)
    transport.send_eof()
    assert await transport.receive() == b""
    await host.service.emptied()


class Waiting:
    """A handler that waits for its client to go, or for nothing, and says how it ended."""

    def __init__(self, on_disconnect: str | None = None) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.ended: list[str] = []
        self.on_disconnect = on_disconnect

    async def __call__(self, request: Request) -> Response:
        if self.on_disconnect is not None:
            request.on_disconnect = self.on_disconnect  # type: ignore[assignment]  # one of the two words
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("finished")
        return Response("done")


@pytest.mark.parametrize("how", ["reset", "eof"])
@pytest.mark.parametrize(
    ("method", "on_disconnect", "ends"),
    [
        ("GET", None, "cancelled"),
        ("HEAD", None, "cancelled"),
        ("OPTIONS", None, "cancelled"),
        ("POST", None, "finished"),
        ("DELETE", None, "finished"),
        ("GET", "finish", "finished"),
        ("POST", "cancel", "cancelled"),
    ],
)
async def test_what_happens_to_the_handler_of_a_client_that_leaves(
    serve: Serve, how: str, method: str, on_disconnect: str | None, ends: str, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Waiting(on_disconnect)
    host = await serve(handler, half_close_grace=0.02)
    end = await host.connect()
    end.send(get(method=method))
    await handler.begun.wait()
    getattr(end, how)()
    async with asyncio.timeout(10):
        await end.protocol.disconnected()
        await turns()
        handler.go.set()
        await host.service.emptied()
    assert handler.ended == [ends]
    assert caplog.records == []


async def test_a_stopping_server_waits_for_handlers_whose_client_has_left(serve: Serve) -> None:
    handler = Waiting()
    host = await serve(handler)
    end = await host.connect()
    end.send(post(b"important"))
    await handler.begun.wait()
    end.reset()
    await end.ended()
    emptied = asyncio.create_task(host.service.emptied())
    await turns()
    assert not emptied.done()
    handler.go.set()
    await emptied
    assert handler.ended == ["finished"]


async def test_disconnected_and_is_gone(serve: Serve) -> None:
    seen = []

    async def handler(request: Request) -> Response:
        seen.append(request.is_gone)
        waiting = [asyncio.create_task(request.disconnected()) for _ in range(2)]
        begun.set()
        await asyncio.wait(waiting)
        seen.append(request.is_gone)
        await request.disconnected()  # at once, from now on
        return Response("to nobody")

    begun = asyncio.Event()
    host = await serve(handler)
    end = await host.connect()
    end.send(get(method="POST"))
    await begun.wait()
    end.reset()
    await host.service.emptied()
    assert seen == [False, True]
    await end.protocol.disconnected()


async def test_who_asks_late_is_told_at_once(serve: Serve) -> None:
    told = asyncio.Event()

    async def handler(request: Request) -> Response:
        begun.set()
        await go.wait()
        await request.disconnected()
        told.set()
        return Response("to nobody")

    begun, go = asyncio.Event(), asyncio.Event()
    end = await (await serve(handler)).connect()
    end.send(get(method="POST"))
    await begun.wait()
    end.reset()
    await end.ended()
    go.set()
    await told.wait()


async def test_a_stream_is_told_too(serve: Serve) -> None:
    ended = asyncio.Event()

    async def ticks() -> object:
        try:
            yield b"tick"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def handler(request: Request) -> Response:
        return Stream(ticks())  # type: ignore[arg-type]  # an async generator

    host = await serve(handler)
    end = await host.connect()
    end.send(get())
    await end.receive()
    end.reset()
    await ended.wait()
    await host.service.emptied()


# -- ends ------------------------------------------------------------------------------------------------------------


async def test_stop_closes_an_idle_connection_now_and_another_behind_its_answer(serve: Serve) -> None:
    handler = Waiting()
    host = await serve(handler)
    idle, busy = await host.connect(), await host.connect()
    busy.send(get())
    await handler.begun.wait()
    host.service.stopping = True
    idle.protocol.stop()
    busy.protocol.stop()
    assert await idle.everything() == b""
    handler.go.set()
    assert (await busy.last()).text == "done"


async def test_cancel_ends_what_runs_and_what_does_not(serve: Serve) -> None:
    host = await serve(ok)
    end = await host.connect()
    end.send(b"GET / HT")
    await end.until(lambda: end.protocol.stage is Stage.HEAD)
    end.protocol.cancel()
    await end.ended()


async def test_what_is_over_stays_over(serve: Serve) -> None:
    host = await serve(ok)
    end = await host.connect()
    end.send(get())
    await end.reply()
    end.protocol.abort()
    end.protocol.abort()
    await end.ended()
    end.protocol.data_received(get())
    for late in Late:
        end.protocol._expire(late)
    await turns()
    assert host.service.handled == 1


async def test_a_closed_connection_is_freed(serve: Serve) -> None:
    host = await serve(ok)
    end = await host.connect()
    connection = weakref.WeakSet([end.protocol])
    end.send(get(), post(b"abc"))
    for _ in range(2):
        await end.reply()
    end.eof()
    assert await end.everything() == b""
    await host.service.emptied()
    if hasattr(end, "writer"):
        end.writer.close()
    host.ends.clear()
    del end
    await turns()
    gc.collect()  # asyncio's own streams and transports may stand in circles
    assert len(connection) == 0


async def test_the_class_below_knows_no_http(serve: Serve) -> None:
    host = await serve(ok)
    bare = Connection(host.service)
    for call in (bare._advance, bare._cancels):
        with pytest.raises(NotImplementedError):
            call()


async def test_lateness_that_is_no_ones_business(serve: Serve) -> None:
    handler = Waiting()
    end = await (await serve(handler)).connect()
    for late in (Late.BODY, Late.HANDLER):
        end.protocol._expire(late)  # nothing runs, nothing is read
    end.send(get())
    await handler.begun.wait()
    end.protocol._expire(Late.STAGE)  # of the stage before
    handler.go.set()
    assert (await end.reply()).text == "done"


# -- stages ----------------------------------------------------------------------------------------------------------


def test_every_stage_leads_to_the_end_and_the_end_nowhere() -> None:
    assert set(TRANSITIONS) == set(Stage)
    assert TRANSITIONS[Stage.CLOSED] == frozenset()
    for stage in set(Stage) - {Stage.CLOSED}:
        assert Stage.CLOSED in TRANSITIONS[stage]


# A way of the client's through each step of the table: what it sends, then how it ends.
FEW = get("/", "content-length: 1000", method="POST") + b"x"
WALKS: dict[tuple[Stage, Stage], tuple[bytes, str]] = {
    (Stage.IDLE, Stage.HEAD): (b"GET", "reset"),
    (Stage.IDLE, Stage.HANDLER): (get(), "reset"),
    (Stage.IDLE, Stage.LINGERING): (b"\x00", "reset"),
    (Stage.IDLE, Stage.CLOSED): (b"", "eof"),
    (Stage.HEAD, Stage.HANDLER): (b"GET|" + get()[3:], "reset"),
    (Stage.HEAD, Stage.LINGERING): (b"GET|\x00", "reset"),
    (Stage.HEAD, Stage.CLOSED): (b"GET", "reset"),
    (Stage.HANDLER, Stage.IDLE): (get(), "reset"),
    (Stage.HANDLER, Stage.DRAINING): (FEW, "reset"),
    (Stage.HANDLER, Stage.LINGERING): (get("/", "content-length: 100000", method="POST"), "reset"),
    (Stage.HANDLER, Stage.CLOSED): (get("/", "connection: close"), "eof"),
    (Stage.DRAINING, Stage.IDLE): (FEW + b"|" + b"x" * 999, "reset"),
    (Stage.DRAINING, Stage.LINGERING): (get("/", "transfer-encoding: chunked", method="POST") + b"|zz\r\n", "reset"),
    (Stage.DRAINING, Stage.CLOSED): (FEW, "reset"),
    (Stage.LINGERING, Stage.CLOSED): (b"\x00", "eof"),
}


def test_the_walks_below_are_through_the_whole_table() -> None:
    assert set(WALKS) == {(stage, after) for stage, afters in TRANSITIONS.items() for after in afters}


@pytest.mark.parametrize("step", WALKS, ids=lambda step: f"{step[0].name} to {step[1].name}")
async def test_each_step_of_the_table_is_taken(serve: Serve, step: tuple[Stage, Stage]) -> None:
    sent, how = WALKS[step]
    end = await (await serve(ok)).connect()
    for piece in sent.split(b"|"):
        end.send(piece)
        await end.until(lambda piece=piece: not piece or "data_received" in end.protocol.calls)
        end.protocol.calls.clear()
        await turns(3)
    getattr(end, how)()
    await end.ended()
    assert step in list(zip(end.protocol.stages, end.protocol.stages[1:], strict=False))

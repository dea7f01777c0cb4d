"""Handlers of all kinds: each does what its request's steps say, and notes what came of it.

Owns: reading, waiting, failing and answering, as an application would, good or bad.
Must not know: the protocol; it sees a Request and returns a Response, like every handler.
Invariant: what a handler reads is held against what its client sent; who is cancelled says so to the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from minihttp.errors import ClientDisconnected, HTTPError, ProtocolError
from minihttp.request import Request
from minihttp.response import File, Response, Stream
from minihttp.server.stages import Late

from .ledger import Ledger, Run
from .schedule import Step, content, stated_length

__all__ = ["FILE", "MARK", "SERVERS", "handle", "turns"]

MARK = ContextVar("MARK", default="nobody's")
SERVERS = "the server's"
FILE = Path(__file__).with_name("schedule.py")


class Unavailable(Exception):
    http_status = 503
    retry_after = 1


async def turns(count: int) -> None:
    """So many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def handle(request: Request) -> Response:
    ledger: Ledger = request._origin.ledger  # type: ignore[attr-defined]  # the origin is a Probe
    run = ledger.begins(request)
    ledger.require(MARK.get() == SERVERS, f"{request} sees the context of {MARK.get()}")
    MARK.set(run.asked.token)
    try:
        for step in run.asked.steps[:-1]:
            await STEPS[step[0]](ledger, run, *step[1:])
            ledger.require(MARK.get() == run.asked.token, f"{request} lost its context to {MARK.get()}")
        run.outcome = await answer(ledger, run, run.asked.steps[-1])
    except BaseException as error:
        run.outcome = error
        if isinstance(error, asyncio.CancelledError):
            ledger.cancelled(run)
        raise
    finally:
        ledger.say(f"handler of {run.asked.token} is through: {run.outcome!r}")
        for watcher in run.watchers:
            watcher.cancel()
    return run.outcome


# -- steps -----------------------------------------------------------------------------------------------------------


async def wait(ledger: Ledger, run: Run, how: str, amount: Any) -> None:
    if how == "turns":
        await turns(amount)
    elif how == "sleep":
        await asyncio.sleep(amount)
    else:
        try:
            await asyncio.sleep(amount)
        except asyncio.CancelledError:
            ledger.cancelled(run)
            ledger.say("and goes on all the same")


async def watch(ledger: Ledger, run: Run) -> None:
    async def watcher() -> None:
        await run.request.disconnected()
        ledger.say("a watcher is told that the client has gone")
        ledger.require(run.request.is_gone, "disconnected() though the client is there")

    run.watchers.append(asyncio.create_task(watcher()))


async def set_policy(ledger: Ledger, run: Run, word: Any) -> None:
    run.request.on_disconnect = word


async def set_timeout(ledger: Ledger, run: Run, seconds: float | None) -> None:
    ledger.limits_handler(seconds)
    run.request.timeout = seconds


async def read_body(ledger: Ledger, run: Run) -> None:
    try:
        body = await run.request.body()
    except Exception as error:
        judge_failure(ledger, run, error)
        raise
    asked = run.asked
    ledger.require(not asked.broken, "a broken body was read without an error")
    ledger.require(body == asked.body, f"read {body[:40]!r}... ({len(body)}), sent were {len(asked.body)} bytes")
    ledger.require(len(body) <= ledger.limits.max_body, "a body beyond max_body was read")
    if asked.trailers and run.request._channel is not None:
        ledger.require(run.request.trailers.get("x-end") == "1", "the trailers are missing")


async def read_pieces(ledger: Ledger, run: Run, count: int, closes: bool) -> None:
    """Some pieces of the body, and the rest is left."""
    if run.request._started:
        return
    read = b""
    stream = run.request.stream()
    try:
        async for piece in stream:
            read += piece
            count -= 1
            if not count:
                break
    except Exception as error:
        judge_failure(ledger, run, error)
        raise
    finally:
        ledger.require(run.asked.broken or run.asked.body.startswith(read), f"read {read[:40]!r}, which nobody sent")
        if closes:
            await stream.aclose()


def judge_failure(ledger: Ledger, run: Run, error: Exception) -> None:
    """Whether reading the body may have failed in this way."""
    asked, index = run.asked, len(ledger.runs) - 1
    ledger.say(f"reading fails: {error!r}")
    if isinstance(error, ClientDisconnected):
        came = ledger.taken >= ledger.ends[index] and not asked.broken
        ledger.require(ledger.is_lost or ledger.eof_at is not None, "ClientDisconnected, and the client is there")
        ledger.require(not came, "ClientDisconnected, and all of the body had come")
    elif isinstance(error, ProtocolError):
        late = error.http_status == 408 and Late.BODY in ledger.expired
        ledger.require(late or (asked.broken and error.http_status in (400, 431)), f"reading failed: {error}")
    elif isinstance(error, HTTPError):
        ledger.require(error.status == 413 and len(asked.body) > ledger.limits.max_body, f"reading failed: {error}")
    else:  # a stream that was left cannot be begun again: the application's own mistake
        ledger.require(run.request._started and "already" in str(error), f"reading failed: {error!r}")


STEPS: dict[str, Any] = {
    "turns": lambda ledger, run, amount: wait(ledger, run, "turns", amount),
    "sleep": lambda ledger, run, amount: wait(ledger, run, "sleep", amount),
    "stubborn": lambda ledger, run, amount: wait(ledger, run, "stubborn", amount),
    "watch": watch,
    "policy": set_policy,
    "timeout": set_timeout,
    "body": read_body,
    "pieces": read_pieces,
}

# -- answers ---------------------------------------------------------------------------------------------------------


async def answer(ledger: Ledger, run: Run, step: Step) -> Any:
    token = run.asked.token
    if step[0] == "answer":
        _, status, size, closes = step
        fields = {"x-token": token, "connection": "close"} if closes else {"x-token": token}
        return Response(content(token, size), status, fields)
    if step[0] == "stream":
        stated = stated_length(step)
        fields = {"x-token": token} if stated is None else {"x-token": token, "content-length": str(stated)}
        return Stream(chunks(ledger, run, step), headers=fields)
    if step[0] == "file":
        return File(FILE if step[1] else FILE.with_name("missing"), headers={"x-token": token})
    if step[1] == "nonsense":
        return "no Response"
    raise {"error": KeyError("a mistake"), "status": HTTPError(409, "no"), "unavailable": Unavailable()}[step[1]]


async def chunks(ledger: Ledger, run: Run, step: Step) -> AsyncGenerator[bytes, None]:
    _, pieces, _, pause, fails = step
    try:
        for number, size in enumerate(pieces):
            await STEPS[pause[0]](ledger, run, *pause[1:])
            if number == fails:
                raise KeyError("a mistake in a stream")
            piece = content(run.asked.token, size)
            run.produced += piece
            yield piece
        if fails == len(pieces):
            raise KeyError("a mistake at the end of a stream")
        run.is_whole = True
    except (Exception, asyncio.CancelledError) as error:
        run.stream_error = error
        if isinstance(error, asyncio.CancelledError):
            ledger.cancelled(run)
        raise

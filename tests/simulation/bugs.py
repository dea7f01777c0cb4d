"""Bugs as they are made, to be planted in the server: whoever looks for bugs must find these.

Owns: the bugs, each a change of one method of the real code, with what it does to whom.
Must not know: how they are found.
Invariant: a bug is in force only within `planted`; the code is as it was afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from math import inf
from typing import Any
from unittest import mock

from minihttp.server import protocol as protocol_module
from minihttp.server import server as server_module
from minihttp.server.body import Body
from minihttp.server.connection import Connection
from minihttp.server.deadlines import Alarms, Deadlines
from minihttp.server.exchange import encode_refusal
from minihttp.server.flow import Flow
from minihttp.server.protocol import HTTPProtocol
from minihttp.server.stages import Late, Stage
from minihttp.wire.parser import Parser, State

__all__ = ["BUGS", "planted"]

Plant = Callable[[], Any]
BUGS: dict[str, Plant] = {}


def bug(place: Any, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The function below takes the place of `place.name`, which it is given as its first argument."""

    def plant(wrong: Callable[..., Any]) -> Callable[..., Any]:
        right = getattr(place, name)
        BUGS[wrong.__name__] = lambda: mock.patch.object(
            place, name, lambda *given, **named: wrong(right, *given, **named)
        )
        return wrong

    return plant


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """The server has the bug of this name for as long as this lasts."""
    if name is None:
        yield
        return
    with BUGS[name]():
        yield


@bug(Connection, "_linger")
def no_lingering(right: Any, self: Connection) -> None:
    """The last answer is followed by a close at once: over unread bytes, the client's system throws it away."""
    self._close()


@bug(Connection, "_close")
def lingers_never_ends(right: Any, self: Connection) -> None:
    """A connection whose client closes in order is not closed on our side."""
    if self.stage is not Stage.LINGERING:
        right(self)


@bug(HTTPProtocol, "finish")
def answers_twice(right: Any, self: HTTPProtocol) -> None:
    """A handler that finishes after a half-close is answered, and then told off as well."""
    if self._half_closed and not self.is_gone:
        self.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
    right(self)


@bug(Alarms, "disarm")
def forgets_to_disarm(right: Any, self: Alarms, *which: Late) -> None:
    """The time limit of one handler hits the next one of the connection."""
    right(self, *(late for late in which if late is not Late.HANDLER))


@bug(HTTPProtocol, "_await_head")
def forgets_the_last_pipelined_answer(right: Any, self: HTTPProtocol) -> None:
    """What is held for one write with more stays held when no more comes."""
    held = self._flow.held
    self._flow.held = held[:-1]
    right(self)


@bug(HTTPProtocol, "_cancels")
def cancels_whatever_runs(right: Any, self: HTTPProtocol) -> bool:
    """A client that leaves cancels handlers that change things, half way through."""
    return self._request is not None


@bug(protocol_module, "start_task")
def shares_the_context(right: Any, loop: Any, work: Any, context: Any) -> Any:
    """A pipelined request inherits the context variables of the request before it."""
    return right(loop, work, copy_context())


@bug(Body, "_patience")
def body_never_too_slow(right: Any, self: Body) -> float:
    """A client that stalls in the middle of its body holds its handler for ever."""
    return inf


@bug(HTTPProtocol, "refuse")
def goes_on_after_a_refusal(right: Any, self: HTTPProtocol, error: Any) -> None:
    """The connection stays open behind a broken request, and what is sent next may be a smuggled one."""
    self._flow.write(encode_refusal(error))
    self._parser.state = State.HEAD


@bug(Flow, "write")
def overtakes(right: Any, self: Flow, data: bytes) -> None:
    """What is written at once leaves before the answers that were held."""
    if not self._lost:
        self.transport.write(data)
    self.flush()


@bug(Deadlines, "stop")
def leaks_the_timer(right: Any, self: Deadlines) -> None:
    """The timer of the deadlines goes on when the last connection has gone."""


@bug(HTTPProtocol, "_drain_body")
def takes_the_body_for_a_request(right: Any, self: HTTPProtocol) -> None:
    """What a handler left of a body is read as the next request."""
    self._parser.state = State.HEAD
    self._rest()


@bug(HTTPProtocol, "eof_received")
def half_close_never_closes(right: Any, self: HTTPProtocol) -> bool:
    """A client that closes an idle connection waits for our side until the time for keep-alive is over."""
    if self.stage is Stage.IDLE:
        self._half_closed = True
        return True
    return bool(right(self))


@bug(Alarms, "arm")
def fires_early(right: Any, self: Alarms, late: Late, seconds: float) -> None:
    """A deadline is counted from the last tick, and reckoned to be a tick shorter."""
    right(self, late, seconds - 2 * self._deadlines.tick)


@bug(HTTPProtocol, "_read_ahead")
def reads_without_end(right: Any, self: HTTPProtocol, count: int) -> None:
    """A client that pipelines, or sends a body that nobody reads, fills the memory."""
    if self._body is not None and self._parser.state is not State.HEAD:
        self._body.arrived(count)


@bug(HTTPProtocol, "persist")
def stays_when_the_server_stops(right: Any, self: HTTPProtocol, wish: bool = True) -> Any:
    """A stopping server promises to keep its connections."""
    stopping, self.service.stopping = self.service.stopping, False
    try:
        return right(self, wish)
    finally:
        self.service.stopping = stopping


@bug(server_module.Server, "_force")
async def gives_up_waiting(right: Any, self: Any) -> None:
    """At the end of its grace, the server forgets its connections instead of closing them."""


@bug(Parser, "_refuse")
def reads_on_behind_a_broken_body(right: Any, self: Parser) -> None:
    """A broken chunk is skipped, and what follows it is read as the next request."""
    right(self)
    self.state = State.HEAD


@bug(Flow, "clear")
def wakes_nobody(right: Any, self: Flow) -> None:
    """A stream that waited for room is not told that there is room again."""
    self.is_full = False

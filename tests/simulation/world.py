"""The world of one simulated run: a loop whose clock jumps, and connections of which every call is seen.

Owns: virtual time, the transport, and the protocol as the server makes it, with an eye on each of its steps.
Must not know: what is asked of the server, or what must hold (`invariants` does).
Invariant: nothing outside the process and nothing random happens here, so the same schedule gives the same run. The
clock moves only when nothing is left to do; in between, `look` has seen what is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minihttp.server import server as server_module
from minihttp.server.connection import Connection
from minihttp.server.protocol import HTTPProtocol
from minihttp.server.stages import Late, Stage
from minihttp.testing import MemoryTransport
from minihttp.wire.writer import CLOSE

if TYPE_CHECKING:
    from .ledger import Ledger

__all__ = ["Clock", "Line", "Probe", "Stuck", "probed"]

IO = 0.005  # seconds of virtual time that work in a thread takes


class Stuck(Exception):
    """Everybody waits, and nothing will ever happen."""


class Clock(asyncio.BaseEventLoop):
    """A loop without files: when nothing is ready, it is the time of the next timer at once.

    `look(jumps)` is called before every turn, with True if the clock is about to move.
    """

    def __init__(self, look: Callable[[float], None]) -> None:
        super().__init__()
        self.now = 0.0
        self._look = look
        self._selector = self  # what BaseEventLoop asks for files that are ready

    def time(self) -> float:
        return self.now

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is left to happen, and somebody still waits")
        self._look(timeout)
        self.now += timeout
        return []

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in `select`."""

    def run_in_executor(self, executor: Any, work: Callable[..., Any], *given: Any) -> asyncio.Future[Any]:
        """No thread: done a moment later, also if nobody waits for it any more."""
        future = self.create_future()
        self.call_later(IO, carry_out, future, work, given)
        return future


def carry_out(future: asyncio.Future[Any], work: Callable[..., Any], given: tuple[Any, ...]) -> None:
    try:
        result = work(*given)
    except Exception as error:
        if not future.done():
            future.set_exception(error)
        return
    if not future.done():
        future.set_result(result)
    elif isinstance(result, tuple) and hasattr(result[0], "close"):
        result[0].close()  # opened for somebody who has been cancelled


class Line(MemoryTransport):
    """A transport that does as asyncio's on sockets does, also where that is awkward.

    Its end is told again after a pause in reading; once told, nobody hears of a reset until something is written;
    a write to a client that has closed altogether resets.
    """

    def __init__(self, ledger: Ledger, *, window: int, high_water: int) -> None:
        self.ledger = ledger
        self.told_end = False  # the protocol has been told of the client's end
        self.has_left = False  # the client reads nothing any more
        extra = {"sslcontext": True} if ledger.dial.secure else {}
        super().__init__(asyncio.Protocol(), window=window, high_water=high_water, extra=extra)

    def can_write_eof(self) -> bool:
        return not self.ledger.dial.secure

    @property
    def is_reset(self) -> bool:
        return self._reset

    @property
    def pending(self) -> int:
        """Bytes and ends that the protocol has not been given."""
        return len(self._incoming)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.ledger.wrote(bytes(data), self._closing)
        super().write(data)
        if self.has_left:
            self._loop.call_soon(self.reset)

    def write_eof(self) -> None:
        self.ledger.say("server sends its end")
        super().write_eof()

    def close(self) -> None:
        if not self._closing:
            self.ledger.closes(bool(self._incoming))
        super().close()

    def abort(self) -> None:
        self.ledger.aborts()
        super().abort()

    def resume_reading(self) -> None:
        if not self._reads and self.told_end and not self._closing:
            self._incoming.append(None)
        super().resume_reading()

    def reset(self) -> None:
        heard = (self._reads and not self.told_end) or self.get_write_buffer_size() > 0
        self._reset = True
        self._incoming.clear()
        self._unread.clear()
        self._failure = ConnectionResetError("the client has reset the connection itself")
        if heard:
            self._schedule(noticed=True)
        self._wake()

    def leave(self) -> None:
        """The client closes its socket, whatever is on the way."""
        if self._unread:
            self.reset()
        else:
            self.send_eof()
            self.has_left = True

    def _settle(self) -> None:
        """As asyncio: room is told in the same moment in which it comes."""
        if self._closing or not self._full or self.get_write_buffer_size() > self._low:
            super()._settle()
        else:
            self._full = False
            self.get_protocol_of_stream().resume_writing()

    async def receive(self, limit: int = 1 << 18) -> bytes:
        before = self.get_write_buffer_size()
        data = await super().receive(limit)
        if self.get_write_buffer_size() != before:
            self.ledger.moved_at = self._loop.time()
        return data


class Probe(HTTPProtocol):
    """The protocol under test; its ledger is told of every step, before the protocol has acted on it."""

    ledger: Ledger | None = None

    @property
    def stage(self) -> Stage:  # type: ignore[override]  # an attribute there, watched here
        return Connection.stage.__get__(self)

    @stage.setter
    def stage(self, stage: Stage) -> None:
        if self.ledger is not None:
            self.ledger.turns_to(Connection.stage.__get__(self), stage)
        Connection.stage.__set__(self, stage)

    def connection_made(self, transport: Any) -> None:
        self.ledger = transport.ledger
        self.ledger.made(self)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.ledger.received(data)
        super().data_received(data)

    def eof_received(self) -> bool:
        self.ledger.half_closed()
        self.ledger.line.told_end = True
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ledger.lost(exc)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self.ledger.filled(True)
        super().pause_writing()

    def resume_writing(self) -> None:
        self.ledger.filled(False)
        super().resume_writing()

    def _expire(self, late: Late) -> None:
        self.ledger.expires(late)
        super()._expire(late)
        self.ledger.expiring = None

    def refuse(self, error: Any) -> None:
        self.ledger.refuses(error)
        super().refuse(error)

    def _client_left(self) -> None:
        if not self.is_gone:
            self.ledger.leaves()
        super()._client_left()

    def persist(self, wish: bool = True) -> bytes:
        field = super().persist(wish)
        self.ledger.persists(field != CLOSE)
        return field

    def finish(self) -> None:
        self.ledger.finishes()
        super().finish()

    def cancel(self) -> None:
        self.ledger.forced = True
        super().cancel()


@contextmanager
def probed() -> Iterator[None]:
    """The server makes Probes for as long as this lasts."""
    server_module.HTTPProtocol = Probe  # type: ignore[misc]  # a class for a class
    try:
        yield
    finally:
        server_module.HTTPProtocol = HTTPProtocol  # type: ignore[misc]  # as it was

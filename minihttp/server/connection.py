"""The life of one transport: made, full, half closed, late, lost, and how it ends.

Owns: the stage, the two ways of the transport (`flow`), what is awaited (`alarms`), and the knowledge that the client
is gone.
Must not know: HTTP. What bytes mean, and what runs on the connection, is the business of the class above it.
Invariant: whoever waits on this connection is woken when it ends; CLOSED is final; the last answer can be read by
the client, because a socket is not closed over bytes that nobody read.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

from .body import Body
from .deadlines import Alarms
from .flow import Flow
from .service import Service
from .stages import CLOSED, DRAINING, HANDLER, HEAD, IDLE, LINGERING, Late, Stage

__all__ = ["Connection"]

LINGER = 2.0  # seconds a client may take to read the last answer and close


class Connection(asyncio.Protocol):
    """What every connection of a server has, whatever is spoken on it.

    `keep` is held until the end: the StreamWriter that asyncio made for the transport closes it when collected.
    """

    __slots__ = (
        "_alarms", "_body", "_flow", "_gone", "_half_closed", "_keep", "_task",
        "cancelled_for", "client", "is_gone", "scheme", "service", "stage",
    )  # fmt: skip

    _flow: Flow
    _alarms: Alarms

    def __init__(self, service: Service[Any], keep: object = None) -> None:
        self.service = service
        self.stage: Stage = IDLE
        self.client: tuple[str, int] | None = None
        self.is_gone = False
        self.cancelled_for: Late | None = None  # why the handler was cancelled, if it was for being late
        self._keep = keep
        self._task: asyncio.Task[None] | None = None
        self._body: Body | None = None
        self._gone: asyncio.Event | None = None
        self._half_closed = False

    @property
    def socket(self) -> Any:
        """The system's socket; None where there is none, or no more."""
        return self._flow.transport.get_extra_info("socket")

    @property
    def is_busy(self) -> bool:
        """Whether a handler runs on it."""
        return self.stage is HANDLER

    # -- what the transport says -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._flow = Flow(self.service.loop, transport)  # type: ignore[arg-type]  # a stream's transport is both ways
        self._alarms = Alarms(self.service.deadlines, self._expire)
        self.service.enter(self, self._alarms)
        self._alarms.stage(self.service.limits.header_timeout)
        peer = transport.get_extra_info("peername")
        self.client = peer[:2] if isinstance(peer, tuple) else None
        self.scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"

    def connection_lost(self, exc: Exception | None) -> None:
        self.stage = CLOSED
        self._alarms.end()
        self._flow.lose()
        self._client_left()
        self._keep = None
        if self._task is None:
            self.service.leave(self)
        else:  # a server that stops waits for handlers, also for those whose client did not
            self._task.add_done_callback(lambda task: self.service.leave(self))

    def pause_writing(self) -> None:
        self._flow.fill()
        self._alarms.arm(Late.WRITE, self.service.limits.write_timeout)

    def resume_writing(self) -> None:
        self._flow.clear()
        self._alarms.disarm(Late.WRITE)
        if self.stage is LINGERING or self.stage is CLOSED:
            self._alarms.stage(LINGER)
        elif self.stage is IDLE or self.stage is HEAD:
            self._advance()

    def _advance(self) -> None:
        """Go on with what had to wait for room."""
        raise NotImplementedError

    # -- the client ------------------------------------------------------------------------------------------------

    async def disconnected(self) -> None:
        if self._gone is None:
            self._gone = asyncio.Event()
            if self.is_gone:
                self._gone.set()
        await self._gone.wait()

    def _client_left(self) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        if self._gone is not None:
            self._gone.set()
        if self._body is not None:
            self._body.lost()
        if self._task is not None and self._cancels():
            self._task.cancel()

    def _cancels(self) -> bool:
        """Whether what runs is cancelled when the client has gone."""
        raise NotImplementedError

    # -- lateness --------------------------------------------------------------------------------------------------

    def limit_handler(self, seconds: float | None) -> None:
        if seconds is None:
            self._alarms.disarm(Late.HANDLER)
        else:
            self._alarms.arm(Late.HANDLER, seconds)

    def _expire(self, late: Late) -> None:
        if late is Late.STAGE:
            self._expire_stage()
        elif late is Late.WRITE:
            if self._flow.has_moved():
                self._alarms.arm(Late.WRITE, self.service.limits.write_timeout)
            else:
                self.stage = CLOSED
                self._flow.reset()
        elif late is Late.HALF_CLOSED:
            self._client_left()
        elif late is Late.BODY:
            if self._body is not None and self._body.is_wanted:  # else the client has time
                self._body.look_at_pace()
        elif self._task is not None:
            self.cancelled_for = late
            self._task.cancel()

    def _expire_stage(self) -> None:
        if self.stage is IDLE:
            self._close()
        elif self.stage is DRAINING:
            self._linger()
        elif self.stage is LINGERING or self.stage is CLOSED:
            self.abort()

    def _await_end(self) -> None:
        """The rest of the last answer may take its time, as long as it moves; the end itself a moment."""
        self._alarms.stage(inf if self._flow.has_rest() else LINGER)

    # -- ends ------------------------------------------------------------------------------------------------------

    def _linger(self) -> None:
        """Close our side and wait for the client's: a socket closed over unread bytes resets the connection."""
        self._flow.flush()
        if self._half_closed:
            self._close()
            return
        self.stage = LINGERING
        self._await_end()
        if self._flow.transport.can_write_eof():
            self._flow.transport.write_eof()
        self._flow.read(True)

    def _close(self) -> None:
        self.stage = CLOSED
        self._flow.flush()
        self._await_end()
        self._flow.transport.close()

    def abort(self) -> None:
        """End the connection at once, whatever is under way."""
        self.stage = CLOSED
        self._flow.transport.abort()

    def stop(self) -> None:
        """The server stops: an idle connection closes now, another behind the answer to its request."""
        if self.stage is IDLE:
            self._close()

    def cancel(self) -> None:
        """The server's grace is over: what runs is cancelled and may still answer that; nothing else is waited for."""
        if self._task is not None:
            self._task.cancel()
        else:
            self.abort()

"""One connection: bytes in, requests handled one after the other, answers out in order.

Owns: the way from stage to stage, pipelining, and what happens to a body that is still on its way.
Must not know: who listens, what the handler does, the grammar of HTTP (wire has it) or how a response is framed.
Invariant: one handler at a time; each request is answered at most once and in order; after an error or a close no
further byte is interpreted.

Each request runs in a Task of its own with a fresh context: context variables set for one request of a kept-alive
connection are never seen by the next. Pipelined requests wait as bytes in the parser; their answers leave in one
write for as long as handlers do not wait.
"""

from __future__ import annotations

import asyncio

from ..errors import ProtocolError
from ..request import Request
from ..wire.head import Fields
from ..wire.parser import AT_HEAD, Parser, State
from ..wire.writer import CLOSE, KEEP_ALIVE
from .body import Body
from .connection import Connection
from .exchange import encode_refusal
from .service import Service, start_task
from .stages import DRAINING, HANDLER, HEAD, IDLE, Late

__all__ = ["HTTPProtocol"]


class HTTPProtocol(Connection):
    """An HTTP/1.1 connection of a server; `asyncio.start_server`'s callback sets it as the protocol of a transport."""

    __slots__ = ("_drained", "_fields", "_parser", "_persistent", "_request", "_restless", "head_sent")

    _fields: Fields

    def __init__(self, service: Service[HTTPProtocol], keep: object = None) -> None:
        super().__init__(service, keep)
        self.head_sent = False
        self._parser = Parser(service.limits)
        self._request: Request | None = None
        self._persistent = True
        self._restless = False  # something is to be done as soon as no handler runs, also if no more bytes come
        self._drained = 0

    def __repr__(self) -> str:
        return f"<HTTPProtocol {self.client or 'unix'} {self.stage.name}{f' {self._request}' if self._request else ''}>"

    # -- bytes -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        stage = self.stage
        if stage is IDLE or stage is HEAD:
            self._parser.feed(data)
            self._advance()
        elif stage is HANDLER:
            self._parser.feed(data)
            self._read_ahead(len(data))
        elif stage is DRAINING:
            self._parser.feed(data)
            if self._drain_body():
                self._advance()

    def eof_received(self) -> bool:
        """Half-closed, or gone: both look the same. What is being answered may be, for a short grace."""
        self._half_closed = self._restless = True
        if self.stage is HANDLER:
            if self._body is not None and self._parser.state is not AT_HEAD:
                self._body.lost()
            self._alarms.arm(Late.HALF_CLOSED, self.service.limits.half_close_grace)
        elif self._waits_for_room() and self._parser.buffer:
            pass  # what was read before is still answered
        elif self.stage is HEAD:
            self.refuse(ProtocolError("the request ends in the middle of its head", section="RFC 9112 8"))
        else:
            self._close()
        return self.scheme == "http"  # TLS cannot stay half open

    # -- from one request to the next ------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Start the requests that are complete, one after the other, as long as their handlers do not wait."""
        while (self._parser.buffer or self._restless) and self._start_next():
            pass

    def _waits_for_room(self) -> bool:
        """Whether the client has to take answers before another request is looked at."""
        return self._flow.is_full and (self.stage is IDLE or self.stage is HEAD)

    def _start_next(self) -> bool:
        """Start the next request, if its head is complete; True if it is over already, and another may be started."""
        parser, flow, service = self._parser, self._flow, self.service
        if flow.is_full:
            self._read_ahead(0)
            return False
        try:
            head = parser.head()
        except ProtocolError as error:
            self.refuse(error)
            return False
        if head is None:
            self._await_head()
            return False
        self._fields = fields = head[3]
        limits = service.limits
        body = self._open_body(fields) if fields.length != 0 else b""
        self._request = request = Request(head, body, self, limits)
        self.stage = HANDLER
        if limits.handler_timeout is not None:
            self._alarms.arm(Late.HANDLER, limits.handler_timeout)
        if self._half_closed:  # each of the pipelined requests that remain has its own grace
            self._alarms.arm(Late.HALF_CLOSED, limits.half_close_grace)
        task = start_task(service.loop, service.run(self, request), service.context.copy())
        if self._request is not request:
            return self.stage is IDLE or (self.stage is DRAINING and self._drain_body())
        self._task = task  # its handler waits, or has not begun
        if parser.buffer or flow.held or self._body is not None:
            service.loop.call_soon(self._flush_while, task)
            self._read_ahead(0)
        return False

    def _await_head(self) -> None:
        """Nothing complete is left: write what was held and wait for more."""
        self._flow.flush()
        if self._half_closed or (self.service.stopping and not self._parser.has_begun()):
            self._linger()  # a stopping server may have promised to stay before it knew
            return
        if self.stage is IDLE and self._parser.has_begun():
            self.stage = HEAD
            self._alarms.stage(self.service.limits.header_timeout)
        self._flow.read(True)
        self._restless = False

    def _open_body(self, fields: Fields) -> bytes | Body:
        """The body, if all of it came with the head; else the channel it will come through."""
        if fields.length is not None and self._parser.buffered() >= fields.length:
            return self._parser.body()
        service = self.service
        self._body = Body(self._parser, self._flow, self._alarms, service.limits, service.loop, fields.expects)
        if self._half_closed:
            self._body.lost()
        return self._body

    def _flush_while(self, task: asyncio.Task[None]) -> None:
        """The handler waits: the answers before it do not wait with it."""
        if self._task is task:
            self._flow.flush()

    def _read_ahead(self, count: int) -> None:
        """Bytes came that cannot be handled yet: of the running request's body, or of requests after it."""
        most = self.service.limits.pipeline
        if count and self._body is not None and self._parser.state is not AT_HEAD:  # room is no news of the body
            self._body.arrived(count)
            # One usual read of what is wanted costs no pause; but uvloop reads megabytes before the handler's turn.
            most = 2 * most if self._body.is_wanted else 0
        if self._parser.buffered() >= most:
            self._flow.read(False)
            self._restless = True

    def finish(self) -> None:
        """The handler is through and its answer written: what comes next on this connection?"""
        service, alarms, task = self.service, self._alarms, self._task
        service.handled += 1
        self._task = self._request = self.cancelled_for = None
        self.head_sent = False
        if self._body is not None:
            self._body.end()
            self._body = None
        if alarms.armed:
            alarms.disarm(Late.BODY, Late.HANDLER, Late.HALF_CLOSED)
        if self.stage is not HANDLER:
            return
        if not self._persistent:
            self._end()
            return
        if self._parser.state is AT_HEAD:
            self.stage = IDLE
            alarms.renewed = end = service.deadlines.now + service.limits.keep_alive
            if end < alarms.stage_ends:
                alarms.stage(service.limits.keep_alive)
            # One that never waited has run within `_advance`, which goes on by itself.
            if task is not None and (self._parser.buffer or self._restless):
                self._advance()
        else:
            self.stage = DRAINING
            self._alarms.stage(service.limits.body_grace)
            self._drained = 0
            if task is not None and self._drain_body():
                self._advance()

    def _end(self) -> None:
        """The last answer is written; where the client meant to send no more, there is nothing to linger for."""
        if not self._fields.persistent and self._parser.state is AT_HEAD and not self._parser.buffer:
            self._close()
        else:
            self._linger()

    def _drain_body(self) -> bool:
        """Read away what the handler left of its request's body; True once the next request stands behind it."""
        self._flow.flush()
        try:
            self._drained += len(self._parser.body())
        except ProtocolError:
            self._linger()  # its request has been answered: another answer would be taken for the next one's
            return False
        if self._parser.state is AT_HEAD:
            self.stage = IDLE
            self._alarms.stage(self.service.limits.keep_alive)
            return True
        if self._half_closed:
            self._close()
        elif self._drained > self.service.limits.unread_body:
            self._linger()
        else:
            self._flow.read(True)
        return False

    # -- what an exchange asks for ---------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send, at once or, while more requests wait in the buffer, together with their answers."""
        flow = self._flow
        if self._parser.buffer:
            flow.hold(data)
        elif flow.held:
            flow.write(data)
        else:
            flow.send(data)

    async def drain(self) -> None:
        await self._flow.drain()

    @property
    def minor(self) -> int:
        return self._fields.minor

    def persist(self, wish: bool = True) -> bytes:
        self._persistent = (
            wish
            and self._fields.persistent
            and not self.service.stopping
            and not (self._half_closed and not self._parser.buffer)
            and (self._parser.state is AT_HEAD or self._can_drain())
        )
        return CLOSE if not self._persistent else b"" if self._fields.minor else KEEP_ALIVE

    def _can_drain(self) -> bool:
        """Whether the rest of an unread body may be read away to reach the next request."""
        if self._parser.state is State.REFUSED:
            return False
        if self._body is not None and (self._body.expects or self._body.has_failed):
            return False  # a client that was not told to continue may send its body or not: nobody can tell
        return (self._fields.length or 0) <= self.service.limits.unread_body

    def refuse(self, error: ProtocolError) -> None:
        """Answer what cannot be parsed, and listen no more."""
        self._flow.write(encode_refusal(error))
        self._linger()

    def stop(self) -> None:
        self._restless = True
        if not (self._waits_for_room() and self._parser.buffer):
            super().stop()

    def _expire_stage(self) -> None:
        if self._waits_for_room():  # who takes nothing is late for that
            self._alarms.stage(self.service.limits.header_timeout)
        elif self.stage is HEAD:
            self.refuse(ProtocolError("the request head came too slowly", 408, "RFC 9110 15.5.9"))
        else:
            super()._expire_stage()

    def _cancels(self) -> bool:
        return self._request is not None and self._request.cancels_on_disconnect

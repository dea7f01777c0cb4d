"""The body of a request that was not complete with its head: pulled by the handler, pushed back to the client.

Owns: the waiting for bytes, the 100 Continue that asks for them, and how slow a client may be.
Must not know: the handler, the response, or the framing of the body (the parser has it).
Invariant: nothing is read from the socket that nobody asked for, beyond what one read brought along; so a slow
handler slows the client and not our memory. Time counts against the client only while we wait for it.
"""

from __future__ import annotations

import asyncio

from ..errors import ClientDisconnected, ProtocolError
from ..headers import Headers
from ..options import Limits
from ..waits import waiting_for
from ..wire.parser import Parser, State
from ..wire.writer import CONTINUE
from .deadlines import Alarms
from .flow import Flow
from .stages import Late

__all__ = ["Body"]


class Body:
    """The channel between a connection and `request.stream()`.

    `expects` says that the client waits for 100 Continue before it sends anything.
    """

    __slots__ = (
        "_alarms", "_error", "_flow", "_limits", "_loop", "_over", "_parser", "_received", "_since", "_waited",
        "_waiter", "expects", "trailers",
    )  # fmt: skip

    def __init__(
        self, parser: Parser, flow: Flow, alarms: Alarms, limits: Limits, loop: asyncio.AbstractEventLoop, expects: bool
    ) -> None:
        self.trailers = Headers()
        self.expects = expects
        self._parser = parser
        self._flow = flow
        self._alarms = alarms
        self._limits = limits
        self._loop = loop
        self._received = parser.buffered()
        self._waited = 0.0  # seconds, in all
        self._since = 0.0  # when the wait began
        self._waiter: asyncio.Future[None] | None = None
        self._over = False
        self._error: Exception | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether the handler waits for bytes at this moment."""
        return self._waiter is not None

    @property
    def has_failed(self) -> bool:
        """Whether the rest of it is broken, too slow, or will not come."""
        return self._error is not None

    async def read(self) -> bytes:
        """The next piece, or b"" at the end.

        Raises ProtocolError for wrong chunks (400) or too slow a client (408), ClientDisconnected.
        """
        while True:
            if self._over:
                raise RuntimeError("the request is over: its body can be read only while its handler runs")
            if piece := self._parser.body():
                return piece
            if self._parser.state is State.HEAD:
                self.trailers = self._parser.trailers
                return b""
            if self._error is not None:
                raise self._error
            if self._waiter is not None:
                raise RuntimeError("two tasks read the body of one request: read it in one of them")
            await self._wait()

    async def _wait(self) -> None:
        waiting_for("body", "of the client's request")
        if self.expects and not self._parser.buffered():
            self._flow.write(CONTINUE)
        self.expects = False
        self._flow.read(True)
        # One armed by an earlier wait rings early enough, and `look_at_pace` sets it anew: a quick client costs one.
        if (patience := self._patience()) < self._limits.body_grace or Late.BODY not in self._alarms.armed:
            self._alarms.arm(Late.BODY, patience)
        self._since = self._loop.time()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._waited += self._loop.time() - self._since

    def _patience(self) -> float:
        """Seconds until the body is too slow: after silence for the grace, or on average since its beginning."""
        grace, rate = self._limits.body_grace, self._limits.body_rate
        average = self._received / rate if rate else grace + self._waited
        return min(grace, max(0.0, grace + average - self._waited))

    def arrived(self, count: int) -> None:
        """So many bytes have come and lie in the parser."""
        self._received += count
        self._wake()

    def fail(self, error: Exception) -> None:
        """No more will come: the reader gets `error`, after what came before it."""
        self._error = error
        self._wake()

    def end(self) -> None:
        """The handler has finished; what lies in the parser from now on belongs to others."""
        self._over = True
        self._wake()

    def look_at_pace(self) -> None:
        """The alarm has rung while a handler waits: has the client not sent fast enough (RFC 9110 15.5.9)?"""
        left = self._since + self._patience() - self._loop.time()
        if left > 0:
            self._alarms.arm(Late.BODY, left)
        else:
            self.fail(ProtocolError("the request body came too slowly", 408, "RFC 9110 15.5.9"))

    def lost(self) -> None:
        """The client is gone, or has closed its side in the middle of the body."""
        self.fail(ClientDisconnected("the client went away in the middle of the request body"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

"""Back-pressure for a driver that has none: of a result that is streamed, no more is read than was waited for.

Owns: pausing and resuming the transport, between the driver's reading protocol and the loop.
Must not know: MySQL, statements, sessions.
Invariant: while it is in place, at most one piece, what the loop reads at once, has arrived that nobody waited for.
It is there for streams only: pausing costs two system calls for each piece.
"""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Piecemeal"]


class Piecemeal(asyncio.BufferedProtocol):
    """Stands before the driver's protocol until `over()`: `flow = Piecemeal(transport, protocol)`.

    Pausing in `buffer_updated`, and no later, matters to uvloop: it reads up to 32 times before anybody else runs.
    """

    def __init__(self, transport: asyncio.Transport, driver: Any) -> None:
        self._transport = transport
        self._driver = driver
        self._wait = driver.wait_for_data
        driver.wait_for_data = self._wait_for_data
        transport.set_protocol(self)
        self._listen(False)

    def get_buffer(self, sizehint: int) -> Any:
        """Where the next piece goes."""
        return self._driver.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """A piece has arrived: the next one is not wanted yet."""
        self._driver.buffer_updated(nbytes)
        self._listen(False)

    def eof_received(self) -> bool | None:
        """The server has said all."""
        return bool(self._driver.eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._driver.connection_lost(exc)
        self._let_go()

    def over(self) -> None:
        """Step aside: the stream is at its end."""
        self._let_go()
        self._transport.set_protocol(self._driver)
        self._listen(True)

    def _let_go(self) -> None:
        self._driver.__dict__.pop("wait_for_data", None)  # else each would hold the other, and the driver's buffer

    async def _wait_for_data(self, need: int) -> None:
        self._listen(True)
        await self._wait(need)

    def _listen(self, wanted: bool) -> None:
        if not self._transport.is_closing():  # uvloop's would raise
            (self._transport.resume_reading if wanted else self._transport.pause_reading)()

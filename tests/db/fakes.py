"""Connections that are no connections: what the pool's tests hand out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from minihttp.db.errors import DatabaseError


class FakeConnection:
    """Does what the test says, and remembers what was done to it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.origin = ""
        self.is_open = True
        self.is_clean = True
        self.answers = True
        self.restores = True
        self.closed = 0
        self.hold: asyncio.Event | None = None  # keeps `ping`, `restore` and `close` waiting

    def __repr__(self) -> str:
        return f"<connection {self.number}>"

    async def _held(self) -> None:
        if self.hold is not None:
            await self.hold.wait()

    async def ping(self) -> bool:
        await self._held()
        if not self.answers:
            raise DatabaseError("gone")
        return True

    async def restore(self) -> bool:
        await self._held()
        self.is_clean = self.restores
        return self.restores

    async def close(self) -> None:
        self.closed += 1
        await self._held()
        self.is_open = False

    def abort(self) -> None:
        self.is_open = False


class FakeConnector:
    """Makes connections until `error` says otherwise; `gate`, if set, keeps every attempt waiting."""

    where = "the fake server"

    def __init__(self) -> None:
        self.made: list[FakeConnection] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.origin = ""
        self.running = 0
        self.most_running = 0
        self.attempts = 0
        self.attempted: Callable[[], None] = lambda: None

    async def connect(self) -> FakeConnection:
        self.attempts += 1
        self.attempted()
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.running -= 1
        connection = FakeConnection(len(self.made) + 1)
        connection.origin = self.origin
        self.made.append(connection)
        return connection

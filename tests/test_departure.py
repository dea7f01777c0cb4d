"""A client that leaves in the middle of a transaction leaves nothing half done, however its route answers that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from minihttp import App, Limits, Request
from minihttp.db import Database
from minihttp.testing import Client
from minihttp.testing.connection import MemoryConnection

ROWS = "SELECT step FROM work ORDER BY step"


class Work:
    """An application with one piece of work: two rows in one transaction, and a pause between them."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.app = App()
        self.half = asyncio.Event()  # the first row is written
        self.go_on = asyncio.Event()
        self.over = asyncio.Event()
        self.app.post("/work")(self.do)
        self.app.post("/cancelled", on_disconnect="cancel")(self.do)
        self.app.get("/finished", on_disconnect="finish")(self.do)
        self.app.get("/work")(self.do)

    async def do(self, request: Request) -> str:
        try:
            async with self.db.transaction() as tx:
                await tx.execute("INSERT INTO work (step) VALUES (1)")
                self.half.set()
                await self.go_on.wait()
                await tx.execute("INSERT INTO work (step) VALUES (2)")
        finally:
            self.over.set()
        return "done"


@pytest.fixture
async def work(database_url: str) -> AsyncIterator[Work]:
    async with Database(database_url) as db:
        await db.execute("CREATE TABLE work (step INT PRIMARY KEY)")
        yield Work(db)


def resets(connection: MemoryConnection) -> None:
    connection.reset()


def closes_its_side(connection: MemoryConnection) -> None:
    connection.eof()


@pytest.mark.parametrize("leave", [resets, closes_its_side])
@pytest.mark.parametrize(
    ("target", "rows"),
    [("POST /work", [1, 2]), ("GET /finished", [1, 2]), ("GET /work", []), ("POST /cancelled", [])],
)
async def test_a_transaction_is_whole_or_not_at_all(
    work: Work, target: str, rows: list[int], leave: Callable[[MemoryConnection], None]
) -> None:
    async with Client(work.app, limits=Limits(half_close_grace=0.05)) as client, asyncio.timeout(20):
        connection = client.open()
        connection.send(f"{target} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        await work.half.wait()
        leave(connection)
        if rows:
            protocol = connection.protocol
            await protocol.disconnected()
            work.go_on.set()
        await work.over.wait()
        assert [row.step for row in await work.db.all(ROWS)] == rows

"""The guard of a session, and what it remembers for the pool."""

from __future__ import annotations

import asyncio

import pytest

from minihttp import waits
from minihttp.db.errors import UsageError
from minihttp.db.session import Session, Stream
from minihttp.db.sql import Statement


class FakeStream(Stream):
    discarded = False

    async def fetch(self):
        return []

    async def discard(self):
        await asyncio.sleep(0)
        self.discarded = True


class FakeSession(Session):
    engine = "sqlite"
    is_open = True
    in_transaction = False

    def __init__(self):
        super().__init__()
        self.ran = []
        self.gate = None

    async def ping(self):
        return True

    async def restore(self):
        return True

    async def close(self):
        pass

    def abort(self):
        pass

    async def begin(self, isolation, read_only):
        pass

    async def _run(self, statement, values):
        self.ran.append(statement)
        if self.gate is not None:
            await self.gate.wait()
        return (), (), 0, None

    async def _open_stream(self, statement, values):
        return FakeStream()


def statement(text="SELECT 1", is_clean=True):
    return Statement(text, text.split()[0], is_clean)


async def test_clean_statements_leave_it_clean():
    session = FakeSession()
    await session.run(statement())
    assert session.is_clean
    await session.command("COMMIT")
    await session.end("ROLLBACK")
    assert session.is_clean
    assert [each.keyword for each in session.ran] == ["SELECT", "COMMIT", "ROLLBACK"]
    session.in_transaction = True
    assert not session.is_clean


async def test_any_other_statement_does_not():
    for run in (FakeSession.run, FakeSession.stream):
        session = FakeSession()
        await run(session, statement("SET x = 1", is_clean=False))
        session.finished()
        assert not session.is_clean


async def test_two_at_once():
    session = FakeSession()
    session.gate = asyncio.Event()
    task = asyncio.create_task(session.run(statement()))
    await asyncio.sleep(0)
    assert not session.is_clean
    for second in (session.run(statement()), session.stream(statement())):
        with pytest.raises(UsageError, match="two tasks use one transaction at the same time"):
            await second
    session.gate.set()
    await task
    await session.run(statement())
    assert len(session.ran) == 2


async def test_a_stream_is_read_or_left_before_the_next_statement():
    session = FakeSession()
    stream = await session.stream(statement())
    assert not session.is_clean
    with pytest.raises(UsageError, match="not at its end"):
        await session.run(statement())
    stream.is_wanted = False
    await session.run(statement())
    assert stream.discarded
    assert session.is_clean
    second = await session.stream(statement())
    with pytest.raises(UsageError, match="not at its end"):
        await session.run(statement())
    session.finished()
    await session.run(statement())
    assert not second.discarded


async def test_to_throw_a_stream_away_is_work_too():
    session = FakeSession()
    (await session.stream(statement())).is_wanted = False
    first, second = await asyncio.gather(
        session.run(statement()), session.run(statement("SELECT 2")), return_exceptions=True
    )
    assert isinstance(second, UsageError) and "two tasks" in str(second)
    assert (len(first), len(session.ran)) == (4, 1)


async def test_the_wait_is_labelled_without_values(monkeypatch):
    class Record:
        why = None

    record = Record()
    monkeypatch.setattr(waits.current, "record", record)
    session = FakeSession()
    await session.run(Statement("SELECT ?", "SELECT", True), ("secret",))
    assert record.why == ("query", "SELECT ?")
    await session.stream(Statement("SELECT 2, ?", "SELECT", True), ("secret",))
    assert record.why == ("query", "SELECT 2, ?")

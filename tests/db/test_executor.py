"""The methods that a database and a transaction share, on a database that only answers."""

from __future__ import annotations

import gc

import pytest

from minihttp import waits
from minihttp.db.database import Database
from minihttp.db.deadline import Deadline
from minihttp.db.errors import MultipleRows, NotFound, QueryError, UsageError
from minihttp.db.executor import Executor, Queries, Result, RowStream
from minihttp.db.sql import Statement
from minihttp.db.transaction import Transaction


class Fake(Queries):
    engine = "sqlite"

    def __init__(self, *rows):
        self.answer = (("a", "b"), rows, len(rows), None)
        self.seen = []

    async def _answer(self, statement, values):
        self.seen.append((statement, values))
        return self.answer

    def _rows(self, statement, values):
        return FakeRows(statement, values, self)


class FakeSession:
    def __init__(self, rows):
        self.rows = rows
        self.log = []

    async def stream(self, statement, values):
        return self

    columns = ("a", "b")
    is_whole = False
    is_wanted = True

    async def fetch(self):
        if waits.current.record is not None:
            self.log.append(waits.current.record.why)
        rows, self.rows = self.rows[:2], self.rows[2:]
        return rows

    def finished(self):
        self.log.append("finished")


class FakeRows(RowStream):
    def __init__(self, statement, values, database):
        super().__init__(statement, values, Deadline(0))
        self.session = FakeSession(database.answer[1])
        database.session = self.session

    async def _enter(self):
        return self.session

    def _failed(self, error, session):
        session.log.append("failed")

    def _exit(self, session):
        session.log.append("exit")


async def test_what_the_methods_give():
    db = Fake((1, 2))
    assert [dict(row) for row in await db.all("SELECT :x", x=1)] == [{"a": 1, "b": 2}]
    assert (await db.one("SELECT 1")).b == 2
    assert await db.scalar("SELECT 1") == 1
    assert await db.execute("SELECT 1") == Result(1, None)
    assert db.seen[0] == (Statement("SELECT ?", "SELECT", True), (1,))


async def test_one_is_one():
    with pytest.raises(NotFound):
        await Fake().one("SELECT 1")
    with pytest.raises(MultipleRows):
        await Fake((1, 2), (3, 4)).one("SELECT 1")
    assert await Fake().scalar("SELECT 1") is None


async def test_wrong_calls_never_reach_the_database():
    db = Fake()
    with pytest.raises(QueryError):
        await db.all("SELECT :a")
    with pytest.raises(QueryError, match="not as list"):
        await db.all("SELECT :a", [1])
    with pytest.raises(UsageError, match="savepoint"):
        await db.execute("ROLLBACK")
    with pytest.raises(UsageError):
        db.iterate("COMMIT")
    assert db.seen == []


async def test_iterating_in_pieces():
    db = Fake(*((number, 0) for number in range(5)))
    assert [row.a async for row in db.iterate("SELECT 1")] == [0, 1, 2, 3, 4]
    assert db.session.log == ["finished", "exit"]


async def test_a_wait_for_more_rows_is_labelled(monkeypatch):
    class Record:
        why = None

    monkeypatch.setattr(waits.current, "record", Record())
    db = Fake((1, 2))
    rows = db.iterate("SELECT 1")
    assert (await anext(rows)).a == 1
    assert waits.current.record.why is None, "nothing is waited for any more"
    assert db.session.log == [("query", "SELECT 1")]


async def test_a_loop_that_is_left_frees_its_session_at_once():
    db = Fake(*((number, 0) for number in range(5)))
    async for _ in db.iterate("SELECT 1"):
        break
    gc.collect()
    assert (db.session.log, db.session.is_wanted) == (["exit"], False)
    rows = db.iterate("SELECT 1")
    await rows.aclose()
    await rows.aclose()
    assert [row async for row in rows] == []
    assert db.session.log == []


async def test_a_result_that_is_here_already_frees_its_session_before_its_rows_are_read(monkeypatch):
    monkeypatch.setattr(FakeSession, "is_whole", True)
    db = Fake((1, 2), (3, 4))
    rows = db.iterate("SELECT 1")
    assert (await anext(rows)).a == 1
    assert db.session.log == ["finished", "exit"]
    assert [row.a async for row in rows] == [3]


def test_both_are_executors():
    def accepts(executor: Executor) -> Executor:
        return executor

    db = Database("sqlite:///:memory:")
    assert accepts(db) is db
    assert isinstance(db.transaction(), Transaction)

"""Transactions on a session that obeys the test: which words are sent when, and what is remembered."""

from __future__ import annotations

import asyncio

import pytest

from minihttp.db.deadline import Deadline
from minihttp.db.errors import Conflict, DatabaseError, Deadlock, OutcomeUnknown, QueryError, Timeout, UsageError
from minihttp.db.transaction import Transaction
from tests.db.test_session import FakeSession


class FakeDatabase:
    engine = "sqlite"

    def __init__(self, session):
        self.deadline = Deadline(0)
        self.holders = {}
        self.session = session
        self.returned = 0

    async def lease(self):
        return self.session

    def give_back(self, session):
        assert session is self.session
        self.returned += 1


class Scripted(FakeSession):
    """Answers with the error that the test set for a word."""

    in_transaction = False

    def __init__(self):
        super().__init__()
        self.errors = {}
        self.sent = []
        self.is_open = True

    async def begin(self, isolation, read_only):
        await self.command("BEGIN")
        self.in_transaction = True

    async def _run(self, statement, values):
        self.sent.append(statement.text)
        await asyncio.sleep(0)
        if statement.keyword in self.errors:
            error = self.errors[statement.keyword]
            if error is asyncio.CancelledError:
                raise error
            raise error
        if statement.keyword in ("COMMIT", "CREATE") or statement.text == "ROLLBACK":
            self.in_transaction = False
        return (), (), 0, None

    def abort(self):
        self.is_open = False


@pytest.fixture
def session():
    return Scripted()


@pytest.fixture
def host(session):
    return FakeDatabase(session)


async def test_the_words_that_are_sent(host, session):
    async with Transaction(host) as tx:
        assert list(host.holders.values()) == [tx]
        async with tx.transaction() as inner, inner.transaction() as innermost:
            await innermost.execute("SELECT 1")
    assert session.sent == [
        "BEGIN", "SAVEPOINT minihttp_1", "SAVEPOINT minihttp_2", "SELECT 1",
        "RELEASE SAVEPOINT minihttp_2", "RELEASE SAVEPOINT minihttp_1", "COMMIT",
    ]  # fmt: skip
    assert (host.holders, host.returned) == ({}, 1)


async def test_a_statement_of_a_script_has_no_deadline_of_its_own(host, session):
    async with Transaction(host) as tx:
        host.deadline = Deadline(1e-9)
        await tx.script("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
        host.deadline = Deadline(0)
    assert session.sent == ["BEGIN", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "COMMIT"]


async def test_a_begin_that_fails_gives_the_session_back(host, session):
    session.errors["BEGIN"] = QueryError("no")
    with pytest.raises(QueryError):
        async with Transaction(host):
            pass
    assert (host.holders, host.returned) == ({}, 1)


async def test_a_commit_that_is_refused_is_told(host, session):
    session.errors["COMMIT"] = Deadlock("at commit")
    with pytest.raises(Deadlock):
        async with Transaction(host):
            pass
    assert host.returned == 1


async def test_a_commit_out_of_time_is_in_doubt(host, session):
    session.errors["COMMIT"] = Timeout("late")
    with pytest.raises(OutcomeUnknown):
        async with Transaction(host):
            pass


async def test_a_savepoint_out_of_time_ends_the_transaction(host, session):
    session.errors["RELEASE"] = Timeout("late")
    late = "before RELEASE was answered: the transaction was rolled back"
    with pytest.raises(UsageError, match=late):
        async with Transaction(host) as tx:
            with pytest.raises(Timeout, match=late):
                async with tx.transaction():
                    pass
    assert session.sent[-1] == "ROLLBACK"


async def test_a_release_that_is_cancelled_ends_the_transaction(host, session):
    session.errors["RELEASE"] = asyncio.CancelledError
    with pytest.raises(UsageError, match="over because of an earlier error"):
        async with Transaction(host) as tx:
            with pytest.raises(asyncio.CancelledError):
                async with tx.transaction():
                    pass
    assert session.sent[-1] == "ROLLBACK"


@pytest.mark.parametrize("word", ["SAVEPOINT", "RELEASE"])
async def test_a_conflict_at_either_end_of_a_savepoint_ends_the_transaction(host, session, word):
    session.errors[word] = Deadlock("the victim")
    with pytest.raises(Deadlock, match="over because of an earlier error"):
        async with Transaction(host) as tx:
            with pytest.raises(Deadlock, match=r"^the victim"):
                async with tx.transaction():
                    pass
            with pytest.raises(Deadlock, match="over because of an earlier error"):
                await tx.execute("INSERT INTO t VALUES (1)")
    assert session.sent[-2].startswith(word) and session.sent[-1] == "ROLLBACK"


async def test_a_rollback_that_fails_hides_nothing(host, session):
    session.errors["ROLLBACK"] = QueryError("no")
    with pytest.raises(KeyError):
        async with Transaction(host):
            raise KeyError
    assert host.returned == 1


async def test_a_rollback_that_is_cancelled_closes_the_session(host, session):
    session.errors["ROLLBACK"] = asyncio.CancelledError
    with pytest.raises(asyncio.CancelledError):
        async with Transaction(host):
            raise KeyError
    assert (session.is_open, host.returned) == (False, 1)


async def test_a_lost_session_is_not_rolled_back(host, session):
    with pytest.raises(KeyError):
        async with Transaction(host):
            session.abort()
            raise KeyError
    assert session.sent == ["BEGIN"]


async def test_a_query_error_leaves_it_open(host, session):
    session.errors["SELECT"] = QueryError("no")
    async with Transaction(host) as tx:
        with pytest.raises(QueryError):
            await tx.all("SELECT 1")
    assert session.sent[-1] == "COMMIT"


@pytest.mark.parametrize("error", [Deadlock("d"), Timeout("t"), KeyError("k")])
async def test_other_errors_end_it(host, session, error):
    session.errors["SELECT"] = error
    with pytest.raises(DatabaseError, match="over because of an earlier error") as caught:
        async with Transaction(host) as tx:
            with pytest.raises(type(error)):
                await tx.all("SELECT 1")
            del session.errors["SELECT"]
            with pytest.raises(DatabaseError, match="over because of an earlier error"):
                await tx.all("SELECT 2")
    assert isinstance(caught.value, Conflict) == isinstance(error, Conflict)
    assert caught.value.__cause__ is error
    assert session.sent == ["BEGIN", "SELECT 1", "ROLLBACK"]


async def test_a_statement_that_ends_it(host, session):
    with pytest.raises(UsageError, match="CREATE ended the transaction"):
        async with Transaction(host) as tx:
            await tx.execute("CREATE TABLE x (a INT)")
    assert host.returned == 1


async def test_a_misuse_seen_in_time_does_not_end_it(host, session):
    session.errors["SELECT"] = UsageError("two tasks")
    async with Transaction(host) as tx:
        with pytest.raises(UsageError):
            await tx.all("SELECT 1")
    assert session.sent[-1] == "COMMIT"

"""Transactions and savepoints.

Owns: the life of a transaction: begun, then committed or rolled back, or over because the server ended it.
Must not know: the pool's decisions, drivers.
Invariant: nothing runs in a transaction that is over. A server that rolls back by itself (deadlock, lost connection) or
commits by itself (CREATE TABLE on MySQL) would run what follows on its own; here what follows raises, and so does
the end of the block, even where the error was caught inside. What ends a savepoint badly ends its transaction: whether
a part is in it or not must never be left open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from enum import Enum
from types import TracebackType
from typing import Any, Protocol

from .deadline import Deadline, Limit
from .errors import Conflict, DatabaseError, OutcomeUnknown, Timeout, Unavailable, UsageError
from .executor import Queries, RowStream
from .session import Answer, Isolation, Session
from .sql import CLEAN_KEYWORDS, Statement, Values, split_statements
from .url import Engine

__all__ = ["Host", "Transaction"]

ROLLBACK_TIMEOUT = 5.0  # seconds; then the connection is closed, which rolls back too


class Host(Protocol):
    """The database, as far as a transaction needs it."""

    deadline: Deadline
    holders: dict[asyncio.Task[Any] | None, Transaction]

    @property
    def engine(self) -> Engine: ...

    def lease(self) -> Coroutine[Any, Any, Session]:
        """A session for this task alone."""
        ...

    def give_back(self, session: Session) -> None:
        """The session's end here."""
        ...


class Stage(Enum):
    """NEW, then OPEN inside of the block; BROKEN when the server ended it early; DONE behind the block."""

    NEW = "not begun: use `async with`"
    OPEN = "open"
    BROKEN = "over, because of an earlier error"
    DONE = "over"


NEW, OPEN, BROKEN, DONE = Stage  # up to Python 3.11 `Stage.OPEN` takes 0.1 us, for each statement


class Transaction(Queries):
    """What `async with db.transaction() as tx` gives: the methods of a database, on one connection.

    The end of the block commits; an exception that leaves it rolls back. Nested, `tx.transaction()` is a savepoint.
    """

    def __init__(
        self,
        host: Host,
        isolation: Isolation | None = None,
        read_only: bool = False,
        outer: Transaction | None = None,
    ) -> None:
        self.engine = host.engine
        self._host = host
        self._isolation = isolation
        self._read_only = read_only
        self._outer = outer
        self._stage = NEW
        self._reason: BaseException | None = None
        self._session: Session | None = None
        self._task: asyncio.Task[Any] | None = None
        self._depth: int = outer._depth + 1 if outer is not None else 0

    def transaction(self) -> Transaction:
        """A savepoint: what fails inside of its block is undone alone; where it cannot be, the whole is undone."""
        return Transaction(self._host, outer=self)

    async def __aenter__(self) -> Transaction:
        if self._stage is not NEW:
            raise UsageError("a transaction is used once: call `transaction()` again for the next one")
        if self._outer is not None:
            await self._outer._answer(Statement(f"SAVEPOINT {self._name}", "SAVEPOINT", True), ())
            self._session = self._outer._session
        else:
            self._session = await self._begin()
            self._task = asyncio.current_task()
            self._host.holders[self._task] = self
        self._stage = OPEN
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                await self._undo()
            else:
                await self._commit()
        finally:
            self._stage = DONE
            self._reason = None  # its traceback leads back here: together they would stay, and the values with them
            session, self._session = self._session, None
            if self._outer is None and session is not None:
                del self._host.holders[self._task]
                self._host.give_back(session)

    # ---- running

    async def script(self, text: str) -> None:
        """Run the statements of a script in this transaction: `await tx.script(schema)`. As `db.script` otherwise.

        On SQLite a change of tables is part of the transaction; on MySQL it ends it, which raises UsageError.
        """
        for each in split_statements(text, self.engine):
            await self._answer(Statement(each, "script", False), (), limited=False)

    async def _answer(self, statement: Statement, values: Values, *, limited: bool = True) -> Answer:
        session = self._usable()
        try:
            with Limit(self._host.deadline, statement.keyword, default=limited):
                answer = await session.run(statement, values)
        except BaseException as error:
            self._note(error, session)
            raise
        if not session.in_transaction:
            ended = UsageError(
                f"{statement.keyword} ended the transaction, with all that was done before it: MySQL commits before it "
                "changes a table; run such statements outside of transactions"
            )
            self._note(ended, session)
            raise ended
        return answer

    def _rows(self, statement: Statement, values: Values) -> RowStream:
        if statement.keyword not in CLEAN_KEYWORDS:  # only when all is read it is known what it did
            raise UsageError(
                f"{statement.keyword} is not for `iterate` in a transaction, whose end would be seen too late: run it "
                "with `execute`, or read its rows with `all`"
            )
        return TransactionRows(self, statement, values)

    def _usable(self) -> Session:
        if self._root._stage is BROKEN:
            raise self._broken()
        if self._stage is not OPEN or self._session is None:
            raise UsageError(f"this transaction is {self._stage.value}; run nothing with its `tx` outside of its block")
        return self._session

    def _note(self, error: BaseException, session: Session) -> None:
        """Remember an error after which the server no longer has this transaction, or may not have it."""
        known = isinstance(error, DatabaseError) and not isinstance(error, Conflict | Timeout | Unavailable)
        if isinstance(error, UsageError) and session.in_transaction:
            return  # the mistake was seen before anything was sent
        if not known or not session.is_open or not session.in_transaction:
            self._break(error)

    def _break(self, error: BaseException) -> None:
        """Nothing runs in the whole any more, and its end raises; the first error is the one to be told."""
        if self._root._stage is OPEN:
            self._root._stage, self._root._reason = BROKEN, error

    def _broken(self) -> DatabaseError:
        reason = self._root._reason
        text = f"this transaction is over because of an earlier error ({type(reason).__name__}: {reason})"
        error = type(reason)(text) if isinstance(reason, Conflict | Unavailable) else UsageError(text)
        error.__cause__ = reason
        return error

    # ---- beginning and ending

    async def _begin(self) -> Session:
        with Limit(self._host.deadline, "BEGIN", default=False):
            session = await self._host.lease()
        try:
            with Limit(self._host.deadline, "BEGIN"):
                await session.begin(self._isolation, self._read_only)
        except BaseException:
            self._host.give_back(session)
            raise
        return session

    async def _commit(self) -> None:
        session = self._session
        if session is None or self._root._stage is BROKEN:
            await self._undo()
            raise self._broken()
        word, is_sent = "COMMIT" if self._outer is None else "RELEASE", False
        try:
            with Limit(self._host.deadline, word):
                await session.make_room()
                is_sent = True
                if self._outer is None:
                    await session.end("COMMIT")
                else:
                    await session.command(f"RELEASE SAVEPOINT {self._name}")
        except Timeout as error:
            if is_sent and self._outer is None:
                raise OutcomeUnknown(
                    "COMMIT was not answered in time: the transaction may be committed or not; read the data again"
                ) from error
            if not is_sent:
                await self._undo()
            is_over = is_sent or self._outer is None or not session.is_open or self._root._stage is BROKEN
            when, what = "answered" if is_sent else "sent", "transaction" if is_over else "savepoint"
            late = Timeout(f"the time was over before {word} was {when}: the {what} was rolled back")
            if is_over:
                self._break(late)
            raise late from error
        except BaseException as error:
            self._break(error)
            raise

    async def _undo(self) -> None:
        """Roll back; what cannot be rolled back goes with the whole, and that with its connection."""
        session = self._session
        if session is None or not session.is_open or (self._outer is not None and self._root._stage is BROKEN):
            return
        try:
            async with asyncio.timeout(ROLLBACK_TIMEOUT):
                if self._outer is None:
                    await session.end("ROLLBACK")
                else:
                    await session.command(f"ROLLBACK TO SAVEPOINT {self._name}")
                    await session.command(f"RELEASE SAVEPOINT {self._name}")
        except (DatabaseError, TimeoutError) as error:
            self._break(error)
        except BaseException:
            session.abort()
            raise

    @property
    def _root(self) -> Transaction:
        return self if self._outer is None else self._outer._root

    @property
    def _name(self) -> str:
        return f"minihttp_{self._depth}"


class TransactionRows(RowStream):
    """The rows of `tx.iterate`: the session stays with the transaction."""

    def __init__(self, tx: Transaction, statement: Statement, values: Values) -> None:
        super().__init__(statement, values, tx._host.deadline)
        self._tx = tx

    async def _enter(self) -> Session:
        return self._tx._usable()

    def _failed(self, error: BaseException, session: Session) -> None:
        self._tx._note(error, session)

    def _exit(self, session: Session) -> None:
        pass

"""A database: the pool behind it, and queries on whichever connection is free.

Owns: opening and closing, which driver is loaded, and who may use the pool.
Must not know: a driver's names, SQL's grammar.
Invariant: a task that holds a transaction cannot reach the pool by accident: it would wait for a second connection
while it keeps the first, and what it does there would not be part of the transaction.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from .connection import Connector
from .deadline import Deadline, Limit
from .errors import Conflict, UsageError
from .executor import Queries, RowStream
from .pool import Pool, PoolStats
from .session import ISOLATION_LEVELS, Answer, Isolation, Session
from .sql import Statement, Values, split_statements
from .transaction import Transaction
from .url import DatabaseURL, Engine, parse_url

__all__ = ["Database"]

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 5
FIRST_PAUSE = 0.01  # seconds between attempts of `retry`, doubled each time


class Database(Queries):
    """A MySQL, MariaDB or SQLite database, used inside `async with`.

    Example: `async with Database("mysql://user:password@host:3306/name?pool_size=8") as db: await db.all("SELECT 1")`.
    Raises InvalidURL; opening raises Unavailable with one sentence that says what to look at.
    """

    def __init__(self, url: str) -> None:
        self.url: DatabaseURL = parse_url(url)
        self.engine: Engine = self.url.engine
        self.deadline = Deadline(self.url.options.query_timeout)
        self.holders: dict[asyncio.Task[Any] | None, Transaction] = {}
        self._pool: Pool[Session] | None = None
        self._closing = False

    def __repr__(self) -> str:
        return f"Database({str(self.url)!r})"

    @property
    def stats(self) -> PoolStats:
        """What the pool is doing and has done. Raises UsageError while the database is closed."""
        return self._open_pool().stats

    # ---- opening and closing

    async def open(self) -> None:
        """Make the first connection. Raises Unavailable where the database is not there or will not let us in."""
        if self._pool is not None:
            raise UsageError("this database is open already, or is still being closed")
        pool = Pool(connector(self.url), self.url.options)
        self._pool = pool
        self.deadline.stop()  # work that outlived an earlier `close` may have set its timer again, on another loop
        try:
            await pool.open()
        except BaseException:
            self._pool = None
            raise
        self.deadline.loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Close all connections; running queries get the option close_grace to finish. Closing twice is no error."""
        pool = self._pool
        if pool is None or self._closing:
            return
        self._closing = True
        try:
            await pool.close()  # from now on it lends nothing, and still takes back what is out
        finally:
            self._pool, self._closing = None, False
            self.deadline.stop()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ---- queries

    def within(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """A deadline for the queries inside: `async with db.within(2.0): ...`. They raise Timeout (503) after it."""
        return self.deadline.within(seconds)

    def transaction(self, isolation: Isolation | None = None, read_only: bool = False) -> Transaction:
        """All or nothing: `async with db.transaction() as tx: await tx.execute(...)`.

        `isolation` is "read uncommitted", "read committed", "repeatable read" or "serializable"; SQLite is always
        serializable. Entering raises UsageError in a task that holds a transaction of this database.
        """
        if isolation is not None and isolation not in ISOLATION_LEVELS:
            raise UsageError(f"there is no isolation level {isolation!r}: it is one of {', '.join(ISOLATION_LEVELS)}")
        return Transaction(self, isolation, read_only)

    async def retry(
        self, fn: Callable[Concatenate[Transaction, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(tx, *args)` in a transaction, again as a whole where another transaction was in the way.

        Example: `await db.retry(transfer, 1, 2, amount)`. After five attempts, or when the time that `within` gives to
        all of them is too short for another, the Conflict is raised. What `fn` does besides the database, it may do
        several times.
        """
        attempt = 1
        while True:
            try:
                async with self.transaction() as tx:
                    return await fn(tx, *args, **kwargs)
            except Conflict:
                # Those who met once would meet again if they waited equally long.
                pause = FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.0)
                if attempt == ATTEMPTS or pause >= self.deadline.left:
                    raise
            await asyncio.sleep(pause)
            attempt += 1

    async def script(self, text: str) -> None:
        """Run the statements of a script one after another on one connection: `await db.script(schema)`.

        `/*! ... */` is code for MySQL and a comment for SQLite. There are no parameters, and no deadline but that of
        `within`. An error carries a note that says which statement it was.
        """
        statements = split_statements(text, self.engine)
        with Limit(self.deadline, "script", default=False):
            session = await self.lease()
        try:
            for number, each in enumerate(statements, 1):
                try:
                    with Limit(self.deadline, "script", default=False):
                        await session.run(Statement(each, "script", False))
                except Exception as error:
                    error.add_note(f"in statement {number} of {len(statements)} of the script: {each[:200]}")
                    raise
        finally:
            self.give_back(session)

    async def lease(self) -> Session:
        """A session for this task alone, for `give_back`: what transactions are made of."""
        return await self._open_pool().acquire()

    def give_back(self, session: Session) -> None:
        """End a lease. It never waits."""
        if self._pool is not None:
            self._pool.release(session, lost=session.was_lost)

    async def _answer(self, statement: Statement, values: Values) -> Answer:
        pool = self._open_pool()
        with Limit(self.deadline, statement.keyword) as limit:
            session = await pool.acquire(limit.task, limit.begun)
            try:
                return await session.run(statement, values)
            finally:
                pool.release(session, lost=session.was_lost)

    def _rows(self, statement: Statement, values: Values) -> RowStream:
        return DatabaseRows(self, statement, values)

    def _open_pool(self) -> Pool[Session]:
        if self._pool is None:
            raise UsageError(f"{self!r} is not open: use it inside `async with db`, or after `await db.open()`")
        if self.holders and asyncio.current_task(self.deadline.loop) in self.holders:
            raise UsageError(
                "this task holds a transaction of this database: use its `tx` here, as in `tx.all(...)` and "
                "`users.on(tx)`, or leave the block first"
            )
        return self._pool


class DatabaseRows(RowStream):
    """The rows of `db.iterate`, on a connection of their own until the end."""

    def __init__(self, database: Database, statement: Statement, values: Values) -> None:
        super().__init__(statement, values, database.deadline)
        self._database = database

    async def _enter(self) -> Session:
        return await self._database.lease()

    def _failed(self, error: BaseException, session: Session) -> None:
        pass

    def _exit(self, session: Session) -> None:
        self._database.give_back(session)


def connector(url: DatabaseURL) -> Connector[Session]:
    """Load the driver of this engine, and only it: a driver costs more to import than all the rest."""
    if url.engine == "mysql":
        from .mysql import MySQLConnector

        return MySQLConnector(url)
    from .sqlite import SQLiteConnector

    return SQLiteConnector(url)

"""Connections to SQLite through aiosqlite, the only file that knows it.

Owns: how a file is opened and set up, how a statement travels to the connection's thread, and what SQLite's error
names mean.
Must not know: the pool's decisions, rows as the application sees them.
Invariant: the loop's thread never waits for the file. A statement, all of its rows included, is one trip to the
connection's thread and back. A cancelled statement is interrupted there, and the next one waits until that is over.
The thread waits for another writer in short pieces: no interruption reaches it there, nor before a statement begins.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from traceback import clear_frames
from typing import Any, TypeVar

import aiosqlite

from .errors import DatabaseError, DataError, Deadlock, IntegrityError, LockTimeout, QueryError, Unavailable
from .session import Answer, Isolation, Session, Stream, columns_of
from .sql import Statement, Values
from .url import DatabaseURL, Engine

__all__ = ["SQLiteConnector", "SQLiteSession"]

# NORMAL is safe with WAL: a power cut may lose the last commits, never the file.
SET_UP_FILE = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON"
SET_UP_MEMORY = "PRAGMA foreign_keys = ON; PRAGMA query_only = OFF"
ROWS_AT_ONCE = 500
BUSY_PIECE = 0.1  # seconds that the thread waits for another writer before it asks whether anybody still wants that
AGAIN = 0.01  # seconds between two interruptions of the same statement

T = TypeVar("T")

KINDS = {
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_ROWID": "unique",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign key",
    "SQLITE_CONSTRAINT_NOTNULL": "not null",
    "SQLITE_CONSTRAINT_CHECK": "check",
    "SQLITE_CONSTRAINT_TRIGGER": "check",
}
BAD_VALUE = frozenset({"SQLITE_MISMATCH", "SQLITE_TOOBIG"})
CONSTRAINT_DATATYPE = 3091  # of a STRICT table; Python has no name for it
BROKEN_FILE = ("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_PROTOCOL")
FAILED = re.compile(r"constraint failed: (.+)", re.DOTALL)


class OneTrip(sqlite3.Connection):
    """A connection whose `execute` takes all rows at once, so that the caller's thread is left only once."""

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Run a statement in the connection's thread; `fetchall` of what it returns is an `Answer`."""
        cursor = super().execute(sql, parameters)
        rows = cursor.fetchall()
        columns = columns_of(cursor.description)
        changed = max(cursor.rowcount, 0)
        return Done((columns, rows, changed or len(rows), cursor.lastrowid if changed else None))


class Done:
    """Stands where aiosqlite expects a cursor."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def fetchall(self) -> Answer:
        """What the statement gave."""
        return self._answer


class SQLiteConnector:
    """Opens the file, and creates it where it does not exist."""

    def __init__(self, url: DatabaseURL) -> None:
        self._url = url
        self.where = "the SQLite database in memory" if url.in_memory else f"the SQLite file {url.name}"

    async def connect(self) -> SQLiteSession:
        """A session, set up. Raises Unavailable with one sentence for the operator."""
        opening = asyncio.ensure_future(self._open())
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # A thread that is opening the file cannot be stopped, only awaited: it must not outlive the loop.
            await asyncio.wait([opening])
            if opening.exception() is None:
                await opening.result().close()
            raise

    async def _open(self) -> SQLiteSession:
        options = self._url.options
        driver = aiosqlite.connect(
            self._url.name,
            factory=OneTrip,
            isolation_level=None,  # transactions begin where the program says so
            timeout=min(options.busy_timeout, BUSY_PIECE),
            cached_statements=max(options.statement_cache, 1),
            check_same_thread=False,  # one thread uses it; another may interrupt it
        )
        session = SQLiteSession(driver, self._url.in_memory, options.busy_timeout)
        set_up = SET_UP_MEMORY if self._url.in_memory else SET_UP_FILE
        try:
            await driver
            await session.patiently(lambda: driver.executescript(set_up))
        except sqlite3.Error as error:
            session.abort()
            await asyncio.to_thread(driver._thread.join)  # it reports to the loop, which may be closed next
            raise Unavailable(
                f"cannot open {self.where}: {error}; does its folder exist, and may this user read and write there?",
                code=error.sqlite_errorname,
            ) from error
        return session


class SQLiteSession(Session):
    """One connection with a thread of its own. That of a database in memory is the database: it is never replaced."""

    engine: Engine = "sqlite"

    def __init__(self, driver: aiosqlite.Connection, in_memory: bool, patience: float) -> None:
        super().__init__()
        self._driver = driver
        self._in_memory = in_memory
        self._patience = patience
        self._interrupted = False
        self._read_only = False
        self._stopped: asyncio.Future[Any] | None = None
        self._closed = False

    @property
    def is_open(self) -> bool:
        return not self._closed

    @property
    def is_clean(self) -> bool:
        return not (self._interrupted or self._read_only) and super().is_clean

    @property
    def in_transaction(self) -> bool:
        return not self._closed and self._driver.in_transaction

    async def ping(self) -> bool:
        return True

    async def restore(self) -> bool:
        if self._dirty and not self._in_memory:
            return False
        if self._interrupted:
            await self._interrupt_until(asyncio.ensure_future(self._driver.cursor()))
        if self._stream is not None:
            await self._stream.discard()
            self._stream = None
        if self._driver.in_transaction:
            await self._driver.rollback()
        if self._in_memory:
            await self._driver.executescript(SET_UP_MEMORY)
        elif self._read_only:
            await self._driver.execute_fetchall("PRAGMA query_only = OFF")
        self._dirty = self._interrupted = self._read_only = False
        return True

    async def close(self) -> None:
        self.abort()
        if self._stopped is not None:
            await self._interrupt_until(self._stopped)

    def abort(self) -> None:
        if not self._closed:
            self._closed = True
            self._interrupt()
            self._stopped = self._driver.stop()

    async def begin(self, isolation: Isolation | None, read_only: bool) -> None:
        if read_only:
            self._read_only = True
            await self.command("PRAGMA query_only = ON")
        # IMMEDIATE: a transaction that reads first and writes later would fail there when another one wrote meanwhile.
        await self.command("BEGIN" if read_only else "BEGIN IMMEDIATE")

    async def end(self, text: Any) -> None:
        await super().end(text)
        if self._read_only:
            await self.command("PRAGMA query_only = OFF")
            self._read_only = False

    # ---- statements

    async def _run(self, statement: Statement, values: Values) -> Answer:
        try:
            answer: Any = await self.patiently(lambda: self._driver.execute_fetchall(statement.text, values))
            columns, rows, rowcount, last_id = answer
            # SQLite tells the id of the last row that the connection ever added, also for an UPDATE.
            return columns, rows, rowcount, last_id if statement.keyword in ("INSERT", "REPLACE") else None
        except BaseException as error:
            self.explain(error)
            raise

    async def _open_stream(self, statement: Statement, values: Values) -> Stream:
        try:
            if self._in_memory:  # there is one connection for everybody: it is given back at once
                return WholeStream(await self._run(statement, values))
            cursor = await self._driver.cursor()
            # Kept at once, for `restore`: until it is closed, an interrupted one interrupts what is run after it too.
            self._stream = stream = SQLiteStream(self, cursor)
            await self.patiently(lambda: cursor.execute(statement.text, values))
            stream.columns = columns_of(cursor.description)
            return stream
        except BaseException as error:
            self.explain(error)
            raise

    def explain(self, error: BaseException) -> None:
        """Raise what a fault of the driver means; a statement that nobody waits for any more is interrupted.

        Returns where the error itself is to go on.
        """
        # The driver's future holds the error, whose traceback holds the future, and the statement's values with it.
        clear_frames(error.__traceback__)
        if isinstance(error, DatabaseError):
            return
        if isinstance(error, sqlite3.Error):
            raise translate(error) from error
        if isinstance(error, ValueError) and self._closed:
            raise Unavailable("the SQLite connection was closed while it was in use") from error
        if isinstance(error, Exception):
            raise QueryError(f"SQLite cannot take this: {error}") from error
        self._interrupted = True
        self._interrupt()

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, again and again while another writes to the file, for as long as busy_timeout allows."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        while True:
            try:
                return await work()
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorname", "") != "SQLITE_BUSY" or loop.time() >= until:
                    raise

    async def _interrupt_until(self, last: asyncio.Future[Any]) -> None:
        """Interrupt what runs until the thread comes to `last`: before a statement has begun, it hears nothing."""
        while not last.done():
            self._interrupt()
            await asyncio.wait([last], timeout=AGAIN)

    def _interrupt(self) -> None:
        # A coroutine function without an await: it is done when it is started.
        work = self._driver.interrupt()
        with suppress(StopIteration, ValueError, sqlite3.Error):
            work.send(None)


class SQLiteStream(Stream):
    """A result read piece by piece in the connection's thread."""

    def __init__(self, session: SQLiteSession, cursor: aiosqlite.Cursor) -> None:
        self._session = session
        self._cursor = cursor

    async def fetch(self) -> Sequence[Any]:
        try:
            return list(await self._cursor.fetchmany(ROWS_AT_ONCE))
        except BaseException as error:
            self._session.explain(error)
            raise

    async def discard(self) -> None:
        await self._cursor.close()


class WholeStream(Stream):
    """A result that is here already."""

    is_whole = True

    def __init__(self, answer: Answer) -> None:
        self.columns, self._rows, _, _ = answer

    async def fetch(self) -> Sequence[Any]:
        return self._rows

    async def discard(self) -> None:
        pass


def translate(error: sqlite3.Error) -> DatabaseError:
    """The error for one of SQLite's, decided by its name (`SQLITE_BUSY`) alone."""
    name: str = getattr(error, "sqlite_errorname", "") or ""
    text = str(error)
    if name in KINDS:
        return broken_constraint(KINDS[name], name, text)
    if name in BAD_VALUE or getattr(error, "sqlite_errorcode", 0) == CONSTRAINT_DATATYPE:
        return DataError(f"a value does not fit: {text}", code=name)
    if name in ("SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED_SHAREDCACHE", "SQLITE_LOCKED"):
        return Deadlock("another transaction changed what this one has read: run it again (db.retry)", code=name)
    if name.startswith("SQLITE_BUSY"):
        return LockTimeout("another process or task writes to the file, and took longer than busy_timeout", code=name)
    if name == "SQLITE_INTERRUPT":
        return Unavailable("the statement was interrupted: the database is being closed", code=name)
    if name.startswith(BROKEN_FILE):
        return Unavailable(f"the SQLite file cannot be used: {text}", code=name)
    return QueryError(f"{text} (SQLite)", code=name or None)


def broken_constraint(kind: str, name: str, text: str) -> IntegrityError:
    match = FAILED.search(text)
    constraint = match[1] if match else None
    if constraint and kind in ("unique", "not null"):  # `user.a, user.b`, or of an expression `index 'name'`
        constraint = ", ".join(
            column.rpartition(".")[2].removeprefix("index ").strip("'") for column in constraint.split(", ")
        )
    words = {
        "unique": "there is a row with this value already",
        "foreign key": "a row refers to another that is not there, or is referred to and cannot go",
        "not null": "a value is missing",
        "check": "a value breaks a rule of its table",
    }
    summary = f"{words[kind]} ({kind} {constraint or 'constraint'})"
    return IntegrityError(summary, code=name, kind=kind, constraint=constraint)

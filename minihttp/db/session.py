"""One connection to a database as the upper half sees it, whatever the engine.

Owns: the guard against two users at once, and what a session remembers so that the pool knows whether the next task
may have it.
Must not know: a driver, the pool, who runs what and why.
Invariant: at most one statement or stream is under way. Whatever ends one early, an error of the protocol or a
cancellation, leaves the session closed or marked as not clean, never in doubt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from .. import waits
from .errors import UsageError
from .sql import Statement, Values
from .url import Engine

__all__ = ["ISOLATION_LEVELS", "Answer", "Isolation", "Session", "Stream", "answer", "columns_of"]

Isolation = Literal["read uncommitted", "read committed", "repeatable read", "serializable"]
ISOLATION_LEVELS: tuple[Isolation, ...] = ("read uncommitted", "read committed", "repeatable read", "serializable")


# What a statement gave: the names of the columns and rows of values, or none of them; a count, and the id of a new row
# (None where there is none). A bare tuple: one with names for its places takes four times as long to make.
Answer = tuple[tuple[str, ...], Sequence[Sequence[Any]], int, int | None]


def columns_of(description: Any) -> tuple[str, ...]:
    """The names in the description of a driver's cursor."""
    return tuple([column[0] for column in description or ()])


def answer(columns: tuple[str, ...], rows: Any, affected: int, insert_id: int) -> Answer:
    """The answer of a driver that tells 0 for no id, and counts rows of a table alone."""
    return columns, rows or (), len(rows) if columns else affected, insert_id or None


class Stream(ABC):
    """A result that is read in pieces; `fetch` gives no rows when it is at its end."""

    columns: tuple[str, ...] = ()
    is_whole = False  # the first `fetch` gives everything
    is_wanted = False  # somebody will read it; else the next statement, if one comes, throws it away first

    @abstractmethod
    async def fetch(self) -> Sequence[Sequence[Any]]:
        """The next rows, or none at the end. Raises DatabaseError."""

    @abstractmethod
    async def discard(self) -> None:
        """Throw the rest away, so that the session can be used again. Raises DatabaseError."""


class Session(ABC):
    """A connection that runs statements: the pool's `Connection`, and the methods that use it."""

    engine: Engine
    origin = ""

    def __init__(self) -> None:
        self.was_lost = False
        self._dirty = False
        self._doing: str | None = None  # the first word of the statement that is under way
        self._stream: Stream | None = None

    # ---- for the pool

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether it can be used as far as this side knows."""

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether the server keeps a transaction open on it."""

    @property
    def is_clean(self) -> bool:
        """Whether the next task may have it as it is."""
        return not (self._dirty or self._doing is not None or self._stream is not None or self.in_transaction)

    @abstractmethod
    async def ping(self) -> bool:
        """Ask the server whether it is there."""

    @abstractmethod
    async def restore(self) -> bool:
        """Roll back what is open; False where only a new session is as good as new."""

    @abstractmethod
    async def close(self) -> None:
        """Say goodbye, or, after `abort`, do what is left to do."""

    @abstractmethod
    def abort(self) -> None:
        """Close it at once, whatever it does."""

    # ---- for queries

    async def run(self, statement: Statement, values: Values = ()) -> Answer:
        """Run one statement and take its whole answer. Raises DatabaseError."""
        if self._doing is not None or self._stream is not None:
            await self.make_room()
        self._begins(statement)
        try:
            return await self._run(statement, values)
        finally:
            self._doing = None

    async def command(self, text: str) -> None:
        """COMMIT and its kin, which leave the session clean. Raises DatabaseError."""
        await self.run(Statement(text, text.partition(" ")[0], True))

    @abstractmethod
    async def begin(self, isolation: Isolation | None, read_only: bool) -> None:
        """Start a transaction. Raises DatabaseError."""

    async def end(self, text: Literal["COMMIT", "ROLLBACK"]) -> None:
        """End the transaction. Raises DatabaseError."""
        await self.command(text)

    async def stream(self, statement: Statement, values: Values = ()) -> Stream:
        """Start to read an answer piece by piece, to `finished` or till it is not `is_wanted`. Raises DatabaseError."""
        if self._doing is not None or self._stream is not None:
            await self.make_room()
        self._begins(statement)
        try:
            self._stream = stream = await self._open_stream(statement, values)
        finally:
            self._doing = None
        stream.is_wanted = True
        return stream

    def finished(self) -> None:
        """The stream was read to its end."""
        self._stream = None

    def _begins(self, statement: Statement) -> None:
        """From here on nobody else may do anything with it, and the next task what this statement allows."""
        self._doing = statement.keyword
        if not statement.is_clean:
            self._dirty = True
        if waits.current.record is not None:
            waits.waiting_for("query", statement.text)

    async def make_room(self) -> None:
        """Throw away what nobody will read of a stream. Raises DatabaseError; UsageError where it is still read."""
        if self._doing is not None:
            raise UsageError(
                "two tasks use one transaction at the same time: it is one connection, which runs one statement after "
                "another; await each call before the next, or give each task a transaction of its own"
            )
        if self._stream is not None and self._stream.is_wanted:
            raise UsageError(
                "an `iterate` of this transaction is not at its end: finish the loop, or read the rows with `all`, "
                "before the next statement"
            )
        if self._stream is not None:
            self._doing = "SELECT"
            try:
                await self._stream.discard()
            finally:
                self._doing = None
            self._stream = None

    # ---- for the engines

    @abstractmethod
    async def _run(self, statement: Statement, values: Values) -> Answer: ...

    @abstractmethod
    async def _open_stream(self, statement: Statement, values: Values) -> Stream: ...

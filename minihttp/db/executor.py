"""The methods that run SQL, which a database and a transaction share.

Owns: `Executor`, the protocol that a repository asks for; from SQL and parameters to rows; iterating.
Must not know: where the session comes from.
Invariant: SQL is compiled and its parameters are checked before a session is asked for, so a wrong call costs nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, Self

from ..waits import waiting_for
from .deadline import Deadline, Limit
from .errors import MultipleRows, NotFound, QueryError, UsageError
from .rows import Row, index_of, make_rows
from .session import Answer, Session, Stream
from .sql import Statement, Values, compile_sql
from .url import Engine

__all__ = ["Executor", "Params", "Queries", "Result", "RowStream"]

Params = Mapping[str, Any] | None

TRANSACTION_WORDS = frozenset({"BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "END", "XA"})


@dataclass(frozen=True, slots=True)
class Result:
    """What `execute` did: the number of rows that it found to change, and the id of the row that it added, if any.

    For several rows added by one statement, `last_id` is that of the first on MySQL and of the last on SQLite.
    """

    rowcount: int
    last_id: int | None


class Executor(Protocol):
    """What runs SQL: a `Database`, or a `Transaction` of it."""

    @property
    def engine(self) -> Engine: ...
    async def all(self, sql: str, params: Params = None, /, **named: Any) -> list[Row]: ...
    async def one(self, sql: str, params: Params = None, /, **named: Any) -> Row: ...
    async def scalar(self, sql: str, params: Params = None, /, **named: Any) -> Any: ...
    async def execute(self, sql: str, params: Params = None, /, **named: Any) -> Result: ...
    def iterate(self, sql: str, params: Params = None, /, **named: Any) -> AsyncIterator[Row]: ...
    def transaction(self) -> AbstractAsyncContextManager[Executor]: ...


class Queries(ABC):
    """`all`, `one`, `scalar`, `execute` and `iterate` on top of one method that runs a statement.

    All of them take SQL with `:name` parameters and their values, as a mapping or by name. They raise QueryError for
    SQL or parameters that are wrong, IntegrityError, Conflict, Timeout, Unavailable and OutcomeUnknown.
    """

    engine: Engine  # the SQL that is spoken: "mysql" (MariaDB too) or "sqlite"

    async def all(self, sql: str, params: Params = None, /, **named: Any) -> list[Row]:
        """Every row: `await db.all("SELECT * FROM user WHERE city = :city", city="北京")`."""
        columns, rows, _, _ = await self._answer(*self._bound(sql, params, named))
        return make_rows(columns, rows)

    async def one(self, sql: str, params: Params = None, /, **named: Any) -> Row:
        """The one row there is: `await db.one("SELECT * FROM user WHERE id = :id", id=7)`.

        Raises NotFound (404) where there is none, MultipleRows where there are more.
        """
        columns, rows, _, _ = await self._answer(*self._bound(sql, params, named))
        if len(rows) != 1:
            if rows:
                raise MultipleRows(f"`one` found {len(rows)} rows: add a condition or a LIMIT, or use `all`")
            raise NotFound("there is no such row")
        return Row(index_of(columns), rows[0])

    async def scalar(self, sql: str, params: Params = None, /, **named: Any) -> Any:
        """The first value of the first row, or None: `await db.scalar("SELECT COUNT(*) FROM user")`."""
        _, rows, _, _ = await self._answer(*self._bound(sql, params, named))
        return rows[0][0] if rows else None

    async def execute(self, sql: str, params: Params = None, /, **named: Any) -> Result:
        """Run a statement for what it does: `(await db.execute("DELETE FROM user WHERE id = :id", id=7)).rowcount`."""
        _, _, rowcount, last_id = await self._answer(*self._bound(sql, params, named))
        return Result(rowcount, last_id)

    def iterate(self, sql: str, params: Params = None, /, **named: Any) -> RowStream:
        """Rows one after another, without all of them in memory: `async for row in db.iterate("SELECT ..."): ...`."""
        return self._rows(*self._bound(sql, params, named))

    def _bound(self, sql: str, params: Params, named: dict[str, Any]) -> tuple[Statement, Values]:
        compiled = compile_sql(sql, self.engine)
        if params is None:
            values: Mapping[str, Any] = named
        elif isinstance(params, Mapping):
            values = {**params, **named} if named else params
        else:
            raise QueryError(f"parameters are passed by name, or as one mapping, not as {type(params).__name__}")
        statement, bound = compiled.bind(values)
        if not statement.is_clean and statement.keyword in TRANSACTION_WORDS:
            raise UsageError(
                f"{statement.keyword} is not run by hand: use `async with db.transaction() as tx`, and for a savepoint "
                "`tx.transaction()`"
            )
        return statement, bound

    @abstractmethod
    async def _answer(self, statement: Statement, values: Values) -> Answer: ...

    @abstractmethod
    def _rows(self, statement: Statement, values: Values) -> RowStream: ...


class RowStream(ABC):
    """The rows of `iterate`. A loop that is left early needs no care; `aclose` frees the connection at once.

    A class, not a generator: a generator that is left early is finalized by the loop, some time later, in a task of
    its own. This one gives its connection back as soon as nobody refers to it.
    """

    def __init__(self, statement: Statement, values: Values, deadline: Deadline) -> None:
        self._statement: Statement | None = statement
        self._values = values
        self._deadline = deadline
        self._text = statement.text
        self._session: Session | None = None
        self._stream: Stream | None = None
        self._buffer: list[Row] = []
        self._busy = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Row:
        if not self._buffer and not await self._more():
            raise StopAsyncIteration
        return self._buffer.pop()

    async def aclose(self) -> None:
        """Read no further. Raises UsageError while another task reads."""
        self._check_alone()
        self._leave(finished=False)

    def __del__(self) -> None:
        self._leave(finished=False)

    def _check_alone(self) -> None:
        if self._busy:
            raise UsageError("two tasks use one `iterate` at the same time: let one read and give rows to the other")

    async def _more(self) -> bool:
        self._check_alone()
        self._busy = True
        statement, self._statement = self._statement, None
        values, self._values = self._values, ()
        try:
            with Limit(self._deadline, "SELECT"):
                if statement is not None:
                    self._session = await self._enter()
                    self._stream = await self._session.stream(statement, values)
                stream = self._stream
                if stream is None:
                    return False
                waiting_for("query", self._text)
                rows = make_rows(stream.columns, await stream.fetch())
                waiting_for("")  # they may have been here already
        except BaseException as error:
            if self._session is not None:
                self._failed(error, self._session)
            self._leave(finished=False)
            raise
        finally:
            self._busy = False
        if not rows or stream.is_whole:
            self._leave(finished=True)
        rows.reverse()  # so that taking the first is taking the last
        self._buffer = rows
        return bool(rows)

    def _leave(self, *, finished: bool) -> None:
        session, self._session = self._session, None
        stream, self._stream = self._stream, None
        self._statement = None
        self._buffer = []
        if session is not None:
            if finished:
                session.finished()
            elif stream is not None:  # no other: the session may long be with somebody else
                stream.is_wanted = False
            self._exit(session)

    @abstractmethod
    async def _enter(self) -> Session: ...

    @abstractmethod
    def _failed(self, error: BaseException, session: Session) -> None: ...

    @abstractmethod
    def _exit(self, session: Session) -> None: ...

"""Every exception of the database side, each saying what to do and, where it matters, the status it is answered with.

Owns: the tree of errors, and which of them may be run again (`retryable`).
Must not know: a driver, its classes or its codes (`mysql_errors` and `sqlite` translate), nor the HTTP side.
Invariant: no text contains a password or the value of a parameter; the driver's own words are in `__cause__`.
`http_status` and `retry_after` (seconds) are plain attributes, so that whoever answers needs no import from here.
"""

from __future__ import annotations

__all__ = [
    "Conflict",
    "DataError",
    "DatabaseError",
    "Deadlock",
    "IntegrityError",
    "InvalidURL",
    "LockTimeout",
    "MigrationError",
    "MultipleRows",
    "NotFound",
    "OutcomeUnknown",
    "QueryError",
    "StaleVersion",
    "Timeout",
    "Unavailable",
    "UsageError",
]


class DatabaseError(Exception):
    """The root: `except DatabaseError` catches all that `minihttp.db` raises.

    `code` is the server's number (MySQL 1062) or name (SQLite "SQLITE_BUSY"), or None where no server spoke.
    `retryable` says that the whole transaction may be run again as it is.
    """

    http_status = 500
    retryable = False

    def __init__(self, message: str, *, code: int | str | None = None) -> None:
        super().__init__(message)
        self.code = code

    # TimeoutError is an OSError, whose own __str__ and pickling would look for an errno.
    __str__ = Exception.__str__


class InvalidURL(DatabaseError, ValueError):
    """The database URL or one of its options is wrong. The text never repeats the URL: it may hold a password."""


class UsageError(DatabaseError, RuntimeError):
    """The program uses the database in a way that cannot work.

    Example: `db.execute(...)` in a task that holds a transaction of the same database; the text names `tx`.
    """


class QueryError(DatabaseError):
    """The statement or its parameters are wrong: syntax, an unknown table or column, a missing parameter."""


class MigrationError(DatabaseError):
    """A migration cannot begin or go on: the text names the file and the statement, and says what to do."""


class DataError(QueryError):
    """A value does not fit its column (too long, out of range, of the wrong type): answered with 422."""

    http_status = 422


class NotFound(DatabaseError):
    """There is no such row: answered with 404, and with its text, which names no values."""

    http_status = 404

    @property
    def detail(self) -> str:
        """What the client may read."""
        return str(self)


class MultipleRows(DatabaseError):
    """One row was asked for, and there are more: add a condition to the statement, or a LIMIT."""


class IntegrityError(DatabaseError):
    """A constraint refused the change: answered with 409.

    `kind` is "unique", "foreign key", "not null" or "check"; `constraint` the name of the key, column or check as
    far as the server tells it, without its table, else None. MySQL names a unique key ("PRIMARY" is the id's), SQLite
    its columns ("a, b"): the same where a key has the name of its one column, as it has when it is given none. Of
    foreign keys SQLite tells nothing.

    Example: `except IntegrityError as error: if error.constraint == "email": ...`.
    """

    http_status = 409

    def __init__(
        self, message: str, *, code: int | str | None = None, kind: str = "unique", constraint: str | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.kind = kind
        self.constraint = constraint


class StaleVersion(DatabaseError):
    """The row was changed by somebody else since it was read, and is as they left it: answered with 409.

    `db.retry` does not run it again: the same old version would fail again. Read the row, decide anew, and save.
    """

    http_status = 409

    @property
    def detail(self) -> str:
        """What the client may read."""
        return str(self)


class Conflict(DatabaseError):
    """Another transaction was in the way, and nothing was changed: `db.retry` runs the whole again."""

    http_status = 503
    retry_after = 1
    retryable = True


class Deadlock(Conflict):
    """The database chose this transaction as the victim of a deadlock or of a failed serialization."""


class LockTimeout(Conflict):
    """A lock was not granted in the time that the database allows."""


class Timeout(DatabaseError, TimeoutError):
    """A deadline passed: waiting for a connection, or a query. A TimeoutError too; answered with 503."""

    http_status = 503
    retry_after = 1


class Unavailable(DatabaseError):
    """The database cannot be reached, refuses us or was lost, and nothing was changed: answered with 503.

    `retry_after` says in how many seconds it is worth trying again.
    """

    http_status = 503

    def __init__(self, message: str, *, code: int | str | None = None, retry_after: int = 1) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class OutcomeUnknown(DatabaseError):
    """The connection was lost while a change or a COMMIT was under way: it may have happened, or not.

    Read the data again to find out; never just run it again. Answered with 503, without a time to retry after.
    """

    http_status = 503

"""Databases: pools, transactions, rows and repositories, on MySQL, MariaDB and SQLite.

Owns: the names that applications import.
Must not know: drivers: asyncmy and aiosqlite are loaded when a database of their kind is opened.
Invariant: `import minihttp.db` loads no driver; one costs more than all the rest together.
"""

from __future__ import annotations

from .database import Database
from .errors import (
    Conflict,
    DatabaseError,
    DataError,
    Deadlock,
    IntegrityError,
    InvalidURL,
    LockTimeout,
    MigrationError,
    MultipleRows,
    NotFound,
    OutcomeUnknown,
    QueryError,
    StaleVersion,
    Timeout,
    Unavailable,
    UsageError,
)
from .executor import Executor, Result
from .lock import Lock
from .mapping import UnsignedBigInt
from .migrations import Migration, MigrationState, migrate, migration_plan, migration_status
from .pool import PoolStats
from .repository import Repository
from .rows import Row
from .transaction import Transaction

__all__ = [
    "Conflict",
    "DataError",
    "Database",
    "DatabaseError",
    "Deadlock",
    "Executor",
    "IntegrityError",
    "InvalidURL",
    "Lock",
    "LockTimeout",
    "Migration",
    "MigrationError",
    "MigrationState",
    "MultipleRows",
    "NotFound",
    "OutcomeUnknown",
    "PoolStats",
    "QueryError",
    "Repository",
    "Result",
    "Row",
    "StaleVersion",
    "Timeout",
    "Transaction",
    "Unavailable",
    "UnsignedBigInt",
    "UsageError",
    "migrate",
    "migration_plan",
    "migration_status",
]

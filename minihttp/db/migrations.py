"""Migrations: numbered files of SQL, each applied to a database once, in order.

Owns: which files there may be, the table that records what was applied, and what is done next.
Must not know: the command line, drivers.
Invariant: no statement runs twice by itself. On SQLite a file is one transaction, its record included. MySQL commits
each change of a table at once, so there a statement is recorded before it runs, and a record that was never followed
up stops everybody until a person has looked. The lock only keeps processes from meeting; that a holder has it still is
asked in the transaction that records. Trade-off: files go forward only; a change is undone by another file.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from hashlib import sha256
from os import PathLike
from pathlib import Path

from .database import Database
from .errors import DatabaseError, MigrationError, OutcomeUnknown, QueryError, UsageError
from .executor import TRANSACTION_WORDS, Executor
from .lock import Lock
from .rows import Row
from .session import Session
from .sql import Compiled, Statement, Style, split_statements

__all__ = ["Migration", "MigrationState", "migrate", "migration_plan", "migration_status"]

FILE = re.compile(r"([0-9]+)_.+\.sql")
TABLE = """CREATE TABLE IF NOT EXISTS `minihttp_migration` (
    `number` INTEGER PRIMARY KEY,
    `name` VARCHAR(255) NOT NULL,
    `state` VARCHAR(10) NOT NULL,
    `applied` INTEGER NOT NULL,
    `checksum` CHAR(64) NOT NULL,
    `error` TEXT,
    `changed_at` VARCHAR(19) NOT NULL
) /*! ENGINE=InnoDB CHARACTER SET utf8mb4 */"""
TABLES = {
    "mysql": "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = :name",
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name = :name",
}
RECORD = """REPLACE INTO `minihttp_migration` (number, name, state, applied, checksum, error, changed_at)
    VALUES (:number, :name, :state, :applied, :checksum, :error, CURRENT_TIMESTAMP)"""


class MigrationState(Enum):
    """PENDING, then RUNNING, then APPLIED; FAILED is tried again. SQLite's files go from PENDING to APPLIED at once."""

    PENDING = "pending"
    RUNNING = "running"  # the statement behind the applied ones was begun, and its end is not known
    FAILED = "failed"  # the statement behind the applied ones failed, and left nothing
    APPLIED = "applied"


@dataclass(frozen=True, slots=True)
class Migration:
    """A file, and how far this database is with it: `applied` of its `statements`, in UTC at `changed_at`."""

    number: int
    name: str
    statements: tuple[str, ...]
    state: MigrationState = MigrationState.PENDING
    applied: int = 0
    error: str | None = None
    changed_at: str | None = None

    def __str__(self) -> str:
        when = f" at {self.changed_at} UTC" if self.changed_at else ""
        error = f": {self.error}" if self.error else ""
        return f"{self.name} {self.state.value}{when}, {self.applied} of {len(self.statements)} statements{error}"


async def migration_status(db: Database, folder: str | PathLike[str]) -> list[Migration]:
    """Every file of the folder and its state; nothing is changed: `await migration_status(db, "migrations")`.

    Raises MigrationError where files and database do not belong together, naming the file and what to do.
    """
    files = read_folder(Path(folder), db.engine)
    tables = await db.all(TABLES[db.engine], name="minihttp_migration")
    return compare(files, await records(db) if tables else [])


async def migrate(
    db: Database,
    folder: str | PathLike[str],
    *,
    wait: float = 60.0,
    resume: int | None = None,
    break_lock: bool = False,
    report: Callable[[str], object] = lambda name: None,
) -> list[str]:
    """Apply what is not applied yet, and return the names of those files: `await migrate(db, "migrations")`.

    Processes that do it at the same time wait for each other, `wait` seconds at most. `resume` is the number of the
    statement to go on with in a file that is half applied, `break_lock` takes the lock from a process that is gone,
    and `report` is told the name of each file when it is applied.
    Raises MigrationError, LockTimeout, and UsageError where the pool has too few connections.
    """
    if db.engine == "mysql" and db.url.options.pool_size < 2:
        raise UsageError("database option pool_size is 1: migrations need 2, one of them to keep the lock meanwhile")
    files = await migration_status(db, folder)
    if resume is None and all(each.state is MigrationState.APPLIED for each in files):
        return []  # as nearly every time: without a lock, and without a write
    async with Lock(db, "migrations", wait=wait, steal=break_lock) as lock:
        await db.execute(TABLE)
        work = Work(db, lock)
        todo = migration_plan(compare(files, await db.retry(work.records)), resume)
        for file, first in todo:
            await work.apply(file, first)
            report(file.name)
    return [file.name for file, _ in todo]


class Work:
    """Applying files while the lock is held."""

    def __init__(self, db: Database, lock: Lock) -> None:
        self._db = db
        self._lock = lock

    async def records(self, tx: Executor) -> list[Row]:
        """What is recorded. A node of a cluster on which the lock is seen has seen all that was done before it."""
        await self._hold(tx)
        return await records(tx)

    async def apply(self, file: Migration, first: int) -> None:
        """Run the file's statements from this one on. Raises MigrationError that says how far it got."""
        if self._db.engine == "sqlite":
            async with self._db.transaction() as tx:
                await self._run(file, first, tx.script, partial(self._record, tx))
            return
        session = await self._db.lease()  # for the whole file: a SET is for the statements that follow
        try:
            await self._run(file, first, partial(run_alone, session), lambda state: self._db.retry(self._record, state))
        finally:
            self._db.give_back(session)

    async def _run(
        self,
        file: Migration,
        first: int,
        run: Callable[[str], Awaitable[None]],
        record: Callable[[Migration], Awaitable[None]],
    ) -> None:
        for applied, text in enumerate(file.statements[first:], first):
            begun = replace(file, state=MigrationState.RUNNING, applied=applied, error=None)
            await record(begun)
            try:
                await run(text)
            except DatabaseError as error:
                state = MigrationState.RUNNING if isinstance(error, OutcomeUnknown) else MigrationState.FAILED
                failed = replace(begun, state=state, error=" ".join(str(error).split()))
                with suppress(DatabaseError):  # then it is recorded as running, which says as much
                    await record(failed)  # and on SQLite rolled back with all the rest
                raise MigrationError(what_now(failed, self._db.engine)) from error
        await record(replace(file, state=MigrationState.APPLIED, applied=len(file.statements), error=None))

    async def _record(self, tx: Executor, file: Migration) -> None:
        await self._hold(tx)
        await tx.execute(
            RECORD,
            number=file.number,
            name=file.name,
            state=file.state,
            applied=file.applied,
            checksum=checksum(file, file.applied),
            error=file.error,
        )

    async def _hold(self, tx: Executor) -> None:
        if not await self._lock.renew(tx):
            raise MigrationError(
                "another process has taken the lock meanwhile: nothing more was run here; see `migrate status`"
            )


async def run_alone(session: Session, text: str) -> None:
    """One statement on MySQL, without a deadline. Raises DatabaseError."""
    await session.run(Statement(text, "script", False))
    if session.in_transaction:
        raise UsageError("it leaves a transaction open, which is rolled back now: do not turn autocommit off")


async def records(on: Executor) -> list[Row]:
    """The table of what was applied."""
    return await on.all("SELECT * FROM `minihttp_migration` ORDER BY number")


def checksum(file: Migration, applied: int) -> str:
    """Of the statements as they are written, comments within them included; of the first `applied`."""
    return sha256("\n;\n".join(file.statements[:applied]).encode()).hexdigest()


# ---- files


def read_folder(folder: Path, style: Style) -> list[Migration]:
    """The folder's files in order, checked. Raises MigrationError."""
    try:
        paths = [each for each in folder.iterdir() if each.suffix == ".sql"]
    except OSError as error:
        raise MigrationError(f"cannot read the folder of migrations, {folder}: {error.strerror}") from error
    files = sorted((read_file(path, style) for path in paths), key=lambda each: (each.number, each.name))
    for place, file in enumerate(files):
        if place and file.number == files[place - 1].number:
            raise MigrationError(
                f"{files[place - 1].name} and {file.name} have the same number: give the one that is applied nowhere "
                f"yet the next free one, {files[-1].number + 1}"
            )
        if file.number != place + 1:
            raise MigrationError(
                f"{file.name} stands where number {place + 1} should be: numbers begin with 1 and leave no gap; bring "
                "back the file that is missing, or renumber those that are applied nowhere yet"
            )
    return files


def read_file(path: Path, style: Style) -> Migration:
    """One file, taken apart. Raises MigrationError that names it."""
    match = FILE.fullmatch(path.name)
    if not match:
        raise MigrationError(f"{path} does not begin with its number: name it as in 0001_add_email.sql")
    try:
        # Editors on Windows put a mark in front of the text, which MySQL would take for a part of the first word.
        statements = split_statements(path.read_text(encoding="utf-8-sig"), style)
        for number, text in enumerate(statements, 1):
            word = Compiled(text, style).statement.keyword
            if word in TRANSACTION_WORDS:
                raise MigrationError(
                    f"{path.name}, statement {number}, is {word}: leave it out; on SQLite a file is a transaction "
                    "anyway, and on MySQL each statement is recorded, which a rollback would make untrue"
                )
    except (OSError, UnicodeError, QueryError) as error:
        raise MigrationError(f"cannot read {path}: {error}") from error
    return Migration(int(match[1]), path.name, tuple(statements))


# ---- files and records


def compare(files: Sequence[Migration], rows: Sequence[Row]) -> list[Migration]:
    """The files with what is recorded of them. Raises MigrationError where the two do not belong together."""
    found = {each.number: each for each in files}
    for row in rows:
        file = found.get(row.number)
        if file is None:
            raise MigrationError(
                f"{row.name} is recorded in the database, and there is no such file: bring it back from version "
                "control, or run the version of the program that it belongs to"
            )
        state = MigrationState(row.state)
        found[row.number] = replace(
            file, state=state, applied=row.applied, error=row.error, changed_at=str(row.changed_at)
        )
        refuse_changes(file, row, len(files) + 1)
    last = rows[-1] if rows else None
    for each in found.values():
        if last is not None and each.state is MigrationState.PENDING and each.number < last.number:
            raise MigrationError(
                f"{each.name} is not applied, but {last.name}, which comes after it, is: the database's record of it "
                "was lost; if it was applied, restore the record, else rename it to the next free number"
            )
    return list(found.values())


def refuse_changes(file: Migration, row: Row, free: int) -> None:
    """Raise MigrationError if what is applied of the file is not what stands in it now."""
    if file.name != row.name:
        raise MigrationError(
            f"number {file.number} was applied as {row.name} and is {file.name} now: give that file its name back, "
            f"and a new one the next free number, {free}"
        )
    is_whole = row.state != MigrationState.APPLIED.value or len(file.statements) == row.applied
    if checksum(file, row.applied) != row.checksum or not is_whole:
        which = "" if row.state == MigrationState.APPLIED.value else f"in its first {row.applied} statements, "
        raise MigrationError(
            f"{file.name} was changed {which}after it was applied: restore it from version control, and write the "
            f"change into a new file with the next free number, {free}"
        )


def migration_plan(files: Sequence[Migration], resume: int | None = None) -> list[tuple[Migration, int]]:
    """The files that are to be applied, and how many statements of each to pass over.

    Raises MigrationError where only a person can know.
    """
    todo = [each for each in files if each.state is not MigrationState.APPLIED]
    half = todo[0] if todo and todo[0].state is not MigrationState.PENDING else None
    if half is None and resume is not None:
        raise MigrationError("there is nothing to resume: no file is half applied; leave --resume out")
    if half is not None and resume is None and half.state is MigrationState.RUNNING:
        raise MigrationError(what_now(half, "mysql"))
    if half is not None and resume is not None and not half.applied < resume <= len(half.statements) + 1:
        possible = f"{half.applied + 1} to {len(half.statements) + 1}"
        raise MigrationError(f"{half.name} can be resumed at statement {possible}, not at {resume}")
    firsts = [each.applied for each in todo]
    if resume is not None:
        firsts[0] = resume - 1
    return list(zip(todo, firsts, strict=True))


def what_now(file: Migration, style: Style) -> str:
    """What happened to the statement behind the applied ones, and what a person does about it."""
    number, total = file.applied + 1, len(file.statements)
    where = f"{file.name}, statement {number} of {total},"
    if style == "sqlite":
        return f"{where} failed: {file.error}; nothing of the file was applied: correct it and run `migrate up` again"
    done = f"if it is done already, or you do it by hand, `migrate up --resume {number + 1}` goes on behind it"
    if file.state is MigrationState.FAILED:
        correct = "the statements before it are applied and recorded: correct the file from there on"
        return (
            f"{where} failed: {file.error}; {correct if file.applied else 'correct the file'} and run `migrate up` "
            f"again, which begins with statement {number}; {done}"
        )
    return (
        f"{where} was begun, and nobody knows whether it was done (its process or connection ended); see that the "
        f"server is not at it still (SHOW PROCESSLIST), then look at what it changes: if nothing was done, "
        f"`migrate up --resume {number}` runs it again; {done}"
    )

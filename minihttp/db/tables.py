"""A table as the database has it, held against the dataclass when it is first used.

Owns: reading the table's columns, once, and what is said about those that do not fit.
Must not know: the SQL of a repository, drivers.
Invariant: after the first use a check costs one attribute. Trade-off: types are compared on SQLite alone, which would
store any value in any column, and change it on the way; MySQL refuses by itself what does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from .errors import UsageError
from .executor import Executor
from .mapping import Mapper
from .rows import Row

__all__ = ["TableCheck"]

# `filled`: the database has a value where none is given. That a default is NULL, MariaDB tells as text; `extra` tells
# AUTO_INCREMENT, generated columns and ON UPDATE.
COLUMNS = {
    "mysql": """SELECT column_name AS name, data_type AS type, is_nullable = 'NO' AS never_null,
        COALESCE(column_default, 'NULL') <> 'NULL' OR extra <> '' AS filled FROM information_schema.columns
        WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name ORDER BY ordinal_position""",
    "sqlite": """SELECT name, type, `notnull` AS never_null, COALESCE(dflt_value, 'NULL') <> 'NULL' OR hidden <> 0
        OR (pk = 1 AND UPPER(type) = 'INTEGER') AS filled FROM pragma_table_xinfo(:name, :schema) ORDER BY cid""",
}
# SQLite converts by what it finds in the type's name, in this order; what fits none it converts to a number if it can.
AFFINITIES = {"INT": "number", "CHAR": "text", "CLOB": "text", "TEXT": "text", "BLOB": ""}


class TableCheck:
    """One table and one dataclass: `await check.run(db)` until `is_done`, which a repository and its copies share."""

    __slots__ = ("_mapper", "_partial", "_table", "is_done", "never_null")

    def __init__(self, mapper: Mapper[Any], table: str, partial: bool) -> None:
        self._mapper = mapper
        self._table = table
        self._partial = partial
        self.is_done = False
        self.never_null: frozenset[str] = frozenset()

    async def run(self, db: Executor) -> None:
        """Compare, with one query. Raises UsageError that names every field and column that does not fit.

        A table that is not there is left to the statement that follows, and so is a temporary one, which MySQL does
        not describe.
        """
        schema, _, name = self._table.rpartition(".")
        rows = await db.all(COLUMNS[db.engine], {"schema": schema or None, "name": name})
        if not rows:
            return
        columns = {row.name.casefold(): row for row in rows}
        problems = list(self._problems(columns, db.engine == "sqlite"))
        if problems:
            raise UsageError(f"{self._mapper.model.__name__} does not fit table {self._table!r}: {'; '.join(problems)}")
        self.never_null = frozenset(name for name in self._mapper.names if columns[name.casefold()].never_null)
        self.is_done = True

    def _problems(self, columns: Mapping[str, Row], on_sqlite: bool) -> Iterator[str]:
        fields = {name.casefold(): field for name, field in self._mapper.fields.items()}
        for name, field in fields.items():
            if name not in columns:
                close = get_close_matches(name, columns.keys() - fields.keys(), 1)
                hint = f"did you mean {columns[close[0]].name!r}?" if close else "a migration may add it"
                yield f"field {field.name!r} has no column ({hint})"
            elif on_sqlite and _converts(columns[name].type, field.type.sqlite):
                kind, best = columns[name].type, "TEXT" if field.type.sqlite == "text" else "INTEGER or REAL"
                yield f"SQLite would change a {field.type.label} in column {field.name!r}, {kind} (declare it {best})"
        for name, column in columns.items():
            if name not in fields and not column.filled and not self._partial:
                yield f"column {column.name!r} has no field (add one, give the column a DEFAULT, or say partial=True)"


def _converts(column: str, kind: str | None) -> bool:
    """Whether SQLite would store something else in the column: 7 for the text "007", "7" for the number 7."""
    stored = next((AFFINITIES[part] for part in AFFINITIES if part in column.upper()), "number" if column else "")
    return bool(kind and stored) and kind != stored

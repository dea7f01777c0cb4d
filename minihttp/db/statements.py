"""The SQL of a repository: one text per operation and shape of its arguments, made once.

Owns: the texts, the filters' operators and how both become parameters.
Must not know: connections, rows, nor who runs a statement.
Invariant: identifiers come from the dataclass and the table's name alone, checked and quoted; what a caller passes
becomes a parameter or an error, never text. Backticks quote on both engines, and unlike double quotes can never turn
into a string.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple

from .errors import QueryError, UsageError
from .mapping import Field, Mapper
from .sql import Style

__all__ = ["OPERATORS", "SECOND_ROW", "WITHOUT_LIMIT", "Condition", "Statements"]

# Operators as a suffix: `age__gte=18`. The names are those that Django made common.
OPERATORS = {"ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "LIKE"}
TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(\.[A-Za-z_][A-Za-z0-9_]{0,63})?")
SECOND_ROW = 1242  # MySQL's number for a subquery that gives more than one row
WITHOUT_LIMIT = 2**63 - 1  # OFFSET needs a LIMIT on both engines, and only SQLite has a word for "none"

Params = dict[str, Any]


class Condition(NamedTuple):
    """One filter without its value: `form` is "value", "null", "list" or "list or null"."""

    field: str
    operator: str
    form: str


class Statements:
    """The statements for one dataclass, table and engine; `version` is the field that counts a row's changes.

    Raises UsageError for a table name that is not one or two plain words (`user`, `shop.user`), a field that the engine
    has no type for, and a version that is no int.
    """

    def __init__(self, mapper: Mapper[Any], table: str, engine: Style, version: str | None = None) -> None:
        if not TABLE.fullmatch(table):
            raise UsageError(f"{table!r} is no table name: letters, digits and _ only, with at most one dot")
        beyond = [name for name, field in mapper.fields.items() if engine == "sqlite" and field.type.sqlite is None]
        if beyond:
            raise UsageError(
                f"{mapper.model.__name__}.{beyond[0]}: SQLite has no integers beyond 2**63 - 1; use Decimal"
            )
        if version is not None:
            try:
                field = mapper.field(version)
            except QueryError as error:
                raise UsageError(f"{version!r} cannot be the version: {error}") from None
            if field.name == mapper.key or field.type.label != "int":
                raise UsageError(f"{version!r} cannot be the version: that is an int field of its own")
        self.mapper = mapper
        self.engine = engine
        self.table = ".".join(_quote(part) for part in table.split("."))
        self.key = _quote(mapper.key)
        self.version = version
        self.guard = f" AND {_quote(version)} = :version" if version else ""
        self.columns = ", ".join(map(_quote, mapper.names))
        self.get = f"SELECT {self.columns} FROM {self.table} WHERE {self.key} = :id"
        self.delete = f"DELETE FROM {self.table} WHERE {self.key} = :id"
        # Bounded by hand: the shapes of filters are many, though a program uses few.
        self.select = lru_cache(256)(self._select)
        self.count = lru_cache(256)(self._count)
        self.exists = lru_cache(256)(self._exists)
        self.insert = lru_cache(32)(self._insert)
        self.update = lru_cache(256)(self._update)

    def _select(
        self, where: tuple[Condition, ...], order: tuple[str, ...], paged: bool, after: tuple[str, ...] = ()
    ) -> str:
        page = " LIMIT :limit OFFSET :offset" if paged else ""
        tests = [*self._tests(where), *([self._after(order, after)] if after else [])]
        return f"SELECT {self.columns} FROM {self.table}{_where(tests)} ORDER BY {self._order(order)}{page}"

    def _count(self, where: tuple[Condition, ...]) -> str:
        return f"SELECT COUNT(*) FROM {self.table}{_where(self._tests(where))}"

    def _exists(self, where: tuple[Condition, ...]) -> str:
        return f"SELECT EXISTS (SELECT 1 FROM {self.table}{_where(self._tests(where))})"

    def _insert(self, rows: int) -> str:
        width = len(self.mapper.names)
        places = (", ".join(f":p{row * width + place}" for place in range(width)) for row in range(rows))
        return f"INSERT INTO {self.table} ({self.columns}) VALUES {', '.join(f'({row})' for row in places)}"

    def _update(self, names: tuple[str, ...]) -> str:
        changes = [f"{_quote(name)} = :p{place}" for place, name in enumerate(names)]
        if self.version:
            changes.append(f"{_quote(self.version)} = {_quote(self.version)} + 1")
        return f"UPDATE {self.table} SET {', '.join(changes)} WHERE {self.key} = :id{self.guard}"

    def upsert(self) -> str:
        """Insert, or change the row of the same id; a clash with another unique key is an error on both engines."""
        others = [_quote(name) for name in self.mapper.names if name != self.mapper.key]
        if self.engine == "sqlite":
            changes = ", ".join(f"{name} = excluded.{name}" for name in others)
            return f"{self.insert(1)} ON CONFLICT ({self.key}) DO " + (f"UPDATE SET {changes}" if others else "NOTHING")
        # MySQL goes by every unique key, and would overwrite the row of somebody else who has the same e-mail address.
        # A subquery of two rows is an error (SECOND_ROW), which keeps that row. `AS new`, which would replace VALUES(),
        # is unknown to MariaDB.
        guard = f"{self.key} = IF({self.key} = VALUES({self.key}), {self.key}, (SELECT 1 UNION SELECT 2))"
        changes = ", ".join([guard, *(f"{name} = VALUES({name})" for name in others)])
        return f"{self.insert(1)} ON DUPLICATE KEY UPDATE {changes}"

    # --- what callers pass -----------------------------------------------------------------------------------------

    def filters(self, filters: Mapping[str, Any]) -> tuple[tuple[Condition, ...], Params]:
        """The conditions and their parameters. Raises QueryError for an unknown field or operator, DataError for a
        value that is none of the field's type.
        """
        conditions: list[Condition] = []
        params: Params = {}
        for number, (name, value) in enumerate(filters.items()):
            field, operator = self._target(name)
            condition, encoded = _condition(field, operator, value)
            conditions.append(condition)
            if condition.form != "null":
                params[f"f{number}"] = encoded
        return tuple(conditions), params

    def order(self, order_by: str | Sequence[str] | None) -> tuple[str, ...]:
        """The sort keys, of which the id is the last: nothing is equal behind it.

        It has the direction of the key before it, so that an index of that column alone gives rows in this order.
        Raises QueryError for whatever is not a field with or without a leading `-`.
        """
        keys = (order_by,) if isinstance(order_by, str) else tuple(order_by or ())
        for place, key in enumerate(keys):
            field = self.mapper.field(key.removeprefix("-") if isinstance(key, str) else key)
            if not field.type.comparable:
                raise QueryError(f"rows cannot be sorted by {field.name!r}, which is JSON")
            if field.name == self.mapper.key:
                return keys[: place + 1]
        return (*keys, "-" * keys[-1].startswith("-") + self.mapper.key) if keys else (self.mapper.key,)

    def after(self, order: Sequence[str], last: Any, never_null: Set[str]) -> tuple[tuple[str, ...], Params]:
        """Where the next page begins: the form of each of the last row's sort keys, and their values as parameters.

        A form is "null" where the last row has NULL, "or null" where rows behind it may have, else "value". `last` is
        an object, or its values in the order of the sort keys. Raises QueryError where they are too few or too many.
        """
        fields = [self.mapper.fields[key.removeprefix("-")] for key in order]
        if isinstance(last, self.mapper.model):
            last = [getattr(last, field.name) for field in fields]
        values = last if isinstance(last, list | tuple) else [last]
        if len(values) != len(fields) or values[-1] is None:
            names = ", ".join(field.name for field in fields)
            raise QueryError(f"after= takes the last object of the page before, or its ({names})")
        forms, params = [], {}
        for place, (field, value) in enumerate(zip(fields, values, strict=True)):
            if value is not None:
                params[f"a{place}"] = field.encode(value)
            forms.append("null" if value is None else "value" if field.name in never_null else "or null")
        return tuple(forms), params

    def _target(self, name: str) -> tuple[Field, str]:
        if name in self.mapper.fields:
            return self.mapper.fields[name], "="
        base, separator, suffix = name.rpartition("__")
        if not separator:
            return self.mapper.field(name), "="
        field = self.mapper.field(base)
        if suffix not in OPERATORS:
            close = get_close_matches(suffix, OPERATORS, 1)
            hint = f"; did you mean {base}__{close[0]}?" if close else ""
            raise QueryError(f"filter {name!r} has an unknown operator; there are {', '.join(OPERATORS)}{hint}")
        return field, OPERATORS[suffix]

    # --- pieces of text --------------------------------------------------------------------------------------------

    def _tests(self, conditions: Sequence[Condition]) -> list[str]:
        return [self._test(condition, f":f{number}") for number, condition in enumerate(conditions)]

    def _after(self, order: Sequence[str], forms: Sequence[str], place: int = 0) -> str:
        """Behind the last row by this sort key, or equal in it and behind by the next. NULL sorts before all values.

        `>=` and `>` of the same value: by the first alone, the databases find in an index where to begin.
        """
        column, param = self._value_of(order[place].removeprefix("-")), f":a{place}"
        descends = order[place].startswith("-")
        behind = f"{column} {'<' if descends else '>'} {param}"
        if place == len(order) - 1:
            return behind
        rest = self._after(order, forms, place + 1)
        if forms[place] == "null":
            return f"({column} IS NULL AND {rest})" if descends else f"({column} IS NOT NULL OR {rest})"
        text = f"({column} {'<' if descends else '>'}= {param} AND ({behind} OR {rest}))"
        return f"({text} OR {column} IS NULL)" if descends and forms[place] == "or null" else text

    def _test(self, condition: Condition, param: str) -> str:
        column = self._value_of(condition.field)
        negative = condition.operator == "<>"
        null = f"{column} IS {'NOT ' if negative else ''}NULL"
        if condition.form == "null":
            return null
        if condition.form == "value":
            # MySQL has the backslash by itself; in its text it would have to be written twice.
            escape = r" ESCAPE '\'" if condition.operator == "LIKE" and self.engine == "sqlite" else ""
            return f"{column} {condition.operator} {param}{escape}"
        contained = f"{column} {'NOT ' if negative else ''}IN {param}"
        return contained if condition.form == "list" else f"({contained} {'AND' if negative else 'OR'} {null})"

    def _order(self, keys: Sequence[str]) -> str:
        return ", ".join(
            self._value_of(key.removeprefix("-")) + (" DESC" if key.startswith("-") else "") for key in keys
        )

    def _value_of(self, name: str) -> str:
        # A Decimal is text on SQLite, where "10" sorts before "9": it is compared as a number, to 15 digits.
        if self.engine == "sqlite" and self.mapper.fields[name].type.label == "Decimal":
            return f"CAST({_quote(name)} AS NUMERIC)"
        return _quote(name)


def _quote(name: str) -> str:
    return f"`{name}`"


def _where(tests: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(tests)}" if tests else ""


def _condition(field: Field, operator: str, value: Any) -> tuple[Condition, Any]:
    name = field.name
    if value is None and operator in {"=", "<>"}:
        return Condition(name, operator, "null"), None
    if value is None or not field.type.comparable:
        raise QueryError(f"field {name!r} can only be tested for None here: {name}=None or {name}__ne=None")
    if operator == "LIKE" and field.type.accepts != (str,):
        raise QueryError(f"field {name!r} is {field.type.label}: LIKE compares text")
    if isinstance(value, Set):
        raise QueryError(f"field {name!r} is compared with a list or tuple, not with a {type(value).__name__}")
    if not isinstance(value, list | tuple):
        return Condition(name, operator, "value"), field.encode(value)
    if operator not in {"=", "<>"}:
        raise QueryError(f"field {name!r} is compared with a list: only {name}= and {name}__ne= take one")
    encoded = [field.encode(item) for item in value if item is not None]
    return Condition(name, operator, "list or null" if len(encoded) < len(value) else "list"), encoded

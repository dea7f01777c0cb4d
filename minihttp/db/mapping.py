"""A dataclass as a row: which types its fields may have, and how each is written to and read from both engines.

Owns: the types of fields, `Field` and `Mapper`.
Must not know: SQL text, connections, executors.
Invariant: what is written is read back equal on MySQL and SQLite, or refused when it is written. MySQL would compare
a text column with the number 0 and find every row; hence a value of another type than its field's is refused here,
in filters as in rows. Trade-off: decoders look at the type that arrives, so that one serves both engines.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum
from typing import Any, Generic, TypeVar
from uuid import UUID

from .errors import DataError, QueryError, UsageError
from .rows import Row, row_values

__all__ = ["Field", "Mapper", "UnsignedBigInt"]

T = TypeVar("T")

UnsignedBigInt = typing.Annotated[int, "BIGINT UNSIGNED"]
"""The annotation of a field from 0 to 2**64 - 1, on MySQL alone: SQLite's integers end at 2**63 - 1."""

Convert = Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _signed(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError("is an integer beyond 64 bits; on MySQL, UnsignedBigInt goes up to 2**64 - 1")
    return value


def _unsigned(value: int) -> int:
    if not 0 <= value < 2**64:
        raise ValueError("is not from 0 to 2**64 - 1")
    return value


def _to_bool(value: Any) -> bool:
    return any(value) if isinstance(value, bytes) else bool(value)  # BIT(1) comes as bytes


def _to_decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _to_date(value: Any) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else value


def _to_datetime(value: Any) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _to_time(value: Any) -> time:
    if isinstance(value, timedelta):  # MySQL's TIME is a duration
        if not timedelta(0) <= value < timedelta(days=1):
            raise ValueError("is no time of day")
        return (datetime.min + value).time()
    return time.fromisoformat(value) if isinstance(value, str) else value


def _to_uuid(value: Any) -> UUID:
    return UUID(bytes=value) if isinstance(value, bytes) else UUID(value)


def _from_json(value: Any) -> str:
    """Raises ValueError for what would come back as something else: tuples, keys that are not text, NaN."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        same = json.loads(text) == value
    except (TypeError, RecursionError):
        raise ValueError("holds what JSON has no form for") from None
    if not same:
        raise ValueError("would not be read back equal from JSON: use text as keys, and lists instead of tuples")
    return text


@dataclasses.dataclass(frozen=True, slots=True)
class FieldType:
    """How one Python type stands in a column. `accepts` are the types of values, `refuses` exceptions from them.

    `sqlite` is what SQLite must not mistake its values for: "number" or "text", "" where it cannot, None where it has
    no such type at all.
    """

    label: str
    accepts: tuple[type, ...]
    refuses: tuple[type, ...] = ()
    encode: Convert = _same
    decode: Convert = _same
    comparable: bool = True
    sqlite: str | None = ""


FIELD_TYPES: dict[Any, FieldType] = {
    # True and False are integers to Python: as an age they are a mistake.
    int: FieldType("int", (int,), (bool,), encode=_signed, sqlite="number"),
    UnsignedBigInt: FieldType("int", (int,), (bool,), encode=_unsigned, sqlite=None),
    float: FieldType("float", (float, int), (bool,), encode=float, decode=float, sqlite="number"),
    Decimal: FieldType("Decimal", (Decimal, int), (bool,), encode=Decimal, decode=_to_decimal, sqlite="text"),
    bool: FieldType("bool", (bool,), decode=_to_bool, sqlite="number"),
    str: FieldType("str", (str,), sqlite="text"),
    bytes: FieldType("bytes", (bytes, bytearray, memoryview), encode=bytes),
    date: FieldType("date", (date,), (datetime,), decode=_to_date),
    datetime: FieldType("datetime", (datetime,), decode=_to_datetime),
    time: FieldType("time", (time,), decode=_to_time),
    UUID: FieldType("UUID", (UUID,), decode=_to_uuid),
    dict: FieldType("dict", (dict,), encode=_from_json, decode=json.loads, comparable=False),
    list: FieldType("list", (list,), encode=_from_json, decode=json.loads, comparable=False),
}


def _enum_type(kind: type[Enum]) -> FieldType:
    values = {type(member.value) for member in kind}
    if values != {str} and values != {int}:
        raise UsageError(f"the values of {kind.__name__} must be all str or all int to stand in a column")

    def member(value: Any) -> Enum:
        try:
            return kind(value)
        except ValueError:
            raise ValueError(f"is none of {', '.join(repr(each.value) for each in kind)}") from None

    sqlite = "text" if values == {str} else "number"
    return FieldType(kind.__name__, (kind, *values), (bool,), encode=member, decode=member, sqlite=sqlite)


def _field_type(hint: Any) -> FieldType:
    """The entry for an annotation. Raises UsageError with the reason for one that has no column."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if hint == UnsignedBigInt:
        return FIELD_TYPES[UnsignedBigInt]
    if origin is typing.Annotated:
        return _field_type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        inner = [each for each in arguments if each is not type(None)]
        if len(inner) == 1:
            return _field_type(inner[0])
    elif origin is typing.Literal:
        kinds = {type(each) for each in arguments}
        if len(kinds) == 1:
            return _field_type(kinds.pop())
    elif isinstance(hint, typing.NewType):
        return _field_type(hint.__supertype__)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        return _enum_type(hint)
    elif (origin or hint) in FIELD_TYPES:
        return FIELD_TYPES[origin or hint]
    raise UsageError(
        f"the type {hint!r} has no column; a field may be int, float, Decimal, str, bytes, bool, date, datetime, time, "
        "Enum, UUID, dict or list (JSON), or one of these or None"
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field of the dataclass, and the column of the same name."""

    name: str
    type: FieldType

    def encode(self, value: Any) -> Any:
        """The value as a parameter: None stays, JSON becomes text. Raises DataError that names the field."""
        if value is None:
            return None
        self.check(value)
        try:
            return self.type.encode(value)
        except (ValueError, OverflowError) as error:
            raise DataError(f"field {self.name!r} {error}") from None

    def check(self, value: Any) -> None:
        """Whether a value has the field's type, whatever its limits. Raises DataError that names the field."""
        kind = self.type
        if not isinstance(value, kind.accepts) or isinstance(value, kind.refuses):
            raise DataError(f"field {self.name!r} takes {kind.label}, not {type(value).__name__}")


class Mapper(Generic[T]):
    """Rows to objects of a dataclass and back: `Mapper(User).load(rows)`.

    The columns, on MySQL / SQLite: int BIGINT / INTEGER · float DOUBLE / REAL · Decimal DECIMAL / TEXT · bool BOOLEAN /
    INTEGER · str and Enum VARCHAR / TEXT · bytes BLOB · date DATE / TEXT · datetime DATETIME(6) / TEXT · time TIME(6) /
    TEXT · UUID CHAR(36) / TEXT · dict and list JSON / TEXT. A column that SQLite takes for a number (DECIMAL) would
    round. Fields with `init=False` are computed, not stored.

    Raises UsageError for a class that is no dataclass, that has no
    field called `key`, or whose fields have types without a column.
    """

    __slots__ = ("_decoders", "_positional", "fields", "key", "model", "names")

    def __init__(self, model: type[T], key: str = "id") -> None:
        if not (isinstance(model, type) and dataclasses.is_dataclass(model)):
            raise UsageError(f"{model!r} is not a dataclass")
        self.model: type[T] = model
        stored = [field for field in dataclasses.fields(model) if field.init]
        hints = _hints(model)
        self.fields = {field.name: _field(model, field.name, hints) for field in stored}
        self.names = tuple(self.fields)
        self.key = key
        if key not in self.fields:
            raise UsageError(f"{model.__name__} has no field {key!r}: rows are found and changed by it")
        self._positional = not any(field.kw_only for field in stored)
        kinds = enumerate(field.type for field in self.fields.values())
        self._decoders = [(place, kind.decode) for place, kind in kinds if kind.decode is not _same]

    def field(self, name: str) -> Field:
        """The field of this name. Raises QueryError with a suggestion."""
        try:
            return self.fields[name]
        except (KeyError, TypeError):
            close = get_close_matches(str(name), self.names, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(self.names)}"
            raise QueryError(f"{self.model.__name__} has no field {name!r}{hint}") from None

    def dump(self, record: T, names: Iterable[str]) -> list[Any]:
        """The fields' values as parameters, in the order of `names`. Raises DataError for a wrong one."""
        fields = self.fields
        return [fields[name].encode(getattr(record, name)) for name in names]

    def load(self, rows: Iterable[Row]) -> list[T]:
        """One object per row; the columns must be `names` in their order.

        Raises QueryError for a stored value that is none of the field's type.
        """
        return [self.make(row_values(row)) for row in rows]

    def pick(self, rows: Sequence[Row]) -> list[T]:
        """One object per row of any SQL; its columns stand in any order, and those that are no fields are left out.

        Raises QueryError for a field without a column, and as `load` does.
        """
        missing = [name for name in self.names if rows and name not in rows[0]]
        if missing:
            raise QueryError(
                f"{self.model.__name__} needs a column {missing[0]!r}; the result has {', '.join(rows[0])}"
            )
        return [self.make([row[name] for name in self.names]) for row in rows]

    def has_key(self, record: T) -> bool:
        """Whether the object brings its own id; None, and 0 for an integer, leave it to the database."""
        value = getattr(record, self.key)
        return value is not None and not (value == 0 and isinstance(value, int))

    def with_field(self, record: T, name: str, value: Any) -> T:
        """The object with another value of this field: the same one, or a copy where the dataclass is frozen."""
        if type(record).__dataclass_params__.frozen:  # type: ignore[attr-defined]  # every dataclass has it, no stub
            record = copy.copy(record)
        object.__setattr__(record, name, value)
        return record

    def make(self, values: Sequence[Any]) -> T:
        """The object of these values, in the order of `names`. Raises QueryError for one that is none of its type."""
        if self._decoders:
            values = list(values)
            for place, decode in self._decoders:
                if values[place] is not None:
                    values[place] = self._decode(place, decode, values[place])
        if self._positional:
            return self.model(*values)
        return self.model(**dict(zip(self.names, values, strict=True)))

    def _decode(self, place: int, decode: Convert, value: Any) -> Any:
        try:
            return decode(value)
        except (ValueError, TypeError, AttributeError, ArithmeticError):
            name = self.names[place]
            label = self.fields[name].type.label
            raise QueryError(
                f"column {name!r} holds a {type(value).__name__} that is no {label}, as {self.model.__name__} wants it"
            ) from None


def _hints(model: type[Any]) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(model, include_extras=True)
    except NameError as error:
        raise UsageError(
            f"an annotation of {model.__name__} cannot be read ({error}): define its types at the top of a module"
        ) from None


def _field(model: type[Any], name: str, hints: Mapping[str, Any]) -> Field:
    try:
        return Field(name, _field_type(hints[name]))
    except UsageError as error:
        raise UsageError(f"{model.__name__}.{name}: {error}") from None

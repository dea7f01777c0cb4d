"""The parameter types that may reach a database, and the form in which each driver takes them.

Owns: the two tables of types, one per engine, and their limits.
Must not know: SQL, names of parameters, connections.
Invariant: a type that is not in the table is refused. Drivers are generous: they would send the repr of an object or
drop the zone of a datetime.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

__all__ = ["MYSQL_TYPES", "SQLITE_TYPES", "Convert", "to_driver"]

Convert = Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("holds half a surrogate pair, which has no UTF-8 form") from None
    return str.__str__(value)


def _signed(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError("is an integer beyond the 64 bits of SQLite")
    return int(value)


def _unsigned(value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise ValueError("is an integer beyond the 64 bits of MySQL")
    return int(value)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("is infinite or not a number, which SQL has no form for")
    return float(value)


def _decimal(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError("is infinite or not a number, which SQL has no form for")
    return value


def _naive(value: datetime) -> datetime:
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _local_time(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("is a time of day with a zone, which cannot be converted without a date: pass a datetime")
    return value


def _duration(value: timedelta) -> str:
    """`-838:59:59.000001`, the form in which MySQL writes a TIME."""
    sign, value = ("-", -value) if value < timedelta(0) else ("", value)
    minutes, seconds = divmod(value.days * 86_400 + value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06}" if value.microseconds else ""
    return f"{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}"


COMMON: dict[type, Convert] = {
    type(None): _same,
    bool: int,
    float: _finite,
    str: _text,
    bytes: _same,
    bytearray: bytes,
    memoryview: bytes,
    UUID: str,
}
MYSQL_TYPES: dict[type, Convert] = {
    **COMMON,
    int: _unsigned,
    Decimal: _decimal,
    datetime: _naive,
    date: _same,
    time: _local_time,
    timedelta: _same,
}
# SQLite has none of these types. As text they keep every digit, and but for Decimal they sort in their own order.
SQLITE_TYPES: dict[type, Convert] = {
    **COMMON,
    int: _signed,
    Decimal: lambda value: format(_decimal(value), "f"),
    datetime: lambda value: _naive(value).isoformat(" "),
    date: date.isoformat,
    time: lambda value: _local_time(value).isoformat(),
    timedelta: _duration,
}


# A subclass as its base, whatever it has made of the methods by which a driver asks for the value.
BASES: dict[type, Convert] = {
    bytes: bytes.__bytes__,
    Decimal: Decimal,
    datetime: lambda value: datetime.combine(datetime.date(value), datetime.timetz(value)),
    date: lambda value: date.fromordinal(date.toordinal(value)),
    time: lambda value: datetime.combine(date.min, value).timetz(),
    timedelta: lambda value: timedelta.__add__(timedelta(), value),
}


def to_driver(types: Mapping[type, Convert], value: Any) -> Any:
    """The value as the driver takes it: `to_driver(SQLITE_TYPES, date(2024, 2, 29))` is `"2024-02-29"`.

    Subclasses become their base, an Enum its value. Raises TypeError for a type that is not in the
    table and ValueError for a value beyond its limits, with the reason and never with the value itself.
    """
    known = types.get(type(value))
    if known is not None:
        return known(value)
    if isinstance(value, Enum):
        return to_driver(types, value.value)
    for base in type(value).__mro__:
        if base in types:
            return types[base](BASES.get(base, _same)(value))
    if isinstance(value, list | tuple):
        raise TypeError("is a list: one may stand only after IN, as in `id IN :ids`, and not inside another list")
    hint = "; encode JSON first (json.dumps)" if isinstance(value, dict) else ""
    raise TypeError(
        f"has the type {type(value).__name__}; allowed are None, bool, int, float, Decimal, str, bytes, date, "
        f"datetime, time, timedelta, UUID, Enum, and a list or tuple of them after IN{hint}"
    )

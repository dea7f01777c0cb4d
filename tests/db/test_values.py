"""Parameter types: what each driver gets, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest

from minihttp.db.values import MYSQL_TYPES, SQLITE_TYPES, to_driver

EAST = timezone(timedelta(hours=8))
NUMBER = UUID("12345678-1234-5678-1234-567812345678")


class Sex(Enum):
    MALE = "male"


class Level(IntEnum):
    HIGH = 3


class Kind(StrEnum):
    A = "a"


class Text(str):
    def __str__(self) -> str:
        return "something else"


class Number(int):
    pass


@pytest.mark.parametrize(
    ("value", "mysql", "sqlite"),
    [
        (None, None, None),
        (True, 1, 1),
        (7, 7, 7),
        (-(2**63), -(2**63), -(2**63)),
        (0.1, 0.1, 0.1),
        ("名", "名", "名"),
        (b"\0\xff", b"\0\xff", b"\0\xff"),
        (bytearray(b"a"), b"a", b"a"),
        (memoryview(b"a"), b"a", b"a"),
        (Decimal("1E+3"), Decimal("1E+3"), "1000"),
        (Decimal("-1.50"), Decimal("-1.50"), "-1.50"),
        (date(2024, 2, 29), date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 1, 2, 3), datetime(2024, 2, 29, 1, 2, 3), "2024-02-29 01:02:03"),
        (datetime(2024, 2, 29, 1, 2, 3, 4), datetime(2024, 2, 29, 1, 2, 3, 4), "2024-02-29 01:02:03.000004"),
        (datetime(2024, 1, 1, 3, tzinfo=EAST), datetime(2023, 12, 31, 19), "2023-12-31 19:00:00"),
        (time(1, 2, 3), time(1, 2, 3), "01:02:03"),
        (timedelta(hours=1, microseconds=5), timedelta(hours=1, microseconds=5), "01:00:00.000005"),
        (timedelta(days=-4, seconds=1), timedelta(days=-4, seconds=1), "-95:59:59"),
        (NUMBER, str(NUMBER), str(NUMBER)),
        (Sex.MALE, "male", "male"),
        (Level.HIGH, 3, 3),
        (Kind.A, "a", "a"),
        (Text("a"), "a", "a"),
        (Number(5), 5, 5),
    ],
)
def test_what_the_drivers_get(value: Any, mysql: Any, sqlite: Any) -> None:
    for types, expected in ((MYSQL_TYPES, mysql), (SQLITE_TYPES, sqlite)):
        got = to_driver(types, value)
        assert got == expected
        assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        (b"a", (b"a",)),
        (0.5, (0.5,)),
        (Decimal("1.50"), ("1.50",)),
        (date(2024, 2, 29), (2024, 2, 29)),
        (datetime(2024, 2, 29, 1, 2, 3, 4), (2024, 2, 29, 1, 2, 3, 4)),
        (time(1, 2, 3, 4), (1, 2, 3, 4)),
        (timedelta(days=-4, seconds=1), (-4, 1)),
    ],
)
def test_a_subclass_is_its_base_whatever_it_says_of_itself(value: Any, arguments: Any) -> None:
    lies = {name: lambda self, *_: "lies" for name in ("__str__", "__repr__", "__format__", "isoformat", "hex")}
    lying = type("Lying", (type(value),), lies)(*arguments)
    for types in (MYSQL_TYPES, SQLITE_TYPES):
        got = to_driver(types, lying)
        assert got == to_driver(types, value)
        assert type(got) in (type(value), str)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), Decimal("NaN"), Decimal("-Infinity")])
def test_what_is_no_number_is_refused(value: Any) -> None:
    for types in (MYSQL_TYPES, SQLITE_TYPES):
        with pytest.raises(ValueError, match="infinite or not a number"):
            to_driver(types, value)


def test_integers_have_64_bits() -> None:
    assert to_driver(MYSQL_TYPES, 2**64 - 1) == 2**64 - 1
    for types, value in ((MYSQL_TYPES, 2**64), (SQLITE_TYPES, 2**63), (MYSQL_TYPES, -(2**63) - 1)):
        with pytest.raises(ValueError, match="beyond the 64 bits"):
            to_driver(types, value)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="no UTF-8 form"):
        to_driver(SQLITE_TYPES, "a\ud800")


def test_a_time_of_day_with_a_zone_is_refused() -> None:
    for types in (MYSQL_TYPES, SQLITE_TYPES):
        with pytest.raises(ValueError, match="pass a datetime"):
            to_driver(types, time(1, tzinfo=UTC))


@pytest.mark.parametrize("value", [object(), 1j, {1}, {"a": 1}, range(3), Sex, int, [1], (1,)])
def test_other_types_are_refused_without_showing_the_value(value: Any) -> None:
    for types in (MYSQL_TYPES, SQLITE_TYPES):
        with pytest.raises(TypeError, match=r"has the type|is a list") as refused:
            to_driver(types, value)
        assert "0x" not in str(refused.value)


def test_json_has_a_hint() -> None:
    with pytest.raises(TypeError, match="encode JSON first"):
        to_driver(SQLITE_TYPES, {"a": 1})

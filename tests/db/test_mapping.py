"""Dataclasses as rows: which fields may be, how values are checked, and what is read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal, NewType
from uuid import UUID

import pytest

from minihttp.db.errors import DataError, QueryError, UsageError
from minihttp.db.mapping import Mapper
from minihttp.db.rows import make_rows

Cents = NewType("Cents", int)


class Sex(Enum):
    MALE = "male"
    FEMALE = "female"


class Level(Enum):
    LOW = 1


class Mixed(Enum):
    A = 1
    B = "b"


@dataclass
class Everything:
    id: int | None
    f: float
    d: Decimal
    s: str
    b: bytes
    yes: bool
    day: date
    at: datetime
    clock: time
    sex: Sex
    level: Level
    uuid: UUID
    json: dict[str, Any] | None = None
    tags: list[str] = field(default_factory=list)
    word: Literal["a", "b"] = "a"
    cents: Cents = Cents(0)
    note: Annotated[str, "any"] = ""
    computed: int = field(init=False, default=5)
    constant: ClassVar[int] = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    id: int = 0
    name: str


def encode(name: str, value: Any) -> Any:
    return Mapper(Everything).field(name).encode(value)


def load(**columns: Any) -> Any:
    return Mapper(Frozen).load(make_rows(tuple(columns), [tuple(columns.values())]))[0]


def test_fields_are_columns_in_their_order() -> None:
    names = Mapper(Everything).names
    assert names[:3] == ("id", "f", "d")
    assert "computed" not in names
    assert "constant" not in names


@pytest.mark.parametrize(
    ("name", "value", "encoded"),
    [
        ("id", 7, 7),
        ("f", 2, 2.0),
        ("d", 2, Decimal(2)),
        ("s", "a", "a"),
        ("b", bytearray(b"a"), b"a"),
        ("yes", True, True),
        ("sex", "male", Sex.MALE),
        ("sex", Sex.MALE, Sex.MALE),
        ("level", 1, Level.LOW),
        ("json", {"名": [1, None, {}]}, '{"名": [1, null, {}]}'),
        ("tags", [], "[]"),
        ("word", "a", "a"),
        ("cents", 5, 5),
        ("note", "n", "n"),
        ("json", None, None),
        ("s", None, None),
    ],
)
def test_values_become_parameters(name: str, value: Any, encoded: Any) -> None:
    got = encode(name, value)
    assert got == encoded
    assert type(got) is type(encoded)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("id", "7", "takes int, not str"),
        ("id", True, "takes int, not bool"),
        ("id", 7.0, "takes int, not float"),
        ("f", "1", "takes float, not str"),
        ("f", 10**400, "too large"),
        ("d", 1.5, "takes Decimal, not float"),
        ("s", 0, "takes str, not int"),
        ("s", b"a", "takes str, not bytes"),
        ("b", "a", "takes bytes, not str"),
        ("yes", 1, "takes bool, not int"),
        ("day", datetime(2024, 1, 1), "takes date, not datetime"),
        ("at", date(2024, 1, 1), "takes datetime, not date"),
        ("clock", timedelta(1), "takes time, not timedelta"),
        ("sex", "MALE", "is none of 'male', 'female'"),
        ("sex", 1, "takes Sex, not int"),
        ("level", True, "takes Level, not bool"),
        ("uuid", "x", "takes UUID, not str"),
        ("json", [], "takes dict, not list"),
        ("json", {1: 2}, "read back equal"),
        ("json", {"a": (1,)}, "read back equal"),
        ("json", {"a": float("nan")}, "not JSON compliant"),
        ("json", {"a": object()}, "no form for"),
        ("tags", "a", "takes list, not str"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"field '{name}'.*{message}"):
        encode(name, value)


def test_json_may_not_be_endless() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(DataError, match="no form for"):
        encode("tags", deep)


MYSQL_ROW = {
    **{"id": 1, "f": 0.5, "d": Decimal("1.50"), "s": "a", "b": b"\0", "yes": 1, "day": date(2024, 2, 29)},
    **{
        "at": datetime(2024, 2, 29, 1, 2, 3, 4),
        "clock": timedelta(hours=23, microseconds=5),
        "sex": "male",
        "level": 1,
    },
    **{"uuid": "12345678-1234-5678-1234-567812345678", "json": '{"a": 1}', "tags": "[]", "word": "b", "cents": 3},
    "note": "n",
}
SQLITE_ROW = {
    **MYSQL_ROW,
    **{"d": "1.50", "day": "2024-02-29", "at": "2024-02-29 01:02:03.000004", "clock": "23:00:00.000005"},
}


@pytest.mark.parametrize("columns", [MYSQL_ROW, SQLITE_ROW])
def test_rows_become_objects(columns: dict[str, Any]) -> None:
    (made,) = Mapper(Everything).load(make_rows(tuple(columns), [tuple(columns.values())]))
    assert made == Everything(
        *(1, 0.5, Decimal("1.50"), "a", b"\0", True, date(2024, 2, 29), datetime(2024, 2, 29, 1, 2, 3, 4)),
        *(time(23, 0, 0, 5), Sex.MALE, Level.LOW, UUID("12345678-1234-5678-1234-567812345678"), {"a": 1}, [], "b"),
        *(Cents(3), "n"),
    )
    assert str(made.d) == "1.50"
    assert made.yes is True


def test_null_is_none_and_other_forms_of_a_value_are_understood() -> None:
    columns = {**MYSQL_ROW, "yes": b"\0", "d": 1.5, "f": 2, "uuid": b"\1" * 16, "json": None, "tags": None}
    (made,) = Mapper(Everything).load(make_rows(tuple(columns), [tuple(columns.values())]))
    assert (made.yes, made.d, made.f, made.uuid) == (False, Decimal("1.5"), 2.0, UUID(bytes=b"\1" * 16))
    assert (made.json, made.tags) == (None, None)
    assert type(made.f) is float


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("sex", "x"), ("clock", timedelta(days=1)), ("at", "0000-00-00"), ("d", "x"), ("uuid", 5), ("json", "{")),
        *(("json", 5), ("f", "x"), ("day", "x"), ("clock", timedelta(-1))),
    ],
)
def test_a_stored_value_that_does_not_fit_is_named(column: str, value: Any) -> None:
    columns = {**MYSQL_ROW, column: value}
    with pytest.raises(QueryError, match=f"column '{column}' holds a {type(value).__name__} that is no"):
        Mapper(Everything).load(make_rows(tuple(columns), [tuple(columns.values())]))


def test_errors_of_the_dataclass_itself_stay_what_they_are() -> None:
    @dataclass
    class Picky:
        id: int

        def __post_init__(self) -> None:
            raise ValueError("never")

    with pytest.raises(ValueError, match="never"):
        Mapper(Picky).load(make_rows(("id",), [(1,)]))


def test_keyword_only_and_frozen_dataclasses() -> None:
    mapper = Mapper(Frozen)
    ann = load(id=1, name="Ann")
    assert ann == Frozen(id=1, name="Ann")
    again = mapper.with_field(ann, "id", 5)
    assert (ann.id, again) == (1, Frozen(id=5, name="Ann"))


def test_a_mutable_object_gets_its_id_in_place() -> None:
    @dataclass
    class Plain:
        id: int | None = None

    plain = Plain()
    assert Mapper(Plain).with_field(plain, "id", 3) is plain
    assert plain.id == 3


def test_which_objects_bring_their_id() -> None:
    @dataclass
    class Named:
        id: Any

    mapper = Mapper(Frozen)
    assert [mapper.has_key(Frozen(id=number, name="a")) for number in (0, 1, -1)] == [False, True, True]
    Named.__annotations__["id"] = str
    named = Mapper(Named)
    assert [named.has_key(Named(each)) for each in (None, "", "a", Decimal(0))] == [False, True, True, True]


def test_unknown_fields_are_named_with_a_suggestion() -> None:
    mapper = Mapper(Frozen)
    with pytest.raises(QueryError, match="Frozen has no field 'nmae'; did you mean 'name'"):
        mapper.field("nmae")
    with pytest.raises(QueryError, match="Frozen has no field 'zzz'; it has id, name"):
        mapper.field("zzz")
    with pytest.raises(QueryError, match="no field"):
        mapper.field([])  # type: ignore[arg-type]  # what it does with a wrong name is the question


def test_classes_that_cannot_be_rows() -> None:
    @dataclass
    class NoId:
        name: str

    @dataclass
    class Unknown:
        id: int
        what: complex

    @dataclass
    class Either:
        id: int | str

    @dataclass
    class Words:
        id: int
        word: Literal["a", 1]

    @dataclass
    class MixedEnum:
        id: int
        mixed: Mixed

    class Local(Enum):
        A = "a"

    @dataclass
    class LocalEnum:
        id: int
        local: Local

    for model, message in (
        (int, "not a dataclass"),
        (Frozen(name="a"), "not a dataclass"),
        (NoId, "NoId has no field 'id'"),
        (Unknown, r"Unknown.what: the type <class 'complex'> has no column"),
        (Either, "Either.id: the type .* has no column"),
        (Words, "Words.word: the type"),
        (MixedEnum, "MixedEnum.mixed: the values of Mixed must be"),
        (LocalEnum, "cannot be read .*top of a module"),
    ):
        with pytest.raises(UsageError, match=message):
            Mapper(model)  # type: ignore[arg-type]  # the wrong ones are the question
    assert Mapper(NoId, key="name").key == "name"

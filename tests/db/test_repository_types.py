"""Every type at its limits: what is written is read back equal, on SQLite and on MariaDB; and what mypy knows of it.

mypy checks this file with the package (setup.cfg), so each `assert_type` is a test of the types that users see.
"""

from __future__ import annotations

import configparser
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, assert_type
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from minihttp.db import Database, DataError, Repository, UnsignedBigInt, UsageError


class Kind(Enum):
    CAT = "cat"
    DOG = "名 😀"


class Level(Enum):
    LOW = -(2**63)
    HIGH = 2**63 - 1


@dataclass
class Everything:
    id: int | None
    i: int | None
    f: float | None
    d: Decimal | None
    s: str | None
    b: bytes | None
    yes: bool | None
    day: date | None
    at: datetime | None
    clock: time | None
    kind: Kind | None
    level: Level | None
    u: UUID | None
    j: dict[str, Any] | None
    tags: list[Any] | None


COLUMNS = {
    "sqlite": """i INTEGER, f REAL, d TEXT, s TEXT, b BLOB, yes INTEGER, day TEXT, at TEXT, clock TEXT, kind TEXT,
        level INTEGER, u TEXT, j TEXT, tags TEXT""",
    "mysql": """i BIGINT, f DOUBLE, d DECIMAL(30, 10), s LONGTEXT, b LONGBLOB, yes BOOLEAN, day DATE, at DATETIME(6),
        clock TIME(6), kind VARCHAR(10), level BIGINT, u CHAR(36), j JSON, tags JSON""",
}

# What has a UTF-8 form: all but halves of surrogate pairs. NUL and characters of four bytes are among it.
text = st.text(st.characters(codec="utf-8"), max_size=20)
leaves = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text
)
json = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8
)
records = st.builds(
    Everything,
    id=st.none(),
    i=st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1]),
    f=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    d=st.none() | st.decimals(-(10**20) + 1, 10**20 - 1, allow_nan=False, allow_infinity=False, places=10),
    s=st.none() | text,
    b=st.none() | st.binary(max_size=40),
    yes=st.none() | st.booleans(),
    day=st.none() | st.dates(),
    at=st.none() | st.datetimes(),
    clock=st.none() | st.times(),
    kind=st.none() | st.sampled_from(Kind),
    level=st.none() | st.sampled_from(Level),
    u=st.none() | st.uuids(),
    j=st.none() | st.dictionaries(text, json, max_size=3),
    tags=st.none() | st.lists(json, max_size=3),
)
LOWEST = Everything(
    None, -(2**63), -1.7976931348623157e308, Decimal("-99999999999999999999.9999999999"), "\0", b"\0", False, date.min,
    datetime.min, time.min, Kind.CAT, Level.LOW, UUID(int=0), {}, [],
)  # fmt: skip
HIGHEST = Everything(
    None, 2**63 - 1, 5e-324, Decimal("99999999999999999999.9999999999"), "😀\U0010ffff\0 ", bytes(range(256)), True,
    date.max, datetime.max, time.max, Kind.DOG, Level.HIGH, UUID(int=2**128 - 1), {"\0 😀": "\\'\"%"}, [[], {}, None],
)  # fmt: skip


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        yield database


@pytest.fixture
async def everything(db: Database) -> Repository[Everything]:
    charset = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if db.engine == "mysql" else ""
    await db.execute(
        f"CREATE TABLE everything (id INTEGER PRIMARY KEY /*! AUTO_INCREMENT */, {COLUMNS[db.engine]}){charset}"
    )
    return Repository(Everything, table="everything", db=db)


# The table is emptied by each example, so that one fixture may serve all.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(records, min_size=1, max_size=8))
@example(written=[LOWEST, HIGHEST])
async def test_what_is_written_is_read_back(everything: Repository[Everything], written: list[Everything]) -> None:
    await everything._db.execute("DELETE FROM everything")
    added = await everything.add_many(written)
    read = await everything.find()
    assert read == added
    for one, other in zip(read, added, strict=True):
        assert [type(value) for value in vars(one).values()] == [type(value) for value in vars(other).values()]
    assert await everything.get(added[0].id) == added[0]
    comparable = {name: value for name, value in vars(added[0]).items() if name not in ("j", "tags", "d")}
    if all(value is None or not isinstance(value, float) for value in comparable.values()):
        assert await everything.find(**comparable) == [added[0]]


async def test_what_is_beyond_the_limits_never_reaches_the_database(everything: Repository[Everything]) -> None:
    for name, value, message in (
        ("i", 2**63, "field 'i' is an integer beyond 64 bits"),
        ("i", -(2**63) - 1, "field 'i' is an integer beyond 64 bits"),
        ("f", float("inf"), "is infinite or not a number"),
        ("f", float("nan"), "is infinite or not a number"),
        ("d", Decimal("NaN"), "is infinite or not a number"),
        ("s", "\ud83d", "half a surrogate pair"),
        ("j", {"\ud83d": 1}, "half a surrogate pair"),
    ):
        with pytest.raises(DataError, match=message):
            await everything.update(1, **{name: value})
        with pytest.raises(DataError, match=message):
            await everything.add(Everything(**{**vars(LOWEST), name: value}))
    assert await everything.count() == 0


# --- integers up to 2**64 - 1, which SQLite lacks --------------------------------------------------------------------


@dataclass
class Hash:
    id: UnsignedBigInt | None
    value: UnsignedBigInt


async def test_unsigned_big_integers(mysql_url: str) -> None:
    async with Database(mysql_url) as db:
        await db.execute(
            "CREATE TABLE hash (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, value BIGINT UNSIGNED NOT NULL)"
        )
        hashes = Repository(Hash, table="hash", db=db)
        for value in (0, 2**63, 2**64 - 1):
            added = await hashes.add(Hash(None, value))
            assert await hashes.find(value=value) == [added]
        largest = await hashes.add(Hash(2**64 - 2, 7))
        assert await hashes.get(2**64 - 2) == largest
        assert await hashes.find(order_by="-value", limit=1, after=(2**64 - 1, 3)) == [Hash(2, 2**63)]
        for wrong in (-1, 2**64):
            with pytest.raises(DataError, match=r"field 'value' is not from 0 to 2\*\*64 - 1"):
                await hashes.add(Hash(None, wrong))


async def test_sqlite_says_at_once_that_it_has_none() -> None:
    db = Database("sqlite:///:memory:")
    with pytest.raises(UsageError, match=r"Hash.id: SQLite has no integers beyond 2\*\*63 - 1"):
        Repository(Hash, table="hash", db=db)


# --- what mypy knows -------------------------------------------------------------------------------------------------


async def test_types(db: Database, everything: Repository[Everything]) -> None:
    one = assert_type(await everything.add(HIGHEST), Everything)
    assert_type(await everything.get(one.id), Everything)
    assert_type(await everything.find(order_by="i", limit=1, after=(1, 1)), list[Everything])
    assert_type(await everything.all("SELECT * FROM everything"), list[Everything])
    assert_type(await everything.add_many([]), list[Everything])
    assert_type(await everything.save(one), Everything)
    assert_type(await everything.upsert(one), Everything)
    assert_type(await everything.count(i=1), int)
    assert_type(await everything.exists(i__gt=1), bool)
    async with db.transaction() as tx:
        assert_type(everything.on(tx), Repository[Everything])


def test_mypy_reads_this_file() -> None:
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    assert Path(__file__).name in setup["mypy"]["files"]

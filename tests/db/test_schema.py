"""schema.sql: one text for both engines, which keep the same rules with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from minihttp.db import Database
from minihttp.db.errors import DatabaseError, DataError, IntegrityError, QueryError
from minihttp.db.sql import split_statements

SCHEMA = (Path(__file__).parents[2] / "schema.sql").read_text(encoding="utf-8")
ANN = {"name": "Ann", "age": 30, "sex": "female", "city": "北京"}


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        for statement in split_statements(SCHEMA, database.engine):
            await database.execute(statement)
        yield database


async def add(db: Database, **changes: Any) -> None:
    await db.execute("INSERT INTO user (name, age, sex, city) VALUES (:name, :age, :sex, :city)", {**ANN, **changes})


async def test_it_brings_a_dozen_rows(db: Database) -> None:
    rows = await db.all("SELECT * FROM user ORDER BY id")
    assert [row.id for row in rows] == list(range(1, 13))
    assert rows[0] == {"id": 1, "name": "王伟", "age": 34, "sex": "male", "city": "北京"}
    assert rows[-1].name == "Conan O'Brien"


async def test_ids_go_on_after_them(db: Database) -> None:
    await add(db)
    assert await db.scalar("SELECT MAX(id) FROM user") == 13


@pytest.mark.parametrize(
    "fine",
    [
        *(
            {"name": "a"},
            {"name": "名" * 50},
            {"name": "😀" * 50},
            {"city": "京" * 50},
            {"city": ""},
            {"age": 0},
            {"age": 150},
        ),
        *({"sex": "male"}, {"sex": "other"}, {"name": " "}, {"name": "5"}),
    ],
)
async def test_what_the_rules_allow(db: Database, fine: dict[str, Any]) -> None:
    await add(db, **fine)
    row = await db.one("SELECT * FROM user WHERE id = 13")
    assert row == {"id": 13, **ANN, **fine}


@pytest.mark.parametrize(
    "wrong",
    [
        *({"name": ""}, {"name": "名" * 51}, {"name": "x" * 5000}, {"city": "京" * 51}, {"age": -1}, {"age": 151}),
        *({"age": "abc"}, {"age": ""}, {"sex": ""}, {"sex": "MALE"}, {"sex": "male "}, {"sex": "unknown"}, {"sex": 1}),
        *({"name": b"\xff"}, {"city": b"\xff"}, {"age": 2**40}, {"age": b"\xff"}),
        *({"name": None}, {"age": None}, {"sex": None}, {"city": None}),
    ],
)
async def test_what_the_rules_refuse(db: Database, wrong: dict[str, Any]) -> None:
    with pytest.raises((IntegrityError, DataError)):
        await add(db, **wrong)
    assert await db.scalar("SELECT COUNT(*) FROM user") == 12


async def test_a_fraction_is_never_stored_as_an_age(db: Database) -> None:
    # MySQL rounds it on the way into the column, SQLite would keep it.
    try:
        await add(db, age=30.4)
    except DatabaseError:
        assert await db.scalar("SELECT COUNT(*) FROM user") == 12
    else:
        assert await db.scalar("SELECT age FROM user WHERE id = 13") == 30


@pytest.mark.parametrize(
    ("stored", "asked", "found"),
    [
        *(
            ("Ann", "Ann", 1),
            ("Ann", "ANN", 0),
            ("Ann", "Ann ", 0),
            ("Ann ", "Ann", 0),
            ("Zoë", "Zoe", 0),
            ("ß", "ss", 0),
        ),
        *(("北京", "北京", 1), ("\uff21", "A", 0), ("ﬁ", "fi", 0), ("😀", "😁", 0), ("e\u0301", "é", 0)),
    ],
)
async def test_equality_is_that_of_characters(db: Database, stored: str, asked: str, found: int) -> None:
    await add(db, name=stored, city="somewhere")
    assert await db.scalar("SELECT COUNT(*) FROM user WHERE id = 13 AND name = :name", name=asked) == found


async def test_the_indexes_are_used(db: Database) -> None:
    for column in ("city", "name"):
        plan = await db.all(
            f"EXPLAIN {'QUERY PLAN ' if db.engine == 'sqlite' else ''}SELECT id FROM user WHERE {column} = :value",
            value="x",
        )
        assert any(f"user_{column}" in str(value) for row in plan for value in row.values())


async def test_it_is_for_an_empty_database(db: Database) -> None:
    with pytest.raises(QueryError):
        await db.execute(split_statements(SCHEMA, db.engine)[0])

"""The table held against the dataclass at first use, on SQLite and on MariaDB."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, make_dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from minihttp.db import Database, QueryError, Repository, Row, UsageError

PEOPLE = """CREATE TABLE people (id INTEGER PRIMARY KEY /*! AUTO_INCREMENT */, name VARCHAR(50) NOT NULL,
    age INTEGER NOT NULL, email VARCHAR(50), created VARCHAR(20) NOT NULL DEFAULT 'today',
    twice INTEGER GENERATED ALWAYS AS (age * 2) VIRTUAL)"""


class Kind(Enum):
    CAT = "cat"


class Level(Enum):
    LOW = 1


class Watched:
    """A database that remembers which statements it ran."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.engine = db.engine
        self.seen: list[str] = []

    async def all(self, sql: str, *params: Any) -> list[Row]:
        self.seen.append(sql)
        return await self.db.all(sql, *params)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        await database.execute(PEOPLE)
        yield database


def people(db: Database, *names: str, **options: Any) -> Repository[Any]:
    model = make_dataclass(
        "Person", [(name, int if name.casefold() in ("id", "age", "twice") else str) for name in names]
    )
    return Repository(model, table="people", db=db, **options)


async def test_a_table_that_fits(db: Database) -> None:
    for fields in (
        ("id", "name", "age", "email"),
        ("id", "NAME", "Age", "eMail"),
        ("id", "twice", "name", "age", "email", "created"),
    ):
        assert await people(db, *fields).find() == []


async def test_the_database_is_asked_once(db: Database) -> None:
    watched: Any = Watched(db)
    users = people(watched, "id", "name", "age", "email")
    for _ in range(3):
        assert await users.find() == []
        assert await users.on(watched).find() == []
    assert len([sql for sql in watched.seen if "people" not in sql]) == 1
    assert len(watched.seen) == 7


async def test_a_bound_copy_asks_for_all(db: Database) -> None:
    users = people(db, "id", "name", "age", "email")
    async with db.transaction() as tx:
        await users.on(tx).count()
    await db.execute("ALTER TABLE people DROP COLUMN email")
    assert await users.count() == 0


async def test_a_field_without_a_column(db: Database) -> None:
    for fields, complaint in (
        (("id", "name", "age", "emial"), r"field 'emial' has no column \(did you mean 'email'\?\)"),
        (("id", "name", "age", "email", "shoes"), r"field 'shoes' has no column \(a migration may add it\)"),
        (("id", "name", "age", "email", "names"), r"field 'names' has no column \(a migration may add it\)"),
        (("id", "name", "age", "emial"), r"column 'email' has no field \(add one, give the column a DEFAULT"),
        (("id", "shoes"), r"'shoes' has no column .*; column 'name' has .*; column 'age' has .*; column 'email' has"),
    ):
        with pytest.raises(UsageError, match=f"Person does not fit table 'people': .*{complaint}"):
            await people(db, *fields).find()


async def test_every_first_use_finds_it(db: Database) -> None:
    users = people(db, "id", "name", "age", "emial")
    someone = users._mapper.model(1, "Ann", 30, "")
    for use in (
        users.get(1), users.find(), users.count(), users.exists(), users.add(someone), users.add_many([someone]),
        users.update(1, age=1), users.save(someone), users.delete(1), users.upsert(someone),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="'emial' has no column"):
            await use
    await db.execute("ALTER TABLE people ADD COLUMN emial VARCHAR(10) DEFAULT ''")
    await db.execute("ALTER TABLE people DROP COLUMN email")
    assert await users.find() == []  # repaired: what failed is asked again


async def test_a_column_without_a_field(db: Database) -> None:
    with pytest.raises(UsageError, match=r"fit table 'people': column 'email' has no field [^;]*$"):
        await people(db, "id", "name", "age").find()
    assert await people(db, "id", partial=True).find() == []
    with pytest.raises(UsageError, match=r"fit table 'people': field 'nmae' has no column [^;]*$"):
        await people(db, "id", "nmae", partial=True).find()


async def test_an_id_that_the_dataclass_does_not_use(db: Database) -> None:
    users = people(db, "name", "age", "email", key="email")
    await users.add(users._mapper.model("Ann", 30, "ann@example.com"))
    assert (await users.get("ann@example.com")).name == "Ann"


async def test_an_id_that_the_database_does_not_give(db: Database) -> None:
    await db.execute("CREATE TABLE place (code VARCHAR(5) PRIMARY KEY, name VARCHAR(50) NOT NULL)")
    places: Repository[Any] = Repository(make_dataclass("Place", [("name", str)]), table="place", db=db, key="name")
    with pytest.raises(UsageError, match=r"fit table 'place': column 'code' has no field [^;]*$"):
        await places.find()


async def test_a_table_that_is_not_there(db: Database) -> None:
    users: Repository[Any] = Repository(make_dataclass("Person", [("id", int)]), table="poeple", db=db)
    with pytest.raises(QueryError, match="poeple"):
        await users.find()
    await db.execute("CREATE TABLE poeple (id INTEGER PRIMARY KEY)")
    assert await users.find() == []


async def test_a_temporary_table(db: Database) -> None:
    model = make_dataclass("Draft", [("id", int)])
    drafts: Repository[Any] = Repository(model, table="draft", db=db)
    async with db.transaction() as tx:
        await tx.execute("CREATE TEMPORARY TABLE draft (id INTEGER PRIMARY KEY)")
        await drafts.on(tx).add(model(5))
        assert await drafts.on(tx).find(after=(4,), order_by="id") == [model(5)]


async def test_a_table_of_another_schema(db: Database) -> None:
    schema = "main" if db.engine == "sqlite" else db.url.name
    model = make_dataclass("Person", [("id", int), ("name", str), ("age", int), ("email", str)])
    users: Repository[Any] = Repository(model, table=f"{schema}.people", db=db)
    assert await users.find() == []
    users = Repository(model, table="elsewhere.people", db=db)
    with pytest.raises(QueryError, match="elsewhere"):
        await users.find()


async def test_the_schema_says_which_table_is_compared(db: Database) -> None:
    table, key = ("main.people", "id") if db.engine == "sqlite" else ("information_schema.schemata", "schema_name")
    users: Repository[Any] = Repository(make_dataclass("Part", [(key, int)]), table=table, db=db, key=key, partial=True)
    async with db.transaction() as tx:
        if db.engine == "sqlite":
            await tx.execute("CREATE TEMPORARY TABLE people (other INTEGER)")
        await users.on(tx).count()
    assert users._check.is_done


async def test_views_can_be_read(db: Database) -> None:
    await db.execute("CREATE VIEW adults AS SELECT id, name FROM people WHERE age > 17")
    await db.execute("INSERT INTO people (name, age) VALUES ('Ann', 30), ('Eva', 3)")
    model = make_dataclass("Adult", [("id", int), ("name", str)])
    adults: Repository[Any] = Repository(model, table="adults", db=db)
    assert await adults.find(order_by="-name") == [model(1, "Ann")]


@dataclass
class Typed:
    id: int
    yes: bool = True
    f: float = 0.0
    level: Level = Level.LOW
    d: Decimal = Decimal()
    s: str = ""
    kind: Kind = Kind.CAT


@pytest.mark.parametrize(
    ("column", "others"),
    [
        ("d DECIMAL(30, 10)", "a Decimal in column 'd', DECIMAL(30, 10) (declare it TEXT)"),
        ("d REAL", "a Decimal in column 'd', REAL (declare it TEXT)"),
        ("s INTEGER", "a str in column 's', INTEGER (declare it TEXT)"),
        ("s NUMERIC", "a str in column 's', NUMERIC (declare it TEXT)"),
        ("kind INT", "a Kind in column 'kind', INT (declare it TEXT)"),
        ("level VARCHAR(5)", "a Level in column 'level', VARCHAR(5) (declare it INTEGER or REAL)"),
        ("yes TEXT", "a bool in column 'yes', TEXT (declare it INTEGER or REAL)"),
        ("f CLOB", "a float in column 'f', CLOB (declare it INTEGER or REAL)"),
        ("f DOUBLE", ""),
        ("yes BOOLEAN", ""),
        ("d BLOB", ""),
        ("d", ""),
        ("s NVARCHAR(5)", ""),
    ],
)
async def test_columns_in_which_sqlite_would_change_values(column: str, others: str) -> None:
    columns = {"yes": "yes INTEGER", "f": "f REAL", "level": "level INTEGER", "d": "d TEXT", "s": "s TEXT"}
    columns |= {"kind": "kind TEXT", column.split()[0]: column}
    async with Database("sqlite:///:memory:") as db:
        await db.execute(f"CREATE TABLE typed (id INTEGER PRIMARY KEY, {', '.join(columns.values())})")
        typed = Repository(Typed, table="typed", db=db)
        if others:
            with pytest.raises(UsageError) as refused:
                await typed.add(Typed(1))
            assert str(refused.value) == f"Typed does not fit table 'typed': SQLite would change {others}"
        else:
            await typed.add(Typed(1))
            assert await typed.get(1) == Typed(1)

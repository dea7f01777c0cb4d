"""Values that try to become SQL: of every type, through every method, under every mode in which MySQL reads text."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import product
from uuid import UUID

import pytest

from minihttp.db import Database, DatabaseError, DataError, QueryError

MODES = [
    "TRADITIONAL", "", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "ANSI", "ORACLE",
    "MSSQL,NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT,IGNORE_SPACE,HIGH_NOT_PRECEDENCE", "EMPTY_STRING_IS_NULL",
]  # fmt: skip
# Each closes a string in one way of reading, and goes on: quotes, escapes, comments, bytes of other encodings.
TRIES = [
    "' OR 1=1 -- ", "\\' OR 1=1 -- ", "\\\\' OR 1=1 -- ", "'' OR 1=1 -- ", '" OR 1=1 -- ', '\\" OR 1=1 # ',
    "` OR 1=1 -- ",
    "'/**/OR/**/1=1#", "x' UNION SELECT secret, 2 FROM safe -- ", "'; DELETE FROM safe; -- ", "\\", "\\\\", "'", "''",
    '"', "%' OR '1'='1", "%s%s", "%(name)s", ":id", "?", "\0' OR 1=1 -- ", "\x1a' OR 1=1 -- ", "0x27",
    "北京' OR 1=1 -- ", "🙂\\' OR 1=1 -- ",
    "\xbf' OR 1=1 -- ", "*/ OR 1=1 /*", "\n' OR 1=1\n-- ", "1 OR 1=1", "NULL", "x') OR (1=1) -- ",
]  # fmt: skip


class Text(str):
    """A str that shows another face to whoever asks for its text."""

    def __str__(self):
        return "x' OR 1=1 -- "

    __repr__ = __format__ = __str__


class Bytes(bytes):
    def __repr__(self):
        return "x' OR 1=1 -- "

    hex = decode = __str__ = __repr__


class Number(int):
    def __str__(self):
        return "0 OR 1=1"

    __repr__ = __format__ = __str__


class Real(float):
    __str__ = __repr__ = Number.__str__


class Amount(Decimal):
    __str__ = __repr__ = Number.__str__

    def __format__(self, *_):
        return "0 OR 1=1"


class Day(date):
    __str__ = __repr__ = isoformat = strftime = lambda self, *_: "2026-01-01' OR 1=1 -- "


class Moment(datetime):
    __str__ = __repr__ = strftime = lambda self, *_: "2026-01-01' OR 1=1 -- "


class Choice(Enum):
    EVIL = "x' OR 1=1 -- "
    BYTES = b"x\\' OR 1=1 -- "


def forms(text: str) -> list[object]:
    """The same try in every type that has room for text."""
    raw = text.encode()
    return [text, Text(text), raw, bytearray(raw), memoryview(raw), Bytes(raw), Enum("E", {"A": text}).A]


LITTLE_ROOM = [
    Number(5), Real(0.5), Amount("1.5"), Day(2020, 2, 3), Moment(2020, 2, 3, 4, 5), True, None, *Choice,
    UUID(int=5), time(1, 2), timedelta(days=3), datetime(2020, 2, 3, tzinfo=UTC), -(2**63), 1e300,
]  # fmt: skip


@pytest.fixture
async def db(database_url):
    async with Database(database_url + "?pool_size=1") as db:
        blob = "LONGBLOB" if db.engine == "mysql" else "BLOB"
        await db.script(f"CREATE TABLE safe (id INTEGER PRIMARY KEY, secret VARCHAR(20), bytes {blob}, hits INT)")
        await db.execute("INSERT INTO safe VALUES (1, 'untouched', NULL, 0), (2, 'untouched', NULL, 0)")
        yield db


async def under(db, mode, options=""):
    """Let the connection have this mode, without the pool knowing: the worst that can be."""
    session = await db.lease()
    await session._driver.query(f"SET SESSION sql_mode = '{mode}'")
    db.give_back(session)


FIND = "(SELECT COUNT(*) FROM safe WHERE secret = :v OR secret IN :vs)"


async def attack(db, value, alike=lambda found, value: True):
    """In a select list, a condition and a list: it comes back as itself, finds nothing and changes nothing."""
    params = {"v": value, "vs": [value, "other", value]}
    for rows in (
        await db.all(f"SELECT :v AS v, {FIND} AS found", params),
        [row async for row in db.iterate(f"SELECT :v AS v, {FIND} AS found", params)],
    ):
        assert [(alike(row.v, value), row.found) for row in rows] == [(True, 0)]
    assert (await db.execute("UPDATE safe SET hits = 1 WHERE secret = :v OR secret IN :vs", params)).rowcount == 0


def same(found, value):
    """As text or bytes, whatever the type that carried it."""
    value = value.value if isinstance(value, Enum) else value
    found = found.encode() if isinstance(found, str) else found
    right = str.encode(value) if isinstance(value, str) else bytes(value)
    return found == right


async def check_untouched(db):
    assert [dict(row) for row in await db.all("SELECT id, secret, hits FROM safe ORDER BY id")] == [
        {"id": id, "secret": "untouched", "hits": 0} for id in (1, 2)
    ]


@pytest.mark.parametrize(
    ("mode", "options"),
    [*((mode, "&statement_cache=0") for mode in MODES), *((mode, "") for mode in MODES[:3])],
    ids=lambda value: value or "-",
)
async def test_no_value_becomes_sql_on_mysql(mysql_url, mode, options):
    async with Database(f"{mysql_url}?pool_size=1{options}") as db:
        await db.script(
            "CREATE TABLE safe (id INTEGER PRIMARY KEY, secret VARCHAR(20), hits INT) CHARSET = utf8mb4;"
            "INSERT INTO safe VALUES (1, 'untouched', 0), (2, 'untouched', 0)"
        )
        await under(db, mode)
        connects = db.stats.connects
        for text in TRIES:
            for value in forms(text):
                await attack(db, value, same)
        for value in LITTLE_ROOM:
            with suppress(DataError):  # compared with text, where the mode is strict: an UPDATE refuses a number
                await attack(db, value)
        assert db.stats.connects == connects, "all of it ran under this mode"
        await check_untouched(db)


async def test_no_value_becomes_sql_on_sqlite(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/x.db?pool_size=1") as db:
        await db.script("CREATE TABLE safe (id INTEGER PRIMARY KEY, secret TEXT, hits INT)")
        await db.execute("INSERT INTO safe VALUES (1, 'untouched', 0), (2, 'untouched', 0)")
        for text in TRIES:
            for value in forms(text):
                await attack(db, value, same)
        for value in LITTLE_ROOM:
            await attack(db, value)
        await check_untouched(db)


@pytest.mark.parametrize(
    "value", [{"a": 1}, {1}, object(), [["x"]], [{}], 1j, range(3), lambda: 1, float("nan"), "\ud800"]
)
async def test_what_has_no_form_in_sql_is_refused_before_it_is_sent(db, value):
    for call in (db.all, db.execute, db.scalar, db.one):
        with pytest.raises(QueryError, match=":v"):
            await call("SELECT * FROM safe WHERE id = :v", v=value)
    with pytest.raises(QueryError, match=":v"):
        db.iterate("SELECT * FROM safe WHERE id = :v", v=value)


async def test_names_of_parameters_are_no_way_in(db):
    for name, call in product(("id OR 1=1", "%(id)s", "", ":", "id) -- "), (db.all, db.execute, db.scalar)):
        with pytest.raises(QueryError):
            await call("SELECT * FROM safe WHERE id = :id", {name: 1})
        with pytest.raises(QueryError):
            await call("SELECT * FROM safe WHERE id = :id", {"id": 1, name: 1})


async def test_a_second_statement_is_refused_by_us_and_by_the_server(db):
    for sql in ("SELECT 1; DELETE FROM safe", "SELECT 1;DELETE FROM safe;", "SELECT 1 /* ; */; DELETE FROM safe"):
        for call in (db.all, db.execute, db.scalar):
            with pytest.raises(QueryError, match="several statements"):
                await call(sql)
    if db.engine == "mysql":
        for sneaky in ("SELECT 1 /*!99999 */; DELETE FROM safe", "SELECT '\\'; DELETE FROM safe; -- '"):
            with suppress(DatabaseError):
                await db.execute(sneaky)
    await check_untouched(db)

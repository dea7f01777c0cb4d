"""Keyset pages: each row once and in order, whatever the directions, ties and NULLs, on SQLite and on MariaDB."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from minihttp.db import Database, DataError, QueryError, Repository

SCHEMA = """CREATE TABLE item (id INTEGER PRIMARY KEY /*! AUTO_INCREMENT */, a INTEGER NOT NULL, b INTEGER,
    name VARCHAR(20), price {decimal} NOT NULL); CREATE INDEX by_a ON item (a)"""


@dataclass
class Item:
    id: int | None
    a: int
    b: int | None
    name: str | None
    price: Decimal


@pytest.fixture
async def items(database_url: str) -> AsyncIterator[Repository[Item]]:
    async with Database(database_url) as db:
        await db.script(SCHEMA.format(decimal="TEXT" if db.engine == "sqlite" else "DECIMAL(20, 5)"))
        items = Repository(Item, table="item", db=db)
        values = product((1, 2), (None, 7, 8, None), ("x", None, "y"))
        await items.add_many([Item(None, a, b, name, Decimal(a * 9) + (b or 0)) for a, b, name in values])
        yield items


ORDERS = [
    None, "id", "-id", "a", "-a", "b", "-b", ("a", "-b"), ("-a", "b"), ("-b", "-name"), ("b", "name", "-id"),
    ("-name", "b", "-a"), ("name", "-name"), "price", "-price", ("-price", "id"), ("b", "-id", "name"),
]  # fmt: skip


@pytest.mark.parametrize("order_by", ORDERS)
async def test_pages_join_to_the_whole(items: Repository[Item], order_by: Any) -> None:
    whole = await items.find(order_by=order_by)
    assert len(whole) == 24
    for limit in (1, 5, 24):
        pages: list[Item] = []
        page = await items.find(order_by=order_by, limit=limit)
        while page and len(pages) < len(whole):  # a page that comes twice must not come for ever
            pages += page
            page = await items.find(order_by=order_by, limit=limit, after=page[-1])
        assert (pages, page) == (whole, [])
    assert await items.find(order_by=order_by, after=whole[3]) == whole[4:]
    assert await items.find(order_by=order_by, after=whole[3], limit=2, offset=1) == whole[5:7]


async def test_values_instead_of_the_object(items: Repository[Item]) -> None:
    whole = await items.find(order_by=("-b", "a"))
    last = whole[9]
    assert await items.find(order_by=("-b", "a"), after=(last.b, last.a, last.id)) == whole[10:]
    assert [item.id for item in await items.find(after=22)] == [23, 24]
    assert [item.id for item in await items.find(order_by="-id", after=[3])] == [2, 1]


async def test_pages_of_what_passes_a_filter(items: Repository[Item]) -> None:
    found = await items.find(order_by="-name", b=None)
    assert await items.find(order_by="-name", b=None, after=found[4], limit=3) == found[5:8]


async def test_rows_that_come_and_go_disturb_nothing(items: Repository[Item]) -> None:
    whole = await items.find(order_by="-a")
    first = await items.find(order_by="-a", limit=5)
    await items.delete(first[-1].id)
    await items.add(Item(None, 9, None, None, Decimal(1)))
    assert await items.find(order_by="-a", after=first[-1]) == whole[5:]


async def test_an_after_that_does_not_fit_is_refused(items: Repository[Item]) -> None:
    for order_by, after, names in (
        ("a", 7, "a, id"),
        ("a", (7,), "a, id"),
        ("a", (7, 1, 2), "a, id"),
        ("a", (7, None), "a, id"),
        (None, (1, 2), "id"),
        ("-id", Item(None, 1, 2, "x", Decimal(1)), "id"),
    ):
        with pytest.raises(QueryError, match=rf"after= takes the last object of the page before, or its \({names}\)"):
            await items.find(order_by=order_by, after=after)
    with pytest.raises(DataError, match="field 'a' takes int, not str"):
        await items.find(order_by="a", after=("1", 2))


@pytest.mark.parametrize("order_by", ["a", "-a", ("-a", "-id")])
async def test_a_page_begins_in_the_middle_of_an_index(items: Repository[Item], order_by: Any) -> None:
    plans = []
    db: Any = items._db

    class Explained:
        engine = db.engine

        async def all(self, sql: str, params: Any) -> Any:
            if "`item`" in sql:
                explain = "EXPLAIN" if db.engine == "mysql" else "EXPLAIN QUERY PLAN"
                plans.extend(str(list(row.values())) for row in await db.all(f"{explain} {sql}", params))
            return await db.all(sql, params)

    await items.add_many([Item(None, number % 1000, None, None, Decimal(1)) for number in range(4000)])
    if db.engine == "mysql":
        await db.all("ANALYZE TABLE item")
    (last,) = await items.find(order_by=order_by, limit=1, offset=2000)
    await items.on(Explained()).find(order_by=order_by, after=last, limit=10)  # type: ignore[arg-type]  # it needs no other method
    (plan,) = plans  # one step: no sorting behind it
    assert ("'range'" in plan and "filesort" not in plan) if db.engine == "mysql" else "SEARCH item USING INDEX" in plan

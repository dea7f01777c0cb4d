"""Optimistic locking, saving whole objects and SQL of one's own, on SQLite and on MariaDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from minihttp.db import Database, DataError, NotFound, QueryError, Repository, StaleVersion, UsageError
from minihttp.db.transaction import Transaction


@dataclass
class Page:
    id: int | None
    title: str
    text: str
    edition: int = 1


@dataclass(frozen=True)
class Frozen:
    id: int
    title: str
    text: str
    edition: int = 1


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        await database.execute(
            "CREATE TABLE page (id INTEGER PRIMARY KEY /*! AUTO_INCREMENT */, title VARCHAR(20) NOT NULL, "
            "text VARCHAR(20) NOT NULL, edition INTEGER NOT NULL)"
        )
        yield database


@pytest.fixture
async def pages(db: Database) -> Repository[Page]:
    pages = Repository(Page, table="page", db=db, version="edition")
    await pages.add_many([Page(None, "Home", "a"), Page(None, "News", "b")])
    return pages


async def test_save_writes_what_was_read_and_counts_it(pages: Repository[Page]) -> None:
    page = await pages.get(1)
    page.text = "new"
    assert await pages.save(page) is page
    assert page == Page(1, "Home", "new", 2)
    assert await pages.get(1) == page
    await pages.save(page)  # the same values again are a change
    assert (await pages.get(1)).edition == 3
    assert (await pages.get(2)).edition == 1


async def test_a_frozen_object_is_saved_as_a_copy(db: Database, pages: Repository[Page]) -> None:
    frozen = Repository(Frozen, table="page", db=db, version="edition")
    page = await frozen.get(1)
    assert await frozen.save(replace(page, text="new")) == Frozen(1, "Home", "new", 2)
    assert page.edition == 1


async def test_who_comes_second_overwrites_nothing(pages: Repository[Page]) -> None:
    mine, yours = await pages.get(1), await pages.get(1)
    yours.text = "yours"
    await pages.save(yours)
    mine.title = "mine"
    for attempt in (
        pages.save(mine),
        pages.update(1, title="mine", edition=mine.edition),
        pages.update(1, edition=mine.edition),
        pages.delete(1, version=mine.edition),
    ):
        with pytest.raises(StaleVersion, match="this Page was changed since it was read") as stale:
            await attempt
        assert (stale.value.http_status, stale.value.retryable) == (409, False)
        assert stale.value.detail == str(stale.value)
    assert mine.edition == 1
    assert await pages.get(1) == yours


async def test_update_and_delete_at_a_version(pages: Repository[Page]) -> None:
    await pages.update(1, text="x", edition=1)
    assert await pages.get(1) == Page(1, "Home", "x", 2)
    await pages.update(1, edition=2)
    assert (await pages.get(1)).edition == 3
    await pages.delete(1, version=3)
    await pages.delete(2)
    assert await pages.count() == 0


async def test_a_missing_row_is_not_stale(pages: Repository[Page]) -> None:
    for attempt in (
        pages.save(Page(9, "x", "x")),
        pages.save(Page(None, "x", "x")),
        pages.update(9, text="x", edition=1),
        pages.delete(9, version=1),
        pages.delete(9),
    ):
        with pytest.raises(NotFound, match="no Page with this id"):
            await attempt


async def test_the_version_cannot_be_forgotten(pages: Repository[Page]) -> None:
    for attempt in (pages.update(1, text="x"), pages.update(1, text="x", edition=None)):
        with pytest.raises(QueryError, match="pass edition= as it was read"):
            await attempt
    with pytest.raises(DataError, match="field 'edition' takes int, not str"):
        await pages.update(1, edition="1")
    with pytest.raises(UsageError, match="upsert asks for no version"):
        await pages.upsert(Page(1, "x", "x"))
    assert await pages.get(1) == Page(1, "Home", "a")


async def test_only_an_int_field_can_be_the_version(db: Database) -> None:
    for name in ("title", "id"):
        with pytest.raises(UsageError, match=f"'{name}' cannot be the version"):
            Repository(Page, table="page", db=db, version=name)
    with pytest.raises(UsageError, match="the version: Page has no field 'editoin'; did you mean 'edition'"):
        Repository(Page, table="page", db=db, version="editoin")


async def test_of_many_at_once_one_wins(db: Database, pages: Repository[Page]) -> None:
    read = [await pages.get(1) for _ in range(10)]
    outcomes = await asyncio.gather(*(pages.save(replace(page, text="x")) for page in read), return_exceptions=True)
    assert sum(isinstance(outcome, Page) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, StaleVersion) for outcome in outcomes) == 9
    assert (await pages.get(1)).edition == 2


async def test_retry_leaves_a_stale_version_alone(db: Database, pages: Repository[Page]) -> None:
    calls = []

    async def work(tx: Transaction) -> None:
        calls.append(tx)
        await pages.on(tx).update(2, text="undone", edition=1)
        await pages.on(tx).update(1, text="x", edition=5)

    with pytest.raises(StaleVersion):
        await db.retry(work)
    assert len(calls) == 1
    assert (await pages.get(2)).text == "b"


# --- without a version -----------------------------------------------------------------------------------------------


async def test_save_without_a_version(db: Database, pages: Repository[Page]) -> None:
    plain = Repository(Page, table="page", db=db)
    page = replace(await plain.get(2), title="Old", edition=7)
    assert await plain.save(page) is page
    await plain.save(page)
    assert await plain.get(2) == Page(2, "Old", "b", 7)
    assert await plain.get(1) == Page(1, "Home", "a", 1)
    with pytest.raises(NotFound):
        await plain.save(Page(9, "x", "x"))
    with pytest.raises(UsageError, match="this repository has no version"):
        await plain.delete(1, version=1)


# --- SQL of one's own ------------------------------------------------------------------------------------------------


async def test_objects_from_sql_of_ones_own(db: Database, pages: Repository[Page]) -> None:
    found = await pages.all("SELECT edition, text, 1 AS more, title, id FROM page WHERE id IN :ids", ids=[1, 2, 3])
    assert found == [Page(1, "Home", "a"), Page(2, "News", "b")]
    assert await pages.all("SELECT * FROM page WHERE title = :title", {"title": "News"}) == [Page(2, "News", "b")]
    assert await pages.all("SELECT * FROM page WHERE id = 0") == []
    async with db.transaction() as tx:
        await pages.on(tx).add(Page(5, "Draft", "c"))
        assert len(await pages.on(tx).all("SELECT * FROM page")) == 3


async def test_a_result_that_lacks_a_field(pages: Repository[Page]) -> None:
    with pytest.raises(QueryError, match="Page needs a column 'text'; the result has id, title, edition"):
        await pages.all("SELECT id, title, edition FROM page")


async def test_a_subclass_keeps_what_it_adds_when_it_is_bound(db: Database, pages: Repository[Page]) -> None:
    class Pages(Repository[Page]):
        limit = 1

        async def newest(self) -> list[Page]:
            return await self.find(order_by="-id", limit=self.limit)

    mine = Pages(Page, table="page", db=db)
    mine.limit = 2
    async with db.transaction() as tx:
        bound: Any = mine.on(tx)
        assert [page.id for page in await bound.newest()] == [2, 1]

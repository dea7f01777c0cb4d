"""The lock that processes share: who has it, who waits, and what becomes of it when its holder is gone."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

import pytest

from minihttp.db import Database, DatabaseError, Lock, LockTimeout

PATIENCE = 60.0  # seconds until something that does not come fails the test
EXPIRES = "SELECT expires FROM minihttp_lock WHERE name = 'work'"


@pytest.fixture
async def db(database_url):
    async with Database(database_url) as db:
        yield db


@pytest.fixture
async def other(database_url):
    """The same database, as another process sees it."""
    async with Database(database_url) as other:
        yield other


async def rows(db):
    return await db.scalar("SELECT COUNT(*) FROM minihttp_lock")


async def test_it_is_held_inside_of_the_block_and_leaves_nothing(db):
    async with Lock(db, "work") as lock:
        assert await db.scalar("SELECT owner FROM minihttp_lock WHERE name = 'work'") == lock.owner
        assert f"process {os.getpid()} on " in lock.owner
        assert await lock.renew(db)
    assert await rows(db) == 0
    assert not await lock.renew(db)


async def test_it_is_free_again_after_an_error(db):
    with pytest.raises(KeyError):
        async with Lock(db, "work"):
            raise KeyError
    assert await rows(db) == 0


async def test_another_is_told_who_has_it(db, other):
    async with Lock(db, "work") as lock:
        with pytest.raises(
            LockTimeout, match=r"the lock 'work' is held by .*ends by itself (29|30) s from now"
        ) as caught:
            async with Lock(other, "work", wait=0):
                raise AssertionError("two have it")
        assert lock.owner in str(caught.value)
        async with Lock(other, "something else", wait=0):
            assert await rows(db) == 2


async def test_another_gets_it_when_it_is_free(db, other):
    order = []

    async def second():
        async with Lock(other, "work", wait=PATIENCE):
            order.append("second")

    async with asyncio.timeout(PATIENCE), Lock(db, "work", lease=0.3) as lock:
        task = asyncio.create_task(second())
        first = await db.scalar(EXPIRES)
        while await db.scalar(EXPIRES) < first + 0.6:  # it is renewed, for longer than it would live by itself
            pass
        order.append("first")
        assert await lock.renew(db)
    await task
    assert order == ["first", "second"]


@pytest.mark.parametrize("way", ["expired", "stolen"])
async def test_it_is_taken_from_a_holder_that_is_gone(db, other, way):
    async with Lock(db, "work") as gone:
        if way == "expired":
            await db.execute("UPDATE minihttp_lock SET expires = expires - 31")
        async with Lock(other, "work", wait=0, steal=way == "stolen") as lock:
            assert not await gone.renew(db)
            await gone.__aexit__(None, None, None)  # what is another's it leaves alone
            assert await lock.renew(other)
            async with AsyncExitStack() as stack:
                with pytest.raises(LockTimeout):
                    await stack.enter_async_context(Lock(db, "work", wait=0))


async def test_keeping_it_survives_an_outage(db):
    failed = asyncio.Event()

    class Watched(Lock):
        async def renew(self, on):
            try:
                return await super().renew(on)
            except DatabaseError:
                failed.set()
                raise

    async with asyncio.timeout(PATIENCE), Watched(db, "work", lease=0.03):
        await db.execute("ALTER TABLE minihttp_lock RENAME TO away")
        await failed.wait()
        await db.execute("ALTER TABLE away RENAME TO minihttp_lock")
        first = await db.scalar(EXPIRES)
        while await db.scalar(EXPIRES) == first:
            pass


async def test_a_database_that_is_lost_at_the_end_is_no_error(db):
    async with Lock(db, "work"):
        await db.execute("DROP TABLE minihttp_lock")


async def test_no_task_of_it_is_left_behind(db):
    before = asyncio.all_tasks()
    async with Lock(db, "work") as lock:
        assert asyncio.all_tasks() - before
        await db.close()  # so that giving it back fails at once
    assert lock._keeper.done()


async def test_a_file_that_others_write_to_all_the_time(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db?busy_timeout=0.01"
    async with Database(url) as db, Database(url) as other:
        async with other.transaction():
            with pytest.raises(LockTimeout, match=r"others write to this database all the time \(waited for 0\.1 s\)"):
                await Lock(db, "work", wait=0.1).__aenter__()
        async with Lock(db, "work", wait=0):
            pass


async def test_a_row_of_ours_is_ours(db):
    async with Lock(db, "other"):
        lock = Lock(db, "work", wait=0)
        # Taken, and the answer lost.
        await db.execute(
            "INSERT INTO minihttp_lock SELECT 'work', :owner, expires FROM minihttp_lock", owner=lock.owner
        )
        async with lock:
            assert await rows(db) == 2


async def test_an_answer_that_is_lost_is_asked_for_again(mysql_url):
    find = """SELECT id FROM information_schema.processlist
        WHERE info LIKE 'INSERT INTO `minihttp_lock`%' AND db = DATABASE()"""
    async with asyncio.timeout(PATIENCE), Database(mysql_url) as db, Database(mysql_url) as other:
        async with Lock(db, "work"):
            pass
        async with other.transaction() as tx:
            await tx.execute("INSERT INTO minihttp_lock VALUES ('work', 'x', 0)")  # the next one waits for its end
            entering = asyncio.create_task(Lock(db, "work").__aenter__())
            while (number := await tx.scalar(find)) is None:
                pass
            await tx.execute(f"KILL {number}")
        lock = await entering
        assert await lock.renew(db)
        await lock.__aexit__(None, None, None)

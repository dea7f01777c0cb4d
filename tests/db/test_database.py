"""What belongs to `Database` alone: opening, closing, and which driver is loaded."""

from __future__ import annotations

import asyncio
import pathlib
import subprocess
import sys
from math import inf

import pytest

from minihttp.db import Database, InvalidURL, Timeout, Unavailable, UsageError


def test_a_wrong_url_is_an_error_where_it_is_written():
    with pytest.raises(InvalidURL):
        Database("postgres://x")


def test_no_password_is_shown():
    db = Database("mysql://ann:hunter2@127.0.0.1/x")
    assert repr(db) == "Database('mysql://ann@127.0.0.1:3306/x')"
    assert "hunter2" not in repr(vars(db))


async def test_closing_stops_the_timer_of_the_deadlines(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/x.db") as db:
        await db.scalar("SELECT 1")
        assert db.deadline.alarm.at < inf
    assert db.deadline.alarm.at == inf and db.deadline.loop is None


def test_a_database_of_another_loop(tmp_path):
    db = Database(f"sqlite:///{tmp_path}/x.db")
    with asyncio.Runner() as here, asyncio.Runner() as elsewhere:
        here.run(db.open())
        with pytest.raises(UsageError, match="open one on each loop"):
            elsewhere.run(asyncio.wait_for(db.scalar("SELECT 1"), 20))
        assert here.run(db.scalar("SELECT 1")) == 1
        here.run(db.close())
        elsewhere.run(db.open())  # closed in between, it may move
        assert elsewhere.run(db.scalar("SELECT 1")) == 1
        elsewhere.run(db.close())


def test_deadlines_ring_on_the_next_loop_too(tmp_path):
    db = Database(f"sqlite:///{tmp_path}/x.db?query_timeout=0.05&close_grace=0")

    async def work_that_outlives_its_database():
        await db.open()
        tx = await db.transaction().__aenter__()
        await db.close()
        with pytest.raises(Unavailable):
            await tx.scalar("SELECT 1")
        assert db.deadline.alarm.at < inf

    async def again():
        async with db, asyncio.timeout(10):
            with pytest.raises(Timeout, match="query_timeout"):
                await db.scalar(
                    "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r"
                )

    asyncio.run(work_that_outlives_its_database())
    asyncio.run(again())


@pytest.mark.parametrize(("engine", "loaded"), [("sqlite", ["aiosqlite"]), ("mysql", ["asyncmy"])])
def test_only_the_driver_that_is_needed_is_loaded(engine, loaded):
    code = f"""if True:
        import sys
        from minihttp.db.database import connector
        from minihttp.db.url import parse_url
        connector(parse_url("{engine}:///x"))
        print([name for name in ("asyncmy", "aiosqlite") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr(loaded)


async def test_an_open_that_fails_can_be_tried_again(tmp_path):
    db = Database(f"sqlite:///{tmp_path}/sub/x.db")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await db.open()
    (tmp_path / "sub").mkdir()
    async with db:
        assert await db.scalar("SELECT 1") == 1


async def test_a_full_pool(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/x.db?pool_size=1&acquire_timeout=0.01&queue=1") as db:
        async with db.transaction(read_only=True):
            first = asyncio.create_task(db.scalar("SELECT 1"))
            await asyncio.sleep(0)
            second = asyncio.create_task(db.scalar("SELECT 1"))
            with pytest.raises(Unavailable, match="wait for a database connection already"):
                await second
            with pytest.raises(Timeout, match=r"within 0\.01 s.*Task-"):
                await first
        assert await db.scalar("SELECT 1") == 1
        assert (db.stats.timeouts, db.stats.waits) == (1, 2)


async def test_a_lease_given_back_after_the_end(tmp_path):
    db = Database(f"sqlite:///{tmp_path}/x.db?close_grace=0.01")
    await db.open()
    session = await db.lease()
    await db.close()
    db.give_back(session)
    assert not session.is_open


def test_the_program_ends_when_the_database_could_not_be_opened(tmp_path: pathlib.Path):
    code = f"""if True:
        import asyncio
        from minihttp.db import Database
        asyncio.run(Database("sqlite:///{tmp_path}/sub/x.db").open())
    """
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("minihttp.db.errors.Unavailable: cannot open")
    assert "Exception in thread" not in done.stderr

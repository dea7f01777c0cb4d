"""Several hosts in one URL, on two real servers: which is chosen, what makes the pool move, and when it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from minihttp.db import Database, Unavailable
from minihttp.db.hosts import Address
from tests.support.mariadb import PrivateMariaDB, run_sql


@dataclass
class Pair:
    """Two servers with one login. They share no data: each tells by its port that it was the one."""

    first: PrivateMariaDB
    second: PrivateMariaDB

    def url(self, options: str = "") -> str:
        return f"mysql://pair:pw@127.0.0.1:{self.first.port},127.0.0.1:{self.second.port}/app?retry_wait=0.05{options}"


@pytest.fixture
def pair(own_mariadb: Callable[..., PrivateMariaDB]) -> Pair:
    pair = Pair(own_mariadb(options=("--max-connections=10",)), own_mariadb())
    for server in (pair.first, pair.second):
        run_sql(
            server.root_url(),
            "CREATE USER pair@'127.0.0.1' IDENTIFIED BY 'pw'",
            "GRANT ALL ON app.* TO pair@'127.0.0.1'",
            "CREATE TABLE app.t (a INT) ENGINE=InnoDB",
        )
    return pair


def read_only(server: PrivateMariaDB, value: int) -> None:
    run_sql(server.root_url(), f"SET GLOBAL read_only = {value}")


def resting(db: Database) -> list[Address]:
    return list(db._pool._connector._hosts._resting)


def rested(db: Database) -> None:
    """As if the time had passed for which a host that failed is asked last."""
    hosts = db._pool._connector._hosts._resting
    hosts.update({address: rest._replace(until=0.0) for address, rest in hosts.items()})


async def port(db: Database) -> int:
    return int(await db.scalar("SELECT @@port"))


async def test_the_first_that_can_write_is_chosen(pair: Pair) -> None:
    async with Database(pair.url()) as db:
        assert await port(db) == pair.first.port
    read_only(pair.first, 1)
    async with Database(pair.url()) as db:
        assert await port(db) == pair.second.port
        await db.execute("INSERT INTO t VALUES (1)")
        assert resting(db) == [("127.0.0.1", pair.first.port)]


async def test_where_none_can_write_each_is_named_with_its_reason(pair: Pair) -> None:
    read_only(pair.first, 1)
    pair.second.kill()
    words = rf"127\.0\.0\.1:{pair.first.port} is read-only; cannot reach .*127\.0\.0\.1:{pair.second.port}: "
    with pytest.raises(Unavailable, match=words) as caught:
        await Database(pair.url()).open()
    chain = [caught.value]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    assert isinstance(chain[-1], ConnectionRefusedError)


async def test_a_single_host_is_taken_as_it_is(pair: Pair) -> None:
    read_only(pair.second, 1)
    async with Database(f"mysql://pair:pw@127.0.0.1:{pair.second.port}/app") as db:
        assert await db.all("SELECT a FROM t") == []


async def test_a_server_that_becomes_read_only_is_left(pair: Pair) -> None:
    async with Database(pair.url("&pool_size=3")) as db:
        used, idle = await db.lease(), await db.lease()
        db.give_back(idle)
        read_only(pair.first, 1)
        with pytest.raises(Unavailable) as caught:
            await db.execute("INSERT INTO t VALUES (1)")
        assert caught.value.code == 1290
        await db.execute("INSERT INTO t VALUES (2)")
        assert await port(db) == pair.second.port
        assert used.is_open  # its task may finish what it does
        db.give_back(used)
        assert (used.is_open, idle.is_open) == (False, False)


async def test_a_server_that_dies_is_left_and_comes_back_into_favor(pair: Pair) -> None:
    async with Database(pair.url("&pool_size=2")) as db:
        assert await port(db) == pair.first.port
        session = await db.lease()
        pair.first.kill()
        with pytest.raises(Unavailable):
            await session.command("SELECT SLEEP(60)")
        db.give_back(session)
        assert [await port(db) for _ in range(3)] == [pair.second.port] * 3

        pair.first.restart()
        assert await port(db) == pair.second.port
        rested(db)
        assert await port(db) == pair.second.port  # what is open is used
        old = await db.lease()
        new = await db.lease()
        assert (old.origin, new.origin) == (f"127.0.0.1:{pair.second.port}", f"127.0.0.1:{pair.first.port}")
        db.give_back(old)
        db.give_back(new)
        assert (old.is_open, await port(db), db.stats.size) == (False, pair.first.port, 1)
        assert resting(db) == []


async def test_a_server_that_dies_under_load(pair: Pair) -> None:
    ports: set[int] = set()
    refused: list[Unavailable] = []

    async def work(db: Database) -> None:
        while pair.second.port not in ports:
            try:
                ports.add(await port(db))
            except Unavailable as error:
                refused.append(error)

    async with Database(pair.url("&pool_size=4")) as db, asyncio.timeout(30):
        workers = [asyncio.create_task(work(db)) for _ in range(8)]
        while not ports:
            await asyncio.sleep(0)
        await asyncio.to_thread(pair.first.kill)
        await asyncio.gather(*workers)
        assert len(refused) <= 8  # those whose query was under way: nobody is refused by the server that lives
        assert await port(db) == pair.second.port


async def test_a_silent_server_leaves_time_for_the_next(pair: Pair) -> None:
    pair.first.pause()
    async with Database(pair.url("&connect_timeout=1")) as db:
        assert await port(db) == pair.second.port
        assert resting(db) == [("127.0.0.1", pair.first.port)]
    pair.second.kill()
    with pytest.raises(Unavailable, match=rf":{pair.first.port} did not answer within 0.25 s .*; cannot reach"):
        await Database(pair.url("&connect_timeout=0.5")).open()
    pair.first.resume()


async def test_a_server_that_is_full_sends_nobody_to_the_next(pair: Pair) -> None:
    async with Database(pair.url("&pool_size=50")) as db:
        assert set(await asyncio.gather(*(db.scalar("SELECT @@port + SLEEP(0.01)") for _ in range(60)))) == {
            pair.first.port
        }
        assert db.stats.errors > 0

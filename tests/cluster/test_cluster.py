"""The example on a real cluster whose nodes die: no acknowledged write is lost, and the program goes on by itself.

Times to recover are printed, not asserted: they are those of the cluster's own failure detection. `make test-cluster`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from minihttp.db import Conflict, Database, Executor, Unavailable
from tests.support.galera import Galera, Node
from tests.support.mariadb import run_sql

from .load import Load, program

IN_SYNC = "SET SESSION wsrep_sync_wait = 1"  # what follows sees all that any node had acknowledged
OPTIONS = "?pool_size=8&acquire_timeout=30&connect_timeout=3&retry_wait=0.1"


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints past pytest."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", end=" ", flush=True)

    return say


def rows_of(node: Node, prefix: str) -> list[tuple[str, int]]:
    """What a node has, after all that the cluster had agreed on when it was asked."""
    rows = run_sql(node.url(), IN_SYNC, f"SELECT name, age FROM `user` WHERE name LIKE '{prefix}-%'")
    return [(str(name), int(age)) for name, age in rows]


def assert_nothing_lost(cluster: Galera, load: Load, prefix: str) -> None:
    """Every node has each acknowledged user once, as it was changed last, and no other."""
    assert len(load.written) > 100
    for node in cluster.nodes:
        assert sorted(rows_of(node, prefix)) == sorted(load.written.items()), node


def test_the_node_in_use_is_killed_and_comes_back(cluster: Galera, say: Callable[[str], None]) -> None:
    first, second, _ = cluster.nodes
    with program(cluster.url(OPTIONS)) as example:
        with Load(example.port, "killed") as load:
            load.wait_for(300)
            moment = time.monotonic()
            first.kill()
            load.wait_for(300)
            say(f"kill -9 of the node in use: {load.gap_after(moment):.1f} s without an acknowledgment")
            moment = time.monotonic()
            seconds = first.start()
            load.wait_for(100)
            say(f"its return took {seconds:.1f} s, of which {load.gap_after(moment):.1f} s without an acknowledgment")
        say(f"{len(load.times)} writes acknowledged, {dict(load.refused)}")
        assert f"new database connections go to 127.0.0.1:{second.port}" in example.log
        assert example.stop() == 0
    cluster.heal()
    assert_nothing_lost(cluster, load, "killed")


def test_a_node_that_is_not_in_use_is_killed(cluster: Galera, say: Callable[[str], None]) -> None:
    with program(cluster.url(OPTIONS)) as example:
        with Load(example.port, "other") as load:
            load.wait_for(100)
            moment = time.monotonic()
            cluster.nodes[2].kill()
            load.wait_for(300)
            say(f"kill -9 of another node: {load.gap_after(moment):.1f} s without an acknowledgment")
        assert "connections go to" not in example.log
        assert example.stop() == 0
    cluster.heal()
    assert_nothing_lost(cluster, load, "other")


async def test_conflicts_of_two_nodes_are_retried(cluster: Galera, say: Callable[[str], None]) -> None:
    tries = done = 0
    both = asyncio.Barrier(2)
    met: set[Database] = set()

    async def increment(tx: Executor, db: Database) -> None:
        nonlocal tries
        tries += 1
        await tx.execute("UPDATE counter SET n = n + 1")
        if db not in met:
            met.add(db)
            await both.wait()  # each node has changed the row, neither has committed: the cluster can take only one

    async def work(db: Database) -> None:
        nonlocal done
        for _ in range(50):
            with suppress(Conflict):  # five times in a row: somebody else got on
                await db.retry(increment, db)
                done += 1

    async with Database(cluster.url(first=1)) as one, Database(cluster.url(first=2)) as two, asyncio.timeout(60):
        await one.script("CREATE TABLE counter (id INT PRIMARY KEY, n INT) ENGINE=InnoDB")
        await one.execute("INSERT INTO counter VALUES (1, 0)")
        assert [run_sql(node.url(), IN_SYNC, "SELECT n FROM counter") for node in cluster.nodes] == [[(0,)]] * 3
        assert [await db.scalar("SELECT @@port") for db in (one, two)] == [node.port for node in cluster.nodes[:2]]
        await asyncio.gather(work(one), work(two))
    assert [run_sql(node.url(), IN_SYNC, "SELECT n FROM counter") for node in cluster.nodes] == [[(done,)]] * 3
    assert tries > done > 50
    say(f"{done} increments of one row through two nodes took {tries} tries")


async def test_a_cluster_without_quorum(cluster: Galera, say: Callable[[str], None]) -> None:
    first, second, third = cluster.nodes
    with program(cluster.url(OPTIONS)) as example:
        with Load(example.port, "quorum") as load:
            await asyncio.to_thread(load.wait_for, 100)
            moment = time.monotonic()
            second.kill()
            third.kill()
            first.wait_until(ready="OFF")
            say(f"two of three killed: known to the third after {time.monotonic() - moment:.1f} s")
            async with Database(first.url()) as db:  # it lets one in, and does nothing
                with pytest.raises(Unavailable, match="WSREP has not yet prepared node") as caught:
                    await db.scalar("SELECT COUNT(*) FROM `user`")
                assert caught.value.code == 1047
            with pytest.raises(Unavailable, match=rf":{first.port} is a node of a cluster and not ready"):
                await Database(cluster.url()).open()
            moment = time.monotonic()
            run_sql(first.root_url("mysql"), "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=1'")
            await asyncio.to_thread(load.wait_for, 100)
            say(f"bootstrapped by hand: {load.gap_after(moment):.1f} s until writes were acknowledged")
        say(f"{len(load.times)} writes acknowledged, {dict(load.refused)}")
        assert example.stop() == 0
    cluster.heal()
    assert_nothing_lost(cluster, load, "quorum")

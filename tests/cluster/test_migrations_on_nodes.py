"""Migrations on a real cluster: processes that start together, each on a node of its own, apply every file once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.db.test_migrations import FILES, OUTCOME, Process, folder, process, write
from tests.support.galera import Galera
from tests.support.mariadb import run_sql

__all__ = ["folder", "process", "write"]

ROUNDS = 30
IN_SYNC = "SET SESSION wsrep_sync_wait = 1"


def test_three_processes_on_three_nodes(cluster: Galera, process: Callable[[], Process], folder: Path) -> None:
    three = [process() for _ in cluster.nodes]
    for number in range(ROUNDS):
        name = f"migrated_{number}"
        run_sql(cluster.nodes[0].root_url(), f"CREATE DATABASE {name}")
        for node in cluster.nodes:
            run_sql(node.root_url(), IN_SYNC, "SELECT 1")  # until it has the database too
        for each, node in zip(three, cluster.nodes, strict=True):
            each.order(node.root_url(name), folder)
        applied = [each.answer() for each in three]
        assert sorted(applied, key=len) == [[], [], list(FILES)]
        for node in cluster.nodes:
            rows = run_sql(node.root_url(name), IN_SYNC, "SELECT * FROM t")
            assert rows == [tuple(OUTCOME.values())]
        run_sql(cluster.nodes[0].root_url(), f"DROP DATABASE {name}")

"""One cluster for all tests of this folder; each finds all of its nodes up and in sync."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.galera import Galera


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Galera]:
    with Galera() as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster: Galera) -> Galera:
    running_cluster.heal()
    return running_cluster

"""Fixtures for every test: databases on a real MariaDB, and the choice of the event loop.

Owns: `mariadb_server`, `mysql_url`, `own_mariadb`, `database_url`; MINIHTTP_TEST_LOOP=uvloop, which runs every async
test on uvloop instead of asyncio's own loop; MINIHTTP_TEST_WATCH=1, which records every request of every test, and
every task that a request starts: nothing may come out differently.
Must not know: what is tested.
Invariant: a database that cannot be had fails the test that wanted it; nothing is skipped.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import minihttp.server.server
import minihttp.testing.client
import tests.server.links
from minihttp.server.exchange import serve_request
from minihttp.watch.recorder import Recorder
from tests.support.mariadb import PrivateMariaDB, Server, server_from_environment

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, LoopFactory]:
    """The one loop on which this run's async tests run."""
    name = os.environ.get("MINIHTTP_TEST_LOOP", "asyncio")
    if name == "asyncio":
        return {name: asyncio.new_event_loop}
    if name == "uvloop":
        import uvloop

        return {name: uvloop.new_event_loop}
    raise pytest.UsageError(f"MINIHTTP_TEST_LOOP is {name!r}: it must be asyncio or uvloop")


if os.environ.get("MINIHTTP_TEST_WATCH"):

    @pytest.fixture(autouse=True)
    async def recorded(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recorder]:
        recorder, loop = Recorder(), asyncio.get_running_loop()
        for module in (tests.server.links, minihttp.testing.client, minihttp.server.server):
            monkeypatch.setattr(module, "serve_request", recorder.wrap(serve_request))
        recorder.watch_tasks(loop)
        yield recorder
        loop.set_task_factory(None)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Server]:
    """The server that all tests share: private, or the one that MINIHTTP_MYSQL_URL names. Do not harm it."""
    with server_from_environment() as server:
        yield server


@pytest.fixture
def mysql_url(mariadb_server: Server) -> Iterator[str]:
    """A fresh, empty database of the test's own on the shared server."""
    name = mariadb_server.create_database()
    yield mariadb_server.url(name)
    mariadb_server.drop_database(name)


@pytest.fixture
def own_mariadb() -> Iterator[Callable[..., PrivateMariaDB]]:
    """Starts servers of the test's own, to be killed, paused and restarted: `server = own_mariadb()`."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(PrivateMariaDB(**options))


@pytest.fixture(params=["sqlite", "mysql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, empty database, once of each engine: a test that takes this runs twice."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("mysql_url")
    return url

"""What the user of an application sees when its database is full, slow, gone, in doubt, or says no."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from minihttp import App, Request
from minihttp.db import Database
from minihttp.testing import Client
from tests.db.proxy import Proxy

SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY /*! AUTO_INCREMENT */, a INTEGER UNIQUE, name VARCHAR(5))"


def application(url: str, held: asyncio.Event) -> App:
    """Each route does one thing to a database; `/hold` keeps a connection until the event is set."""

    @asynccontextmanager
    async def lifespan(app):
        async with Database(url) as db:
            yield {"db": db}

    app = App(lifespan=lifespan)

    @app.get("/one")
    async def one(request: Request) -> object:
        return await request.app.state.db.one("SELECT 1 AS one")

    @app.get("/row/{id:int}")
    async def row(request: Request, id: int) -> object:
        return await request.app.state.db.one("SELECT * FROM t WHERE id = :id", id=id)

    @app.get("/add/{a:int}/{name}")
    async def add(request: Request, a: int, name: str) -> object:
        await request.app.state.db.execute("INSERT INTO t (a, name) VALUES (:a, :name)", a=a, name=name)
        return {"added": name}

    @app.get("/hold")
    async def hold(request: Request) -> object:
        async with request.app.state.db.transaction() as tx:
            await held.wait()
            return await tx.one("SELECT 2 AS two")

    @app.get("/hurry")
    async def hurry(request: Request) -> object:
        async with request.app.state.db.within(0.05):
            return await request.app.state.db.one("SELECT 1 AS one")

    return app


@pytest.fixture
async def url(database_url):
    async with Database(database_url) as db:
        await db.script(SCHEMA)
    return database_url


def problem(reply, status, words):
    assert reply.status == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert words in reply.json().get("detail", "")
    return reply


async def test_a_full_queue_is_503_with_a_time_to_come_back(url):
    held = asyncio.Event()
    app = application(url + "?pool_size=1&queue=2", held)
    async with Client(app) as client:
        tasks = [asyncio.create_task(client.get("/hold"))]
        db = app.state.db
        while not db.stats.used:
            await asyncio.sleep(0)
        tasks += [asyncio.create_task(client.get("/one")) for _ in range(2)]
        while db.stats.waiters < 2:
            await asyncio.sleep(0)
        for _ in range(5):
            assert problem(await client.get("/one"), 503, "").headers["retry-after"] == "1"
        held.set()
        assert [(await task).status for task in tasks] == [200] * 3
        assert (await client.get("/one")).json() == {"one": 1}


async def test_no_connection_in_time_is_503(url):
    held = asyncio.Event()
    app = application(url + "?pool_size=1&acquire_timeout=0.05", held)
    async with Client(app) as client:
        task = asyncio.create_task(client.get("/hold"))
        while not app.state.db.stats.used:
            await asyncio.sleep(0)
        for path in ("/one", "/hurry"):
            assert problem(await client.get(path), 503, "").headers["retry-after"] == "1"
        held.set()
        assert (await task).status == 200


async def test_what_the_database_refuses(url):
    async with Client(application(url, asyncio.Event())) as client:
        problem(await client.get("/row/7"), 404, "there is no such row")
        assert (await client.get("/add/1/北京🙂")).json() == {"added": "北京🙂"}
        assert (await client.get("/row/1")).json() == {"id": 1, "a": 1, "name": "北京🙂"}
        reply = problem(await client.get("/add/1/秘密"), 409, "")
        assert "秘密" not in reply.text
        assert "retry-after" not in reply.headers


async def test_a_value_that_does_not_fit_is_422(mysql_url):
    async with Database(mysql_url) as db:
        await db.script(SCHEMA)
    async with Client(application(mysql_url, asyncio.Event())) as client:
        reply = problem(await client.get("/add/1/secret-and-too-long"), 422, "")
        assert "secret" not in reply.text


async def test_a_database_that_is_gone_and_comes_back(mysql_url):
    async with Database(mysql_url) as db:
        await db.script(SCHEMA)
    async with Proxy.before(mysql_url) as proxy:
        app = application(proxy.url(mysql_url) + "?retry_wait=0.02", asyncio.Event())
        async with Client(app) as client:
            assert (await client.get("/add/1/Ann")).status == 200
            proxy.fail("answer", 0, "cut")
            reply = problem(await client.get("/add/2/Bo"), 503, "")
            assert "retry-after" not in reply.headers, "it may have been done: nobody should send it again by himself"
            proxy.stop_listening()
            proxy.cut_all()
            for _ in range(3):
                assert problem(await client.get("/row/1"), 503, "").headers["retry-after"] == "1"
            await proxy.listen()
            await asyncio.sleep(0.03)
            assert (await client.get("/row/2")).json() == {"id": 2, "a": 2, "name": "Bo"}

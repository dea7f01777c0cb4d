"""`/_loop`: who may see it, and what is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from minihttp import App
from minihttp.options import Limits
from minihttp.request import Request
from minihttp.response import Response
from minihttp.testing import Client
from minihttp.watch import pages as module
from minihttp.watch.pages import FEEDS, Page
from minihttp.watch.recorder import Recorder
from minihttp.watch.records import Snapshot

from .sample import sample


class Watched:
    """What is looked at, and since when it was asked."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.asked: list[float] = []

    def snapshot(self, since: float = 0.0) -> Snapshot:
        self.asked.append(since)
        return sample()

    def addresses(self) -> list[str]:
        return []


class Served:
    """A page that a client asks for."""

    def __init__(self, hosts: str = "") -> None:
        self.watched = Watched()
        self.page = Page(self.watched, hosts)
        self.client = Client(self.page.answer, Limits(), timeout=10)

    async def get(self, path: str, **fields: str) -> tuple[int, str]:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        reply = await self.client.get(path, headers=headers)
        return reply.status, reply.text


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    async with made.client:
        yield made


async def test_the_page_and_its_files(served: Served) -> None:
    for path, start in (("/_loop", "<!doctype html>"), ("/_loop?tour", "<!doctype html>"), ("/_loop/page.js", "//")):
        status, text = await served.get(path)
        assert status == 200
        assert text.startswith(start)
    reply = await served.client.get("/_loop/page.css")
    assert reply.headers["content-type"] == "text/css; charset=utf-8"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "access-control-allow-origin" not in reply.headers
    assert reply.headers["cache-control"] == "no-store"


async def test_the_snapshot_and_the_trace(served: Served) -> None:
    status, text = await served.get("/_loop/snapshot.json")
    assert (status, json.loads(text)) == (200, json.loads(json.dumps(sample())))
    status, text = await served.get("/_loop/trace.json")
    assert "traceEvents" in json.loads(text)


async def test_what_is_not_there(served: Served) -> None:
    assert (await served.get("/_loop/nothing"))[0] == 404
    assert (await served.get("/_loop/../app.py"))[0] == 404
    assert (await served.get("/_loop/__init__.py"))[0] == 404
    assert (await served.client.post("/_loop")).status == 405


async def test_the_tour(served: Served) -> None:
    assert (await served.client.post("/_loop/demo/nothing", headers={"x-loop-tour": "1"})).status == 404
    assert (await served.client.post("/_loop/demo/wait")).status == 403


async def test_the_feed_sends_all_and_then_what_is_new(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD", 0.001)
    async with served.client.stream("GET", "/_loop/feed") as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        seen = b""
        async for piece in reply.chunks():
            seen += piece
            if seen.count(b"\n\n") >= 3:
                break
    first, second, *_ = seen.decode().split("\n\n")
    assert json.loads(first.removeprefix("data: "))["version"] == 1
    assert second.startswith("data: ")
    assert served.watched.asked[0] == 0.0
    assert 0.0 < served.watched.asked[1] < served.watched.asked[2]


async def test_the_feed_ends_with_the_server(served: Served) -> None:
    reading = asyncio.create_task(served.get("/_loop/feed"))
    while not served.watched.asked:
        await asyncio.to_thread(lambda: None)
    served.page.stop()
    status, text = await reading
    assert status == 200
    assert text.startswith("data: ")


async def test_not_everybody_can_read_the_feed(served: Served) -> None:
    served.page._feeds = FEEDS
    assert (await served.get("/_loop/feed"))[0] == 503


HOSTS = {
    "localhost": 200, "localhost:8000": 200, "127.0.0.1:8000": 200, "[::1]:8000": 200, "[::1]": 200, "LOCALHOST": 200,
    "evil.example": 403, "evil.example:8000": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403,
}  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
async def test_only_a_name_of_this_machine(served: Served, host: str) -> None:
    assert (await served.get("/_loop", host=host))[0] == HOSTS[host]


@pytest.mark.parametrize(
    "path", ["/_loop", "/_loop/feed", "/_loop/snapshot.json", "/_loop/trace.json", "/_loop/demo/wait"]
)
async def test_a_foreign_name_gets_nothing_at_all(served: Served, path: str) -> None:
    status, text = await served.get(path, host="evil.example")
    assert status == 403
    assert "GET /users" not in text
    assert served.watched.asked == []


CLIENTS = {"127.0.0.1": 200, "127.9.9.9": 200, "::1": 200, "192.0.2.7": 403, "2001:db8::1": 403, "fe80::1%eth0": 403}


@pytest.mark.parametrize("address", CLIENTS)
async def test_only_a_client_on_this_machine(served: Served, address: str) -> None:
    end = served.client.open(extra={"peername": (address, 50000)})
    end.send(b"GET /_loop HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert (await end.read_reply()).status == CLIENTS[address]


async def test_whoever_comes_through_a_unix_socket_may_be_anybody() -> None:
    for hosts, status in (("", 403), ("localhost", 200)):
        made = Served(hosts)
        async with made.client:
            end = made.client.open(extra={"peername": ""})
            end.send(b"GET /_loop HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await end.read_reply()).status == status


async def test_a_proxy_on_this_machine_is_no_client_on_it(served: Served) -> None:
    assert (await served.get("/_loop", x_forwarded_for="192.0.2.7"))[0] == 403
    assert (await served.get("/_loop", forwarded="for=192.0.2.7"))[0] == 403


async def test_who_was_named_may_see_it_from_elsewhere() -> None:
    made = Served("Dev.Example, other.example")
    async with made.client:
        for host, status in (("dev.example:80", 200), ("other.example", 200), ("third.example", 403)):
            end = made.client.open(extra={"peername": ("192.0.2.7", 50000)})
            end.send(f"GET /_loop HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            assert (await end.read_reply()).status == status


async def test_an_application_does_not_see_it() -> None:
    from minihttp.watch.watch import Watch

    app = App()

    @app.middleware
    async def spy(request: Request, call_next: object) -> Response:
        raise AssertionError("the middleware was asked")

    @app.get("/_looping")
    async def other(request: Request) -> str:
        return "the application's"

    watch = Watch(app)
    async with Client(watch.handle) as client:
        assert (await client.get("/_loop")).status == 200
        assert (await client.get("/_loop/nothing")).status == 404
    app = App()
    app.get("/_looping")(other)
    async with Client(Watch(app).handle) as client:
        assert (await client.get("/_looping")).text == "the application's"

"""The handlers of the tour: each does what its story says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import trustme

from minihttp import App, waits
from minihttp.options import Options
from minihttp.request import Request
from minihttp.response import Response
from minihttp.server.server import Server
from minihttp.testing import Client
from minihttp.watch import tour as module
from minihttp.watch.tour import HEADER, PIECE, PIECES, Tour


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG", 0.001)
    monkeypatch.setattr(module, "WAIT", 0.001)
    monkeypatch.setattr(module, "QUERY", 0.001)
    monkeypatch.setattr(module, "SIPS", (0.0, 0.0))


def app_of(tour: Tour) -> App:
    app = App()

    @app.route("/_loop/demo/{name}", methods=["GET", "POST"])
    async def demo(request: Request, name: str) -> Response:
        return await tour.answer(request, name)

    return app


@pytest.fixture
def app() -> App:
    return app_of(Tour(list))


async def test_each_demonstration_ends(app: App) -> None:
    names = set(Tour(list).names)
    assert len(names) == 8
    async with Client(app) as client:
        for name in sorted(names - {"slow"}):
            reply = await client.post(f"/_loop/demo/{name}", headers={HEADER: "1"})
            assert reply.status == 200
            assert (len(reply.content) == len(PIECE) * PIECES) is (name == "large")


@pytest.mark.parametrize("kind", ["tcp", "tls", "unix"])
async def test_the_slow_client_asks_its_own_server(kind: str, tmp_path: Path) -> None:
    certificate = tmp_path / "both.pem"
    trustme.CA().issue_cert("elsewhere.example").private_key_and_cert_chain_pem.write_to_path(certificate)
    options = {
        "tcp": Options(port=0),
        "tls": Options(port=0, certificate=str(certificate), private_key=str(certificate)),
        "unix": Options(uds=str(tmp_path / "socket")),
    }
    asked: list[str] = []
    tour = Tour(lambda: server.addresses)

    async def counting(request: Request) -> Response:
        asked.append(request.raw_path)
        return await app(request)

    app = app_of(tour)
    server = Server(counting, options[kind])
    await server.start()
    try:
        async with Client(app) as client:
            reply = await client.post("/_loop/demo/slow", headers={HEADER: "1"})
    finally:
        await server.stop()
    assert reply.text == "took it slowly\n"
    assert asked == ["/_loop/demo/large"]


async def test_a_server_that_listens_no_more_has_no_slow_client(app: App) -> None:
    async with Client(app) as client:
        assert (await client.post("/_loop/demo/slow", headers={HEADER: "1"})).status == 503


async def test_they_answer_only_to_the_page(app: App) -> None:
    async with Client(app) as client:
        assert (await client.post("/_loop/demo/wait")).status == 403
        assert (await client.get("/_loop/demo/wait", headers={HEADER: "1"})).status == 405
        assert (await client.post("/_loop/demo/nothing", headers={HEADER: "1"})).status == 404


ASKED: Any = None  # these do not look at who asks


class Labels:
    """A record that keeps what is said to it."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    @property
    def why(self) -> Any:
        return None

    @why.setter
    def why(self, label: Any) -> None:
        self.said.append(label)


async def test_they_say_what_they_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = Labels()
    monkeypatch.setattr(waits.current, "record", labels)
    tour = Tour(list)
    await tour._rows(ASKED)
    assert [kind for kind, _ in labels.said] == ["query"] * 21
    assert len(set(labels.said[1:])) == 1  # the same text twenty times
    labels.said.clear()
    await tour._ask_the_pool(ASKED)
    assert labels.said[0] == ("connection", "1/1")


async def test_who_only_waits_does_not_wait_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG", None)
    assert (await Tour(list)._wait(ASKED)).status == 200


async def test_the_pool_of_one_serves_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    tour = Tour(list)
    begun, going = asyncio.Event(), asyncio.Event()
    most = inside = 0

    async def held(text: str, seconds: float) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        begun.set()
        await going.wait()
        inside -= 1

    monkeypatch.setattr(module, "query", held)

    handed_over: list[tuple[Any, ...]] = []

    async def ask() -> None:
        await tour._ask_the_pool(ASKED)
        handed_over.append(tuple(tour._pool.gauge()[each] for each in ("used", "idle", "waiters")))

    asked = [asyncio.create_task(ask()) for _ in range(3)]
    await begun.wait()
    assert tour._pool in waits.gauges
    assert tour._pool.gauge() == {
        "kind": "pool",
        "name": "the tour's pool",
        "limit": 1,
        "used": 1,
        "idle": 0,
        "waiters": 2,
    }
    going.set()
    await asyncio.gather(*asked)
    assert most == 1
    assert handed_over == [(1, 0, 1), (1, 0, 0), (0, 1, 0)], "it was never free in between"

"""The handlers of the tour: each does what its story says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from minihttp import App, waits
from minihttp.request import Request
from minihttp.response import Response
from minihttp.testing import Client
from minihttp.watch import tour as module
from minihttp.watch.tour import HEADER, PIECE, PIECES, Tour


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG", 0.001)
    monkeypatch.setattr(module, "QUERY", 0.001)


@pytest.fixture
def app() -> App:
    tour, made = Tour(), App()

    @made.route("/{name}", methods=["GET", "POST"])
    async def demo(request: Request, name: str) -> Response:
        return await tour.answer(request, name)

    return made


async def test_each_demonstration_ends(app: App) -> None:
    names = set(Tour().names)
    assert len(names) == 7
    async with Client(app) as client:
        for name in sorted(names):
            reply = await client.post(f"/{name}", headers={HEADER: "1"})
            assert reply.status == 200
            assert (len(reply.content) == len(PIECE) * PIECES) is (name == "large")


async def test_they_answer_only_to_the_page(app: App) -> None:
    async with Client(app) as client:
        assert (await client.post("/wait")).status == 403
        assert (await client.get("/wait", headers={HEADER: "1"})).status == 405
        assert (await client.post("/nothing", headers={HEADER: "1"})).status == 404


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
    tour = Tour()
    await tour._rows()
    assert [kind for kind, _ in labels.said] == ["query"] * 21
    assert len(set(labels.said[1:])) == 1  # the same text twenty times
    labels.said.clear()
    await tour._ask_the_pool()
    assert labels.said[0] == ("connection", "1/1")


async def test_the_pool_of_one_serves_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    tour = Tour()
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
    asked = [asyncio.create_task(tour._ask_the_pool()) for _ in range(3)]
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
    assert tour._pool.gauge()["used"] == tour._pool.gauge()["waiters"] == 0

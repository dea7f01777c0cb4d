"""A watched server, whole: real sockets, real queries, real waits."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import logging
import socket
import sys
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from minihttp import App, Request, Response, Stream, waits
from minihttp.app import loop_factory, watched
from minihttp.db import Database
from minihttp.options import Options
from minihttp.server.server import Server
from minihttp.watch import arrivals, pages
from minihttp.watch import lints as lint_module
from minihttp.watch import watch as module
from minihttp.watch.export import trace
from minihttp.watch.metrics import metrics
from minihttp.watch.records import Card, Lane, Record, Segment, Snapshot
from minihttp.watch.source import Place
from minihttp.watch.watch import Watch

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def own_outlet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@asynccontextmanager
async def serving(app: App, **options: Any) -> AsyncIterator[tuple[Watch, Server]]:
    """The app, watched, on a free port."""
    watch = Watch(app, app.router.find)
    server = Server(watch.handle, Options(port=0, **options), trace=watch.recorder)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.lifespan_context())
        watch.start(server)
        stack.callback(watch.stop)
        await server.start()
        stack.push_async_callback(server.stop, 0)
        # Nobody is judged by what else this machine does.
        watch.judge.machine = lambda start, end: (0.0, end - start)
        yield watch, server


def watch_behind(server: Server) -> Watch:
    handler: Any = server._handler
    watch: Watch = handler.__self__
    return watch


async def connect(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*server.sockets[0].getsockname())


async def get(server: Server, path: str) -> bytes:
    reader, writer = await connect(server)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


def until_seen(watch: Watch) -> Callable[[], bool]:
    """Whether the watching thread has looked three times since now."""
    samples, end = watch.watchdog.samples, time.perf_counter() + PATIENCE
    enough = len(samples) + 3
    return lambda: len(samples) >= enough or time.perf_counter() > end


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.to_thread(lambda: None)


def lane(snapshot: Snapshot, name: str) -> Lane:
    return [each for each in snapshot["lanes"] if each["name"] == name][-1]


def waits_of(snapshot: Snapshot, name: str) -> list[Segment]:
    return [each for each in lane(snapshot, name)["segments"] if each["state"] == "wait"]


def lints(watch: Watch) -> set[str]:
    return {each["lint"] for each in watch.cards.latest()}


async def test_a_block_before_the_server_listens_accuses_nobody() -> None:
    """A lifespan that keeps the loop: nobody can have sent anything yet."""
    app = App()
    watch = Watch(app, app.router.find)
    server = Server(watch.handle, Options(port=0), trace=watch.recorder)
    watch.start(server)
    watch.judge.machine = lambda start, end: (0.0, end - start)
    try:
        await asyncio.sleep(0)
        time.sleep(0.2)
        await until(lambda: watch.recorder.lag and watch.recorder.lag[-1][1] > 0.1)
        for _ in range(10):
            await asyncio.sleep(0)
    finally:
        watch.stop()
    watch._beat(watch.recorder.clock())
    assert watch.judge.count == 0


# -- each label, from a real wait --------------------------------------------------------------------------------------


def shop(url: str) -> App:
    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[dict[str, Any]]:
        async with Database(f"{url}{'&' if '?' in url else '?'}pool_size=1") as db:
            await db.execute("CREATE TABLE book (id INTEGER PRIMARY KEY, title VARCHAR(100))")
            await db.execute("INSERT INTO book VALUES (1, 'secret')")
            yield {"db": db, "held": asyncio.Event(), "free": asyncio.Event()}

    app = App(lifespan)

    @app.get("/books/{title}")
    async def books(request: Request, title: str) -> list[Any]:
        rows: list[Any] = await request.app.state.db.all("SELECT id FROM book WHERE title = :title", title=title)
        return rows

    @app.get("/hold")
    async def hold(request: Request) -> str:
        state = request.app.state
        async with state.db.transaction():
            state.held.set()
            await state.free.wait()
        return "held"

    @app.get("/many")
    async def many(request: Request) -> str:
        for number in range(6):
            await request.app.state.db.scalar("SELECT title FROM book WHERE id = :id", id=number)
        return "asked"

    @app.get("/rows")
    async def rows(request: Request) -> str:
        async for _ in request.app.state.db.iterate("SELECT id FROM book"):
            pass
        return "read"

    return app


async def test_a_real_query_is_named_with_its_sql_and_its_line_and_no_value(database_url: str) -> None:
    async with serving(shop(database_url)) as (watch, server):
        assert b"200 OK" in await get(server, "/books/secret")
        snapshot = watch.snapshot()
        found = waits_of(snapshot, "GET /books/{title}")
        queries = [each for each in found if each["kind"] == "query"]
        assert {each["detail"].replace("%s", "?") for each in queries} == {"SELECT id FROM book WHERE title = ?"}
        assert queries[-1]["at"].startswith("tests/watch/test_watch.py:")
        assert "secret" not in str(snapshot)
        await get(server, "/rows")
        assert {(each["kind"], each["detail"]) for each in waits_of(watch.snapshot(), "GET /rows")} == {
            ("query", "SELECT id FROM book")
        }


async def test_a_real_pool_of_one_has_a_queue(database_url: str) -> None:
    async with serving(app := shop(database_url)) as (watch, server):
        holding = asyncio.create_task(get(server, "/hold"))
        await app.state.held.wait()
        asking = asyncio.create_task(get(server, "/books/secret"))
        await until(lambda: app.state.db.stats.waiters)
        watch.recorder.measure(watch.recorder.clock())
        snapshot = watch.snapshot()
        assert [(each["kind"], each["detail"]) for each in waits_of(snapshot, "GET /books/{title}")] == [
            ("connection", "1/1")
        ]
        assert waits_of(snapshot, "GET /hold")[-1]["kind"] == "event"
        [pool] = [each for each in snapshot["gauges"] if each["waiters"]]
        assert (pool["used"], pool["limit"], pool["history"][-1][1:]) == (1, 1, (1, 1))
        started = watch.recorder.clock()
        await until(lambda: watch.recorder.clock() - started > 0.08)
        app.state.free.set()
        await asyncio.gather(holding, asking)
        await until(lambda: {"L5", "L6"} <= lints(watch))
        [held] = [each for each in watch.cards.latest() if each["lint"] == "L6"]
        assert held["source"][2][1].strip() == "await state.free.wait()"


async def test_the_same_query_again_and_again(database_url: str) -> None:
    async with serving(shop(database_url)) as (watch, server):
        await get(server, "/many")
        await until(lambda: "L8" in lints(watch))
        [card] = [each for each in watch.cards.latest() if each["lint"] == "L8"]
        assert card["title"] == "GET /many runs the same query 6 times"
        assert card["text"].replace("%s", "?") == "SELECT title FROM book WHERE id = ?"


async def test_a_client_that_sends_its_body_and_one_that_does_not_take_its_answer() -> None:
    app = App()

    @app.post("/body")
    async def body(request: Request) -> str:
        return str(len(await request.body()))

    @app.get("/large")
    async def large(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(200):
                yield b"x" * 100_000

        return Stream(pieces())

    async with serving(app) as (watch, server):
        reader, writer = await connect(server)
        writer.write(b"POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
        await until(lambda: watch.recorder.live)
        [wait] = waits_of(watch.snapshot(), "POST /body")
        assert (wait["kind"], wait["at"][:26]) == ("body", "tests/watch/test_watch.py:"[:26])
        writer.write(b"12345")
        await reader.readuntil(b"5")
        writer.write(b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        await until(lambda: any(each.path == "/large" and each.why for each in list(watch.recorder.live)))
        assert waits_of(watch.snapshot(), "GET /large")[-1]["kind"] == "client"
        while await reader.read(1 << 20):
            pass
        writer.close()


async def test_the_slow_client_of_the_tour_is_slow() -> None:
    async with serving(App()) as (watch, server):
        reader, writer = await connect(server)
        head = "POST /_loop/demo/slow HTTP/1.1\r\nhost: localhost\r\nx-loop-tour: 1\r\nconnection: close\r\n\r\n"
        writer.write(head.encode())
        assert (await reader.read()).endswith(b"took it slowly\n")
        writer.close()
        [longest, *_] = sorted(
            waits_of(watch.snapshot(), "POST /_loop/demo/large"), key=lambda each: each["start"] - each["end"]
        )
        assert (longest["kind"], longest["detail"]) == ("client", "to take its answer")
        await until(lambda: "L11" in lints(watch))
        [card] = [each for each in watch.cards.latest() if each["lint"] == "L11"]
        assert card["title"].startswith("POST /_loop/demo/large: a client takes its answer slowly")


# -- blocks ------------------------------------------------------------------------------------------------------------


def blocking(watch_of: dict[str, Watch]) -> App:
    app = App()

    @app.get("/block")
    async def block(request: Request) -> str:
        samples, told = watch_of["watch"].watchdog.samples, request.app.state.told
        rest, end = 3, time.perf_counter() + PATIENCE
        while rest and time.perf_counter() < end:
            time.sleep(0.05)
            rest -= len(samples) > 2 and told.is_set()
        return "done"

    @app.get("/nap")
    async def nap(request: Request) -> str:
        await request.app.state.event.wait()
        return "rested"

    @app.get("/hello")
    async def hello(request: Request) -> str:
        return "hello"

    return app


async def test_a_block_is_seen_with_its_line_and_with_what_had_arrived() -> None:
    found: dict[str, Watch] = {}
    app = blocking(found)
    app.state.event, app.state.told = asyncio.Event(), threading.Event()
    async with serving(app) as (watch, server):
        found["watch"] = watch
        napping = asyncio.create_task(get(server, "/nap"))
        idle = socket.create_connection(server.sockets[0].getsockname())
        guilty = socket.create_connection(server.sockets[0].getsockname())
        late: list[socket.socket] = []
        await until(lambda: len(watch.recorder.live) == 1 and len(server.service.connections) == 3)

        def ask() -> None:
            """In a thread: another asks when the loop is known to stand."""
            while not watch.watchdog.samples:
                time.sleep(0.001)
            idle.sendall(b"GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            late.append(socket.create_connection(server.sockets[0].getsockname()))
            app.state.told.set()

        asking = threading.Thread(target=ask)
        asking.start()
        guilty.sendall(b"GET /block HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        await until(lambda: watch.judge.blocks and watch.recorder.finished[-1].path == "/hello")
        app.state.event.set()
        assert b"rested" in await napping
        asking.join()
        guilty.close()
        idle.close()
        late[0].close()
        [block] = watch.snapshot()["blocks"]
        assert (block["file"], block["function"]) == ("tests/watch/test_watch.py", "block")
        assert block["source"][2][1].strip().startswith("time.sleep(0.05)")
        assert block["name"] == "GET /block"
        assert block["fix"] == "use await asyncio.sleep(...)"
        assert block["victims"]["requests"] == 0, "the nap was not over"
        assert block["victims"]["unread"] == 2, "one asked, one only came"
        assert block["victims"]["worst"] > 0
        arrived = lane(watch.snapshot(), "GET /hello")["segments"][0]
        assert arrived["state"] == "arrived"
        assert block["start"] <= arrived["start"] < (block["end"] or 0)
        await until(lambda: "L12" in lints(watch))
        assert "GET /hello had arrived" in str(watch.cards.latest())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(("budget", "name"), [(module.BUDGET, "GET /wake"), (0, "handler wake")])
def test_who_was_held_up_is_counted_whether_recorded_or_not(
    monkeypatch: pytest.MonkeyPatch, budget: int, name: str, loop: str
) -> None:
    monkeypatch.setattr(module, "BUDGET", budget)
    monkeypatch.setattr(pages, "PERIOD", 0.02)  # so that the page, too, could go on during the block
    found: dict[str, Watch] = {}
    app = blocking(found)
    app.state.event, app.state.told, never = asyncio.Event(), threading.Event(), asyncio.Event()

    @app.get("/never")
    async def wait(request: Request) -> str:
        await never.wait()
        return "rested"

    @app.get("/wake")
    async def wake(request: Request) -> str:
        app.state.event.set()
        samples, end = found["watch"].watchdog.samples, time.perf_counter() + PATIENCE
        while len(samples) < 3 and time.perf_counter() < end:
            time.sleep(0.05)
        return "done"

    async def main() -> None:
        async with serving(app) as (watch, server):
            found["watch"] = watch
            await until(lambda: watch.recorder.left < 1000)
            waiting = [asyncio.create_task(get(server, path)) for path in ["/nap"] * 5 + ["/never"]]
            await until(lambda: server.stats().running == 6)
            assert watch.snapshot()["requests"]["running_max"] == 6
            reader, looking = await connect(server)
            looking.write(b"GET /_loop/feed HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await reader.readuntil(b"data: ")
            assert watch.gauge()["requests_running"] == 6, "without those who look"
            requests = watch.snapshot()["requests"]
            assert (requests["running_max"], requests["skipped"]) == (6, 0 if budget else 6), "as before"
            await get(server, "/wake")
            await until(lambda: watch.judge.blocks)
            never.set()
            await asyncio.gather(*waiting)
            block = watch.judge.blocks[-1]
            assert (block["name"], block["function"], block["victims"]["requests"]) == (name, "wake", 5)
            assert block["victims"]["worst"] == block["ms"]
            assert len(block["victims"]["lanes"]) == (5 if budget else 0)
            assert len(watch.recorder.finished) == (7 if budget else 0)
            looking.close()

    with asyncio.Runner(loop_factory=loop_factory(loop, watch=True)) as runner:
        runner.run(main())


async def test_the_block_of_this_moment_can_be_read_from_another_thread() -> None:
    found: dict[str, Watch] = {}
    seen: list[Snapshot] = []
    late: list[socket.socket] = []
    app = blocking(found)
    app.state.event = asyncio.Event()

    @app.get("/read")
    async def read(request: Request) -> str:
        # As `minihttp top` does: from another thread, while this holds the loop.
        app.state.event.set()
        asking.sendall(b"GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        late.append(socket.create_connection(server.sockets[0].getsockname()))
        watch, end = found["watch"], time.perf_counter() + PATIENCE
        while not any(each["victims"]["requests"] for each in watch.snapshot()["blocks"]) and time.perf_counter() < end:
            time.sleep(0.01)
        seen.append(watch.snapshot())
        return "read"

    async with serving(app) as (watch, server):
        found["watch"] = watch
        napping = asyncio.create_task(get(server, "/nap"))
        asking = socket.create_connection(server.sockets[0].getsockname())
        await until(lambda: len(watch.recorder.live) == 1 and len(server.service.connections) == 2)
        await get(server, "/read")
        await napping
        asking.close()
        late[0].close()
    [block] = seen[0]["blocks"]
    assert block["end"] is None
    assert (block["function"], block["ms"] >= 50) == ("read", True)
    assert (block["victims"]["requests"], block["victims"]["unread"]) == (1, 2)
    assert 0 < block["victims"]["worst"] <= block["ms"]


async def test_a_trace_of_real_traffic_has_no_overlap_and_no_loose_arrow(database_url: str) -> None:
    app = shop(database_url)

    @app.get("/gather")
    async def gather(request: Request) -> str:
        db = request.app.state.db
        await asyncio.gather(*(db.scalar("SELECT title FROM book WHERE id = :id", id=each) for each in range(3)))
        return "asked"

    @app.get("/block")
    async def block(request: Request) -> str:
        request.app.state.free.set()
        time.sleep(0.1)
        return "done"

    async with serving(app) as (watch, server):
        await get(server, "/many")
        await get(server, "/gather")
        holding = asyncio.create_task(get(server, "/hold"))
        await app.state.held.wait()
        await get(server, "/block")
        await holding
        await until(lambda: watch.judge.blocks)
        snapshot = watch.snapshot()
    events = trace(snapshot)["traceEvents"]
    tracks = defaultdict(list)
    for each in events:
        if each["ph"] == "X":
            tracks[each["pid"], each["tid"]].append((each["ts"], each["ts"] + each["dur"]))
    for spans in tracks.values():
        assert all(one[1] <= two[0] for one, two in pairwise(sorted(spans)))
    runs = [each for shown in snapshot["lanes"] for each in shown["segments"] if each["state"] == "run"]
    assert len(tracks[1, 1]) == len(runs) > len(snapshot["lanes"]) >= 7
    arrows = [each for each in events if each["ph"] in ("s", "f")]
    assert {(each["ph"], each["tid"]) for each in arrows} == {("s", 2), ("f", lane(snapshot, "GET /hold")["id"])}
    for each in arrows:
        assert any(start <= each["ts"] <= end for start, end in tracks[each["pid"], each["tid"]])


def decorated(handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
    @functools.wraps(handler)
    async def wrapper(request: Request) -> Any:
        return await handler(request)

    return wrapper


@pytest.mark.parametrize(
    ("budget", "names"),
    [
        (module.BUDGET, ("GET /statement", "GET /route", "GET /named")),
        (0, ("handler statement", "handler wrapper", "handler named")),
    ],
    ids=["recorded", "not recorded"],
)
async def test_a_muted_statement_and_a_muted_route_are_drawn_and_have_no_card(
    monkeypatch: pytest.MonkeyPatch, budget: int, names: tuple[str, str, str]
) -> None:
    monkeypatch.setattr(module, "BUDGET", budget)
    app = App()
    found: dict[str, Watch] = {}  # each sleeps so long that it is a block also from the first question of the watch on

    @app.get("/statement")
    async def statement(request: Request) -> str:
        seen = until_seen(found["watch"])
        while not seen():
            time.sleep(
                0.1,
            )  # loop: ok
        return "slept"

    def sleep() -> str:
        seen = until_seen(found["watch"])
        while not seen():
            time.sleep(0.1)
        return "slept"

    @app.get("/route")
    @decorated
    async def route(request: Request) -> str:  # loop: ok
        return sleep()

    @app.get("/named")
    async def named(request: Request) -> str:
        seen = until_seen(found["watch"])
        while not seen():
            time.sleep(0.1)
        return "slept"

    async with serving(app) as (watch, server):
        found["watch"] = watch
        await until(lambda: watch.recorder.left <= 1000)
        for path in ("/statement", "/route", "/named"):
            await get(server, path)
        await until(lambda: [each for each in watch.cards.latest() if each["text"].startswith(names[2])])
        assert set(names) <= {each["name"] for each in watch.judge.blocks}
        assert not [each for each in watch.cards.latest() if each["text"].startswith(names[:2])]


async def test_neither_a_path_nor_a_local_variable_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def bare(request: Request) -> Response:
        secret, seen = request.headers["authorization"], until_seen(watch)
        while not seen():
            time.sleep(0.05)
        return Response(secret.encode())

    caplog.set_level(logging.INFO)
    with watched(bare, Options(port=0)) as server:
        watch = watch_behind(server)
        watch.judge.machine = lambda start, end: (0.0, end - start)
        await server.start()
        reader, writer = await connect(server)
        writer.write(b"GET /t0ken/1 HTTP/1.1\r\nhost: a\r\nauthorization: passw0rd\r\nconnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"passw0rd")
        writer.close()
        await until(lambda: "L1" in lints(watch))
        told = f"{watch.snapshot()} {caplog.text}"
        await server.stop(0)
    assert "GET (bare handler)" in told
    assert "The loop was blocked" in caplog.text
    assert "passw0rd" not in told
    assert "t0ken" not in told


async def test_linux_tells_what_has_arrived_and_was_not_read_or_accepted() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=8)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    assert arrivals.backlog(listener) == (3, 8)
    accepted, _ = listener.accept()
    assert arrivals.backlog(listener) == (2, 8)

    class Connection:
        is_busy = False

        def __init__(self, sock: Any) -> None:
            self.socket = sock

    connection, busy, gone, closed = (Connection(each) for each in (accepted, accepted, None, socket.socket()))
    closed.socket.close()
    busy.is_busy = True
    assert arrivals.unread([connection, busy, gone, closed], 100.0, 200.0) == {}
    clients[0].sendall(b"GET")
    await until(lambda: arrivals.unread([connection], 100.0, 200.0))
    assert set(arrivals.unread([connection, busy, gone, closed], 100.0, 200.0)) == {connection}
    assert 100.0 < arrivals.unread([connection], 100.0, 200.0)[connection] <= 200.0
    assert arrivals.unread([connection], 200.0, 200.0) == {connection: 200.0}, "not before the block began"
    for each in (accepted, listener, *clients):
        each.close()
    assert arrivals.backlog(listener) == (0, 0)


# -- warnings, each from its cause -------------------------------------------------------------------------------------


def card_of(watch: Watch, lint: str) -> Card:
    return next(each for each in watch.cards.latest() if each["lint"] == lint)


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


async def test_a_route_that_runs_long_in_pieces() -> None:
    app = App()

    @app.get("/pieces")
    async def pieces(request: Request) -> str:
        for _ in range(20):
            spin(0.004)
            await asyncio.sleep(0)
        return "done"

    async with serving(app) as (watch, server):
        await get(server, "/pieces")
        await until(lambda: "L3" in lints(watch))
        card = card_of(watch, "L3")
        assert card["title"].startswith("GET /pieces runs ")
        assert (card["line"], '    @app.get("/pieces")') in card["source"]


async def test_a_call_that_holds_the_interpreters_lock() -> None:
    app, found = App(), dict[str, Watch]()

    @app.get("/sum")
    async def add(request: Request) -> str:
        seen = until_seen(found["watch"])
        while not seen():
            sum(range(10_000_000))
        return "done"

    async with serving(app) as (watch, server):
        found["watch"] = watch
        await get(server, "/sum")
        await until(lambda: "L2" in lints(watch))
        card = card_of(watch, "L2")
        assert "by sum(range(10_000_000))" in card["title"]
        assert "a thread does not help" in card["fix"]


@pytest.mark.parametrize(
    ("loop", "words"),
    [("asyncio", "Another thread held the interpreter for "), ("uvloop", "and nobody was seen holding it")],
)
def test_another_thread_that_holds_the_interpreters_lock_accuses_nobody(loop: str, words: str) -> None:
    app = App()

    @app.get("/victim")
    async def victim(request: Request) -> str:
        threading.Thread(target=sum, args=(range(10_000_000),)).start()
        spin(0.02)
        return "done"

    async def main() -> None:
        async with serving(app) as (watch, server):
            watch.judge.machine = watch.watchdog.machine  # who waits for the lock has no CPU
            async with asyncio.timeout(PATIENCE):
                while words not in str(watch.cards.latest()):  # now and then a busy machine is the cause
                    await get(server, "/victim")
                    await until(lambda: not watch.recorder.holds)
            assert not watch.judge.blocks

    with asyncio.Runner(loop_factory=loop_factory(loop, watch=True)) as runner:
        runner.run(main())


@pytest.mark.parametrize("budget", [100_000, 0], ids=["recorded", "not recorded"])
async def test_a_turn_made_of_many_requests(monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    monkeypatch.setattr(module, "BUDGET", budget)
    app, go = App(), asyncio.Event()

    @app.get("/crowd")
    async def crowd(request: Request) -> str:
        await go.wait()
        spin(0.002)
        return "done"

    async with serving(app) as (watch, server):
        await until(lambda: watch.recorder.left < 1 << 60)
        async with asyncio.timeout(PATIENCE):
            while "L4" not in lints(watch):  # on a busy machine one of them may take so long that it is blamed alone
                go.clear()
                asking = [asyncio.create_task(get(server, "/crowd")) for _ in range(100)]
                await until(lambda: server.stats().running == 100)
                go.set()
                await asyncio.gather(*asking)
        assert "in many small steps" in card_of(watch, "L4")["title"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_turn_made_of_many_requests_that_nobody_recorded(monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    monkeypatch.setattr(module, "BUDGET", 0)
    app = App()

    @app.get("/crowd")
    async def crowd(request: Request) -> str:
        spin(0.006)  # long enough for several looks at a turn where steps run within it (Python 3.12)
        return "done"

    async def main() -> None:
        async with serving(app) as (watch, server):
            await until(lambda: watch.recorder.left == 0)
            clients = [await connect(server) for _ in range(100)]
            async with asyncio.timeout(PATIENCE):
                while "L4" not in lints(watch) or len({each.blame.root for each in watch.watchdog.samples}) < 10:
                    for _, writer in clients:
                        writer.write(b"GET /crowd HTTP/1.1\r\nhost: a\r\n\r\n")
                    for reader, _ in clients:
                        await reader.readuntil(b"done")
            for _, writer in clients:
                writer.close()

    with asyncio.Runner(loop_factory=loop_factory(loop, watch=True)) as runner:
        runner.run(main())


async def test_queries_one_after_the_other(database_url: str) -> None:
    app, many = App(), "FROM number a, number b, number c"

    @app.get("/serial")
    async def serial(request: Request) -> str:
        for _ in range(3):
            await app.state.db.scalar(f"SELECT COUNT(*) {many}")
            await app.state.db.scalar(f"SELECT SUM(a.id + b.id + c.id) {many}")
        return "done"

    async with Database(database_url) as app.state.db:
        await app.state.db.execute("CREATE TABLE number (id INTEGER PRIMARY KEY)")
        await app.state.db.execute(f"INSERT INTO number VALUES {', '.join(f'({each})' for each in range(80))}")
        async with serving(app) as (watch, server):
            for _ in range(3):
                await get(server, "/serial")
            await until(lambda: "L7" in lints(watch))
            card = card_of(watch, "L7")
            assert card["title"].startswith("GET /serial runs ")
            assert 'await app.state.db.scalar(f"SELECT' in dict(card["source"])[card["line"]]


async def test_a_task_that_outlives_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint_module, "LEAKED", 0.05)
    app, over, kept = App(), asyncio.Event(), []

    async def linger() -> None:
        await over.wait()

    @app.get("/leak")
    async def leak(request: Request) -> str:
        kept.append(asyncio.create_task(linger()))
        return "done"

    async with serving(app) as (watch, server):
        await get(server, "/leak")
        await until(lambda: "L10" in lints(watch))
        over.set()
        await asyncio.gather(*kept)
        card = card_of(watch, "L10")
        assert card["title"].startswith("task linger goes on ")
        assert card["source"][2][1].strip() == "kept.append(asyncio.create_task(linger()))"


async def test_a_handler_that_goes_on_without_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint_module, "RAN_ON", 0.05)
    app, over = App(), asyncio.Event()

    @app.get("/finish", on_disconnect="finish")
    async def finish(request: Request) -> str:
        await over.wait()
        return "done"

    async with serving(app) as (watch, server):
        _, writer = await connect(server)
        writer.write(b"GET /finish HTTP/1.1\r\nhost: a\r\n\r\n")
        await until(lambda: watch.recorder.live)
        writer.transport.abort()
        await until(lambda: "L14" in lints(watch))
        over.set()
        await until(lambda: not watch.recorder.live)
        card = card_of(watch, "L14")
        assert (card["line"], '    @app.get("/finish", on_disconnect="finish")') in card["source"]


# -- what the process tells --------------------------------------------------------------------------------------------


async def forgotten() -> None:
    pass


async def test_a_coroutine_that_nobody_awaited_is_found_with_its_request() -> None:
    app = App()
    shown: list[str] = []

    @app.get("/meant")
    async def meant(request: Request) -> str:  # loop: ok
        forgotten()  # type: ignore[unused-coroutine]  # the same, and muted
        return "done"

    @app.get("/forget")
    async def forget(request: Request) -> str:
        forgotten()  # type: ignore[unused-coroutine]  # the mistake that is found
        return "done"

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *rest: shown.append(str(message))
        async with serving(app) as (watch, server):
            await get(server, "/meant")
            await get(server, "/forget")
            warnings.warn("another", stacklevel=1)
            await until(lambda: "L9" in lints(watch))
            [card] = watch.cards.latest()
            assert (card["title"], card["count"]) == ("forgotten was called and never awaited", 1)
            assert card["text"] == "during GET /forget"
            assert card["at"].startswith("tests/watch/test_watch.py:")
    never = "coroutine 'forgotten' was never awaited"
    assert shown == [never, never, "another"], "all go on to whoever showed them before"


async def test_a_long_garbage_collection_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(App()) as (watch, _):
        monkeypatch.setattr(module, "PAUSE", PATIENCE)
        gc.collect()
        assert not watch.judge.pauses
        monkeypatch.setattr(module, "PAUSE", 0.0)
        gc.collect()
        assert watch.judge.pauses
        await until(lambda: "L15" in lints(watch))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_real_garbage_collection_longer_than_the_limit_accuses_nobody(loop: str) -> None:
    app = App()
    web: list[Any] = []

    @app.get("/collect")
    async def collect(request: Request) -> str:
        gc.collect()
        return "done"

    def weave() -> None:
        """So much for the collector to follow that it takes twice the limit; in another thread."""
        took, give_up = 0.0, time.perf_counter() + PATIENCE
        while took < 2 * module.LIMIT and time.perf_counter() < give_up:
            web.extend([web] * 1000 for _ in range(1000 + len(web)))
            began = time.thread_time()  # what a busy machine adds to it, it may not add again
            gc.collect()
            took = time.thread_time() - began

    async def main() -> None:
        async with serving(app) as (watch, server):
            await asyncio.to_thread(weave)
            assert not watch.judge.pauses, "not the loop's thread"
            await get(server, "/collect")
            [(start, end)] = watch.judge.pauses
            await until(lambda: [each for each in watch.judge.held if each[0] <= start and end <= each[1]])
            await until(lambda: "L15" in lints(watch))
            assert "arbage collect" in str(watch.cards.latest())
            assert [each for each in watch.judge.blocks if each["name"] == "GET /collect"] == []

    with asyncio.Runner(loop_factory=loop_factory(loop, watch=True)) as runner:
        runner.run(main())
    web.clear()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(("coming", "many"), [(4, False), (6, True)])
def test_connections_that_come_during_a_block_and_wait_to_be_accepted(loop: str, coming: int, many: bool) -> None:
    app = App()
    clients: list[socket.socket] = []

    @app.get("/block")
    async def block(request: Request) -> str:
        clients.extend(socket.create_connection(app.state.address) for _ in range(coming))
        spin(2 * module.LIMIT)
        return "done"

    async def main() -> None:
        async with serving(app, backlog=8) as (watch, server):
            app.state.address = server.sockets[0].getsockname()
            await get(server, "/block")
            await until(lambda: watch.judge.blocks and not watch._told and ("L13" in lints(watch)) is many)
            [unread] = [each["victims"]["unread"] for each in watch.judge.blocks if each["name"] == "GET /block"]
            assert unread == coming
            assert [each["title"] for each in watch.cards.latest() if each["lint"] == "L13"] == [
                f"{coming} connections wait to be accepted, of 8 that may"
            ] * many

    with asyncio.Runner(loop_factory=loop_factory(loop, watch=True)) as runner:
        runner.run(main())
    for each in clients:
        each.close()


async def test_the_last_change_of_a_gauge_shows_though_nobody_runs_any_more() -> None:
    class Tank:
        used = 1

        def gauge(self) -> dict[str, Any]:
            return {"kind": "pool", "name": "t", "limit": 3, "used": self.used, "idle": 0, "waiters": 0}

        def held_by(self, task: object) -> None: ...

    tank = Tank()
    waits.gauges.add(tank)
    async with serving(App()) as (watch, _):
        for tank.used in (1, 2):
            await until(lambda: [each[1] for each in list(watch.recorder.gauges.get(tank, ()))][-1:] == [tank.used])


async def test_what_no_route_did_is_muted_where_the_application_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App()  # loop: ok
    monkeypatch.setattr(module, "backlog", lambda sock: (5, 8))
    monkeypatch.setattr(module, "PAUSE", 0.0)
    with watched(app, Options(port=0)) as server:
        watch = watch_behind(server)
        await server.start()
        watch.watchdog.stop()
        gc.collect()
        assert watch._told
        watch._beat(watch.recorder.clock() + 2)
        await server.stop(0)
    assert lints(watch) <= {"L1"}, "what a busy machine may add has a line of its own"


def test_whose_line_speaks_for_a_record() -> None:
    app = App()

    @app.get("/own")
    async def own(request: Request) -> str:
        return "own"

    app.get("/metrics")(metrics)
    watch = Watch(app, app.router.find, where="app.py:1")

    def record(path: str, parent: Record | None = None) -> Record:
        made = Record()
        made.method, made.path, made.parent = "GET", path, parent
        return made

    def line(record: Record) -> str:
        found = watch.declared_of(record)
        return found.text() if found else ""

    assert line(record("/own")) == line(record("fetch", record("/own"))) == '@app.get("/own")'
    assert line(record("/metrics")) == 'app.get("/metrics")(metrics)', "where another's function got its route"
    for each in (None, record("/nothing"), record("/%ff")):
        assert watch.declared_of(each) == Place("app.py", 1)
    assert watch.declared_of(record("/_loop/demo/sleep")) is None
    watch = Watch(ok)
    assert line(record("/")) == "async def ok(request: Request) -> Response:"


async def test_everything_is_as_before_when_it_has_stopped() -> None:
    loop = asyncio.get_running_loop()
    before = (loop.get_task_factory(), gc.callbacks.copy(), warnings.showwarning, set(waits.gauges))
    async with serving(App()) as (watch, server):
        await get(server, "/")
        assert loop.get_task_factory() is not None
    assert (loop.get_task_factory(), gc.callbacks, warnings.showwarning, set(waits.gauges)) == before
    assert not watch.watchdog.is_alive()
    assert waits.current.record is None


# -- numbers -----------------------------------------------------------------------------------------------------------


async def test_the_snapshot_counts_and_leaves_itself_out() -> None:
    found: dict[str, Watch] = {}
    async with serving(blocking(found)) as (watch, server):
        for _ in range(3):
            await get(server, "/hello")
        for path in ("/_loop/snapshot.json", "/_loop/no-file"):
            await get(server, path)
        await until(lambda: not watch.recorder.apart)
        await get(server, "/nothing/here")
        snapshot = watch.snapshot()
        assert [each["name"] for each in snapshot["lanes"]] == ["GET /hello"] * 3 + ["GET (no route)"]
        assert (snapshot["requests"]["handled"], snapshot["requests"]["running"]) == (4, 0)
        assert set(snapshot) == set(Snapshot.__annotations__)
        assert watch.gauge()["requests_total"] == 4
        assert watch.held_by(None) is None
    assert Watch(ok).route_of("GET", "/a%zz") == "(bare handler)"
    assert Watch(ok).route_of("GET", "/_loop-token") == "(bare handler)"
    assert Watch(ok).route_of("GET", "/_loop") == "/_loop"
    assert Watch(ok, App().router.find).route_of("GET", "/%ff") == "(no route)"
    assert Watch(ok, App().router.find).route_of("POST", "/_loop/demo/wait") == "/_loop/demo/wait"


async def ok(request: Request) -> Response:
    return Response("ok")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_how_busy_the_loop_is(loop: str) -> None:
    async def main() -> None:
        async with serving(App()) as (watch, server):
            await get(server, "/")
            assert (watch.watchdog._ping is None) is (loop == "asyncio")
            now = watch.recorder.clock()
            watch._beat(now + 2)
            assert watch._idle[-1][0] == now + 2
            assert watch.recorder.left == 25

            def share(work: Callable[[], Any]) -> float:
                """Of the time in which this was done; told by another thread, as to `minihttp top`."""
                watch._idle.clear()
                watch._note_idle(watch.recorder.clock())
                work()
                return watch.snapshot()["loop"]["busy"] or 0.0

            idle = await asyncio.to_thread(share, lambda: time.sleep(0.5))
            end = time.thread_time() + 0.3
            computing = share(lambda: [None for _ in iter(lambda: time.thread_time() < end, False)])
            assert 0 <= idle < computing <= 1

    with asyncio.Runner(loop_factory=loop_factory(loop, watch=True)) as runner:
        runner.run(main())


async def test_where_the_system_does_not_tell_there_is_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "pthread_getcpuclockid")
    async with serving(App()) as (watch, _):
        watch._beat(watch.recorder.clock() + 2)
        assert watch.snapshot()["loop"]["busy"] is None
        assert "busy_ratio" not in watch.gauge()


# -- as a program ------------------------------------------------------------------------------------------------------

PROGRAM = """
import time
from minihttp import App

app = App()


@app.get("/block/{n:int}")
async def block(request, n: int):
    time.sleep(0.2)
    return "done"
"""


@pytest.mark.parametrize(
    ("loop", "options", "limit"), [("asyncio", [], 50), ("asyncio", ["--watch-limit", "0.5"], 500), ("uvloop", [], 50)]
)
async def test_the_command_line_watches(tmp_path: Path, loop: str, options: list[str], limit: float) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = ["-m", "minihttp", "program:app", "--port", "0", "--loop", loop, "--watch", *options]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        port = int(line.split(b"http://127.0.0.1:")[1].split()[0])

        async def ask(path: str) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            return answer.partition(b"\r\n\r\n")[2]

        assert await ask("/block/7") == b"done"
        snapshot: Snapshot = json.loads(await ask("/_loop/snapshot.json"))
        assert snapshot["process"]["pid"] == process.pid
        assert snapshot["process"]["loop"] == loop
        assert snapshot["process"]["limit"] == limit
        assert limit < 200 or snapshot["blocks"] == [], "0.2 s are within the limit"
        assert 0 <= (snapshot["loop"]["busy"] or -1) <= 1
        assert [each["name"] for each in snapshot["lanes"]] == ["GET /block/{n:int}"]
        assert b"<!doctype html>" in await ask("/_loop")
    finally:
        process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0
    assert b"Traceback" not in errors

"""Which line is blamed: a table of real blockers, each on a real loop with the real thread that watches it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import linecache
import os
import queue
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from minihttp import App, Request, Response
from minihttp.app import loop_factory
from minihttp.testing import Client
from minihttp.watch import blame as module
from minihttp.watch.blame import Blame, Spot, blame, fix_for, look, verdict
from minihttp.watch.judge import conclude
from minihttp.watch.loop import Ping, Turns, WatchedLoop
from minihttp.watch.source import Place, declared
from minihttp.watch.watchdog import Watchdog

Enough = Callable[[], bool]
Blocker = Callable[[Enough], Coroutine[Any, Any, None]]
PATIENCE = 30.0  # seconds until a block that nobody sees fails the test


async def sleeps(enough: Enough) -> None:
    while not enough():
        time.sleep(0.05)  # here


async def computes(enough: Enough) -> None:
    while not enough():
        sum(number * number for number in range(100_000))  # here


async def makes_json(enough: Enough) -> None:
    values = list(range(100_000))
    while not enough():
        json.dumps(values)  # here


async def matches(enough: Enough) -> None:
    while not enough():
        re.match(r"(a+)+$", "a" * 19 + "b")  # here


async def hashes(enough: Enough) -> None:
    while not enough():
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 100_000)  # here


async def runs_a_program(enough: Enough) -> None:
    while not enough():
        subprocess.run([sys.executable, "-S", "-c", "import time; time.sleep(0.05)"])  # here


async def reads_a_socket(enough: Enough) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0.05)
    while not enough():
        with suppress(TimeoutError):
            ours.recv(1)  # here
    ours.close()
    theirs.close()


async def takes_a_lock(enough: Enough) -> None:
    lock = threading.Lock()
    lock.acquire()
    while not enough():
        lock.acquire(timeout=0.05)  # here


async def takes_from_a_queue(enough: Enough) -> None:
    while not enough():
        with suppress(queue.Empty):
            queue.Queue[int]().get(timeout=0.05)  # here


async def awaits_a_thread(enough: Enough) -> None:
    with ThreadPoolExecutor(1) as pool:
        while not enough():
            pool.submit(time.sleep, 0.05).result()  # here


async def asks_a_database(enough: Enough) -> None:
    connection = sqlite3.connect(":memory:")
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT SUM(i) FROM n"
    while not enough():
        connection.execute(numbers).fetchall()  # here
    connection.close()


async def compresses(enough: Enough) -> None:
    data = os.urandom(1 << 21)
    while not enough():
        zlib.compress(data)  # here


async def sorts(enough: Enough) -> None:
    values = [number * 7919 % 100_003 for number in range(100_000)]
    while not enough():
        sorted(values)  # here


async def sums(enough: Enough) -> None:
    while not enough():
        sum(range(500_000))  # here


async def reads_a_pipe(enough: Enough) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipe")
        os.mkfifo(path)
        pipe = os.open(path, os.O_RDWR)
        while not enough():
            threading.Timer(0.05, os.write, (pipe, b"x")).start()
            os.read(pipe, 1)  # here
        os.close(pipe)


async def reads_a_file(enough: Enough) -> None:
    with Path("/dev/zero").open("rb") as file:
        while not enough():
            file.read(1 << 26)  # here


def helper(enough: Enough) -> None:
    while not enough():
        time.sleep(0.05)  # here


async def calls_a_helper(enough: Enough) -> None:
    helper(enough)


THREAD = "in_thread"
BLOCKERS: list[tuple[Blocker, Any, str]] = [
    (sleeps, sleeps, "await asyncio.sleep"),
    (computes, computes, "in a process"),
    (makes_json, makes_json, "in a process"),
    (matches, matches, "in a process"),
    (hashes, hashes, THREAD),
    (runs_a_program, runs_a_program, "create_subprocess_exec"),
    (reads_a_socket, reads_a_socket, "streams"),
    (takes_a_lock, takes_a_lock, "asyncio's own"),
    (takes_from_a_queue, takes_from_a_queue, "asyncio's own"),
    (awaits_a_thread, awaits_a_thread, "asyncio's own"),
    (asks_a_database, asks_a_database, THREAD),
    (reads_a_file, reads_a_file, THREAD),
    (reads_a_pipe, reads_a_pipe, THREAD),
    (compresses, compresses, THREAD),
    (sorts, sorts, "in a process"),
    (sums, sums, "in a process"),
    (calls_a_helper, helper, "await asyncio.sleep"),
]


def line_of(function: Any) -> int:
    first: int = function.__code__.co_firstlineno
    return next(number for number in range(first, first + 20) if "# here" in linecache.getline(__file__, number))


def watched(loop: str, blocker: Blocker, is_enough: Callable[[Watchdog], bool]) -> Watchdog:
    """Let a watchdog watch a loop of this kind, as a server would, and block it until it has been seen to."""

    async def main() -> Watchdog:
        running = asyncio.get_running_loop()
        turns = running.turns if isinstance(running, WatchedLoop) else None
        ping = None if turns is not None else Ping(running, lambda start, end: None)
        dog = Watchdog(turns or Turns(), ping, time.perf_counter, 0.05, lambda now: None, lambda now: None)
        give_up = time.perf_counter() + PATIENCE
        dog.start()
        try:
            # In a task: below it lies nothing but the loop.
            await asyncio.create_task(blocker(lambda: is_enough(dog) or time.perf_counter() > give_up))
        finally:
            dog.stop()
        return dog

    with asyncio.Runner(loop_factory=loop_factory(loop, watch=True)) as runner:
        return runner.run(main())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(("blocker", "guilty", "fix"), BLOCKERS)
def test_the_line_that_blocks_is_named(blocker: Blocker, guilty: Any, fix: str, loop: str) -> None:
    dog = watched(loop, blocker, lambda dog: len(dog.samples) > 4)
    # The loop's condition is looked at between two calls; it takes no time, so most samples show the call.
    found, share = conclude(dog.samples)
    assert found.place == Place(__file__, line_of(guilty))
    assert found.function == guilty.__name__
    assert share > 0.5
    assert not (blocker is sleeps and found.held_gil), "a late look or two are this machine's"
    assert fix in fix_for(found)


# -- calls that keep the GIL until they return: one call, so long that the watching thread must notice -----------------


async def holds_by_sum(enough: Enough) -> None:
    rounds = 1 << 22
    while not enough():
        sum(range(rounds))  # here
        rounds *= 2


async def holds_by_sort(enough: Enough) -> None:
    values, times = [number * 7919 % 100_003 for number in range(1 << 16)], 2
    while not enough():
        sorted(values * times)  # here
        times *= 2


async def holds_by_regex(enough: Enough) -> None:
    length = 20
    while not enough():
        re.match(r"(a+)+$", "a" * length + "b")  # here
        length += 1


async def holds_by_json(enough: Enough) -> None:
    values, times = list(range(1 << 16)), 4
    while not enough():
        json.dumps([values] * times)  # here
        times *= 2


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("blocker", [holds_by_sum, holds_by_sort, holds_by_regex, holds_by_json])
def test_the_line_of_a_call_that_holds_the_gil_is_named_too(blocker: Blocker, loop: str) -> None:
    def seen(dog: Watchdog) -> list[Blame]:
        return [each.blame for each in dog.samples if each.blame.held_gil]

    found, _ = verdict(seen(watched(loop, blocker, lambda dog: bool(seen(dog)))))
    assert found.place == Place(__file__, line_of(blocker))
    assert "process" in fix_for(found)


async def test_a_loop_that_turns_is_not_looked_at() -> None:
    ping = Ping(asyncio.get_running_loop(), lambda start, end: None)
    judged: list[float] = []
    dog = Watchdog(Turns(), ping, time.perf_counter, PATIENCE, judged.append, lambda now: None)
    for _ in range(20):
        await asyncio.to_thread(dog.check, time.perf_counter())
    assert len(judged) == 20
    assert not dog.samples


def test_a_look_at_a_loop_that_went_on_meanwhile_proves_nothing() -> None:
    turns = Turns()
    dog = Watchdog(turns, None, time.perf_counter, 0.05, lambda now: None, lambda now: None)
    turns.busy_since = 1.0
    dog.sample(2.0, since=1.0)
    assert len(dog.samples) == 1
    dog.sample(2.0, since=0.5)
    assert len(dog.samples) == 1


# -- the parts --------------------------------------------------------------------------------------------------------


def test_the_program_below_the_loop_is_not_blamed() -> None:
    seen: list[Blame] = []

    def callback(loop: asyncio.AbstractEventLoop) -> None:
        frame = sys._getframe()
        seen.append(blame(look(frame)))
        while frame is not None and "asyncio" not in frame.f_code.co_filename:
            frame = frame.f_back  # type: ignore[assignment]  # it ends in the loop
        seen.append(blame(look(frame)))
        loop.stop()

    loop = asyncio.new_event_loop()
    loop.call_soon(callback, loop)
    loop.run_forever()
    loop.close()
    assert seen[0].function == "callback"
    assert seen[1].place is None


@pytest.mark.parametrize("path", ["/plain", "/wrapped", "/resource"])
async def test_the_function_that_answers_is_known_below_middleware_and_helpers(path: str) -> None:
    app = App()
    seen: list[Blame] = []

    @app.middleware
    async def around(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    def helper() -> str:
        seen.append(blame(look(sys._getframe())))
        return "done"

    @app.get("/plain")
    def plain(request: Request) -> str:
        return helper()

    @app.get("/wrapped")
    async def wrapped(request: Request) -> str:
        await asyncio.sleep(0)
        return helper()

    class Resource:
        async def get(self, request: Request) -> str:
            return helper()

    app.route("/resource")(Resource)

    async def bare(request: Request) -> Response:
        return Response(helper())

    for handler in (app, bare):
        async with Client(handler) as client:
            assert (await client.get(path)).text == "done"
    name = {"/resource": "Resource.get"}.get(path, path.removeprefix("/"))
    assert [(each.function, each.handler) for each in seen] == [("helper", name), ("helper", "bare")]
    assert seen[1].functions == (declared(bare), declared(helper)), "not of the server, nor of middleware"
    assert seen[0].functions[1:] == seen[1].functions[1:]


def test_a_frame_at_the_same_place_in_memory_is_of_another_step_if_of_another_function() -> None:
    one, two = (Spot(each.__code__, 1, 0, 4711) for each in (declared, blame))
    assert blame([one]).root == blame([one]).root != blame([two]).root
    assert blame([one], ended=1).root != blame([one], ended=2).root, "nor if a request has ended meanwhile"


def test_the_line_seen_most_often_in_the_function_seen_most_often() -> None:
    one, two, three = (Blame(Place("a.py", line), "f") for line in (1, 2, 2))
    other = Blame(Place("a.py", 3), "g")
    assert verdict([one, two, three, other, other, Blame(None)]) == (two, 0.6)
    assert verdict([Blame(None)]) == (Blame(None), 0.0)
    assert verdict([]) == (Blame(None), 0.0)


FIX_TEXTS = {
    "requests.get(url)": "async HTTP client",
    "urlopen(url)": "async HTTP client",
    "pymysql.connect()": "db.all",
    "socket.getaddrinfo(host, 80)": "loop.getaddrinfo",
    "os.listdir(path)": "slow files",
    "open(path)": "slow files",
    "input()": "type",
    "gzip.compress(data)": "without the GIL",
    "future.result()": "asyncio's own",
    "value = compute(1)": "do it in a process",
    'Path("/a").open("rb").read(1)': "slow files",
    'connection.cursor().execute("SELECT 1")': "db.all",
    "name": "in a thread the loop turns, but shares the GIL",
}


@pytest.mark.parametrize("expression", FIX_TEXTS)
def test_fixes(expression: str) -> None:
    assert FIX_TEXTS[expression] in fix_for(Blame(Place("a.py", 1), "f", expression))


def test_what_a_library_does_deep_inside_has_its_fix_too() -> None:
    found = Blame(Place("a.py", 1), "f", "client.fetch()", "/usr/lib/python3.12/http/client.py read")
    assert "async HTTP client" in fix_for(found)
    assert fix_for(Blame(Place("a.py", 1), "f", "crunch()", held_gil=True)) == module.HELD

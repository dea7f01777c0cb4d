"""What watching the loop costs: CPU time per request that never waits, watched and not.

Owns: one process with two servers of one handler, one of them watched, which are driven in turns.
Must not know: how anything is recorded.
Invariant: both servers live in one process and are measured in one run, in short rounds that take turns, because two
processes of the same program differ by more than what is looked for. While the other one is driven, nothing of the
watching runs: no thread, no timed selector. Told are medians of many rounds, in microseconds of the whole process.

`make bench-watch`, or with arguments: `make bench-watch ARGS='--loop uvloop --rounds 100'`. `--all` lifts the budget of
recorded requests per second, so that each of them pays for its record.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from minihttp import App
from minihttp.app import loop_factory
from minihttp.options import Options
from minihttp.server.server import Server
from minihttp.watch import watch as module
from minihttp.watch.loop import WatchedLoop

ASK = b"GET %s HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench\r\naccept: */*\r\n\r\n"
CONNECTIONS = 32


async def serve(pipe: Connection, everything: bool) -> None:
    """The two servers; tells their ports. `/on` and `/off` of the plain one start and stop the watching."""
    module.BUDGET = 1 << 40 if everything else module.BUDGET
    app, control, loop = App(), App(), asyncio.get_running_loop()
    for each in (app, control):
        each.get("/hello")(hello)
    watches = [module.Watch(app, app.router.find)]
    watched = Server(lambda request: watches[-1].handle(request), Options(port=0), trace=watches[0].recorder)
    selector: Any = loop._selector if isinstance(loop, WatchedLoop) else None  # type: ignore[attr-defined]  # asyncio's

    @control.get("/on")
    async def on(request: object) -> str:
        if selector is not None:
            vars(selector).pop("select", None)
        watches[0].start(watched)
        return "Hello, world!"

    @control.get("/off")
    async def off(request: object) -> str:
        watches[0].stop()
        if selector is not None:
            selector.select = selector._select
        return "Hello, world!"

    servers = [Server(control, Options(port=0)), watched]
    for server in servers:
        await server.start()
    pipe.send([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.Event().wait()


async def hello(request: object) -> str:
    return "Hello, world!"


def run(pipe: Connection, loop: str, everything: bool) -> None:
    with asyncio.Runner(loop_factory=loop_factory(loop, watch=True)) as runner:
        runner.run(serve(pipe, everything))


class Load:
    """A few connections to one server, each of which asks again as soon as all are answered."""

    def __init__(self, port: int) -> None:
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]

    def ask(self, path: bytes, connections: int = 1) -> None:
        for each in self._sockets[:connections]:
            each.sendall(ASK % path)
        for each in self._sockets[:connections]:
            answer = b""
            while not answer.endswith(b"Hello, world!"):
                answer += each.recv(4096)

    def run(self, pid: int, requests: int) -> float:
        """Microseconds of CPU per request. Linux tells the clock of another process."""
        before = time.clock_gettime((~pid << 3) | 2)
        for _ in range(requests // CONNECTIONS):
            self.ask(b"/hello", CONNECTIONS)
        return (time.clock_gettime((~pid << 3) | 2) - before) / requests * 1e6


def measure(loop: str, rounds: int, requests: int, everything: bool) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run, args=(theirs, loop, everything))
    process.start()
    pid = process.pid or 0
    plain, watched = (Load(port) for port in ours.recv())
    off, on = [], []
    plain.ask(b"/on")
    for number in range(rounds + 2):  # the first two warm up
        for first in (True, False) if number % 2 else (False, True):
            if first:
                plain.ask(b"/off")
                off.append(plain.run(pid, requests))
                plain.ask(b"/on")
            else:
                on.append(watched.run(pid, requests))
    process.kill()
    process.join()
    more = statistics.median(two - one for one, two in zip(off[2:], on[2:], strict=True))
    kind = "every request recorded" if everything else "with the budget"
    middle = f"off {statistics.median(off[2:]):6.2f} us   on {statistics.median(on[2:]):6.2f} us"
    print(f"{loop:8} {kind:23} {middle}   more {more:+5.2f} us per request", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.watch")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), action="append")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--requests", type=int, default=1600, help="per round")
    parser.add_argument("--all", action="store_true", help="record every request, without the budget")
    given = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("this needs Linux, which tells the CPU time of another process")
    for loop in given.loop or ["asyncio", "uvloop"]:
        measure(loop, given.rounds, given.requests, given.all)


if __name__ == "__main__":
    main()

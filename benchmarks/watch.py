"""What watching the loop costs: CPU time per request, watched, not watched, and from a package without the hook.

Owns: one process with four servers of the same handlers, which are driven in turns.
Must not know: how anything is recorded, what the hook is (`benchmarks/unhooked.py`).
Invariant: all servers live in one process and are measured in one run, in short rounds that take turns, because two
processes of the same program differ by more than what is looked for. Client and server share one processor, so the
server finds all requests of a volley each time it looks. While another one is driven, nothing of the watching runs: no
thread, no timed selector. Told are medians of many rounds, with the quarters around them, in microseconds of the whole
process. How far equal programs differ is measured too: by an untouched copy of the package.

`make bench-watch`, or with arguments: `make bench-watch ARGS='--loop uvloop --rounds 100'`. `--all` lifts the budget of
recorded requests per second, so that each of them pays for its record.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.unhooked import copy_package
from minihttp.app import loop_factory
from minihttp.watch import watch as module
from minihttp.watch.loop import WatchedLoop

CONNECTIONS = 32
END = b"Hello, world!"
FIELDS = b"host: localhost\r\nuser-agent: bench\r\naccept: */*\r\n"
# Of each request the head and, once the server has said that it goes on, the body.
WORK = {
    "hello": (b"GET /hello HTTP/1.1\r\n" + FIELDS + b"\r\n", b""),
    "body": (b"POST /body HTTP/1.1\r\n" + FIELDS + b"expect: 100-continue\r\ncontent-length: 4\r\n\r\n", b"body"),
    "query": (b"GET /query HTTP/1.1\r\n" + FIELDS + b"\r\n", b""),
}
# The package of each contender. The first is what the others are compared with.
OFF, ON = "off", "on"
CONTENDERS = {OFF: "minihttp", "no hook": "minihttp_unhooked", "equal copy": "minihttp_copy", ON: "minihttp"}


async def make_app(package: str, stack: AsyncExitStack) -> Any:
    """One that never waits, one that waits for its client, one that waits for a query."""
    app = import_module(package).App()
    db = await stack.enter_async_context(import_module(f"{package}.db").Database("sqlite:///:memory:"))

    @app.get("/hello")
    async def hello(request: Any) -> str:
        return END.decode()

    @app.post("/body")
    async def body(request: Any) -> str:
        await request.body()
        return END.decode()

    @app.get("/query")
    async def query(request: Any) -> str:
        await db.all("SELECT 1")
        return END.decode()

    return app


async def serve(pipe: Connection, everything: bool) -> None:
    """The servers; tells their ports, and starts or ends the watching when it is told so."""
    module.BUDGET = 1 << 40 if everything else module.BUDGET
    loop = asyncio.get_running_loop()
    selector: Any = loop._selector if isinstance(loop, WatchedLoop) else None  # type: ignore[attr-defined]  # asyncio's
    async with AsyncExitStack() as stack:
        servers = {}
        for name, package in CONTENDERS.items():
            app, options = await make_app(package, stack), import_module(f"{package}.options").Options(port=0)
            server = import_module(f"{package}.server.server").Server
            if name == ON:
                watch = module.Watch(app, app.router.find)
                servers[name] = server(watch.handle, options, trace=watch.recorder)
            else:
                servers[name] = server(app, options)
            await servers[name].start()
        pipe.send([each.sockets[0].getsockname()[1] for each in servers.values()])
        while True:
            if selector is not None:
                selector.select = selector._select
            await loop.run_in_executor(None, pipe.recv)
            if selector is not None:
                del selector.select
            watch.start(servers[ON])
            pipe.send(True)
            await loop.run_in_executor(None, pipe.recv)
            watch.stop()
            pipe.send(False)


def run(pipe: Connection, loop: str, everything: bool, folder: str) -> None:
    sys.path.insert(0, folder)
    with asyncio.Runner(loop_factory=loop_factory(loop, watch=True)) as runner:
        runner.run(serve(pipe, everything))


class Load:
    """A few connections to one server, each of which asks again as soon as all are answered."""

    def __init__(self, port: int) -> None:
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]

    def ask(self, head: bytes, body: bytes) -> None:
        for each in self._sockets:
            each.sendall(head)
        if body:
            for each in self._sockets:
                self.take(each, b"\r\n\r\n")
                each.sendall(body)
        for each in self._sockets:
            self.take(each, END)

    def take(self, sock: socket.socket, end: bytes) -> None:
        answer = b""
        while not answer.endswith(end):
            answer += sock.recv(4096)

    def run(self, pid: int, work: str, requests: int) -> float:
        """Microseconds of CPU per request. Linux tells the clock of another process."""
        before = time.clock_gettime((~pid << 3) | 2)
        for _ in range(requests // CONNECTIONS):
            self.ask(*WORK[work])
        return (time.clock_gettime((~pid << 3) | 2) - before) / requests * 1e6


def measure(loop: str, works: list[str], rounds: int, requests: int, everything: bool, folder: str) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run, args=(theirs, loop, everything, folder))
    process.start()
    loads = {name: Load(port) for name, port in zip(CONTENDERS, ours.recv(), strict=True)}
    for work in works:
        order = [name for name in loads if name != ON or work == "hello"]  # what a wait costs differs from wait to wait
        found: dict[str, list[float]] = {name: [] for name in order}
        for _ in range(rounds + 2):  # the first two warm up
            order = [*order[1:], order[0]]
            for name in order:
                if name == ON:
                    switch(ours)
                found[name].append(loads[name].run(process.pid or 0, work, requests))
                if name == ON:
                    switch(ours)
        print(f"{loop:8} {work:6} {tell({name: each[2:] for name, each in found.items()})}", flush=True)
    process.kill()
    process.join()


def switch(pipe: Connection) -> None:
    """Let the watching begin, or end."""
    pipe.send(None)
    pipe.recv()


def tell(found: dict[str, list[float]]) -> str:
    """What it costs not watched, and by how much each of the others differs from that."""
    words = [f"off {statistics.median(found[OFF]):6.2f} us"]
    for name in list(found)[1:]:
        low, middle, high = statistics.quantiles([a - b for a, b in zip(found[name], found[OFF], strict=True)], n=4)
        words.append(f"{name} {middle:+5.2f} ({low:+5.2f} to {high:+5.2f})")
    return "   ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.watch")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), action="append")
    parser.add_argument("--work", choices=WORK, action="append", help="what the handler does; without it all, in turn")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--requests", type=int, default=1600, help="per round")
    parser.add_argument("--all", action="store_true", help="record every request, without the budget")
    given = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("this needs Linux, which tells the CPU time of another process")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the server's process inherits it
    with tempfile.TemporaryDirectory() as folder:
        copy_package(Path(folder), CONTENDERS["no hook"], hook=False)
        copy_package(Path(folder), CONTENDERS["equal copy"], hook=True)
        for loop in given.loop or ["asyncio", "uvloop"]:
            measure(loop, given.work or list(WORK), given.rounds, given.requests, given.all, folder)


if __name__ == "__main__":
    main()

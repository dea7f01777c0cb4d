"""The heats of the race: what clients do to each of the three servers, and what became of them.

Owns: the load, the contestants' processes, and the clock.
Must not know: how a result is shown, or who should win.
Invariant: every server gets the same clients in the same order, in a fresh process that is alone on the track; nothing
but loopback is driven, each heat has an end, and every process that was started is ended.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

__all__ = ["CONTESTANTS", "HEATS", "Heat", "Result", "run"]

CONTESTANTS = {"blocking": "one after another", "threads": "a thread per client", "loop": "minihttp, one loop"}
START = 30.0  # seconds for a server to say its port
SETTLE = 1.0  # seconds for a server to accept the idle clients; one that cannot answer now never will
SPARE = 100  # descriptors besides those of the clients


@dataclass(frozen=True)
class Heat:
    """First `idle` clients connect and say nothing; one asks for `first`, if given; then `clients` ask for `path`.

    Whoever has no answer after `patience` seconds has none. `weighs` tells that memory is what the heat is about.
    """

    title: str
    lesson: str
    path: str = "/query"
    clients: int = 60
    idle: int = 0
    first: str = ""
    patience: float = 4.0
    weighs: bool = False


HEATS = (
    Heat(
        "60 clients at once, and each answer waits 50 ms for a database",
        "One after another, the waits add up. Threads and the loop let them overlap, and tie.",
    ),
    Heat(
        "The same, but one client connected before them and says nothing",
        "A server of one client at a time waits for the silent one, and so does everybody else.",
        idle=1,
    ),
    Heat(
        "1,500 clients are connected and idle, then one more asks",
        "Threads answer as well as the loop, but each idle client keeps a thread and its memory.",
        path="/quick",
        clients=1,
        idle=1500,
        patience=3.0,
        weighs=True,
    ),
    Heat(
        "One handler keeps its thread for a second, then 20 others ask for something quick",
        "The heat that the loop loses: it has one thread, and a handler that does not await holds it.",
        path="/quick",
        clients=20,
        first="/block",
    ),
    Heat(
        "The same, but the loop's handler awaits a thread (in_thread)",
        "What blocks belongs in a thread. Then the loop serves the others meanwhile.",
        path="/quick",
        clients=20,
        first="/thread",
    ),
)


@dataclass(frozen=True)
class Result:
    """When each client had its answer (seconds, in order), and what the server was at the end.

    `threads`, and `memory` in KiB for each idle client, are None where the system does not tell.
    """

    contestant: str
    asked: int
    answered: tuple[float, ...]
    threads: int | None = None
    memory: float | None = None


async def run(heat: Heat, contestant: str) -> Result:
    """Run one server through one heat. Raises RuntimeError where the server does not start."""
    allow_descriptors(heat.idle + heat.clients + SPARE)
    async with AsyncExitStack() as stack:
        server, port = await stack.enter_async_context(serving(contestant))
        before = vitals(server.pid)
        for _ in range(heat.idle):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
        with suppress(TimeoutError):  # until they are accepted: that is not what the others' time should tell
            async with asyncio.timeout(SETTLE if heat.idle else 0):
                await finish(*await ask(port, "/quick"))
        if heat.first:
            first = asyncio.create_task(finish(*await ask(port, heat.first)))
            stack.callback(first.cancel)
        answered = await answers(heat, port)
        after = vitals(server.pid)
    memory = None
    if heat.weighs and before and after:
        memory = (after[0] - before[0]) / heat.idle
    return Result(contestant, heat.clients, answered, after and after[1], memory)


async def answers(heat: Heat, port: int) -> tuple[float, ...]:
    """When each of the clients had its answer."""
    times: list[float] = []
    begun = perf_counter()

    async def client() -> None:
        await finish(*await ask(port, heat.path))
        times.append(perf_counter() - begun)

    with suppress(TimeoutError):
        async with asyncio.timeout(heat.patience), asyncio.TaskGroup() as group:
            for _ in range(heat.clients):
                group.create_task(client())
    return tuple(times)


async def ask(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect and send a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode())
    return reader, writer


async def finish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read the answer and leave."""
    try:
        await reader.readuntil(b"done\n")
    finally:
        writer.close()


@asynccontextmanager
async def serving(contestant: str) -> AsyncIterator[tuple[Process, int]]:
    """A contestant's process and its port. It is killed in the end: it may well hang."""
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", f"{__package__}.{contestant}", stdout=PIPE)
    try:
        line = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(START):
                line = await server.stdout.readline() if server.stdout else b""
        if not line.strip().isdigit():
            raise RuntimeError(f"the server {contestant!r} did not start: run python -m {__package__}.{contestant}")
        yield server, int(line)
    finally:
        with suppress(ProcessLookupError):
            server.kill()
        await server.wait()


def vitals(pid: int) -> tuple[int, int] | None:
    """The memory in KiB and the threads of a process; None where /proc does not say (it is Linux's)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(said["VmRSS"].split()[0]), int(said["Threads"])


def allow_descriptors(needed: int) -> None:
    """Let this process and its children open so many files. Raises RuntimeError where the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise RuntimeError(f"this heat needs {needed} open files and {hard} are allowed: ulimit -Hn {needed}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))

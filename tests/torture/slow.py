"""Clients that take their time: heads, bodies and answers that hardly move, and answers that nobody takes.

Owns: our own slow clients, and Debian's slowhttptest, a tool that is made for nothing else.
Must not know: how the server watches the time.
Invariant: while the slow ones are at it, a bystander is served; it is raised if not.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

from tests.support.debian import fetch, library_path

from .clients import bystander, crowd, rest
from .process import PATIENCE, Process, torture

__all__ = ["slow_heads_and_bodies", "slowhttptest", "stopped_readers"]

PROJECT = Path(__file__).resolve().parents[2]
HUGE = 1 << 30  # bytes of an answer that nobody takes
# Bytes that a client that takes nothing may cost: a chunk of the Stream, one on its way, and the objects around them.
MOST = 400_000

HEAD = b"GET / HTTP/1.1\r\nhost: a\r\n"
BODY = b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n"
CHUNKED = b"POST /upload HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\n"
PARTS = {"slow heads": (HEAD, b"x"), "slow bodies": (BODY, b"x"), "slow chunks": (CHUNKED, b"x")}


async def stopped_readers(loop: str, count: int, write_timeout: float) -> list[tuple[str, str]]:
    """Clients that ask for a huge Stream and never read: what each costs, and that all are cut."""
    async with torture(loop=loop, limits={"write_timeout": write_timeout}) as server:
        before = server.memory()
        request = b"GET /download/%d HTTP/1.1\r\nhost: a\r\n\r\n" % HUGE
        async with bystander(server) as witness, crowd(server, count, request, receive=4096) as readers:
            each = (server.memory() - before) / count
            since = time.monotonic()
            await server.until(lambda health: health["running"] <= 1)
            seconds = time.monotonic() - since
            ends = await asyncio.gather(*(rest(one) for one in readers))
        assert all(len(end) < HUGE for end in ends)
        assert witness.answered
        assert each < MOST, f"a client that takes nothing costs {each} bytes"
        health = await server.until(lambda health: not health["connections"])
        assert server.log == []
    cost = f"{each / 1024:.0f} KiB each, all cut {seconds:.1f} s after the last came ({write_timeout:g} s allowed)"
    return [(f"{count} clients that take nothing ({loop})", cost), witness.row(), left(health)]


def left(health: dict[str, int]) -> tuple[str, str]:
    return (
        "afterwards",
        f"{health['connections']} connections, {health['descriptors']} descriptors, {health['tasks']} tasks",
    )


async def drip(one: socket.socket, piece: bytes, period: float) -> None:
    """A byte now and then, until the server will have no more."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while True:
            await asyncio.sleep(period)
            await loop.sock_sendall(one, piece)


async def end_of(one: socket.socket, piece: bytes, period: float) -> tuple[bytes, float]:
    """What a slow client was told, and after how many seconds."""
    since = time.monotonic()
    dripping = asyncio.create_task(drip(one, piece, period))
    try:
        data = await rest(one)
    finally:
        dripping.cancel()
    return data, time.monotonic() - since


async def slow_heads_and_bodies(loop: str, count: int, patience: float) -> list[tuple[str, str]]:
    """So many of each kind, a byte every fifth of the patience: each gets 408 and is closed."""
    rows = []
    limits = {"header_timeout": patience, "body_grace": patience, "keep_alive": patience}
    async with torture(loop=loop, limits=limits) as server, bystander(server) as witness:
        for what, (begin, piece) in PARTS.items():
            async with crowd(server, count, begin, accepted=False) as many:
                ends = await asyncio.gather(*(end_of(one, piece, patience / 5) for one in many))
            told = [data.startswith(b"HTTP/1.1 408 ") for data, _ in ends]
            assert all(told), f"{what}: {count - sum(told)} of {count} were not told 408"
            times = [seconds for _, seconds in ends]
            rows.append(
                (f"{count} {what} ({loop})", f"408 to all, {min(times):.1f} to {max(times):.1f} s after asking")
            )
        async with crowd(server, count, accepted=False) as many:
            ends = await asyncio.gather(*(end_of(one, b"", PATIENCE) for one in many))
        assert not any(data for data, _ in ends)
        rows.append((f"{count} that say nothing ({loop})", "closed without a word, all"))
        assert server.log == []
    assert witness.answered
    return [*rows, witness.row()]


def find_slowhttptest() -> tuple[str, dict[str, str]]:
    root = fetch(["slowhttptest"], PROJECT / ".cache/slowhttptest").resolve()
    return str(root / "usr/bin/slowhttptest"), {**os.environ, "LD_LIBRARY_PATH": library_path(root)}


MODES = {
    "slow heads": ("-H", "-i", "1"),
    "slow bodies": ("-B", "-i", "1", "-s", "1000000"),
    "slow readers": ("-X", "-n", "1", "-w", "256", "-y", "512", "-z", "32", "-k", "3"),
}


async def slowhttptest(count: int, seconds: int) -> list[tuple[str, str]]:
    """The same by a foreign tool, with the server's standard limits but shorter times."""
    program, environment = find_slowhttptest()
    rows = []
    for what, mode in MODES.items():
        limits = {"header_timeout": 4, "body_grace": 4, "keep_alive": 4, "write_timeout": 4}
        async with torture(loop="uvloop", limits=limits) as server:
            path = {"slow bodies": "/upload", "slow readers": f"/download/{1 << 24}"}.get(what, "/")
            async with bystander(server) as witness:
                rows.append(
                    (
                        f"slowhttptest {' '.join(mode)}",
                        await drive(program, environment, mode, server, path, count, seconds),
                    )
                )
            rows.append(witness.row())
            health = await server.until(lambda health: not health["connections"])
            assert server.log == []
            rows.append(left(health))
    return rows


async def drive(
    program: str,
    environment: dict[str, str],
    mode: tuple[str, ...],
    server: Process,
    path: str,
    count: int,
    seconds: int,
) -> str:
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(count), *mode, "-r", "200", "-l", str(seconds), "-p", "3", "-u", f"{server.address}{path}",
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds + PATIENCE):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", output.decode(errors="replace"))
    (ended,), (why,) = re.findall(r"ended on (\w+) second", text), re.findall(r"Exit status:\s+(.*)", text)
    assert "NO" not in re.findall(r"service available:\s+(\w+)", text), text[-2000:]
    return f"service available all the time; ended in the {ended} second: {why.strip()}"

"""More clients than a server expects: idle ones by the thousand, more than the limit, more than there are descriptors.

Owns: the crowds, and what each of them costs.
Must not know: how the server accepts.
Invariant: a client that was there before is answered all the time, and afterwards so is everybody.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from minihttp.testing import IncompleteReply

from .clients import ask, connect, crowd, peer, rest
from .process import PATIENCE, Process, torture

__all__ = ["crowded", "idle", "starved"]

# Bytes of an idle connection: socket, transport, protocol, parser, alarms. Without uvloop's 64 KiB for reading.
MOST = 20_000
# Lines in the log of a second or two without descriptors: asyncio writes six for each time it failed, in each turn in
# which it tries, which it does once a second.
LOGGED = 200


async def idle(loop: str, count: int, keep_alive: float) -> list[tuple[str, str]]:
    """So many that asked once and stay: what one costs, whether others are served, and that all are closed."""
    async with torture(loop=loop, backlog=4096, limits={"keep_alive": keep_alive}) as server:
        for _ in range(3):
            assert (await ask(server)).text == "hello"
        before = await server.until(lambda health: not health["connections"])
        empty, since = server.memory(), time.monotonic()
        async with crowd(server, count, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") as many:
            each, made = (server.memory() - empty) / count, time.monotonic() - since
            since = time.monotonic()
            assert (await ask(server)).text == "hello"
            took, since = time.monotonic() - since, time.monotonic()
            after = await server.until(lambda health: not health["connections"])
            closed = time.monotonic() - since
            for one in many:
                data = await rest(one)
                assert data.startswith(b"HTTP/1.1 200 OK\r\n"), data
                assert data.count(b"HTTP/1.1") == 1, data
        assert each < MOST, f"an idle connection costs {each} bytes"
        same = ("descriptors", "tasks")
        assert [after[each] for each in same] == [before[each] for each in same]
        assert server.log == []
    return [
        (f"{count} idle connections ({loop})", f"{each:.0f} bytes each, made in {made:.1f} s"),
        ("a request on the side", f"{took * 1000:.1f} ms"),
        (f"closed by keep_alive ({keep_alive:g} s)", f"all, {closed:.1f} s after the last came"),
    ]


async def recovered(server: Process) -> None:
    """Return when a newcomer is served. Before that, those stand in the queue who gave up while nobody accepted."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(IncompleteReply, ConnectionError):
                if (await ask(server)).status == 200:
                    return


async def crowded(loop: str, limit: int, excess: int) -> list[tuple[str, str]]:
    """More connections than `limit`: 503 and the end for the next, the end alone for the rest, and then recovery."""
    async with torture(loop=loop, limits={"connections": limit}) as server, peer(server) as early:
        assert (await early.ask()).text == "hello"
        async with crowd(server, limit - 1):
            many = [connect(server) for _ in range(excess)]
            try:
                assert (await early.ask()).text == "hello"
                ends = await asyncio.gather(*(rest(one) for one in many))
            finally:
                for one in many:
                    one.close()
            assert (await early.ask()).text == "hello"
        told = sum(end.startswith(b"HTTP/1.1 503 ") for end in ends)
        assert told
        assert all(end.startswith(b"HTTP/1.1 503 ") or not end for end in ends)
        await server.until(lambda health: health["connections"] == 1)
        assert (await ask(server)).text == "hello"
        assert server.log == []
    rest_of = f"{told} told 503, {excess - told} closed without a word; served again afterwards"
    return [(f"{excess} above {limit} connections ({loop})", rest_of)]


async def starved(loop: str, descriptors: int, excess: int) -> list[tuple[str, str]]:
    """No descriptors left: first by a crowd alone, then by an application that has taken them all."""
    rows = []
    async with torture(loop=loop, nofile=descriptors) as server, peer(server) as early:
        assert (await early.ask()).text == "hello"
        before = await server.health()
        for hoarded in (0, descriptors):
            assert (await early.ask(f"/hoard/{hoarded}", "POST")).status == 200
            seen = len(server.log)
            many = [connect(server) for _ in range(excess)]
            try:
                for one in many:
                    one.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                for _ in range(100):
                    assert (await early.ask()).text == "hello"
            finally:
                for one in many:
                    one.close()
            assert (await early.ask("/hoard/0", "POST")).status == 200
            await recovered(server)
            after = await server.until(lambda health: health["connections"] == 1)
            assert after["descriptors"] == before["descriptors"]
            assert after["tasks"] == before["tasks"]
            lines = len(server.log) - seen
            assert lines <= (LOGGED if hoarded else 0), f"{lines} lines logged:\n" + "\n".join(server.log[:60])
            what = "an application holds all of them" if hoarded else f"{excess} clients at once"
            rows.append((f"{descriptors} descriptors, {what} ({loop})", f"served again; {lines} lines logged"))
    return rows

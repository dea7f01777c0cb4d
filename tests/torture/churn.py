"""Connections that come and go, in every way and at every moment, many times over.

Owns: the rounds, and the comparison of what the server holds after the first and after the last of them.
Must not know: what the server does at any of these moments.
Invariant: a round with the same seed does the same.
"""

from __future__ import annotations

import asyncio
import random
import socket

from .clients import ask, connect, crowd, cut, rest
from .process import Process, torture

__all__ = ["churn"]

WAYS = ("reset", "close", "half")
GET = b"GET /work/a HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST /upload HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n"
WAITING = b"GET /work/a?wait=60000 HTTP/1.1\r\nhost: a\r\n\r\n"
STREAM = b"GET /download/%d HTTP/1.1\r\nhost: a\r\n\r\n" % (1 << 24)
MOST = 3 << 20  # bytes of memory that rounds after the first may add: what the allocator rounds up


async def ended(server: Process, one: socket.socket, how: str) -> None:
    """Cut it; a half-closed one must be ended by the server."""
    cut(one, how)
    if how == "half":
        await rest(one)
        one.close()


async def at_every_byte(server: Process) -> int:
    """A request with a body, cut behind each of its bytes, in each way."""
    for how in WAYS:
        for sent in range(len(POST) + 1):
            one = connect(server)
            one.sendall(POST[:sent])
            await ended(server, one, how)
    return len(WAYS) * (len(POST) + 1)


async def while_it_runs(server: Process, count: int) -> int:
    for how in WAYS:
        async with crowd(server, count, WAITING) as many:
            await server.until(lambda health: health["running"] >= count)
            await asyncio.gather(*(ended(server, one, how) for one in many))
        await server.until(lambda health: not health["running"])
    return len(WAYS) * count


async def while_it_streams(server: Process, count: int) -> int:
    loop = asyncio.get_running_loop()
    for how in WAYS:
        async with crowd(server, count, STREAM) as many:
            for one in many:
                assert (await loop.sock_recv(one, 4096)).startswith(b"HTTP/1.1 200 OK\r\n")
            await asyncio.gather(*(ended(server, one, how) for one in many))
    return len(WAYS) * count


async def nonsense(server: Process, count: int, chance: random.Random) -> int:
    """Bytes at random, and requests with some of their bytes changed."""
    for number in range(count):
        data = bytearray(chance.randbytes(chance.randrange(400)) if number % 2 else GET + POST + GET)
        for _ in range(chance.randrange(1, 4)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        one = connect(server)
        one.sendall(data)
        await ended(server, one, "half")
    return count


async def churn(loop: str, rounds: int, count: int, seed: int = 1) -> list[tuple[str, str]]:
    """So many rounds: afterwards everything is where it was after the first, and nothing has been logged."""
    chance, cuts = random.Random(seed), 0
    async with torture(loop=loop, limits={"half_close_grace": 0.2}) as server:
        assert (await ask(server)).text == "hello"
        fresh = await server.until(lambda health: not health["connections"])
        first = 0
        for number in range(rounds + 1):
            if number == 1:
                first = server.memory()
            cuts += await at_every_byte(server)
            cuts += await while_it_runs(server, count)
            cuts += await while_it_streams(server, count)
            cuts += await nonsense(server, 10 * count, chance)
            for _ in range(10 * count):
                assert (await ask(server)).text == "hello"
            cuts += 10 * count
            health = await server.until(lambda health: not health["connections"])
        for each in ("descriptors", "tasks", "running"):
            assert health[each] == fresh[each], f"{each}: {fresh[each]} before, {health[each]} afterwards"
        more = server.memory() - first
        assert more < MOST, f"{more} bytes of memory more after {rounds} rounds"
        assert server.log == [], "\n".join(server.log[:20])
        assert (await ask(server)).text == "hello"
    figures = (
        f"memory {more / 1024:+.0f} KiB, {health['descriptors']} descriptors and {health['tasks']} tasks as before"
    )
    return [(f"{cuts} connections cut in every way ({loop})", f"{figures}; nothing logged")]

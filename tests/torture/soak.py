"""Small requests for as long as one likes, and what the server's memory does over time.

Owns: the load, pipelined so that the client costs little, and samples of the server's state.
Must not know: how the server answers.
Invariant: every answer is counted, and each batch has exactly the bytes that it must.
"""

from __future__ import annotations

import asyncio
import time

from .process import PATIENCE, Process, torture

__all__ = ["soak"]

BATCH = 32
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\nuser-agent: soak\r\naccept: */*\r\n\r\n"
POST = b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello"
MOST = 2 << 20  # bytes of memory that the second half may add to the first


async def client(server: Process, until: float, number: int) -> int:
    """One connection, a batch at a time; now and then a new one."""
    answered, request = 0, POST if number % 4 == 3 else REQUEST
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            size = len(head) + int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            await reader.readexactly(size - len(head))
            answered += 1
            for _ in range(1000):
                writer.write(request * BATCH)
                async with asyncio.timeout(PATIENCE):
                    data = await reader.readexactly(size * BATCH)
                assert data.count(b"HTTP/1.1 200 OK\r\n") == BATCH
                answered += BATCH
                if time.monotonic() >= until:
                    break
        finally:
            writer.close()
            await writer.wait_closed()
    return answered


async def soak(loop: str, seconds: float, clients: int = 8) -> list[tuple[str, str]]:
    """A load for so long, in six parts: after the third the memory must not grow any more."""
    async with torture(loop=loop) as server:
        samples, answered = [], 0
        health = await server.health()
        fresh = health
        for _ in range(6):
            until = time.monotonic() + seconds / 6
            answered += sum(await asyncio.gather(*(client(server, until, number) for number in range(clients))))
            health = await server.until(lambda health: not health["connections"])
            samples.append(server.memory())
        for each in ("descriptors", "tasks"):
            assert health[each] == fresh[each], f"{each}: {fresh[each]} before, {health[each]} afterwards"
        assert health["handled"] == answered
        assert samples[-1] - samples[2] < MOST, f"memory grew: {samples}"
        assert server.log == []
    course = ", ".join(f"{each / 2**20:.1f}" for each in samples)
    return [
        (f"{answered} requests in {seconds:g} s ({loop})", f"memory {course} MiB"),
        ("afterwards", f"{health['descriptors']} descriptors and {health['tasks']} tasks, as before"),
    ]

"""Bodies far larger than what the server may keep of them, both ways, both framings.

Owns: the upload, the download, and what the server's memory did meanwhile.
Must not know: how the server reads or sends a body.
Invariant: every byte is checked on both sides.
"""

from __future__ import annotations

import asyncio
import time
import zlib

from .clients import bystander, peer
from .process import PATIENCE, Process, torture
from .subject import PIECE

__all__ = ["transfer"]


MOST = 8 << 20  # bytes that the server may need more for a body of any size


async def upload(server: Process, size: int, chunked: bool) -> None:
    pieces = size // len(PIECE)
    async with peer(server) as one:
        one.send("/upload", "POST", "transfer-encoding: chunked\r\n" if chunked else f"content-length: {size}\r\n")
        check = 0
        for _ in range(pieces):
            one.writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
            check = zlib.crc32(PIECE, check)
            await one.writer.drain()
        if chunked:
            one.writer.write(b"0\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            reply = await one.replies.read("POST")
    assert reply.json() == {"size": size, "check": check}


async def download(server: Process, size: int, chunked: bool) -> None:
    async with peer(server) as one:
        one.send(f"/download/{size}{'?chunked' if chunked else ''}")
        reply = await one.replies.begin()
        assert ("transfer-encoding" in reply.headers) is chunked
        received = check = 0
        async for piece in reply.chunks():
            received += len(piece)
            check = zlib.crc32(piece, check)
    assert received == size
    wanted = 0
    for _ in range(size // len(PIECE)):
        wanted = zlib.crc32(PIECE, wanted)
    assert check == wanted


async def transfer(loop: str, size: int) -> list[tuple[str, str]]:
    """Both ways, of known length and in chunks; the server's peak is compared with that of a small body."""
    rows = []
    async with torture(loop=loop) as server:
        for way in (upload, download):
            for chunked in (False, True):
                await way(server, 4 << 20, chunked)
        for way in (upload, download):
            for chunked in (False, True):
                server.reset_peak()
                before, since = await server.peak(), time.monotonic()
                async with bystander(server) as witness:
                    await way(server, size, chunked)
                seconds, more = time.monotonic() - since, await server.peak() - before
                assert more < MOST, f"{way.__name__} of {size} bytes took {more} bytes of memory"
                what = f"{way.__name__} of {size >> 20} MiB{', chunked' if chunked else ''}"
                rows.append((what, f"+{more / 2**20:.1f} MiB at the peak, {(size >> 20) / seconds:.0f} MiB/s"))
                rows.append(witness.row())
        assert server.log == []
    return rows

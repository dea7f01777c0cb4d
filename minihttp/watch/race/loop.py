"""The third server: one thread again, and a loop that serves whoever is ready.

Owns: a handler for minihttp's server.
Must not know: sockets and bytes; those belong to the server.
Invariant: whoever awaits leaves the thread to the others, and whoever does not, holds up all. Run it:
`python -m minihttp.watch.race.loop`.
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from ...options import Options
from ...request import Request
from ...response import Response
from ...server.server import Server
from .blocking import BLOCK, QUERY

__all__ = ["handler", "main"]


async def handler(request: Request) -> Response:
    """The same pages as the other two have."""
    if request.path == "/query":
        await asyncio.sleep(QUERY)  # the thread is free for others
    elif request.path == "/block":
        time.sleep(BLOCK)  # noqa: ASYNC251 - the mistake that one heat is about
    elif request.path == "/thread":
        await asyncio.to_thread(time.sleep, BLOCK)  # its cure
    return Response(b"done\n")


async def main() -> None:
    """Serve until the process is ended."""
    server = Server(handler, Options(port=0, backlog=2048))
    await server.start()
    print(urlsplit(server.addresses[0]).port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())

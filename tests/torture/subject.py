"""The program that is tortured: an App on a real socket, and a way to ask it how it is that needs no connection.

Owns: the routes that the torture uses, and the lines of JSON it answers on its standard output, one for each line on
its standard input.
Must not know: who tortures it, or how.
Invariant: what it reports is counted by itself, at the moment it is asked.

`python -m tests.torture.subject '{"loop": "asyncio", "limits": {"keep_alive": 5}}'`: every key but `limits` and
`nofile` (its limit on open files) is an option of the server.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from minihttp import App, Limits, Options, Request, Server, Stream
from minihttp.app import loop_factory, serve_with

PIECE = bytes(range(256)) * 256


class Subject:
    """The server's state of health, and what its handlers have begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []  # the requests whose handler has begun, by the name their client gave them
        self.hoard: list[int] = []
        self.server: Server | None = None

    def health(self) -> dict[str, Any]:
        if self.server is None:
            return {}
        stats = self.server.stats()
        try:
            descriptors = len(list(Path("/dev/fd").iterdir())) - 1
        except OSError:  # none is left to look with
            descriptors = -1
        return {
            "connections": stats.connections,
            "running": stats.running,
            "handled": stats.handled,
            "descriptors": descriptors,
            "tasks": len(asyncio.all_tasks()),
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        }

    def answer(self) -> None:
        """A line has come on standard input."""
        os.read(0, 1 << 16)
        print(json.dumps(self.health()), flush=True)

    def announce(self, server: Server) -> None:
        self.server = server
        asyncio.get_running_loop().add_reader(0, self.answer)
        print(server.addresses[0], flush=True)


def make_app(subject: Subject, limits: Limits) -> App:
    async def lifespan(app: App) -> AsyncGenerator[None, None]:
        yield
        asyncio.get_running_loop().remove_reader(0)
        print(json.dumps({"begun": subject.begun, "tasks": len(asyncio.all_tasks())}), flush=True)

    app = App(lifespan, limits=limits)
    add_work(app, subject)
    add_bodies(app)
    return app


def add_work(app: App, subject: Subject) -> None:
    @app.get("/")
    async def hello(request: Request) -> bytes:
        return b"hello"

    @app.get("/work/{name}")
    async def work(request: Request, name: str) -> str:
        subject.begun.append(name)
        if milliseconds := request.query.get("wait"):
            await asyncio.sleep(int(milliseconds) / 1000)
        return name

    @app.post("/hoard/{count:int}")
    async def hoard(request: Request, count: int) -> dict[str, int]:
        """Open files until `count` are open, as an application does that has lost count of them."""
        while len(subject.hoard) > count:
            os.close(subject.hoard.pop())
        with suppress(OSError):
            while len(subject.hoard) < count:
                subject.hoard.append(os.open(os.devnull, os.O_RDONLY))
        return {"open": len(subject.hoard)}


def add_bodies(app: App) -> None:
    @app.post("/upload", max_body=1 << 40)
    async def upload(request: Request) -> dict[str, int]:
        size = check = 0
        async for piece in request.stream():
            size += len(piece)
            check = zlib.crc32(piece, check)
        return {"size": size, "check": check}

    @app.get("/download/{size:int}")
    async def download(request: Request, size: int) -> Stream:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(size // len(PIECE)):
                yield PIECE

        return Stream(pieces(), headers=None if "chunked" in request.query else {"content-length": str(size)})


def main() -> None:
    given = json.loads(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (given.pop("nofile", hard), hard))
    subject, limits = Subject(), Limits(**given.pop("limits", {}))
    options = Options(**{"port": 0, "limits": limits, **given})
    with asyncio.Runner(loop_factory=loop_factory(options.loop)) as runner:
        runner.run(serve_with(make_app(subject, limits), options, subject.announce))


if __name__ == "__main__":
    main()

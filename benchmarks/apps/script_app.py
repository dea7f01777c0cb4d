"""A script without checks: what a request costs in Python where nothing is looked at; on asyncio or uvloop.

Owns: a head that is split and remembered, a dict of routes, a Request and a Task for each, one format for answers.
Must not know: limits, deadlines, errors, bodies, pipelining: a request that is not right ends its connection at best.
Invariant: none of what is left out would make it quicker. It is no server, and stands in no rank: it shows what the
checks, limits and deadlines of one may cost.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from email.utils import formatdate

Head = tuple[str, str, str, dict[str, str]]


class Request:
    __slots__ = ("headers", "method", "path", "query")

    def __init__(self, method: str, path: str, query: str, headers: dict[str, str]) -> None:
        self.method, self.path, self.query, self.headers = method, path, query, headers


async def plaintext(request: Request) -> str:
    return "Hello, world!"


ROUTES: dict[tuple[str, str], Callable[[Request], Awaitable[str]]] = {("GET", "/plaintext"): plaintext}


def parse(head: bytes) -> Head:
    line, *fields = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = line.split(" ")
    path, _, query = target.partition("?")
    named = (each.partition(":") for each in fields)
    return method, path, query, {name.lower(): value.strip() for name, _, value in named}


class Answers:
    """The format of an answer, made anew each second for its date."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.tick()

    def tick(self) -> None:
        fields = b"Content-Length: %%d\r\nContent-Type: text/plain; charset=utf-8\r\nDate: %b\r\n"
        head = b"HTTP/1.1 200 OK\r\n" + fields % formatdate(usegmt=True).encode()
        self.kept, self.last = head + b"\r\n%b", head + b"Connection: close\r\n\r\n%b"
        self.loop.call_later(1, self.tick)


class Script(asyncio.Protocol):
    """One connection: it remembers its last head, as clients repeat theirs."""

    def __init__(self, answers: Answers, writer: asyncio.StreamWriter) -> None:
        self.answers, self.transport = answers, writer.transport
        self.writer = writer  # one that nobody keeps closes its connection
        self.head = b""

    def data_received(self, data: bytes) -> None:
        if data != self.head:
            self.head, self.parsed = data, parse(data)
        self.task = self.answers.loop.create_task(self.answer(Request(*self.parsed)))

    async def answer(self, request: Request) -> None:
        body = (await ROUTES[request.method, request.path](request)).encode()
        if request.headers.get("connection") == "close":
            self.transport.write(self.answers.last % (len(body), body))
            self.transport.close()
        else:
            self.transport.write(self.answers.kept % (len(body), body))


async def main(port: int) -> None:
    answers = Answers(asyncio.get_running_loop())

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_protocol(Script(answers, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    loop, port = sys.argv[1:]
    if loop == "uvloop":
        import uvloop

        uvloop.run(main(int(port)))
    else:
        asyncio.run(main(int(port)))

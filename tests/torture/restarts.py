"""A server that is restarted again and again under load: whose request has been read gets its answer.

Owns: the load, the restarts, and the books: what the servers say they began, and what the clients say they got.
Must not know: how the server stops.
Invariant: every request has a name of its own. A request was read if its handler has begun, as the server tells when
it is over. One that was not read may end without a byte of an answer, and is counted.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from contextlib import AsyncExitStack, suppress

from minihttp.testing import IncompleteReply

from .clients import Peer
from .process import PATIENCE, torture

__all__ = ["restarts"]

# What one client does with a connection: how many requests it sends at once, and how long their handlers wait.
HABITS = ((1, 0), (1, 3), (8, 0), (4, 2))


class Load:
    """Clients that do not stop, on whatever server answers, and what they saw."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.answered: list[str] = []
        self.unanswered = self.partial = 0
        self.over = False
        self.names = itertools.count()
        self.progress = asyncio.Event()

    async def client(self, pipelined: int, wait: int) -> None:
        while not self.over:
            reader, writer = await asyncio.open_connection(self.host, self.port)
            try:
                await self.use(Peer(reader, writer), pipelined, wait)
            finally:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    async def use(self, peer: Peer, pipelined: int, wait: int) -> None:
        """Ask on one connection until the server ends it."""
        while not self.over:
            names = [str(next(self.names)) for _ in range(pipelined)]
            heads = (f"GET /work/{name}?wait={wait} HTTP/1.1\r\nhost: a\r\n\r\n" for name in names)
            peer.writer.write("".join(heads).encode())
            for done, name in enumerate(names):
                try:
                    async with asyncio.timeout(PATIENCE):
                        reply = await peer.replies.read()
                except IncompleteReply as error:
                    self.partial += bool(peer.replies.buffered or error.content)
                    self.unanswered += pipelined - done
                    return
                assert (reply.status, reply.text) == (200, name), f"{name} was answered {reply!r}: {reply.content!r}"
                self.answered.append(name)
                self.progress.set()
                if reply.closes:
                    self.unanswered += pipelined - done - 1
                    return

    async def moved(self, answers: int) -> None:
        """Return when so many answers more have come."""
        wanted = len(self.answered) + answers
        async with asyncio.timeout(PATIENCE):
            while len(self.answered) < wanted:
                self.progress.clear()
                await self.progress.wait()


async def restarts(count: int, clients: int, between: int) -> list[tuple[str, str]]:
    """So many restarts by SIGTERM, asyncio and uvloop in turn, each after `between` answers more."""
    begun: list[str] = []
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        load = Load(*listening.getsockname())
        tasks: list[asyncio.Task[None]] = []
        fd = listening.fileno()
        async with AsyncExitStack() as stack:
            old = await stack.enter_async_context(torture(pass_fds=(fd,), fd=fd, loop="asyncio"))
            tasks = [asyncio.create_task(load.client(*HABITS[each % len(HABITS)])) for each in range(clients)]
            stack.callback(lambda: [each.cancel() for each in tasks])
            for number in range(count):
                await load.moved(between)
                loop = ("uvloop", "asyncio")[number % 2]
                new = await stack.enter_async_context(torture(pass_fds=(fd,), fd=fd, loop=loop))
                code, last = await old.end()
                assert (code, old.log) == (0, []), f"restart {number}: exit code {code}, {old.log}"
                begun += last["begun"]
                old = new
            await load.moved(between)
            load.over = True
            await asyncio.gather(*tasks)
            code, last = await old.end()
            assert (code, old.log) == (0, [])
            begun += last["begun"]
    lost, twice = set(begun) - set(load.answered), len(begun) - len(set(begun))
    assert not lost, f"{len(lost)} requests that had been read were not answered: {sorted(lost)[:10]}"
    assert set(load.answered) <= set(begun)
    assert len(load.answered) == len(set(load.answered))
    assert (twice, load.partial) == (0, 0)
    return [
        (
            f"{count} restarts, {clients} clients",
            f"{len(begun)} requests read, {len(load.answered)} answered, once each",
        ),
        ("cut in the middle of an answer", str(load.partial)),
        ("closed before they were read", f"{load.unanswered} of {next(load.names)}, not a byte of an answer to any"),
        ("exit codes", "0, all"),
    ]

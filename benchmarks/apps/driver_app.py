"""The driver alone, under the load of a server: canned bytes after one query, on uvloop.

Owns: eight connections to MariaDB, each with a prepared statement, and one Task for each request that asks one of them.
Must not know: who measures it, what was asked.
Invariant: beside a query it does what `limit_app` does and little more, so the difference of the two is what the driver
costs where the loop has as much to do as in a server. Without one it costs half or twice as much as it happens: by how
many answers a turn of the loop finds.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import cycle
from typing import Any

from benchmarks.apps.limit_app import CANNED, Canned
from benchmarks.databases import PEOPLE
from benchmarks.layers.by_hand import ONE, MySQL

CONNECTIONS = 8


class Asking(Canned):
    """The statements that are free, and which row is next, are the same for all connections."""

    free: asyncio.Queue[Any]
    ids = cycle(range(1, PEOPLE + 1))

    def data_received(self, data: bytes) -> None:
        self.task = asyncio.get_running_loop().create_task(self.answer(next(self.ids)))

    async def answer(self, id: int) -> None:
        statement = await self.free.get()
        rows = (await statement.execute((id,))).rows
        self.free.put_nowait(statement)
        if rows[0][0] == id:
            self.transport.write(CANNED)


async def main(port: int) -> None:
    import asyncmy

    Asking.free = asyncio.Queue()
    options = MySQL(os.environ["BENCH_DATABASE"]).options()
    for _ in range(CONNECTIONS):
        connection = await asyncmy.connect(**options)
        Asking.free.put_nowait(await connection.prepare(ONE.replace("%s", "?")))
    server = await asyncio.get_running_loop().create_server(Asking, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1])))

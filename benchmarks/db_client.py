"""One client of the database benchmark: a process that is told to run queries, and tells what they cost.

Owns: how each contender reads one row by its primary key, and the measuring of a round.
Must not know: who is compared with whom, how often, or how results are shown.
Invariant: every answer is compared with the value that must be there. Only the queries are measured: connections are
made and warmed before. Run by `benchmarks.db`, with the interpreter that has the other libraries.

Reads `[tasks, queries]` as JSON, a line each, and answers each with `[CPU seconds, seconds]`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

ROWS = 1000
POOL = 8  # connections
WARM_UP = 50  # queries per task
TABLE = (
    "CREATE TABLE account (id BIGINT PRIMARY KEY, name VARCHAR(100) NOT NULL, age INT NOT NULL)",
    f"INSERT INTO account SELECT seq, CONCAT('name ', seq), seq % 90 FROM seq_1_to_{ROWS}",
)
SQL = "SELECT id, name, age FROM account WHERE id = "

Query = Callable[[int, int], Awaitable[tuple[int, str]]]  # (number of the task, id) -> (id, name)


class WrongAnswer(Exception):
    """A contender read something else than what is there: its speed is of no interest."""


@dataclass
class Account:
    """A row."""

    id: int
    name: str
    age: int


def login(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username,
        "password": parts.password,
        "db": parts.path[1:],
        "autocommit": True,
    }


@asynccontextmanager
async def raw(url: str, tasks: int) -> AsyncIterator[Query]:
    """The driver alone: a connection and a prepared statement per task."""
    import asyncmy

    connections = [await asyncmy.connect(**login(url)) for _ in range(tasks)]
    prepared = [await each.prepare(SQL + "?") for each in connections]

    async def query(task: int, id: int) -> tuple[int, str]:
        row = (await prepared[task].execute((id,))).rows[0]
        return row[0], row[1]

    try:
        yield query
    finally:
        for each in connections:
            await each.ensure_closed()


@asynccontextmanager
async def driver_pool(url: str, tasks: int, driver: str = "asyncmy", **options: Any) -> AsyncIterator[Query]:
    """A driver's own pool, with its cursors."""
    pool = await importlib.import_module(driver).create_pool(minsize=POOL, maxsize=POOL, **login(url), **options)

    async def query(task: int, id: int) -> tuple[int, str]:
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(SQL + "%s", (id,))
            row = await cursor.fetchone()
        return row[0], row[1]

    try:
        yield query
    finally:
        pool.close()
        await pool.wait_closed()


@asynccontextmanager
async def sqlalchemy(url: str, tasks: int) -> AsyncIterator[Query]:
    """SQLAlchemy Core, its asyncio extension on asyncmy."""
    from sqlalchemy import text  # type: ignore[import-not-found]  # in the benchmark's environment only
    from sqlalchemy.ext.asyncio import create_async_engine  # type: ignore[import-not-found]  # the same

    address = url.replace("mysql://", "mysql+asyncmy://")
    engine = create_async_engine(address, pool_size=POOL, max_overflow=0, isolation_level="AUTOCOMMIT")
    statement = text(SQL + ":id")

    async def query(task: int, id: int) -> tuple[int, str]:
        async with engine.connect() as connection:
            row = (await connection.execute(statement, {"id": id})).one()
        return row[0], row[1]

    try:
        yield query
    finally:
        await engine.dispose()


@asynccontextmanager
async def db_one(url: str, tasks: int, size: int = POOL) -> AsyncIterator[Query]:
    """Our `db.one`."""
    from minihttp.db import Database

    async with Database(f"{url}?pool_size={size}") as db:

        async def query(task: int, id: int) -> tuple[int, str]:
            row = await db.one(SQL + ":id", id=id)
            return row["id"], row["name"]

        yield query


@asynccontextmanager
async def repository(url: str, tasks: int, size: int = POOL) -> AsyncIterator[Query]:
    """Our `Repository.get`."""
    from minihttp.db import Database, Repository

    async with Database(f"{url}?pool_size={size}") as db:
        accounts = Repository(Account, table="account", db=db)

        async def query(task: int, id: int) -> tuple[int, str]:
            account = await accounts.get(id)
            return account.id, account.name

        yield query


CONTENDERS: dict[str, Callable[[str, int], Any]] = {
    "raw": raw,
    "asyncmy-pool": lambda url, tasks: driver_pool(url, tasks, stmt_cache_size=32),
    "db.one": db_one,
    "Repository.get": repository,
    "db.one-wide": lambda url, tasks: db_one(url, tasks, tasks),
    "Repository.get-wide": lambda url, tasks: repository(url, tasks, tasks),
    "aiomysql-pool": lambda url, tasks: driver_pool(url, tasks, "aiomysql"),
    "sqlalchemy": sqlalchemy,
}


async def measure(name: str, url: str, tasks: int, queries: int) -> tuple[float, float]:
    """CPU seconds of this process and seconds on the clock for so many queries in all."""
    async with CONTENDERS[name](url, tasks) as query:

        async def work(task: int, count: int) -> None:
            for number in range(count):
                id = (number * 7 + task) % ROWS + 1
                if await query(task, id) != (id, f"name {id}"):
                    raise WrongAnswer(f"{name} gave a wrong answer for {id}")

        async def together(count: int) -> None:
            async with asyncio.TaskGroup() as group:
                for task in range(tasks):
                    group.create_task(work(task, count))

        await together(WARM_UP)
        cpu, clock = time.process_time(), time.perf_counter()
        await together(queries // tasks)
        return time.process_time() - cpu, time.perf_counter() - clock


def main() -> None:
    """Run what standard input asks for: `python -m benchmarks.db_client db.one asyncio mysql://...`."""
    name, loop, url = sys.argv[1:]
    factory = importlib.import_module("uvloop").new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        for line in sys.stdin:
            tasks, queries = json.loads(line)
            print(json.dumps(runner.run(measure(name, url, tasks, queries))), flush=True)


if __name__ == "__main__":
    main()

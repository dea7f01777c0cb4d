"""A storm of queries that are cancelled and timed out at random, on a pool with fewer connections than there are tasks.

Owns: the queries, their fates drawn from a seed, what each answer must be, and what must be left when it is over.
Must not know: pytest.
Invariant: every row that comes back is compared, value by value, with the only one that is right; whatever is wrong is
counted and told, and nothing is tried a second time to make it right.

From a shell, full size: `make storm`, or `python -m tests.db.storm --queries 20000 --seed 7 mysql`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from minihttp.db import Database, DatabaseError, OutcomeUnknown, Timeout

from ..support.mariadb import PrivateMariaDB, run_sql

TASKS, POOL = 24, 6
ROWS = 500
LONGEST = 0.004  # seconds until a query is cancelled or out of time; most take less
SCHEMA = """
DROP TABLE IF EXISTS storm; DROP TABLE IF EXISTS written;
CREATE TABLE storm (id INTEGER PRIMARY KEY, name VARCHAR(60) NOT NULL, filler VARCHAR(200) NOT NULL)
    /*! ENGINE = InnoDB CHARSET = utf8mb4 */;
CREATE TABLE written (token BIGINT PRIMARY KEY, twice BIGINT NOT NULL) /*! ENGINE = InnoDB */;
"""


def name(id: int) -> str:
    """What row `id` holds, and no other."""
    return f"行 {id} 🙂 {id * 7919 % 1009}"


@dataclass
class Outcome:
    """What became of a storm; `wrong` is empty where all is well."""

    counts: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    acknowledged: set[int] = field(default_factory=set)
    doubtful: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def check(self, found: object, right: object) -> None:
        """Count one comparison of values."""
        self.rows += 1
        if found != right:
            self.wrong.append(f"got {found!r} for {right!r}")


class Storm:
    """One run: `await Storm(db, 2000, seed=1).run()`."""

    def __init__(
        self, db: Database, queries: int, seed: int, report: Callable[[str], None] = lambda line: None
    ) -> None:
        self.db = db
        self.queries = queries
        self.random = random.Random(seed)
        self.report = report
        self.outcome = Outcome()
        self.looks = 500  # 10 seconds, for what goes on in the background to be over
        self.numbers = iter(range(1, queries + 1))

    async def run(self) -> Outcome:
        """All queries, by TASKS tasks; then the looks at what is left."""
        await self.db.script(SCHEMA)
        values = ", ".join(f"({id}, '{name(id)}', '{'x' * 200}')" for id in range(1, ROWS + 1))
        await self.db.execute(f"INSERT INTO storm VALUES {values}")
        async with asyncio.TaskGroup() as group:
            for _ in range(TASKS):
                group.create_task(self.work())
        await self.look_after()
        return self.outcome

    async def work(self) -> None:
        kinds = (self.by_key, self.by_list, self.echo, self.stream, self.left_stream, self.write, self.transfer)
        for number in self.numbers:
            kind = self.random.choice(kinds)
            fate = self.random.choice(("none", "none", "cancel", "steps", "deadline"))
            try:
                await self.meet(fate, kind(number))
                self.outcome.counts["answered"] += 1
            except asyncio.CancelledError:
                self.outcome.counts["cancelled"] += 1
            except Timeout:
                self.outcome.counts["timed out"] += 1
            except OutcomeUnknown:
                self.outcome.counts["in doubt at COMMIT"] += 1
            except DatabaseError as error:
                self.outcome.wrong.append(f"{fate}, {kind.__name__}: {error!r}")
            if number % 5000 == 0:
                self.report(f"{number:,} of {self.queries:,}: {told(self.outcome)}")

    async def meet(self, fate: str, work: Awaitable[None]) -> None:
        """Run the work until it ends, or until its fate meets it."""
        if fate == "none":
            return await work
        if fate == "deadline":
            async with self.db.within(self.random.uniform(0, LONGEST)):
                return await work
        task = asyncio.ensure_future(work)
        if fate == "steps":  # of the loop: the first moments of a query, and the last before its answer
            for _ in range(self.random.randrange(12)):
                await asyncio.sleep(0)
        else:
            await asyncio.wait([task], timeout=self.random.uniform(0, LONGEST))
        task.cancel()
        return await task

    # ---- what is asked, and the only right answer

    async def by_key(self, number: int) -> None:
        id = self.random.randint(1, ROWS)
        row = await self.db.one("SELECT id, name FROM storm WHERE id = :id", id=id)
        self.outcome.check((row.id, row.name), (id, name(id)))

    async def by_list(self, number: int) -> None:
        ids = self.random.sample(range(1, ROWS + 1), self.random.randrange(12))
        rows = await self.db.all("SELECT id, name FROM storm WHERE id IN :ids ORDER BY id", ids=ids)
        self.outcome.check([(row.id, row.name) for row in rows], [(id, name(id)) for id in sorted(ids)])

    async def echo(self, number: int) -> None:
        text = name(number) * self.random.choice((1, 1, 5000))
        self.outcome.check(await self.db.scalar("SELECT :text", text=text), text)

    async def stream(self, number: int) -> None:
        first = self.random.randint(1, ROWS)
        id = first
        async for row in self.db.iterate("SELECT id, name, filler FROM storm WHERE id >= :id ORDER BY id", id=first):
            self.outcome.check((row.id, row.name), (id, name(id)))
            id += 1
        self.outcome.check(id, ROWS + 1)

    async def left_stream(self, number: int) -> None:
        id = 1
        async for row in self.db.iterate("SELECT id, name, filler FROM storm ORDER BY id"):
            self.outcome.check((row.id, row.name), (id, name(id)))
            id += 1
            if id > self.random.randrange(ROWS):
                break

    async def write(self, number: int) -> None:
        self.outcome.doubtful.add(number)
        await self.db.execute("INSERT INTO written VALUES (:token, :twice)", token=number, twice=2 * number)
        self.outcome.acknowledged.add(number)

    async def transfer(self, number: int) -> None:
        """Two rows, or none: `-number` is there exactly if `number` is."""
        self.outcome.doubtful.add(number)
        async with self.db.transaction() as tx:
            for token in (number, -number):
                await tx.execute("INSERT INTO written VALUES (:token, :twice)", token=token, twice=2 * token)
            found = await tx.scalar("SELECT twice FROM written WHERE token = :token", token=-number)
            self.outcome.check(found, -2 * number)
        self.outcome.acknowledged.add(number)
        self.outcome.acknowledged.add(-number)
        self.outcome.doubtful.add(-number)

    # ---- what must be left

    async def look_after(self) -> None:
        """Wrong is: a connection that is counted or left behind, a statement that still runs, a write that is lost."""
        db, wrong = self.db, self.outcome.wrong
        await self.settle(lambda: not db.stats.used and not db.stats.connecting, "the pool counts what nobody uses")
        if db.stats.waiters or db.stats.size != db.stats.idle or db.stats.size > POOL:
            wrong.append(f"the pool is left with {db.stats}")
        if db.engine == "mysql":
            await self.settle(lambda: len(self.others()) == db.stats.idle, "connections are left on the server")
            wrong.extend(f"still running: {row[1]}" for row in self.others() if row[1])
        else:
            await self.settle(lambda: threads() <= db.stats.idle, "threads are left")
        there = {row.token: row.twice async for row in db.iterate("SELECT token, twice FROM written")}
        wrong.extend(f"written as {twice}: {token}" for token, twice in there.items() if twice != 2 * token)
        wrong.extend(f"acknowledged and lost: {token}" for token in self.outcome.acknowledged - set(there))
        wrong.extend(f"there, and never written: {token}" for token in there if abs(token) not in self.outcome.doubtful)
        halves = [token for token in there if token < 0 and -token not in there]
        wrong.extend(f"half of a transaction: {token}" for token in halves)
        self.outcome.counts["not acknowledged, there all the same"] = len(set(there) - self.outcome.acknowledged)

    async def settle(self, over: Callable[[], bool], complaint: str) -> None:
        """Restoring and closing go on in the background for a moment."""
        for _ in range(self.looks):
            if over():
                return
            await asyncio.sleep(0.02)
        self.outcome.wrong.append(f"{complaint}: {self.db.stats}")

    def others(self) -> list[tuple[object, ...]]:
        """The server's connections to this database but for the one that asks, and what each runs."""
        url = self.db.url
        host, port = url.hosts[0]
        return run_sql(
            f"mysql://{url.user}:{url.password}@{host}:{port}/{url.name}",
            "SELECT id, info FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
        )


def threads() -> int:
    """How many threads run SQLite connections now."""
    return sum("connection_worker" in each.name and each.is_alive() for each in threading.enumerate())


def told(outcome: Outcome) -> str:
    """The outcome in one line."""
    counts = ", ".join(f"{count:,} {what}" for what, count in outcome.counts.most_common())
    return f"{counts}; {outcome.rows:,} values compared, {len(outcome.wrong)} wrong"


async def storm(url: str, queries: int, seed: int, report: Callable[[str], None] = lambda line: None) -> Outcome:
    """A whole storm on a database of its own."""
    async with Database(f"{url}?pool_size={POOL}&acquire_timeout=60&statement_cache=64") as db:
        return await Storm(db, queries, seed, report).run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.db.storm")
    parser.add_argument("engines", nargs="*", default=["mysql", "sqlite"])
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    failed = False
    with PrivateMariaDB() as server, tempfile.TemporaryDirectory() as folder:
        for engine in options.engines:
            url = server.url() if engine == "mysql" else f"sqlite:///{folder}/storm.db"
            print(f"{engine}: {options.queries:,} queries, seed {options.seed}, {TASKS} tasks, {POOL} connections")
            began = time.monotonic()
            outcome = asyncio.run(
                storm(url, options.queries, options.seed, lambda line: print("  " + line, flush=True))
            )
            print(f"{engine}: {told(outcome)}, {time.monotonic() - began:.0f} s", flush=True)
            print("".join(f"  WRONG: {each}\n" for each in outcome.wrong[:20]), end="")
            failed = failed or bool(outcome.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

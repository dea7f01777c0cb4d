"""Writers that count what was acknowledged, while the server is killed and restarted and the network cuts.

Owns: the writers, what they were told of each row, and the comparison with what is there afterwards.
Must not know: pytest, how the faults are caused.
Invariant: each row is written once and never tried again, so that what is there answers for what was told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from minihttp.db import Conflict, Database, OutcomeUnknown, Unavailable

WRITERS = 12


@dataclass
class Ledger:
    """What the program was told of each row, by its number."""

    acknowledged: set[int] = field(default_factory=set)
    in_doubt: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)  # "nothing was changed"
    others: list[BaseException] = field(default_factory=list)

    def compare(self, there: set[int]) -> Counter[str]:
        """What is wrong, which must be empty; a row in doubt may be there or not."""
        return Counter(
            {
                what: count
                for what, count in (
                    ("acknowledged and missing", len(self.acknowledged - there)),
                    ("refused and there", len(self.refused & there)),
                    ("there, and never written", len(there - self.acknowledged - self.in_doubt - self.refused)),
                    ("other errors", len(self.others)),
                )
                if count
            }
        )


class Writers:
    """`async with Writers(db).writing() as ledger: ...` writes until the block is left."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.ledger = Ledger()
        self.next = 0
        self.over = False

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Ledger]:
        tasks = [asyncio.create_task(self.write(kind)) for kind in range(WRITERS)]
        try:
            yield self.ledger
        finally:
            self.over = True
            await asyncio.gather(*tasks)

    async def more(self, count: int) -> None:
        """Returns when so many more rows were acknowledged: the database is there again, and works."""
        wanted = len(self.ledger.acknowledged) + count
        while len(self.ledger.acknowledged) < wanted:
            await asyncio.sleep(0.002)

    async def write(self, kind: int) -> None:
        ways = (self.alone, self.pair, self.pair_again)
        while not self.over:
            self.next += 2
            rows = {self.next} if kind % 3 == 0 else {self.next, self.next + 1}
            try:
                await ways[kind % 3](self.next)
                self.ledger.acknowledged |= rows
            except OutcomeUnknown:
                self.ledger.in_doubt |= rows
            except (Unavailable, Conflict):
                self.ledger.refused |= rows
                await asyncio.sleep(0.005)
            except Exception as error:
                self.ledger.others.append(error)

    async def alone(self, number: int) -> None:
        await self.db.execute("INSERT INTO entry (id) VALUES (:id)", id=number)

    async def pair(self, number: int) -> None:
        async with self.db.transaction() as tx:
            await self.both(tx, number)

    async def pair_again(self, number: int) -> None:
        await self.db.retry(self.both, number)

    async def both(self, tx, number: int) -> None:
        await tx.execute("INSERT INTO entry (id) VALUES (:id)", id=number)
        await tx.execute("INSERT INTO entry (id) VALUES (:id)", id=number + 1)

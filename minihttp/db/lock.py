"""A lock that processes share: a row in a table, which one of them at a time has written.

Owns: taking the row, keeping it, giving it back, and what is said to those who waited in vain.
Must not know: what is done under the lock.
Invariant: one holder at a time by the database's clock; clocks of clients play no part. A holder that is killed or cut
off loses the lock `lease` seconds later: so what must never be done twice asks `renew(tx)` in the transaction that
does it. Trade-off: MySQL's GET_LOCK would end with its connection, at once; but a Galera cluster does not replicate it,
nor the lock of a row that is only read. A row that is written passes the whole cluster, which lets one writer win.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
from contextlib import suppress
from types import TracebackType
from typing import Self

from .database import Database
from .errors import Conflict, DatabaseError, IntegrityError, LockTimeout, OutcomeUnknown, QueryError
from .executor import Executor

__all__ = ["Lock"]

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0  # seconds between attempts, doubled each time
TABLE = """CREATE TABLE IF NOT EXISTS `minihttp_lock` (
    `name` VARCHAR(64) PRIMARY KEY,
    `owner` VARCHAR(255) NOT NULL,
    `expires` DOUBLE PRECISION NOT NULL
) /*! ENGINE=InnoDB CHARACTER SET utf8mb4 */"""
NOW = {"mysql": "UNIX_TIMESTAMP(NOW(3))", "sqlite": "(julianday('now') - 2440587.5) * 86400.0"}  # since 1970


class Lock:
    """Held inside of `async with`, by one process, on whichever machine: `async with Lock(db, "nightly-report"): ...`.

    `wait` and `lease` are in seconds: how long to wait for another holder, and for how long the lock outlives a holder
    that was killed; it is renewed while it is held. `steal=True` takes it from whoever has it. Entering raises
    LockTimeout, which names the holder.
    """

    def __init__(
        self, db: Database, name: str, *, wait: float = 60.0, lease: float = 30.0, steal: bool = False
    ) -> None:
        self._db = db
        self._wait = wait
        self._lease = lease
        self._now = NOW[db.engine]
        self.owner = f"process {os.getpid()} on {socket.gethostname()[:64]} ({secrets.token_hex(8)})"
        self._row = {"name": name, "owner": self.owner}
        self._new = {**self._row, "lease": lease}
        self._steal = int(steal)
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self._wait, FIRST_PAUSE
        while not await self._take():
            if loop.time() >= end:
                raise await self._in_vain()
            # Waiting by the clock: no database tells other processes that a row is gone.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)
        self._keeper = loop.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        with suppress(DatabaseError):  # then it ends by itself, `lease` seconds from now
            await self._db.execute("DELETE FROM `minihttp_lock` WHERE name = :name AND owner = :owner", self._row)

    async def renew(self, on: Executor) -> bool:
        """Hold the lock for `lease` seconds from now; False where it is ours no more.

        Example: `async with db.transaction() as tx: held = await lock.renew(tx)`: nobody else can take the lock before
        that transaction is committed, and so it never writes what the next holder does not see.
        """
        kept = f"UPDATE `minihttp_lock` SET expires = {self._now} + :lease WHERE name = :name AND owner = :owner"
        return (await on.execute(kept, self._new)).rowcount == 1

    async def _take(self) -> bool:
        """Whether the row is ours now: it was free, its time is over, or our own earlier attempt has succeeded."""
        take = f"""UPDATE `minihttp_lock` SET owner = :owner, expires = {self._now} + :lease
            WHERE name = :name AND (owner = :owner OR expires < {self._now} OR 1 = :steal)"""
        try:
            try:
                await self._insert()
            except IntegrityError:  # there is a row
                return (await self._db.execute(take, {**self._new, "steal": self._steal})).rowcount == 1
        except (Conflict, OutcomeUnknown):  # two nodes of a cluster met, or the answer was lost: ask again
            return False
        return True

    async def _insert(self) -> None:
        insert = f"INSERT INTO `minihttp_lock` (name, owner, expires) VALUES (:name, :owner, {self._now} + :lease)"
        try:
            await self._db.execute(insert, self._new)
        except QueryError:  # the first lock in this database: the table is not there
            await self._db.execute(TABLE)
            await self._db.execute(insert, self._new)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            with suppress(DatabaseError):  # the next one may succeed, and `renew` by the holder tells the truth
                await self.renew(self._db)

    async def _in_vain(self) -> LockTimeout:
        asked = f"SELECT owner, expires - {self._now} AS rest FROM `minihttp_lock` WHERE name = :name"
        found = "was not to be had: others write to this database all the time"
        with suppress(QueryError):  # the table is not there yet
            for row in await self._db.all(asked, name=self._row["name"]):
                found = (
                    f"is held by {row.owner}: let that process finish; if it was killed, its lock ends by itself "
                    f"{row.rest:.0f} s from now"
                )
        return LockTimeout(f"the lock {self._row['name']!r} {found} (waited for {self._wait:g} s)")

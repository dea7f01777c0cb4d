"""asyncmy or aiosqlite as they are: SQL by hand, the driver's own pool (SQLite: one connection).

Owns: the plainest use of each driver.
Must not know: any framework.
Invariant: eight connections to MariaDB, as every other layer has.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

FIELDS = ("id", "name", "age", "sex", "city")
ONE = "SELECT id, name, age, sex, city FROM user WHERE id = %s"
TWENTY = "SELECT id, name, age, sex, city FROM user ORDER BY id LIMIT 20"
CHANGE = "UPDATE user SET age = %s WHERE id = %s"


class MySQL:
    def __init__(self, url: str) -> None:
        self.where = urlsplit(url)

    def options(self) -> dict[str, Any]:
        where = self.where
        account = {"user": where.username, "password": where.password or "", "db": where.path.lstrip("/")}
        return {"host": where.hostname, "port": where.port, "charset": "utf8mb4", "autocommit": True, **account}

    async def open(self) -> None:
        import asyncmy

        self.pool = await asyncmy.create_pool(minsize=8, maxsize=8, **self.options())

    async def close(self) -> None:
        self.pool.close()
        await self.pool.wait_closed()

    async def one(self, id: int) -> dict[str, Any]:
        async with self.pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(ONE, (id,))
            return dict(zip(FIELDS, await cursor.fetchone(), strict=True))

    async def twenty(self) -> list[dict[str, Any]]:
        async with self.pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(TWENTY)
            return [dict(zip(FIELDS, row, strict=True)) for row in await cursor.fetchall()]

    async def change(self, id: int, age: int) -> None:
        async with self.pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(CHANGE, (age, id))


class SQLite:
    def __init__(self, url: str) -> None:
        self.path = url.removeprefix("sqlite:///")

    async def open(self) -> None:
        import aiosqlite

        self.connection = await aiosqlite.connect(self.path)

    async def close(self) -> None:
        await self.connection.close()

    async def one(self, id: int) -> dict[str, Any]:
        async with self.connection.execute(ONE.replace("%s", "?"), (id,)) as cursor:
            return dict(zip(FIELDS, await cursor.fetchone(), strict=True))

    async def twenty(self) -> list[dict[str, Any]]:
        async with self.connection.execute(TWENTY) as cursor:
            return [dict(zip(FIELDS, row, strict=True)) for row in await cursor.fetchall()]

    async def change(self, id: int, age: int) -> None:
        await self.connection.execute(CHANGE.replace("%s", "?"), (age, id))
        await self.connection.commit()


def Layer(url: str) -> MySQL | SQLite:
    return MySQL(url) if url.startswith("mysql") else SQLite(url)

"""aiomysql with its pool and its DictCursor, as its documentation shows.

Owns: aiomysql's plain use.
Must not know: any framework.
Invariant: the statements are those of `by_hand`.
"""

from __future__ import annotations

from typing import Any

from . import by_hand


class Layer(by_hand.MySQL):
    async def open(self) -> None:
        import aiomysql

        self.cursor = aiomysql.DictCursor
        self.pool = await aiomysql.create_pool(minsize=8, maxsize=8, **self.options())

    async def one(self, id: int) -> dict[str, Any]:
        async with self.pool.acquire() as connection, connection.cursor(self.cursor) as cursor:
            await cursor.execute(by_hand.ONE, (id,))
            row: dict[str, Any] = await cursor.fetchone()
            return row

    async def twenty(self) -> list[dict[str, Any]]:
        async with self.pool.acquire() as connection, connection.cursor(self.cursor) as cursor:
            await cursor.execute(by_hand.TWENTY)
            rows: list[dict[str, Any]] = await cursor.fetchall()
            return rows

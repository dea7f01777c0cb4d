"""SQLAlchemy's ORM with its asyncio extension: a session per request, on asyncmy or aiosqlite.

Owns: the use that SQLAlchemy's and the frameworks' documentation show.
Must not know: any framework.
Invariant: a pool of eight connections.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from .models import User


class Layer:
    def __init__(self, url: str) -> None:
        drivers = {"mysql": "mysql+asyncmy", "sqlite": "sqlite+aiosqlite"}
        kind, rest = url.split("://")
        self.url = f"{drivers[kind]}://{rest}"

    async def open(self) -> None:
        self.engine = create_async_engine(self.url, pool_size=8, max_overflow=0)
        self.session = async_sessionmaker(self.engine, expire_on_commit=False)

    async def close(self) -> None:
        await self.engine.dispose()

    async def one(self, id: int) -> dict[str, Any]:
        async with self.session() as session:
            return (await session.get_one(User, id)).as_dict()

    async def twenty(self) -> list[dict[str, Any]]:
        async with self.session() as session:
            return [user.as_dict() for user in await session.scalars(select(User).order_by(User.id).limit(20))]

    async def change(self, id: int, age: int) -> None:
        async with self.session.begin() as session:
            await session.execute(update(User).where(User.id == id).values(age=age))

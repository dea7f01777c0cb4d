"""SQLAlchemy's ORM as Flask's documentation shows it: a session per request, on PyMySQL or sqlite3.

Owns: the synchronous use; its methods wait for the database.
Must not know: any framework.
Invariant: a pool of eight connections.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, select, update
from sqlalchemy.orm import sessionmaker

from .models import User


class Layer:
    def __init__(self, url: str) -> None:
        engine = create_engine(url.replace("mysql://", "mysql+pymysql://"), pool_size=8, max_overflow=0)
        self.session = sessionmaker(engine)

    def one(self, id: int) -> dict[str, Any]:
        with self.session() as session:
            return session.get_one(User, id).as_dict()

    def twenty(self) -> list[dict[str, Any]]:
        with self.session() as session:
            return [user.as_dict() for user in session.scalars(select(User).order_by(User.id).limit(20))]

    def change(self, id: int, age: int) -> None:
        with self.session.begin() as session:
            session.execute(update(User).where(User.id == id).values(age=age))

"""The table `user` as SQLAlchemy's ORM declares it, and a row of it as a mapping.

Owns: the one declaration that both SQLAlchemy layers use.
Must not know: engines or sessions.
Invariant: the columns are those of schema.sql.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    age: Mapped[int]
    sex: Mapped[str]
    city: Mapped[str]

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "age": self.age, "sex": self.sex, "city": self.city}

"""The databases that all contenders read: a private MariaDB and a SQLite file with the same thousand people.

Owns: starting and filling them, and what each row is.
Must not know: who reads them, and how.
Invariant: the table is schema.sql's; ids are 1 to 1000 without a gap.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.mariadb import run_sql, server_from_environment

SCHEMA = Path(__file__).parents[1] / "schema.sql"
PEOPLE = 1000
CITIES = ("北京", "London", "Zürich", "東京", "Sevilla")


def person(id: int) -> dict[str, Any]:
    sex = ("female", "male", "other")[id % 3]
    return {"id": id, "name": f"Person {id}", "age": id % 100, "sex": sex, "city": CITIES[id % len(CITIES)]}


def statements() -> list[str]:
    """What makes the table and fills it, one statement each."""
    schema = re.sub(r"^--.*$", "", SCHEMA.read_text(), flags=re.MULTILINE)
    made = [each.strip() for each in schema.split(";") if each.strip().startswith("CREATE")]
    rows = ", ".join(str(tuple(person(id).values())) for id in range(1, PEOPLE + 1))
    return [*made, f"INSERT INTO user (id, name, age, sex, city) VALUES {rows}"]


def sqlite(path: Path) -> str:
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        for each in statements():
            connection.execute(each)
    connection.close()
    return f"sqlite:///{path}"


@contextmanager
def mysql() -> Iterator[tuple[str, str]]:
    """The URL of a filled database, and the server's version."""
    with server_from_environment() as server:
        name = server.create_database()
        try:
            run_sql(server.url(name), *statements())
            ((version,),) = run_sql(server.url(name), "SELECT VERSION()")
            yield server.url(name), str(version)
        finally:
            server.drop_database(name)

"""A process that migrates when it is told to: two of these, told at once, are what the lock is for.

Owns: reading orders from its standard input, one a line, and answering each with a line of JSON.
Must not know: how many others there are.
Invariant: an order is answered, with the names of the applied files or with the error's text.
"""

from __future__ import annotations

import asyncio
import json
import sys

from minihttp.db import Database, DatabaseError, migrate


async def follow(order: dict[str, str]) -> list[str] | str:
    """Migrate one database: `{"url": ..., "folder": ...}`."""
    try:
        async with Database(order["url"]) as db:
            return await migrate(db, order["folder"])
    except DatabaseError as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(asyncio.run(follow(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()

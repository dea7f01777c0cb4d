"""Many objects in few statements: how they are cut into batches, and which ids the database gave them.

Owns: the sizes of batches.
Must not know: transactions; who asked for what.
Invariant: the objects' order is kept, and each gets the id of its own row. Trade-off: a batch is one statement of many
values, not one statement sent many times: one round trip instead of
hundreds, at the price of knowing each engine's limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, TypeVar

from .executor import Executor
from .statements import Statements

__all__ = ["add_batch", "cut"]

T = TypeVar("T")

MAX_VARIABLES = 32_766  # SQLite's limit for one statement; MySQL's is 65,535
BATCH_ROWS = 256  # beyond this a longer statement saves nothing
BATCH_BYTES = 1 << 20  # far below every server's max_allowed_packet


def cut(dumped: Iterable[tuple[T, list[Any], bool]], width: int) -> list[list[tuple[T, list[Any], bool]]]:
    """Objects, their values and whether they bring their id, in batches whose sizes are powers of two.

    So few statements serve all lengths. Those with and without an id do not mix: only then the ids that the database
    gives are consecutive.
    """
    most = min(BATCH_ROWS, MAX_VARIABLES // width)
    batches = []
    for _, group in groupby(dumped, lambda each: each[2]):
        rows = list(group)
        start = 0
        while start < len(rows):
            fitting = _fitting(rows[start : start + most])
            size = 1 << (fitting.bit_length() - 1)
            batches.append(rows[start : start + size])
            start += size
    return batches


async def add_batch(
    db: Executor, statements: Statements, batch: Sequence[tuple[Any, list[Any], bool]]
) -> Sequence[int]:
    """Insert with one statement; the ids that the database gave, or would have given."""
    flat = [value for _, values, _ in batch for value in values]
    params = {f"p{place}": value for place, value in enumerate(flat)}
    last_id = (await db.execute(statements.insert(len(batch)), params)).last_id or 0
    if db.engine == "sqlite":  # tells the last of several ids, MySQL the first
        return range(last_id - len(batch) + 1, last_id + 1)
    # On a MySQL cluster every node has its own ids, which then are not one apart.
    has_key = batch[0][2]
    step = 1 if has_key or len(batch) == 1 else int(await db.scalar("SELECT @@auto_increment_increment"))
    return range(last_id, last_id + step * len(batch), step)


def _fitting(rows: Sequence[tuple[Any, Sequence[Any], bool]]) -> int:
    """How many of the rows stay below BATCH_BYTES together; at least one."""
    total = 0
    for count, (_, values, _) in enumerate(rows):
        total += sum(len(value) for value in values if isinstance(value, str | bytes))
        if total > BATCH_BYTES and count:
            return count
    return len(rows)

"""A small storm of cancelled and timed-out queries on each engine, and that the storm sees what is wrong."""

from __future__ import annotations

import pytest

from minihttp.db import Database
from tests.db.storm import Outcome, Storm, storm, told

QUERIES = 3000


async def test_a_storm_leaves_everything_right(database_url):
    outcome = await storm(database_url, QUERIES, seed=20240229)
    assert outcome.wrong == []
    assert outcome.counts["answered"] > QUERIES / 10
    assert outcome.counts["cancelled"] > QUERIES / 10
    assert outcome.counts["timed out"] > QUERIES / 100
    assert outcome.rows > QUERIES
    assert len(outcome.acknowledged) > QUERIES / 100


def test_a_wrong_value_is_told():
    outcome = Outcome()
    outcome.check((1, "a"), (1, "a"))
    outcome.check((1, "b"), (1, "a"))
    assert outcome.wrong == ["got (1, 'b') for (1, 'a')"]
    assert told(outcome) == "; 2 values compared, 1 wrong"


async def test_what_is_left_behind_is_told(database_url):
    """A lost and a torn write, a foreign one, and a connection that is never given back."""
    async with Database(f"{database_url}?pool_size=6&close_grace=0") as db:
        run = Storm(db, 0, seed=1)
        await run.run()
        assert run.outcome.wrong == []
        run.looks = 2
        run.outcome.acknowledged.add(7)
        await db.execute("INSERT INTO written VALUES (-8, -16), (9, 0)")
        await db.lease()
        await run.look_after()
        wrong = "\n".join(run.outcome.wrong)
        for words in (
            "the pool counts what nobody uses", "the pool is left with", "acknowledged and lost: 7",
            "half of a transaction: -8", "written as 0: 9", "there, and never written: 9",
        ):  # fmt: skip
            assert words in wrong
        with pytest.raises(StopIteration):
            next(run.numbers)

"""The queue of waiting tasks, and the back-off: no clock, no connections."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from minihttp.db.errors import DatabaseError, Unavailable
from minihttp.db.waiting import Outage, Waiters


async def test_first_come_first_served_and_those_who_left_are_passed_over():
    loop = asyncio.get_running_loop()
    waiters: Waiters[str] = Waiters()
    first, second, third = (loop.create_future() for _ in range(3))
    for future in (first, second, third):
        waiters[future] = 10
    first.cancel()
    del waiters[third]
    assert waiters.grant("it")
    assert second.result() == "it"
    assert not waiters.grant("more")
    assert len(waiters) == 0


async def test_those_whose_time_is_over_leave_the_queue():
    loop = asyncio.get_running_loop()
    waiters: Waiters[str] = Waiters()
    assert waiters.next() == inf
    first, second, gone = (loop.create_future() for _ in range(3))
    for future, until in ((first, 7), (second, 5), (gone, 5)):
        waiters[future] = until
    gone.cancel()
    assert (waiters.late(4.9), waiters.next()) == ([], 5)
    assert waiters.late(5) == [second]
    assert (len(waiters), waiters.next()) == (1, 7)


async def test_everybody_gets_an_error_of_his_own():
    loop = asyncio.get_running_loop()
    waiters: Waiters[str] = Waiters()
    first, second, gone = (loop.create_future() for _ in range(3))
    for future in (first, second, gone):
        waiters[future] = 10
    gone.cancel()
    waiters.fail(lambda: DatabaseError("down"))
    assert str(first.exception()) == str(second.exception()) == "down"
    assert first.exception() is not second.exception()


def test_the_wait_grows_to_its_limit_with_jitter():
    outage = Outage(longest=1.0)
    waits = []
    for _ in range(12):
        outage.failed(DatabaseError("refused", code=2003), now=100.0)
        waits.append(outage.retry_at - 100.0)
    assert 0.025 <= waits[0] <= 0.05
    assert all(0.5 <= wait <= 1.0 for wait in waits[6:])
    assert len(set(waits)) > 6
    outage.over()
    assert (outage.failures, outage.retry_at) == (0, 0.0)


def test_the_error_says_when_to_come_back():
    outage = Outage(longest=8.0)
    cause = OSError("refused")
    error = DatabaseError("cannot reach it", code=2003)
    error.__cause__ = cause
    for _ in range(9):
        outage.failed(error, now=50.0)
    told = outage.error(now=50.0)
    assert (str(told), told.code, told.__cause__) == ("cannot reach it", 2003, cause)
    assert 4 <= told.retry_after <= 8
    assert Outage(1.0).error(0.0).retry_after == 1


def test_the_operator_reads_one_line_when_a_database_is_lost_and_one_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = Outage(1.0)
    outage.failed(Unavailable("never there"), 0.0)
    outage.over()
    assert caplog.messages == []  # at the start, the exception says it
    for now in (1.0, 2.0, 3.0):
        outage.failed(Unavailable("127.0.0.1:3306 refused"), now)
    outage.over()
    outage.over()
    assert caplog.messages == [
        "the database is lost, trying again until it is back: 127.0.0.1:3306 refused",
        "the database is back",
    ]

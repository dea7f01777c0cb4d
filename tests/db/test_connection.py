"""The stack of idle connections, and closing quietly."""

from __future__ import annotations

import asyncio
from math import inf

from minihttp.db.connection import Idle, Slot, close_quietly
from tests.db.fakes import FakeConnection


def now() -> float:
    return asyncio.get_running_loop().time()


def slot(number: int, max_age: float = 1000.0) -> Slot[FakeConnection]:
    return Slot(FakeConnection(number), now(), max_age)


async def test_last_in_first_out():
    dropped = []
    idle: Idle[FakeConnection] = Idle(100, 0, dropped.append)
    first, second = slot(1), slot(2)
    idle.push(first)
    idle.push(second)
    assert len(idle) == 2
    assert [idle.take(now()), idle.take(now()), idle.take(now())] == [second, first, None]
    assert dropped == []


async def test_closed_and_old_ones_are_dropped_on_the_way():
    dropped = []
    idle: Idle[FakeConnection] = Idle(100, 0, dropped.append)
    good, closed, old = slot(1), slot(2), slot(3, max_age=0)
    for each in (good, closed, old):
        idle.push(each)
    closed.connection.is_open = False
    assert idle.take(now()) is good
    assert dropped == [old, closed]


async def test_what_nobody_wants_is_dropped_after_a_while_but_for_the_least():
    done = asyncio.get_running_loop().create_future()
    dropped = []

    def drop(each):
        dropped.append(each)
        if len(dropped) == 2:
            done.set_result(None)

    idle: Idle[FakeConnection] = Idle(0.01, 1, drop)
    slots = [slot(number) for number in range(3)]
    for each in slots:
        idle.push(each)
    await done
    assert dropped == slots[:2]
    assert idle.take(now()) is slots[2]
    idle.clear()


async def test_one_that_came_later_gets_its_own_time():
    loop = asyncio.get_running_loop()
    left = []
    done = loop.create_future()

    def drop(each):
        left.append(len(idle))
        if len(left) == 2:
            done.set_result(None)

    idle: Idle[FakeConnection] = Idle(0.05, 0, drop)
    idle.push(slot(1))
    loop.call_later(0.025, lambda: idle.push(slot(2)))
    await done
    assert left == [1, 0]


async def test_clear_drops_everything_and_stops_the_timer():
    dropped = []
    idle: Idle[FakeConnection] = Idle(0.001, 0, dropped.append)
    idle.push(slot(1))
    idle.clear()
    assert len(dropped) == 1
    assert idle._alarm.at == inf
    await asyncio.sleep(0.005)
    assert len(dropped) == 1


async def test_max_age_is_jittered_downwards():
    now = asyncio.get_running_loop().time()
    ages = {slot(number, 100.0).expires - now for number in range(20)}
    assert all(89.9 <= age <= 100.1 for age in ages)
    assert len(ages) > 10


async def test_close_quietly_hides_errors_and_aborts(monkeypatch):
    class Rude(FakeConnection):
        async def close(self):
            raise OSError("no")

    rude = Rude(1)
    await close_quietly(rude)
    assert not rude.is_open
    monkeypatch.setattr("minihttp.db.connection.CLOSE_TIMEOUT", 0.01)
    stuck = FakeConnection(2)
    stuck.hold = asyncio.Event()
    await close_quietly(stuck)
    assert not stuck.is_open

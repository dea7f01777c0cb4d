"""When the loop turns, on asyncio and from outside."""

from __future__ import annotations

import asyncio
import math
import threading
import time

import pytest

from minihttp.watch.loop import Ping, WatchedLoop

from .recording import Clock, turns


def test_a_watched_loop_tells_when_it_works_and_when_it_waits() -> None:
    late: list[float] = []
    seen: list[float] = []

    async def main(loop: WatchedLoop) -> None:
        loop.turns.late = lambda start, end: late.append(end - start)
        await turns(2)
        assert loop.turns.busy_since > 0
        assert loop.turns.now >= loop.turns.before > 0
        assert loop.turns.now == loop.turns.busy_since
        idle = loop.turns.idle

        def look() -> None:
            while loop.turns.busy_since:
                pass
            now = loop.turns.asked + 60
            seen.extend((loop.turns.busy_since, loop.turns.idle_until(now) - loop.turns.idle))

        await asyncio.to_thread(look)
        assert seen == [0.0, pytest.approx(60)], "while it waits for the thread it is not busy"
        assert loop.turns.idle_until(math.inf) == loop.turns.idle > idle
        late.clear()
        began = loop.turns.now
        while time.perf_counter() < began + 0.005:
            pass
        await turns(1)
        assert [each for each in late if each >= 0.005] != []

    loop = WatchedLoop()
    assert loop.turns.idle_until(100.0) == 0.0, "it has not begun"
    try:
        loop.run_until_complete(main(loop))
    finally:
        loop.close()


def test_what_is_done_about_a_long_turn_does_not_wait_for_the_next_event() -> None:
    async def main(loop: WatchedLoop) -> None:
        told = loop.create_future()

        def late(start: float, end: float) -> None:
            loop.turns.late = lambda start, end: None
            loop.call_soon(told.set_result, None)

        loop.turns.late = late
        events: list[str] = []
        loop.call_later(5, events.append, "a timer")
        end = time.perf_counter() + 0.005
        while time.perf_counter() < end:
            pass
        await told
        assert not events

    loop = WatchedLoop()
    try:
        loop.run_until_complete(main(loop))
    finally:
        loop.close()


async def test_a_ping_is_answered_by_a_loop_that_turns() -> None:
    clock, late = Clock(), []
    loop = asyncio.get_running_loop()
    ping = Ping(loop, lambda start, end: late.append((start, end)), clock)
    thread = threading.Thread(target=ping.send)
    thread.start()
    thread.join()
    assert ping.since == 100.0
    clock.go(0.2)
    ping.send()
    assert ping.since == 100.0, "one at a time"
    await turns()
    assert ping.since == 0.0
    assert late == [(100.0, 100.2)]


def test_a_closed_loop_is_not_asked() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    ping = Ping(loop, lambda start, end: None)
    ping.send()
    assert ping.since == 0.0

"""One timer for many times."""

from __future__ import annotations

import asyncio
from math import inf

from minihttp.db.alarm import Alarm


async def rung(*times: float, then: tuple[float, ...] = ()) -> list[float]:
    """Set an alarm by all these (seconds from now), and then by one of `then` each time it rings: when it rang."""
    loop = asyncio.get_running_loop()
    start, rang, more = loop.time(), [], list(then)
    done = loop.create_future()

    def ring(now: float) -> float:
        rang.append(round(now - start, 6))  # a sum of floats, taken apart again, is not what it was
        if not more:
            done.set_result(None)
            return inf
        return start + more.pop(0)

    alarm = Alarm(ring)
    for each in times:
        alarm.by(start + each)
    await done
    assert alarm.at == inf
    return rang


async def test_it_rings_once_at_the_earliest_time():
    rang = await rung(0.02, 0.01, 0.6)
    await asyncio.sleep(0.03)
    (first,) = rang
    assert 0.01 <= first < 0.6


async def test_and_again_when_it_is_told():
    first, second = await rung(0.01, then=(0.02,))
    assert first >= 0.01
    assert second >= 0.02


async def test_what_it_was_set_for_is_due_even_on_a_coarse_clock(monkeypatch):
    rang = []
    alarm = Alarm(lambda now: rang.append(now) or inf)
    loop = asyncio.get_running_loop()
    alarm.by(loop.time() + 100)
    at = alarm.at
    alarm._rings()  # early, as a loop does whose timers count in milliseconds
    assert rang == [at]


async def test_stopped_it_is_silent_until_it_is_set_again():
    rang = []
    alarm = Alarm(lambda now: rang.append(now) or inf)
    loop = asyncio.get_running_loop()
    alarm.by(loop.time() + 0.001)
    alarm.stop()
    await asyncio.sleep(0.01)
    assert (rang, alarm.at) == ([], inf)
    done = loop.create_future()
    alarm = Alarm(lambda now: done.set_result(None) or inf)
    alarm.stop()
    alarm.by(loop.time())
    await done

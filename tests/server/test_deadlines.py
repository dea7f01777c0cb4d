"""One timer for all deadlines: on a clock of the test's own, then on connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from minihttp.options import Limits
from minihttp.request import Request
from minihttp.response import Response
from minihttp.server.deadlines import COARSEST, FINEST, Alarms, Deadlines
from minihttp.server.exchange import serve_request
from minihttp.server.service import Service
from minihttp.server.stages import Late, Stage

from .conftest import Serve
from .links import echo, get, ok, turns


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.cancelled = at, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """A loop of which only the time exists."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + delay, call))
        return self.timers[-1]

    def armed(self) -> list[Timer]:
        return [each for each in self.timers if not each.cancelled]

    def go(self, seconds: float) -> None:
        """Let time pass, and what is due happen at its time."""
        end = self.now + seconds
        while due := [each for each in self.armed() if each.at <= end]:
            first = min(due, key=lambda each: each.at)
            self.timers.remove(first)
            self.now = first.at
            first.call()
        self.now = end


class Watch:
    """Alarms on such a clock, and when they rang."""

    def __init__(self, shortest: float = 1.0) -> None:
        self.clock = Clock()
        self.watched: list[Alarms] = []
        self.deadlines = Deadlines(self.clock, shortest, self.watched)  # type: ignore[arg-type]  # all of a loop it uses
        self.rung: list[tuple[Late, float]] = []
        self.alarms = Alarms(self.deadlines, lambda late: self.rung.append((late, self.clock.now)))
        self.watched.append(self.alarms)
        self.deadlines.start()

    def kinds(self) -> list[Late]:
        return [late for late, _ in self.rung]


@pytest.mark.parametrize(("shortest", "tick"), [(0.0, FINEST), (1.0, 0.2), (inf, COARSEST)])
def test_the_tick_is_a_fifth_of_the_shortest_deadline_within_bounds(shortest: float, tick: float) -> None:
    assert Watch(shortest).deadlines.tick == tick


def test_the_timer_is_armed_exactly_until_it_is_stopped() -> None:
    watch = Watch()
    watch.clock.go(10)
    assert len(watch.clock.armed()) == 1
    watch.deadlines.stop()
    watch.deadlines.stop()
    assert watch.clock.armed() == []
    watch.clock.go(10)
    watch.deadlines.start()
    assert len(watch.clock.armed()) == 1
    assert watch.deadlines.now == watch.clock.now


def test_the_timer_is_armed_exactly_while_a_connection_exists() -> None:
    clock = Clock()
    service: Service[str] = Service(ok, Limits(), clock, serve_request)  # type: ignore[arg-type]  # as above
    assert clock.armed() == []
    for name in "first", "second":
        service.enter(name, Alarms(service.deadlines, lambda late: None))
        assert len(clock.armed()) == 1
    clock.go(10)
    service.leave("first")
    assert len(clock.armed()) == 1
    service.leave("second")
    assert clock.armed() == []
    service.enter("third", Alarms(service.deadlines, lambda late: None))
    assert len(clock.armed()) == 1


@pytest.mark.parametrize("begin", [0.0, 0.01, 0.1, 0.19, 0.2, 0.37])
@pytest.mark.parametrize("seconds", [1.0, 1.07, 1.5, 2.0])
def test_a_deadline_passes_up_to_two_ticks_late_and_never_early(begin: float, seconds: float) -> None:
    watch = Watch()
    watch.clock.go(begin)
    watch.alarms.arm(Late.HANDLER, seconds)
    watch.clock.go(10)
    [(late, at)] = watch.rung
    assert late is Late.HANDLER
    taken = at - 1000 - begin
    assert seconds - 1e-6 <= taken <= seconds + 2 * watch.deadlines.tick + 1e-6


def test_a_stage_that_was_renewed_lasts_until_then() -> None:
    watch = Watch()
    watch.alarms.stage(2)
    watch.clock.go(1.5)
    watch.alarms.renewed = watch.deadlines.now + 2
    watch.clock.go(10)
    [(late, at)] = watch.rung
    assert late is Late.STAGE
    assert 3.4 - 1e-6 <= at - 1000 <= 3.5 + 2 * watch.deadlines.tick + 1e-6


def test_a_stage_that_begins_is_not_as_long_as_the_one_before_was_renewed() -> None:
    watch = Watch()
    watch.alarms.stage(2)
    watch.alarms.renewed = watch.deadlines.now + 100
    watch.alarms.stage(1)
    watch.clock.go(2)
    assert watch.kinds() == [Late.STAGE]


def test_one_that_is_late_does_not_hurry_another() -> None:
    watch = Watch()
    watch.alarms.arm(Late.BODY, 0.9)
    watch.clock.go(0.19)
    watch.alarms.arm(Late.HANDLER, 1.1)
    watch.clock.go(10)
    assert watch.kinds() == [Late.BODY, Late.HANDLER]
    assert watch.rung[1][1] >= 1000.19 + 1.1


def test_what_happened_in_time_is_not_late() -> None:
    watch = Watch()
    watch.alarms.arm(Late.BODY, 1)
    watch.alarms.arm(Late.HANDLER, 2)
    watch.clock.go(0.9)
    watch.alarms.disarm(Late.BODY)
    assert watch.alarms.deadline == watch.alarms.armed[Late.HANDLER]
    watch.clock.go(5)
    assert watch.kinds() == [Late.HANDLER]
    assert watch.alarms.deadline == inf
    watch.alarms.disarm(Late.HANDLER)


def test_a_stage_replaces_the_one_before_and_leaves_the_others() -> None:
    watch = Watch()
    watch.alarms.stage(1)
    watch.alarms.arm(Late.WRITE, 4)
    watch.clock.go(0.9)
    watch.alarms.stage(2)
    watch.clock.go(1.5)
    assert watch.rung == []
    watch.clock.go(1)
    assert watch.kinds() == [Late.STAGE]
    watch.clock.go(2)
    assert watch.kinds() == [Late.STAGE, Late.WRITE]


def test_several_are_late_at_once() -> None:
    watch = Watch()
    watch.alarms.stage(1)
    watch.alarms.arm(Late.BODY, 1)
    watch.alarms.arm(Late.WRITE, 1)
    watch.clock.go(3)
    assert sorted(late.name for late in watch.kinds()) == ["BODY", "STAGE", "WRITE"]
    watch.clock.go(30)
    assert len(watch.rung) == 3


def test_after_the_end_nobody_is_told() -> None:
    watch = Watch()
    other = Alarms(watch.deadlines, lambda late: watch.alarms.end())  # in the same pass
    watch.watched.insert(0, other)
    other.arm(Late.WRITE, 1)
    watch.alarms.arm(Late.WRITE, 1)
    watch.clock.go(5)
    assert watch.rung == []


# -- on connections --------------------------------------------------------------------------------------------------


async def test_a_head_that_comes_too_slowly_is_408(serve: Serve) -> None:
    end = await (await serve(ok, header_timeout=0.05)).connect()
    end.send(b"GET / HTTP/1.1\r\n")
    assert (await end.last()).status == 408


async def test_bytes_that_drip_in_do_not_prolong_the_head(serve: Serve) -> None:
    end = await (await serve(ok, header_timeout=0.05)).connect()
    end.send(b"GET / HTTP/1.1\r\nx: ")

    async def drip() -> None:
        while end.protocol.stage is Stage.HEAD or end.protocol.stage is Stage.IDLE:
            end.send(b"a")
            await turns(20)

    dripping = asyncio.create_task(drip())
    assert (await end.last()).status == 408
    await dripping


async def test_a_connection_on_which_nothing_comes_closes_silently(serve: Serve) -> None:
    end = await (await serve(ok, header_timeout=0.05)).connect()
    assert await end.everything() == b""


async def test_an_idle_kept_connection_closes_silently(serve: Serve) -> None:
    end = await (await serve(ok, keep_alive=0.05)).connect()
    end.send(get())
    assert not (await end.reply()).closes
    assert await end.everything() == b""
    assert end.protocol.stages[-2:] == [Stage.IDLE, Stage.CLOSED]


@pytest.mark.parametrize("limits", [{"body_grace": 0.05, "body_rate": 0}, {"body_grace": 0.05, "body_rate": 1}])
async def test_a_body_that_stops_coming_is_408(serve: Serve, limits: dict[str, Any]) -> None:
    end = await (await serve(echo, **limits)).connect()
    end.send(get("/", "content-length: 100", method="POST") + b"abc")
    assert (await end.last()).status == 408


async def test_a_body_below_the_rate_is_408_though_it_drips(serve: Serve) -> None:
    end = await (await serve(echo, body_grace=0.1, body_rate=1 << 30)).connect()
    end.send(get("/", f"content-length: {1 << 19}", method="POST"))

    async def drip() -> None:
        while end.protocol.stage is Stage.IDLE or end.protocol.stage is Stage.HANDLER:
            end.send(b"a")
            await turns(20)

    dripping = asyncio.create_task(drip())
    assert (await end.reply()).status == 408
    await dripping


async def test_time_that_the_handler_takes_does_not_count_against_the_body(serve: Serve) -> None:
    late = asyncio.Event()

    async def handler(request: Request) -> Response:
        stream = request.stream()
        first = await anext(stream)
        await late.wait()
        return Response(first + b"".join([chunk async for chunk in stream]))

    host = await serve(handler, body_grace=0.05)
    end = await host.connect()
    end.send(get("/", "content-length: 6", method="POST"))
    await end.until(lambda: end.protocol.stage is Stage.HANDLER)
    await turns()
    end.send(b"abc")
    await end.until(lambda: end.protocol._body is not None and end.protocol._body._received == 3)
    host.service.loop.call_later(0.2, late.set)
    await late.wait()
    end.send(b"def")
    assert (await end.reply()).text == "abcdef"


async def test_a_body_that_comes_quickly_costs_one_alarm(serve: Serve) -> None:
    end = await (await serve(echo, body_grace=5, body_rate=1)).connect()
    end.send(get("/", "content-length: 6", method="POST"))
    await end.until(lambda: end.protocol.stage is Stage.HANDLER)
    await turns()
    body, alarms = end.protocol._body, end.protocol._alarms
    assert body is not None
    armed = alarms.armed
    end.send(b"ab")
    await end.until(lambda: body._received == 2)
    await turns()
    assert body.is_wanted
    assert alarms.armed is armed
    alarms.ring(armed[Late.BODY])  # armed for the first wait: the client is not too slow
    assert Late.BODY in alarms.armed
    body._waited = 6.0  # seconds; 4 bytes, one a second, are worth 5 + 4
    end.send(b"cd")
    await end.until(lambda: body._received == 4)
    await turns()
    assert alarms.armed[Late.BODY] <= alarms._deadlines.now + 3
    end.send(b"ef")
    assert (await end.reply()).text == "abcdef"
    assert not alarms.armed


async def test_a_body_is_408_though_its_alarm_was_armed_for_an_earlier_wait(serve: Serve) -> None:
    end = await (await serve(echo, body_grace=0.3)).connect()
    end.send(get("/", "content-length: 6", method="POST"))
    await end.until(lambda: end.protocol.stage is Stage.HANDLER)
    await turns()
    alarms = end.protocol._alarms
    alarms.ring(alarms.armed[Late.BODY])
    assert (await end.last()).status == 408


async def test_an_unread_body_that_stops_coming_ends_the_connection(serve: Serve) -> None:
    end = await (await serve(ok, body_grace=0.05)).connect()
    end.send(get("/", "content-length: 10", method="POST"))
    assert (await end.reply()).status == 200
    assert await end.everything() == b""
    assert end.protocol.stages[-2] is Stage.LINGERING or end.protocol.stages[-1] is Stage.LINGERING

"""The thread that watches: what it notes of the machine, and how it ends."""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
from collections import deque
from pathlib import Path

import pytest

from minihttp.watch import watchdog as module
from minihttp.watch.loop import Turns
from minihttp.watch.watchdog import SAMPLING, Watchdog

from .recording import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def judged() -> list[float]:
    return []


@pytest.fixture
def dog(clock: Clock, judged: list[float]) -> Watchdog:
    return Watchdog(Turns(), None, clock, 0.05, judged.append, lambda now: None)


def test_a_loop_that_waits_for_events_is_left_alone(dog: Watchdog, judged: list[float]) -> None:
    assert dog.check(100.0) == 0.025
    assert judged == [100.0]
    assert not dog.samples


def test_a_loop_that_works_for_longer_than_the_limit_is_looked_at_often(
    dog: Watchdog, clock: Clock, judged: list[float]
) -> None:
    dog._turns.busy_since = 100.0
    clock.go(0.02)
    assert dog.check(100.0) == 0.025
    clock.go(0.01)
    assert dog.check(100.02) == SAMPLING
    assert len(judged) == 1, "first see, then judge"
    assert [(each.at, each.blame.function) for each in dog.samples] == [(clock.now, dog.samples[0].blame.function)]


def test_what_everybody_waits_for_is_noted_once_while_the_loop_stands(clock: Clock) -> None:
    noted: list[float] = []
    turns = Turns()
    dog = Watchdog(turns, None, clock, 0.05, lambda now: None, noted.append)
    for since in (100.0, 100.0, 100.2):
        turns.busy_since = since
        clock.go(0.1)
        dog.check(clock.now)
    assert noted == [pytest.approx(100.1), pytest.approx(100.3)]


def test_a_thread_that_was_kept_asleep_says_that_the_gil_was_held(dog: Watchdog, clock: Clock) -> None:
    dog._turns.busy_since = 100.0
    clock.go(0.04)
    dog.check(100.0)
    clock.go(0.2)
    dog.check(100.04)
    assert [each.slept for each in dog.samples] == [pytest.approx(0.04), pytest.approx(0.2)]
    assert [each.blame.held_gil for each in dog.samples] == [False, True]


def test_a_thread_that_waited_for_a_cpu_says_nothing_of_the_gil(dog: Watchdog, clock: Clock, tmp_path: Path) -> None:
    schedule = tmp_path / "schedstat"
    schedule.touch()
    dog._own = os.open(schedule, os.O_RDONLY)
    dog._turns.busy_since = 100.0
    for waited, before in ((0.15, 0.0), (0.2, 0.15)):
        clock.go(0.2)
        schedule.write_text(f"0 {waited * 1e9:.0f} 0")
        dog.check(clock.now - 0.2, before)
    os.close(dog._own)
    assert [each.blame.held_gil for each in dog.samples] == [False, True]


def test_no_stack_is_read_without_the_gil() -> None:
    """faulthandler.dump_traceback_later does, and crashed servers under load on 3.11, 3.12 and 3.13."""
    files = Path(module.__file__).parents[1].rglob("*.py")
    assert [each for each in files if "import faulthandler" in each.read_text()] == []


def test_how_long_the_machine_let_the_thread_wait(dog: Watchdog) -> None:
    dog.delays = deque([(100.0, 1.0, 5.0), (100.1, 1.2, 5.0), (100.2, 1.2, 5.1)])
    assert dog.machine(100.05, 100.09) == pytest.approx((0.2, 0.0))
    assert dog.machine(100.0, 100.2) == pytest.approx((0.2, 0.1))
    assert dog.machine(99.0, 100.1) is None
    assert dog.machine(100.1, 100.3) is None


def test_it_is_noted_where_the_system_tells_it(dog: Watchdog, tmp_path: Path) -> None:
    (tmp_path / "schedstat").write_text("10 20 30")
    dog._schedule = os.open(tmp_path / "schedstat", os.O_RDONLY)
    dog.delays.clear()
    dog.check(100.0)
    os.close(dog._schedule)
    assert list(dog.delays) == [(100.0, 20e-9, 10e-9)]
    dog._schedule = None
    dog.check(100.0)
    assert len(dog.delays) == 1


def test_linux_tells_it(clock: Clock, judged: list[float]) -> None:
    dog = Watchdog(Turns(), None, clock, 0.05, judged.append, lambda now: None)
    dog.check(100.0)
    assert len(dog.delays) == (2 if sys.platform == "linux" else 0), "once before it begins to watch"
    assert all(math.isfinite(each) for delay in dog.delays for each in delay)


def test_a_mistake_in_judging_is_told_once_and_does_not_end_the_watch(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    mistakes = [KeyError("one"), KeyError("one"), ValueError("two")]
    over = threading.Event()

    def judge(now: float) -> None:
        if not mistakes:
            over.set()
            return
        raise mistakes.pop(0)

    dog = Watchdog(Turns(), None, clock, 0.002, judge, lambda now: None)
    dog.start()
    assert over.wait(30)
    dog.stop()
    assert [each.exc_info[1].args for each in caplog.records if each.exc_info and each.exc_info[1]] == [
        ("one",), ("two",),
    ]  # fmt: skip
    assert {(each.name, each.levelno) for each in caplog.records} == {("minihttp.watch", logging.ERROR)}
    assert (dog._own is None) is (sys.platform != "linux"), "it knows how long it waits for a CPU itself"


def test_it_can_be_stopped_before_it_began(dog: Watchdog) -> None:
    dog.stop()
    dog.start()
    dog.join()

"""What a request waits for, and the gauges."""

from __future__ import annotations

import gc

import pytest

from minihttp import waits


class Step:
    why: tuple[str, str] | None = None


class Tank:
    def gauge(self) -> dict[str, int]:
        return {"full": 3}


def test_nobody_records() -> None:
    assert waits.current.record is None
    waits.waiting_for("query", "SELECT 1")
    assert waits.current.record is None


def test_the_wait_is_labeled(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Step()
    monkeypatch.setattr(waits.current, "record", step)
    waits.waiting_for("query", "SELECT 1")
    assert step.why == ("query", "SELECT 1")
    waits.waiting_for("body")
    assert step.why == ("body", "")
    waits.waiting_for("")
    assert step.why is None


def test_gauges_go_with_their_owners() -> None:
    tank = Tank()
    waits.gauges.add(tank)
    assert [gauge.gauge() for gauge in waits.gauges if gauge is tank] == [{"full": 3}]
    before = len(waits.gauges)
    del tank
    gc.collect()
    assert len(waits.gauges) < before

"""The numbers for Prometheus."""

from __future__ import annotations

from typing import Any

import pytest

from minihttp import App, waits
from minihttp.testing import Client
from minihttp.watch.metrics import METRICS, metrics


class Meter:
    def __init__(self, **values: Any) -> None:
        self.values = values

    def gauge(self) -> dict[str, Any]:
        return self.values

    def held_by(self, task: object) -> None: ...


@pytest.fixture
def app() -> App:
    app = App()
    app.get("/metrics")(metrics)
    return app


async def test_an_application_mounts_them(app: App) -> None:
    pool = Meter(kind="pool", name='a "quoted"\\name', limit=4, used=2, idle=1, waiters=7)
    loop = Meter(kind="loop", name="4711", lag_seconds=0.25, blocks_total=3)
    waits.gauges.add(pool)
    waits.gauges.add(loop)
    async with Client(app) as client:
        reply = await client.get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = reply.text.splitlines()
    assert 'minihttp_pool_waiters{name="a \\"quoted\\"\\\\name"} 7' in lines
    assert 'minihttp_loop_lag_seconds{name="4711"} 0.25' in lines
    assert "# TYPE minihttp_loop_blocks_total counter" in lines
    assert not [each for each in lines if "busy_ratio" in each], "what a loop does not tell is left out"
    for line in lines:
        assert line.startswith(("# HELP minihttp_", "# TYPE minihttp_", "minihttp_"))
    named = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(named) == len(set(named)), "each is introduced once"


def test_counters_are_named_as_such() -> None:
    assert all(field.endswith("_total") is (kind == "counter") for _, field, kind, _ in METRICS)

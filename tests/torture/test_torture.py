"""The torture in small: every part once, with few clients and short times. `make torture` runs the whole."""

from __future__ import annotations

import pytest

from .churn import churn
from .many import crowded, idle, starved
from .restarts import restarts
from .slow import slow_heads_and_bodies, stopped_readers
from .soak import soak
from .transfer import transfer

both = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@both
async def test_bodies_far_larger_than_memory_may_grow(loop: str) -> None:
    assert await transfer(loop, 64 << 20)


@both
async def test_clients_that_take_nothing_cost_little_and_are_cut(loop: str) -> None:
    assert await stopped_readers(loop, 50, 1.0)


@both
async def test_slow_clients_are_told_and_cut_and_hold_up_nobody(loop: str) -> None:
    assert await slow_heads_and_bodies(loop, 20, 0.3)


@both
async def test_idle_connections_cost_little_and_are_closed(loop: str) -> None:
    assert await idle(loop, 400, 1.0)


@both
async def test_above_the_limit_a_client_is_told_and_all_recovers(loop: str) -> None:
    assert await crowded(loop, 20, 60)


@both
async def test_without_descriptors_the_server_lives_and_logs_little(loop: str) -> None:
    assert await starved(loop, 256, 400)


@both
async def test_connections_cut_at_every_moment_leave_nothing(loop: str) -> None:
    assert await churn(loop, 1, 2)


async def test_restarts_lose_no_request_that_was_read() -> None:
    assert await restarts(5, 8, 100)


@both
async def test_memory_stays_flat(loop: str) -> None:
    assert await soak(loop, 1.2, clients=4)

"""The fixture of every test that drives a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from minihttp.options import Limits
from minihttp.server.service import Handler

from .links import Host

Serve = Callable[..., Awaitable[Host]]


@pytest.fixture(params=["memory", "socket"])
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[Serve]:
    """`host = await serve(handler, header_timeout=0.1)`: served over memory and, in a second run, over sockets."""
    hosts: list[Host] = []

    async def start(handler: Handler, **limits: object) -> Host:
        host = Host(request.param, handler, Limits(**limits))
        await host.start()
        hosts.append(host)
        return host

    yield start
    for host in hosts:
        await host.close()

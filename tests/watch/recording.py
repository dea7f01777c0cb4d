"""A recorder in a test: a clock that the test moves, and requests without a server.

Owns: `Clock`, `Recording`, and the words for spans.
Must not know: what is tested.
Invariant: no time passes unless the test says so, and what a test records it can read at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from minihttp.watch.recorder import Recorder
from minihttp.watch.records import Record, Span

__all__ = ["Clock", "Recording", "states", "turns"]


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def go(self, seconds: float) -> None:
        self.now += seconds


class Asked:
    """What a recorder looks at in a request."""

    def __init__(self, path: str = "/", method: str = "GET") -> None:
        self.method, self.raw_path = method, path


class Recording:
    """A recorder with a clock of the test's own."""

    def __init__(self, limit: float = 0.05, **options: Any) -> None:
        self.clock = Clock()
        self.recorder = Recorder(limit, self.clock, **options)

    async def run(self, work: Callable[[], Awaitable[Any]], path: str = "/", connection: Any = None) -> Any:
        """Run `work()` as the handler of one request, in a task of its own, and give its result."""
        results: list[Any] = []

        async def serve(connection: Any, request: Any) -> None:
            results.append(await work())

        await asyncio.create_task(self.recorder.wrap(serve)(connection, Asked(path)))  # type: ignore[arg-type]  # as good
        return results[0]

    def serve(self, work: Callable[[], Coroutine[Any, Any, Any]], path: str = "/") -> Coroutine[Any, Any, None]:
        """What the server would run in a task."""
        return self.recorder.wrap(lambda connection, request: work())(None, Asked(path))  # type: ignore[arg-type]  # as good

    def start(self, work: Callable[[], Awaitable[Any]], path: str = "/") -> asyncio.Task[Any]:
        """The same, not awaited. Made without the loop's task factory, as the server makes its tasks."""
        return asyncio.Task(self.run(work, path))

    @property
    def last(self) -> Record:
        """The record of what ended last."""
        return self.recorder.finished[-1]


def states(record: Record) -> list[tuple[str, float]]:
    """Its spans as (state, milliseconds)."""
    spans: list[Span] = list(record.spans or ())
    return [(each.state.value, round((each.end - each.start) * 1000, 3)) for each in spans]


async def turns(count: int = 10) -> None:
    """Let the loop turn."""
    for _ in range(count):
        turned = asyncio.Event()
        asyncio.get_running_loop().call_soon(turned.set)
        await turned.wait()

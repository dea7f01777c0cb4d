"""The whole torture: every part at full size, one after the other, and a table of what was measured.

Owns: the sizes, the order, and the table.
Must not know: what a part does.
Invariant: each part is bounded in time and number; one that fails is told with its reason, the others still run, and
the exit code is 1.

`make torture`, `make soak SECONDS=600`, or some parts only: `python -m tests.torture.run transfer idle`.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial

from .churn import churn
from .many import crowded, idle, starved
from .restarts import restarts
from .slow import slow_heads_and_bodies, slowhttptest, stopped_readers
from .soak import soak
from .transfer import transfer

__all__ = ["main"]

Part = Callable[[], Awaitable[list[tuple[str, str]]]]
GIB = 1 << 30
BOUND = 300.0  # seconds for one part, besides the soak's own


def parts(seconds: float) -> dict[str, list[Part]]:
    loops = ("asyncio", "uvloop")
    return {
        "transfer": [partial(transfer, each, GIB) for each in loops],
        "stopped": [partial(stopped_readers, each, 1000, 8.0) for each in loops],
        "slow": [partial(slow_heads_and_bodies, each, 500, 2.0) for each in loops],
        "slowhttptest": [lambda: slowhttptest(500, 15)],
        "idle": [partial(idle, each, 10_000, 30.0) for each in loops],
        "crowded": [partial(crowded, each, 200, 500) for each in loops],
        "starved": [partial(starved, each, 256, 1000) for each in loops],
        "churn": [partial(churn, each, 5, 20) for each in loops],
        "restarts": [lambda: restarts(50, 12, 100)],
        "soak": [partial(soak, each, seconds) for each in loops],
    }


async def table(chosen: list[str], seconds: float) -> int:
    failed = 0
    everything = parts(seconds)
    print(f"Python {platform.python_version()}, {platform.system()} {platform.release()}\n", flush=True)
    for name in chosen or everything:
        since = time.monotonic()
        for part in everything[name]:
            try:
                async with asyncio.timeout(BOUND + seconds):
                    for what, measured in await part():
                        print(f"{name:13} {what:58} {measured}", flush=True)
            except Exception as error:  # the other parts are still wanted
                failed += 1
                print(f"{name:13} FAILED: {type(error).__name__}: {error}", flush=True)
        print(f"{name:13} {'':58} ({time.monotonic() - since:.0f} s)\n", flush=True)
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help="some parts only")
    parser.add_argument("--seconds", type=float, default=20, help="of the soak, on each loop")
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return asyncio.run(table(given.parts, given.seconds))


if __name__ == "__main__":
    sys.exit(main())

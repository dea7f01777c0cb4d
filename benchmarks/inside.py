"""What a part costs by itself, without a socket: `python -m benchmarks.inside lookup`, in a process of its own.

Owns: finding a route among few and many; what of `benchmarks.heads` a full run shows.
Must not know: servers, wrk, rounds.
Invariant: what is compared is measured in turn, in CPU time, and the median of the turns counts; what was parsed or
found is looked at. Prints one JSON object: `value`, a ratio, and `parts_us`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from benchmarks import heads
from minihttp import Request
from minihttp.routing import Router

TURNS = 15
ROUTES = (10, 100, 1000, 10_000)
HEADS = 2000  # a turn


def cost(work: Callable[[], Any], times: int) -> float:
    """Microseconds of CPU for each."""
    before = time.process_time_ns()
    work()
    return (time.process_time_ns() - before) / times / 1000


def in_turn(works: dict[str, Callable[[], Callable[[], Any]]], times: int) -> dict[str, list[float]]:
    """The cost of each, turn by turn: each is prepared, then measured; the first turn only warms up."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(TURNS + 1):
        for name, prepare in works.items():
            found[name].append(cost(prepare(), times))
    return {name: costs[1:] for name, costs in found.items()}


def judged(found: dict[str, list[float]], one: str, other: str) -> dict[str, Any]:
    """The median over the turns of one in the other, and what each costs."""
    ratio = statistics.median(a / b for a, b in zip(found[one], found[other], strict=True))
    return {
        "value": round(ratio, 4),
        "parts_us": {name: round(statistics.median(costs), 4) for name, costs in found.items()},
    }


# --- finding a route -------------------------------------------------------------------------------------------------


async def handler(request: Request, id: int) -> str:
    return ""


async def literal(request: Request) -> str:
    return ""


def lookup() -> dict[str, Any]:
    """Ten routes, five of them with a parameter that is never the same twice, spread over few routes and over many."""
    fresh = count()

    def prepare(many: int) -> Callable[[], Callable[[], None]]:
        router = Router()
        for number in range(many // 2):
            router.get(f"/items{number:04}/{{id:int}}")(handler)
            router.get(f"/pages/{number:04}")(literal)
        chosen = [number * (many // 2 - 1) // 4 for number in range(5)]

        def turn() -> Callable[[], None]:
            paths = [
                path for _ in range(100) for n in chosen for path in (f"/items{n:04}/{next(fresh)}", f"/pages/{n:04}")
            ]

            def find() -> None:
                for path in paths:
                    if router.find("GET", path) is None:
                        raise LookupError(path)

            return find

        return turn

    found = in_turn({f"{many} routes": prepare(many) for many in ROUTES}, 1000)
    return judged(found, f"{ROUTES[-1]} routes", f"{ROUTES[0]} routes")


# --- parsing a head --------------------------------------------------------------------------------------------------


def head(shape: str) -> dict[str, Any]:
    """Our parser beside httptools, in turn."""
    taken = heads.measure((heads.read_minihttp, heads.read_httptools), shape, TURNS, HEADS)
    found = zip(("minihttp", "httptools"), taken, strict=True)
    return judged({name: [each / 1000 for each in costs] for name, costs in found}, "minihttp", "httptools")


MEASURED: dict[str, Callable[[], dict[str, Any]]] = {
    "lookup": lookup,
    "cold": lambda: head("bare, every line new"),
    "cold-browser": lambda: head("browser, every line new"),
    "warm": lambda: head("bare, the same"),
    "warm-browser": lambda: head("browser, the same"),
}

if __name__ == "__main__":
    print(json.dumps(MEASURED[sys.argv[1]]()))

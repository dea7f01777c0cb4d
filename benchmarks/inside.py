"""What a part costs by itself, without a socket: `python -m benchmarks.inside lookup`, in a process of its own.

Owns: finding a route among few and many, parsing a head that is new or known beside httptools, the driver's query.
Must not know: servers, wrk, rounds.
Invariant: what is compared is measured in turn, in CPU time, and the median of the turns counts; what was parsed or
found is looked at. Prints one JSON object: `value`, a ratio (of `driver` microseconds), and `parts_us`.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from minihttp import Limits, Request
from minihttp.routing import Router
from minihttp.wire.parser import Parser

TURNS = 15
ROUTES = (10, 100, 1000, 10_000)
HEADS = 400  # a turn: of every kind so many that the memos of lines do not hold those of the turn before
QUERIES, CONNECTIONS = 8000, 8
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0.{n}.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8,{n}",
    "Accept-Encoding: gzip, deflate, br, zstd, {n}",
    "Accept-Language: en-US,en;q=0.9,zh-CN;q=0.8,x-{n}",
    "Cache-Control: max-age={n}",
    "Referer: http://127.0.0.1/{n}",
    "X-Forwarded-For: {n}",
    "Cookie: session=eyJ1c2VyIjogN30.ZzqL5Q.{n}; theme=dark",
)


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


class Numbers:
    """Heads with numbers that were never used: `heads(lines, 3)`, or with new numbers in the target alone."""

    def __init__(self) -> None:
        self._last = 1_000_000

    def head(self, lines: Sequence[str]) -> bytes:
        self._last += 1
        said = [f"GET /plaintext/{self._last}?n={self._last} HTTP/1.1", f"Host: h{self._last}.example", *lines]
        return ("\r\n".join(said).replace("{n}", str(self._last)) + "\r\n\r\n").encode()

    def new(self, lines: Sequence[str]) -> list[bytes]:
        return [self.head(lines) for _ in range(HEADS)]

    def known(self, lines: Sequence[str]) -> list[bytes]:
        return [self.head(lines)] * HEADS


def by_ours(heads: list[bytes]) -> Callable[[], None]:
    parser = Parser(Limits())

    def parse() -> None:
        for each in heads:
            parser.feed(each)
            if parser.head() is None:
                raise ValueError(each)

    return parse


class Collected:
    """The callbacks that any server has, at their cheapest: the target is not split, names stay as they came."""

    def on_message_begin(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))


def by_httptools(heads: list[bytes]) -> Callable[[], None]:
    import httptools  # type: ignore[import-not-found]  # in the benchmark's environments only

    collected = Collected()
    parser = httptools.HttpRequestParser(collected)

    def parse() -> None:
        for each in heads:
            parser.feed_data(each)
            if not collected.headers:
                raise ValueError(each)

    return parse


def heads(lines: Sequence[str], kind: str) -> dict[str, Any]:
    """Our parser beside httptools, with heads of which every line is new, or with one that comes again and again."""
    numbers = Numbers()
    make = numbers.new if kind == "new" else numbers.known
    works = {
        "minihttp": lambda: by_ours(make(lines)),
        "httptools": lambda: by_httptools(make(lines)),
    }
    return judged(in_turn(works, HEADS), "minihttp", "httptools")


# --- asking the database ---------------------------------------------------------------------------------------------


async def ask(url: str) -> dict[str, Any]:
    """The driver alone: a connection and a prepared statement for each of eight tasks."""
    import asyncmy

    from benchmarks.layers.by_hand import ONE, MySQL

    connections = [await asyncmy.connect(**MySQL(url).options()) for _ in range(CONNECTIONS)]
    prepared = [await each.prepare(ONE.replace("%s", "?")) for each in connections]

    async def work(statement: Any, count: int) -> None:
        for number in range(count):
            rows = (await statement.execute((number % 1000 + 1,))).rows
            if rows[0][0] != number % 1000 + 1:
                raise ValueError(rows)

    async def together(count: int) -> None:
        await asyncio.gather(*(work(each, count) for each in prepared))

    await together(100)
    before = time.process_time_ns()
    await together(QUERIES // CONNECTIONS)
    used = (time.process_time_ns() - before) / QUERIES / 1000
    for each in connections:
        await each.ensure_closed()
    return {"value": round(used, 4)}


def driver() -> dict[str, Any]:
    import uvloop

    return uvloop.run(ask(sys.argv[2]))


MEASURED: dict[str, Callable[[], dict[str, Any]]] = {
    "lookup": lookup,
    "cold": lambda: heads((), "new"),
    "cold-browser": lambda: heads(BROWSER, "new"),
    "warm": lambda: heads((), "again"),
    "warm-browser": lambda: heads(BROWSER, "again"),
    "driver": driver,
}

if __name__ == "__main__":
    print(json.dumps(MEASURED[sys.argv[1]]()))

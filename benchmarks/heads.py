"""What it costs to parse a request head, beside httptools: `pip install httptools`, `python -m benchmarks.heads`.

Owns: the heads, from those that a client sends again and again to those that nobody has seen, and how they are timed.
Must not know: sockets, loops, or what a head is used for.
Invariant: both parsers read the same heads in turn, in one process, by CPU time; a ratio is taken within a round.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from statistics import median
from time import process_time_ns

from benchmarks.workloads import BROWSER
from minihttp.options import Limits
from minihttp.wire.parser import Parser

Read = Callable[[Sequence[bytes], bool], object]

LIMITS = Limits()


def head(path: object, host: object, fields: Sequence[tuple[str, object]] = ()) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"GET /plaintext/{path} HTTP/1.1\r\nHost: {host}.example:8080\r\n{lines}\r\n".encode()


def new(i: int) -> bytes:
    """A browser's head, every line of it new; what it sends in Connection keeps its meaning."""
    return head(i, i, [(name, value if name == "Connection" else f"{value}{i}") for name, value in BROWSER])


# Each makes the head of a number, and whether it comes on a connection of its own.
SHAPES: dict[str, tuple[Callable[[int], bytes], bool]] = {
    "bare, every line new": (lambda i: head(i, i), False),
    "browser, every line new": (new, False),
    "browser, a name twice": (lambda i: new(i)[:-2] + b"Accept: a\r\n\r\n", False),
    "100 unknown names": (lambda i: head(i, i, [(f"X-{i}-{field}", i) for field in range(99)]), False),
    "bare, another path": (lambda i: head(i, "a"), False),
    "browser, another path": (lambda i: head(i, "a", BROWSER), False),
    "bare, the same": (lambda i: head("a", "a"), False),
    "browser, the same": (lambda i: head("a", "a", BROWSER), False),
    "bare, first of a connection": (lambda i: head("a", "a", [("Connection", "close")]), True),
    "browser, first of a connection": (lambda i: head("a", "a", BROWSER), True),
}


class Callbacks:
    """What a server needs of httptools at the least: the target and the fields."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, target: bytes) -> None:
        self.target = target
        self.fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None: ...

    def on_message_complete(self) -> None: ...


def read_minihttp(heads: Sequence[bytes], fresh: bool) -> object:
    """The last head, read; `fresh` gives each a parser of its own."""
    parser, read = Parser(LIMITS), None
    for each in heads:
        if fresh:
            parser = Parser(LIMITS)
        parser.feed(each)
        read = parser.head()
    return read


def read_httptools(heads: Sequence[bytes], fresh: bool) -> object:
    """The last head, read; `fresh` gives each a parser of its own."""
    from httptools import HttpRequestParser

    callbacks = Callbacks()
    parser = HttpRequestParser(callbacks)
    for each in heads:
        if fresh:
            callbacks = Callbacks()
            parser = HttpRequestParser(callbacks)
        parser.feed_data(each)
    return callbacks.target, callbacks.fields


def measure(readers: Sequence[Read], shape: str, rounds: int, count: int) -> list[list[float]]:
    """Nanoseconds a head, for each reader one per round."""
    make, fresh = SHAPES[shape]
    heads = [make(i) for i in range(count)]
    taken: list[list[float]] = [[] for _ in readers]
    for _ in range(rounds):
        for times, read in zip(taken, readers, strict=True):
            start = process_time_ns()
            read(heads, fresh)
            times.append((process_time_ns() - start) / count)
    return taken


def line(shape: str, ours: Sequence[float], theirs: Sequence[float]) -> str:
    """One row of the table: the least of each, for other work only adds, and the median of the ratios."""
    ratio = median(our / their for our, their in zip(ours, theirs, strict=True))
    return f"| {shape} | {min(ours):,.0f} | {min(theirs):,.0f} | {ratio:.2f} |"


def main(arguments: Sequence[str] | None = None, readers: Sequence[Read] = (read_minihttp, read_httptools)) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--count", type=int, default=2000, help="heads a round")
    options = parser.parse_args(arguments)
    print("| head | minihttp, ns | httptools, ns | ratio |\n|---|---|---|---|")
    for shape in SHAPES:
        print(line(shape, *measure(readers, shape, options.rounds, options.count)), flush=True)


if __name__ == "__main__":
    main()

"""Plays many seeds, or one of them step by step: `make simulate SEEDS=10000`, `... run --seed 7 --trace`.

Owns: the command line, the processes that share the seeds, and the report.
Must not know: what happens in a run.
Invariant: ends with 1 if and only if a seed broke a rule; such seeds are named, with the command that plays them again.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from .bugs import BUGS, planted
from .play import play

__all__ = ["broken_seeds", "main"]

BATCH = 100  # seeds that a process plays before it reports
SHOWN = 20  # failing seeds that are told of one by one

Failures = list[tuple[int, list[str]]]


def broken_seeds(seeds: Iterable[int]) -> Failures:
    """The seeds that broke a rule, each with the rules."""
    found = []
    for seed in seeds:
        if broken := play(seed):
            found.append((seed, broken))
    gc.collect()  # the loops that were closed, and what hung on them
    return found


def explore(seeds: range, processes: int) -> int:
    began, done, failures = time.monotonic(), 0, 0
    for count, found in shared(seeds, processes):
        done += count
        for seed, broken in found:
            failures += 1
            if failures <= SHOWN:
                print(f"\rseed {seed}: {broken[0]}\n    python -m tests.simulation.run --seed {seed} --trace")
        rate = done / (time.monotonic() - began)
        print(f"\r{done} of {len(seeds)} seeds, {failures} failed, {rate:.0f} a second", end="", flush=True)
    print()
    return 1 if failures else 0


def shared(seeds: range, processes: int) -> Iterator[tuple[int, Failures]]:
    parts = [seeds[at : at + BATCH] for at in range(0, len(seeds), BATCH)]
    if processes == 1:
        yield from ((len(part), broken_seeds(part)) for part in parts)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from zip(map(len, parts), pool.map(broken_seeds, parts), strict=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000, help="how many to play")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--processes", type=int, default=2, help="that share them")
    parser.add_argument("--seed", type=int, help="play only this one")
    parser.add_argument("--trace", action="store_true", help="and tell what happens, step by step")
    parser.add_argument("--bug", choices=BUGS, help="with a bug in the server, to see it found")
    given = parser.parse_args(arguments)
    with planted(given.bug):  # in this process alone
        if given.seed is None:
            seeds = range(given.first, given.first + given.seeds)
            return explore(seeds, 1 if given.bug else given.processes)
        broken = play(given.seed, print if given.trace else None)
    print(*broken or [f"seed {given.seed} broke no rule"], sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-guard`: whether a request has become dearer, before a release.

Owns: what our own workloads may cost beside the limit of their loop, as data.
Must not know: peers, plots or published results.
Invariant: both sides of a ratio are measured one right after the other, and the median of several such pairs counts;
seconds are never compared. Exit status 1 when one is over. What a ratio ought to be is in `targets`; here is what it
was on a quiet machine (docs/performance.md), with at most a tenth for the noise.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from benchmarks import measure
from benchmarks.contenders import Contender, Fleet, Place
from benchmarks.install import PROJECT, Environment
from benchmarks.peers import PEERS
from benchmarks.processes import CLIENT_CORE, LINUX, pin
from benchmarks.report import as_text
from benchmarks.targets import ASYNCIO, UVLOOP, Target, Verdict
from benchmarks.workloads import BY_NAME

__all__ = ["GUARDED", "judge", "main"]

SECONDS, ROUNDS = 1, 7
GUARDED = [
    Target("plaintext", UVLOOP, "the limit", 1.85),
    Target("plaintext", ASYNCIO, "the limit", 2.05),
    Target("browser", UVLOOP, "the limit", 1.9),
    Target("browser", ASYNCIO, "the limit", 2.0),
    Target("json", UVLOOP, "the limit", 1.95),
    Target("json", ASYNCIO, "the limit", 2.0),
]


def ratio(fleet: Fleet, target: Target) -> float:
    """CPU of one of our requests in that of an answer of canned bytes, just now."""
    workload, limit = BY_NAME[target.workload], target.ours.replace(UVLOOP, "limit")

    def cost(name: str) -> float:
        [peer] = [each for each in PEERS if each.name == name]
        found, _ = measure.requests(workload, fleet.serve(workload, Contender(peer)), SECONDS)
        return float(found["value"])

    return cost(target.ours) / cost(limit)


def judge(verdicts: list[Verdict]) -> int:
    """Show them; the exit status: 1 when a ratio is over its ceiling."""
    rows = [["workload", "who", "at most", "measured", ""]]
    for each in verdicts:
        ours, said = each.target.ours, "nothing" if each.ratio is None else f"{each.ratio:.2f}"
        rows.append([each.target.workload, ours, f"{each.target.most:g}", said, "" if each.met else "DEARER"])
    print(as_text(rows))
    return 0 if all(each.met for each in verdicts) else 1


def main() -> int:
    if not LINUX:
        sys.exit("make bench-guard reads the CPU time of processes from Linux")
    folder = PROJECT / ".cache/bench"
    folder.mkdir(parents=True, exist_ok=True)
    with pin(CLIENT_CORE), Fleet(Place({"": Environment(Path(sys.prefix), {})}, {}, folder)) as fleet:
        rounds = [[ratio(fleet, each) for each in GUARDED] for _ in range(ROUNDS)]
    medians = map(statistics.median, zip(*rounds, strict=True))
    return judge([Verdict(each, "limit", found) for each, found in zip(GUARDED, medians, strict=True)])


if __name__ == "__main__":
    sys.exit(main())

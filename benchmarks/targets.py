"""What minihttp is to cost at most, as ratios of one run: against the limit of its loop, and against the best peer.

Owns: the targets as data, and whether a run meets them.
Must not know: how anything was measured or is shown.
Invariant: both sides of a ratio come from the same run; a target whose figures are missing is not met and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from benchmarks.peers import HAND, MINIHTTP, NEWER, REPOSITORY
from benchmarks.report import Results

Against = Literal["the limit", "the best peer", "the best documented layer", "the best driver by hand", "import bottle"]
UVLOOP, ASYNCIO = MINIHTTP.name, f"{MINIHTTP.name} on asyncio"


@dataclass(frozen=True)
class Target:
    """`most` is a ratio, or KiB where there is nothing to compare with."""

    workload: str
    ours: str
    against: Against | None
    most: float


@dataclass(frozen=True)
class Verdict:
    """What a run says of a target: `ratio` is None where a figure is missing, `other` is who was compared with."""

    target: Target
    other: str
    ratio: float | None

    @property
    def met(self) -> bool:
        return self.ratio is not None and self.ratio <= self.target.most


def against_limit() -> Iterator[Target]:
    """On both loops and both Pythons. The limit reads nothing, so it is the same for JSON as for plaintext."""
    ceilings = {"plaintext": (1.5, 1.85), "browser": (1.55, 1.9), "once": (1.6, 1.6)}
    ceilings |= dict.fromkeys(("json", "params", "routes"), (1.8, 2.2))
    for workload, (uvloop, asyncio) in ceilings.items():
        for python in ("", f", Python {NEWER}"):
            yield Target(workload, UVLOOP + python, "the limit", uvloop)
            yield Target(workload, ASYNCIO + python, "the limit", asyncio)


def against_peers() -> Iterator[Target]:
    ceilings = dict.fromkeys(("plaintext", "browser", "json", "params", "routes", "post"), 0.6)
    ceilings |= {"pipelined": 0.4, "once": 1.0, "upload": 1.0, "download": 1.0, "latency": 1.0}
    for workload, most in ceilings.items():
        yield Target(workload, UVLOOP, "the best peer", most)
    yield Target("plaintext", ASYNCIO, "the best peer", 1.0)
    yield Target("mysql-one", f"{UVLOOP}, {REPOSITORY.name}", "the best documented layer", 0.5)
    yield Target("mysql-one", f"{UVLOOP}, {REPOSITORY.name}", "the best driver by hand", 0.95)


TARGETS = [
    *against_limit(),
    *against_peers(),
    Target("idle", ASYNCIO, None, 6.0),
    Target("idle", UVLOOP, None, 4.0),
    Target("import", UVLOOP, "import bottle", 1.2),
]


def rivals(results: Results, target: Target) -> list[str]:
    """Who is meant by `against`, among those that were measured."""
    if target.against == "the limit":
        return [target.ours.replace(MINIHTTP.name, "limit")]
    if target.against == "import bottle":
        return ["Bottle"]
    peers = [name for name, each in results.contenders.items() if each["kind"] == "peer"]
    if target.against == "the best peer":
        return peers
    by_hand = target.against == "the best driver by hand"
    return [name for name in peers if (results.contenders[name]["way"] == HAND.name) is by_hand]


def verdict(results: Results, target: Target) -> Verdict:
    own = results.value(target.workload, target.ours)
    if target.against is None:
        return Verdict(target, "", own)
    limited = target.against == "the limit" and target.workload != "once"
    workload = "browser" if target.workload == "browser" else "plaintext" if limited else target.workload
    values = {name: results.value(workload, name) for name in rivals(results, target)}
    found = {name: value for name, value in values.items() if value is not None}
    if own is None or not found:
        return Verdict(target, "", None)
    best = min(found, key=lambda name: found[name])
    return Verdict(target, best, own / found[best])


def verdicts(results: Results) -> list[Verdict]:
    """All targets of which the run measured the workload."""
    measured = {workload for workload, _ in results.measured}
    return [verdict(results, each) for each in TARGETS if each.workload in measured]


def table(results: Results) -> list[list[str]]:
    """A heading, and a row for each target: what it is, the most, and what the run says."""
    made = [["workload", "who", "against", "at most", "measured", ""]]
    for each in verdicts(results):
        target = each.target
        said = "not measured" if each.ratio is None else f"{each.ratio:.2f}"
        other = f"{target.against}: {each.other}" if each.other else target.against or "KiB"
        made.append([target.workload, target.ours, other, f"{target.most:g}", said, "met" if each.met else "NOT MET"])
    return made

"""What minihttp is to cost at most, as ratios of one run: against the limit of its loop, and against the best peer.

Owns: the targets as data, and whether a run meets them.
Must not know: how anything was measured or is shown.
Invariant: both sides of a ratio come from the same workload and the same rounds of one run; a target whose figures are
missing is not met and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from benchmarks.peers import MINIHTTP, NEWER, REPOSITORY
from benchmarks.report import Results
from benchmarks.workloads import BY_NAME

Against = Literal[
    "the limit",
    "the script",
    "the best peer",
    "the best documented layer",
    "the best driver by hand",
    "import bottle",
    "memory, MiB",
]
PYTHONS = ("", f", Python {NEWER}")
UVLOOP, ASYNCIO = MINIHTTP.name, f"{MINIHTTP.name} on asyncio"


@dataclass(frozen=True)
class Target:
    """`most` is a ratio; where there is nothing to compare with, it is in the unit of the workload, or in MiB."""

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
    """On both loops and both Pythons."""
    ceilings = {"plaintext": (1.5, 1.85), "browser": (1.55, 1.9), "once": (1.6, 1.6)}
    ceilings |= dict.fromkeys(("json", "params", "routes"), (1.8, 2.2))
    for workload, (uvloop, asyncio) in ceilings.items():
        for python in PYTHONS:
            yield Target(workload, UVLOOP + python, "the limit", uvloop)
            yield Target(workload, ASYNCIO + python, "the limit", asyncio)


def against_script() -> Iterator[Target]:
    """All that a server checks and counts must not make it dearer than a script that does nothing of the kind."""
    for workload in ("plaintext", "browser", "once"):
        for python in PYTHONS:
            yield Target(workload, UVLOOP + python, "the script", 1.0)
            yield Target(workload, ASYNCIO + python, "the script", 1.0)


def against_peers() -> Iterator[Target]:
    ceilings = dict.fromkeys(("plaintext", "browser", "json", "params", "routes", "post"), 0.6)
    ceilings |= {"pipelined": 0.4, "once": 1.0, "upload": 1.0, "download": 1.0, "latency": 1.0, "steady": 1.0}
    for workload, most in ceilings.items():
        yield Target(workload, UVLOOP, "the best peer", most)
    yield Target("plaintext", ASYNCIO, "the best peer", 1.0)
    yield Target("mysql-one", f"{UVLOOP}, {REPOSITORY.name}", "the best documented layer", 0.5)
    yield Target("mysql-one", f"{UVLOOP}, {REPOSITORY.name}", "the best driver by hand", 0.95)


def by_itself() -> Iterator[Target]:
    """A part in another, memory, and what an import costs."""
    # 1.25: among 10,000 routes the steps are the same (a test counts them); what they touch lies further apart.
    ceilings = {"lookup": 1.25, "cold": 1.4, "cold-browser": 1.8, "warm": 1.0, "warm-browser": 1.0}
    for python in PYTHONS:
        yield Target("mysql-parts", f"{UVLOOP}{python}, {REPOSITORY.name}", None, 1.35)
        for workload, most in ceilings.items():
            yield Target(workload, UVLOOP + python, None, most)
        yield Target("idle", ASYNCIO + python, None, 6.0)
        yield Target("idle", UVLOOP + python, None, 4.0)
    for workload in ("upload", "download"):  # of 100 MiB
        yield Target(workload, UVLOOP, "memory, MiB", 2.0)
        yield Target(workload, ASYNCIO, "memory, MiB", 2.0)
    yield Target("import", UVLOOP, "import bottle", 1.2)


TARGETS = [*against_limit(), *against_script(), *against_peers(), *by_itself()]


def rivals(results: Results, target: Target) -> list[str]:
    """Who is meant by `against`, the best first."""
    if target.against in ("the limit", "the script"):
        return [target.ours.replace(MINIHTTP.name, target.against.removeprefix("the "))]
    if target.against == "import bottle":
        return ["Bottle"]
    by_hand = {"the best documented layer": False, "the best driver by hand": True}
    return results.peers(target.workload, by_hand=by_hand.get(str(target.against)))


def verdict(results: Results, target: Target) -> Verdict:
    if target.against == "memory, MiB":
        return Verdict(target, "", results.of(target.workload, target.ours, lambda each: float(each["peak_mib"])))
    if target.against is None:
        return Verdict(target, "", results.value(target.workload, target.ours))
    for best in rivals(results, target):
        if (ratio := results.ratio(target.workload, target.ours, best)) is not None:
            return Verdict(target, best, ratio)
    return Verdict(target, "", None)


def verdicts(results: Results) -> list[Verdict]:
    """All targets of which the run measured the workload; an older one knew no script."""
    measured = {workload for workload, _ in results.measured}
    known = "script" in results.contenders
    judged = (each for each in TARGETS if each.workload in measured and (known or each.against != "the script"))
    return [verdict(results, each) for each in judged]


def table(results: Results, *, every: bool = True) -> list[list[str]]:
    """A heading, and a row for each target, or each that was measured: what it is, the most, and what the run says."""
    made = [["workload", "who", "against", "at most", "measured", ""]]
    for each in verdicts(results):
        if each.ratio is None and not every:
            continue
        target = each.target
        said = "not measured" if each.ratio is None else f"{each.ratio:.2f}"
        other = f"{target.against}: {each.other}" if each.other else target.against or BY_NAME[target.workload].unit
        made.append([target.workload, target.ours, other, f"{target.most:g}", said, "met" if each.met else "NOT MET"])
    return made

"""Tables from the raw results: for a terminal and for a page.

Owns: medians, ratios, who stands where, and the words that go with the figures.
Must not know: how anything was measured, beyond what the records say.
Invariant: every figure shown is computed from records; the same records give the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from benchmarks.peers import HAND
from benchmarks.records import Record, only
from benchmarks.workloads import BY_NAME, WORKLOADS, Workload

BASE = "minihttp"
BOUNDS = ("limit", "script")  # what these names begin with is no server, and in no rank
UNITS = {
    "us": "CPU microseconds per request",
    "us/MiB": "CPU microseconds per MiB; in brackets the memory that it took at most, MiB",
    "ms": "milliseconds",
    "KiB": "KiB",
    "ratio": "CPU time of the one in that of the other",
}


@dataclass(frozen=True)
class Results:
    """What the records say: `value(workload, contender)` is the median of the rounds, None where there is none."""

    records: Sequence[Record]

    @cached_property
    def run(self) -> Record:
        return self.records[0]

    @cached_property
    def contenders(self) -> dict[str, Record]:
        return {str(each["name"]): each for each in only(self.records, "contender")}

    @cached_property
    def measured(self) -> dict[tuple[str, str], list[Record]]:
        found: dict[tuple[str, str], list[Record]] = {}
        for each in only(self.records, "measurement"):
            found.setdefault((each["workload"], each["contender"]), []).append(each)
        return found

    def of(self, workload: str, contender: str, pick: Callable[[Record], float]) -> float | None:
        rounds = self.measured.get((workload, contender))
        return median(pick(each) for each in rounds) if rounds else None

    def value(self, workload: str, contender: str) -> float | None:
        return self.of(workload, contender, lambda each: float(each["value"]))

    def ratio(self, workload: str, contender: str, other: str) -> float | None:
        """The median, over the rounds that both have, of one in the other; None where there is none.

        By round, because a machine that is slower for a while is slower for both.
        """
        found = [
            {each["round"]: float(each["value"]) for each in self.measured.get((workload, name), ())}
            for name in (contender, other)
        ]
        rounds = found[0].keys() & found[1].keys()
        return median(found[0][each] / found[1][each] for each in rounds) if rounds else None

    def peers(self, workload: str, *, by_hand: bool | None = None) -> list[str]:
        """The peers that were measured with it; with a driver by hand only, or without, if said.

        The cheapest first, in the rounds that all have: some have more, and those may have met a slower machine.
        """
        named = [name for name, each in self.contenders.items() if each["kind"] == "peer"]
        if by_hand is not None:
            named = [name for name in named if (self.contenders[name]["way"] == HAND.name) is by_hand]
        found = {
            name: {each["round"]: float(each["value"]) for each in self.measured[workload, name]}
            for name in named
            if (workload, name) in self.measured
        }
        shared = set[int]().union(*found.values()).intersection(*found.values())
        return sorted(found, key=lambda name: median(found[name][each] for each in shared or found[name]))

    def names(self, workloads: Iterable[Workload]) -> list[str]:
        """Who was measured with any of these: limits and scripts first, then by cost in their first workload."""
        wanted = list(workloads)
        found = {name for workload, name in self.measured if workload in {each.name for each in wanted}}

        def place(name: str) -> tuple[bool, float, str]:
            values = (self.value(each.name, name) for each in wanted)
            return not name.startswith(BOUNDS), next((each for each in values if each is not None), 0.0), name

        return sorted(found, key=place)


def base(workload: Workload) -> str:
    """minihttp on the first Python and uvloop, with its own repository: ratios are to this."""
    return f"{BASE}, minihttp.db" if workload.group == "database" else BASE


def digits(value: float) -> str:
    """Three significant digits, as a person would write them."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(results: Results, workload: Workload, name: str) -> str:
    """A figure and its ratio to minihttp: `12.3 1.60x`."""
    value = results.value(workload.name, name)
    if value is None:
        return "-"
    if workload.kind in ("parts", "inside"):
        return digits(value)
    times = results.ratio(workload.name, name, base(workload))
    ratio = f" {times:.2f}x" if times is not None and times >= 0 else ""
    if workload.kind == "latency":
        middle = results.of(workload.name, name, lambda each: each["latency_us"]["50"] / 1000)
        return f"{digits(middle or 0)} / {digits(value)}"
    if workload.kind in ("upload", "download"):
        peak = results.of(workload.name, name, lambda each: float(each["peak_mib"]))
        return f"{digits(value)}{ratio} ({max(peak or 0, 0):.0f})"
    return digits(value) + ratio


def heading(workload: Workload) -> str:
    return f"{workload.title}, p50 / p99 ms" if workload.kind == "latency" else workload.title


def rows(results: Results, workloads: Sequence[Workload]) -> list[list[str]]:
    """A heading, and a row for each contender that was measured with any of these."""
    names = results.names(workloads)
    made = [["", *(heading(each) for each in workloads)]]
    for name in names:
        made.append(
            [f"**{name}**" if name.startswith(BASE) else name, *(cell(results, each, name) for each in workloads)]
        )
    return made


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """Columns of figures stand to the right."""
    head, *body = table
    figures = [all(cell[:1].isdigit() or cell in ("", "-") for cell in column) for column in zip(*body, strict=True)]
    lines = [head, ["---:" if each else "---" for each in figures], *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_text(table: Sequence[Sequence[str]]) -> str:
    """Columns under short headings, for a terminal of 120 columns."""
    plain = [[each.replace("**", "") for each in line] for line in table]
    widths = [max(len(each) for each in column) for column in zip(*plain, strict=True)]
    lines = []
    for line in plain:
        first, *others = (
            each.ljust(width) if not at else each.rjust(width)
            for at, (each, width) in enumerate(zip(line, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines) + "\n"


def groups(results: Results) -> list[tuple[str, list[Workload]]]:
    """The workloads that were measured, by group, in their order."""
    have = {workload for workload, _ in results.measured}
    made: dict[str, list[Workload]] = {}
    for each in WORKLOADS:
        if each.name in have:
            made.setdefault(each.group, []).append(each)
    return list(made.items())


def terminal(records: Sequence[Record]) -> str:
    """All tables, with the workloads' short names; `x` is the ratio to minihttp on uvloop."""
    results = Results(records)
    parts = []
    for group, workloads in groups(results):
        table = rows(results, workloads)
        table[0][1:] = [each.name for each in workloads]
        parts.append(f"{group}: {'; '.join(units(workloads))}\n{as_text(table)}")
    return "\n".join([*parts, *(f"{'; '.join(who)}: {reason}" for who, reason in missing(records))])


def units(workloads: Iterable[Workload]) -> list[str]:
    return list(dict.fromkeys(UNITS[each.unit] for each in workloads))


def missing(records: Iterable[Record], kind: str = "missing") -> list[tuple[list[str], str]]:
    """Who misses what, `Robyn (tls)`, and why: each reason once."""
    found: dict[str, dict[str, list[str]]] = {}
    for each in only(records, kind):
        reason = " ".join(str(each["reason"]).split())
        found.setdefault(reason, {}).setdefault(str(each["contender"]), []).append(str(each["workload"]))
    return [([f"{who} ({', '.join(what)})" for who, what in all.items()], reason) for reason, all in found.items()]


def about(results: Results) -> str:
    """When, where and with what: the facts without which the figures mean nothing."""
    run, machine, versions = results.run, results.run["machine"], results.run["versions"]
    changed = f" with uncommitted changes ({run['changed']})" if run["changed"] else ""
    days = sorted({str(each["at"])[:10] for each in only(results.records, "measurement")})
    again = dict.fromkeys(BY_NAME[each["workload"]].title for each in only(results.records, "disturbed"))
    twice = f" Measured once more, because the machine had been disturbed: {'; '.join(again)}." if again else ""
    return (
        f"Commit {run['commit']}{changed}, {' to '.join(dict.fromkeys([days[0], days[-1]]))}, Python "
        f"{versions['first']['python']}, {machine['cpu']}, {machine['cores']} cores, {machine['system']}, wrk "
        f"{versions['wrk']}, {versions['database']}. Off: {run['off']}.{twice}\n"
    )


METHOD = """\
Each contender runs one worker process as its documentation advises for production, pinned to one core; wrk (or our own
client) runs on another, 64 connections where nothing else is said. All contenders of a workload run at the same time
and are loaded in turn, for {seconds} s, {rounds} rounds or, of what takes longer, three, so that what the machine does
meanwhile meets all of them; shown is the median. The figure is CPU time, user and system, of the contender's whole
process tree, divided by the answers. It depends less on the machine than requests a second do. `x` compares with
minihttp on uvloop, Python {python}: it is the median of the ratios within a round. The limit is an `asyncio.Protocol`
that writes the right bytes without reading what came.

Before it is measured, each answer is compared: status and body are equal, byte by byte for text, by value for JSON
(encoders differ in spaces and escapes), but for white space in pages. Not equal are the other header fields: Date,
Server, cookies or security headers that a framework adds.

wrk sends the same bytes for ever, which is the best case of a server that remembers heads, as minihttp does: *another
query each time* shows the other case, a request that never came before.
"""
COMPARED = """\
The script answers from a dict of routes with one Task per request, and has none of a server's checks, limits and
deadlines. The limit, the script, minihttp and the peer that is cheapest in the first rounds have some rounds more where
an aim compares them.
"""
LATENCY = """\
Latency is taken at half of the rate that the contender reached under wrk a second before, by an open loop: requests
fall due at random (a Poisson process), on 256 connections, whatever the answers do, and each is timed from when it was
due. The client is ours, in Python, and part of these figures: the row of the limit shows how large a part.
"""
STEADY = f"It is taken once more where all have the same load, {BY_NAME['steady'].rate:,} requests a second.\n"


def told(results: Results) -> str:
    """A line for each ratio of ours: what was divided by what."""
    lines = []
    for (workload, name), rounds in results.measured.items():
        if "parts_us" in rounds[0]:
            costs = (
                f"{part} {digits(median(each['parts_us'][part] for each in rounds))}" for part in rounds[0]["parts_us"]
            )
            lines.append(f"- {BY_NAME[workload].title}, {name}: {', '.join(costs)}\n")
    return "".join(lines)


def method(results: Results) -> str:
    run = results.run
    settings = {**run["settings"], "python": run["versions"]["first"]["python"].rpartition(".")[0]}
    return METHOD.format(**settings)


def markdown(records: Sequence[Record]) -> str:
    """The page of results: method, tables, plots, how each contender was run, and what is missing."""
    results = Results(records)
    compared = [COMPARED] if "script" in results.contenders else []
    parts = ["# Results\n", about(results), method(results), *compared, LATENCY]
    if any(workload == "steady" for workload, _ in results.measured):
        parts.append(STEADY)
    for group, workloads in groups(results):
        parts += [f"## {group.capitalize()}\n", f"In {'; '.join(units(workloads))}.\n"]
        parts += [as_markdown(rows(results, workloads))]
    if ratios := told(results):
        parts += ["What the ratios are made of, CPU microseconds:\n", ratios]
    plots = ("plaintext.svg", "requests.svg", "database.svg", "connections.svg", "latency.svg")
    parts += ["## Plots\n", "\n".join(f"![{each}]({each})" for each in plots) + "\n"]
    commands = [["", "command", "loop", "versions"]]
    for name, each in results.contenders.items():
        versions = ", ".join(f"{package} {version}" for package, version in each["versions"].items())
        commands.append([name, f"`{each['command']}`", each["loop"], versions])
    parts += ["## How each was run\n", as_markdown(commands)]
    if rest := missing(records, "failure"):
        parts += ["## What was measured once more\n", "".join(f"- {'; '.join(who)}: {why}\n" for who, why in rest)]
    if rest := missing(records):
        parts += ["## What is missing\n", "".join(f"- {'; '.join(who)}: {reason}\n" for who, reason in rest)]
    return "\n".join(parts)

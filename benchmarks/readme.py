"""The section of the README between its marks: what a reader wants first, narrow enough for a phone.

Owns: which figures stand there, and putting them in.
Must not know: how anything was measured.
Invariant: nothing stands there that the committed raw results do not give; the same records give the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks import targets
from benchmarks.records import Record
from benchmarks.report import BASE, Results, about, as_markdown, base, digits
from benchmarks.workloads import BY_NAME

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- bench:begin -->\n", "<!-- bench:end -->\n"
NOT_YET = "No full run has been recorded yet: `make bench` makes one.\n"
ROWS = (
    "plaintext",
    "browser",
    "another",
    "json",
    "params",
    "routes",
    "post",
    "pipelined",
    "large",
    "page",
    "once",
    "tls",
)
ROWS += ("upload", "download", "latency", "steady", "mysql-one", "mysql-twenty", "mysql-update", "sqlite-one")
UNITS = {"us": "", "us/MiB": ", µs a MiB", "ms": ", p99 in ms"}
EACH = ("plaintext", "json", "mysql-one")
METHOD = """\
CPU time, user and system, of the whole process tree per answer, in microseconds: one worker process, as each one's
documentation advises for production, on one core, wrk on another, all contenders of a row in turn, round after round;
the median. `x` is the median of the ratios within a round.
"""


def times(results: Results, workload: str, name: str) -> str:
    found = results.ratio(workload, name, base(BY_NAME[workload]))
    return "-" if found is None else f"{found:.2f}x"


def best(results: Results) -> list[list[str]]:
    """A row for each workload: ours, and the best peer."""
    made = [["µs of CPU per request", BASE, "best peer", ""]]
    for name in ROWS:
        workload = BY_NAME[name]
        ours = results.value(name, base(workload))
        kinds = {"": None}
        if workload.group == "database":
            kinds = {"": False, ", driver by hand": True}
        for said, by_hand in kinds.items():
            peers = results.peers(name, by_hand=by_hand)
            if ours is not None and peers:
                best = peers[0]
                value = digits(results.value(name, best) or 0.0)
                title = f"{workload.title}{UNITS[workload.unit]}{said}"
                made.append([title, digits(ours), f"{best}: {value}", times(results, name, best)])
    return made


def everyone(results: Results) -> list[list[str]]:
    """A row for each peer: how many times our cost."""
    made = [["times minihttp's CPU", *(BY_NAME[each].title for each in EACH)]]
    documented = results.peers("mysql-one", by_hand=False)
    for name in [f"{BASE} on asyncio", *results.peers("plaintext")]:
        ways = [each for each in documented if each.startswith(f"{name}, ")]
        if name.startswith(BASE):
            ways = [f"{name}, minihttp.db"]
        with_database = times(results, "mysql-one", ways[0]) if ways else "-"
        made.append([name, *(times(results, each, name) for each in EACH[:2]), with_database])
    return made


def section(records: Sequence[Record]) -> str:
    """What stands between the marks."""
    if not records:
        return NOT_YET
    results = Results(records)
    judged = targets.verdicts(results)
    met = sum(each.met for each in judged)
    parts = [
        METHOD,
        "![CPU per plaintext request, by server](benchmarks/results/plaintext.svg)\n",
        as_markdown(best(results)),
        as_markdown(everyone(results)),
        "With MariaDB, each with the layer that its documentation shows.\n",
        about(results),
        f"{met} of {len(judged)} aims are met. Which, every table and plot, each command and version, and who misses\n"
        "what: [benchmarks/results/results.md](benchmarks/results/results.md).\n",
    ]
    return "\n".join(parts)


def update(records: Sequence[Record], readme: Path = README) -> None:
    """Put the section between its marks."""
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(before + BEGIN + section(records) + END + after)

"""`python -m benchmarks`: minihttp beside its peers, in tables and plots.

Owns: the choices on the command line, and where results go.
Must not know: what is measured.
Invariant: a full run is resumed where it stopped, and written into benchmarks/results; a quick one and one of some
workloads or peers go beside it and are not committed.

    make bench                                   everything, in 50 minutes; go on with the same command
    make bench QUICK=1                           once round everything, in a quarter of an hour
    make bench ONLY=plaintext,json PEER=granian  some workloads (or groups), some contenders (a part of the name)
    make bench ARGS=--tables                     nothing: tables and plots anew, of the raw results that are there
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import databases, facts, install, plots, readme, report, targets
from benchmarks.contenders import Fleet, Place
from benchmarks.peers import NEWER, PEERS, SECOND, Peer
from benchmarks.processes import CLIENT_CORE, LINUX, pin
from benchmarks.records import Record, Records, load
from benchmarks.run import Benchmark, Plan
from benchmarks.workloads import BY_NAME, WORKLOADS, Workload
from tests.support.mariadb import NoMariaDB

RESULTS = Path(__file__).with_name("results")
SECONDS, ROUNDS = 1, 5


def chosen_workloads(only: str) -> list[Workload]:
    """By name or group. Exits with the list of names where one is unknown."""
    wanted = [each for each in only.replace(",", " ").split() if each]
    known = {each.name for each in WORKLOADS} | {each.group for each in WORKLOADS}
    if unknown := [each for each in wanted if each not in known]:
        sys.exit(f"ONLY={unknown[0]} is no workload and no group; there are: {', '.join(sorted(known))}")
    return [each for each in WORKLOADS if not wanted or each.name in wanted or each.group in wanted]


def chosen_peers(some: str, pythons: set[str]) -> list[Peer]:
    """Those whose name contains one of the words, and always minihttp and its limit, to compare with."""
    words = [each.strip().lower() for each in some.split(",") if each.strip()]
    able = [each for each in [*PEERS, *SECOND] if each.python in pythons]
    if words and not any(word in each.name.lower() for word in words for each in able):
        sys.exit(f"PEER={some} is nobody; there are: {', '.join(each.name for each in able)}")
    always = {"minihttp", "limit", "script"}
    return [
        each for each in able if not words or each.name in always or any(word in each.name.lower() for word in words)
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round of everything (QUICK=1)")
    parser.add_argument("--only", default="", metavar="NAMES", help="workloads or groups (ONLY=plaintext,database)")
    parser.add_argument("--peer", default="", metavar="WORDS", help="contenders by a part of their name (PEER=granian)")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of load per measurement")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="at most; some workloads need fewer")
    parser.add_argument("--tables", action="store_true", help="measure nothing: tables and plots of what is there")
    return parser.parse_args()


def files(records: Sequence[Record], *, every: bool) -> dict[str, str]:
    """What is made of the raw results, by name; `every` aim, or only those that were measured."""
    head, *rows = targets.table(report.Results(records), every=every)
    judged = [head, *([BY_NAME[name].title, *others] for name, *others in rows)]
    page = report.markdown(records) + (f"\n## Aims\n\n{report.as_markdown(judged)}" if rows else "")
    return {"results.md": page, **plots.all_plots(records)}


def write(folder: Path, records: Sequence[Record], *, full: bool) -> None:
    """Tables and plots from the records; those of a full run stand in the README too."""
    for name, text in files(records, every=full).items():
        (folder / name).write_text(text)
    print(report.terminal(records))
    print(report.as_text(targets.table(report.Results(records), every=full)))
    print(f"Written: {folder.relative_to(install.PROJECT)}/ (results.md, raw.jsonl, plots)")
    if full:
        readme.update(records)


def measure(chosen: argparse.Namespace, folder: Path, partial: bool) -> Records:
    """Install, start the databases, run the plan. Raises NoMariaDB."""
    rounds = 1 if chosen.quick else chosen.rounds
    environments = install.environments(NEWER)
    plan = Plan(chosen_workloads(chosen.only), chosen_peers(chosen.peer, set(environments)), chosen.seconds, rounds)
    scratch = install.PROJECT / ".cache/bench"
    scratch.mkdir(parents=True, exist_ok=True)
    with pin(CLIENT_CORE), databases.mysql() as (mysql, version):
        settings = {"seconds": chosen.seconds, "rounds": rounds, "only": chosen.only, "peer": chosen.peer}
        run = facts.run(environments, version, settings)
        records = Records(folder / "raw.jsonl", run, anew=partial or chosen.quick)
        if records.resumed:
            print("Going on where the last run of the same code and versions stopped.")
        place = Place(environments, {"mysql": mysql, "sqlite": databases.sqlite(scratch / "bench.db")}, scratch)
        place.make_certificate()
        with Fleet(place) as fleet:
            Benchmark(plan, fleet, records).run()
        records.finish()
    return records


def main() -> None:
    chosen = arguments()
    if not LINUX:
        sys.exit("make bench reads the CPU time of processes from Linux: there is no way here to be as exact")
    partial = bool(chosen.only or chosen.peer)
    folder = RESULTS / "part" if partial else RESULTS / "quick" if chosen.quick else RESULTS
    for each in (signal.SIGINT, signal.SIGTERM):  # also in the background, where a shell lets Ctrl-C pass by
        signal.signal(each, signal.default_int_handler)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        records = load(folder / "raw.jsonl") if chosen.tables else measure(chosen, folder, partial).all
    except NoMariaDB as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. What was measured is kept: the same command goes on from here.")
    write(folder, records, full=not partial and not chosen.quick)


if __name__ == "__main__":
    main()

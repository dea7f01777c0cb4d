"""Client CPU per query of one row by primary key: ours, the driver alone, and other libraries, side by side.

Owns: the private server, the environment of the others, the order of the rounds, the table and the file of results.
Must not know: how a contender asks for a row (`db_client`).
Invariant: within a round all run one after another on the same server; what is compared are ratios within a round, and
of these the median is shown. Trade-off: the machine's other work still moves absolute times: never quote one alone.

`make bench-db`, or `make bench-db QUICK=1` for a look.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tests.support.mariadb import PrivateMariaDB, run_sql

from .db_client import CONTENDERS, POOL, TABLE

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks/results"
PYTHON = ".".join(platform.python_version_tuple()[:2])
ENVIRONMENT = PROJECT / f".cache/bench-db-{PYTHON}"
# aiomysql 0.3 sends no bytes with newer versions of PyMySQL.
OTHERS = ("aiomysql==0.3.2", "PyMySQL==1.1.3", "SQLAlchemy[asyncio]==2.0.*", "cryptography")
PACKAGES = ("asyncmy", "aiomysql", "PyMySQL", "SQLAlchemy", "uvloop")
LOOPS = ("asyncio", "uvloop")
TASKS = (8, 64)
BASE = "raw"
NAMES = {
    "raw": "asyncmy, one prepared statement and connection per task",
    "asyncmy-pool": "asyncmy's pool and cursor, 8 connections",
    "db.one": "db.one, 8 connections",
    "Repository.get": "Repository.get, 8 connections",
    "db.one-wide": "db.one, a connection per task",
    "Repository.get-wide": "Repository.get, a connection per task",
    "aiomysql-pool": "aiomysql's pool and cursor, 8 connections",
    "sqlalchemy": "SQLAlchemy Core on asyncmy, 8 connections",
}


@dataclass(frozen=True)
class Sample:
    """One contender in one round: microseconds of its CPU per query, and queries per second."""

    round: int
    loop: str
    tasks: int
    name: str
    cpu: float
    rate: float


@dataclass(frozen=True)
class Line:
    """What is shown of one contender: medians over the rounds, and the median of its ratios to the driver alone."""

    loop: str
    tasks: int
    name: str
    cpu: float
    ratio: float
    rate: float


def summary(samples: Iterable[Sample]) -> list[Line]:
    """One line per loop, number of tasks and contender, in the order of their first samples."""
    groups: dict[tuple[str, int, str], list[Sample]] = {}
    base: dict[tuple[int, str, int], float] = {}
    for each in samples:
        groups.setdefault((each.loop, each.tasks, each.name), []).append(each)
        if each.name == BASE:
            base[each.round, each.loop, each.tasks] = each.cpu
    return [
        Line(
            *key,
            median(each.cpu for each in group),
            median(each.cpu / base[each.round, each.loop, each.tasks] for each in group),
            median(each.rate for each in group),
        )
        for key, group in groups.items()
    ]


def table(lines: Sequence[Line]) -> str:
    """The lines as a table in Markdown."""
    head = ["| loop | tasks | | CPU per query | ratio | queries/s |", "|---|---|---|---|---|---|"]
    return "\n".join(
        [
            *head,
            *(
                f"| {each.loop} | {each.tasks} | {NAMES[each.name]} | {each.cpu:.1f} us | {each.ratio:.2f} "
                f"| {each.rate:,.0f} |"
                for each in lines
            ),
        ]
    )


def record(facts: dict[str, object], samples: Iterable[Sample]) -> str:
    """Everything as JSON, a sample a line, so that two runs can be told apart by eye."""
    lines = ",\n".join(f"  {json.dumps(asdict(each))}" for each in samples)
    return f'{{"facts": {json.dumps(facts, indent=1)},\n "samples": [\n{lines}\n]}}\n'


def environment() -> Path:
    """The interpreter of an environment that has the other libraries, made once."""
    python = ENVIRONMENT / "bin/python"
    stamp = ENVIRONMENT / ".installed"
    wanted = " ".join((*OTHERS, platform.python_version()))
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing {', '.join(OTHERS)} into {ENVIRONMENT}", file=sys.stderr)
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-e", f"{PROJECT}[uvloop]", *OTHERS], check=True)
        stamp.write_text(wanted)
    return python


class Client:
    """A contender's process on one loop; the same one for all rounds."""

    def __init__(self, python: Path, name: str, loop: str, url: str) -> None:
        pinned = ["taskset", "-c", str(max(os.sched_getaffinity(0)))] if shutil.which("taskset") else []
        command = [*pinned, str(python), "-m", "benchmarks.db_client", name, loop, url]
        self.name, self.loop = name, loop
        self._process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def run(self, round: int, tasks: int, queries: int) -> Sample:
        """One round. Ends the benchmark where the client has ended: it has said why."""
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit("the client has no pipes")
        self._process.stdin.write(json.dumps([tasks, queries]) + "\n")
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name} ended with status {self._process.wait()}")
        cpu, seconds = json.loads(answer)
        done = queries // tasks * tasks
        return Sample(round, self.loop, tasks, self.name, cpu / done * 1e6, done / seconds)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def about(python: Path) -> dict[str, object]:
    """What a reader must know to compare: the commit, the versions, the machine and the command."""

    def said(*command: str) -> str:
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()

    code = f"from importlib.metadata import version; print(*map(version, {PACKAGES!r}))"
    return {
        "commit": said("git", "describe", "--always", "--dirty"),
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": " ".join(["python", "-m", "benchmarks.db", *sys.argv[1:]]),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": dict(zip(PACKAGES, said(str(python), "-c", code).split(), strict=True)),
    }


def play(url: str, python: Path, rounds: int, queries: int) -> list[Sample]:
    samples: list[Sample] = []
    with ExitStack() as stack:
        clients = []
        for loop in LOOPS:
            for name in CONTENDERS:
                clients.append(Client(python, name, loop, url))
                stack.callback(clients[-1].close)
        # With as many tasks as connections, `wide` is what it is compared with.
        steps = [
            (round, tasks, each)
            for round in range(rounds)
            for tasks in TASKS
            for each in clients
            if tasks > POOL or not each.name.endswith("-wide")
        ]
        for number, (round, tasks, client) in enumerate(steps, 1):
            if sys.stderr.isatty():
                print(
                    f"\r{number}/{len(steps)} {client.name} on {client.loop}, {tasks} tasks\x1b[K",
                    end="",
                    file=sys.stderr,
                )
            samples.append(client.run(round, tasks, queries))
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    return sorted(samples, key=lambda each: (each.loop, each.tasks))


def main() -> None:
    """Measure, print the table and keep every number."""
    parser = argparse.ArgumentParser(prog="make bench-db ARGS=", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=41, help="of which medians are taken")
    parser.add_argument("--queries", type=int, default=800, help="per contender and round")
    parser.add_argument("--quick", action="store_true", help="a look: three short rounds, and no file of results")
    options = parser.parse_args()
    rounds, queries = (3, 1000) if options.quick else (options.rounds, options.queries)
    python = environment()
    with PrivateMariaDB() as server:
        run_sql(server.url(), *TABLE)
        samples = play(server.url(), python, rounds, queries)
    print(table(summary(samples)))
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        kept = RESULTS / f"db-{PYTHON}.json"
        kept.write_text(record(about(python), samples))
        print(f"\nEvery number: {kept.relative_to(PROJECT)}", file=sys.stderr)


if __name__ == "__main__":
    main()

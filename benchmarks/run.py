"""The whole benchmark: every workload, every round, every contender, in this order, so that rounds interleave.

Owns: the order, what is left out because it is there already, and what is written down.
Must not know: how a number is taken or shown.
Invariant: a measurement is recorded once, complete, right after it was taken. One that fails is recorded with its
reason and taken once more; a contender that fails again is recorded as missing, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import median
from typing import Any

from benchmarks import checking, load, measure
from benchmarks.contenders import Contender, Fleet, contenders
from benchmarks.install import PROJECT
from benchmarks.peers import DRIVER, LIMITED, Peer
from benchmarks.processes import DidNotAnswer, Server
from benchmarks.progress import Progress
from benchmarks.records import Records
from benchmarks.workloads import Workload

# What a piece of each kind takes, in seconds besides the seconds of load; for the estimate only.
TAKES = {
    "wrk": 0.05,
    "latency": 0.4,
    "upload": 0.1,
    "download": 0.1,
    "idle": 0.5,
    "import": 0.5,
    "parts": 2.5,
    "inside": 0.8,
}
START = 0.5
UNLOADED = ("idle", "import", "inside")
SERVERLESS = ("import", "inside")
FAILURES = (DidNotAnswer, checking.WrongAnswer, RuntimeError, OSError)  # also no answer in time


@dataclass(frozen=True)
class Plan:
    """What to measure, for how many seconds at a time, and for at most how many rounds."""

    workloads: Sequence[Workload]
    peers: Sequence[Peer]
    seconds: int
    rounds: int

    def rounds_of(self, workload: Workload) -> int:
        return min(workload.rounds, self.rounds)

    def more_of(self, workload: Workload) -> int:
        """Further rounds of some; none where rounds are few."""
        return workload.more if self.rounds >= workload.rounds else 0

    def seconds_of(self, workload: Workload) -> int:
        return self.seconds * workload.lasts

    def takes(self, workload: Workload) -> float:
        """Seconds for one measurement."""
        loaded = 0 if workload.kind in UNLOADED else self.seconds_of(workload)
        if workload.kind == "latency" and not workload.rate:
            loaded += self.seconds  # to see how much is the most
        return loaded + TAKES[workload.kind]

    def seconds_in_all(self) -> float:
        total = 0.0
        for workload in self.workloads:
            able, _ = contenders(workload, self.peers)
            some = sum(each.peer.kind != "peer" for each in able) + 1
            pieces = len(able) * self.rounds_of(workload) + some * self.more_of(workload)
            total += len(able) * START + pieces * self.takes(workload)
        return total


class Benchmark:
    """One run of a plan: `Benchmark(plan, fleet, records).run()`."""

    def __init__(self, plan: Plan, fleet: Fleet, records: Records) -> None:
        self._plan, self._fleet, self._records = plan, fleet, records
        self._progress = Progress(plan.seconds_in_all())

    def run(self) -> None:
        try:
            for workload in self._plan.workloads:
                self._run(workload)
        finally:
            self._progress.close()

    def _run(self, workload: Workload) -> None:
        able, missing = contenders(workload, self._plan.peers)
        self._describe(workload)
        for name, reason in missing.items():
            self._miss(workload, name, reason)
        todo = [each for each in able if not self._settled(workload, each)]
        self._progress.skip((len(able) - len(todo)) * (START + self._plan.takes(workload)))
        self._fleet.keep({Fleet.key(workload, each) for each in todo} if workload.kind not in SERVERLESS else set())
        todo = [each for each in todo if self._prepare(workload, each)]
        for number in range(1, self._plan.rounds_of(workload) + self._plan.more_of(workload) + 1):
            Random(f"{workload.name} {number}").shuffle(todo)  # nobody always follows the same one
            for each in todo:
                if number > self._last(workload, each):
                    continue
                done = self._records.has(
                    record="measurement", workload=workload.name, contender=each.name, round=number
                )
                if done:
                    self._progress.skip(self._plan.takes(workload))
                elif not self._missed(workload, each):
                    self._measure(workload, each, number)

    def _describe(self, workload: Workload) -> None:
        """Once for each workload: how it is loaded."""
        if self._records.has(record="workload", name=workload.name):
            return
        used = {"inside": [f"python -m benchmarks.inside {workload.name}"], "import": ["python -c 'import ...'"]}
        command = used.get(workload.kind, ["our own client"])
        if workload.kind == "wrk":
            asked = load.command(workload, 0, self._plan.seconds_of(workload), connections=workload.connections)
            command = ["wrk", *asked]
        self._records.add(record="workload", name=workload.name, title=workload.title, command=command)

    def _settled(self, workload: Workload, contender: Contender) -> bool:
        wanted = {"workload": workload.name, "contender": contender.name, "round": self._last(workload, contender)}
        return self._missed(workload, contender) or self._records.has(record="measurement", **wanted)

    def _last(self, workload: Workload, contender: Contender) -> int:
        """How many rounds it has: more of those whom an aim compares."""
        rounds, more = self._plan.rounds_of(workload), self._plan.more_of(workload)
        compared = contender.peer.kind != "peer" or contender.name == self._cheapest(workload, rounds)
        return rounds + more if more and compared else rounds

    def _cheapest(self, workload: Workload, rounds: int) -> str | None:
        """The peer that cost least in the rounds of all."""
        peers = {each["name"] for each in self._records.all if each["record"] == "contender" and each["kind"] == "peer"}
        found: dict[str, list[float]] = {}
        for each in self._records.all:
            if each["record"] == "measurement" and each["workload"] == workload.name and each["round"] <= rounds:
                found.setdefault(each["contender"], []).append(each["value"])
        return min(peers & found.keys(), key=lambda name: median(found[name]), default=None)

    def _missed(self, workload: Workload, contender: Contender) -> bool:
        return self._records.has(record="missing", workload=workload.name, contender=contender.name)

    def _miss(self, workload: Workload, name: str, reason: str) -> None:
        if not self._records.has(record="missing", workload=workload.name, contender=name):
            self._records.add(record="missing", workload=workload.name, contender=name, reason=reason)

    def _prepare(self, workload: Workload, contender: Contender) -> bool:
        """Start the contender and compare its answer; whether it can be measured."""
        if workload.kind in SERVERLESS:
            return True
        self._progress.step(START, workload.title, contender.name)
        try:
            server = self._fleet.serve(workload, contender)
            self._introduce(contender, server)
            if workload.kind not in ("upload", "download"):  # these are compared at each measurement
                answer = checking.check(workload, server.port)
                self._records.add(record="answer", workload=workload.name, contender=contender.name, **answer)
        except (DidNotAnswer, checking.WrongAnswer) as error:
            self._fail(workload, contender, error)
            return False
        return True

    def _introduce(self, contender: Contender, server: Server) -> None:
        """Once for each contender: how it runs."""
        if self._records.has(record="contender", name=contender.name):
            return
        peer = contender.peer
        environment = self._fleet.place.environments[peer.python]
        names = ("python", *(each.lower() for each in peer.packages))
        versions = {each: environment.versions[each] for each in names if each in environment.versions}
        hidden = {
            str(environment.folder): "",
            str(self._fleet.place.folder): "",
            str(PROJECT): "",
            str(server.port): "PORT",
        }
        command = " ".join(server.command)
        for path, shown in hidden.items():
            command = command.replace(path, shown)
        way = contender.way.name if contender.way else ""
        self._records.add(
            record="contender",
            name=contender.name,
            peer=peer.name,
            way=way,
            kind=peer.kind,
            python=versions["python"],
            loop=peer.loop,
            versions=versions,
            command=command.replace("/bin/", ""),
        )

    def _measure(self, workload: Workload, contender: Contender, number: int) -> None:
        named = {"workload": workload.name, "contender": contender.name, "round": number}
        self._progress.step(self._plan.takes(workload), workload.title, contender.name)
        for again in (True, False):
            try:
                found = self._number(workload, contender)
            except FAILURES as error:
                if not again:
                    self._fail(workload, contender, error)
                    return
                self._records.add(record="failure", **named, reason=self._told(error))
                self._progress.say(f"{contender.name}, once more: {error}")
            else:
                at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                self._records.add(record="measurement", **named, at=at, **found)
                return

    def _number(self, workload: Workload, contender: Contender) -> dict[str, Any]:
        place = self._fleet.place
        python = place.environments[contender.peer.python].python
        if workload.kind == "import":
            return measure.import_cost(python, contender.peer.imports, PROJECT)
        if workload.kind == "inside":
            return measure.inside(workload.name, python)
        server = self._fleet.serve(workload, contender)
        if workload.kind == "parts":
            bounds = (replace(each, python=contender.peer.python) for each in (DRIVER, LIMITED))
            beside = (self._fleet.serve(workload, Contender(each, contender.way)) for each in bounds)
            return measure.parts(server, *beside, self._plan.seconds)
        if workload.kind == "latency":
            return measure.latency(workload, server, self._plan.seconds_of(workload))
        if workload.kind == "idle":
            return measure.idle(server)
        if workload.kind in ("upload", "download"):
            return measure.body(workload, server, self._plan.seconds_of(workload))
        found, _ = measure.requests(workload, server, self._plan.seconds_of(workload))
        return found

    @staticmethod
    def _told(error: Exception) -> str:
        return str(error).replace(str(PROJECT), "")

    def _fail(self, workload: Workload, contender: Contender, error: Exception) -> None:
        self._miss(workload, contender.name, self._told(error))
        self._progress.say(f"{contender.name}: {error}")

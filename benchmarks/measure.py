"""One measurement of one contender: a number and what belongs to it.

Owns: what is read before and after each kind of load, and the arithmetic in between.
Must not know: rounds, results files, who else is measured.
Invariant: cost is CPU time of the contender's whole process tree, divided by what it answered; a run in which anything
went wrong is no measurement.
"""

from __future__ import annotations

import json
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import open_loop, streams
from benchmarks.checking import WrongAnswer
from benchmarks.install import PROJECT
from benchmarks.load import Load, drive
from benchmarks.processes import SERVER_CORE, Server, cpu_seconds, forget_peak, pinned, status_kib
from benchmarks.workloads import BY_NAME, MEBIBYTES, Workload

IDLE = 800  # connections; some servers take no more than a thousand by default
LATE = 500.0  # microseconds, p99: more, and the client was disturbed
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99)


def with_cpu(server: Server, work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds that the server used during the work, and what the work returned."""
    pids = server.pids
    before = cpu_seconds(pids)
    outcome = work()
    return cpu_seconds(pids) - before, outcome


def requests(workload: Workload, server: Server, seconds: int) -> tuple[dict[str, Any], Load]:
    """CPU per request under wrk, and requests a second (which depend on the rest of the machine)."""
    cpu, load = with_cpu(server, lambda: drive(workload, server.port, seconds))
    if load.refused or load.broken:
        raise WrongAnswer(f"{workload.name}: {load.refused} answers were no 2xx, {load.broken} connections broke")
    rate = round(load.requests / load.seconds, 1)
    found = {"cpu_seconds": round(cpu, 6), "requests": load.requests, "requests_per_second": rate}
    return {"value": round(cpu / load.requests * 1e6, 4), **found}, load


def latency(workload: Workload, server: Server, seconds: int) -> dict[str, Any]:
    """The median and the tail at the workload's rate, or at half of what the contender can do just now.

    Of two tries the one counts in which the client was less late by its own fault, whatever it saw then; the second is
    for where that was much.
    """
    rate: float = workload.rate
    if not rate:
        most = drive(workload, server.port, 1, connections=64)
        rate = most.requests / most.seconds / 2
    tries = []
    while not tries or (len(tries) < 2 and tries[-1][0] > LATE):
        cpu, seen = with_cpu(server, lambda: open_loop.drive(server.port, rate, seconds, workload.connections))
        tries.append((open_loop.percentile(seen.late, 99), cpu, seen))
    _, cpu, seen = min(tries, key=lambda each: each[0])
    found = {f"{percent:g}": round(open_loop.percentile(seen.latencies, percent), 1) for percent in PERCENTILES}
    return {
        "value": round(found["99"] / 1000, 4),
        "rate": round(rate, 1),
        "requests": len(seen.latencies),
        "cpu_us": round(cpu / len(seen.latencies) * 1e6, 4),
        "latency_us": found,
        "tries": len(tries),
        "late_us": {name: round(open_loop.percentile(seen.late, float(name)), 1) for name in ("50", "99")},
    }


def parts(server: Server, driver: Server, limit: Server, seconds: int) -> dict[str, Any]:
    """A request with a query, in one without and the driver's query alone, all just now and under the same load.

    The driver alone is what canned bytes cost after a query, less what they cost without.
    """

    def cost(name: str, asked: Server) -> float:
        return float(requests(BY_NAME[name], asked, seconds)[0]["value"])

    whole, plain = cost("mysql-one", server), cost("plaintext", server)
    alone = round(cost("mysql-one", driver) - cost("mysql-one", limit), 4)
    named = {"one user": whole, "plaintext": plain, "the driver alone": alone}
    return {"value": round(whole / (plain + alone), 4), "parts_us": named}


def inside(name: str, python: Path) -> dict[str, Any]:
    """What `benchmarks.inside` finds, in a process of its own. Raises RuntimeError."""
    command = pinned([str(python), "-m", "benchmarks.inside", name], SERVER_CORE)
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def body(workload: Workload, server: Server, seconds: float) -> dict[str, Any]:
    """CPU per MiB of bodies of 100 MiB, as many as fill the time; by how much memory grew at most, of the first."""
    pids = server.pids
    forget_peak(pids)
    before = status_kib(pids, "VmRSS")
    started = time.monotonic()

    def send() -> list[int]:
        peaks: list[int] = []
        while not peaks or time.monotonic() - started < seconds:
            getattr(streams, workload.kind)(workload, server.port)
            peaks.append(status_kib(pids, "VmHWM"))
        return peaks

    cpu, peaks = with_cpu(server, send)
    bodies, grown = len(peaks), peaks[0] - before
    return {
        "value": round(cpu / bodies / MEBIBYTES * 1e6, 4),
        "bodies": bodies,
        "cpu_seconds": round(cpu, 6),
        "seconds": round(time.monotonic() - started, 3),
        "peak_mib": round(grown / 1024, 2),
    }


def idle(server: Server) -> dict[str, Any]:
    """Memory per connection that has had one answer and now does nothing."""
    with streams.idle(server.port, 1):
        before = status_kib(server.pids, "VmRSS")
    with streams.idle(server.port, IDLE):
        after = status_kib(server.pids, "VmRSS")
    return {"value": (after - before) / IDLE, "connections": IDLE, "before_kib": before, "after_kib": after}


def import_cost(python: Path, module: str, folder: Path) -> dict[str, Any]:
    """CPU milliseconds that `import` adds to a Python that does nothing."""

    def cpu(program: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = pinned([str(python), "-c", program], SERVER_CORE)
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    cpu(f"import {module}")  # so that the files are compiled and in memory
    return {"value": round((cpu(f"import {module}") - cpu("pass")) * 1000, 3), "module": module}

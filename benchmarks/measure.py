"""One measurement of one contender: a number and what belongs to it.

Owns: what is read before and after each kind of load, and the arithmetic in between.
Must not know: rounds, results files, who else is measured.
Invariant: cost is CPU time of the contender's whole process tree, divided by what it answered; a run in which anything
went wrong is no measurement.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import streams
from benchmarks.checking import WrongAnswer
from benchmarks.load import Load, drive
from benchmarks.processes import SERVER_CORE, Server, cpu_seconds, forget_peak, pinned, status_kib
from benchmarks.workloads import MEBIBYTES, Workload

IDLE = 800  # connections; some servers take no more than a thousand by default


def with_cpu(server: Server, work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds that the server used during the work, and what the work returned."""
    pids = server.pids
    before = cpu_seconds(pids)
    outcome = work()
    return cpu_seconds(pids) - before, outcome


def requests(workload: Workload, server: Server, seconds: int, **more: Any) -> tuple[dict[str, Any], Load]:
    """CPU per request under wrk, and requests a second (which depend on the rest of the machine)."""
    cpu, load = with_cpu(server, lambda: drive(workload, server.port, seconds, **more))
    if load.refused or load.broken:
        raise WrongAnswer(f"{workload.name}: {load.refused} answers were no 2xx, {load.broken} connections broke")
    rate = round(load.requests / load.seconds, 1)
    found = {"cpu_seconds": round(cpu, 6), "requests": load.requests, "requests_per_second": rate}
    return {"value": round(cpu / load.requests * 1e6, 4), **found}, load


def latency(workload: Workload, server: Server, seconds: int) -> dict[str, Any]:
    """The median and the tail at half of what the contender can do just now.

    wrk has no rate; but 256 connections, each of which waits for an exponentially distributed time before its next
    request, are 256 independent users: their arrivals are nearly a Poisson process, and no answer delays another's
    request. The mean wait makes the rate.
    """
    most = drive(workload, server.port, 1, connections=64)
    half = most.requests / most.seconds / 2
    think = round(workload.connections / half * 1000, 3)
    found, load = requests(workload, server, max(3, seconds), think=think)
    asked = {"half_load": round(half, 1), "think_ms": think, "latency_us": load.latency_us}
    return {**found, "cpu_us": found["value"], "value": load.latency_us["99"] / 1000, **asked}


def body(workload: Workload, server: Server) -> dict[str, Any]:
    """CPU per MiB of a body of 100 MiB, and by how much memory grew at most."""
    pids = server.pids
    forget_peak(pids)
    before = status_kib(pids, "VmRSS")
    started = time.monotonic()
    cpu, _ = with_cpu(server, lambda: getattr(streams, workload.kind)(workload, server.port))
    grown = status_kib(pids, "VmHWM") - before
    return {
        "value": round(cpu / MEBIBYTES * 1e6, 4),
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
    """CPU milliseconds that `import` adds to a Python that does nothing: the median of three, in turn."""

    def cpu(program: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = pinned([str(python), "-c", program], SERVER_CORE)
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    cpu(f"import {module}")  # so that the files are compiled and in memory
    pairs = [(cpu(f"import {module}"), cpu("pass")) for _ in range(3)]
    return {"value": statistics.median(with_it - bare for with_it, bare in pairs) * 1000, "module": module}

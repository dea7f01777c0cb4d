"""wrk, told what to send and for how long.

Owns: the command, and reading what `load.lua` says at the end.
Must not know: which server is driven, and what its CPU costs.
Invariant: every run is bounded, goes to 127.0.0.1 and stays on the client's core.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from benchmarks.processes import CLIENT_CORE, pinned
from benchmarks.workloads import Workload
from benchmarks.wrk import find_wrk

SCRIPT = "benchmarks/load.lua"  # from the project's folder, in which everything here runs


@dataclass(frozen=True)
class Load:
    """What wrk saw: latencies are in microseconds, by percentile ("50", "99.9")."""

    requests: int
    seconds: float
    broken: int
    refused: int
    latency_us: dict[str, int]


def command(workload: Workload, port: int, seconds: int, *, connections: int) -> list[str]:
    """How wrk is called."""
    scheme = "https" if workload.variant == "tls" else "http"
    said = [f"method={workload.method}", f"path={workload.path}", f"depth={workload.depth}"]
    said += [f"header={name}: {value}" for name, value in workload.headers]
    said += [f"body={workload.body}"] if workload.body else []
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", SCRIPT]
    return [*options, f"{scheme}://127.0.0.1:{port}/", "--", *said]


def drive(workload: Workload, port: int, seconds: int, *, connections: int | None = None) -> Load:
    """Run wrk for some seconds. Raises RuntimeError when it fails or nothing was answered."""
    program, environment = find_wrk()
    many = connections or workload.connections
    called = [program, *command(workload, port, seconds, connections=many)]
    done = subprocess.run(pinned(called, CLIENT_CORE), env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise RuntimeError(f"wrk ended with status {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    said = json.loads(lines[0])
    if not said["requests"]:
        raise RuntimeError(f"nothing was answered: {lines[0]}")
    seconds_taken = said["microseconds"] / 1e6
    return Load(said["requests"], seconds_taken, said["broken"], said["refused"], said["latency_us"])

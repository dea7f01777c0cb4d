"""Drives the example with wrk for a few seconds and prints requests per second and the server's CPU time per request.

Owns: getting wrk (the one on PATH, else Debian's, unpacked into .cache), one server on a free loopback port and a
bounded run against it.
Must not know: how the server works; it is a process that answers.
Invariant: what it started is ended, and nothing but 127.0.0.1 is ever driven.

`make wrk`, or with arguments: `make wrk ARGS='--seconds 10 --connections 256 /users/1'`. Requests per second depend on
what else the machine does, and wrk takes its share of it; CPU time per request is the number to compare.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from benchmarks.processes import DidNotAnswer, Server, cpu_seconds, free_port
from tests.support.debian import CannotFetch, fetch, library_path

PROJECT = Path(__file__).resolve().parents[1]


@cache
def find_wrk() -> tuple[str, dict[str, str]]:
    """The program, and the environment that it needs."""
    found = shutil.which("wrk")
    if found:
        return found, dict(os.environ)
    try:
        root = fetch(["wrk"], PROJECT / ".cache/wrk").resolve()
    except CannotFetch as error:
        sys.exit(f"wrk is not on PATH and cannot be fetched ({error}): install it (macOS: brew install wrk)")
    return str(root / "usr/bin/wrk"), {**os.environ, "LD_LIBRARY_PATH": library_path(root)}


def measure(wrk: tuple[str, dict[str, str]], server: Server, path: str, seconds: int, connections: int) -> str:
    url = f"http://127.0.0.1:{server.port}{path}"
    program, environment = wrk
    command = [program, "--latency", "-t1", f"-c{connections}", f"-d{seconds}s", url]
    pids = server.pids
    before = cpu_seconds(pids)
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(pids) - before

    requests = re.search(r"(\d+) requests in", said)
    if requests is None or requests[1] == "0":
        sys.exit(f"{url} was not answered:\n{said}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    slow = re.findall(r"^ +(50|99)% +(\S+)", said, re.MULTILINE)
    bad = re.findall(r"Non-2xx.*|Socket errors.*", said)
    each = used / int(requests[1]) * 1e6
    percentiles = "  ".join(f"p{percent} {value}" for percent, value in slow)
    return "  ".join([f"{float(rate[1] if rate else 0):>9,.0f} req/s  {each:6.1f} us CPU/request", percentiles, *bad])


def main() -> None:
    """Measure each path in turn, after a second in which the server warms up."""
    parser = argparse.ArgumentParser(prog="make wrk ARGS=", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("paths", nargs="*", default=["/api/users/1", "/api/users", "/"], help="a row, a list, a page")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--database", help="a URL; an empty SQLite file by default")
    options = parser.parse_args()
    wrk, port = find_wrk(), free_port()
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        database = options.database or f"sqlite:///{folder}/wrk.db"
        command = [sys.executable, "examples/users_app.py", "--port", str(port), "--database", database]
        try:
            with Server(command, port, log=log) as server:
                for path in options.paths:
                    measure(wrk, server, path, 1, options.connections)
                    print(f"{path:<20}{measure(wrk, server, path, options.seconds, options.connections)}", flush=True)
        except DidNotAnswer as error:
            sys.exit(f"the example: {error}")


if __name__ == "__main__":
    main()

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
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.debian import CannotFetch, fetch, library_path

PROJECT = Path(__file__).resolve().parents[1]
PATHS = ["/api/users/1", "/api/users", "/"]  # a row, a list, a page
TICKS = os.sysconf("SC_CLK_TCK")


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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def wait_until_it_answers(server: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(600):
        if server.poll() is not None:
            sys.exit(f"the server ended with status {server.returncode} before it answered")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    sys.exit("the server did not answer within 30 seconds")


def cpu_seconds(pid: int) -> float:
    """What the process has used so far, in user and system time (Linux: to 10 ms; elsewhere as `ps` tells it)."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        user, system = stat.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / TICKS
    said = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    seconds = 0.0
    for part in said.strip().split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def measure(wrk: tuple[str, dict[str, str]], pid: int, url: str, seconds: int, connections: int) -> str:
    program, environment = wrk
    command = [program, "--latency", "-t1", f"-c{connections}", f"-d{seconds}s", url]
    before = cpu_seconds(pid)
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(pid) - before

    requests = re.search(r"(\d+) requests in", said)
    if requests is None or requests[1] == "0":
        sys.exit(f"{url} was not answered:\n{said}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    slow = re.findall(r"(50|99)%\s+(\S+)", said)
    bad = re.findall(r"Non-2xx.*|Socket errors.*", said)
    each = used / int(requests[1]) * 1e6
    percentiles = "  ".join(f"p{percent} {value}" for percent, value in slow)
    return "  ".join([f"{float(rate[1] if rate else 0):>9,.0f} req/s  {each:6.1f} us CPU/request", percentiles, *bad])


def main() -> None:
    """Measure each path in turn, after a second in which the server warms up."""
    parser = argparse.ArgumentParser(prog="make wrk ARGS=", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "paths", nargs="*", default=["/api/users/1", "/api/users", "/"], help="to measure, each in turn"
    )
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--database", help="a URL; an empty SQLite file by default")
    options = parser.parse_args()
    wrk, port = find_wrk(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        database = options.database or f"sqlite:///{folder}/wrk.db"
        command = [sys.executable, "examples/users_app.py", "--port", str(port), "--database", database]
        server = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL)
        try:
            wait_until_it_answers(server, port)
            for path in options.paths:
                url = f"http://127.0.0.1:{port}{path}"
                measure(wrk, server.pid, url, 1, options.connections)
                print(f"{path:<20}{measure(wrk, server.pid, url, options.seconds, options.connections)}", flush=True)
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()

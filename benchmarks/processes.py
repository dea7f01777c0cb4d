"""A server as a tree of processes: started on a core of its own, its CPU and memory read, and ended.

Owns: pinning, what the whole tree has cost so far (threads and children that have ended too), and ending it.
Must not know: what the processes do, which requests they get, or why they are measured.
Invariant: what was started here is ended here, in the order in which it was started, and nothing else ever is.

CPU time comes from each process's own clock, which counts in nanoseconds and includes threads that have ended; what
children used that have ended as well stands in /proc/PID/stat of their parent, to 10 ms. Elsewhere than on Linux there
is neither: `ps` tells it to 10 ms for one process.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

__all__ = ["CLIENT_CORE", "SERVER_CORE", "DidNotAnswer", "Server", "cores", "cpu_seconds", "free_port", "tree"]

LINUX = sys.platform == "linux"
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 60.0  # seconds for a server to answer, and to end


def cores() -> tuple[int, int]:
    """A core for the server and another for whatever loads it; on a machine with one core, twice the same."""
    allowed = sorted(os.sched_getaffinity(0)) if LINUX else [0]
    return allowed[0], allowed[-1]


SERVER_CORE, CLIENT_CORE = cores()


class DidNotAnswer(RuntimeError):
    """The server ended, or was silent for too long; the text ends with what it said last."""


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def pin(core: int) -> Iterator[None]:
    """What is started meanwhile, by this thread, stays on that core."""
    if not LINUX:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pinned(command: Sequence[str], core: int) -> list[str]:
    """The command, to be run on one core; it and what it starts stay there."""
    return ["taskset", "--cpu-list", str(core), *command] if LINUX else list(command)


def parents() -> dict[int, int]:
    """Each process's parent, of all that are alive."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return found


def tree(root: int) -> list[int]:
    """The process and all its descendants that are alive, parents first."""
    if not LINUX:
        return [root]
    above = parents()
    members = [root]
    for each in members:  # grows while we walk along it
        members += [pid for pid, parent in above.items() if parent == each]
    return members


def cpu_seconds(pids: Sequence[int]) -> float:
    """What these processes have used so far, in user and system time, with those of their children that have ended."""
    return sum(one_cpu_seconds(pid) for pid in pids)


def one_cpu_seconds(pid: int) -> float:
    if not LINUX:
        said = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
        seconds = 0.0
        for part in said.strip().split(":"):
            seconds = seconds * 60 + float(part)
        return seconds
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended_children = (int(stat[13]) + int(stat[14])) / TICKS
    # The clock of another process, as clock_getcpuclockid(3) makes its number: what the scheduler counted.
    return time.clock_gettime((~pid << 3) | 2) + ended_children


def status_kib(pids: Sequence[int], field: str) -> int:
    """The sum of a field of /proc/PID/status, in KiB: VmRSS is memory now, VmHWM the most since `forget_peak`."""
    total = 0
    for pid in pids:
        found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        total += int(found[1]) if found else 0
    return total


def forget_peak(pids: Sequence[int]) -> None:
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


class Server:
    """`with Server(command, port) as server:` runs a command on the server's core until it answers, and ends it after.

    `log` gets what it says. Raises DidNotAnswer when it ends or stays silent instead.
    """

    def __init__(
        self, command: Sequence[str], port: int, *, log: IO[str], env: Mapping[str, str] | None = None
    ) -> None:
        self.command, self.port, self._log = list(command), port, log
        # A group of its own: Ctrl-C ends the measuring, which then ends the server.
        self._process = subprocess.Popen(
            pinned(command, SERVER_CORE),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        try:
            self.wait_until_it_answers()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The server's processes that are alive now."""
        return tree(self._process.pid)

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def last_words(self) -> str:
        self._log.flush()
        lines = [line.strip() for line in Path(self._log.name).read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"

    def wait_until_it_answers(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise DidNotAnswer(f"ended with status {self._process.returncode}: {self.last_words()}")
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise DidNotAnswer(f"no answer within {PATIENCE:g} seconds: {self.last_words()}")

    def close(self) -> None:
        """End it: the root politely, then whatever is left of the group that was made for it."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

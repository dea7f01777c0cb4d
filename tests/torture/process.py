"""A server in a process of its own, and what the system says of it.

Owns: starting it, asking it, ending it, its log, and its memory as the system counts it.
Must not know: what is done to it meanwhile.
Invariant: the process is gone when its block is left, and so is whatever it wrote elsewhere than in its log.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

__all__ = ["PATIENCE", "Process", "torture"]

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds until something that does not come is a failure
BETWEEN = 0.02  # seconds between two questions to another process, which nothing but asking can tell about


class Process:
    """A running subject: where it listens, how it is, what it logged."""

    def __init__(self, process: asyncio.subprocess.Process, log: IO[bytes], address: str) -> None:
        self.process = process
        self.address = address
        self._log = log
        place = urlsplit(address)
        self.host, self.port = place.hostname or "", place.port or 0

    @property
    def log(self) -> list[str]:
        """The lines of its standard error."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace").splitlines()

    def memory(self) -> int:
        """The bytes of memory it has at this moment."""
        status = Path(f"/proc/{self.process.pid}/status")
        if status.exists():
            return 1024 * int(status.read_text().split("VmRSS:")[1].split()[0])
        done = subprocess.run(["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, check=True)
        return 1024 * int(done.stdout)

    def reset_peak(self) -> None:
        """Let `peak` begin anew (Linux; elsewhere it is the highest since the start)."""
        marks = Path(f"/proc/{self.process.pid}/clear_refs")
        if marks.exists():
            marks.write_text("5")

    async def peak(self) -> int:
        """The most bytes of memory it ever had."""
        status = Path(f"/proc/{self.process.pid}/status")
        if status.exists():
            return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
        return int((await self.health())["peak"])

    async def health(self) -> dict[str, Any]:
        """What it counts itself: connections, running, handled, descriptors, tasks."""
        if self.process.stdin is None:
            raise RuntimeError("the process was started without a standard input")
        self.process.stdin.write(b"?\n")
        health: dict[str, Any] = json.loads(await self._line())
        return health

    async def _line(self) -> bytes:
        if self.process.stdout is None:
            raise RuntimeError("the process was started without a standard output")
        async with asyncio.timeout(PATIENCE):
            return await self.process.stdout.readline()

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Its health, once that is as wanted. Raises TimeoutError, with the last health."""
        health: dict[str, Any] = {}
        try:
            async with asyncio.timeout(PATIENCE):
                while not holds(health := await self.health()):
                    await asyncio.sleep(BETWEEN)
        except TimeoutError:
            raise TimeoutError(f"the server did not come to the wanted state; it is in {health}") from None
        return health

    async def end(self) -> tuple[int, dict[str, Any]]:
        """SIGTERM: its exit code, and what it said last."""
        self.process.terminate()
        async with asyncio.timeout(PATIENCE):
            output, _ = await self.process.communicate()
            lines = output.decode().splitlines()
            return await self.process.wait(), json.loads(lines[-1]) if lines else {}


@asynccontextmanager
async def torture(*, pass_fds: tuple[int, ...] = (), **options: Any) -> AsyncIterator[Process]:
    """A subject with these options; every warning of its Python is an error."""
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-m", "tests.torture.subject", json.dumps(options),
            cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, pass_fds=pass_fds,
            env={**os.environ, "PYTHONUNBUFFERED": "1"}, limit=1 << 24,
        )  # fmt: skip
        subject = Process(process, log, "")
        try:
            address = (await subject._line()).decode().strip()
            if not address:
                raise RuntimeError("the server did not start:\n" + "\n".join(subject.log))
            subject = Process(process, log, address)
            yield subject
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

"""People who write, through the example as a process: what each was told, and when.

Owns: the program's process, its clients (a thread each), and the ledger of what was acknowledged.
Must not know: the cluster, and what is done to it meanwhile.
Invariant: a client gives up nothing. Whatever is refused, lost or unknown is asked again, a POST with the same
Idempotency-Key, until it is acknowledged: so at the end the ledger and the table must be the same, row by row.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

__all__ = ["Load", "Program", "program"]

PROJECT = Path(__file__).resolve().parents[2]
CLIENTS = 8
PATIENCE = 90.0  # seconds until what is not acknowledged is a failure
PAUSE = 0.02  # seconds before a client asks again
# What was acknowledged by the node that is lost may not have been applied by the next one yet (docs/scaling.md: a stale
# read). If it never is, the client runs out of patience.
MAY_BE_ASKED_AGAIN = {("POST", 503): "refused", ("PATCH", 503): "refused", ("PATCH", 404): "stale"}


class Program:
    """The example, running: its port, and what it said on standard error."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: Path) -> None:
        self.port = port
        self._process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE)
        return self._process.returncode


@contextmanager
def program(url: str) -> Iterator[Program]:
    """The example on this database, on a port that the system chose."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "examples/users_app.py", "--port", "0", "--database", url],
                cwd=PROJECT, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        try:
            said = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://127\.0\.0\.1:([0-9]+)", said)
            if found is None:
                raise RuntimeError(f"the example did not start: {said!r}\n{log.read_text()}")
            yield Program(process, int(found[1]), log)
        finally:
            process.kill()
            process.communicate()


class Load:
    """Clients that add a user and change it, again and again: `with Load(port, "a") as load: ...`.

    After the block every one of their requests is acknowledged. Raises what went wrong in a client.
    """

    def __init__(self, port: int, prefix: str) -> None:
        self._port = port
        self._prefix = prefix
        self._enough = threading.Event()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]
        self._faults: list[Exception] = []
        self.written: dict[str, int] = {}  # name and age of every user, as acknowledged last
        self.times: list[float] = []  # of each acknowledgment, on the monotonic clock
        self.refused: Counter[str] = Counter()

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._enough.set()
        for each in self._threads:
            each.join()
        if self._faults and reason[0] is None:
            raise self._faults[0]

    def wait_for(self, more: int) -> None:
        """Return when so many more requests were acknowledged."""
        with self._changed:
            goal = len(self.times) + more
            self._changed.wait_for(lambda: len(self.times) >= goal or self._faults, PATIENCE)
            if len(self.times) < goal:
                raise self._faults[0] if self._faults else TimeoutError(f"{self.refused} and nothing else for too long")

    def gap_after(self, moment: float) -> float:
        """The longest time without any acknowledgment from a moment on, in seconds."""
        times = [moment, *sorted(each for each in self.times if each > moment)]
        return max(later - earlier for earlier, later in pairwise(times))

    def _run(self, number: int) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            for count in range(10**6):
                if self._enough.is_set():
                    return
                name = f"{self._prefix}-{number}-{count}"
                user = {"name": name, "age": 0, "sex": "other", "city": "Galera"}
                answer = self._acknowledged(client, "POST", "/api/users", user, {"idempotency-key": name})
                self._note(name, 0)
                age = count % 150 + 1
                self._acknowledged(client, "PATCH", f"/api/users/{answer['id']}", {"age": age}, {})
                self._note(name, age)
        except Exception as error:  # told to the test, which runs in another thread
            self._faults.append(error)
        finally:
            client.close()
            with self._changed:
                self._changed.notify_all()

    def _note(self, name: str, age: int) -> None:
        with self._changed:
            self.written[name] = age
            self.times.append(time.monotonic())
            self._changed.notify_all()

    def _acknowledged(
        self, client: http.client.HTTPConnection, method: str, path: str, value: Any, headers: dict[str, str]
    ) -> Any:
        """Ask until the answer is a success."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            client.request(method, path, json.dumps(value), {"content-type": "application/json", **headers})
            response = client.getresponse()
            body = json.loads(response.read())
            if response.status in (200, 201):
                return body
            refused = MAY_BE_ASKED_AGAIN.get((method, response.status))
            if refused is None:
                raise RuntimeError(f"{method} {path}: {response.status} {body}")
            unknown = response.status == 503 and response.headers["retry-after"] is None
            self.refused["unknown" if unknown else refused] += 1
            time.sleep(PAUSE)
        raise TimeoutError(f"{method} {path} was not acknowledged within {PATIENCE:g} s")

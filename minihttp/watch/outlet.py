"""Snapshots for the owner's other processes, through a Unix socket.

Owns: the socket, where it lies and who may open it, and the threads that answer.
Must not know: what a snapshot says, or who reads it.
Invariant: only the owner of the process can open it (a folder of mode 0700, a socket of mode 0600). It answers from
threads of its own, so also while the loop is blocked; whoever reads slowly or leaves holds up nobody.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigError
from .records import Snapshot

__all__ = ["Outlet", "folder", "outlets"]

EVERY = 0.5  # seconds between two snapshots
PATIENCE = 5.0  # seconds for a reader to take one


def folder() -> Path:
    """Where the sockets of this user's processes lie. Raises ConfigError where somebody else owns it."""
    place = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"minihttp-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(f"{place} is not a folder that only you can open: remove it, or set XDG_RUNTIME_DIR")
    return place


def outlets() -> Iterator[tuple[int, Path]]:
    """The process number and the socket of each process that can be watched; those left by the dead are removed."""
    for path in sorted(folder().glob("*.sock")):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink(missing_ok=True)
                continue
        yield int(path.stem), path


class Outlet:
    """A thread that sends a snapshot, as a line of JSON, twice a second to each process that connects.

    Example: `outlet = Outlet(recorder.snapshot)`, and `outlet.close()` in the end. `snapshot` is called in a thread.
    Raises ConfigError.
    """

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot
        self._closed = threading.Event()
        self.path = folder() / f"{os.getpid()}.sock"
        self.path.unlink(missing_ok=True)  # of a dead process that had our number
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            self._listener.bind(str(self.path))
            self.path.chmod(0o600)
            self._listener.listen()
        except OSError as error:
            self._listener.close()
            raise ConfigError(f"cannot listen at {self.path} for `python -m minihttp top`: {error.strerror}") from error
        threading.Thread(target=self._accept, name="minihttp outlet", daemon=True).start()

    def close(self) -> None:
        """Remove the socket and end the threads."""
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in `accept`
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                reader, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(reader,), name="minihttp outlet", daemon=True).start()

    def _serve(self, reader: socket.socket) -> None:
        with reader, suppress(OSError):  # it left, or took nothing for too long
            reader.settimeout(PATIENCE)
            while True:
                reader.sendall(json.dumps(self._snapshot()).encode() + b"\n")
                if self._closed.wait(EVERY):
                    return

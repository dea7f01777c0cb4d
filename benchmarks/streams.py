"""Bodies of 100 MiB and connections that do nothing: a client of our own, on the client's core.

Owns: sending and reading a long body in pieces, and holding many connections open.
Must not know: who answers, and what it costs.
Invariant: what arrived is counted; a body that is too short raises.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.apps import content
from benchmarks.checking import WrongAnswer, compare
from benchmarks.workloads import Workload

SIZE = content.CHUNKS * len(content.CHUNK)
PATIENCE = 60.0  # seconds


def upload(workload: Workload, port: int) -> None:
    """Send 100 MiB with a length, read the count that the contender answers. Raises WrongAnswer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", workload.path, content.chunks(), {"Content-Length": str(SIZE)})
    answer = connection.getresponse()
    compare(workload, answer.status, answer.read().decode())
    connection.close()


def download(workload: Workload, port: int) -> None:
    """Read 100 MiB to the end. Raises WrongAnswer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", workload.path)
    answer = connection.getresponse()
    first, size, buffer = answer.read(len(content.CHUNK)), 0, bytearray(1 << 18)
    size = len(first)
    while count := answer.readinto(buffer):
        size += count
    connection.close()
    if (answer.status, first, size) != (200, content.CHUNK, SIZE):
        raise WrongAnswer(f"{workload.name}: answered {answer.status}, {size} bytes instead of {SIZE}")


@contextmanager
def idle(port: int, count: int) -> Iterator[None]:
    """Open connections, have each answer one request, and leave them open."""
    request = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            client.sendall(request)
            answered = b""
            while content.PLAIN.encode() not in answered:
                data = client.recv(4096)
                if not data:
                    raise WrongAnswer("idle: a connection was closed instead of answered")
                answered += data
        yield

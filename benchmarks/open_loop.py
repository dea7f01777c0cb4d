"""Requests at times that no answer moves: an open loop, for latency.

Owns: when each request is due, sending it and reading its answer, and the time in between.
Must not know: whose answer it is, and at which rate it should be asked for.
Invariant: latency counts from when a request was due, not from when it left: a client that waits for a slow answer, and
asks the less for it, would measure that nobody waits.

wrk has no rate: its connections wait for their answers, and what its scripts let it wait for is counted in whole
milliseconds, in which a quick server answers thirty requests. This client has one core for itself, never sleeps, and
says how late it was. The requests are a Poisson process, each from the connection that has been free for longest.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random

from benchmarks.checking import WrongAnswer

REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BODY, LAST_CHUNK = b"Hello, world!", b"\r\n0\r\n\r\n"
OK = b"HTTP/1.1 200 "
MOST = 8192  # bytes to read at once
PATIENCE = 10.0  # seconds: for an answer, and for all of them after the last was due


@dataclass(frozen=True)
class Seen:
    """In microseconds, ascending: from due to answered; to sent, from due and from when a connection was free for it.

    The second is the client's own fault: when it is large, something else had the client's core.
    """

    latencies: Sequence[float]
    late: Sequence[float]


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The least value that so many percent do not exceed."""
    return ascending[min(len(ascending) - 1, int(len(ascending) * percent / 100))]


def schedule(rate: float, seconds: float, seed: int) -> list[int]:
    """When each request is due, in nanoseconds from the start: at random, `rate` of them a second on average."""
    random, due, at = Random(seed), [], 0.0
    while (at := at + random.expovariate(rate)) < seconds:
        due.append(int(at * 1e9))
    return due


def complete(data: bytes) -> bool:
    """Whether this is all of an answer. Raises WrongAnswer when it can never be the right one."""
    if not data.startswith(OK[: len(data)]):
        raise WrongAnswer(f"latency: answered {data[:60]!r}")
    return data.endswith(LAST_CHUNK if b"chunked" in data else BODY)


def read(descriptor: int) -> bytes:
    """What has come. Raises WrongAnswer where the connection was closed."""
    data = os.read(descriptor, MOST)
    if not data:
        raise WrongAnswer("latency: a connection was closed instead of answered")
    return data


class Client:
    """So many open connections, each of which has had one answer: `Client(port, 256, stack).run(due)`."""

    def __init__(self, port: int, count: int, stack: ExitStack) -> None:
        self._poll = stack.enter_context(select.epoll())
        self._connections: list[int] = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(REQUEST)
            data = connection.recv(MOST)
            while not complete(data):
                data += connection.recv(MOST) or read(connection.fileno())
            connection.setblocking(False)
            self._poll.register(connection, select.EPOLLIN)
            self._connections.append(connection.fileno())

    def run(self, due: Sequence[int]) -> Seen:
        """Ask when it is due, all of it. Raises WrongAnswer; TimeoutError when the last answers do not come."""
        latencies: list[int] = []
        late: list[int] = []
        free = deque((each, 0) for each in self._connections)  # and since when
        asked: dict[int, int] = {}  # by descriptor: when its request was due
        begun: dict[int, bytes] = {}  # answers that came in part
        answer = b""  # the last: most are equal to it
        clock, poll = time.perf_counter_ns, self._poll.poll
        requests = iter(due)
        coming, end = next(requests), due[-1] + int(PATIENCE * 1e9)
        start, now = clock(), 0
        while len(latencies) < len(due):
            if coming <= now and free:
                descriptor, since = free.popleft()
                asked[descriptor] = coming
                os.write(descriptor, REQUEST)
                late.append(now - max(coming, since))
                coming = next(requests, end)
            for descriptor, _ in poll(0):
                if descriptor not in asked:
                    raise WrongAnswer("latency: bytes, or an end, that nobody asked for")
                data = read(descriptor)
                if data != answer:  # the same bytes as before are an answer
                    begun[descriptor] = data = begun.get(descriptor, b"") + data
                    if not complete(data):
                        continue
                    answer = begun.pop(descriptor)
                now = clock() - start
                latencies.append(now - asked.pop(descriptor))
                free.append((descriptor, now))
            now = clock() - start
            if now > end:
                raise TimeoutError(f"latency: {len(due) - len(latencies)} of {len(due)} answers did not come")
        return Seen(*(sorted(each / 1000 for each in found) for found in (latencies, late)))


def drive(port: int, rate: float, seconds: float, connections: int, seed: int = 1) -> Seen:
    """So many requests a second for so many seconds. Raises WrongAnswer, TimeoutError."""
    due = schedule(rate, seconds, seed)
    with ExitStack() as stack:
        client = Client(port, connections, stack)
        stack.callback(gc.enable)
        gc.disable()
        return client.run(due)

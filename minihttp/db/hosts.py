"""Which of several servers to ask next.

Owns: the order of the URL's hosts, and for how long one that failed is asked last.
Must not know: connections, the pool, any I/O.
Invariant: plain data; times are given by the caller. Preference, not stickiness: the first host that works is the one
to use, so that all processes with the same URL come to use the same server again after each found a way of its own
around a fault. The price is a second move when the first is back; it happens only as new connections are made.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Address", "Hosts", "host_and_port", "obstacle"]

logger = logging.getLogger("minihttp.db")

Address = tuple[str, int]

FIRST_REST = 1.0  # seconds; doubled per failure
LONGEST_REST = 30.0


class Rest(NamedTuple):
    """After how many failures in a row a host is left alone, and until when."""

    failures: int
    until: float


class Hosts:
    """The hosts in the order of the URL, but for those that rest: they come last.

    Example: after `hosts.failed(first, now)`, `hosts.in_order(now)` is `[second, first]`, and after its rest
    `[first, second]` again.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses
        self._resting: dict[Address, Rest] = {}
        self._in_use: Address | None = None

    def in_order(self, now: float) -> list[Address]:
        """All of them: one that rests may still be the only one that works."""
        return sorted(self._addresses, key=lambda each: self._rests(each, now))

    def failed(self, address: Address, now: float) -> None:
        """It could not be used at `now` (seconds); several that saw the same failure count as one."""
        if not self._rests(address, now):
            failures = self._resting[address].failures + 1 if address in self._resting else 1
            wait = min(LONGEST_REST, FIRST_REST * 2 ** min(failures - 1, 20))
            self._resting[address] = Rest(failures, now + wait * random.uniform(0.5, 1.0))

    def works(self, address: Address) -> None:
        """It let us in: the operator reads one line where the last one was another."""
        self._resting.pop(address, None)
        if self._in_use not in (None, address):
            logger.warning("new database connections go to %s:%d", *address)
        self._in_use = address

    def _rests(self, address: Address, now: float) -> bool:
        return address in self._resting and now < self._resting[address].until


def host_and_port(address: Address) -> str:
    """How an address is written: `db.example:3306`."""
    return f"{address[0]}:{address[1]}"


def obstacle(said: Mapping[str, str]) -> str:
    """What keeps a server from taking a change, by its own variables and status; "" for nothing."""
    # A server outside of any cluster has wsrep_on OFF, or no such variable. super_read_only implies read_only.
    if said.get("wsrep_on") == "ON" and said.get("wsrep_ready") == "OFF":
        return "is a node of a cluster and not ready: it has no quorum, or is still joining"
    return "" if said.get("read_only", "OFF") == "OFF" else "is read-only"

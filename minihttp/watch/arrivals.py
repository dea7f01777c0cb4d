"""What has arrived and was not read or accepted, as the system knows it.

Owns: the fields of Linux's TCP_INFO that tell it.
Must not know: blocks, records.
Invariant: asks only where the answer exists (Linux, TCP); elsewhere it knows nothing and says nothing.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

__all__ = ["backlog", "unread"]

MOST = 2000  # connections that are asked
# Offsets in struct tcp_info (linux/tcp.h). Of a listening socket the first two are its queue and its queue's limit.
UNACKED, SACKED, LAST_DATA_RECEIVED = 24, 28, 52


def info(sock: Any, offset: int) -> int:
    """One field of a TCP socket's state. Raises OSError where there is none."""
    if sys.platform != "linux":
        raise OSError("only Linux tells")
    found: tuple[int] = struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), offset)
    return found[0]


def unread(connections: Iterable[Any], since: float, now: float) -> Mapping[Any, float]:
    """The connections whose bytes lie in the system's buffer, and since when, `since` at the earliest."""
    found = {}
    for connection in islice(connections, MOST):
        with suppress(OSError, AttributeError, ValueError):  # it is closed, no TCP, or has no socket
            sock = connection.socket
            waiting = array.array("i", [0])
            fcntl.ioctl(sock.fileno(), termios.FIONREAD, waiting)
            if waiting[0] and not connection.is_busy:
                found[connection] = max(since, now - info(sock, LAST_DATA_RECEIVED) / 1000)
    return found


def backlog(sock: Any) -> tuple[int, int]:
    """How many connections wait to be accepted on a listening socket, and how many may; zeros if not known."""
    with suppress(OSError):
        return info(sock, UNACKED), info(sock, SACKED)
    return 0, 0

"""Tests of an application, or of the server, in memory: through the real parser and protocol, without a socket."""

from __future__ import annotations

from .client import Client
from .connection import MemoryConnection
from .replies import IncompleteReply, InvalidReply, Reply, ReplyReader
from .transport import MemoryTransport

__all__ = [
    "Client", "IncompleteReply", "InvalidReply", "MemoryConnection", "MemoryTransport", "Reply", "ReplyReader",
]  # fmt: skip

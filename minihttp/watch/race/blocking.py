"""The first server that everybody writes: a socket, and one client after another.

Owns: nothing but its socket. It speaks just enough HTTP for the race.
Must not know: that others want something too, and that is its trouble.
Invariant: the second client is looked at when the first has left. Run it: `python -m minihttp.watch.race.blocking`.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress

__all__ = ["BLOCK", "QUERY", "listen", "serve_client"]

QUERY = 0.05  # seconds that the pretended database takes to answer
BLOCK = 1.0  # seconds that the pretended bad handler keeps its thread
DONE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ndone\n"


def listen() -> socket.socket:
    """A socket that listens on a free port, which is printed for whoever started this program."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listener.getsockname()[1], flush=True)
    return listener


def serve_client(client: socket.socket) -> None:
    """Answer the requests of one client until it leaves."""
    with suppress(ConnectionError), client, client.makefile("rb") as lines:
        while request := lines.readline():
            while lines.readline().strip():
                pass  # the header, of which nothing is needed
            if b" /query " in request:
                time.sleep(QUERY)
            elif b" /block " in request or b" /thread " in request:
                time.sleep(BLOCK)
            client.sendall(DONE)


def main() -> None:
    """Serve until the process is ended."""
    with listen() as listener:
        while True:
            client, _ = listener.accept()
            serve_client(client)


if __name__ == "__main__":
    main()

"""The second server that everybody writes: the first one, with a thread for each client.

Owns: its threads.
Must not know: how a client is served; that is in `blocking`, word for word.
Invariant: a client waits for nobody but itself, and costs a thread even while it says nothing. Run it:
`python -m minihttp.watch.race.threads`.
"""

from __future__ import annotations

import threading

from .blocking import listen, serve_client

__all__ = ["main"]


def main() -> None:
    """Serve until the process is ended."""
    with listen() as listener:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve_client, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main()

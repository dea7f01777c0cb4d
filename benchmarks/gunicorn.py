"""How gunicorn runs the WSGI peers: one worker with threads, so that connections are kept alive; no access log.

Owns: gunicorn's settings, which it reads from this file.
Must not know: the applications.
Invariant: one worker process, as every peer has.
"""

from __future__ import annotations

workers = 1
worker_class = "gthread"  # the sync class, the default, closes each connection and is for use behind a buffering proxy
threads = 4
keepalive = 75
loglevel = "warning"

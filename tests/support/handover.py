"""The child that becomes a server: `handover.py PARENT DESCRIPTOR... -- COMMAND...`.

Owns: tying the server's life to its parent's, and putting listening sockets where systemd would (LISTEN_FDS).
Must not know: which server. A program of its own and not `preexec_fn`, which may not run in a process with threads.
Invariant: when the parent is gone, the server is (Linux).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys

split = sys.argv.index("--")
parent, *listening = map(int, sys.argv[1:split])
command = sys.argv[split + 1 :]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit("the parent was gone before its server started")
# First out of the way, as one of them may stand where another must go.
aside = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 100) for each in listening]
for place, each in enumerate(aside, start=3):
    os.dup2(each, place)
if listening:
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(listening))}
os.execv(command[0], command)

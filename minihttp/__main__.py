"""`python -m minihttp`: the command line.

Owns: nothing.
Must not know: anything but `cli`.
Invariant: importing it has no effect.
"""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()

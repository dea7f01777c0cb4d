"""A file for an upload: in memory, or on disk if it is large.

Owns: when such a file is closed.
Must not know: forms, or what is written.
Invariant: one that is forgotten is closed, without a warning. A module of its own, because the first upload imports
it: `tempfile` and what that needs take 3 ms which every program would pay for otherwise.
"""

from __future__ import annotations

from tempfile import SpooledTemporaryFile

__all__ = ["Spooled"]


class Spooled(SpooledTemporaryFile[bytes]):
    """Bytes in memory, or in a temporary file if they are many; closed when forgotten, without a warning."""

    __del__ = SpooledTemporaryFile.close

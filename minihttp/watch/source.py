"""Whose code a file is, and what its lines say.

Owns: the border between the application's code and everybody else's, and the mute `# loop: ok`.
Must not know: frames, records, what a line is shown for.
Invariant: reads source files and nothing else; a file that cannot be read has no lines, which is no error.
"""

from __future__ import annotations

import linecache
import sysconfig
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["PACKAGE", "Place", "is_yours"]

PACKAGE = Path(__file__).parents[1]
# Not the application's: the standard library, what is installed, and minihttp but for its demonstrations.
OTHERS = (*{sysconfig.get_path(each) + "/" for each in ("stdlib", "platstdlib", "purelib", "platlib")}, f"{PACKAGE}/")
DEMONSTRATIONS = f"{PACKAGE}/watch/tour"
MUTE = "# loop: ok"
AROUND = 2  # lines shown above and below


@lru_cache(4096)
def is_yours(file: str) -> bool:
    """Whether a file is the application's own, so that its reader can change it."""
    return file.startswith(DEMONSTRATIONS) or not (file.startswith(("<", *OTHERS)) or "/site-packages/" in file)


class Place(NamedTuple):
    """A line of a file: `Place("/srv/shop/app.py", 40)`; as text `app.py:40`."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.name}:{self.line}"

    @property
    def name(self) -> str:
        """The file as seen from here: `shop/app.py`, or its name alone where it lies elsewhere."""
        path = Path(self.file)
        return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name

    def text(self) -> str:
        """The line, stripped."""
        return linecache.getline(self.file, self.line).strip()

    def around(self) -> list[tuple[int, str]]:
        """The line among its neighbors, numbered."""
        numbers = range(max(1, self.line - AROUND), self.line + AROUND + 1)
        lines = [(number, linecache.getline(self.file, number).rstrip()) for number in numbers]
        return [each for each in lines if each[1] or each[0] == self.line]

    def is_muted(self) -> bool:
        """Whether the line says `# loop: ok`: its author knows, and wants no warning."""
        return MUTE in self.text()

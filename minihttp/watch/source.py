"""Whose code a file is, and what its lines say.

Owns: the border between the application's code and everybody else's, and the mute `# loop: ok`.
Must not know: frames, records, what a line is shown for.
Invariant: reads source files and nothing else; a file that cannot be read has no lines, which is no error.
"""

from __future__ import annotations

import ast
import linecache
import sysconfig
from collections.abc import Callable, Sequence
from functools import lru_cache
from inspect import unwrap
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["PACKAGE", "Place", "declared", "is_yours"]

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

    @classmethod
    def at(cls, where: str) -> Place:
        """A place as routes name theirs: `Place.at("/srv/shop/app.py:40")`."""
        file, _, line = where.rpartition(":")
        return cls(file, int(line))

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
        """Whether its statement says `# loop: ok`: its author knows, and wants no warning."""
        lines = linecache.getlines(self.file)
        if not any(MUTE in each for each in lines):  # to parse a file holds the interpreter's lock: only where it pays
            return False
        around = (each for each in statements(self.file) if self.line in each)
        own = next(around, range(self.line, self.line + 1))
        return any(MUTE in each for each in lines[own.start - 1 : own.stop - 1])


def declared(function: Callable[..., Any]) -> Place | None:
    """Where a function of the application is declared, from its first decorator on; None for anybody else's."""
    code = getattr(unwrap(function), "__code__", None)
    return Place(code.co_filename, code.co_firstlineno) if code is not None and is_yours(code.co_filename) else None


@lru_cache(64)
def statements(file: str) -> Sequence[range]:
    """The lines of each statement of a file, decorators included; of one with a body only those in front of it."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:  # no Python: a template of which code was made
        return ()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            inner = getattr(node, "body", None) or [each.pattern for each in getattr(node, "cases", [])]
            end = begin(inner[0]) if inner else (node.end_lineno or 0) + 1
            found.append(range(begin(node), max(end, node.lineno + 1)))
    return found


def begin(node: ast.stmt | ast.pattern) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])

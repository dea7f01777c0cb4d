"""A copy of the package under another name, as it is or with all that serves the view of the loop cut out of its text.

Owns: what the hook is, line by line, and that each of these lines was found.
Must not know: what the copies are for, how they are measured.
Invariant: what is left names neither a recorder nor `waits`, or there is no copy. A copy of the other kind differs from
the package in nothing but its name and its place, so what two equal programs differ by can be measured too.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

__all__ = ["copy_package"]

PACKAGE = Path(__file__).parents[1] / "minihttp"
# What to cut from which file, and how often it must be there.
LABEL = r"^ +(?:waits\.)?waiting_for\(.*\)(?:  # .*)?\n"
IMPORT = r"^from \.+(?:waits)? import (?:waits|waiting_for)\n"
GUARDED = r"^ +if waits\.current\.record is not None:.*\n.*\n"
HOOK = [
    ("server/server.py", r" if trace is None else trace\.wrap\(serve_request\)", 1),
    ("server/body.py", LABEL, 1),
    ("server/body.py", IMPORT, 1),
    ("server/flow.py", LABEL, 1),
    ("server/flow.py", IMPORT, 1),
    ("db/session.py", GUARDED, 1),
    ("db/session.py", IMPORT, 1),
    ("db/executor.py", LABEL, 2),
    ("db/executor.py", IMPORT, 1),
    ("db/pool.py", GUARDED, 1),
    ("db/pool.py", r"^ +waits\.gauges\.add\(self\)\n", 1),
    ("db/pool.py", IMPORT, 1),
]
LEFT = re.compile(r"waiting_for|\bwaits\.[a-z]|import waits")


def copy_package(folder: Path, name: str, hook: bool) -> None:
    """Make `folder/name`, to be imported as `name`. Raises ValueError where the hook is not what it was."""
    copy = folder / name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    if hook:
        return
    for file, pattern, times in HOOK:
        text, found = re.subn(pattern, "", (copy / file).read_text(), flags=re.MULTILINE)
        if found != times:
            raise ValueError(f"{file}: {found} times {pattern}, not {times}: tell {__name__} what the hook is now")
        (copy / file).write_text(text)
    (copy / "waits.py").unlink()
    shutil.rmtree(copy / "watch")
    for path in copy.rglob("*.py"):
        if LEFT.search(path.read_text()):
            raise ValueError(f"{path.relative_to(copy)} still names the hook: tell {__name__} what it is now")

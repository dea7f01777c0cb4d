"""An input that fails the checks: found, made as short as it can be, shown, kept and tried again.

Owns: which checks there are, and what becomes of an input that fails one.
Must not know: where inputs come from.
Invariant: whether an input fails depends on nothing but the input: the parser remembers nothing of earlier ones.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from .fuzz import check
from .fuzz_inputs import joined, parts
from .fuzz_splits import check_replies

__all__ = ["check_input", "failure", "replay", "report", "shrunk"]

TRIES = 2000  # inputs tried at most to make a failing one shorter

Check = Callable[[bytes], None]


def check_input(raw: bytes) -> None:
    """All checks of one input. Raises AssertionError, and whatever the code raises that it must not."""
    data, cut = parts(raw)
    check(data, cut)
    check_replies(data, cut)


def failure(raw: bytes, check: Check = check_input) -> tuple[str, int] | None:
    """Which failure it is: its kind and the line that raised it; None if there is none."""
    try:
        check(raw)
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        return type(error).__name__, trace.tb_lineno if trace else 0
    return None


def shrunk(raw: bytes, check: Check = check_input) -> bytes:
    """A shorter input with the same failure: parts are left out, ever smaller ones, as long as it fails."""
    wanted = failure(raw, check)
    data, cut = parts(raw)
    size, tries = len(data), 0
    while size:
        for start in range(len(data) - size, -1, -1):
            rest = data[:start] + data[start + size :]
            moved = cut if cut <= start else max(start, cut - size)
            tries += 1
            if tries <= TRIES and failure(joined(rest, moved), check) == wanted:
                data, cut = rest, moved
        size = min(size, len(data) + 1) // 2
    return joined(data, cut)


def report(raw: bytes, folder: Path, check: Check = check_input) -> Path:
    """Show a failing input and what is wrong with it, and keep it for `make fuzz INPUT=...`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"failing-{hashlib.sha256(raw).hexdigest()[:12]}"
    file.write_bytes(raw)
    data, cut = parts(raw)
    print(f"{data!r}, cut at {cut}, fails:", file=sys.stderr)
    try:
        check(raw)
    except Exception as error:
        print(f"  {type(error).__name__}: {error}", file=sys.stderr)
    print(f"Again: make fuzz INPUT={os.path.relpath(file)}", file=sys.stderr, flush=True)
    return file


def replay(inputs: Iterable[bytes], folder: Path, check: Check = check_input) -> int:
    """Try all of them, report those that fail; 1 if any did, else 0."""
    inputs = list(inputs)
    failing = [raw for raw in inputs if failure(raw, check)]
    for raw in failing:
        report(raw, folder, check)
    print(f"{len(inputs)} inputs, {len(failing)} failed", flush=True)
    return 1 if failing else 0

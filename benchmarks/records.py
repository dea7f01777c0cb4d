"""The raw results: one JSON object a line, added as soon as it is measured, and never changed.

Owns: the file, what makes two runs the same run, and which measurements are there already.
Must not know: how anything is measured or shown.
Invariant: a line is complete or not there; whatever is published can be computed from the file again.

Records: `run` (first: commit, machine, versions, settings), `workload` (how it is loaded), `contender` (command, loop,
versions), `answer`, `measurement`, `failure` and `missing` (with the reason), `end` (all that was planned is there). A
`disturbed` one was a measurement of a workload that has been measured again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]


def load(path: Path) -> list[dict[str, Any]]:
    """All records of a file; a last line that an interruption cut short is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


class Records:
    """An open results file: `Records(path, run)` goes on where the same run was interrupted, else starts anew.

    One that is finished stays as it is, unless it is to be measured `anew`.
    """

    def __init__(self, path: Path, run: Record, *, anew: bool = False) -> None:
        self._path = path
        self.all = load(path)
        finished = anew and self.has(record="end")
        self.resumed = bool(self.all) and same_run(self.all[0], run) and not finished
        if not self.resumed:
            self.all = []
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = path.with_suffix(".part")  # written anew, because the last line may be cut short
        kept.write_text("".join(as_line(each) for each in self.all))
        kept.replace(path)
        if not self.resumed:
            self.add(record="run", **run)

    def add(self, **record: Any) -> None:
        self.all.append(record)
        with self._path.open("a") as file:
            file.write(as_line(record))

    def finish(self) -> None:
        """All is measured."""
        if not self.has(record="end"):
            self.add(record="end")

    def has(self, **wanted: Any) -> bool:
        """Whether a record with these values is there."""
        return any(all(each.get(name) == value for name, value in wanted.items()) for each in self.all)


def as_line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def same_run(first: Record, second: Record) -> bool:
    """Whether measurements of both belong together: the same code, versions, machine and settings."""
    return all(first.get(name) == second.get(name) for name in ("commit", "changed", "machine", "versions", "settings"))


def only(records: Iterable[Record], kind: str) -> list[Record]:
    return [each for each in records if each["record"] == kind]

"""`python -m minihttp race`: the race as a command.

Owns: its arguments, and the order in which heats are run and shown.
Must not know: how a heat is run or drawn.
Invariant: each result is shown when it is there; the picture is written when all are.
"""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from ...errors import ConfigError
from .drawing import as_svg, as_text
from .heats import CONTESTANTS, HEATS, Heat, Result, run

__all__ = ["race"]


def race(arguments: Sequence[str]) -> None:
    """Run the heats and show them: `race(["--heat", "1", "--picture", "race.svg"])`. Raises ConfigError."""
    parser = ArgumentParser(
        "python -m minihttp race",
        description="The same clients against three servers: one after another, a thread per client, and minihttp.",
    )
    numbers = range(1, len(HEATS) + 1)
    parser.add_argument("--heat", type=int, action="append", choices=numbers, help="only this one; may be repeated")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="draw the race into this file too")
    given = parser.parse_args(arguments)
    chosen = [HEATS[number - 1] for number in given.heat or numbers]
    try:
        raced = asyncio.run(run_all(chosen))
        if given.picture is not None:
            given.picture.write_text(as_svg(raced), encoding="utf-8")
            print(f"The picture is in {given.picture}")
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"the race was broken off: {error}") from error


async def run_all(heats: Sequence[Heat]) -> list[tuple[Heat, list[Result]]]:
    """Run the heats one after another, and in each the servers one after another."""
    raced: list[tuple[Heat, list[Result]]] = []
    for heat in heats:
        results = [await run(heat, contestant) for contestant in CONTESTANTS]
        raced.append((heat, results))
        print(as_text(heat, results), flush=True)
    return raced

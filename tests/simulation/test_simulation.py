"""The simulation as a test: no seed breaks a rule; with a bug in the server, one soon does."""

from __future__ import annotations

import pytest

from .bugs import BUGS, planted
from .play import play
from .run import broken_seeds, main

SEEDS = 2000
ENOUGH = 10_000  # seeds within which every bug must have been found


def test_no_seed_breaks_a_rule() -> None:
    assert broken_seeds(range(SEEDS)) == []


def first_broken(bug: str) -> int | None:
    with planted(bug):
        return next((seed for seed in range(ENOUGH) if play(seed)), None)


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_found(bug: str) -> None:
    assert first_broken(bug) is not None


def trace_of(seed: int) -> list[str]:
    steps: list[str] = []
    play(seed, steps.append)
    return steps


@pytest.mark.parametrize("seed", [3, 95, 712])
def test_a_seed_is_played_in_the_same_way_again(seed: int) -> None:
    assert trace_of(seed) == trace_of(seed)
    assert len(trace_of(seed)) > 10


def test_a_failing_seed_is_named_with_the_way_to_see_it(capsys: pytest.CaptureFixture[str]) -> None:
    bug = "no_lingering"
    seed = first_broken(bug)
    assert main(["--seed", str(seed), "--bug", bug, "--trace"]) == 1
    assert "BROKEN" in capsys.readouterr().out
    assert main(["--seed", str(seed)]) == 0
    with planted(bug):
        assert main(["--first", str(seed), "--seeds", "1", "--processes", "1"]) == 1
    told = capsys.readouterr().out
    assert f"--seed {seed} --trace" in told
    assert "1 of 1 seeds, 1 failed" in told

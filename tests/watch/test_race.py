"""The race: what the three servers do to the same clients, and how it is shown."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from minihttp.errors import ConfigError
from minihttp.watch.race import command, heats
from minihttp.watch.race.command import race
from minihttp.watch.race.drawing import as_svg, as_text
from minihttp.watch.race.heats import CONTESTANTS, HEATS, Heat, Result, run

SVG = "{http://www.w3.org/2000/svg}"


async def test_everybody_is_answered_by_each_of_the_three() -> None:
    heat = Heat("", "", clients=5, patience=20.0)
    for contestant in CONTESTANTS:
        result = await run(heat, contestant)
        assert len(result.answered) == result.asked == 5
        assert list(result.answered) == sorted(result.answered)
        assert result.memory is None  # nobody was weighed


async def test_a_silent_client_holds_up_only_the_server_of_one_client_at_a_time() -> None:
    silent = Heat("", "", path="/quick", clients=3, idle=1, patience=20.0)
    assert len((await run(silent, "threads")).answered) == 3
    assert len((await run(silent, "loop")).answered) == 3
    hopeless = Heat("", "", path="/quick", clients=3, idle=1, patience=0.2)
    assert (await run(hopeless, "blocking")).answered == ()


async def test_a_handler_that_blocks_holds_up_the_loop_and_a_thread_frees_it() -> None:
    blocked = Heat("", "", path="/quick", clients=3, first="/block", patience=20.0)
    freed = Heat("", "", path="/quick", clients=3, first="/thread", patience=20.0)
    # Both ways the same clients: nobody is answered before the first of those who blocks is.
    slow, quick = await run(blocked, "loop"), await run(freed, "loop")
    assert len(slow.answered) == len(quick.answered) == 3
    assert slow.answered[0] > quick.answered[-1]


async def test_an_idle_client_costs_a_thread_or_none() -> None:
    heat = Heat("", "", path="/quick", clients=1, idle=20, weighs=True, patience=20.0)
    threads, loop = await run(heat, "threads"), await run(heat, "loop")
    if sys.platform == "linux":
        assert threads.threads is not None and threads.threads > 20
        assert loop.threads == 1
        assert threads.memory is not None and loop.memory is not None
    else:
        assert threads.threads is loop.threads is None


async def test_a_server_that_does_not_start_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match=r"'tortoise' did not start: run python -m minihttp\.watch\.race\.tortoise"):
        await run(Heat("", ""), "tortoise")
    assert "No module named minihttp.watch.race.tortoise" in capfd.readouterr().err


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_descriptors_are_asked_for_only_where_they_are_needed(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    heats.allow_descriptors(200)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
    heats.allow_descriptors(400)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (400, hard)
    if hard != resource.RLIM_INFINITY:
        with pytest.raises(RuntimeError, match=rf"needs {hard + 1} open files and {hard} are allowed: ulimit -Hn"):
            heats.allow_descriptors(hard + 1)


FAST, SLOW = Result("loop", 2, (0.06, 0.07)), Result("blocking", 2, (0.5, 3.0))
NONE = Result("threads", 2, ())


def test_a_heat_in_words_and_dots() -> None:
    text = as_text(Heat("Two <clients>", "What it shows."), [SLOW, NONE, FAST]).splitlines()
    assert text[0] == "Two <clients>"
    assert text[1] == "  one after another   │     •                        •         │ 2 of 2 by 3.00 s"
    assert text[2] == f"  a thread per client │{' ' * 40}│ 0 of 2 answered in 4 s"
    assert text[3].endswith("│ 2 of 2 by 70 ms") and text[3].count("•") == 1  # both in the first column
    assert text[4] == "  What it shows."


def test_a_heat_about_memory_has_bars() -> None:
    heat = Heat("Idle", "", clients=1, weighs=True)
    rows = [Result("blocking", 1, ()), Result("threads", 1, (0.001,), 1501, 20.0), Result("loop", 1, (0.002,), 1, 5.0)]
    text = as_text(heat, rows).splitlines()
    assert "█" not in text[1]
    assert text[2].count("█") == 40 and text[2].endswith("│ 1 of 1 by 1 ms, 20.0 KiB a client, 1,501 threads")
    assert text[3].count("█") == 10 and text[3].endswith("│ 1 of 1 by 2 ms, 5.0 KiB a client, 1 thread")
    drawn = ElementTree.fromstring(as_svg([(heat, rows)]))
    assert [float(each.get("width", 0)) for each in drawn.iter(f"{SVG}rect") if each.get("fill")] == [620.0, 155.0]
    assert "20.0 KiB for each idle client" in words(drawn)


def test_a_picture_says_all_that_it_draws() -> None:
    drawn = ElementTree.fromstring(as_svg([(Heat("Two <clients>", "What it shows."), [SLOW, NONE, FAST])]))
    assert len(list(drawn.iter(f"{SVG}circle"))) == 4
    said = words(drawn)
    for each in ("Heat 1: Two <clients>", "What it shows.", *CONTESTANTS.values(), "0 of 2 answered in 4 s", "4.00 s"):
        assert each in said
    assert all(0 <= float(each.get("cx", -1)) <= 170 + 620 for each in drawn.iter(f"{SVG}circle"))


def words(drawn: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in drawn.iter(f"{SVG}text")]


def test_the_command_runs_the_heats_it_is_asked_for_and_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[Heat, str]] = []

    async def pretend(heat: Heat, contestant: str) -> Result:
        seen.append((heat, contestant))
        return Result(contestant, 1, (0.1,))

    monkeypatch.setattr(command, "run", pretend)
    picture = tmp_path / "race.svg"
    race(["--heat", "1", "--heat", "4", "--picture", str(picture)])
    assert seen == [(HEATS[number], each) for number in (0, 3) for each in CONTESTANTS]
    assert HEATS[3].title in capsys.readouterr().out
    assert f"Heat 2: {HEATS[3].title}" in words(ElementTree.parse(picture).getroot())
    seen.clear()
    race([])
    assert len(seen) == 3 * len(HEATS)


def test_the_command_says_in_one_line_why_it_cannot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def fail(heat: Heat, contestant: str) -> Result:
        raise RuntimeError("no room")

    monkeypatch.setattr(command, "run", fail)
    with pytest.raises(ConfigError, match="the race was broken off: no room"):
        race(["--heat", "1"])


def test_the_command_knows_its_heats(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        race(["--heat", "9"])
    assert "invalid choice: 9" in capsys.readouterr().err

"""The loop in a terminal: what a snapshot looks like in characters, and the command."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from minihttp.errors import ConfigError
from minihttp.watch import top as module
from minihttp.watch.outlet import Outlet
from minihttp.watch.top import CODES, PLAIN, RED, clipped, draw, top

from .sample import sample


def plain(lines: list[str]) -> list[str]:
    return [CODES.sub("", line) for line in lines]


def test_it_says_who_blocked_and_what_to_do() -> None:
    lines = draw(sample(), 120, 30, 240.0)
    text = plain(lines)
    assert "app.py   pid 4711   Python 3.12.1, asyncio   busy 55%   worst lag 116 ms   1 in flight" in text[0]
    assert "BLOCKED 120 ms  time.sleep(0.12)  app.py:40 in report  GET /report; 2 others held up, 1 unread" in text[1]
    assert lines[1].startswith(RED)
    assert text[2] == "    fix: use await asyncio.sleep(...)"
    assert [line for line in text if line.startswith("  ! ")] == [
        "  ! The database pool ran out: 1 request waited up to 60 ms for a connection",
        "  ! GET /search runs 2 queries one after the other",
    ]


def test_a_block_that_goes_on_is_said_to() -> None:
    snapshot = sample()
    snapshot["blocks"][0].update(end=None, line=0, fix="")
    snapshot["blocks"][0]["victims"].update(requests=0, unread=0)
    text = plain(draw(snapshot, 140, 30, 240.0))
    assert text[1] == "  ✖ BLOCKED 140 ms AND STILL IS  time.sleep(0.12)  nobody saw the line  GET /report"
    assert not text[2].startswith("    fix")
    snapshot["lanes"] = []  # its request made one step, which is told when it has ended
    lines = draw(snapshot, 34 + 24, 30, 240.0)
    assert RED + "█" * 14 + PLAIN in next(line for line in lines if line.startswith("THE ONE THREAD"))


def test_lanes_have_a_character_for_each_state() -> None:
    lines = plain(draw(sample(), 34 + 24, 30, 240.0))  # a column is 10 ms
    rows = {line[:24].strip(): line[34:] for line in lines}
    #                     0         100       200
    assert rows["GET /hello"] == "█                       "
    assert rows["GET /search"] == "█░░░░░█░░░▒▒▒▒▒▒▒▒▒▒▒▒█ "
    assert rows["GET /report"] == "        █░█████████████ "
    assert rows["GET /users/{id}"] == "             ·········██"
    assert rows["GET /both"] == "                      █░"
    assert rows["THE ONE THREAD"][10:23] == "█" * 13
    assert rows["LOOP LAG"] == "     ▁" + " " * 16 + "█ "
    assert rows["DB POOL used, ! waiting"][-2:] == "!4"
    assert rows["DB POOL used, ! waiting"][0] == "1"  # at 5.5 ms the first was taken


def test_only_what_blocks_is_red() -> None:
    lines = draw(sample(), 34 + 24, 30, 240.0)
    thread = next(line for line in lines if line.startswith("THE ONE THREAD"))
    assert thread.count(RED) == 1
    assert RED + "█" * 13 + PLAIN in thread
    assert RED not in next(line for line in lines if line.startswith("GET /search"))
    assert RED + "█" in next(line for line in lines if line.startswith("GET /report"))


def test_what_is_older_than_the_window_is_not_shown() -> None:
    lines = plain(draw(sample(), 100, 30, 15.0))
    assert not any(line.startswith("GET /hello") for line in lines)
    assert any(line.startswith("GET /both") for line in lines)


def test_a_loop_that_cannot_say_how_busy_it_is_says_nothing() -> None:
    snapshot = sample()
    snapshot["loop"]["busy"] = None
    assert "busy" not in draw(snapshot, 140, 30, 240.0)[0]


def test_it_fits_its_terminal() -> None:
    for columns in (60, 80, 133):
        for rows in (12, 24):
            lines = plain(draw(sample(), columns, rows, 240.0))
            assert max(map(len, lines)) <= columns
            assert len(lines) <= max(rows, 12)


def test_clipping_keeps_the_end_of_a_color() -> None:
    assert clipped(f"ab{RED}cdef{PLAIN}gh", 4) == f"ab{RED}cd{PLAIN}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_once_prints_a_picture_without_colors_where_nobody_sees_them(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outlet = Outlet(sample)
    try:
        top(["--once"])
        top(["--once", "--pid", str(os.getpid())])
    finally:
        outlet.close()
    said = capsys.readouterr().out
    assert said.count("minihttp top") == 2
    assert "\033" not in said


def test_it_goes_on_until_the_server_ends(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "choose", lambda pid: "socket")
    monkeypatch.setattr(module, "snapshots", lambda path: iter([sample(), sample()]))
    top([])
    said = capsys.readouterr().out
    assert said.count("minihttp top") == 2
    assert said.endswith(module.LEAVE + "The server has ended.\n")


def test_ctrl_c_leaves_the_terminal_as_it_was(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: str) -> object:
        yield sample()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "choose", lambda pid: "socket")
    monkeypatch.setattr(module, "snapshots", interrupted)
    top([])
    assert capsys.readouterr().out.endswith(module.LEAVE)


def test_colors_are_for_terminals() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert RED in module.picture(sample(), 1.0, Terminal())
    assert RED not in module.picture(sample(), 1.0, io.StringIO())


def test_who_is_meant_must_be_clear(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no server of yours can be watched: start one with .*--watch"):
        top(["--once"])
    with pytest.raises(ConfigError, match=r"process 7 cannot be watched: start it with --watch"):
        top(["--pid", "7"])
    monkeypatch.setattr(module, "outlets", lambda: iter([(1, Path("a")), (2, Path("b"))]))
    with pytest.raises(ConfigError, match=r"several servers can be watched: choose one with --pid, of 1, 2"):
        top([])
    with pytest.raises(ConfigError, match=r"the server at b does not answer: No such file"):
        top(["--pid", "2"])

"""`python -m minihttp top`: the loop of a running server, in a terminal.

Owns: how a snapshot looks in characters, and the command.
Must not know: how anything is measured.
Invariant: it changes nothing in the process that it shows. What a color says, a character says too.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from typing import TextIO

from ..errors import ConfigError
from .outlet import outlets
from .records import Block, Gauge, Lane, Snapshot, State

__all__ = ["draw", "top"]

NAMES = 34  # columns before a track
# From the strongest to the weakest: what is drawn where several fall into one column.
MARKS = {State.RUN: "█", State.ARRIVED: "·", State.WOKEN: "▒", State.WAIT: "░"}
BARS = " ▁▂▃▄▅▆▇█"
RED, DIM, BOLD, PLAIN = "\033[31m", "\033[2m", "\033[1m", "\033[0m"
CODES = re.compile(r"\033\[\d+m")
CLEAR, ENTER, LEAVE = "\033[H\033[J", "\033[?1049h\033[?25l", "\033[?25h\033[?1049l"


def top(arguments: Sequence[str]) -> None:
    """Show a running server until Ctrl-C: `top(["--pid", "4711"])`, once with `--once`. Raises ConfigError."""
    parser = ArgumentParser(
        "python -m minihttp top",
        description="Show what the event loop of a running server does. The server must run with --watch.",
    )
    parser.add_argument("--pid", type=int, help="which process, where there are several")
    parser.add_argument("--once", action="store_true", help="print one picture and leave")
    parser.add_argument("--window", type=float, default=2.0, metavar="SECONDS", help="how much time to show (2)")
    given = parser.parse_args(arguments)
    shown = snapshots(choose(given.pid))
    if given.once:
        for snapshot in shown:
            sys.stdout.write(picture(snapshot, given.window, sys.stdout))
            return
    sys.stdout.write(ENTER)
    gone = False
    try:
        for snapshot in shown:
            sys.stdout.write(CLEAR + picture(snapshot, given.window, sys.stdout))
            sys.stdout.flush()
        gone = True
    except KeyboardInterrupt:
        pass
    finally:
        sys.stdout.write(LEAVE)
    if gone:
        print("The server has ended.")


def choose(pid: int | None) -> str:
    """The socket of the process that is meant. Raises ConfigError where there is none, or no telling which."""
    found = {number: str(path) for number, path in outlets()}
    if pid is not None and pid not in found:
        raise ConfigError(f"process {pid} cannot be watched: start it with --watch (or app.run(watch=True))")
    if not found:
        raise ConfigError("no server of yours can be watched: start one with python -m minihttp module:app --watch")
    if pid is None and len(found) > 1:
        raise ConfigError(f"several servers can be watched: choose one with --pid, of {', '.join(map(str, found))}")
    return found[pid] if pid is not None else next(iter(found.values()))


def snapshots(path: str) -> Iterator[Snapshot]:
    """The snapshots that a server sends, until it ends. Raises ConfigError where it does not answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError as error:
            raise ConfigError(f"the server at {path} does not answer: {error.strerror}") from error
        with connection.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def picture(snapshot: Snapshot, window: float, out: TextIO) -> str:
    """A picture for this output: as large as the terminal, without colors where it is none."""
    columns, rows = shutil.get_terminal_size((100, 40))
    text = "\n".join(draw(snapshot, columns, rows - 1, window * 1000)) + "\n"
    return text if out.isatty() else CODES.sub("", text)


# -- drawing -----------------------------------------------------------------------------------------------------------


class Track:
    """Time as columns of characters: from `now - window` at the left to `now` at the right."""

    def __init__(self, now: float, window: float, columns: int) -> None:
        self.start = now - window
        self.now = now
        self.columns = max(columns, 10)
        self._width = window / self.columns

    def cells(self, start: float, end: float) -> range:
        """The columns that a stretch of time touches."""
        first = int((start - self.start) // self._width)
        last = int((end - self.start) // self._width)
        return range(max(first, 0), min(last, self.columns - 1) + 1)


def draw(snapshot: Snapshot, columns: int, rows: int, window: float) -> list[str]:
    """The lines of one picture. `window` is in milliseconds."""
    track = Track(snapshot["now"], window, columns - NAMES)
    lines = [header(snapshot)]
    for block in snapshot["blocks"][-2:]:
        lines += about(block, snapshot["now"])
    lines += [f"  ! {card['title']}" for card in snapshot["cards"] if card["block"] is None][:2]
    seen = [lane for lane in snapshot["lanes"] if (lane["end"] or track.now) >= track.start]
    lines.append(
        f"{'THE ONE THREAD':<{NAMES}}" + painted(thread(seen, snapshot["blocks"], track), snapshot["blocks"], track)
    )
    lines.append(f"{'LOOP LAG':<{NAMES}}" + lag(snapshot, track))
    lines += [f"{'DB POOL used, ! waiting':<{NAMES}}" + used(gauge, track) for gauge in snapshot["gauges"]]
    room = max(rows - len(lines) - 1, 3)
    lines += [row(lane, snapshot["blocks"], track) for lane in seen[-room:]]
    lines.append(f"{DIM}█ has the thread  ▒ waits its turn  ░ waits for something  · arrived, not read{PLAIN}")
    return [clipped(line, columns) for line in lines]


def clipped(line: str, columns: int) -> str:
    """The line cut to so many characters; what only sets a color takes no room, and is kept."""
    found = ""
    for piece in re.split(r"(\033\[\d+m)", line):
        code = CODES.fullmatch(piece) is not None
        found += piece if code else piece[: max(columns - len(CODES.sub("", found)), 0)]
    return found


def header(snapshot: Snapshot) -> str:
    process, loop = snapshot["process"], snapshot["loop"]
    busy = "" if loop["busy"] is None else f"   busy {loop['busy']:.0%}"
    said = f"{process['name']}   pid {process['pid']}   Python {process['python']}, {process['loop']}{busy}"
    requests = snapshot["requests"]
    return f"{BOLD}minihttp top{PLAIN}   {said}   worst lag {loop['lag_max']:.0f} ms   {requests['running']} in flight"


def about(block: Block, now: float) -> list[str]:
    """Who blocked, whom, and what to do."""
    going_on = block["end"] is None
    length = now - block["start"] if going_on else block["ms"]
    where = f"{block['file']}:{block['line']} in {block['function']}" if block["line"] else "nobody saw the line"
    others, unread = block["victims"]["requests"], block["victims"]["unread"]
    hurt = f"; {others} others held up, {unread} unread" if others or unread else ""
    words = f"BLOCKED {length:.0f} ms{' AND STILL IS' * going_on}  {block['expression']}  {where}  {block['name']}"
    return [f"{RED}  ✖ {words}{hurt}{PLAIN}", *([f"    fix: {block['fix']}"] if block["fix"] else [])]


def thread(lanes: Iterable[Lane], blocks: Iterable[Block], track: Track) -> list[str]:
    """Who has the thread, all lanes in one; also who blocks, whose step is told in a lane when it has ended."""
    cells = [" "] * track.columns
    runs = [each for lane in lanes for each in lane["segments"] if each["state"] == State.RUN.value]
    for start, end in ((each["start"], each["end"]) for each in (*runs, *blocks)):
        for cell in track.cells(start, end or track.now):
            cells[cell] = "█"
    return cells


def lag(snapshot: Snapshot, track: Track) -> str:
    """How late the loop turned, as bars: full at the limit."""
    worst = [0.0] * track.columns
    for when, late in snapshot["loop"]["lag"]:
        for cell in track.cells(when, when):
            worst[cell] = max(worst[cell], late / snapshot["process"]["limit"])
    return "".join(BARS[min(ceil(each * 8), 8)] for each in worst)


def row(lane: Lane, blocks: Sequence[Block], track: Track) -> str:
    """One request."""
    cells = [" "] * track.columns
    strength = {mark: number for number, mark in enumerate([*MARKS.values(), " "])}
    segments = lane["segments"]
    for number, segment in enumerate(segments):
        mark = MARKS[State(segment["state"])]
        end = track.now if lane["end"] is None and number == len(segments) - 1 else segment["end"]
        for cell in track.cells(segment["start"], end):
            cells[cell] = min(cells[cell], mark, key=strength.__getitem__)
    took = (lane["end"] or track.now) - lane["start"]
    name = lane["name"] if len(lane["name"]) < 24 else lane["name"][:22] + "…"
    guilty = [block for block in blocks if block["lane"] == lane["id"]]
    return f"{name:<24}{took:>6.0f} ms " + painted(cells, guilty, track)


def painted(cells: list[str], blocks: Iterable[Block], track: Track) -> str:
    """The cells as text, red where somebody blocks."""
    red = {cell for each in blocks for cell in track.cells(each["start"], each["end"] or track.now)}
    text, on = "", False
    for number, cell in enumerate(cells):
        now_on = number in red and cell == "█"
        text += (RED if now_on else PLAIN) * (now_on != on) + cell
        on = now_on
    return text + PLAIN * on


def used(gauge: Gauge, track: Track) -> str:
    """How many connections are used, as digits; `!` where somebody waits for one."""
    cells = [" "] * track.columns
    history = gauge["history"]
    for number, (when, busy, waiters) in enumerate(history):
        end = history[number + 1][0] if number + 1 < len(history) else track.now
        for cell in track.cells(when, end):
            cells[cell] = "!" if waiters else "·" if not busy else str(busy) if busy < 10 else "+"
    return "".join(cells)

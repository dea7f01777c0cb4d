"""The result of the race, as text for a terminal and as a picture.

Owns: how a result looks in both.
Must not know: how it came about.
Invariant: one scale for the three servers of a heat; what is drawn is also said in words, so that nothing depends on
seeing a color.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from .heats import CONTESTANTS, Heat, Result

__all__ = ["as_svg", "as_text"]

Raced = Iterable[tuple[Heat, Sequence[Result]]]

COLUMNS = 40  # of a track in the terminal
LEFT, TRACK, RIGHT, ROW = 170, 620, 340, 30  # pixels of the picture
COLORS = ("#d55e00", "#e69f00", "#0072b2")  # told apart by the color-blind too
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #222 }
  .title { font-weight: 600; font-size: 15px } .note { fill: #666 } .track { fill: #8882 } .page { fill: #fff }
  @media (prefers-color-scheme: dark) { text { fill: #ddd } .note { fill: #aaa } .page { fill: #181a1d } }
"""


def outcome(heat: Heat, result: Result) -> str:
    """What happened to one server, in words."""
    answered = len(result.answered)
    if not answered:
        return f"{answered} of {result.asked} answered in {heat.patience:g} s"
    said = f"{answered} of {result.asked} by {duration(result.answered[-1])}"
    if heat.weighs and result.memory is not None:
        said += f", {result.memory:.1f} KiB a client, {result.threads:,} thread{'s' * (result.threads != 1)}"
    return said


def duration(seconds: float) -> str:
    """`71 ms`, `3.03 s`."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def places(heat: Heat, result: Result, scale: float) -> tuple[list[float], float]:
    """What lies on a server's track, from 0 to 1: a dot for each answer, and how far a bar of memory reaches."""
    if heat.weighs:
        return [], (result.memory or 0.0) / scale
    return [when / scale for when in result.answered], 0.0


def scale_of(heat: Heat, results: Sequence[Result]) -> float:
    """What the right end of the tracks of a heat stands for: seconds, or KiB."""
    if heat.weighs:
        return max([result.memory or 0.0 for result in results] + [1.0])
    if any(len(result.answered) < result.asked for result in results):
        return heat.patience  # the whole time in which somebody waited in vain
    return max(when for result in results for when in result.answered)


def as_text(heat: Heat, results: Sequence[Result]) -> str:
    """A heat for the terminal."""
    scale, lines = scale_of(heat, results), [heat.title]
    for result in results:
        dots, bar = places(heat, result, scale)
        track = [" "] * COLUMNS
        for place in dots:
            track[min(int(place * COLUMNS), COLUMNS - 1)] = "•"
        track[: round(bar * COLUMNS)] = "█" * round(bar * COLUMNS)
        lines.append(f"  {CONTESTANTS[result.contestant]:<19} │{''.join(track)}│ {outcome(heat, result)}")
    return "\n".join([*lines, f"  {heat.lesson}", ""])


def as_svg(raced: Raced) -> str:
    """All heats as one picture that needs nothing else; light or dark as the reader's system is."""
    parts: list[str] = []
    y = 0
    for number, (heat, results) in enumerate(raced, 1):
        y += 40
        parts.append(f'<text class="title" x="20" y="{y}">Heat {number}: {escape(heat.title)}</text>')
        y += 20
        parts.append(f'<text class="note" x="20" y="{y}">{escape(heat.lesson)}</text>')
        y += 10
        scale = scale_of(heat, results)
        for result, color in zip(results, COLORS, strict=True):
            parts.append(row(heat, result, color, y, scale))
            y += ROW
        y += 16
        end = f"{scale:.1f} KiB for each idle client" if heat.weighs else duration(scale)
        parts.append(f'<text class="note" x="{LEFT}" y="{y}">0</text>')
        parts.append(f'<text class="note" x="{LEFT + TRACK}" y="{y}" text-anchor="end">{end}</text>')
    width, height = LEFT + TRACK + RIGHT, y + 20
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    page = f'<rect class="page" width="{width}" height="{height}"/>'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', f"<style>{STYLE}</style>", page, *parts, "</svg>", ""
    ])  # fmt: skip


def row(heat: Heat, result: Result, color: str, y: int, scale: float) -> str:
    """One server's track, with its name before and the outcome behind it."""
    dots, bar = places(heat, result, scale)
    middle = y + ROW // 2
    parts = [
        f'<text x="{LEFT - 12}" y="{middle + 5}" text-anchor="end">{escape(CONTESTANTS[result.contestant])}</text>',
        f'<rect class="track" x="{LEFT}" y="{y + 3}" width="{TRACK}" height="{ROW - 6}" rx="3"/>',
        f'<text x="{LEFT + TRACK + 12}" y="{middle + 5}">{escape(outcome(heat, result))}</text>',
    ]
    if bar:
        parts.append(f'<rect x="{LEFT}" y="{y + 3}" width="{bar * TRACK:.1f}" height="{ROW - 6}" fill="{color}"/>')
    for number, place in enumerate(dots):
        offset = (-5, 2, -2, 5)[number % 4]  # dots at the same moment do not hide each other
        x = LEFT + 5 + place * (TRACK - 10)
        parts.append(f'<circle cx="{x:.1f}" cy="{middle + offset}" r="3.2" fill="{color}" opacity=".75"/>')
    return "\n".join(parts)

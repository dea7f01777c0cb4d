"""Plots of the raw results as SVG: bars for each workload, cost by connections, latency by percentile.

Owns: which figures a plot shows, and how a plot is drawn.
Must not know: how anything was measured.
Invariant: each plot stands on paper of its own and follows the reader's light or dark scheme (plots.css); text is text;
the same records give the same drawing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from benchmarks.records import Record
from benchmarks.report import BOUNDS, UNITS, Results, digits
from benchmarks.workloads import BY_NAME, WORKLOADS, Workload

STYLE = Path(__file__).with_name("plots.css")
COLUMNS, PANEL, LABEL, BAR, GAP = 3, 360, 130, 15, 24
WIDTH, HEIGHT, NAMES = 900, 560, 190
CONNECTIONS = {"c1": 1, "plaintext": 64, "c512": 512}
PERCENTILES = ("50", "75", "90", "95", "99", "99.5", "99.9")

Point = tuple[float, float]


def kind(name: str) -> str:
    return "ours" if name.startswith("minihttp") else "limit" if name.startswith(BOUNDS) else "peer"


def text(x: float, y: float, said: str, classes: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}" text-anchor="{anchor}">{escape(said)}</text>'


def sheet(width: float, height: float, parts: Iterable[str], title: str) -> str:
    """An SVG document with its own paper."""
    size = f'width="{width:.0f}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" {size} role="img">'
    paper = f'<rect class="paper" {size}/>'
    named = f"<title>{escape(title)}</title>\n<style>\n{STYLE.read_text()}</style>"
    return "\n".join([head, named, paper, *parts, "</svg>"]) + "\n"


def bar_panel(left: float, top: float, title: str, values: Mapping[str, float], label: float) -> list[str]:
    """One workload: a bar for each contender, the cheapest first."""
    parts = [text(left, top + 12, title, "title")]
    room = PANEL - LABEL - 70
    longest = max(values.values())
    for at, (name, value) in enumerate(sorted(values.items(), key=lambda each: each[1])):
        y, width = top + 22 + at * BAR, max(1.0, value / longest * room)
        parts.append(text(left + label - 6, y + 11, name, f"{kind(name)} faint", "end"))
        parts.append(
            f'<rect class="bar {kind(name)}" x="{left + label:.1f}" y="{y + 2:.1f}" width="{width:.1f}" '
            f'height="{BAR - 4}" rx="2"/>'
        )
        parts.append(text(left + label + width + 5, y + 11, digits(value), "faint"))
    return parts


def bars(results: Results, workloads: Sequence[Workload], title: str) -> str:
    """Panels side by side, one a workload; contenders on the first Python."""
    panels = []
    for workload in workloads:
        names = [name for name in results.names([workload]) if "Python" not in name]
        values = {name: results.value(workload.name, name) or 0.0 for name in names}
        if values:
            panels.append((workload.title, values))
    if not panels:
        return ""
    label = max(LABEL, 6.2 * max(len(name) for _, values in panels for name in values))
    step = PANEL + GAP + (label - LABEL)
    parts = [text(GAP, 26, title, "title"), text(GAP, 44, "median; shorter is better", "faint")]
    top = 60.0
    for start in range(0, len(panels), COLUMNS):
        row = panels[start : start + COLUMNS]
        for at, (name, values) in enumerate(row):
            parts += bar_panel(GAP + at * step, top, name, values, label)
        top += 22 + BAR * max(len(values) for _, values in row) + GAP
    across = min(len(panels), COLUMNS)
    return sheet(GAP + across * step, top, parts, title)


def spread(places: Mapping[str, float], apart: float, lowest: float) -> dict[str, float]:
    """Where labels stand, so that none covers another: from the top down, then pushed up from the bottom."""
    order = sorted(places, key=lambda name: places[name])
    made: dict[str, float] = {}
    at = -math.inf
    for name in order:
        at = max(places[name], at + apart)
        made[name] = at
    at = lowest
    for name in reversed(order):
        made[name] = min(made[name], at)
        at = made[name] - apart
    return made


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, from below `low` to above `high`."""
    every = [step * 10.0**power for power in range(-4, 7) for step in (1, 2, 5)]
    first = max(each for each in every if each <= low)
    last = min(each for each in every if each >= high)
    return [each for each in every if first <= each <= last]


def lines(series: Mapping[str, Sequence[Point]], marks: Mapping[float, str], title: str, across: str, up: str) -> str:
    """Lines over a horizontal axis with named marks, on a logarithmic vertical one; names stand at the right end."""
    if not series:
        return ""
    left, right, top, bottom = 70.0, WIDTH - NAMES, 70.0, HEIGHT - 60.0
    heights = [y for points in series.values() for _, y in points if y > 0]
    steps = ticks(min(heights), max(heights))
    low, high = math.log(steps[0]), math.log(steps[-1])
    first, last = min(marks), max(marks)

    def place(point: Point) -> Point:
        x = left + (point[0] - first) / (last - first) * (right - left)
        return x, bottom - (math.log(max(point[1], steps[0])) - low) / (high - low) * (bottom - top)

    parts = [text(left, 26, title, "title"), text(left, 46, up, "faint")]
    for each in steps:
        _, y = place((first, each))
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(text(left - 8, y + 4, f"{each:g}", "faint", "end"))
    for mark, name in marks.items():
        x, _ = place((mark, steps[0]))
        parts.append(text(x, bottom + 20, name, "faint", "middle"))
    parts.append(text((left + right) / 2, bottom + 42, across, "faint", "middle"))
    ends = {name: place(points[-1]) for name, points in series.items()}
    named = spread({name: y for name, (_, y) in ends.items()}, 14, bottom + 20)
    for name in sorted(series, key=lambda each: ["peer", "limit", "ours"].index(kind(each))):
        placed = [place(point) for point in series[name]]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline class="line {kind(name)}" points="{joined}"/>')
        parts += [f'<circle class="dot {kind(name)}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in placed]
        (x, y), label = ends[name], named[name]
        parts.append(f'<line class="leader" x1="{x + 4:.1f}" y1="{y:.1f}" x2="{right + 24}" y2="{label:.1f}"/>')
        parts.append(text(right + 28, label + 4, name, f"{kind(name)} faint"))
    return sheet(WIDTH, HEIGHT, parts, title)


def connections(results: Results) -> str:
    series = {}
    for name in results.names([BY_NAME["c1"], BY_NAME["c512"]]):
        points = [(math.log(many), results.value(workload, name)) for workload, many in CONNECTIONS.items()]
        found = [(x, y) for x, y in points if y is not None]
        if "Python" not in name and len(found) > 1:
            series[name] = found
    marks = {math.log(many): str(many) for many in CONNECTIONS.values()}
    return lines(series, marks, "Plaintext by number of connections", "connections", UNITS["us"])


def latency(results: Results) -> str:
    def across(percentile: str) -> float:
        return -math.log(1 - float(percentile) / 100)

    series: dict[str, list[Point]] = {}
    for name in results.names([BY_NAME["latency"]]):
        if "Python" in name:
            continue
        for each in PERCENTILES:
            value = results.of("latency", name, lambda found, p=each: found["latency_us"][p] / 1000)  # type: ignore[misc]  # p is bound now, as the loop goes on
            if value is not None:
                series.setdefault(name, []).append((across(each), value))
    marks = {across(each): f"p{each}" for each in PERCENTILES}
    title = "Latency of plaintext, each at half of its own highest rate"
    return lines(series, marks, title, "percentile of requests", "milliseconds")


def all_plots(records: Sequence[Record]) -> dict[str, str]:
    """File names and drawings; a plot for which nothing was measured is left out."""
    results = Results(records)
    requests = [
        each for each in WORKLOADS if each.group in ("requests", "connections") and each.name[1:] not in ("1", "512")
    ]
    database = [each for each in WORKLOADS if each.group == "database"]
    drawn = {
        "plaintext.svg": bars(results, [BY_NAME["plaintext"]], "CPU microseconds per request"),
        "requests.svg": bars(results, requests, UNITS["us"].capitalize().replace("Cpu", "CPU")),
        "database.svg": bars(results, database, "CPU microseconds per request, with a database"),
        "connections.svg": connections(results),
        "latency.svg": latency(results),
    }
    return {name: drawing for name, drawing in drawn.items() if drawing}

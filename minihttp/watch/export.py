"""A snapshot as a trace for ui.perfetto.dev and chrome://tracing.

Owns: the Chrome JSON trace format, as far as it is used.
Must not know: where a snapshot comes from.
Invariant: process 1, thread 1 is the loop's thread: its slices never overlap, since two requests never run at once.
Each request is a thread of process 2, whose slices follow one another; an arrow leads from who blocked to whom.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from .records import Block, Lane, Snapshot

__all__ = ["trace"]

LOOP, REQUESTS = 1, 2  # the processes
THREAD, BLOCKS = 1, 2  # of the first
Event = dict[str, Any]


def trace(snapshot: Snapshot) -> dict[str, Any]:
    """The trace of a snapshot. Its times are microseconds since the start of the recording."""
    return {"traceEvents": list(events(snapshot)), "displayTimeUnit": "ms", "otherData": dict(snapshot["process"])}


def events(snapshot: Snapshot) -> Iterator[Event]:
    process, now = snapshot["process"], snapshot["now"]
    yield named("process_name", f"the loop of {process['name']} ({process['loop']}, pid {process['pid']})", LOOP)
    yield named("thread_name", "the one thread", LOOP, THREAD)
    yield named("thread_name", "blocked", LOOP, BLOCKS)
    yield named("process_name", "requests", REQUESTS)
    for lane in snapshot["lanes"]:
        yield from lane_events(lane)
    arrows = count(1)
    for block in snapshot["blocks"]:
        yield from block_events(block, {lane["id"]: lane for lane in snapshot["lanes"]}, now, arrows)
    for gauge in snapshot["gauges"]:
        for at, used, waiters in gauge["history"]:
            full = {"used": used, "waiting": waiters}
            yield {"ph": "C", "name": gauge["name"], "pid": LOOP, "ts": us(at), "args": full}
    for at, lag in snapshot["loop"]["lag"]:
        yield {"ph": "C", "name": "loop lag (ms)", "pid": LOOP, "ts": us(at), "args": {"lag": lag}}


def lane_events(lane: Lane) -> Iterator[Event]:
    yield named("thread_name", f"{lane['name']} #{lane['id']}", REQUESTS, lane["id"])
    for each in lane["segments"]:
        name = f"{each['state']}: {each['kind']}" if each["kind"] else each["state"]
        about = {key: value for key, value in (("for", each["detail"]), ("at", each["at"])) if value}
        yield slice_(name, each["start"], each["end"], REQUESTS, lane["id"], about)
        if each["state"] == "run":
            yield slice_(lane["name"], each["start"], each["end"], LOOP, THREAD, {"lane": lane["id"]})


def block_events(block: Block, lanes: dict[int, Lane], now: float, arrows: Iterator[int]) -> Iterator[Event]:
    """The block, and an arrow to each who was held up: it ends where that one ran again.

    An arrow's id is a number: Perfetto leaves out all others, and says so nowhere but in a corner.
    """
    end = now if block["end"] is None else block["end"]
    about = {"at": f"{block['file']}:{block['line']}", "fix": block["fix"]} if block["line"] else {}
    name = f"blocked: {block['expression'] or block['name'] or 'a callback'}"
    yield slice_(name, block["start"], end, LOOP, BLOCKS, about)
    for victim in block["victims"]["lanes"]:
        runs = [each for each in lanes[victim]["segments"] if each["state"] == "run"] if victim in lanes else []
        after = next((each["start"] for each in runs if each["start"] >= end), None)
        if after is not None:
            arrow = {"name": "held up", "cat": "block", "id": next(arrows)}
            yield {**arrow, "ph": "s", "ts": us(block["start"]), "pid": LOOP, "tid": BLOCKS}
            yield {**arrow, "ph": "f", "bp": "e", "ts": us(after), "pid": REQUESTS, "tid": victim}


def slice_(name: str, start: float, end: float, pid: int, tid: int, args: dict[str, Any]) -> Event:
    begin = us(start)
    return {"ph": "X", "name": name, "ts": begin, "dur": us(end) - begin, "pid": pid, "tid": tid, "args": args}


def named(what: str, name: str, pid: int, tid: int = 0) -> Event:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def us(ms: float) -> int:
    return round(ms * 1000)

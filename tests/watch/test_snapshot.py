"""Records as lanes."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from minihttp import waits
from minihttp.watch.records import RUNNING, Process, Record
from minihttp.watch.snapshot import Lanes, is_shown

from .recording import Recording, turns


def lanes_of(recording: Recording) -> Lanes:
    return Lanes(recording.recorder, lambda method, path: f"({path})", "asyncio")


async def test_a_finished_request_is_a_lane() -> None:
    recording = Recording()
    lanes, clock, event = lanes_of(recording), recording.clock, asyncio.Event()

    async def handler() -> None:
        clock.go(0.001)
        waits.waiting_for("query", "SELECT 1")
        await event.wait()
        clock.go(0.002)

    task = recording.start(handler, "/a")
    await turns()
    clock.go(0.010)
    event.set()
    await task
    [lane] = lanes.lanes(clock.now)
    assert (lane["name"], lane["start"], lane["end"], lane["ran"], lane["parent"]) == ("GET (/a)", 0, 13, 3, None)
    assert [(each["state"], each["start"], each["end"], each["kind"]) for each in lane["segments"]] == [
        ("run", 0, 1, ""), ("wait", 1, 11, "query"), ("run", 11, 13, ""),
    ]  # fmt: skip
    assert lane["segments"][1]["detail"] == "SELECT 1"
    assert lane["segments"][1]["at"].startswith("tests/watch/test_snapshot.py:")
    assert lanes.lanes(clock.now)[0]["id"] == lane["id"]
    assert lanes.lanes(clock.now, since=clock.now + 1) == []
    assert lanes.handlers(clock.now, 0.013) == pytest.approx(3 / 13)
    assert lanes.handlers(clock.now, 0.001) == pytest.approx(1)


async def test_a_living_request_is_a_lane_that_ends_now() -> None:
    recording = Recording()
    lanes, clock, event = lanes_of(recording), recording.clock, asyncio.Event()
    task = recording.start(event.wait, "/a")
    await turns()
    clock.go(0.010)
    [lane] = lanes.lanes(clock.now)
    assert lane["end"] is None
    assert [(each["state"], each["end"], each["kind"]) for each in lane["segments"]] == [("wait", 10, "event")]
    event.set()
    [record] = recording.recorder.live
    record.woken = clock.now - 0.004
    assert [(each["state"], each["end"]) for each in lanes.lanes(clock.now)[0]["segments"]] == [
        ("wait", 6), ("woken", 10),
    ]  # fmt: skip
    future, record.future = record.future, RUNNING
    assert [each["state"] for each in lanes.lanes(clock.now)[0]["segments"]] == ["run"]
    record.future = None
    assert [each["state"] for each in lanes.lanes(clock.now)[0]["segments"]] == ["woken"]
    record.future = future
    await task


async def test_a_living_request_whose_sleep_is_over_could_go_on_while_the_loop_stands() -> None:
    recording = Recording()
    recording.recorder.clock = time.perf_counter
    lanes = lanes_of(recording)

    async def handler() -> None:
        await asyncio.sleep(0.02)

    task = recording.start(handler, "/a")
    await turns(3)
    time.sleep(0.1)
    [lane] = lanes.lanes(time.perf_counter())
    took = {each["state"]: each["end"] - each["start"] for each in lane["segments"]}
    assert took["wait"] < 22
    assert took["woken"] > 78
    [record] = recording.recorder.live
    assert [each["state"] for each in lanes.lane(record, 0.0)["segments"]][-1] == "wait", "not before it waits"
    await task


async def test_a_task_is_named_after_its_function_and_knows_its_request() -> None:
    recording = Recording()
    lanes, loop = lanes_of(recording), asyncio.get_running_loop()
    recording.recorder.watch_tasks(loop)

    async def child() -> None:
        await asyncio.sleep(0)

    async def handler() -> None:
        await asyncio.create_task(child())

    await recording.run(handler, "/a")
    loop.set_task_factory(None)
    by_name = {lane["name"]: lane for lane in lanes.lanes(recording.clock.now)}
    assert by_name["task child"]["parent"] == by_name["GET (/a)"]["id"]


async def test_the_pages_about_the_loop_do_not_count_as_handlers() -> None:
    recording = Recording()

    async def handler() -> None:
        recording.clock.go(0.1)

    for path in ("/_loop/feed", "/a"):
        await recording.run(handler, path)
    assert lanes_of(recording).handlers(recording.clock.now, 1.0) == pytest.approx(0.1)


def test_the_pages_about_the_loop_are_not_shown_but_their_demonstrations_are() -> None:
    record = Record()
    record.parent = None
    shown = {}
    for record.path in ("/", "/_loop", "/_loop/feed", "/_loop/demo/sleep"):
        shown[record.path] = is_shown(record)
    assert shown == {"/": True, "/_loop": False, "/_loop/feed": False, "/_loop/demo/sleep": True}
    task = Record()
    task.parent, record.path, task.path = record, "/_loop/feed", "child"
    assert not is_shown(task)


def test_it_says_whose_snapshot_it_is() -> None:
    lanes = lanes_of(Recording())
    assert set(lanes.process) == set(Process.__annotations__)
    assert (lanes.process["loop"], lanes.process["pid"], lanes.process["limit"]) == ("asyncio", os.getpid(), 50)
    assert lanes.name(None) == ""

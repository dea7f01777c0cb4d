"""The trace: what Perfetto needs to draw it as it was."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

from minihttp.watch.export import trace
from minihttp.watch.records import Snapshot

from .sample import sample


def events(snapshot: Snapshot, phase: str) -> list[dict[str, Any]]:
    return [each for each in json.loads(json.dumps(trace(snapshot)))["traceEvents"] if each["ph"] == phase]


def test_the_slices_of_a_thread_never_overlap_and_follow_one_another() -> None:
    tracks = defaultdict(list)
    for each in events(sample(), "X"):
        tracks[each["pid"], each["tid"]].append((each["ts"], each["ts"] + each["dur"]))
    for spans in tracks.values():
        assert all(one[1] <= two[0] for one, two in pairwise(sorted(spans)))
    runs = sum(each["state"] == "run" for lane in sample()["lanes"] for each in lane["segments"])
    assert len(tracks[1, 1]) == runs
    assert {tid for pid, tid in tracks if pid == 2} == {lane["id"] for lane in sample()["lanes"]}


def test_arrows_lead_from_who_blocked_to_whom() -> None:
    starts, ends = events(sample(), "s"), events(sample(), "f")
    assert [(each["pid"], each["tid"]) for each in starts] == [(1, 2), (1, 2)]
    assert [(each["pid"], each["tid"], each["ts"]) for each in ends] == [(2, 2, 220_500), (2, 4, 221_000)]
    assert [each["id"] for each in starts] == [each["id"] for each in ends] == [1, 2], "numbers: Perfetto drops others"
    for each in starts + ends:
        assert any(
            (slice_["pid"], slice_["tid"]) == (each["pid"], each["tid"])
            and slice_["ts"] <= each["ts"] <= slice_["ts"] + slice_["dur"]
            for slice_ in events(sample(), "X")
        ), "it begins and ends within a slice of its track"
    snapshot = sample()
    snapshot["blocks"][0]["victims"]["lanes"] = [1, 99]  # one that did not run again, one that is not shown
    assert events(snapshot, "f") == []


def test_everything_has_its_name() -> None:
    names = {(each["pid"], each["tid"]): each["args"]["name"] for each in events(sample(), "M")}
    assert names[1, 1] == "the one thread"
    assert names[2, 4] == "GET /users/{id} #4"
    slices = {each["name"]: each["args"] for each in events(sample(), "X")}
    assert slices["wait: connection"] == {"for": "4/4", "at": "app.py:12"}
    assert slices["blocked: time.sleep(0.12)"] == {"at": "app.py:40", "fix": "use await asyncio.sleep(...)"}
    assert {each["name"] for each in events(sample(), "C")} == {"loop lag (ms)", "database shop on 127.0.0.1:3306"}


def test_a_block_that_goes_on_ends_now() -> None:
    snapshot = sample()
    snapshot["blocks"][0].update(end=None, line=0, expression="")
    [block] = [each for each in events(snapshot, "X") if each["name"].startswith("blocked")]
    assert (block["ts"], block["dur"], block["args"], block["name"]) == (100_000, 140_000, {}, "blocked: GET /report")

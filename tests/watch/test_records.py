"""The format of a snapshot: JSON, and complete in the sample that viewers are tested with."""

from __future__ import annotations

import json
from itertools import pairwise

from minihttp.watch.records import KINDS, State

from .sample import sample


def test_a_snapshot_is_json() -> None:
    text = json.dumps(sample(), allow_nan=False)
    assert json.loads(text)["blocks"][0]["source"][2] == [40, "    time.sleep(0.12)"]


def test_the_sample_has_every_state_and_what_a_viewer_must_cope_with() -> None:
    lanes, blocks = sample()["lanes"], sample()["blocks"]
    segments = [each for lane in lanes for each in lane["segments"]]
    assert {each["state"] for each in segments} == {each.value for each in State}
    assert {each["kind"] for each in segments if each["state"] == "wait"} <= set(KINDS)
    assert {lane["id"] for lane in lanes} >= {lane["parent"] for lane in lanes if lane["parent"] is not None} != set()
    assert any(lane["end"] is None for lane in lanes)
    assert {each["level"] for each in sample()["cards"]} == {"error", "warning", "hint"}
    assert set(blocks[0]["victims"]["lanes"]) <= {lane["id"] for lane in lanes}


def test_runs_never_overlap_and_lanes_have_no_gaps() -> None:
    lanes = sample()["lanes"]
    for lane in lanes:
        assert all(one["end"] == two["start"] for one, two in pairwise(lane["segments"]))
    runs = sorted((each["start"], each["end"]) for lane in lanes for each in lane["segments"] if each["state"] == "run")
    assert all(one[1] <= two[0] for one, two in pairwise(runs))

"""Who is guilty of a block, and when nobody is."""

from __future__ import annotations

import logging
import sys
from collections import deque
from typing import Any

import pytest

from minihttp.watch.blame import Blame
from minihttp.watch.cards import LANES, MOST, Cards, Finding
from minihttp.watch.judge import Judge
from minihttp.watch.recorder import Hold, Recorder
from minihttp.watch.records import Card, Label, Record, Span, State
from minihttp.watch.snapshot import Lanes
from minihttp.watch.source import Place
from minihttp.watch.watchdog import Sample

from .recording import Clock
from .test_lints import PROVOKE, record

MUTED = Place(__file__, sys._getframe().f_lineno)  # loop: ok
SLEEP = Blame(Place(__file__, 10), "report", "time.sleep(0.12)", root=1)


class Case:
    """A judge whose witnesses the test makes up. Times are seconds on a clock that began at 100.

    `muted` are the records whose route is muted, and None for the application.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.recorder = Recorder(0.05, self.clock)
        self.lanes = Lanes(self.recorder, lambda method, path: path, "asyncio")
        self.cards = Cards()
        self.muted: set[Record | None] = set()
        self.judge = Judge(
            self.recorder, self.lanes, self.cards, lambda record: MUTED if record in self.muted else None
        )

    def record(self, path: str = "/report", begun: float = 100.0, ended: float = 101.0) -> Record:
        record = Record()
        record.method, record.path, record.begun, record.ended, record.since = "GET", path, begun, ended, begun
        record.spans = record.parent = record.why = record.said = record.coro = record.future = None
        record.ran, record.woken = 0.0, 0.0
        return record

    def block(self, *seen: Blame | Sample, record: Record | None = None, **options: Any) -> Card:
        """A block from 100.1 to 100.3, seen at these places."""
        self.judge.samples = deque(
            each if isinstance(each, Sample) else Sample(100.11 + number / 100, each, 0.01)
            for number, each in enumerate(seen)
        )
        hold = {"victims": set(), "unread": {}, **options}
        self.recorder.holds.append(Hold(record, 100.1, 100.3, **hold))
        self.clock.go(1)
        self.judge(self.clock.now)
        return self.cards.latest()[0]


@pytest.fixture
def case() -> Case:
    return Case()


def test_a_block_names_its_line_its_request_and_its_victims(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    victims = {case.record("/a"), case.record("/b")}
    card = case.block(SLEEP, SLEEP, record=case.record(), victims=victims, unread={"connection": 100.15})
    assert (card["lint"], card["level"], card["at"]) == ("L1", "error", "tests/watch/test_judge.py:10")
    assert card["title"] == "The loop was blocked for 200 ms by time.sleep(0.12)"
    assert card["text"].startswith("GET /report; others held up: 2, by up to 200 ms; clients not read")
    assert card["fix"] == "use await asyncio.sleep(...)"
    [block] = case.judge.blocks
    assert (block["start"], block["end"], block["ms"], block["name"]) == (100.0, 300.0, 200.0, "GET /report")
    assert (block["line"], block["function"], block["share"], block["samples"]) == (10, "report", 1, 2)
    assert block["victims"]["requests"] == len(block["victims"]["lanes"]) == 2
    assert (block["victims"]["unread"], block["victims"]["worst"]) == (1, 200.0)
    assert card["lanes"] == [block["lane"]]
    assert card["block"] == block["id"]
    assert [each.levelno for each in caplog.records] == [logging.ERROR]
    assert "tests/watch/test_judge.py:10: The loop was blocked" in caplog.text


def test_a_request_is_held_up_once_however_many_tasks_it_started(case: Case) -> None:
    guilty, both, page = (case.record(path) for path in ("/report", "/both", "/_loop/feed"))
    tasks = [case.record(f"fetch {number}") for number in range(6)]
    for each, parent in zip(tasks, [both] * 5 + [guilty], strict=True):
        each.parent = parent
    case.block(SLEEP, record=guilty, victims={*tasks, page})
    victims = case.judge.blocks[0]["victims"]
    assert victims["requests"] == 1, "neither who blocked nor who looks at it"
    assert set(victims["lanes"]) == {case.lanes.id(each) for each in tasks[:5]}


def test_clients_that_nobody_accepted_are_held_up_too(case: Case) -> None:
    card = case.block(SLEEP, queued=3)
    assert "others held up: 0, by up to 200 ms; clients not read or not accepted: 3" in card["text"]
    victims = case.judge.blocks[0]["victims"]
    assert (victims["requests"], victims["unread"], victims["worst"]) == (0, 3, 200.0)


def test_a_line_is_logged_once_and_counted(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        case.block(SLEEP)
    [card] = case.cards.latest()
    assert card["count"] == 3
    assert len(caplog.records) == 1
    case.block(SLEEP._replace(place=Place(__file__, 11)))
    assert len(caplog.records) == 2


def test_a_muted_line_has_no_card(case: Case) -> None:
    import inspect

    here = inspect.currentframe()
    assert here is not None
    muted = SLEEP._replace(place=Place(__file__, here.f_lineno))  # loop: ok
    with pytest.raises(IndexError):
        case.block(muted)
    assert case.cards.total == 0
    assert len(case.judge.blocks) == 1, "it is drawn all the same"


@pytest.mark.parametrize(
    ("lint", "seen"), [("L1", [SLEEP]), ("L2", [SLEEP._replace(held_gil=True)]), ("L15", [])], ids=["L1", "L2", "L15"]
)
def test_a_muted_route_has_no_card_for_its_blocks(case: Case, lint: str, seen: list[Blame]) -> None:
    case.judge.machine = lambda start, end: (0.0, 0.01)
    guilty = case.record()
    assert case.block(*seen, record=guilty)["lint"] == lint
    case.muted = {guilty}
    case.block(*seen, record=guilty)
    assert case.cards.total == 1


@pytest.mark.parametrize("seen", [SLEEP, SLEEP._replace(held_gil=True)], ids=["its line", "nobody's line"])
def test_a_muted_route_has_no_card_for_a_block_that_is_not_recorded(case: Case, seen: Blame) -> None:
    case.judge.machine = lambda start, end: (0.0, 0.01)
    plain = Place(__file__, 1)
    case.block(seen._replace(functions=(plain,)))
    assert case.cards.total == 1
    case.block(seen._replace(functions=(plain, MUTED, plain)))
    assert case.cards.total == 1


def test_what_the_process_does_is_muted_where_the_application_is_made(case: Case) -> None:
    crowd = [SLEEP._replace(root=each) for each in range(5)]
    assert [case.block(*seen)["lint"] for seen in (crowd, [])] == ["L4", "L15"]
    case.muted = {None}
    for seen in (crowd, []):
        case.block(*seen)
    assert case.cards.total == 2
    assert case.block(SLEEP)["lint"] == "L1", "the line of a callback"


def test_a_block_that_nobody_saw_has_no_line(case: Case) -> None:
    card = case.block(Sample(100.4, SLEEP, 0.01), record=case.record())
    assert (card["lint"], card["at"], card["line"], card["source"]) == ("L1", "", 0, [])
    assert case.judge.blocks[0]["fix"] == ""
    assert card["title"] == "The loop was blocked for 200 ms"


def test_a_pause_in_which_nobody_was_seen_or_worked_accuses_nobody(case: Case) -> None:
    assert case.block()["lint"] == "L15"
    case.judge.machine = lambda start, end: (0.0, 0.01)
    card = case.block(record=case.record())
    assert (card["lint"], card["level"], card["count"]) == ("L15", "hint", 2)
    assert not case.judge.blocks
    assert case.block(SLEEP, record=case.record())["lint"] == "L1"


def test_a_call_that_holds_the_gil_is_said_to(case: Case) -> None:
    held = SLEEP._replace(held_gil=True, expression="sum(numbers)")
    case.judge.machine = lambda start, end: (0.0, end - start)
    card = case.block(held, record=case.record())
    assert card["lint"] == "L2"
    assert "a thread does not help" in card["fix"]
    assert case.judge.blocks[0]["held_gil"]


def test_another_thread_that_holds_the_gil_is_not_this_line(case: Case) -> None:
    case.judge.machine = lambda start, end: (0.0, 0.01)
    card = case.block(SLEEP._replace(held_gil=True), record=case.record())
    assert (card["lint"], card["at"]) == ("L2", "")
    assert card["title"] == "Another thread held the interpreter for 200 ms"
    assert not case.judge.blocks


@pytest.mark.parametrize(
    ("late", "others", "lint", "line"), [(0.06, 30, "L1", 10), (0.3, 1, "L2", 0), (0.3, 0, "L2", 0)]
)
def test_a_look_that_came_late_is_weighed(case: Case, late: float, others: int, lint: str, line: int) -> None:
    case.judge.machine = lambda start, end: (0.0, 0.01)
    looks = [Sample(100.15 + number / 1000, SLEEP, 0.01) for number in range(others)]
    late_look = Sample(100.14, SLEEP._replace(held_gil=True), late)
    card = case.block(late_look, *looks, record=case.record())
    assert (card["lint"], card["line"]) == (lint, line)
    assert len(case.judge.blocks) == (lint == "L1")
    assert case.judge.going_on(Hold(None, 100.1, 100.3, set(), {}))["held_gil"] is (lint == "L2")


def test_a_block_is_judged_when_it_is_known_what_the_machine_did_until_its_end(case: Case) -> None:
    case.recorder.holds.append(Hold(None, 100.1, 100.3, set(), {}))
    case.judge(100.2)
    assert (case.judge.count, len(case.recorder.holds)) == (0, 1)
    case.judge(100.3)
    assert (case.judge.count, len(case.recorder.holds)) == (1, 0)


def test_a_busy_machine_accuses_nobody(case: Case) -> None:
    case.judge.machine = lambda start, end: (0.15, 0.01)
    card = case.block(SLEEP, record=case.record())
    assert (card["lint"], card["level"], card["at"]) == ("L15", "hint", "")
    assert "no CPU" in card["title"]
    assert not case.judge.blocks


def test_a_garbage_collection_accuses_nobody(case: Case) -> None:
    case.judge.pauses.append((100.12, 100.29))
    card = case.block(SLEEP, record=case.record())
    assert (card["lint"], card["at"]) == ("L15", "")
    assert "garbage collector" in card["title"]


def test_a_short_collection_excuses_nobody(case: Case) -> None:
    case.judge.pauses.append((100.12, 100.15))
    assert case.block(SLEEP, record=case.record())["lint"] == "L1"


def test_a_turn_of_many_small_steps_is_too_much_work(case: Case) -> None:
    for number in range(10):
        start = 100.1 + number * 0.02
        case.recorder.finished.append(case.record(f"/{number}", start, start + 0.015))
    card = case.block(*(SLEEP._replace(root=each) for each in range(5)))
    assert (card["lint"], card["at"]) == ("L4", "")


def test_a_turn_whose_samples_are_all_of_other_steps_is_too_much_work(case: Case) -> None:
    assert case.block(*(SLEEP._replace(root=each) for each in range(5)))["lint"] == "L4"


def test_a_callback_that_blocks_is_named_too(case: Case) -> None:
    card = case.block(SLEEP, SLEEP, SLEEP)
    assert (card["lint"], card["at"]) == ("L1", "tests/watch/test_judge.py:10")
    assert card["text"].startswith("a callback; ")


def test_the_block_of_this_moment_has_no_end(case: Case) -> None:
    case.judge.samples = deque([Sample(100.2, SLEEP, 0.01)])
    block = case.judge.going_on(Hold(None, 100.1, 100.4, set(), {}))
    assert (block["end"], block["ms"], block["line"]) == (None, 300.0, 10)
    assert not case.judge.blocks


# -- rounds of the lints ---------------------------------------------------------------------------------------------


def test_lints_look_at_each_finished_record_once(case: Case) -> None:
    record = case.record("/queued")
    waited = Span(State.WAIT, 100.2, 100.9, Label("connection", "4/4"))
    record.spans = deque([Span(State.RUN, 100.0, 100.2), waited])
    case.recorder.fresh.append(record)
    case.clock.go(1)
    case.judge(case.clock.now)
    case.judge(case.clock.now + 10)
    [card] = case.cards.latest()
    assert (card["lint"], card["count"], card["lanes"]) == ("L5", 1, [case.lanes.id(record)])


@pytest.mark.parametrize("lint", PROVOKE)
def test_a_muted_route_has_no_card_at_all(case: Case, lint: str) -> None:
    made = record(*PROVOKE[lint])
    case.muted = {made}
    case.judge.examine(made)
    assert case.cards.total == 0
    case.muted.clear()
    case.judge.examine(made)
    assert [each["lint"] for each in case.cards.latest()] == [lint]


def test_what_a_block_took_is_not_charged_to_those_who_waited(case: Case) -> None:
    case.block(SLEEP)
    record = case.record("/queued")
    record.spans = deque([Span(State.WAIT, 100.1, 100.32, Label("connection", "4/4"))])
    case.judge.examine(record)
    assert [each["lint"] for each in case.cards.latest()] == ["L1"]
    assert case.judge.own(100.0, 100.4) == pytest.approx(0.2)
    case.judge.machine = lambda start, end: (0.15, 0.0)
    assert case.judge.own(100.0, 100.4) == pytest.approx(0.05)


def test_the_pages_about_the_loop_are_not_judged(case: Case) -> None:
    record = case.record("/_loop/feed")
    record.spans = deque([Span(State.WAIT, 100.2, 109.9, Label("client", ""))])
    case.judge.examine(record)
    assert case.cards.latest() == []


def test_the_living_are_looked_at(case: Case) -> None:
    class Connection:
        is_gone = True

    gone, parent = case.record("/gone", ended=0.0), case.record("/parent", ended=101.0)
    page = case.record("/_loop/feed", ended=0.0)
    task = case.record("fetch", ended=0.0)
    task.parent, task.made = parent, Place(__file__, 12)
    case.recorder.live = {gone: Connection(), task: None, page: Connection()}
    case.muted = {gone, task}
    for _ in range(2):
        case.clock.go(40)
        case.judge(case.clock.now)
    assert case.cards.total == 0
    case.muted.clear()
    case.clock.go(40)
    case.judge(case.clock.now)
    assert {(each["lint"], each["at"]) for each in case.cards.latest()} == {
        ("L14", ""),
        ("L10", "tests/watch/test_judge.py:12"),
    }


# -- cards -------------------------------------------------------------------------------------------------------------


def test_cards_are_bounded() -> None:
    cards = Cards()
    for number in range(MOST + 5):
        cards.add(Finding("L3", "hint", "t", about=str(number)), 1.0, range(LANES + 5))
    found = cards.latest()
    assert len(found) == MOST
    assert len(found[0]["lanes"]) == LANES
    assert cards.total == MOST + 5


def test_a_hint_is_information_and_no_alarm(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Cards().add(Finding("L7", "hint", "title", "text", "fix"), 1.0)
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [(logging.INFO, "title; text; fix")]

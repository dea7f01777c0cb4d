"""Each lint on a record that must provoke it, and on one, much like it, that must not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from minihttp.watch.lints import LINTS, Case, leaked, ran_on
from minihttp.watch.records import Label, Record, Span, State
from minihttp.watch.source import Place

LIMIT = 0.05
AT, ROUTE = Place(__file__, 3), Place(__file__, 5)
Part = tuple[str, float] | tuple[str, float, Label] | tuple[str, float, Label, float]


def query(sql: str = "SELECT 1") -> Label:
    return Label("query", sql, AT)


def record(*parts: Part) -> Record:
    """A record of these spans, one after the other, from 100 s on."""
    made, now = Record(), 100.0
    made.method, made.path, made.parent, made.begun, made.made = "GET", "/", None, now, AT
    made.spans = deque()
    for state, seconds, *rest in parts:
        made.spans.append(Span(State(state), now, now + seconds, *rest))  # type: ignore[arg-type]  # label and lease
        now += seconds
    made.ran = sum(each.end - each.start for each in made.spans if each.state is State.RUN)
    made.ended = now
    return made


def found(made: Record, own: Callable[[float, float], float] = lambda start, end: end - start) -> list[str]:
    case = Case(made, "GET /", LIMIT, own)
    return [each.lint for lint in LINTS for each in lint(case)]


def places(made: Record) -> list[Place | None]:
    case = Case(made, "GET /", LIMIT, lambda start, end: end - start, lambda record: ROUTE)
    return [each.place for lint in LINTS for each in lint(case)]


WAIT = Label("event", "", AT)
PIECES: list[Part] = [part for _ in range(8) for part in (("run", 0.004), ("wait", 0.001, WAIT))]  # type: ignore[misc]  # both are parts
READS: list[Part] = [
    ("run", 0.0002), ("wait", 0.01, query("SELECT 1"), 100.0001), ("run", 0.0002),
    ("wait", 0.01, query("SELECT 2"), 100.0103), ("run", 0.0002),
]  # fmt: skip


def repeated(times: int, sql: str = "SELECT 1") -> list[Part]:
    return [part for _ in range(times) for part in (("run", 0.002), ("wait", 0.0001, query(sql)))]  # type: ignore[misc]  # both are parts


PROVOKE: dict[str, list[Part]] = {
    "L3": PIECES,
    "L5": [("run", 0.001), ("wait", 0.06, Label("connection", "4/4", AT))],
    "L6": [("wait", 0.001, query("BEGIN")), ("run", 0.001), ("wait", 0.03, Label("sleep", "", AT), 99.9)],
    "L7": READS,
    "L8": repeated(5),
    "L11": [("run", 0.001), *[("wait", 0.4, Label("client", "to take its answer", AT))] * 3],
    "L12": [("arrived", 0.06), ("run", 0.001)],
}
MUST_NOT: dict[str, list[Part]] = {
    "nothing": [("run", 0.001)],
    "L3: one long piece is a block": [("run", 0.045), ("wait", 0.01, WAIT), ("run", 0.001), ("wait", 0.01, WAIT)],
    "L3: little work": [part for _ in range(8) for part in (("run", 0.002), ("wait", 0.001, WAIT))],  # type: ignore[misc]  # both are parts
    "L3: a stream": [("run", 0.001), ("wait", 1.0, WAIT)] * 100,
    "L5: soon free": [("run", 0.001), ("wait", 0.04, Label("connection", "4/4", AT))],
    "L6: the query itself": [("run", 0.001), ("wait", 0.2, query("UPDATE a SET b = ?"), 99.9)],
    "L6: nothing held": [("run", 0.001), ("wait", 0.2, Label("sleep", "", AT), 0.0)],
    "L6: taken while it waited": [("run", 0.001), ("wait", 0.2, Label("thread", "", AT), 100.1)],
    "L6: soon over": [("run", 0.001), ("wait", 0.01, Label("sleep", "", AT), 99.9)],
    "L7: in a transaction": [each if len(each) < 4 else (*each[:3], 99.9) for each in READS],  # type: ignore[misc]  # still a part
    "L7: much work in between": [each if each[0] == "wait" else ("run", 0.005) for each in READS],
    "L7: a write between": [("run", 0.0002), READS[1], ("run", 0.0002), ("wait", 0.01, query("UPDATE a"), 100.0103)],
    "L7: quick": [("wait", 0.001, query("SELECT 1"), 99.0), ("run", 0.0002), ("wait", 0.001, query("SELECT 2"), 101.0)],
    "L8: four times": repeated(4),
    "L8: one that waits often": repeated(4) + [("wait", 0.001, query()._replace(goes_on=True))] * 9,
    "L8: savepoints": repeated(6, "SAVEPOINT s1"),
    "L8: commits": repeated(6, "COMMIT"),
    "L8: a stream that asks now and then": [*repeated(1), *repeated(1, "SELECT 2"), ("wait", 5.0, WAIT)] * 6,
    "L11: a quick client": [("run", 0.001), ("wait", 0.9, Label("body", "", AT))],
    "L11: two things": [("wait", 0.6, Label("body", "", AT)), ("wait", 0.6, Label("client", "", AT))],
    "L12: soon read": [("arrived", 0.01), ("run", 0.001)],
}


@pytest.mark.parametrize("lint", PROVOKE)
def test_it_is_found(lint: str) -> None:
    assert found(record(*PROVOKE[lint])) == [lint]


@pytest.mark.parametrize("name", MUST_NOT)
def test_it_is_not_found(name: str) -> None:
    assert found(record(*MUST_NOT[name])) == []


def test_waiting_for_its_turn_makes_no_request_less_greedy() -> None:
    parts: list[Part] = [("run", 0.004), ("wait", 0.001, WAIT), ("woken", 0.1)]
    assert found(record(*parts * 8)) == ["L3"]


@pytest.mark.parametrize("label", [query()._replace(goes_on=True), Label("connection", "4/4", AT)])
def test_what_a_query_waits_for_does_not_part_it_from_the_next(label: Label) -> None:
    parts: list[Part] = [("wait", 0.2, label), ("wait", 0.001, query())]
    assert "L8" in found(record(*parts * 5))


def test_a_block_does_not_part_two_queries() -> None:
    parts: list[Part] = [("run", 0.2), ("wait", 0.001, query())]
    assert found(record(*parts * 5)) == []
    assert found(record(*parts * 5), lambda start, end: 0.0) == ["L8"]


@pytest.mark.parametrize("lint", ["L3", "L5", "L6", "L7", "L11"])
def test_what_the_machine_or_a_block_took_is_nobodys(lint: str) -> None:
    assert found(record(*PROVOKE[lint]), lambda start, end: 0.0) == []


@pytest.mark.parametrize("lint", PROVOKE)
def test_the_line_is_named_so_that_it_can_be_muted(lint: str) -> None:
    """The await; where none is known, or it is about the whole, the task or route. Of a slow client's there is none."""

    def names(made: Record, line: Place) -> bool:
        return places(made) == [None if lint in ("L11", "L12") else line]

    assert names(record(*PROVOKE[lint]), ROUTE if lint == "L3" else AT)
    made = record(*PROVOKE[lint])
    made.spans = deque(each._replace(label=each.label and each.label._replace(at=None)) for each in made.spans or ())
    assert names(made, ROUTE)
    made.parent, made.made = record(), Place(__file__, 7)
    assert names(made, made.made)


def test_a_record_that_never_waited_has_nothing_to_find() -> None:
    made = record()
    made.spans = None
    assert found(made) == []


def test_a_task_that_outlives_its_request() -> None:
    made, parent = record(("run", 0.001)), record(("run", 0.001))
    case = Case(made, "task fetch", LIMIT, lambda start, end: end - start)
    assert list(leaked(case, 999.0)) == [], "a request is no task"
    made.parent = parent
    assert list(leaked(case, parent.ended + 29)) == []
    [finding] = leaked(case, parent.ended + 31)
    assert (finding.lint, finding.place) == ("L10", AT)
    parent.ended = 0.0
    assert list(leaked(case, 999.0)) == [], "its request still runs"


def test_a_handler_that_runs_on_without_a_client() -> None:
    case = Case(record(("run", 0.001)), "POST /", LIMIT, lambda start, end: end - start, lambda record: ROUTE)
    assert [(each.lint, each.place) for each in ran_on(case, 100.0, 101.5)] == [("L14", ROUTE)]
    assert list(ran_on(case, 100.0, 100.9)) == []

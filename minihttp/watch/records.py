"""What is known of a request and of the loop: the record kept while it runs, and the snapshot that viewers read.

Owns: the states and kinds of waits, each written once; the record of one request; the format of a snapshot.
Must not know: how anything is measured, or who draws it.
Invariant: bounded (SEGMENTS of a request, requests in a ring), and free of values: of SQL its text, of a path its
route, of a program its files, lines and source; no parameters, no locals.

A snapshot is plain JSON. All times in it are milliseconds since `process.started`, durations milliseconds. The page,
`minihttp top` and the exports read this and nothing else. `Snapshot` documents each field.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from enum import Enum
from typing import Any, NamedTuple, TypedDict

from .source import Place

__all__ = [
    "KINDS", "PREFIX", "RUNNING", "SEGMENTS", "TOUR", "Block", "Card", "Gauge", "Label", "Lane", "Loop", "Process",
    "Record", "Requests", "Segment", "Snapshot", "Span", "State", "Victims",
]  # fmt: skip

PREFIX = "/_loop"  # the pages about the loop: not part of what they show, but for
TOUR = "/_loop/demo/"  # the demonstrations
SEGMENTS = 128  # kept of one request, the latest; a stream of hours has millions


class State(Enum):
    """What a request does at a moment. It is in exactly one of these."""

    ARRIVED = "arrived"  # lies in the system's buffer and has not been read (Linux, after a block)
    RUN = "run"  # has the thread
    WOKEN = "woken"  # could go on, and waits its turn
    WAIT = "wait"  # waits for something, which its label names


# What a request can wait for, in the words of a legend. `waits.waiting_for` says the first four.
KINDS = {
    "query": "the database answers a query",
    "connection": "a database connection becomes free",
    "body": "the client sends its body",
    "client": "the client takes its answer",
    "sleep": "a time passes",
    "lock": "a lock, semaphore or condition",
    "event": "an event is set",
    "queue": "a queue has or takes an item",
    "tasks": "tasks that it started",
    "thread": "a function in a thread",
    "process": "another process",
    "socket": "a socket that is not the client's",
    "other": "something else, at the line named",
}


class Label(NamedTuple):
    """What a wait is for: one of KINDS, more words (SQL without values, "4/4"), and the application's line."""

    kind: str
    detail: str = ""
    at: Place | None = None
    goes_on: bool = False  # the same query, which waits many times


class Span(NamedTuple):
    """A stretch of a request's life, in seconds on the recorder's clock. Only a WAIT has a label.

    `lease` is when the database connection was taken that was held at the end of the wait; 0.0 for none.
    """

    state: State
    start: float
    end: float
    label: Label | None = None
    lease: float = 0.0


class Running:
    """In the place of the future that a record awaits, while its step runs."""

    def done(self) -> bool:
        """It awaits nothing."""
        return False


RUNNING = Running()


class Record:
    """One request, or one task that a request started (`parent`). Written by the loop's thread alone.

    `ended` is 0.0 while it lives. `spans` stays None for a request that never waited: it ran from `begun` to `ended`.
    `why` is what `waits.waiting_for` says of the await that follows; `future` is what it awaits
    now: None for nothing but its turn, RUNNING while it runs.
    """

    __slots__ = (
        "begun", "coro", "ended", "future", "id", "made", "method", "parent", "path", "ran", "said", "since", "spans",
        "why", "woken",
    )  # fmt: skip

    begun: float
    ended: float
    method: str  # "TASK" for a task that a request started
    path: str  # raw, without the query; for a task the name of its coroutine function
    why: tuple[str, str] | None
    said: tuple[str, str] | None  # the last `why`: a query waits many times, and says so once
    spans: deque[Span] | None
    parent: Record | None
    coro: Coroutine[Any, Any, Any] | None  # while it is suspended: whom to ask what it waits for
    future: Any
    since: float  # when what it does now began
    woken: float  # when it was seen to be able to go on; 0.0 for not yet
    ran: float  # seconds on the thread so far, also of spans that are kept no more; set where there are spans
    made: Place | None  # for a task: where it was started
    id: int  # given when it is first shown


# -- the snapshot ------------------------------------------------------------------------------------------------------


class Process(TypedDict):
    """Whose snapshot it is. With several workers each page shows one of them."""

    pid: int
    name: str  # the program, `users_app.py`
    python: str  # "3.12.1"
    loop: str  # "asyncio" or "uvloop"
    minihttp: str  # version
    started: float  # seconds since the epoch: the zero of all times
    limit: float  # a step of the loop longer than this is a block


class Loop(TypedDict):
    """How the loop does. `busy` is None where it cannot be known (uvloop on macOS)."""

    lag: list[tuple[float, float]]  # (when, how much later than it could something ran), oldest first
    lag_max: float
    busy: float | None  # share of the last seconds not spent waiting for events (on uvloop: of computing), 0 to 1
    handlers: float  # share of the last seconds in which handlers ran, 0 to 1


class Requests(TypedDict):
    """`handled` counts all, `skipped` those that the budget left unrecorded; the pages about the loop are in none."""

    running: int
    handled: int
    skipped: int
    running_max: int


class Segment(TypedDict):
    """A stretch of a lane. `kind`, `detail` and `at` are empty unless `state` is "wait"."""

    state: str  # a State's value
    start: float
    end: float
    kind: str  # one of KINDS
    detail: str
    at: str  # "app.py:40", or ""


class Lane(TypedDict):
    """One request or one task of a request. `run` segments of all lanes together never overlap."""

    id: int
    parent: int | None  # the lane of the request that started this task
    name: str  # "GET /users/{id}"; "task fetch_one"
    start: float
    end: float | None  # None: still alive; its last segment ends at `Snapshot.now`
    ran: float
    segments: list[Segment]  # oldest first, without gaps; the latest 128


class Victims(TypedDict):
    """Who was held up by a block."""

    requests: int  # that could have gone on, each once, however many tasks it started
    unread: int  # connections with bytes that nobody read, and such that nobody accepted (Linux; else 0)
    worst: float  # the longest that one of them was held up
    lanes: list[int]  # of those requests and their tasks, as far as they are recorded


class Block(TypedDict):
    """A step of the loop that held everyone up, and the line it spent its time on.

    `file` and the like are "" and `line` 0 where nobody saw the stack. `end` is None while it goes on.
    """

    id: int
    start: float
    end: float | None
    ms: float
    lane: int | None  # the request that ran; None for a callback or an unrecorded request
    name: str  # "GET /report", or ""
    file: str  # short, "app.py"
    line: int
    function: str
    expression: str  # "time.sleep(0.12)"
    source: list[tuple[int, str]]  # the lines around, numbered
    fix: str
    held_gil: bool  # a C call kept the interpreter's lock: no thread could have helped
    share: float  # of the stack samples that show this line, 0 to 1
    samples: int
    victims: Victims


class Gauge(TypedDict):
    """How full something is that has a limit; `history` has (when, used, waiters) at each change, oldest first."""

    kind: str  # "pool"
    name: str  # where it leads, without a password
    limit: int
    used: int
    idle: int
    waiters: int
    history: list[tuple[float, int, int]]


class Card(TypedDict):
    """A warning, once per lint and line, with its count."""

    lint: str  # "L1"
    level: str  # "error", "warning" or "hint"
    title: str  # one line: "The loop was blocked for 123 ms by time.sleep(0.12)"
    text: str  # who, how often, who was hurt
    fix: str
    at: str  # "app.py:40", or ""
    source: list[tuple[int, str]]  # the lines around, numbered; may be empty
    line: int  # the one to point at; 0 for none
    count: int
    first: float
    last: float
    lanes: list[int]  # some that show it
    block: int | None  # of Block.id


class Snapshot(TypedDict):
    """Everything a viewer draws. A feed sends it again and again, with only the lanes that changed."""

    version: int  # of this format: 1
    now: float
    process: Process
    loop: Loop
    requests: Requests
    lanes: list[Lane]  # by start
    blocks: list[Block]  # oldest first
    gauges: list[Gauge]
    cards: list[Card]  # the latest first

"""A snapshot for tests of whatever draws one: a report that sleeps on the loop, and those who suffer from it.

Owns: `sample()`, a fresh copy each time.
Must not know: who draws it.
Invariant: it has each state, a child task, a living lane, a block with victims, a full pool and a card of each level.
"""

from __future__ import annotations

from minihttp.watch.records import Lane, Segment, Snapshot

__all__ = ["sample"]


def segment(state: str, start: float, end: float, kind: str = "", detail: str = "", at: str = "") -> Segment:
    return {"state": state, "start": start, "end": end, "kind": kind, "detail": detail, "at": at}


def lane(id: int, name: str, segments: list[Segment], parent: int | None = None, alive: bool = False) -> Lane:
    ran = sum(each["end"] - each["start"] for each in segments if each["state"] == "run")
    start, end = segments[0]["start"], None if alive else segments[-1]["end"]
    return {"id": id, "parent": parent, "name": name, "start": start, "end": end, "ran": ran, "segments": segments}


SEARCH = "SELECT * FROM book WHERE title LIKE ?"


def sample() -> Snapshot:
    """240 ms in the life of a server, of which `GET /report` blocks 120."""
    lanes = [
        lane(1, "GET /hello", [segment("run", 1.0, 1.4)]),
        lane(
            2,
            "GET /search",
            [
                segment("run", 5.0, 5.5),
                segment("wait", 5.5, 60.0, "query", SEARCH, "app.py:22"),
                segment("run", 60.0, 60.6),
                segment("wait", 60.6, 100.0, "query", SEARCH, "app.py:23"),
                segment("woken", 100.0, 220.5),
                segment("run", 220.5, 221.0),
            ],
        ),
        lane(
            3,
            "GET /report",
            [
                segment("run", 80.0, 80.3),
                segment("wait", 80.3, 100.0, "query", "SELECT * FROM sales WHERE month = ?", "app.py:39"),
                segment("run", 100.0, 220.0),
            ],
        ),
        lane(
            4,
            "GET /users/{id}",
            [
                segment("arrived", 130.0, 221.0),
                segment("run", 221.0, 221.2),
                segment("wait", 221.2, 230.0, "connection", "4/4", "app.py:12"),
                segment("wait", 230.0, 236.0, "query", "SELECT * FROM user WHERE id = ?", "app.py:12"),
                segment("run", 236.0, 236.4),
            ],
        ),
        lane(
            5,
            "GET /both",
            [segment("run", 221.2, 221.6), segment("wait", 221.6, 240.0, "tasks", "gather", "app.py:50")],
            alive=True,
        ),
        lane(
            6,
            "task fetch_one",
            [segment("run", 221.6, 221.7), segment("wait", 221.7, 240.0, "sleep", "", "app.py:46")],
            parent=5,
            alive=True,
        ),
    ]
    report = [
        (38, "async def report(request):"),
        (39, '    await db.all("SELECT * FROM sales WHERE month = :m", m=1)'),
        (40, "    time.sleep(0.12)"),
        (41, '    return "done"'),
    ]
    return {
        "version": 1,
        "now": 240.0,
        "process": {
            "pid": 4711,
            "name": "app.py",
            "python": "3.12.1",
            "loop": "asyncio",
            "minihttp": "0.1.0",
            "started": 1_700_000_000.0,
            "limit": 50.0,
        },
        "loop": {"lag": [(50.0, 0.1), (220.0, 116.0)], "lag_max": 116.0, "busy": 0.55, "handlers": 0.51},
        "requests": {"running": 1, "handled": 4, "skipped": 0, "running_max": 4},
        "lanes": lanes,
        "blocks": [
            {
                "id": 1,
                "start": 100.0,
                "end": 220.0,
                "ms": 120.0,
                "lane": 3,
                "name": "GET /report",
                "file": "app.py",
                "line": 40,
                "function": "report",
                "expression": "time.sleep(0.12)",
                "source": report,
                "fix": "use await asyncio.sleep(...)",
                "held_gil": False,
                "share": 1.0,
                "samples": 7,
                "victims": {"requests": 2, "unread": 1, "worst": 120.5, "lanes": [2, 4]},
            }
        ],
        "gauges": [
            {
                "kind": "pool",
                "name": "database shop on 127.0.0.1:3306",
                "limit": 4,
                "used": 4,
                "idle": 0,
                "waiters": 1,
                "history": [(0.0, 0, 0), (5.5, 1, 0), (80.3, 2, 0), (221.2, 4, 1), (230.0, 4, 0)],
            }
        ],
        "cards": [
            {
                "lint": "L5",
                "level": "warning",
                "title": "The database pool ran out: 1 request waited up to 60 ms for a connection",
                "text": "All 4 connections were in use.",
                "fix": "hold connections for less time, or raise pool_size",
                "at": "",
                "source": [],
                "line": 0,
                "count": 1,
                "first": 230.0,
                "last": 230.0,
                "lanes": [4],
                "block": None,
            },
            {
                "lint": "L1",
                "level": "error",
                "title": "The loop was blocked for 120 ms by time.sleep(0.12)",
                "text": "GET /report; others held up: 2, by up to 120 ms; clients not read or not accepted: 1",
                "fix": "use await asyncio.sleep(...)",
                "at": "app.py:40",
                "source": report,
                "line": 40,
                "count": 1,
                "first": 220.0,
                "last": 220.0,
                "lanes": [3],
                "block": 1,
            },
            {
                "lint": "L7",
                "level": "hint",
                "title": "GET /search runs 2 queries one after the other",
                "text": "94 ms of 216 ms are spent on them.",
                "fix": "if the second does not need the first's rows: await asyncio.gather(a, b)",
                "at": "app.py:22",
                "source": [(22, "    one = await db.all(...)"), (23, "    two = await db.all(...)")],
                "line": 22,
                "count": 1,
                "first": 221.0,
                "last": 221.0,
                "lanes": [2],
                "block": None,
            },
        ],
    }

"""The numbers of the loop and the pools, as text that Prometheus reads.

Owns: the names and meanings of the metrics.
Must not know: what measures them: it asks the gauges that `waits` knows.
Invariant: a handler that anybody may mount; it gives no file, line, path or SQL away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..request import Request
from ..response import Response
from ..waits import gauges

__all__ = ["metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Kind of gauge, field, kind of metric, meaning. A counter's name ends in _total.
METRICS = [
    ("loop", "lag_seconds", "gauge", "the longest that something ready waited for the loop, in the last ten seconds"),
    ("loop", "busy_ratio", "gauge", "share of the last seconds not spent waiting for events; on uvloop of computing"),
    ("loop", "blocks_total", "counter", "times the loop was held up for longer than the limit"),
    ("loop", "warnings_total", "counter", "warnings of all lints, repetitions included"),
    ("loop", "requests_running", "gauge", "requests being handled"),
    ("loop", "requests_total", "counter", "requests handled"),
    ("loop", "connections", "gauge", "open connections of clients"),
    ("pool", "limit", "gauge", "database connections at the most"),
    ("pool", "used", "gauge", "database connections in use"),
    ("pool", "idle", "gauge", "database connections that nobody uses"),
    ("pool", "waiters", "gauge", "tasks that wait for a database connection"),
]


async def metrics(request: Request) -> Response:
    """A handler: `app.get("/metrics")(metrics)`. Of the loop there is something only while it is watched."""
    values = [gauge.gauge() for gauge in list(gauges)]
    return Response("".join(f"{line}\n" for line in lines(values)), content_type=CONTENT_TYPE)


def lines(values: list[Mapping[str, int | float | str]]) -> Iterator[str]:
    for kind, field, type_, meaning in METRICS:
        found = [each for each in values if each["kind"] == kind and field in each]
        if found:
            name = f"minihttp_{kind}_{field}"
            yield f"# HELP {name} {meaning}"
            yield f"# TYPE {name} {type_}"
        for each in found:
            yield f'{name}{{name="{escape(str(each["name"]))}"}} {each[field]}'


def escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

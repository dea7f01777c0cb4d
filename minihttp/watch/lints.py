"""What the record of a request tells about the code that made it.

Owns: the lints on one finished or waiting request, each a function from its record to findings.
Must not know: threads, stacks, how a record came about.
Invariant: nobody is accused without proof. Time in which the loop was held up, or in which the machine gave the thread
no CPU, is not a request's own; what may have a good reason is a hint, and logged as information only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import NamedTuple

from .cards import Finding
from .records import Label, Record, Span, State
from .source import Place

__all__ = ["LINTS", "Case", "leaked", "ran_on"]

GREEDY = 0.02  # seconds of running, in pieces each of which is below the limit
SHARE = 0.1  # of the time it waits, that it runs: a stream that runs now and then is not greedy, however long it lives
QUEUED = 0.05  # seconds in the queue for a database connection
HELD = 0.02  # seconds that a connection is kept while something else is awaited
SERIAL = 0.005  # seconds spent on queries of which each waits for the one before
REPEATED = 5  # times the same SQL in a row
REST = 0.1  # seconds between two queries that are not in a row
NO_QUERIES = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
SLOW = 1.0  # seconds that a client takes
LEAKED = 30.0  # seconds that a task outlives its request
RAN_ON = 1.0  # seconds that a handler goes on without a client
COARSE = 0.002  # seconds by which the moment of a lease may be wrong: uvloop's clock counts milliseconds
SAME_BREATH = 0.001  # seconds between two queries of which the second does not look at the first


class Case(NamedTuple):
    """A record and its name.

    `own(start, end)` is the seconds in between that are nobody else's fault; `declared(record)` its route's line.
    """

    record: Record
    name: str
    limit: float
    own: Callable[[float, float], float]
    declared: Callable[[Record], Place | None] = lambda record: None

    def waits(self, *kinds: str) -> Iterator[Span]:
        """Its labelled waits of these kinds; of any kind without one."""
        for each in self.record.spans or ():
            if each.state is State.WAIT and each.label is not None and (not kinds or each.label.kind in kinds):
                yield each

    def length(self, span: Span, over: float = 0.0) -> float:
        """A span without the time that is not its own; 0.0 if it is not longer than `over` anyway."""
        return self.own(span.start, span.end) if span.end - span.start > over else 0.0

    def line(self, at: Place | None = None) -> Place | None:
        """The line to name: where it waited, else where the task was started or the route declared."""
        started = self.record.made if self.record.parent is not None else None
        return at or started or self.declared(self.record)


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"


def greedy(case: Case) -> Iterator[Finding]:
    """L3: much running in pieces, of which none is long enough to be called a block."""
    spans = case.record.spans
    if spans is None or case.record.ran <= GREEDY:
        return
    runs = [case.length(each) for each in spans if each.state is State.RUN]
    much = max(GREEDY, SHARE * sum(each.end - each.start for each in spans if each.state is State.WAIT))
    if len(runs) > 2 and sum(runs) > much and max(runs) < case.limit and sum(runs) > 3 * max(runs):
        title = f"{case.name} runs {ms(sum(runs))} in {len(runs)} pieces"
        fix = "everybody else waits that long in all: do less, or do it in a process"
        yield Finding("L3", "warning", title, "", fix, case.line(), case.name)


def queued(case: Case) -> Iterator[Finding]:
    """L5: no connection was free."""
    for each in case.waits("connection"):
        if (took := case.length(each, QUEUED)) > QUEUED and each.label:
            title = f"The database pool ran out: {case.name} waited {ms(took)} for a connection"
            text = f"{each.label.detail} were in use"
            fix = "hold connections for less time, or raise pool_size"
            yield Finding("L5", "warning", title, text, fix, case.line(each.label.at), "pool")


def held(case: Case) -> Iterator[Finding]:
    """L6: a database connection kept while something else was awaited."""
    for each in case.waits():
        label, took = each.label, case.length(each, HELD)
        if (
            label
            and label.kind not in ("query", "connection")
            and 0 < each.lease <= each.start + COARSE
            and took > HELD
        ):
            title = f"{case.name} keeps a database connection for {ms(took)} while it waits for something else"
            text = f"it waits: {label.kind} {label.detail}".rstrip()
            fix = "end the transaction or the iteration first"
            yield Finding("L6", "warning", title, text, fix, case.line(label.at), case.name)


def serial(case: Case) -> Iterator[Finding]:
    """L7: queries in a row, each waiting for the one before. Not in a transaction, which has one connection."""
    spans = [each for each in case.record.spans or () if each.state is not State.WOKEN]
    pairs = [
        (one, two)
        for one, run, two in zip(spans, spans[1:], spans[2:], strict=False)
        if run.state is State.RUN and run.end - run.start < SAME_BREATH and is_read(one) and is_read(two)
        if one.label and two.label and one.label.detail != two.label.detail and two.lease - one.lease > COARSE
    ]
    took = sum(case.length(two) for _, two in pairs)
    if pairs and took > SERIAL and (first := pairs[0][0].label) is not None:
        title = f"{case.name} runs {len(pairs) + 1} queries one after the other"
        text = f"{ms(took)} could be saved where a query does not need what the one before it found"
        yield Finding("L7", "hint", title, text, "await asyncio.gather(a, b)", case.line(first.at), case.name)


def is_read(span: Span) -> bool:
    label = span.label
    return label is not None and label.kind == "query" and label.detail.lstrip().upper().startswith("SELECT")


def repeated(case: Case) -> Iterator[Finding]:
    """L8: the same SQL again and again (N+1). Whoever asks every few seconds means to."""
    for burst in bursts(case):
        for sql, times in Counter(each.detail for each in burst).items():
            if times >= REPEATED and not sql.startswith(NO_QUERIES):
                at = case.line(next(each.at for each in burst if each.detail == sql))
                title, fix = f"{case.name} runs the same query {times} times", "one query with IN :ids, or a JOIN"
                yield Finding("L8", "warning", title, sql, fix, at, f"{case.name} {sql}")


def bursts(case: Case) -> Iterator[list[Label]]:
    """Its queries, those together of which each comes soon after the one before."""
    burst: list[Label] = []
    end = inf
    for each in case.waits("query", "connection"):
        if each.start - end > REST and case.own(end, each.start) > REST:
            yield burst
            burst = []
        end = each.end
        if each.label and each.label.kind == "query" and not each.label.goes_on:
            burst.append(each.label)
    yield burst


def slow_client(case: Case) -> Iterator[Finding]:
    """L11: the client is what takes so long."""
    for kind, does in (("client", "takes its answer"), ("body", "sends its body")):
        waits = list(case.waits(kind))
        if sum(each.end - each.start for each in waits) > SLOW and (took := sum(map(case.length, waits))) > SLOW:
            title = f"{case.name}: a client {does} slowly, {ms(took)} in {len(waits)} waits"
            yield Finding("L11", "hint", title, "this is not the server's fault", "", None, f"{case.name} {does}")


def unread(case: Case) -> Iterator[Finding]:
    """L12: it had arrived long before anybody read it."""
    for each in case.record.spans or ():
        if each.state is State.ARRIVED and each.end - each.start > case.limit:
            title = f"{case.name} had arrived {ms(each.end - each.start)} before it was read"
            text = "no access log shows this wait: it ended before the handler began"
            yield Finding("L12", "hint", title, text, "see what held the loop then", None, case.name)


LINTS: Sequence[Callable[[Case], Iterator[Finding]]] = (greedy, queued, held, serial, repeated, slow_client, unread)


def leaked(case: Case, now: float) -> Iterator[Finding]:
    """L10: a task that goes on long after the request that started it."""
    record = case.record
    if record.parent is not None and record.parent.ended and now - record.parent.ended > LEAKED:
        title = f"{case.name} goes on {ms(now - record.parent.ended)} after its request"
        fix = "await it, use asyncio.TaskGroup, or start it in the lifespan"
        yield Finding("L10", "warning", title, "", fix, case.line(), case.name)


def ran_on(case: Case, gone: float, now: float) -> Iterator[Finding]:
    """L14: a handler that goes on without a client."""
    if now - gone > RAN_ON:
        title = f"{case.name} runs on {ms(now - gone)} after its client has gone"
        fix = 'on_disconnect="cancel" for its route, or ask request.is_gone'
        yield Finding("L14", "hint", title, "nobody will read the answer", fix, case.line(), case.name)

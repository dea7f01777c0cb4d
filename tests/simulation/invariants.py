"""What must hold: whenever the clock is about to move, and of every connection when all is over.

Owns: the rules that need more than one step to be broken: something waits that nobody will wake, is late, grows without
end, or was never answered.
Must not know: how the server keeps its times and buffers in order; it looks at what it can see of them.
Invariant: a rule is about what a client, an application or an operator would notice, and says in its text what it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from math import inf
from typing import Any, TypeVar

from minihttp.errors import ClientDisconnected
from minihttp.response import File, Response, Stream
from minihttp.server.connection import LINGER
from minihttp.server.flow import BATCH
from minihttp.server.stages import Stage
from minihttp.testing import IncompleteReply, InvalidReply, Reply, ReplyReader
from minihttp.wire.parser import State

from .handlers import FILE
from .ledger import EPSILON, Ledger, Run
from .schedule import content

__all__ = ["at_rest", "bounded", "judge"]

LARGEST = 120_000  # bytes of the largest answer or chunk of one
LISTENS = (Stage.IDLE, Stage.HEAD, Stage.DRAINING, Stage.LINGERING)
FIRST_OF_LINE = b"\r\n"

T = TypeVar("T")


def bounded(ledger: Ledger) -> None:
    """In every turn: memory is bounded by the limits, not by the client."""
    probe = ledger.probe
    if probe is None or ledger.is_lost:
        return
    buffered = probe._parser.buffered()
    if buffered > ledger.most_read:
        ledger.fail(f"{buffered} bytes are read ahead, {ledger.most_read} at most")
    unsent = ledger.line.get_write_buffer_size() + probe._flow._size
    if unsent > ledger.dial.high_water + 2 * BATCH + 2 * LARGEST:
        ledger.fail(f"{unsent} bytes wait to be sent")


# -- before the clock moves --------------------------------------------------------------------------------------------


def at_rest(ledger: Ledger, jump: float) -> None:
    """Nothing is left to do at this moment; the clock is about to move by `jump` seconds."""
    probe = ledger.probe
    if probe is None:
        return
    for complaint in told_of_departure(ledger):
        ledger.fail(complaint)
    if ledger.is_lost:
        return
    for complaint in (*idle_hands(ledger), *endings(ledger), *overdue(ledger, ledger.now + jump)):
        ledger.fail(complaint)
    body = probe._body
    if body is not None and body.is_wanted:
        ledger.silent += jump
        ledger.waited += jump
    else:
        ledger.silent = 0.0


def told_of_departure(ledger: Ledger) -> Iterator[str]:
    probe, run = ledger.probe, ledger.run
    if run is None or not probe.is_gone:
        return
    if not all(watcher.done() for watcher in run.watchers):
        yield "the client has gone, and who waits for that was not told"
    told = run.task is None or run.task.done() or run.task.cancelling()
    if run.gone_cancels and not told:
        yield f"the client has gone, and the handler of {run.request} runs on"


def idle_hands(ledger: Ledger) -> Iterator[str]:
    """Something could be done, and nobody will do it."""
    probe = ledger.probe
    stage, flow, parser, body = probe.stage, probe._flow, probe._parser, probe._body
    if flow.held and not flow.is_full:
        yield "an answer is held back while nothing happens"
    if flow._waiters and not flow.is_full and not ledger.line.is_closing():
        yield "somebody waits for room, and there is room"
    waits_for_room = flow.is_full and stage in (Stage.IDLE, Stage.HEAD)
    if stage in (Stage.IDLE, Stage.HEAD) and not waits_for_room and parser.state is State.HEAD:
        waiting = parser.buffer[parser._at :].removeprefix(FIRST_OF_LINE)
        if b"\r\n\r\n" in waiting:
            yield f"a whole request waits in {stage.name}"
    reads = stage in LISTENS and not waits_for_room
    if body is not None and body.is_wanted:
        reads = True
        if parser.state is State.LENGTH and parser.buffered():
            yield "a handler waits for a body that has come"
    if reads and not flow.is_reading and not ledger.line.told_end and not ledger.line.is_closing():
        yield f"nobody reads from the client in {stage.name}"
    if (stage is Stage.HANDLER) != (probe._task is not None):
        yield f"in {stage.name} {'without' if probe._task is None else 'with'} a task"


def endings(ledger: Ledger) -> Iterator[str]:
    """What is to be closed, and is not."""
    probe, line = ledger.probe, ledger.line
    stage, flow, parser = probe.stage, probe._flow, probe._parser
    waits_for_room = flow.is_full and parser.buffered() > 0
    if stage is Stage.CLOSED and not line.is_closing():
        yield "CLOSED, and the transport is open"
    if line.told_end and stage in LISTENS and not waits_for_room:
        yield f"the client has closed its side, and the connection stays in {stage.name}"
    if ledger.play.service.stopping and stage is Stage.IDLE and not flow.is_full:
        yield "the server stops, and an idle connection stays"


def overdue(ledger: Ledger, now: float) -> Iterator[str]:
    """Each deadline with its tolerance of two ticks, counted from what was seen."""
    tolerance = 2 * ledger.play.service.deadlines.tick + EPSILON
    probe, body, run = ledger.probe, ledger.probe._body, ledger.run
    if now - tolerance > stage_until(ledger):
        yield f"{probe.stage.name} lasts too long"
    if ledger.full_at is not None:
        last = max(ledger.full_at, ledger.moved_at)
        if now - 2 * tolerance > last + 2 * ledger.limits.write_timeout:  # looked at twice
            yield "the client takes nothing, and the connection stays"
    if body is not None and body.is_wanted and now - ledger.now - tolerance > ledger.body_patience():
        yield "the body comes too slowly, and the handler waits on"
    if run is not None and run.task is not None and not run.task.cancelling():
        if run.deadline is not None and now - tolerance > run.deadline and not run.was_late:
            yield f"the handler of {run.request} runs beyond its time"
        if now - tolerance > ledger.half_close_until() and not probe.is_gone:
            yield "the client has closed its side, and still counts as there"


def stage_until(ledger: Ledger) -> float:
    """When the stage must be over. Who has first to take its answers is late for that."""
    stage, since = ledger.probe.stage, max(ledger.since, ledger.room_at)
    if stage is Stage.HANDLER or (ledger.full_at is not None and stage is not Stage.DRAINING):
        return inf
    if stage in (Stage.LINGERING, Stage.CLOSED):
        return since + LINGER
    return max(ledger.since + ledger.stage_seconds(), ledger.room_at + ledger.limits.header_timeout)


# -- when all is over --------------------------------------------------------------------------------------------------


def judge(ledger: Ledger) -> None:
    """Every answer is the one that was due, whole and in order; and none is missing without a reason."""
    if ledger.probe is None:
        return
    if not ledger.is_lost:
        ledger.fail("the connection was never lost")
    try:
        replies, is_cut = read_replies(ledger)
    except InvalidReply as error:
        ledger.fail(f"no valid reply: {error}")
        return
    complaints = [*wrong_replies(ledger, replies, is_cut)]
    if not (ledger.aborted or ledger.line.is_reset or ledger.is_cut_off):
        complaints += missing_replies(ledger, replies, is_cut)
    for complaint in complaints:
        ledger.fail(complaint)


def wrong_replies(ledger: Ledger, replies: list[Reply], is_cut: bool) -> Iterator[str]:
    for number, reply in enumerate(replies):
        if number < len(ledger.runs):
            run = ledger.runs[number]
            yield from (f"the answer to {run.request}: {text}" for text in wrong_answers(ledger, run, reply))
        elif reply.status != ledger.refused:
            yield f"answered {reply.status}, and that was nobody's answer"
        if reply.closes and (number + 1 < len(replies) or is_cut):
            yield "more was sent behind an answer that closes"


def missing_replies(ledger: Ledger, replies: list[Reply], is_cut: bool) -> Iterator[str]:
    due = len(ledger.runs) + (ledger.refused is not None)
    if len(replies) < due or is_cut:
        yield f"{due} answers were due, {len(replies)} were sent whole"
    yield from unserved(ledger, replies)
    yield from undelivered(ledger)


def drive(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # StopIteration does not tell
    raise RuntimeError("it waits")


def read_replies(ledger: Ledger) -> tuple[list[Reply], bool]:
    """Everything that was written, as replies; whether the last one was cut off. Raises InvalidReply."""
    left = [b"".join(ledger.line.writes)]

    async def receive() -> bytes:
        return left.pop() if left else b""

    reader, replies = ReplyReader(receive), []
    while any(left) or reader.buffered:
        asked = ledger.runs[len(replies)].asked if len(replies) < len(ledger.runs) else None
        try:
            replies.append(drive(reader.read(asked.method if asked else "GET", asked.minor if asked else 1)))
        except IncompleteReply:
            return replies, True
    return replies, False


def wrong_answers(ledger: Ledger, run: Run, reply: Reply) -> Iterator[str]:
    asked, outcome = run.asked, run.outcome
    if (
        (ledger.aborted or ledger.line.is_reset)
        and isinstance(outcome, Stream)
        and run.produced.startswith(reply.content)
    ):
        return  # what was cut off behind all that was announced, or without an announcement, looks whole
    status, body = due_answer(run, reply)
    if reply.status != status:
        yield f"status {reply.status}, {status} was due after {outcome!r}"
    token = reply.headers.get("x-token")
    if token != asked.token and (token is not None or body is not None):
        yield f"it is for {token}"
    if body is not None and reply.content != (b"" if asked.method == "HEAD" else body):
        yield f"{len(reply.content)} bytes, {len(body)} were due"
    if reply.interim and not (asked.expects and reply.interim == [100]):
        yield f"interim answers {reply.interim}"
    if reply.closes is run.stays:
        yield f"closes: {reply.closes}, and the connection was to do otherwise"
    may_close = (
        asked.closes or asked.raw_body or asked.chunked or ledger.eof_at is not None or ledger.play.service.stopping
        or (isinstance(outcome, Response) and (outcome.headers.get("connection") or run.asked.minor == 0))
        or (asked.steps[-1][0] == "answer" and asked.steps[-1][3])
    )  # fmt: skip
    if reply.closes and not may_close:
        yield "it closes for no reason"


def due_answer(run: Run, reply: Reply) -> tuple[int, bytes | None]:
    """Status and body that are due after what the handler did; None for a body that is the server's own."""
    outcome, step = run.outcome, run.asked.steps[-1]
    if isinstance(outcome, Stream):
        if run.asked.method == "HEAD":
            return 200, b""
        if run.is_whole and run.length_fits:
            return 200, run.produced
        return (503 if isinstance(run.stream_error, asyncio.CancelledError) else 500), None
    if isinstance(outcome, File):
        if run.was_cancelled and reply.status == 503:
            return 503, None
        return (200, FILE.read_bytes()) if step[1] else (404, None)
    if isinstance(outcome, Response):
        return outcome.status, content(run.asked.token, step[2])
    if isinstance(outcome, ClientDisconnected):
        return 400, None
    if isinstance(outcome, asyncio.CancelledError):
        return 503, None
    return getattr(outcome, "http_status", 500), None


def unserved(ledger: Ledger, replies: list[Reply]) -> Iterator[str]:
    """A request that had come, and that nothing but its own faults kept from being answered."""
    index = len(ledger.runs)
    ended = ledger.refused is not None or (replies and replies[-1].closes)
    if ended or ledger.drain_failed or index >= len(ledger.dial.requests):
        return
    if ledger.taken >= ledger.head_end(index):
        yield f"{ledger.dial.requests[index].token} had come, and was neither answered nor refused"


def undelivered(ledger: Ledger) -> Iterator[str]:
    """The client read to the end, and did not get what was written."""
    promised = any(run.asked.closes for run in ledger.runs)  # who sends more behind that has to bear it
    if ledger.torn and not promised and not ledger.idled:
        yield "answers were torn away by a close over unread bytes"
    if ledger.saw_end and bytes(ledger.got) != b"".join(ledger.line.writes):
        yield f"the client read {len(ledger.got)} bytes of what was written"

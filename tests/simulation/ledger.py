"""What has happened on one connection, and what of it may not have happened.

Owns: the record of every step of a connection, and the rules that a single step can break.
Must not know: the order of things to come; what must hold while nothing happens, and at the end, is in `invariants`.
Invariant: times are kept here anew, from what was seen, never read from the server's own deadlines. A broken rule is
noted and the run goes on to its next turn: an exception here would end in the hands of the code under test.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from minihttp.request import Request
from minihttp.server.connection import LINGER
from minihttp.server.stages import TRANSITIONS, Late, Stage

from .schedule import Asked, Dial, stated_length
from .world import Line, Probe

if TYPE_CHECKING:
    from .play import Play

__all__ = ["EPSILON", "Ledger", "Run"]

EPSILON = 1e-6  # seconds; what adding floats may lose
EAGER = sys.version_info >= (3, 12)  # before, a handler begins a turn after its request was read


class Run:
    """A request that its handler was called for."""

    def __init__(self, asked: Asked, request: Request, at: float, deadline: float | None) -> None:
        self.asked = asked
        self.request = request
        self.at = at
        self.deadline = deadline  # of the handler
        self.outcome: Any = None  # a Response, an exception, or what else the handler returned
        self.produced = b""  # of a stream
        self.is_whole = False  # the stream went to its end
        self.stream_error: BaseException | None = None
        self.stays = True  # what its answer said of the connection
        self.was_late = self.was_cancelled = False
        self.gone_cancels = False  # the client went while it ran, and its policy is to be cancelled then
        self.task = asyncio.current_task()
        self.watchers: list[asyncio.Task[None]] = []

    @property
    def length_fits(self) -> bool:
        """Whether its stream has as many bytes as it states."""
        step = self.asked.steps[-1]
        return step[0] == "stream" and stated_length(step) in (None, sum(step[1]))


class Ledger:
    """The record of one connection."""

    def __init__(self, play: Play, number: int, dial: Dial) -> None:
        self.play = play
        self.number = number
        self.dial = dial
        self.limits = play.schedule.limits
        self.ends = list(accumulate(len(each.wire) for each in dial.requests))
        self.line: Line
        self.probe: Probe | None = None
        self.runs: list[Run] = []
        self.run: Run | None = None
        self.got = bytearray()  # what the client has read
        self.saw_end = self.torn = False  # how the client's reading ended
        self.taken = 0  # bytes given to the protocol while it listened
        self.answered = 0
        self.refused: int | None = None
        self.expiring: Late | None = None
        self.expired: set[Late] = set()
        self.forced = self.aborted = self.is_lost = self.drain_failed = self.idled = False
        self.since = self.moved_at = self.room_at = 0.0
        self.eof_at: float | None = None
        self.full_at: float | None = None
        self.silent = self.waited = 0.0  # how long a handler has waited for the body
        self.body_bytes = 0
        self._waiting: list[asyncio.Future[None]] = []
        limits, piece = self.limits, max((len(step[1]) for step in dial.steps if step[0] == "send"), default=0)
        # What was read before reading was paused, and three reads that were on their way.
        self.most_read = max(limits.pipeline, limits.request_line + limits.header_bytes, 2048) + 3 * piece

    @property
    def now(self) -> float:
        return self.play.loop.now

    def say(self, text: str) -> None:
        if self.play.trace is not None:
            self.play.trace(f"{self.now:9.4f}  {self.number}  {text}")

    def fail(self, text: str) -> None:
        self.say(f"BROKEN: {text}")
        self.play.broken.append(f"at {self.now:.4f} on connection {self.number}: {text}")

    def require(self, true: object, text: str) -> None:
        if not true:
            self.fail(text)

    def start_of(self, index: int) -> int:
        return self.ends[index - 1] if index else 0

    def head_end(self, index: int) -> int:
        return self.start_of(index) + len(self.dial.requests[index].head)

    async def changed(self) -> None:
        """Return when a request was finished or the connection ended."""
        waiter = self.play.loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    @property
    def is_cut_off(self) -> bool:
        """Whether the client's end was that of the connection, as with TLS."""
        return self.dial.secure and self.eof_at is not None

    # -- what comes --------------------------------------------------------------------------------------------------

    def made(self, probe: Probe) -> None:
        self.say("connected")
        self.probe = probe
        self.since = self.moved_at = self.now

    def received(self, data: bytes) -> None:
        self.say(f"server reads {len(data)} bytes: {data[:60]!r}")
        self.require(not self.is_lost, "bytes after connection_lost")
        if self.probe.stage not in (Stage.LINGERING, Stage.CLOSED):
            self.taken += len(data)
        self.body_bytes += len(data)
        self.silent = 0.0

    def half_closed(self) -> None:
        self.say("server reads the end")
        if self.eof_at is None:
            self.eof_at = self.now

    def lost(self, error: Exception | None) -> None:
        self.say(f"connection lost: {error or 'in order'}")
        self.require(not self.is_lost, "connection_lost twice")
        self.is_lost = True
        self.wake()

    def filled(self, full: bool) -> None:
        self.say("transport is full" if full else "transport has room")
        self.full_at = self.now if full else None
        self.room_at = self.now

    # -- what goes ---------------------------------------------------------------------------------------------------

    def wrote(self, data: bytes, closing: bool) -> None:
        self.say(f"server writes {len(data)} bytes: {data[:40]!r}")
        # Behind an abort the protocol hears of the end a turn later; until then the transport drops what comes.
        dropped = self.line.is_reset or self.is_cut_off or self.aborted
        self.require(not closing or dropped, "written after the end")

    def closes(self, pending: bool) -> None:
        self.say(f"server closes{' over unread bytes' if pending else ''}")
        self.wake()

    def refuses(self, error: Any) -> None:
        index, status = len(self.runs), error.http_status
        self.say(f"refused with {status}: {error}")
        self.require(self.refused is None, "refused twice")
        self.refused = status
        self.wake()
        if type(error).__name__ == "Overloaded":
            self.require(index == 0 and self.limits.connections is not None, "refused without being overloaded")
            return
        if not index < len(self.dial.requests):
            self.fail(f"refused with {status}, and nothing was sent")
            return
        if self.dial.requests[index].refusal == status:
            return
        is_open = self.start_of(index) < self.taken < self.head_end(index)
        if status == 408:
            self.require(self.expiring is Late.STAGE and is_open, "408 though the head had come")
        else:
            self.require(status == 400 and self.eof_at is not None and is_open, f"refused with {status}")

    # -- requests ----------------------------------------------------------------------------------------------------

    def begins(self, request: Request) -> Run:
        index = len(self.runs)
        self.say(f"handler begins: {request}")
        asked = self.dial.requests[index] if index < len(self.dial.requests) else Asked("nothing")
        if (request.raw_path, request.method) != (f"/{asked.token}", asked.method) or asked.refusal is not None:
            self.fail(f"served {request} where {asked.token} was to be served or refused")
        elif self.taken < self.head_end(index):
            self.fail(f"served {request} before its head had come")
        self.require(self.run is None, "two handlers at once")
        self.require(self.refused is None, f"served {request} after a refusal")
        self.require(not self.is_lost or not EAGER, f"served {request} after the end")
        if self.runs:
            before = self.runs[-1]
            self.require(before.stays and not before.asked.closes, f"served {request} after an answer that closes")
            self.require(not before.asked.broken or before.is_whole, f"served {request} behind a broken body")
        seconds = self.limits.handler_timeout
        self.run = Run(asked, request, self.now, None if seconds is None else self.now + seconds)
        self.runs.append(self.run)
        self.silent = self.waited = 0.0
        self.body_bytes = max(0, self.taken - self.head_end(index)) if index < len(self.dial.requests) else 0
        return self.run

    def limits_handler(self, seconds: float | None) -> None:
        if self.run is not None:
            self.run.deadline = None if seconds is None else self.now + seconds

    def cancelled(self, run: Run) -> None:
        self.say(f"handler of {run.asked.token} is cancelled")
        gone = self.probe.is_gone and run.request.cancels_on_disconnect
        late = self.probe.cancelled_for is Late.HANDLER and Late.HANDLER in self.expired
        self.require(gone or late or self.forced, f"the handler of {run.request} was cancelled for no reason")

    def persists(self, stays: bool) -> None:
        if self.run is not None:
            self.run.stays = stays
        self.require(not stays or not self.play.service.stopping, "a stopping server promises to stay")

    def finishes(self) -> None:
        self.say("request finished")
        if self.run is None:
            self.fail("finished what was not begun, or twice")
        elif self.run.task is not None:
            self.run.was_cancelled = self.run.task.cancelling() > 0
        self.answered += 1
        self.run = None
        self.expired.clear()
        self.wake()

    # -- stages, deadlines and ends ----------------------------------------------------------------------------------

    def turns_to(self, old: Stage, new: Stage) -> None:
        if old is new:
            return
        self.say(f"{old.name} -> {new.name}")
        self.require(new in TRANSITIONS[old], f"from {old.name} to {new.name}")
        self.since = self.now
        # Who sends another request in the moment in which an idle connection is closed has to send it again.
        self.idled = old is Stage.IDLE and new is Stage.CLOSED and not self.line.pending
        if old is Stage.DRAINING and new is not Stage.IDLE and not self.is_lost and not self.forced:
            self.drain_failed = True
            asked = self.runs[-1].asked
            fits = len(asked.raw_body) <= self.limits.unread_body and not asked.broken
            self.require(self.expiring or self.eof_at is not None or not fits, "a short unread body was not drained")

    def stage_seconds(self) -> float:
        """How long the stage it is in may last without anything happening."""
        stage, limits = self.probe.stage, self.limits
        if stage is Stage.IDLE:
            return limits.keep_alive if self.runs else limits.header_timeout
        if stage is Stage.HEAD:
            return limits.header_timeout
        return limits.body_grace if stage is Stage.DRAINING else LINGER

    def half_close_until(self) -> float:
        """When a client that has closed its side counts as gone, if a handler still runs."""
        run, eof = self.run, self.eof_at
        return float("inf") if run is None or eof is None else max(run.at, eof) + self.limits.half_close_grace

    def expires(self, late: Late) -> None:
        stage, limits = self.probe.stage, self.limits
        if late is Late.STAGE and (stage is Stage.HANDLER or self.aborted):
            return  # of the stage before, or with another: it ends nothing
        body = self.probe._body
        if late is Late.BODY and (body is None or not body.is_wanted or self.body_patience() > EPSILON):
            return  # it looks whether the client is too slow, and it is not; a 408 now would be for no reason
        self.say(f"late: {late.name} in {stage.name}")
        self.expiring = late
        self.expired.add(late)
        late_at = float("inf")
        if late is Late.STAGE:
            late_at = self.since + self.stage_seconds()
            if stage in (Stage.LINGERING, Stage.CLOSED):
                late_at = max(late_at, self.room_at + LINGER)
            if stage is Stage.IDLE:
                self.require(
                    self.full_at is not None or not self.probe._parser.has_begun(),
                    "idle for too long, with a request waiting",
                )
        elif late is Late.WRITE and self.full_at is not None:
            late_at = self.full_at + limits.write_timeout
        elif late is Late.BODY:
            late_at = self.now
        elif late is Late.HANDLER and self.run is not None and self.run.deadline is not None:
            late_at, self.run.was_late = self.run.deadline, True
        elif late is Late.HALF_CLOSED:
            late_at = self.half_close_until()
        self.require(self.now >= late_at - EPSILON, f"{late.name} fired early, in {stage.name}: due at {late_at:.4f}")

    def body_patience(self) -> float:
        """Seconds until the body that is waited for is too slow; negative where it is."""
        grace, rate = self.limits.body_grace, self.limits.body_rate
        average = grace + self.body_bytes / rate - self.waited if rate else float("inf")
        return min(grace - self.silent, average)

    def leaves(self) -> None:
        self.say("the client counts as gone")
        if self.run is not None:
            self.run.gone_cancels = self.run.request.cancels_on_disconnect
        self.require(self.is_lost or self.expiring is Late.HALF_CLOSED, "the client counts as gone for no reason")

    def aborts(self) -> None:
        self.say("server aborts")
        run = self.run
        failed = run is not None and self.probe.head_sent and not (run.is_whole and run.length_fits)
        late = self.expiring in (Late.WRITE, Late.STAGE)
        self.require(late or self.aborted or self.forced or self.probe.is_gone or failed, "aborted for no reason")
        self.aborted = True
        self.wake()

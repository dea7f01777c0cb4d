"""What the records and the samples mean together: blocks, and the warnings about them.

Owns: who is guilty of a block, and when nobody is; the rounds in which the lints look at new records.
Must not know: threads and their timing, HTTP, viewers.
Invariant: called from one thread. A block without a proven line has no line; one that the machine or the garbage
collector made accuses nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from .blame import Blame, fix_for, verdict
from .cards import Cards, Finding
from .lints import LINTS, Case, leaked, ran_on
from .recorder import Hold, Recorder
from .records import Block, Record, State
from .snapshot import Lanes, is_shown
from .source import Place
from .watchdog import Sample

__all__ = ["Judge", "conclude"]

KEPT = 64  # blocks
ROUND = 0.25  # seconds between two rounds of the lints
MOSTLY = 0.5  # of a block's length: what takes so much of it made it
Machine = Callable[[float, float], tuple[float, float] | None]  # waited for a CPU, had one


class Judge:
    """`judge(now)` at every beat of the watchdog; `pauses` of the garbage collector are told to it.

    `declared(record)` is the line of a record's route, and of no record the application's.
    """

    def __init__(
        self,
        recorder: Recorder,
        lanes: Lanes,
        cards: Cards,
        declared: Callable[[Record | None], Place | None] = lambda record: None,
    ) -> None:
        self.blocks: deque[Block] = deque(maxlen=KEPT)
        self.count = 0
        self.pauses: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self.held: deque[tuple[float, float]] = deque(maxlen=KEPT)  # blocks, and what looked like one
        self.samples: deque[Sample] = deque()
        self.machine: Machine = lambda start, end: None
        self._recorder = recorder
        self._lanes = lanes
        self._cards = cards
        self._declared = declared
        self._next_round = 0.0
        self._gone: dict[Record, float] = {}

    def __call__(self, now: float) -> None:
        recorder = self._recorder
        while recorder.holds and recorder.holds[0].end <= now:  # what the machine did is known until now
            self.block(recorder.holds.popleft())
        if now < self._next_round:
            return
        self._next_round = now + ROUND
        while recorder.fresh:
            self.examine(recorder.fresh.popleft())
        self._look_at_the_living(now)

    # -- blocks ----------------------------------------------------------------------------------------------------

    def block(self, hold: Hold) -> None:
        """The loop stood still: say whose line it was, or that nobody is to blame."""
        start, end = hold.start, hold.end
        length = end - start
        looks = [each for each in list(self.samples) if start <= each.at <= end]
        seen = [each.blame for each in looks]
        waited, worked = self.machine(start, end) or (0.0, length)
        found, share = conclude(looks)
        self.count += 1
        self.held.append((start, end))
        made = self.make_block(self.count, hold, found, share, len(seen))
        took, who = f"{length * 1000:.0f} ms", made["name"] or "a callback"
        if overlap(self.pauses, start, end) > MOSTLY * length:
            finding = Finding("L15", "hint", f"The garbage collector took {took}", "not the code of " + who, about="gc")
        elif waited > MOSTLY * length:
            finding = Finding(
                "L15", "hint", f"The machine gave the loop no CPU for {took}", f"it is busy, not {who}", about="cpu"
            )
        elif found.held_gil and worked < MOSTLY * length:
            title = f"Another thread held the interpreter for {took}"
            finding = Finding("L2", "warning", title, f"{who} could not go on", "C code without the GIL", about="gil")
        elif hold.record is None and self._is_crowd(seen, start, end):
            title = f"One turn of the loop took {took}, in many small steps"
            finding = Finding("L4", "warning", title, "", "too much work for one process: add workers", about="turn")
        elif found.place is None and (hold.record is None or worked < MOSTLY * length):
            title = f"The loop did not turn for {took}, and nobody was seen holding it"
            finding = Finding("L15", "hint", title, f"{who} ran; the machine may have stood still", about="unseen")
        else:
            self.blocks.append(made)
            finding = self._guilty(made, found, took, who)
        # What is not recorded has no route; but its functions were seen, and a mute at one of them is the route's.
        speaks = next((each for each in found.functions if each.is_muted()), None)
        if hold.record is not None or not (speaks or finding.place):  # the application's line is not for a callback's
            speaks = self._declared(hold.record)
        self._cards.add(
            finding._replace(declared=speaks), self._lanes.ms(end), [made["lane"]] if made["lane"] else [], made["id"]
        )

    def going_on(self, hold: Hold) -> Block:
        """The block of this moment, as far as it can be told."""
        looks = [each for each in list(self.samples) if each.at >= hold.start]
        return self.make_block(self.count + 1, hold, *conclude(looks), len(looks), live=True)

    def _guilty(self, made: Block, found: Blame, took: str, who: str) -> Finding:
        victims = made["victims"]
        held_up = f"{who}; others held up: {victims['requests']}, by up to {victims['worst']:.0f} ms"
        if victims["unread"]:
            held_up += f"; clients not read or not accepted: {victims['unread']}"
        what = f" by {found.expression}" if found.expression else ""
        title = f"The loop was blocked for {took}{what}"
        return Finding("L2" if found.held_gil else "L1", "error", title, held_up, made["fix"], found.place, who)

    def make_block(
        self, number: int, hold: Hold, found: Blame, share: float, samples: int, live: bool = False
    ) -> Block:
        """A block as viewers see it; `live` while it goes on."""
        place, ms = found.place, self._lanes.ms
        length = (hold.end - hold.start) * 1000
        guilty = None if hold.record is None else request_of(hold.record)
        victims = [each for each in hold.victims if is_shown(each) and request_of(each) is not guilty]
        held_up = len({request_of(each) for each in victims}) + hold.others
        worst = max([length * bool(held_up + hold.queued), *((hold.end - at) * 1000 for at in hold.unread.values())])
        return {
            "id": number,
            "start": ms(hold.start),
            "end": None if live else ms(hold.end),
            "ms": round(length, 3),
            "lane": None if hold.record is None else self._lanes.id(hold.record),
            "name": self._lanes.name(hold.record) or (found.handler and f"handler {found.handler}"),
            "file": place.name if place else "",
            "line": place.line if place else 0,
            "function": found.function,
            "expression": found.expression,
            "source": place.around() if place else [],
            "fix": fix_for(found) if place else "",
            "held_gil": found.held_gil,
            "share": round(share, 3),
            "samples": samples,
            "victims": {
                "requests": held_up,
                "unread": len(hold.unread) + hold.queued,
                "worst": round(worst, 3),
                "lanes": [self._lanes.id(each) for each in victims],
            },
        }

    def _is_crowd(self, seen: Sequence[Blame], start: float, end: float) -> bool:
        """Whether a turn consisted of many steps, none of which was long."""
        if overlap(self._steps(start, end), start, end) > MOSTLY * (end - start):
            return True
        roots = [each.root for each in seen]
        return len(roots) > 1 and max(roots.count(each) for each in roots) <= MOSTLY * len(roots)

    def _steps(self, start: float, end: float) -> Iterable[tuple[float, float]]:
        for each in list(self._recorder.finished):
            if each.spans is None and each.ended > start and each.begun < end:
                yield each.begun, each.ended
            for span in list(each.spans or ()):
                if span.state is State.RUN and span.end > start and span.start < end:
                    yield span.start, span.end

    # -- lints -----------------------------------------------------------------------------------------------------

    def examine(self, record: Record) -> None:
        """All lints on one finished record."""
        case = self._case(record)
        for lint in LINTS if is_shown(record) else ():
            self._tell(record, lint(case), record.ended)

    def _look_at_the_living(self, now: float) -> None:
        live = [(record, each) for record, each in list(self._recorder.live.items()) if is_shown(record)]
        self._gone = {record: self._gone.get(record, now) for record, each in live if each is not None and each.is_gone}
        for record, _ in live:
            case = self._case(record)
            self._tell(record, leaked(case, now), now)
            if record in self._gone:
                self._tell(record, ran_on(case, self._gone[record], now), now)

    def _tell(self, record: Record, findings: Iterable[Finding], at: float) -> None:
        for each in findings:
            found = each._replace(declared=self._declared(record))
            self._cards.add(found, self._lanes.ms(at), [self._lanes.id(record)])

    def _case(self, record: Record) -> Case:
        return Case(record, self._lanes.name(record), self._recorder.limit, self.own, self._declared)

    def own(self, start: float, end: float) -> float:
        """The seconds between two moments in which neither a block nor the machine held the loop up."""
        return max(0.0, end - start - overlap(self.held, start, end) - (self.machine(start, end) or (0.0,))[0])


def request_of(record: Record) -> Record:
    """The request that a task belongs to."""
    return record.parent or record


def conclude(samples: Sequence[Sample]) -> tuple[Blame, float]:
    """The line of a block, and the share of the samples that show it.

    The GIL was held where this thread was kept from most of its looks: a single one may be late on a busy machine.
    """
    found, share = verdict(each.blame for each in samples)
    held = sum(each.slept for each in samples if each.blame.held_gil)
    return found._replace(held_gil=held > sum(each.slept for each in samples) / 2), share


def overlap(spans: Iterable[tuple[float, float]], start: float, end: float) -> float:
    """How much of a time is covered by others that do not overlap."""
    return sum(max(0.0, min(end, last) - max(start, first)) for first, last in spans)

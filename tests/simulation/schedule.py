"""A seed into a schedule: limits, clients, what they send and how, what handlers do, when the server stops.

Owns: every random choice, made before anything runs.
Must not know: the server. What a request must be answered with follows from what is written here.
Invariant: the schedule is data and a function of its seed. A connection has one broken request at most, and behind it
a good one that must never be served.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from minihttp.options import Limits

__all__ = ["Asked", "Dial", "Schedule", "Step", "content", "make_schedule", "stated_length"]

Step = tuple[Any, ...]  # what is done, and how long or how much

EVIL = b"GET /evil HTTP/1.1\r\nhost: evil\r\n\r\n"


def content(token: str, size: int) -> bytes:
    """The body of an answer, told from every other."""
    return (f"<{token}>".encode() * (size // 4 + 1))[:size]


def stated_length(step: Step) -> int | None:
    """What a stream says of its length: a number of bytes, right or wrong, or nothing."""
    _, pieces, length, _, _ = step
    return None if length is None else max(0, sum(pieces) + length)


@dataclass
class Asked:
    """A request as its client means it, and what its handler does about it.

    `refusal` is the status that the head is refused with, `broken` says that the body is.
    """

    token: str
    method: str = "GET"
    minor: int = 1
    head: bytes = b""
    body: bytes = b""  # without its framing
    raw_body: bytes = b""
    chunked: bool = False
    expects: bool = False
    closes: bool = False
    refusal: int | None = None
    broken: bool = False
    trailers: bool = False
    steps: list[Step] = field(default_factory=list)

    @property
    def wire(self) -> bytes:
        return self.head + self.raw_body


@dataclass
class Dial:
    """One client: when it connects, what it sends in which pieces, how it reads and how it ends."""

    at: float
    window: int
    high_water: int
    requests: list[Asked]
    steps: list[Step]
    reading: list[Step]
    secure: bool = False  # over TLS, which cannot be half closed

    @property
    def wire(self) -> bytes:
        return b"".join(each.wire for each in self.requests)


@dataclass
class Schedule:
    """All that happens from outside; `hurry` is when a second signal ends the grace."""

    seed: int
    limits: Limits
    dials: list[Dial]
    stop: float
    grace: float
    hurry: float | None


def make_schedule(seed: int) -> Schedule:
    random = Random(seed)
    limits = make_limits(random)
    dials = [make_dial(random, number, limits) for number in range(random.choice([1, 1, 1, 2, 2, 3]))]
    early = random.random() < 0.35
    stop = random.choice([0.0, 0.05, 0.5, 1.0, random.uniform(0, 6)]) if early else 30.0
    hurry = stop + random.uniform(0, 2) if random.random() < 0.2 else None
    return Schedule(seed, limits, dials, stop, random.choice([0.0, 0.5, 2.0, 5.0]), hurry)


def make_limits(random: Random) -> Limits:
    return Limits(
        request_line=random.choice([64, 200]),
        header_bytes=random.choice([256, 1000]),
        header_count=random.choice([8, 20]),
        max_body=random.choice([100, 3000, 1 << 20]),
        trailer_bytes=100,
        chunk_extensions=50,
        pipeline=random.choice([1024, 1024, 4096]),
        unread_body=random.choice([0, 200, 3000]),
        connections=random.choice([None, None, None, 1]),
        header_timeout=random.choice([1.0, 2.0]),
        body_rate=random.choice([0, 100, 1000]),
        body_grace=random.choice([0.6, 1.5]),
        keep_alive=random.choice([0.7, 3.0]),
        write_timeout=random.choice([0.8, 2.0]),
        handler_timeout=random.choice([None, None, 1.0, 2.0]),
        half_close_grace=random.choice([0.3, 1.0]),
    )


# -- requests ----------------------------------------------------------------------------------------------------------


def make_dial(random: Random, number: int, limits: Limits) -> Dial:
    count = random.choice([0, 1, 1, 2, 3, 4, 6, 12, 25])
    requests = [make_request(random, f"c{number}r{index}", limits) for index in range(count)]
    if random.random() < 0.25:
        bad = make_bad(random, f"c{number}bad", limits)
        behind = make_request(random, f"c{number}behind", limits)
        requests = [*requests[: random.randrange(count + 1)], bad, behind]
    high_water = random.choice([0, 500, 4000, 1 << 16])
    dial = Dial(random.choice([0, 0, 0.3]), random.choice([0, 100, 4000, 1 << 16]), high_water, requests, [], [])
    dial.steps = make_steps(random, dial)
    dial.reading = make_reading(random)
    dial.secure = random.random() < 0.1
    return dial


def make_request(random: Random, token: str, limits: Limits) -> Asked:
    kind = random.choices(["none", "length", "chunked"], [5, 3, 3])[0]
    safe = ["GET", "GET", "GET", "HEAD", "OPTIONS"]
    asked = Asked(token, random.choice([*safe, "POST", "DELETE"] if kind == "none" else ["POST", "PUT", "POST", "GET"]))
    asked.minor = 0 if kind != "chunked" and random.random() < 0.12 else 1
    fields = ["host: a"] if asked.minor or random.random() < 0.5 else []
    stays = random.random() < (0.95 if asked.minor else 0.7)
    asked.closes = not stays
    if asked.closes == bool(asked.minor):
        fields.append("connection: close" if asked.closes else "connection: keep-alive")
    if kind != "none":
        size = random.choice([0, 1, 10, 100, 1000, 5000])
        asked.body = (EVIL * (size // len(EVIL) + 1))[:size] if random.random() < 0.5 else content(token, size)
        if size and random.random() < 0.2:
            asked.expects = asked.minor == 1
            fields.append("expect: 100-continue")
    if kind == "length":
        fields.append(f"content-length: {len(asked.body)}")
        asked.raw_body = asked.body
    elif kind == "chunked":
        fields.append("transfer-encoding: chunked")
        asked.chunked = True
        asked.trailers = random.random() < 0.3
        asked.raw_body = in_chunks(random, asked.body) + b"0\r\n" + b"x-end: 1\r\n" * asked.trailers + b"\r\n"
    random.shuffle(fields)
    lines = [f"{asked.method} /{token} HTTP/1.{asked.minor}", *fields, "", ""]
    asked.head = b"\r\n" * (random.random() < 0.05) + "\r\n".join(lines).encode()
    asked.steps = make_work(random, asked)
    return asked


def in_chunks(random: Random, body: bytes) -> bytes:
    pieces, at = [], 0
    while at < len(body):
        size = random.choice([1, 7, 100, 3000])
        piece = body[at : at + size]
        pieces.append(b"%x%b\r\n%b\r\n" % (len(piece), b";a=b" * (random.random() < 0.02), piece))
        at += size
        if len(pieces) == 20:  # chunks of one byte are dear, and no more is learned from them
            pieces.append(b"%x\r\n%b\r\n" % (len(body) - at, body[at:]) if at < len(body) else b"")
            break
    return b"".join(pieces)


BAD_HEADS = {
    400: [
        b"GET /bad HTTP/1.1\r\n\r\n",
        b"GET /bad HTTP/1.1\r\nhost : a\r\n\r\n",
        b"GET  /bad HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST /bad HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /bad HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc",
        b"\x16\x03\x01",
        b"GET /bad HTTP/1.1\nhost: a\n\n",
        b"GET /bad HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n",
    ],
    414: [b"GET /" + b"a" * 300 + b" HTTP/1.1\r\nhost: a\r\n\r\n"],
    417: [b"POST /bad HTTP/1.1\r\nhost: a\r\nexpect: more\r\ncontent-length: 1\r\n\r\na"],
    431: [
        b"GET /bad HTTP/1.1\r\nhost: a\r\n" + b"x: 1\r\n" * 30 + b"\r\n",
        b"GET /bad HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 1000 + b"\r\n\r\n",
    ],
    501: [b"TRACE /bad HTTP/1.1\r\nhost: a\r\n\r\n"],
    505: [b"GET /bad HTTP/2.0\r\nhost: a\r\n\r\n"],
}
BAD_BODIES = [
    b"zz\r\n",
    b"3\r\nabcde\r\n",
    b"3\r\nabc\n0\n\n",
    b"3\nabc\r\n0\r\n\r\n",
    b"0\r\nhost: a\r\n\r\n",
    b"3;\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\r\n0\r\nx: " + b"a" * 200 + b"\r\n\r\n",
]


def make_bad(random: Random, token: str, limits: Limits) -> Asked:
    if random.random() < 0.4:
        asked = Asked(token, "POST", chunked=True, broken=True)
        lines = [f"POST /{token} HTTP/1.1", "host: a", "transfer-encoding: chunked", "", ""]
        asked.head, asked.body = "\r\n".join(lines).encode(), content(token, random.choice([0, 10, 500]))
        asked.raw_body = in_chunks(random, asked.body) + random.choice(BAD_BODIES)
        asked.steps = make_work(random, asked)
        return asked
    status = random.choice(list(BAD_HEADS))
    return Asked(token, head=random.choice(BAD_HEADS[status]), refusal=status)


# -- handlers ----------------------------------------------------------------------------------------------------------


def make_work(random: Random, asked: Asked) -> list[Step]:
    steps: list[Step] = []
    if random.random() < 0.15:
        steps.append(("policy", random.choice(["cancel", "finish"])))
    if random.random() < 0.1:
        steps.append(("timeout", random.choice([None, 0.4, 1.2])))
    if random.random() < 0.2:
        steps.append(("watch",))
    for _ in range(random.choice([0, 0, 1, 1, 2])):
        steps.append(make_wait(random))
        if asked.head and asked.raw_body and random.random() < 0.5:
            steps.append(("pieces", random.choice([1, 2, 50]), random.random() < 0.5))
    if asked.raw_body and random.random() < 0.6:
        steps.append(("body",))
        if random.random() < 0.3:
            steps.append(make_wait(random))
    steps.append(make_answer(random))
    return steps


def make_wait(random: Random) -> Step:
    how = random.random()
    if how < 0.45:
        return "turns", random.choice([1, 1, 2, 5])
    if how < 0.55:
        return "stubborn", random.choice([0.1, 0.5])
    return "sleep", random.choice([0, 0.01, 0.1, 0.25, 0.5, 1.0, 2.5])


def make_answer(random: Random) -> Step:
    size = random.choice([0, 1, 10, 100, 1000, 30_000, 100_000] if random.random() < 0.2 else [0, 5, 50])
    how = random.random()
    if how < 0.55:
        status, closes = random.choice([200, 200, 200, 201, 204, 304, 404]), random.random() < 0.05
        return "answer", status, 0 if status in (204, 304) else size, closes
    if how < 0.85:
        pieces = [random.choice([0, 1, 10, 500, 5000, 30_000]) for _ in range(random.choice([0, 1, 2, 4]))]
        length = random.choice([None, None, 0, 0, 0, -1, 1])  # beside the right one; None: not stated
        wait = make_wait(random) if random.random() < 0.6 else ("turns", 0)
        fails = random.randrange(len(pieces) + 1) if random.random() < 0.1 else None
        return "stream", pieces, length, wait, fails
    if how < 0.9:
        return "file", random.random() < 0.7
    return "raise", random.choice(["error", "status", "unavailable", "nonsense"])


# -- clients -----------------------------------------------------------------------------------------------------------


def make_steps(random: Random, dial: Dial) -> list[Step]:
    """The bytes in pieces, with what the client waits for between them, and its end."""
    data = dial.wire
    ends = [len(data)] if random.random() < 0.7 or not data else [random.randrange(len(data))]
    data = data[: ends[0]]
    steps: list[Step] = []
    at = 0
    for cut in make_cuts(random, dial, len(data)):
        if at < cut:
            steps.append(("send", data[at:cut]))
            at = cut
            steps.append(make_gap(random))
    end = random.choices(["eof", "reset", "leave", "stay", "answered"], [3, 2, 2, 2, 3])[0]
    if end == "answered":  # the usual client
        steps.append(("answered",))
        end = random.choice(["leave", "eof", "reset", "stay"])
    elif random.random() < 0.5:
        steps.append(("sleep", random.choice([0.01, 0.1, 0.5, 1.0, 2.0, 4.0])))
    steps.append((end,))
    return [step for step in steps if step != ("turns", 0)]


def make_cuts(random: Random, dial: Dial, total: int) -> list[int]:
    how = random.random()
    if how < 0.3:
        cuts = []
    elif how < 0.6:  # where requests and heads end
        cuts, at = [], 0
        for each in dial.requests:
            cuts += [at + len(each.head)] if random.random() < 0.5 else []
            at += len(each.wire)
            cuts += [at] if random.random() < 0.8 else []
    elif how < 0.95 or total > 300:
        cuts = [random.randrange(total + 1) for _ in range(random.choice([1, 2, 5, 15]))]
    else:
        cuts = list(range(0, total, random.choice([1, 2, 3, 5])))
    return [*(cut for cut in sorted(cuts) if cut < total), total]


def make_gap(random: Random) -> Step:
    how = random.random()
    if how < 0.4:
        return "turns", 0
    if how < 0.75:
        return "turns", random.choice([1, 2, 3, 8])
    return "sleep", random.choice([0.001, 0.01, 0.1, 0.3, 0.3, 0.9, 2.2])


def make_reading(random: Random) -> list[Step]:
    """How the client takes its answers: at most so many bytes, then a pause; the last step again and again."""
    how = random.random()
    if how < 0.55:
        return [("take", 1 << 18, 0)]
    if how < 0.8:
        return [("take", random.choice([100, 1000, 20_000]), random.choice([0.05, 0.3, 0.7, 1.5]))]
    if how < 0.95:
        return [("sleep", random.choice([0.2, 1.0, 3.0])), ("take", 1 << 18, 0)]
    return [("take", 500, 0), ("never",)]

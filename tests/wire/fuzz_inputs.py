"""What the fuzzer starts from and how it goes on: the form of an input, the seeds, and changes where grammars turn.

Owns: the form of an input: two bytes that say where it is cut, and behind them the bytes to be read.
Must not know: what is compared, nor whether an input failed.
Invariant: the same input, size and seed make the same change. Any bytes are an input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random

from .scenarios import ACCEPTED, AT_THE_LIMIT, BEYOND_THE_LIMIT, REFUSED, REFUSED_EARLY

__all__ = ["CORPUS", "LONGEST", "joined", "mutated", "parts", "seeds"]

CORPUS = Path(__file__).with_name("corpus")
LONGEST = 400  # bytes of an input: enough for two requests, and one by one the time goes with the bytes

# Where something ends or begins to a parser: behind every delimiter, and before and behind every word.
EDGES = re.compile(rb"\b|(?<=\W)|(?=\W)")
DELIMITERS = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b"=", b",", b'"', b"\\", b"0", b"1", b"f", b"-", b"+", b"_", b"?",
    b"#", b"%", b"*", b"/", b"@", b"[", b"]", b"\x00", b"\x0b", b"\x0c", b"\x1f", b"\x7f", b"\x80", b"\x85", b"\xff",
    b"\r\n\r\n", b"\n\r\n", b"\r\r\n", b"\r\n ",
]  # fmt: skip


def parts(raw: bytes) -> tuple[bytes, int]:
    """The bytes to be read and where they are cut."""
    data = raw[2:]
    return data, int.from_bytes(raw[:2], "big") % (len(data) + 1)


def joined(data: bytes, cut: int) -> bytes:
    return cut.to_bytes(2, "big") + data


def seeds() -> Iterator[bytes]:
    """The scenarios that are short enough, as requests and, under another first line, as replies; then the corpus."""
    scenarios = ACCEPTED + REFUSED + AT_THE_LIMIT + BEYOND_THE_LIMIT
    requests = [each.data for each in scenarios] + [data for data, _ in REFUSED_EARLY.values()]
    replies = [b"HTTP/1.1 200 OK" + data[data.find(b"\r\n") :] for data in requests if b"\r\n" in data]
    others = [b"HTTP/1.1 100 Continue\r\n\r\n" + replies[0], replies[0].replace(b"200", b"204")]
    for data in dict.fromkeys(requests + replies + others):
        if len(data) + 2 <= LONGEST:
            yield joined(data, data.rfind(b"\r\n") + 1)
    for file in sorted(CORPUS.iterdir()):
        yield file.read_bytes()


@cache
def words() -> list[bytes]:
    """What the scenarios are made of: their lines, and the words in them."""
    lines = {line for raw in seeds() for line in raw[2:].splitlines(keepends=True) if len(line) < 64}
    return sorted(lines) + sorted({word for line in lines for word in re.findall(rb"\w[\w\-]+", line)})


def mutated(raw: bytes, size: int, seed: int) -> bytes:
    """The input with a change or three, each at an edge: bytes come in, or go, or are swapped with what follows."""
    random = Random(seed)
    data, cut = parts(raw)
    for _ in range(random.choice((1, 1, 2, 3))):
        edges = [0, *(found.start() for found in EDGES.finditer(data)), len(data)]
        start, end, third = sorted(random.choice(edges) for _ in range(3))
        if random.random() < 0.8:  # near one another, so that little is lost
            end = min(end, start + random.randrange(4))
            third = min(third, end + random.randrange(40))
        data = random.choice(CHANGES)(random, data, start, end, third)
    data = data[: size - 2]
    if random.random() < 0.3:
        cut = random.choice([found.start() for found in EDGES.finditer(data)] or [0])
    return joined(data, min(cut, len(data)))


def insert_delimiter(random: Random, data: bytes, start: int, end: int, third: int) -> bytes:
    return data[:start] + random.choice(DELIMITERS) + data[start:]


def replace_by_delimiter(random: Random, data: bytes, start: int, end: int, third: int) -> bytes:
    return data[:start] + random.choice(DELIMITERS) + data[end:]


def replace_by_word(random: Random, data: bytes, start: int, end: int, third: int) -> bytes:
    return data[:start] + random.choice(words()) + data[end:]


def remove(random: Random, data: bytes, start: int, end: int, third: int) -> bytes:
    return data[:start] + data[end:]


def swap(random: Random, data: bytes, start: int, end: int, third: int) -> bytes:
    return data[:start] + data[end:third] + data[start:end] + data[third:]


def repeat(random: Random, data: bytes, start: int, end: int, third: int) -> bytes:
    return data[:third] + data[start:third] + data[third:]


def insert_line(random: Random, data: bytes, start: int, end: int, third: int) -> bytes:
    """One of the scenarios' lines, before one of the lines here."""
    starts = [0, *(found.end() for found in re.finditer(rb"\r\n", data))]
    start = random.choice(starts)
    return data[:start] + random.choice(words()) + data[start:]


Change = Callable[[Random, bytes, int, int, int], bytes]
CHANGES: list[Change] = [
    insert_delimiter, insert_delimiter, replace_by_delimiter, replace_by_word, remove, swap, repeat, insert_line,
]  # fmt: skip

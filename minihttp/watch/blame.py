"""Which line holds the loop, and what to write instead.

Owns: from a stack to the application's line, from the line to a fix in words.
Must not know: threads, timers, requests.
Invariant: only what runs inside the loop is blamed, never the program that started it; of a frame nothing is kept but
names and numbers, no values of locals.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile
from types import CodeType, FrameType
from typing import NamedTuple

from .explain import stack
from .source import PACKAGE, Place, is_yours

__all__ = ["Blame", "blame", "fix_for", "look", "verdict"]

# What is called, or the innermost file and function of the library that does it, and what to do instead.
THREAD = "await in_thread(...)"
FIXES = [
    (r"^time\.sleep$|^sleep$", "use await asyncio.sleep(...)"),
    (r"requests|urllib|urlopen|http[./]client|httpx", f"use an async HTTP client, or {THREAD}"),
    (
        r"pymysql|MySQLdb|mysql\.connector|sqlite3|psycopg|\.(execute\w*|fetch(one|many|all))$",
        f"use await db.all(...) and its kin, or {THREAD}",
    ),
    (r"subprocess|os\.system|os\.popen", "use await asyncio.create_subprocess_exec(...)"),
    (r"getaddrinfo|gethostby", "use await loop.getaddrinfo(...)"),
    (r"\.(recv\w*|send|sendall|connect|accept|makefile|readline)$", f"a blocking socket: use streams, or {THREAD}"),
    (r"\.(result|join|acquire|get|put|wait)$|/threading\.py|/queue\.py", f"use asyncio's own primitives, or {THREAD}"),
    (r"\bopen$|\.(read|write)(_text|_bytes|lines?)?$|\bos\.|glob|shutil", f"slow files: {THREAD}"),
    (r"\binput$", f"nobody may be there to type: {THREAD}"),
    (r"hashlib|pbkdf2|scrypt|bcrypt|argon2|zlib|gzip|bz2|lzma", f"it works without the GIL: {THREAD}"),
    (r"json|pickle|re\.|\.(encode|decode|sub|match|search)$|deepcopy", "CPU work: do less of it, or in a process"),
]
CPU = "CPU work: do it in a process (ProcessPoolExecutor); in a thread the loop turns, but shares the GIL with it"
HELD = "it holds the GIL, so a thread does not help: do it in a process (ProcessPoolExecutor)"
# Below these frames, seen from the inside, lies the program that started the loop.
LOOP = re.compile(r"/asyncio/(runners|base_events|events|unix_events)\.py$")


# What calls the function that answers a request: a route's, or where there is no App the server's.
CALLERS = {(f"{PACKAGE}/app.py", "App._dispatch"), (f"{PACKAGE}/server/exchange.py", "serve_request")}


class Blame(NamedTuple):
    """Where a thread was: the application's line, or None where only others' code ran."""

    place: Place | None
    function: str = ""
    expression: str = ""
    leaf: str = ""  # the innermost frame, file and function
    root: int = 0  # the same for all samples of one step of the loop
    held_gil: bool = False
    handler: str = ""  # the function that answers the request; empty where none is answered
    functions: tuple[Place, ...] = ()  # where that one is declared, and those of the application that it is in


class Spot(NamedTuple):
    """Where one function of a stack was at a moment."""

    code: CodeType
    line: int
    instruction: int
    frame: int  # its id


def look(frame: FrameType) -> list[Spot]:
    """A stack as it is now, from the inside out. No file is read: that would let its thread go on meanwhile."""
    return [Spot(each.f_code, each.f_lineno, each.f_lasti, id(each)) for each in stack(frame)]


def blame(seen: Iterable[Spot], held_gil: bool = False, ended: int = 0) -> Blame:
    """The innermost line of the application on a stack; `ended` is how many requests have: within a step none do."""
    inside = list(takewhile(lambda each: not LOOP.search(each.code.co_filename), seen))
    if not inside:
        return Blame(None)
    leaf = f"{inside[0].code.co_filename} {inside[0].code.co_name}"
    root = hash((inside[-1].frame, id(inside[-1].code), ended))  # a frame's place in memory is used again
    for each in inside:
        if is_yours(each.code.co_filename):
            place = Place(each.code.co_filename, each.line)
            function = each.code.co_qualname.partition(".<locals>.<")[0].rpartition(".")[2]  # not its <genexpr>
            way = answering(inside)
            handler = way[0].code.co_qualname.rpartition(".<locals>.")[2] if way else ""
            functions = tuple(Place(spot.code.co_filename, spot.code.co_firstlineno) for spot in way)
            shown = expression(each) or place.text()
            return Blame(place, function, shown, leaf, root, held_gil, handler, functions)
    return Blame(None, leaf=leaf, root=root, held_gil=held_gil)


def answering(inside: Sequence[Spot]) -> Sequence[Spot]:
    """The application's functions from the one that answers the request inwards; none where none is answered."""
    for number, each in enumerate(inside):
        if (each.code.co_filename, each.code.co_qualname) in CALLERS:
            return [spot for spot in reversed(inside[:number]) if is_yours(spot.code.co_filename)]
    return ()


def expression(spot: Spot) -> str:
    """The call that a function is in, as written; empty where that is no call or is written over several lines."""
    positions = list(spot.code.co_positions())
    line, end_line, start, end = positions[min(spot.instruction // 2, len(positions) - 1)]
    if line is None or line != end_line or start is None or end is None:
        return ""
    text = linecache.getline(spot.code.co_filename, line).encode()[start:end].decode(errors="replace")
    return text if "(" in text else ""


def verdict(samples: Iterable[Blame]) -> tuple[Blame, float]:
    """Of samples of one step the line seen most often in the function seen most often, and that function's share."""
    seen = [each for each in samples if each.place is not None]
    if not seen:
        return Blame(None), 0.0
    functions = Counter((each.place.file, each.function) for each in seen if each.place)
    (most, count), *_ = functions.most_common(1)
    own = [each for each in seen if each.place and (each.place.file, each.function) == most]
    line, _ = Counter(each.place for each in own).most_common(1)[0]
    return next(each for each in own if each.place == line), count / len(seen)


def called(expression: str) -> str:
    """What an expression calls last: `time.sleep`, or `.read` of whatever is in front of it."""
    try:
        node = ast.parse(expression, mode="eval").body
    except SyntaxError:  # a whole line, of which only the first call is looked at
        return expression.partition("(")[0].strip().rpartition(" ")[2]
    name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
    return name if re.fullmatch(r"[\w.]*", name) else "." + name.rpartition(".")[2]


def fix_for(found: Blame) -> str:
    """What to write instead, in words."""
    for text in (called(found.expression), found.leaf if "/lib/" in found.leaf else ""):
        for pattern, fix in FIXES:
            if text and re.search(pattern, text):
                return fix
    return HELD if found.held_gil else CPU

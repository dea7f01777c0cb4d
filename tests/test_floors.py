"""The house's order: which module may import which. A new module takes its place in the table here.

`a <- b`: b may import a, and everything before it in the chain. Names joined by `·` or `|` do not see each other. Every
floor may import the floors below it. `watch/` stands for all modules in that folder. Imports inside functions and under
`TYPE_CHECKING` count.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "minihttp"

FLOORS = """
errors <- headers · options · waits
wire/__init__ · wire/head <- wire/parser · wire/writer
codec · spool <- forms <- request <- response
patterns <- routing
server/__init__ · server/stages · server/flow <- server/deadlines <- server/body · server/service · server/sending
    <- server/exchange · server/connection <- server/protocol
server/server <- server/workers
templating · static · sessions · middleware · websocket · asgi · watch/
app <- __init__
testing/ · cli <- __main__
"""
# A wing of its own: of the rest it sees only `waits`, and only the command line sees it.
DB_WING = """
db/errors · db/alarm · db/piecemeal
    <- db/url · db/hosts · db/values · db/rows · db/waiting · db/deadline · db/mysql_errors
    <- db/sql · db/mapping · db/connection · db/tls <- db/session · db/holding · db/statements <- db/executor <- db/pool
    <- db/transaction | db/mysql | db/sqlite | db/tables | db/batches
    <- db/database <- db/repository · db/lock <- db/migrations <- db/__init__
"""
SEEN_BY_DB, SEES_DB = {"waits"}, {"cli"}

# One third-party name, one file. msgspec also has one file of the wing.
THIRD_PARTY = {
    "asyncmy": {"db/mysql"},
    "aiosqlite": {"db/sqlite"},
    "msgspec": {"codec", "db/rows"},
    "jinja2": {"templating"},
    "itsdangerous": {"sessions"},
    "multipart": {"forms"},
    "websockets": {"websocket"},
    "watchfiles": {"server/workers"},
    "uvloop": {"app"},
}


def ranks(table: str) -> dict[str, tuple[int, int]]:
    """Each name's floor and its place in the floor's chain; a module may import what stands strictly before it."""
    floors = re.sub(r"\n\s+<-", " <-", table).strip().splitlines()
    return {
        name.strip(): (floor, step)
        for floor, chain in enumerate(floors)
        for step, group in enumerate(chain.split("<-"))
        for name in re.split("[·|]", group)
    }


HOUSE, WING = ranks(FLOORS), ranks(DB_WING)


def place(module: str) -> tuple[int, int] | None:
    for table in (HOUSE, WING):
        found = table.get(module) or table.get(module.partition("/")[0] + "/")
        if found:
            return found
    return None


def may_import(module: str, target: str) -> bool:
    if (module in WING) != (target in WING):
        return target in SEEN_BY_DB if module in WING else module in SEES_DB
    folder = module.partition("/")[0] + "/"
    if folder in HOUSE and target.startswith(folder):
        return True  # within `watch/`; circles are looked for in all modules together
    mine, other = place(module), place(target)
    return mine is not None and other is not None and other < mine


def imports(module: str, source: str, modules: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Line and target of every import: a module of ours by its name in the table, another by `!name`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ["minihttp", *module.split("/")][: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            top, *rest = name.split(".")
            if top != "minihttp":
                yield node.lineno, f"!{top}"
                continue
            # `from .wire import parser` names a module, `from .errors import HTTPError` a name in one.
            tries = [
                "/".join(rest),
                "/".join([*rest, "__init__"]),
                "/".join(rest[:-1]),
                "/".join([*rest[:-1], "__init__"]),
            ]
            yield node.lineno, next((each for each in tries if each in modules), tries[0])


def violations(modules: Mapping[str, str]) -> list[str]:
    """What is wrong with these modules, given as source by name (`server/protocol`)."""
    wrong, graph = [], {}
    for module, source in modules.items():
        if place(module) is None:
            wrong.append(f"{module} has no place in the table")
            continue
        found = dict.fromkeys(imports(module, source, modules))  # each once, though it may give many names
        graph[module] = {target for _, target in found}
        for line, target in found:
            if target.startswith("!"):
                name = target[1:]
                if name not in sys.stdlib_module_names and module not in THIRD_PARTY.get(name, ()):
                    wrong.append(f"{module}:{line} imports {name}, which belongs in {THIRD_PARTY.get(name, 'no file')}")
            elif not may_import(module, target):
                wrong.append(f"{module}:{line} imports {target}, which is not below it")
    return wrong + [f"{module} imports itself in a circle" for module in graph if module in reachable(graph, module)]


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = set(graph[start])
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting |= graph.get(each, set())
    return found


def test_every_module_keeps_to_its_floor() -> None:
    files = PACKAGE.rglob("*.py")
    modules = {file.relative_to(PACKAGE).with_suffix("").as_posix(): file.read_text() for file in files}
    assert "errors" in modules
    assert violations(modules) == []


def test_the_table_says_what_the_drawing_says() -> None:
    assert may_import("response", "codec")
    assert may_import("server/protocol", "server/flow")
    assert may_import("db/pool", "waits")
    assert may_import("cli", "db/database")
    assert not may_import("headers", "options")
    assert not may_import("db/mysql", "db/sqlite")
    assert not may_import("db/pool", "headers")
    assert not may_import("app", "db/database")
    assert not may_import("testing", "db/database")


def caught(module: str, source: str) -> list[str]:
    others = {"errors": "", "waits": "", "app": "", "wire/parser": "", "db/pool": "", "__init__": "", "watch/a": ""}
    return violations({**others, module: source})


def test_a_violation_is_caught_wherever_it_hides() -> None:
    assert caught("routing", "from .errors import HTTPError\nimport re\n") == []
    assert caught("routing", "from .app import App\n") == ["routing:1 imports app, which is not below it"]
    assert caught("routing", "def f():\n    from minihttp import app\n") == [
        "routing:2 imports app, which is not below it"
    ]
    assert caught("routing", "from . import App\n") == ["routing:1 imports __init__, which is not below it"]
    assert caught("wire/writer", "if TYPE_CHECKING:\n    from .parser import Parser\n") != []
    assert caught("wire/writer", "from ..db.pool import Pool\n") != []
    assert caught("routing", "import msgspec\n") != []
    assert caught("routing", "import unheard_of\n") == ["routing:1 imports unheard_of, which belongs in no file"]
    assert caught("novelty", "") == ["novelty has no place in the table"]
    circle = "from .b import y\n"
    assert caught("watch/b", "from .a import x\n") == []
    assert violations({"watch/a": circle, "watch/b": "from . import a\n"}) == [
        "watch/a imports itself in a circle",
        "watch/b imports itself in a circle",
    ]


def test_the_coverage_gate_names_floors_0_to_3() -> None:
    makefile = (PACKAGE.parent / "Makefile").read_text()
    gate = set(re.findall(r"minihttp/([\w/*]+)(?:\.py)?", makefile.partition("LOW_FLOORS =")[2].partition("\n\n")[0]))
    low = {name for name, (floor, _) in HOUSE.items() if floor <= 3}
    assert gate == {name for name in low if not name.startswith("wire/")} | {"wire/*"}

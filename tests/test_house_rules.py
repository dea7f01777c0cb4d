"""The house rules that no linter knows: sizes, what a file opens with, what may not be in the package.

Each rule is a function from sources to complaints, so that it can be shown to complain.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
Sources = Mapping[str, str]
Rule = Callable[[Sources], Iterator[str]]

FILE_LINES, CLASS_LINES, FUNCTION_LINES = 400, 250, 50

# Lines of code by part of the house, without docstrings, comments and blank lines.
CORE = re.compile(
    r"errors|headers|options|waits|wire/.*|codec|spool|forms|request|response|patterns|routing|server/.*|app|__init__|__main__"
)
WING = re.compile(r"db/.*")
# Lines of code without docstrings, comments and blank lines. What a part may cost the reader, with little to spare:
# more is a reason to cut, not to raise the number.
BUDGETS = {"core": 3030, "db": 3450, "extras": 3500}

# Below the server nothing knows of loops and sockets: bytes and values in, bytes and values out.
PURE = {
    re.compile(r"wire/.*|patterns|routing|headers|options|waits|errors"): {"asyncio", "socket", "logging"},
    re.compile(r"codec|forms|request|response"): {"asyncio", "socket"},
}

# Everything else waits for an event. Each exception says why it may wait for a clock.
MAY_SLEEP = {
    "db/database": "back-off before a transaction is tried again",
    "db/lock": "back-off before the lock is asked for again, and the time between two renewals",
    "watch/race/blocking": "the demonstration: sleeping is what it shows",
    "watch/race/loop": "the same",
    "watch/tour": "the same",
}


def sources(*folders: str) -> dict[str, str]:
    """The project's own modules in these folders, by path without suffix."""
    files = (file for folder in folders for file in (PROJECT / folder).rglob("*.py"))
    return {file.relative_to(PROJECT).with_suffix("").as_posix(): file.read_text() for file in files}


def package() -> dict[str, str]:
    return {name.removeprefix("minihttp/"): text for name, text in sources("minihttp").items()}


def nodes(modules: Sources) -> Iterator[tuple[str, ast.AST]]:
    for name, text in modules.items():
        for node in ast.walk(ast.parse(text)):
            yield name, node


def too_long(modules: Sources) -> Iterator[str]:
    for name, text in modules.items():
        if (lines := len(text.splitlines())) > FILE_LINES:
            yield f"{name}: {lines} lines, {FILE_LINES} at most"
    for name, node in nodes(modules):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            most = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
            if (lines := (node.end_lineno or 0) - node.lineno + 1) > most:
                yield f"{name}:{node.lineno} {node.name}: {lines} lines, {most} at most"


def code_lines(text: str) -> int:
    """Lines that hold code: no docstring, comment or blank line."""
    lines: set[int] = set()
    no_code = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in no_code:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


def part(module: str) -> str:
    return "core" if CORE.fullmatch(module) else "db" if WING.fullmatch(module) else "extras"


def over_budget(modules: Sources) -> Iterator[str]:
    for each, most in BUDGETS.items():
        used = sum(code_lines(text) for name, text in modules.items() if part(name) == each)
        if used > most:
            yield f"{each}: {used} lines of code, {most} at most"


def forbidden(modules: Sources) -> Iterator[str]:
    for name, node in nodes(modules):
        if isinstance(node, ast.Assert):
            yield f"{name}:{node.lineno} assert: -O would remove the check; raise an error"
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"{name}:{node.lineno} bare except: it catches CancelledError too"
        if isinstance(node, ast.Global) and not name.startswith("wire/"):  # the Date line, the bounded memos
            yield f"{name}:{node.lineno} global: module state belongs in an object"
    for name, text in modules.items():
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                yield f"{name}:{number} unfinished: {line.strip()}"


def sleeping(modules: Sources) -> Iterator[str]:
    for name, node in nodes(modules):
        if isinstance(node, ast.Call) and name not in MAY_SLEEP:
            called = ast.unparse(node.func)
            if called in ("asyncio.sleep", "time.sleep", "sleep"):
                yield f"{name}:{node.lineno} {called}: wait for an event instead"


def unexplained(modules: Sources) -> Iterator[str]:
    explained = re.compile(r"(type: ignore\[[\w, -]+\]|noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*)\s+(#|-)\s*\w.*")
    for name, text in modules.items():
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            found = re.search(r"type:\s*ignore|noqa", token.string) if token.type == tokenize.COMMENT else None
            if found and not explained.match(token.string, found.start()):
                yield f"{name}:{token.start[0]} {token.string}: needs its code, and behind it a comment with the reason"


def undocumented(modules: Sources) -> Iterator[str]:
    for name, text in modules.items():
        said = ast.get_docstring(ast.parse(text)) or ""
        sentence, *_ = re.split(r"\n(?=Owns:|Must not know:|Invariant:)", said)
        complete = said.count("\nOwns:") == said.count("\nMust not know:") == said.count("\nInvariant:") == 1
        # An empty `__init__` only makes a folder a package; one that re-exports says what.
        if name.endswith("__init__") and (said or not text.strip()):
            continue
        if not complete or not sentence.strip().endswith("."):
            yield f"{name}: opens with one sentence, then `Owns:`, `Must not know:` and `Invariant:`"


def impure(modules: Sources) -> Iterator[str]:
    for name, node in nodes(modules):
        imported: list[str] = []
        if isinstance(node, ast.Import):
            imported = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported = [(node.module or "").partition(".")[0]]
        for pattern, banned in PURE.items():
            for each in banned.intersection(imported) if pattern.fullmatch(name) else ():
                yield f"{name} imports {each}"


RULES: list[Rule] = [too_long, over_budget, forbidden, sleeping, unexplained, undocumented, impure]


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    assert list(rule(package())) == []


def test_every_suppression_outside_the_package_is_explained_too() -> None:
    assert list(unexplained(sources("tests", "examples", "benchmarks"))) == []


def test_every_exception_from_sleeping_is_needed() -> None:
    asleep = {each.partition(":")[0] for each in sleeping({f"{name} ": text for name, text in package().items()})}
    assert {name for name in MAY_SLEEP if name in package() and f"{name} " not in asleep} == set()


DOCTRINE = '"""One.\n\nOwns: a.\nMust not know: b.\nInvariant: c.\n"""\n'
BAD: list[tuple[Rule, str, str]] = [
    (too_long, "app", "\n" * 401),
    (too_long, "app", "def f():\n" + "    x\n" * 50),
    (too_long, "app", "class A:\n" + "    x = 1\n" * 250),
    (over_budget, "app", "x = 1\n" * (BUDGETS["core"] + 1)),
    (over_budget, "db/pool", "x = 1\n" * (BUDGETS["db"] + 1)),
    (over_budget, "static", "x = 1\n" * 3501),
    (forbidden, "app", "assert x\n"),
    (forbidden, "app", "try:\n    x\nexcept:\n    pass\n"),
    (forbidden, "app", "x = 1  # TODO: more\n"),
    (forbidden, "app", "def f():\n    global x\n    x = 1\n"),
    (sleeping, "app", "async def f():\n    await asyncio.sleep(1)\n"),
    (unexplained, "app", "x = 1  # type: " + "ignore\n"),
    (unexplained, "app", "x = 1  # type: " + "ignore[misc]\n"),
    (unexplained, "app", "x = 1  # no" + "qa\n"),
    (unexplained, "app", "x = 1  # no" + "qa: E501\n"),
    (undocumented, "app", "x = 1\n"),
    (undocumented, "app", '"""One."""\n'),
    (undocumented, "app", DOCTRINE.replace("One.", "One")),
    (impure, "wire/parser", "import asyncio\n"),
    (impure, "routing", "def f():\n    from logging import getLogger\n"),
    (impure, "codec", "import asyncio.streams\n"),
]
GOOD: list[tuple[Rule, str, str]] = [
    (over_budget, "app", "# a comment\n\n" * 2000 + '"""\n' + "text\n" * 2000 + '"""\n'),
    (unexplained, "app", "x = 1  # type: " + "ignore[misc]  # the stubs are wrong\n"),
    (unexplained, "app", "x = 1  # no" + "qa: S101, E501  # shown as it is\n"),
    (undocumented, "app", DOCTRINE),
    (impure, "server/protocol", "import asyncio\n"),
]


@pytest.mark.parametrize(("rule", "module", "text"), BAD)
def test_a_rule_can_fail(rule: Rule, module: str, text: str) -> None:
    assert len(list(rule({module: text}))) == 1


@pytest.mark.parametrize(("rule", "module", "text"), GOOD)
def test_a_rule_leaves_good_code_alone(rule: Rule, module: str, text: str) -> None:
    assert list(rule({module: text})) == []

"""The guide to the database says what the code does: its examples run on both engines, its tables are the code's."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from minihttp import db
from minihttp.db.mapping import FIELD_TYPES, UnsignedBigInt
from minihttp.db.url import PoolOptions

PAGE = Path(__file__).parents[1] / "docs" / "database.md"
BLOCK = re.compile(r"(?:<!-- (\w+) -->\n)?```python\n(.*?)```", re.DOTALL)


def blocks(mark: str) -> list[tuple[int, str]]:
    """The line of each example with this mark before it ("" for none), and its code."""
    text = PAGE.read_text()
    found = [(text.count("\n", 0, each.start(2)), each[1] or "", each[2]) for each in BLOCK.finditer(text)]
    return [(line, code) for line, kind, code in found if kind == mark]


def compiled(line: int, code: str) -> CodeType:
    """The example, in which each expression that ends in `# -> value` becomes a call of `expect`."""
    lines = code.splitlines()
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            _, arrow, value = lines[(node.end_lineno or 0) - 1].partition("  # -> ")
            if arrow:
                call = ast.Call(ast.Name("expect", ast.Load()), [node.value, ast.Constant(value)], [])
                node.value = ast.copy_location(call, node.value)
    ast.increment_lineno(ast.fix_missing_locations(tree), line)
    return compile(tree, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def test_the_examples_run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("guide")
    monkeypatch.setitem(sys.modules, "guide", module)  # dataclasses look their module up
    seen = []

    def expect(value: Any, text: str) -> None:
        assert repr(value) == text
        seen.append(text)

    space = vars(module)
    space["expect"] = expect
    code = [(line, code.replace('"sqlite:///shop.db"', repr(database_url))) for line, code in blocks("")]
    assert sum(database_url in each for _, each in code) == 1
    for line, each in code:
        result = eval(compiled(line, each), space)
        if inspect.isawaitable(result):
            await result
    assert len(seen) == PAGE.read_text().count("  # -> ")


def test_the_program_runs(tmp_path: Path) -> None:
    ((_, code),) = blocks("program")
    program = tmp_path / "report.py"
    program.write_text(code)
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("London 2\n北京 1\n", "")


def test_a_wrong_result_is_noticed() -> None:
    def expect(value: Any, text: str) -> None:
        assert repr(value) == text

    eval(compiled(0, "1 + 1  # -> 2\n"), {"expect": expect})
    with pytest.raises(AssertionError):
        eval(compiled(0, "if True:\n    1 + 1  # -> 3\n"), {"expect": expect})


def default(value: Any) -> str:
    words = {None: "", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else f"{value:g}"


def test_the_table_of_options_is_that_of_the_code() -> None:
    printed = PAGE.read_text().split("<!-- options -->\n")[1].split("<!-- end -->")[0].strip().splitlines()
    assert printed[2:] == [
        f"| `{each.name}` | {default(each.default)} | {each.metadata['unit']} | {each.metadata['help']} |"
        for each in fields(PoolOptions)
    ]


def test_the_times_of_a_lock_are_those_of_the_code() -> None:
    text, options = " ".join(PAGE.read_text().split()), inspect.signature(db.Lock).parameters
    assert f"{options['wait'].default:g} seconds at most (`wait=`)" in text
    assert f"after {options['lease'].default:g} seconds (`lease=`)" in text


def test_the_table_of_types_names_all() -> None:
    table = PAGE.read_text().split("| Field |")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.splitlines()[2:])))
    kinds = {kind.__name__ for kind in FIELD_TYPES if kind is not UnsignedBigInt}
    assert named - {"Enum"} == kinds | {"UnsignedBigInt"}


def test_the_table_of_errors_is_that_of_the_code() -> None:
    table = PAGE.read_text().split("| Error |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table]
    said = {cell[0].strip("`"): int(cell[-1]) for cell in cells}
    errors = [each for each in vars(db).values() if isinstance(each, type) and issubclass(each, db.DatabaseError)]
    known = {each.__name__: each.http_status for each in errors}
    assert said == {name: known[name] for name in said}
    assert known.keys() - said.keys() == {"DatabaseError", "Deadlock", "LockTimeout"}

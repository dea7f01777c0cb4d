"""The documentation says what the code says: tables printed from the same data, examples that run."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from minihttp.server import stages
from minihttp.testing import Client
from minihttp.wire import parser

TOP = Path(__file__).parent.parent
DOCS = sorted([TOP / "README.md", TOP / "CHANGELOG.md", *(TOP / "docs").glob("*.md")])


def table(transitions: Mapping[Any, frozenset[Any]], kind: type[Enum]) -> list[str]:
    order = list(kind)
    rows = []
    for state in order:
        following = ", ".join(other.name for other in order if other in transitions[state])
        rows.append(f"| {state.name} | {state.value} | {following} |".replace("|  |", "| |"))
    return rows


@pytest.mark.parametrize(
    ("mark", "transitions", "kind"),
    [("stages", stages.TRANSITIONS, stages.Stage), ("states", parser.TRANSITIONS, parser.State)],
)
def test_the_tables_of_states_are_those_of_the_code(
    mark: str, transitions: Mapping[Any, frozenset[Any]], kind: type[Enum]
) -> None:
    text = (TOP / "docs" / "how-it-works.md").read_text()
    printed = text.split(f"<!-- {mark} -->\n")[1].split("<!-- end -->")[0].splitlines()
    assert printed[2:] == table(transitions, kind)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:minihttp/|examples/|tests/|benchmarks/|docs/)[\w/]+\.\w+)`", page.read_text())
    assert [name for name in named if not (TOP / name).exists()] == []


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (TOP / "README.md").read_text(), re.DOTALL)


def test_the_readme_says_hello_in_twelve_lines() -> None:
    assert len(examples()[0].strip().splitlines()) == 12


async def test_the_examples_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hello, books, tests, database = examples()
    module = ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)  # dataclasses look their module up
    space = vars(module)
    exec(hello, space)
    async with Client(space["app"]) as client:
        assert (await client.get("/")).text == "Hello, world!"
    exec(books, space)
    exec(tests, space)
    await space["test_show"]()
    async with Client(space["app"]) as client:
        reply = await client.put("/books/7", json={"title": "红楼梦", "year": 1791})
        assert reply.json() == {"title": "红楼梦", "year": 1791}
        assert (await client.put("/books/7", json={"title": "?"})).status == 422

    # The database's example, on the engine that needs no server.
    monkeypatch.chdir(tmp_path)
    exec(re.sub(r'"mysql://[^"]+"', '"sqlite:///users.db"', database), space)
    async with space["db"] as db:
        await db.script((TOP / "schema.sql").read_text())
    await space["main"]()


def test_every_lint_is_in_the_table_of_warnings() -> None:
    listed = re.findall(r"^\| (L\d+) ", (TOP / "docs/see-the-loop.md").read_text(), re.MULTILINE)
    known = {
        each for file in (TOP / "minihttp/watch").glob("*.py") for each in re.findall(r'"(L\d+)"', file.read_text())
    }
    assert set(listed) == known
    assert len(listed) == len(known)


async def test_the_example_of_metrics_answers() -> None:
    [example] = re.findall(r"```python\n(.*?)```", (TOP / "docs/see-the-loop.md").read_text(), re.DOTALL)
    space: dict[str, Any] = {}
    exec(example, space)
    async with Client(space["app"]) as client:
        assert (await client.get("/metrics")).status == 200


def test_no_picture_is_heavy() -> None:
    sizes = {each.name: each.stat().st_size for each in (TOP / "docs/images").iterdir()}
    assert {name for name, size in sizes.items() if size > 150_000} == set()
    text = "".join(page.read_text() for page in DOCS)
    assert {name for name in sizes if f"images/{name})" not in text} == set()


async def test_the_example_of_scaling_moves_money(tmp_path: Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", (TOP / "docs/scaling.md").read_text(), re.DOTALL)
    space: dict[str, Any] = {}
    exec(re.sub(r'"mysql://[^"]+"', f'"sqlite:///{tmp_path / "bank.db"}"', example), space)
    async with space["db"] as db:
        await db.script("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)")
        await db.script("INSERT INTO account VALUES (1, 100), (2, 0)")
        await space["pay"]()
        assert [row.balance for row in await db.all("SELECT balance FROM account ORDER BY id")] == [50, 50]

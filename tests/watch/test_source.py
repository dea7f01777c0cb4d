"""Which lines a mute stands for, and where a function is declared."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minihttp.watch.source import MUTE, Place, declared

TEXT = '''\
@app.get("/")
@slow
async def handler(
    request,
):
    """Words."""
    rows = await db.all(
        "SELECT 1",
    )
    with open(
        name
    ) as file:
        @slow
        def inner():
            return 1
        return file.read()
    try:
        time.sleep(1)
    except broken():
        time.sleep(1)
    match broken():
        case 1:
            time.sleep(1)
'''
STATEMENTS = [
    {1, 2, 3, 4, 5},
    {6},
    {7, 8, 9},
    {10, 11, 12},
    {13, 14},
    {15},
    {16},
    {17},
    {18},
    {19},
    {20},
    {21},
    {22},
    {23},
]


def muted(file: Path, lines: list[str]) -> set[int]:
    file.write_text("\n".join(lines))
    return {number for number in range(1, len(lines) + 1) if Place(str(file), number).is_muted()}


@pytest.mark.parametrize("number", range(1, 24))
def test_a_mute_stands_for_its_whole_statement_and_for_no_other(number: int, tmp_path: Path) -> None:
    lines = TEXT.splitlines()
    lines[number - 1] += f"  {MUTE}"
    assert [muted(tmp_path / "app.py", lines)] == [each for each in STATEMENTS if number in each]


def test_a_function_on_one_line_is_muted_at_its_end(tmp_path: Path) -> None:
    assert muted(tmp_path / "app.py", ["@slow", f"def handler(): return 1  {MUTE}"]) == {1, 2}


def test_where_there_is_no_program_a_mute_stands_for_its_line(tmp_path: Path) -> None:
    assert muted(tmp_path / "page.html", ["{% for each in", f"rows %}} {MUTE}", "{% endfor %}"]) == {2}
    assert not Place("/nowhere/app.py", 7).is_muted()


def wrapped(function: Callable[[], None]) -> Callable[[], None]:
    @functools.wraps(function)
    def inner() -> None:
        function()

    return inner


@wrapped
@wrapped
def asked() -> None:
    pass


class Resource:
    def get(self) -> None:
        pass


def test_a_function_is_declared_at_its_first_decorator() -> None:
    found = declared(asked)
    assert found is not None
    assert [text for _, text in found.around()][-3:] == ["@wrapped", "@wrapped", "def asked() -> None:"]
    method = declared(Resource().get)
    assert method is not None
    assert method.text() == "def get(self) -> None:"


def test_what_is_not_the_applications_own_is_declared_nowhere() -> None:
    others: list[Callable[..., Any]] = [json.dumps, len, functools.partial(asked)]
    assert [declared(each) for each in others] == [None, None, None]


def test_the_place_that_a_route_names() -> None:
    assert Place.at("/srv/a:b/app.py:40") == Place("/srv/a:b/app.py", 40)

"""The page about migrations says what the code does: its files are applied, its commands run, on a real server."""

from __future__ import annotations

import asyncio
import inspect
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from minihttp import cli
from minihttp.db import Database, Lock, Migration, lock, migrate

TOP = Path(__file__).parents[1]
PAGE = TOP / "docs" / "migrations.md"
PIECE = re.compile(r"`migrations/([\w.]+)`:\n\n```sql\n(.*?)```|```console\n(.*?)```", re.DOTALL)
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
PREFIX = "python -m minihttp "


def outcome(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints, on its output or in refusing."""
    if not command.startswith(PREFIX):
        subprocess.run(shlex.split(command), check=True)
        return ""
    try:
        cli.main(shlex.split(command.removeprefix(PREFIX)))
    except SystemExit as refused:
        return f"{refused}\n"
    return capsys.readouterr().out


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: with a schema.sql, and a folder for the files of the page."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema.sql").write_bytes((TOP / "schema.sql").read_bytes())
    (tmp_path / "migrations").mkdir()
    return tmp_path


def test_the_commands_print_what_the_page_shows(
    here: Path, mysql_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIHTTP_DATABASE", mysql_url)
    prepare_with_schema(mysql_url)
    commands = 0
    for file, sql, console in PIECE.findall(PAGE.read_text()):
        if file:
            (here / "migrations" / file).write_text(sql)
        for command, shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", console, re.MULTILINE):
            assert TIME.sub("", outcome(command, capsys)) == TIME.sub("", shown), command
            commands += 1
    assert commands == PAGE.read_text().count("\n$ ") == 8


def prepare_with_schema(url: str) -> None:
    async def load() -> None:
        async with Database(url) as db:
            await db.script((TOP / "schema.sql").read_text())

    asyncio.run(load())


async def test_the_program_prepares_a_new_database_and_an_old_one(here: Path, database_url: str) -> None:
    files = {file: sql for file, sql, _ in PIECE.findall(PAGE.read_text()) if file and "fone" not in sql}
    for file, sql in files.items():
        (here / "migrations" / file).write_text(sql)
    space: dict[str, object] = {}
    exec(re.findall(r"<!-- program -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0], space)
    prepare = space["prepare"]
    assert callable(prepare)
    async with Database(database_url) as db:
        assert await prepare(db) == list(files)
        assert await prepare(db) == []
        assert await db.scalar("SELECT COUNT(*) FROM `user` WHERE email = ''") == 1


def test_the_numbers_are_those_of_the_code() -> None:
    text = " ".join(PAGE.read_text().split())
    lease = inspect.signature(Lock).parameters["lease"].default
    assert f"with an end {lease:g} seconds ahead" in text
    assert f"renewed every {lease / 3:g}." in text
    assert f"`--lock-wait` seconds ({inspect.signature(migrate).parameters['wait'].default:g})" in text
    assert lock.TABLE.split("`")[1] == "minihttp_lock"
    assert {"number", "name", "state", "error"} < set(inspect.signature(Migration).parameters)

"""The package without the hook, which the benchmark measures beside the shipped one: what it is, and that it serves."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from benchmarks import unhooked
from benchmarks.unhooked import HOOK, PACKAGE, copy_package


def test_a_copy_is_the_same_but_for_the_lines_of_the_hook(tmp_path: Path) -> None:
    copy_package(tmp_path, "equal", hook=True)
    copy_package(tmp_path, "cut", hook=False)
    different = set()
    for path in PACKAGE.rglob("*.py"):
        file = path.relative_to(PACKAGE).as_posix()
        assert (tmp_path / "equal" / file).read_text() == path.read_text()
        cut = tmp_path / "cut" / file
        if not cut.exists():
            assert file == "waits.py" or file.startswith("watch/")
        elif cut.read_text() != path.read_text():
            different.add(file)
    assert different == {file for file, *_ in HOOK}


async def test_a_copy_without_the_hook_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_package(tmp_path, "cut", hook=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    app = importlib.import_module("cut").App()
    database = importlib.import_module("cut.db").Database
    testing = importlib.import_module("cut.testing")

    @app.post("/")
    async def ask(request: object) -> str:
        async with database("sqlite:///:memory:?pool_size=1") as db:
            return str(await db.scalar("SELECT 1 + 1"))

    async with testing.Client(app) as client:
        assert (await client.post("/")).text == "2"
    for name in set(sys.modules) - before:
        assert not name.startswith("minihttp.watch")
        if name.partition(".")[0] == "cut":
            del sys.modules[name]


@pytest.mark.parametrize("hook", [HOOK[:-1], [*HOOK[:-1], (*HOOK[-1][:2], 2)]], ids=["one too few", "one too many"])
def test_a_hook_that_is_not_what_it_was_ends_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: list[tuple[str, str, int]]
) -> None:
    monkeypatch.setattr(unhooked, "HOOK", hook)
    with pytest.raises(ValueError, match=r"tell benchmarks\.unhooked what"):
        copy_package(tmp_path, "cut", hook=False)

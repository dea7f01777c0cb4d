"""What people install: that it builds, holds all it needs, and works in an empty environment outside the clone."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import urllib.request
import venv
import zipfile
from collections.abc import Sequence
from email.parser import Parser
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
HEAVY = ("asyncmy", "aiosqlite", "jinja2", "itsdangerous", "multipart", "websockets", "watchfiles", "uvloop")


def run(command: Sequence[str | Path], cwd: Path) -> str:
    """The command's output; a failure shows what it said. No variable of this run leaks into it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MINIHTTP_"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(kind: str, source: Path, into: Path) -> Path:
    """Build an sdist or a wheel as pip would, but with the setuptools at hand."""
    script = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(into)!r}))"
    return into / run([sys.executable, "-c", script], source).splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because setuptools leaves its own files beside the sources."""
    folder = tmp_path_factory.mktemp("sdist")
    copy = folder / "copy"
    shutil.copytree(PROJECT / "minihttp", copy / "minihttp", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, copy)
    return build("sdist", copy, folder)


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the unpacked sdist, which is thereby shown to be complete."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder)


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment outside the clone with the wheel, what it requires and the README's program in it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env/bin/python"
    run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", wheel], folder)
    first = re.search(r"^```python\n(.*?)^```", (PROJECT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert first, "README.md shows a program"
    (folder / "hello.py").write_text(first[1])
    return folder


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    suffixes = {".py", ".html", ".js", ".css", ".typed"}
    files = {file for file in (PROJECT / "minihttp").rglob("*") if file.suffix in suffixes}
    assert {file.relative_to(PROJECT).as_posix() for file in files} <= names
    assert "minihttp/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {"minihttp", "minihttp_asyncio-0.1.0.dist-info"}


def test_the_metadata_say_what_it_is(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    text = archive.read("minihttp_asyncio-0.1.0.dist-info/METADATA").decode()
    said = Parser().parsestr(text)
    assert (said["Name"], said["License-Expression"], said["Requires-Python"]) == ("minihttp-asyncio", "MIT", ">=3.11")
    required = [each for each in said.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert sorted(re.split("[<>=]", each)[0] for each in required) == ["aiosqlite", "asyncmy", "msgspec"]
    extras = {"templates", "sessions", "forms", "websocket", "reload", "uvloop", "all", "dev"}
    assert set(said.get_all("Provides-Extra", [])) == extras
    assert (PROJECT / "README.md").read_text().strip() in text


def test_importing_it_imports_no_driver_and_no_extra() -> None:
    script = "import json, sys, minihttp; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(run([sys.executable, "-c", script], PROJECT))
    assert "minihttp" in loaded
    assert set(loaded).isdisjoint(HEAVY)


def test_the_readmes_program_is_served_from_the_installed_wheel(elsewhere: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        arguments = ["-m", "minihttp", "hello:app", "--fd", str(listening.fileno())]
        server = subprocess.Popen(
            [elsewhere / "env/bin/python", *arguments],
            cwd=elsewhere,
            pass_fds=[listening.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
    # The socket is now the server's alone: a client waits until it accepts, and is refused if it died.
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/", timeout=60) as reply:
            answer: object = (reply.status, reply.read() != b"")
    except OSError as error:
        answer = error
    server.terminate()
    _, complaints = server.communicate(timeout=60)
    assert (answer, server.returncode) == ((200, True), 0), complaints


def test_a_program_that_uses_it_is_checked_against_its_types(elsewhere: Path) -> None:
    wrong = elsewhere / "wrong.py"
    wrong.write_text("import minihttp\n\nminihttp.Limits(max_body='many')\n")
    mypy: list[str | Path] = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        elsewhere / "env/bin/python",
    ]
    assert "Success" in run([*mypy, "hello.py"], elsewhere)
    with pytest.raises(AssertionError, match='incompatible type "str"'):
        run([*mypy, "wrong.py"], elsewhere)

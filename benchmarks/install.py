"""The environments that contenders run in: Python virtual environments under .cache, with pinned packages.

Owns: making them, finding the second Python, and asking which versions are installed.
Must not know: what the packages are for.
Invariant: an environment is as its requirements file says, or is made anew; what could not be installed is named.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Environment:
    """A virtual environment; `refused` is what could not be installed, by requirement, with the reason."""

    folder: Path
    refused: dict[str, str]

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @cached_property
    def versions(self) -> dict[str, str]:
        """Installed versions by package, in lower case, and Python's own."""
        program = (
            "import importlib.metadata as m, json, platform; "
            "v = {d.name.lower(): d.version for d in m.distributions()}; "
            "print(json.dumps({**v, 'python': platform.python_version()}))"
        )
        said = subprocess.run([self.python, "-c", program], capture_output=True, text=True, check=True).stdout
        found: dict[str, str] = json.loads(said)
        return found


def find_python(version: str) -> str | None:
    """On PATH, else where pyenv keeps them: its programs on PATH refuse to run unless they were chosen before."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for each in (shutil.which(f"python{version}"), *sorted(root.glob(f"versions/{version}.*/bin/python"))):
        if each and subprocess.run([each, "-c", ""], capture_output=True).returncode == 0:
            return str(each)
    return None


def pip(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", *arguments]
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True)


def requirements(file: Path) -> list[str]:
    """The file's requirements one by one, with those of the files that it includes."""
    found = []
    for line in file.read_text().splitlines():
        if line.startswith("-r "):
            found += requirements(file.with_name(line.removeprefix("-r ")))
        elif line and not line.startswith("#"):
            found.append(line)
    return found


def environment(folder: Path, file: Path, python: str = sys.executable) -> Environment:
    """Make the environment, or leave it as it is where nothing has changed; it may be copied from another clone."""
    wanted = "\n".join([os.path.realpath(python), *requirements(file)])
    stamp = folder / "installed.json"
    if stamp.exists():
        said = json.loads(stamp.read_text())
        if said["wanted"] == wanted:
            return Environment(folder, said["refused"])
    print(f"Installing what is measured into {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    refused = {}
    if pip(folder / "bin/python", "install", "--quiet", "-r", str(file)).returncode:
        for each in requirements(file):  # one by one, to leave out no more than must be
            done = pip(folder / "bin/python", "install", "--quiet", each)
            if done.returncode:
                errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
                refused[each] = (errors or ["pip failed"])[-1]
    stamp.write_text(json.dumps({"wanted": wanted, "refused": refused}))
    return Environment(folder, refused)


def environments(second: str) -> dict[str, Environment]:
    """By Python: "" is the first, on which all are measured; `second` is left out where it is not at hand."""
    made = {"": environment(PROJECT / ".cache/bench-venv", HERE / "requirements.txt")}
    python = find_python(second)
    if python:
        folder = PROJECT / f".cache/bench-venv-{second}"
        made[second] = environment(folder, HERE / "requirements-ours.txt", python)
    return made

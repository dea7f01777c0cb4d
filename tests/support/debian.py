"""Debian's and Ubuntu's own packages, unpacked into a folder: nothing is installed, no root is needed.

Owns: downloading packages with `apt-get download` (which checks their signatures) and unpacking them.
Must not know: what is in a package, nor who wants it. Runs before there is a virtual environment: no dependencies.
Invariant: the folder is complete or absent, also when two processes fetch at once or one is killed half-way.

From a shell: `python3 tests/support/debian.py .cache/wrk wrk` prints where the packages are unpacked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["CannotFetch", "fetch", "library_path"]

# Never unpacked beside a program, because a C library works only with the loader of the same build.
NEVER = ("libc6", "libc-bin", "libgcc-s1", "gcc-")


class CannotFetch(RuntimeError):
    """The packages cannot be had; the text says why, in one line."""


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        raise CannotFetch(f"{command[0]} says: {errors[0] if errors else done.stderr.strip()[-200:]}")
    return done.stdout


def own_lists(work: Path) -> list[str]:
    """Package lists of our own, freshly updated: for a machine whose own are empty, as in a new container."""
    for name in ("lists/partial", "archives/partial"):
        (work / name).mkdir(parents=True)
    folders = {"State::Lists": work / "lists", "Cache": work, "Cache::Archives": work / "archives"}
    options = [f"-oDir::{name}={folder}" for name, folder in folders.items()]
    run(["apt-get", *options, "-oAPT::Sandbox::User=root", "-qq", "update"], cwd=work)
    return options


def with_missing_dependencies(packages: Sequence[str], options: Sequence[str], work: Path) -> list[str]:
    """The packages, and those they need that are not installed: apt itself says, in a dry run, which they are.

    So the names of libraries, which differ between releases (libaio1, libaio1t64), appear nowhere.
    """
    command = ["apt-get", *options, "-s", "-qq", "--no-install-recommends", "install", *packages]
    said = run(command, cwd=work, env={**os.environ, "LC_ALL": "C"})
    missing = [line.split()[1] for line in said.splitlines() if line.startswith("Inst ")]
    return sorted({*packages, *(name for name in missing if not name.startswith(NEVER))})


def download(packages: Sequence[str], bare: Sequence[str], options: Sequence[str], work: Path) -> None:
    names = [*with_missing_dependencies(packages, options, work), *bare]
    run(["apt-get", *options, "-oAPT::Sandbox::User=root", "-qq", "download", *names], cwd=work)


def fetch(packages: Sequence[str], into: Path, *, bare: Sequence[str] = ()) -> Path:
    """Unpack `packages` and what they miss into the folder `into`, unless it is there already; returns `into`.

    `bare` are packages of which a file or two is wanted, without what they need.

    Example: `fetch(["wrk"], Path(".cache/wrk")) / "usr/bin/wrk"`. Raises CannotFetch.
    """
    if into.is_dir():
        return into
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise CannotFetch("this is neither Debian nor Ubuntu: there is no apt-get or no dpkg")
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{into.name}-", dir=into.parent) as folder:
        work = Path(folder).resolve()
        try:
            download(packages, bare, (), work)
        except CannotFetch:  # the machine's lists are empty, or older than what the mirror still holds
            download(packages, bare, own_lists(work), work)
        root = work / "root"
        for archive in sorted(work.glob("*.deb")):
            run(["dpkg", "-x", str(archive), str(root)], cwd=work)
        try:
            root.rename(into)
        except OSError:  # another process was quicker
            if not into.is_dir():
                raise
    return into


def library_path(root: Path) -> str:
    """The folders of shared libraries below `root`, as LD_LIBRARY_PATH wants them."""
    folders = {library.parent for top in ("usr/lib", "lib") for library in (root / top).glob("*/*.so*")}
    return ":".join(sorted(str(folder.resolve()) for folder in folders))


if __name__ == "__main__":
    try:
        print(fetch(sys.argv[2:], Path(sys.argv[1])).resolve())
    except CannotFetch as error:
        sys.exit(str(error))

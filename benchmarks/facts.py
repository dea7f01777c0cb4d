"""What a figure depends on besides the code: the machine, the versions, the commit.

Owns: reading these facts.
Must not know: what they are compared with.
Invariant: nothing here names a path, a person or an address.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.install import PROJECT, Environment
from benchmarks.wrk import find_wrk

CODE = ("minihttp", "benchmarks", "tests/support", "schema.sql")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()


def changed() -> str:
    """A digest of what differs from the commit in code that is measured or measures; empty where nothing does."""
    paths = [*CODE, ":!benchmarks/results"]
    difference = git("diff", "HEAD", "--", *paths)
    for name in git("ls-files", "--others", "--exclude-standard", "--", *paths).splitlines():
        difference += name + (PROJECT / name).read_text(errors="replace")
    return hashlib.sha256(difference.encode()).hexdigest()[:12] if difference else ""


def machine() -> dict[str, Any]:
    cpu = "unknown"
    if (info := Path("/proc/cpuinfo")).exists() and (found := re.search(r"model name\s*: (.+)", info.read_text())):
        cpu = found[1]
    return {"cpu": cpu, "cores": os.cpu_count(), "system": f"{platform.system()} {platform.release()}"}


def versions(environments: Mapping[str, Environment], mysql: str) -> dict[str, Any]:
    program, environment = find_wrk()
    said = subprocess.run([program, "-v"], env=environment, capture_output=True, text=True).stdout
    wrk = re.search(r"wrk (\S+)", said)
    pythons = {name or "first": each.versions for name, each in environments.items()}
    return {"wrk": wrk[1] if wrk else "unknown", "database": mysql, **pythons}


def run(environments: Mapping[str, Environment], mysql: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The first record of a results file."""
    return {
        "commit": git("rev-parse", "--short=12", "HEAD"),
        "changed": changed(),
        "machine": machine(),
        "versions": versions(environments, mysql),
        "settings": dict(settings),
        "off": "access logs of all contenders; debug and reload; OpenAPI pages of Litestar and Robyn",
    }

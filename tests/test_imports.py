"""What importing the package costs and does: little, and nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import minihttp

PROJECT = Path(__file__).parents[1]

# Drivers, extras, and what of the standard library takes its time: 10 ms and more that a simple server need not pay.
LATER = {
    "asyncmy", "aiosqlite", "jinja2", "itsdangerous", "multipart", "websockets", "watchfiles", "uvloop",
    "sqlite3", "argparse", "http.client", "http.server", "xml", "unittest",
}  # fmt: skip

# What the package itself can do without until it is asked for: a third of the import.
ONLY_WHEN_NEEDED = {"email", "html", "importlib.resources", "msgspec", "pathlib", "tempfile"}

REPORT = """
import json, sys
before = set(sys.modules)
import asyncio, logging, signal, threading
loops = []
for maker in ("new_event_loop", "get_event_loop", "set_event_loop"):
    def noted(*arguments, made=getattr(asyncio, maker), **options):
        loops.append(made.__name__)
        return made(*arguments, **options)
    setattr(asyncio, maker, noted)
state = lambda: [
    logging.getLogger().handlers, logging.getLogger().level, threading.active_count(), sys.path[:],
    [str(signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGTERM)],
]
earlier = state()
import MODULE
print(json.dumps({
    "loops": loops,
    "unchanged": state() == earlier,
    "handlers": {name: len(logger.handlers) for name, logger in logging.root.manager.loggerDict.items()
                 if name.startswith("minihttp") and isinstance(logger, logging.Logger)},
    "levels": [logger.level for name, logger in logging.root.manager.loggerDict.items()
               if name.startswith("minihttp") and isinstance(logger, logging.Logger)],
    "modules": sorted(set(sys.modules) - before),
}))
"""


def report(module: str) -> dict[str, Any]:
    """What a fresh interpreter looks like after importing a module."""
    done = subprocess.run(
        # -S: an editable installation imports a part of the standard library at every start.
        [sys.executable, "-S", "-W", "error", "-c", REPORT.replace("MODULE", module)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def roots(modules: list[str]) -> set[str]:
    return {each.partition(".")[0] for each in modules} | set(modules)


def test_importing_the_package_imports_no_driver_and_no_extra() -> None:
    assert roots(report("minihttp")["modules"]) & (LATER | ONLY_WHEN_NEEDED) == set()


def test_importing_the_package_imports_only_the_http_side() -> None:
    loaded = [each for each in report("minihttp")["modules"] if each.startswith("minihttp.")]
    assert not any(each.startswith(("minihttp.db", "minihttp.testing", "minihttp.cli")) for each in loaded)


def test_a_server_that_is_about_to_listen_has_imported_its_json() -> None:
    made = "minihttp.server.server.Service(print, minihttp.Limits(), loop, print)"
    assert "msgspec" in roots(report(f"minihttp; loop = asyncio.new_event_loop(); {made}; loop.close()")["modules"])


def test_importing_the_package_does_nothing_else() -> None:
    found = report("minihttp")
    assert found["loops"] == []
    assert found["unchanged"]
    assert set(found["handlers"].values()) == {0}  # and there is a logger: the application decides what becomes of it
    assert set(found["levels"]) == {0}


def test_the_modules_of_the_program_do_nothing_when_imported() -> None:
    for module in ("minihttp.cli", "minihttp.__main__"):
        found = report(module)
        assert found["loops"] == []
        assert found["unchanged"]
        assert roots(found["modules"]) & (LATER - {"argparse"}) == set()


def test_the_database_is_imported_without_its_drivers() -> None:
    assert roots(report("minihttp.db")["modules"]) & {"asyncmy", "aiosqlite", "sqlite3"} == set()


def test_the_test_client_needs_no_extra() -> None:
    assert roots(report("minihttp.testing")["modules"]) & (LATER - {"unittest"}) == set()


def test_every_public_name_is_there_and_documented() -> None:
    assert sorted(minihttp.__all__) == sorted(set(minihttp.__all__))
    for name in minihttp.__all__:
        assert getattr(minihttp, name).__doc__
    space: dict[str, Any] = {}
    exec("from minihttp import *", space)
    assert set(minihttp.__all__) <= set(space)


def test_the_package_is_the_one_of_this_clone() -> None:
    assert Path(minihttp.__file__).parents[1] == PROJECT

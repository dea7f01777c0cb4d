"""The command line: `python -m minihttp module:app --port 8080`.

Owns: finding the application, and turning arguments and environment variables into options.
Must not know: any option by name; `options` lists them.
Invariant: what a person typed wrong is answered in one line with status 1 or 2, never with a traceback; an error in
their own module is shown whole.
"""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .app import App, run_until_stopped
from .errors import ConfigError
from .options import ENVIRONMENT_PREFIX, Options, from_environment, settings
from .server.service import Handler

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Ends the process with status 1 where the server cannot start."""
    given = vars(parser().parse_args(arguments))
    target = given.pop("application")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` itself does
    try:
        app = load(target)
        # As one, because an option may need one that is given the other way.
        said = {ENVIRONMENT_PREFIX + name.upper(): text for name, text in given.items() if text is not None}
        base = Options(limits=app.limits) if isinstance(app, App) else None
        options = from_environment({**os.environ, **said}, base)
    except ConfigError as error:
        raise SystemExit(f"cannot start: {error}") from None
    run_until_stopped(app, lambda: options)


def parser() -> ArgumentParser:
    """Every option as an argument; what is not given stays as the environment or the default says."""
    made = ArgumentParser(
        "python -m minihttp",
        usage=SUPPRESS,  # thirty options, before every error
        description="Serve an application: python -m minihttp module:app [options]",
        allow_abbrev=False,
    )
    made.add_argument("application", metavar="module:app", help="where the App, or a bare handler, is found")
    for each in settings():
        flag = "--" + each.name.replace("_", "-")
        text = f"{each.unit} {each.help} [{ENVIRONMENT_PREFIX}{each.name.upper()}]".replace("%", "%%")
        if each.kind == "bool":
            made.add_argument(flag, dest=each.name, action="store_const", const="yes", help=text)
        else:
            made.add_argument(flag, dest=each.name, metavar=each.unit.upper().replace(" ", "-"), help=text)
    return made


def load(target: str) -> App | Handler:
    """The application that `module:name` means. Raises ConfigError where there is none."""
    module_name, _, name = target.partition(":")
    if not name or not module_name or module_name[0] == ".":
        raise ConfigError(f"{target!r} is not module:app, for example examples.users_app:app")
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise  # the module is there; one that it imports is not
        raise ConfigError(f"there is no module {module_name!r} in {Path.cwd()} or on the path") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"module {module_name!r} has no {name!r}: the part behind the colon names the App")
        found = getattr(found, part)
    if not callable(found) or isinstance(found, type):
        raise ConfigError(f"{target} is a {type(found).__name__}, neither an App nor an async function")
    return found  # type: ignore[no-any-return]  # what a module holds has no type to be known here

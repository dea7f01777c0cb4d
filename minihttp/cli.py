"""The command line: `python -m minihttp module:app --port 8080`, or a command: `migrate`, `top`, `race`.

Owns: which commands there are, finding the application, turning arguments and environment variables into options, what
`migrate` prints.
Must not know: any option of a server by name; `options` lists them. How `top` and `race` work.
Invariant: what a person typed wrong is answered in one line with status 1 or 2, never with a traceback; an error in
their own module is shown whole.
"""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .app import App, run_until_stopped
from .errors import ConfigError
from .options import ENVIRONMENT_PREFIX, Options, Setting, from_environment, given, option, settings
from .server.service import Handler

if TYPE_CHECKING:  # a server may have no database
    from .db.url import DatabaseURL

__all__ = ["main"]


@dataclass(frozen=True, slots=True)
class Migrations:
    """Which database `migrate` works on, and with which files."""

    database: str | None = option(None, "URL", "of the database: sqlite:///users.db or mysql://user:password@host/name")
    migrations: str = option("migrations", "folder", "with the files: 0001_add_email.sql, 0002_..., without a gap")
    lock_wait: float = option(60.0, "seconds", "to wait for another process that migrates")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Ends the process with status 1 where it cannot do what it is asked for."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in COMMANDS:
        command, _ = COMMANDS[words[0]]
        return command(words[1:])
    said = vars(parser().parse_args(words))
    target = said.pop("application")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` itself does
    try:
        app = load(target)
        base = Options(limits=app.limits) if isinstance(app, App) else None
        options = from_environment(environment(said), base)
    except ConfigError as error:
        raise SystemExit(f"cannot start: {error}") from None
    run_until_stopped(app, lambda: options)


def parser() -> ArgumentParser:
    """Every option as an argument; what is not given stays as the environment or the default says."""
    made = ArgumentParser(
        "python -m minihttp",
        usage=SUPPRESS,  # thirty options, before every error
        description="Serve an application: python -m minihttp module:app [options], or give a command.",
        epilog="\n".join(
            ["commands (each has its --help):", *(f"  {word:10}{does}" for word, (_, does) in COMMANDS.items())]
        ),
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("application", metavar="module:app", help="where the App, or a bare handler, is found")
    add_settings(made, settings())
    return made


def add_settings(made: ArgumentParser, wanted: Sequence[Setting]) -> None:
    """An argument for each, and in its help the variable that says the same."""
    for each in wanted:
        flag = "--" + each.name.replace("_", "-")
        text = f"{each.unit} {each.help} [{ENVIRONMENT_PREFIX}{each.name.upper()}]".replace("%", "%%")
        if each.kind == "bool":
            made.add_argument(flag, dest=each.name, action="store_const", const="yes", help=text)
        else:
            made.add_argument(flag, dest=each.name, metavar=each.unit.upper().replace(" ", "-"), help=text)


def environment(said: Mapping[str, str | None]) -> dict[str, str]:
    """The environment with what was said by arguments: as one, for an option may need one given the other way."""
    return {
        **os.environ,
        **{ENVIRONMENT_PREFIX + name.upper(): text for name, text in said.items() if text is not None},
    }


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


def migrate(words: Sequence[str]) -> None:
    """`python -m minihttp migrate`: say what is applied, or apply what is not. Status 1 where that cannot be."""
    from . import db  # here, because a server may have no database

    said = migrate_parser().parse_args(words)
    wanted = settings(Migrations)
    try:
        chosen = Migrations(**given(environment({each.name: getattr(said, each.name) for each in wanted}), wanted))
        asyncio.run(run_migrations(said, chosen))
    except (ConfigError, db.DatabaseError) as error:
        raise SystemExit(f"cannot migrate: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("stopped: `migrate status` says how far it came") from None


def migrate_parser() -> ArgumentParser:
    """Its options are arguments and variables; what is said for this one time is an argument alone."""
    made = ArgumentParser(
        "python -m minihttp migrate",
        usage=SUPPRESS,
        description="Apply numbered .sql files to a database: python -m minihttp migrate up --database URL",
        allow_abbrev=False,
    )
    made.add_argument("action", choices=("status", "up"), help="say what is applied; or apply what is not")
    made.add_argument("--dry-run", action="store_true", help="show the statements that `up` would run, and run nothing")
    made.add_argument("--resume", type=int, metavar="STATEMENT", help="to go on with, in a file that is half applied")
    made.add_argument("--break-lock", action="store_true", help="take the lock from a process that is surely gone")
    add_settings(made, settings(Migrations))
    return made


def find_file(url: DatabaseURL) -> None:
    """What applies nothing makes no file either, as SQLite would of a name that is mistyped. Raises ConfigError."""
    if url.engine == "sqlite" and not url.in_memory:
        try:
            Path(url.name).stat()
        except FileNotFoundError:
            raise ConfigError(f"there is no file {url.name}; `migrate up` would make it") from None
        except OSError:
            pass  # SQLite will say what is wrong with this name


async def run_migrations(said: Namespace, chosen: Migrations) -> None:
    """Do it, and print what was done. Raises ConfigError and DatabaseError."""
    from . import db as databases

    if chosen.database is None:
        raise ConfigError(f"of which database? --database URL says it, or the variable {ENVIRONMENT_PREFIX}DATABASE")
    database = databases.Database(chosen.database)
    if said.action == "status" or said.dry_run:
        find_file(database.url)
    async with database as db:
        if said.action == "status":
            files = await databases.migration_status(db, chosen.migrations)
            print("\n".join(map(str, files)) or f"no .sql files in {chosen.migrations}")
        elif said.dry_run:
            plan = databases.migration_plan(await databases.migration_status(db, chosen.migrations), said.resume)
            if not plan:
                print("-- nothing to apply")
            for file, first in plan:
                for number, text in enumerate(file.statements[first:], first + 1):
                    print(f"-- {file.name}, statement {number} of {len(file.statements)}\n{text};")
        else:
            done = await databases.migrate(
                db,
                chosen.migrations,
                wait=chosen.lock_wait,
                resume=said.resume,
                break_lock=said.break_lock,
                report=lambda name: print(f"{name} applied", flush=True),
            )
            if not done:
                print("nothing to apply")


def top(words: Sequence[str]) -> None:
    """`python -m minihttp top`. Status 1 where there is no server to show."""
    from .watch.top import top as show  # here, because a server may not be watched

    run_or_say(show, words)


def race(words: Sequence[str]) -> None:
    """`python -m minihttp race`. Status 1 where it cannot be run to its end."""
    from .watch.race.command import race as run

    run_or_say(run, words)


def run_or_say(command: Callable[[Sequence[str]], None], words: Sequence[str]) -> None:
    """Run it; what it cannot do is one line."""
    try:
        command(words)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit("stopped") from None


# The commands: the word, what runs it with the words behind it, and what it is for.
COMMANDS: Mapping[str, tuple[Callable[[Sequence[str]], None], str]] = {
    "migrate": (migrate, "apply numbered .sql files to a database"),
    "top": (top, "show in the terminal what the event loop of a server does that runs with --watch"),
    "race": (race, "the same clients against three servers: one by one, a thread for each, one loop"),
}

"""A database URL, read once into plain data.

Owns: the grammar of the URL, the list of its options, their defaults and units.
Must not know: a driver, or how an option is carried out.
Invariant: a `DatabaseURL` is valid, and neither it nor any error about it shows the password. The text is taken apart
here, not by `urllib`, because its errors repeat what they could not read, and that may be half of a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from math import inf
from typing import Any, Literal
from urllib.parse import unquote

from .errors import InvalidURL

__all__ = ["DatabaseURL", "Engine", "PoolOptions", "parse_url"]

Engine = Literal["mysql", "sqlite"]

EXAMPLES = "mysql://user:password@host:3306/name, sqlite:///users.db or sqlite:///:memory:"
DEFAULT_PORT = 3306
HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.%]+)\]|(?P<name>[^:\[\]\s]+))(?::(?P<port>[0-9]{1,5}))?")
BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def option(default: Any, unit: str, help: str, *, least: float = 0) -> Any:
    """One option of the URL, with all that the documentation says about it."""
    return field(default=default, metadata={"unit": unit, "help": help, "least": least})


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How many connections, for how long, and how they are made: `?pool_size=16&acquire_timeout=2`.

    Raises InvalidURL for a value below its minimum. Times are in seconds; 0 turns off what may be turned off.
    """

    pool_size: int = option(8, "connections", "open at once at most (4 for SQLite, 1 for :memory:)", least=1)
    min_idle: int = option(0, "connections", "kept open even when idle")
    queue: int = option(1000, "tasks", "that may wait for a connection; the next one fails at once", least=1)
    acquire_timeout: float = option(10.0, "seconds", "a task waits for a connection", least=0.001)
    connect_timeout: float = option(5.0, "seconds", "for TCP, handshake and login together", least=0.001)
    query_timeout: float = option(60.0, "seconds", "for one statement outside of `within`; 0: none")
    hold_warning: float = option(30.0, "seconds", "a task may hold a connection before the log names it; 0: for ever")
    idle_timeout: float = option(240.0, "seconds", "after which an idle connection is closed", least=0.001)
    max_age: float = option(1800.0, "seconds", "a connection lives at most, less up to a tenth by chance", least=0.001)
    check_idle: float = option(15.0, "seconds", "of idleness after which a connection is tested before use")
    retry_wait: float = option(1.0, "seconds", "at most between attempts to reach a server that is down", least=0.001)
    close_grace: float = option(5.0, "seconds", "that running queries get when the database is closed")
    statement_cache: int = option(128, "statements", "prepared per connection; 0: none (some proxies need that)")
    busy_timeout: float = option(5.0, "seconds", "SQLite waits for another writer")
    socket: str | None = option(None, "path", "of the server's Unix socket, instead of host and port")
    tls: bool = option(False, "yes or no", "encrypt, and verify the server's certificate")
    tls_ca: str | None = option(None, "path", "of a PEM file with the authorities to trust; implies tls")
    tls_verify: bool = option(True, "yes or no", "no: encrypt without knowing to whom")

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int | float) and not value >= each.metadata["least"]:  # `not >=` refuses nan too
                least, unit = each.metadata["least"], each.metadata["unit"]
                raise InvalidURL(f"database option {each.name} is {value}: it must be at least {least} {unit}")
        if self.min_idle > self.pool_size:
            raise InvalidURL(f"database option min_idle is {self.min_idle}: more than pool_size, {self.pool_size}")


@dataclass(frozen=True, slots=True)
class DatabaseURL:
    """Where a database is and how to reach it; `str()` of it is fit for a log: it has no password.

    For SQLite `name` is the path of the file, or ":memory:".
    """

    engine: Engine
    name: str
    hosts: tuple[tuple[str, int], ...] = ()
    user: str = ""
    password: str = field(default="", repr=False)
    options: PoolOptions = PoolOptions()

    @property
    def in_memory(self) -> bool:
        """Whether this is SQLite's database without a file."""
        return self.engine == "sqlite" and self.name == ":memory:"

    def __str__(self) -> str:
        if self.engine == "sqlite":
            return f"sqlite:///{self.name}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"mysql://{self.user}@{self.options.socket or hosts}/{self.name}"


def parse_url(text: str) -> DatabaseURL:
    """Read `mysql://user:password@host:3306/name?pool_size=8` or `sqlite:///users.db`.

    Several hosts are separated by commas. `%40` and the like are decoded in user, password, name and values.
    Raises InvalidURL.

    Example: `parse_url("sqlite:////var/lib/app/users.db").name` is `"/var/lib/app/users.db"`.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("mysql", "sqlite"):
        raise InvalidURL(f"a database URL looks like {EXAMPLES}")
    rest, _, query = rest.partition("?")
    if "@" in query:
        raise InvalidURL("the user or password in the database URL has a '?': write it as %3F")
    if scheme == "sqlite":
        return sqlite_url(rest, parse_options(query))
    return mysql_url(rest, query)


def sqlite_url(rest: str, given: dict[str, Any]) -> DatabaseURL:
    if not rest.startswith("/") or rest == "/":
        raise InvalidURL(
            "a SQLite URL has three slashes before a relative path and four before an absolute one: "
            "sqlite:///users.db, sqlite:////var/lib/users.db"
        )
    name = decode(rest[1:], "path")
    if name == ":memory:":
        # The connection is the database: there can be only one, and it must never be replaced.
        given = {**given, "pool_size": 1, "min_idle": 1, "max_age": inf, "check_idle": inf}
    return DatabaseURL("sqlite", name, options=PoolOptions(**{"pool_size": 4, **given}))


def mysql_url(rest: str, query: str) -> DatabaseURL:
    authority, slash, name = rest.partition("/")
    if "@" in name or "#" in rest:
        raise InvalidURL("the user, password or name in the database URL has a '/', '@' or '#': write %2F, %40 or %23")
    if not slash or not name:
        raise InvalidURL("the database URL has no database name: mysql://user:password@host:3306/name")
    login, _, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    if "@" in password or "@" in user:
        raise InvalidURL("the user or password in the database URL has a '@': write it as %40")
    addresses = tuple(parse_host(host) for host in (hosts or "localhost").split(","))
    decoded = decode(name, "name"), addresses, decode(user, "user"), decode(password, "password")
    # Options last: their errors repeat what stands there, in a wrong URL perhaps half of a password.
    return DatabaseURL("mysql", *decoded, PoolOptions(**parse_options(query)))


def parse_host(text: str) -> tuple[str, int]:
    match = HOST.fullmatch(text)
    port = int(match["port"] or DEFAULT_PORT) if match else 0
    if match is None or not 0 < port < 65536:
        # What stands there may be the tail of a password with an unescaped character in it.
        raise InvalidURL(
            "the database URL has a host or port that cannot be read: write host:3306, and in user and "
            "password @ : / ? # as %40 %3A %2F %3F %23"
        )
    return match["six"] or match["name"], port


def decode(text: str, part: str) -> str:
    try:
        if BAD_ESCAPE.search(text):
            raise ValueError
        decoded = unquote(text, errors="strict")
    except ValueError:
        raise InvalidURL(f"the {part} in the database URL has a '%' that starts no %XX: write it as %25") from None
    if "\0" in decoded:
        raise InvalidURL(f"the {part} in the database URL has a NUL character")
    return decoded


def parse_options(query: str) -> dict[str, Any]:
    known = {each.name: str(each.type).partition(" | ")[0] for each in fields(PoolOptions)}
    given: dict[str, Any] = {}
    for pair in filter(None, query.split("&")):
        name, _, text = pair.partition("=")
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise InvalidURL(f"the database URL has an unknown option {name!r}: {hint}")
        if name in given:
            raise InvalidURL(f"the database URL has the option {name} twice")
        given[name] = parse_value(name, known[name], decode(text, f"option {name}"))
    if given.get("tls_ca"):
        given.setdefault("tls", True)
    return given


PARSERS: Mapping[str, Any] = {"int": int, "float": float, "str": str, "bool": lambda text: BOOLEANS[text.lower()]}


def parse_value(name: str, kind: str, text: str) -> Any:
    try:
        return PARSERS[kind](text)
    except (KeyError, ValueError):
        words = {"int": "a whole number", "float": "a number", "bool": "true or false"}
        raise InvalidURL(f"database option {name} is {text!r}: it must be {words[kind]}") from None

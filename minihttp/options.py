"""The one list of options: what can be set, its default, its unit and why it is what it is.

Owns: `Limits` (what a peer may cost us) and `Options` (where and how to listen), and reading both from text.
Must not know: who uses an option. The command line, the environment variables and the tables in the documentation
are all derived from the fields below; nothing repeats them.
Invariant: both are frozen and valid: a value out of range raises ConfigError where it is given, naming the option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf
from ssl import SSLContext  # asyncio, which every server needs, imports it too
from typing import Any, NamedTuple

from .errors import ConfigError

__all__ = ["Limits", "Options", "Setting", "from_environment", "given", "option", "settings"]

ENVIRONMENT_PREFIX = "MINIHTTP_"
BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
PARSERS: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str, "bool": BOOLEANS.__getitem__}


class Setting(NamedTuple):
    """One option as a command line and a table of the documentation show it."""

    name: str
    kind: str  # int float str bool
    default: Any
    unit: str
    help: str
    least: float = 0
    most: float = inf
    choices: tuple[str, ...] = ()

    def parse(self, text: str) -> Any:
        """The option's value from text. Raises ConfigError that names the option."""
        try:
            value = PARSERS[self.kind](text.lower() if self.kind == "bool" else text)
        except (KeyError, ValueError):
            raise self.refusal(text, f"of type {self.kind} ({self.unit})") from None
        if self.choices and value not in self.choices:
            raise self.refusal(value, f"one of {', '.join(self.choices)}")
        if self.kind in ("int", "float") and not self.least <= value <= self.most:  # nan is refused too
            least, most, unit = self.least, self.most, self.unit
            raise self.refusal(value, f"at least {least} {unit}" if most == inf else f"from {least} to {most} ({unit})")
        return value

    def check(self, value: Any) -> None:
        """Raise ConfigError for a value that no text could say; None is one where it is the default."""
        if (value is not None or self.default is not None) and self.parse(str(value)) != value:
            raise self.refusal(value, f"of type {self.kind} ({self.unit})")

    def refusal(self, value: object, wanted: str) -> ConfigError:
        return ConfigError(f"option {self.name} is {value!r}: it must be {wanted}")


def option(default: Any, unit: str, help: str, **bounds: Any) -> Any:
    """One field of `Limits` or `Options`, with all that the command line and the documentation say about it."""
    return field(default=default, metadata={"unit": unit, "help": help, **bounds})


def settings(*owners: type[Any]) -> tuple[Setting, ...]:
    """The options of these classes, in order; without any, of the server: those of `Options`, then of `Limits`."""
    return tuple(
        Setting(each.name, str(each.type).partition(" | ")[0], each.default, **each.metadata)
        for owner in owners or (Options, Limits)
        for each in fields(owner)
        if each.metadata
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may cost: sizes in bytes, times in seconds. `Limits(max_body=10 << 20)` changes one of them.

    Raises ConfigError for a value below its minimum. The defaults follow servers that have stood on the open
    internet for long; the help of each names its precedents.
    """

    request_line: int = option(8190, "bytes", "longest request line, else 414 (Apache 8190, nginx 8192)", least=64)
    header_bytes: int = option(32768, "bytes", "all header fields together, else 431 (nginx 4 x 8192)", least=256)
    header_count: int = option(100, "fields", "header fields of a request, else 431 (Apache 100)", least=1)
    max_body: int = option(1 << 20, "bytes", "longest request body, else 413; per route too (nginx, aiohttp 1 MiB)")
    chunk_extensions: int = option(4096, "bytes", "chunk extensions of one body in all, else 400 (Go 16 bytes a chunk)")
    trailer_bytes: int = option(8192, "bytes", "trailer section of a chunked body, else 431 (as Apache's fields)")
    pipeline: int = option(65536, "bytes", "of pipelined requests read ahead of the one being answered", least=1024)
    unread_body: int = option(65536, "bytes", "of a body its handler left unread that are read away, else close")
    connections: int | None = option(None, "connections", "at once, else 503; none: as descriptors allow", least=1)
    header_timeout: float = option(10.0, "seconds", "for a whole request head, else 408 (Hypercorn 5, Granian 30)")
    body_rate: int = option(1024, "bytes a second", "slowest body, averaged after `body_grace`, else 408 (IIS 240)")
    body_grace: float = option(10.0, "seconds", "before `body_rate` is asked for, and longest silence within a body")
    keep_alive: float = option(75.0, "seconds", "a connection may idle between requests (nginx 75; above proxies' 60)")
    write_timeout: float = option(30.0, "seconds", "a client may take no byte of its answer (nginx 60, Apache 60)")
    handler_timeout: float | None = option(None, "seconds", "for one handler, else 503; per route too (Sanic 60)")
    half_close_grace: float = option(1.0, "seconds", "a handler may finish in once the client has closed its side")
    tls_handshake: float = option(10.0, "seconds", "for a TLS handshake (asyncio 60)", least=0.001)

    def __post_init__(self) -> None:
        for each in settings(Limits):
            each.check(getattr(self, each.name))


@dataclass(frozen=True, slots=True)
class Options:
    """Where and how a server listens: `Options(host="0.0.0.0", port=80)`. Raises ConfigError for what cannot be."""

    host: str = option("127.0.0.1", "address", "to listen on; 0.0.0.0 for every address of the machine")
    port: int = option(8000, "port", "to listen on; 0 for any free one", most=65535)
    uds: str | None = option(None, "path", "of a Unix socket to listen on, instead of host and port")
    fd: int | None = option(None, "descriptor", "of a socket that is listening already (systemd: 3)")
    backlog: int = option(1024, "connections", "that may wait to be accepted", least=1)
    loop: str = option("auto", "name", "auto takes uvloop if installed", choices=("auto", "asyncio", "uvloop"))
    watch: bool = option(False, "yes or no", "record what the loop does and show it at /_loop")
    watch_hosts: str = option("", "names", "separated by commas, under which /_loop may be asked for from anywhere")
    watch_limit: float = option(0.05, "seconds", "that the loop may be held up; longer is a block", least=0.01, most=60)
    grace: float = option(10.0, "seconds", "that running requests get to finish after SIGTERM or Ctrl-C")
    certificate: str | None = option(None, "path", "of a PEM certificate chain: serves HTTPS")
    private_key: str | None = option(None, "path", "of the certificate's PEM key, if it is in a file of its own")
    ssl: SSLContext | None = None  # one's own, instead of certificate and private_key; no text can say it
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        for each in settings(Options):
            each.check(getattr(self, each.name))
        if self.uds is not None and self.fd is not None:
            raise ConfigError("options uds and fd exclude each other: choose one place to listen on")
        if self.private_key is not None and self.certificate is None:
            raise ConfigError("option private_key needs option certificate beside it")


def with_settings(options: Options, values: Mapping[str, Any]) -> Options:
    """A copy of `options` with some of its own and its limits' values changed, by name."""
    own = {name: value for name, value in values.items() if hasattr(options, name)}
    limits = {name: value for name, value in values.items() if name not in own}
    return replace(options, limits=replace(options.limits, **limits), **own)


def from_environment(environment: Mapping[str, str], options: Options | None = None) -> Options:
    """Options as environment variables say them: `MINIHTTP_PORT=8080`, `MINIHTTP_MAX_BODY=1000000`.

    Raises ConfigError that names the variable's option. Variables of other names are left alone.
    """
    return with_settings(options or Options(), given(environment, settings()))


def given(environment: Mapping[str, str], wanted: tuple[Setting, ...]) -> dict[str, Any]:
    """The values of those settings that the environment says. Raises ConfigError."""
    texts = {each: environment.get(ENVIRONMENT_PREFIX + each.name.upper()) for each in wanted}
    return {each.name: each.parse(text) for each, text in texts.items() if text is not None}

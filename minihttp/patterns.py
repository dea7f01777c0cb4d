"""One path pattern, such as `/users/{id:int}`: reading it, filling it in, and whether a handler fits it.

Owns: the syntax of patterns, the converters between text and values.
Must not know: that there are other patterns; choosing between them is `routing`'s.
Invariant: what `build` makes from values, the converters read back as the same values; only plain ASCII digits are
digits, and text that a converter does not take means "no match", never an error.

Annotations of handlers are compared as text, so that none has to be evaluated: `int | None` is understood, and what
is no plain name of a type that paths can give (an alias, a NewType, a Protocol) is let pass.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from sys import intern
from typing import Any, Final, NamedTuple
from urllib.parse import quote
from uuid import UUID

from .errors import ConfigError
from .headers import parse_float, parse_int

__all__ = ["CONVERTERS", "PATH", "Converter", "Pattern", "check_handler"]

PARAMETER = re.compile(r"\{([A-Za-z_][0-9A-Za-z_]*)(?::([A-Za-z_][0-9A-Za-z_]*))?\}")
LITERAL = re.compile(r"(?!\.\.?$)(?:[^{}?#%\s]|%(?![0-9A-Fa-f]{2}))*")  # decoded; clients resolve dots themselves
PLAIN_TYPES: Final = {"bool", "bytes", "date", "datetime", "float", "int", "None", "str", "Path", "UUID"}


class Converter(NamedTuple):
    """How one segment becomes a value: `Converter(date.fromisoformat, date)`; the way back is `str(value)`.

    `parse` gets the decoded segment and raises ValueError where it is not of the kind; `type` is what handlers may
    declare. Of several converters at one place the one with the lowest `rank` is tried first.
    """

    parse: Callable[[str], Any]
    type: type
    rank: int = 3


def parse_text(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def parse_uuid(text: str) -> UUID:
    """A UUID in its canonical form (RFC 9562 4); `UUID()` itself takes braces, "urn:" and hyphens anywhere."""
    value = UUID(text)
    if str(value) != text.lower():
        raise ValueError("must be a UUID in its canonical form")
    return value


PATH: Final = Converter(str, str, 5)
CONVERTERS: Final[Mapping[str, Converter]] = {
    "int": Converter(parse_int, int, 0),
    "uuid": Converter(parse_uuid, UUID, 1),
    "float": Converter(parse_float, float, 2),
    "str": Converter(parse_text, str, 4),
    "path": PATH,
}


class Pattern(NamedTuple):
    """A pattern, read: its text, the same as a template to fill in, its segments, its parameters by name."""

    text: str
    template: str
    parts: tuple[str | Converter, ...]
    params: dict[str, Converter]

    @classmethod
    def parse(cls, text: str, converters: Mapping[str, Converter] = CONVERTERS) -> Pattern:
        """Read a pattern: `Pattern.parse("/users/{id:int}")`. Raises ConfigError that says what is wrong with it."""
        if not text.startswith("/"):
            raise ConfigError(f"path {text!r} must begin with a slash")
        parts: list[str | Converter] = []
        params: dict[str, Converter] = {}
        for segment in text.split("/")[1:]:
            if match := PARAMETER.fullmatch(segment):
                # Interned, as the names in the handler's code are: a call compares the two by identity first.
                name, kind = intern(match[1]), match[2] or "str"
                if name in params or kind not in converters:
                    raise ConfigError(f"path {text!r}: {segment} must have a new name and be {', '.join(converters)}")
                params[name] = converters[kind]
            elif not LITERAL.fullmatch(segment):
                raise ConfigError(f"path {text!r} cannot have {segment!r}: segments are decoded text or {{name:int}}")
            parts.append(params[name] if match else segment)
        if PATH in parts[:-1]:
            raise ConfigError(f"path {text!r}: a parameter of kind path takes all that follows, so it must be the last")
        return cls(text, PARAMETER.sub(r"{\1}", quote(text, safe="/@:,{}")), tuple(parts), params)

    def below(self, prefix: str) -> Pattern:
        """The same pattern behind a prefix such as "/admin"; "" and "/" are none. Raises ConfigError for a bad one."""
        if prefix in ("", "/"):
            return self
        above = Pattern.parse(prefix)
        if above.params or prefix.endswith("/"):
            raise ConfigError(f"prefix {prefix!r} must not end in a slash nor have parameters: for example /admin")
        return Pattern(prefix + self.text, above.template + self.template, above.parts + self.parts, self.params)

    def build(self, values: Mapping[str, Any]) -> str:
        """The path with these values. Raises TypeError for other names, ValueError for what the path cannot hold."""
        if values.keys() != self.params.keys():
            raise TypeError(f"path {self.text!r} needs the parameters {list(self.params)}, not {list(values)}")
        path = self.template.format_map({name: self.encode(name, value) for name, value in values.items()})
        if path.startswith("//"):
            raise ValueError(f"path {self.text!r} would become {path!r}, which clients take for a host name")
        return path

    def encode(self, name: str, value: Any) -> str:
        converter, text = self.params[name], str(value)
        segments = text.split("/") if converter is PATH else [text]
        with suppress(ValueError):  # also of a lone surrogate, which no URL can hold
            if converter.parse(text) == value and not {".", ".."}.intersection(segments):
                return "/".join(quote(segment, safe="@:,") for segment in segments)
        raise ValueError(f"path {self.text!r} cannot have {value!r} as {name}: {converter.type.__name__} is wanted")


def check_handler(handler: Callable[..., Any], pattern: Pattern) -> None:
    """Raise ConfigError unless `handler(request, **params)` can be called with the parameters of the pattern."""
    name = getattr(handler, "__qualname__", type(handler).__qualname__)
    try:
        signature = inspect.signature(handler)
        signature.bind("the request", **pattern.params)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"path {pattern.text!r} calls {name} with request, {list(pattern.params)}: {error}") from None
    for param in signature.parameters.keys() & pattern.params.keys():
        declared, given = signature.parameters[param].annotation, pattern.params[param].type.__name__
        if not agrees(declared, given):
            raise ConfigError(f"handler {name} declares {param}: {declared}, but path {pattern.text!r} gives {given}")


def agrees(annotation: Any, given: str) -> bool:
    """Whether a value of the type `given` may be passed where the annotation stands, as far as its text tells."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    names = {name.strip(" '\"") for name in text.split("|")}
    return given in names or not names <= PLAIN_TYPES or (given == "int" and "float" in names)  # PEP 484

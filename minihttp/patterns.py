"""One path pattern, such as `/users/{id:int}`: reading it, filling it in, and whether a handler fits it.

Owns: the syntax of patterns, the converters between text and values, percent-decoding of segments.
Must not know: that there are other patterns; choosing between them is `routing`'s.
Invariant: what `build` makes from values, the converters read back as the same values; only plain ASCII digits are
digits, and text that a converter does not take means "no match", never an error.
"""

from __future__ import annotations

import inspect
import math
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace, UnionType
from typing import Annotated, Any, Final, Union
from urllib.parse import quote, unquote_to_bytes
from uuid import UUID

from .errors import ConfigError, HTTPError
from .headers import parse_float, parse_int

__all__ = ["CONVERTERS", "PATH", "Converter", "Param", "Pattern", "check_handler", "decode_segment", "is_async"]

PARAMETER = re.compile(r"\{([A-Za-z_][0-9A-Za-z_]*)(?::([A-Za-z_][0-9A-Za-z_]*))?\}")
ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
CANONICAL_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")  # RFC 9562 4
DOTS = (".", "..")


@dataclass(frozen=True, slots=True)
class Converter:
    """How one segment becomes a value, and back: `Converter(date.fromisoformat, str, date)`.

    `parse` gets the decoded segment, never an empty one, and raises ValueError where it is not of the kind; `format`
    gives the text back. `type` is what handlers may declare (None: not checked). Of several converters at one place
    the one with the lowest `rank` is tried first.
    """

    parse: Callable[[str], Any]
    format: Callable[[Any], str] = str
    type: type | None = None
    rank: int = 3

    def accepts(self, value: object) -> bool:
        """Whether the value may go into a URL."""
        if self.type is None:
            return True
        if isinstance(value, bool):
            return self.type is bool
        return isinstance(value, int | float if self.type is float else self.type)


def parse_text(text: str) -> str:
    return text


def format_float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError("is not finite")
    return repr(float(value))


def parse_uuid(text: str) -> UUID:
    """A UUID in its canonical form; `UUID()` would take braces, "urn:" and hyphens anywhere. Raises ValueError."""
    if not CANONICAL_UUID.fullmatch(text):
        raise ValueError("must be a UUID")
    return UUID(text)


PATH: Final = Converter(parse_text, parse_text, str, 5)
CONVERTERS: Final[Mapping[str, Converter]] = MappingProxyType(
    {
        "int": Converter(parse_int, lambda value: str(int(value)), int, 0),
        "uuid": Converter(parse_uuid, str, UUID, 1),
        "float": Converter(parse_float, format_float, float, 2),
        "str": Converter(parse_text, parse_text, str, 4),
        "path": PATH,
    }
)


def decode_segment(segment: str) -> str:
    """The text of one segment: `decode_segment("caf%C3%A9")` is "café" (RFC 3986 2.1).

    Raises HTTPError 400 for a `%` without two digits behind it and for what is not UTF-8.
    """
    if BAD_ESCAPE.search(segment):
        raise HTTPError(400, "the path has a % without two hexadecimal digits (RFC 3986 2.1)")
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeError:
        raise HTTPError(400, "the path is not UTF-8") from None


def encode_segment(text: str, what: str) -> str:
    if text in DOTS:
        raise ValueError(f"{what} is {text!r}, which clients resolve as a relative path")
    try:
        return quote(text, safe="@:,")
    except UnicodeEncodeError:
        raise ValueError(f"{what} has a lone surrogate, which no URL can hold") from None


@dataclass(frozen=True, slots=True)
class Param:
    """A segment that is a parameter."""

    name: str
    converter: Converter


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern, read: its text, and its segments as literal text or as parameters."""

    text: str
    parts: tuple[str | Param, ...]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, converters: Mapping[str, Converter] = CONVERTERS) -> Pattern:
        """Read a pattern: `Pattern.parse("/users/{id:int}")`. Raises ConfigError that says what is wrong with it."""
        if not text.startswith("/"):
            raise ConfigError(f"path {text!r} must begin with a slash")
        if bad := re.search(r"[?#\s]", text):
            raise ConfigError(f"path {text!r} has {bad[0]!r}: a pattern has no query, fragment or space")
        parts = tuple(parse_part(segment, text, converters) for segment in text[1:].split("/"))
        names = [part.name for part in parts if isinstance(part, Param)]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ConfigError(f"path {text!r} has parameter {min(repeated)!r} more than once")
        if any(isinstance(part, Param) and part.converter is PATH for part in parts[:-1]):
            raise ConfigError(f"path {text!r}: a parameter of kind path takes all that follows, so it must be the last")
        return cls(text, parts, tuple(names))

    def below(self, prefix: Pattern) -> Pattern:
        """The same pattern behind a prefix."""
        return Pattern(prefix.text + self.text, prefix.parts + self.parts, self.names)

    def literal(self) -> str | None:
        """The path itself, as clients send it, where it has no parameter and needs no encoding; otherwise None."""
        if self.names or quote(self.text, safe="/@:,") != self.text:
            return None
        return self.text

    def build(self, params: Mapping[str, Any]) -> str:
        """The path with these values.

        Raises TypeError for missing, unknown or ill-typed ones, ValueError for what no path can hold.
        """
        if missing := [name for name in self.names if name not in params]:
            raise TypeError(f"path {self.text!r} needs {', '.join(missing)}")
        if extra := [name for name in params if name not in self.names]:
            raise TypeError(f"path {self.text!r} has no parameter {', '.join(extra)}")
        path = "".join("/" + self.fill(part, params) for part in self.parts)
        if path.startswith("//"):
            raise ValueError(f"path {self.text!r} would become {path!r}, which clients take for a host name")
        return path

    def fill(self, part: str | Param, params: Mapping[str, Any]) -> str:
        if isinstance(part, str):
            return encode_segment(part, "the literal segment")
        value, converter, what = params[part.name], part.converter, f"parameter {part.name!r} of path {self.text!r}"
        if not converter.accepts(value):
            wanted = getattr(converter.type, "__name__", "value")
            raise TypeError(f"{what} is {value!r} of type {type(value).__name__}: it must be {wanted}")
        try:
            text = converter.format(value)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from error
        if converter is PATH:
            return "/".join(encode_segment(segment, what) for segment in text.split("/"))
        if not text:
            raise ValueError(f"{what} is empty, which would be another path")
        return encode_segment(text, what)


def parse_part(segment: str, text: str, converters: Mapping[str, Converter]) -> str | Param:
    if match := PARAMETER.fullmatch(segment):
        name, kind = match[1], match[2] or "str"
        if kind not in converters:
            raise ConfigError(f"path {text!r} names converter {kind!r}: there are {', '.join(converters)}")
        return Param(name, converters[kind])
    if "{" in segment or "}" in segment:
        raise ConfigError(f"path {text!r}: a parameter fills a whole segment, such as {{name}} or {{name:int}}")
    if segment in DOTS:
        raise ConfigError(f"path {text!r} has segment {segment!r}, which clients resolve before they send it")
    if ESCAPE.search(segment):
        raise ConfigError(f"path {text!r} is percent-encoded: write it decoded, as people read it")
    return segment


# --- handlers -------------------------------------------------------------------------------------------------------


def is_async(handler: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await, as far as can be told without calling it."""
    call = getattr(type(handler), "__call__", None)  # noqa: B004  # the method is wanted, not whether there is one
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def check_handler(handler: Callable[..., Any], pattern: Pattern) -> None:
    """Raise ConfigError unless `handler(request, **params)` can be called with the parameters of the pattern."""
    try:
        first, *others = inspect.signature(handler).parameters.values()
    except TypeError as error:
        raise ConfigError(f"{handler!r} is no handler: {error}") from None
    except ValueError as error:
        if "not enough values" not in str(error):
            return  # written in C, without a signature
        raise ConfigError(f"{label(handler)} takes nothing: the first parameter of a handler is the request") from None
    check_first(handler, first, pattern)
    by_name = {each.name: each for each in others if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    if not any(each.kind is each.VAR_KEYWORD for each in others):
        check_names(handler, by_name, pattern)
    for part in pattern.parts:
        if isinstance(part, Param) and part.name in by_name:
            check_annotation(handler, by_name[part.name], part)
    given = by_name.keys() & set(pattern.names)
    for each in others:
        is_one = each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        if is_one and each.default is each.empty and each.name not in given:
            raise ConfigError(
                f"{label(handler)} needs {each.name!r}, which path {pattern.text!r} does not give by name"
            )


def check_names(handler: Callable[..., Any], known: Mapping[str, object], pattern: Pattern) -> None:
    for name in pattern.names:
        if name not in known:
            raise ConfigError(f"{label(handler)} has no parameter {name!r}, which path {pattern.text!r} gives it")


def check_first(handler: Callable[..., Any], first: inspect.Parameter, pattern: Pattern) -> None:
    if first.kind in (first.KEYWORD_ONLY, first.VAR_KEYWORD):
        raise ConfigError(f"{label(handler)} takes names only: the first parameter of a handler is the request")
    if first.name in pattern.names and first.kind is first.POSITIONAL_OR_KEYWORD:
        raise ConfigError(
            f"the first parameter of {label(handler)} is the request, not {first.name!r} of path {pattern.text!r}"
        )


def check_annotation(handler: Callable[..., Any], parameter: inspect.Parameter, part: Param) -> None:
    annotation = resolve(parameter.annotation, handler)
    if annotation is not parameter.empty and not agrees(annotation, part.converter.type):
        raise ConfigError(
            f"{label(handler)} declares {parameter.name}: {getattr(annotation, '__name__', annotation)}, but the path "
            f"gives it as {getattr(part.converter.type, '__name__', 'it is')}: change one of them"
        )


def resolve(annotation: Any, handler: Callable[..., Any]) -> Any:
    """The annotation itself where it is a string; `Any` where its names cannot be found from here."""
    if not isinstance(annotation, str):
        return annotation
    function = inspect.unwrap(getattr(handler, "func", handler))
    if not hasattr(function, "__globals__") and not hasattr(function, "__func__"):
        function = type(function).__call__  # an object that can be called
    names = getattr(getattr(function, "__func__", function), "__globals__", {})
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), names)["it"]
    except Exception:  # whatever evaluating a stranger's text may raise
        return Any


def agrees(annotation: Any, wanted: type | None) -> bool:
    """Whether a value of type `wanted` may be passed where the annotation stands; what is no class agrees."""
    annotation = getattr(annotation, "__supertype__", annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, UnionType):
        return any(agrees(each, wanted) for each in arguments)
    if origin is Annotated:
        return agrees(arguments[0], wanted)
    if wanted is None or annotation is Any or not isinstance(annotation, type):
        return True
    try:
        return issubclass(wanted, annotation) or (wanted is int and annotation is float)  # PEP 484: int goes for float
    except TypeError:  # a Protocol that cannot be asked
        return True


def label(handler: Callable[..., Any]) -> str:
    return f"handler {getattr(handler, '__qualname__', type(handler).__qualname__)}"

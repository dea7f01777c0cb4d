"""Multi-valued mappings: header fields, query parameters, form fields, cookies.

Owns: the one mapping type that all of them share, typed reading of a value, the form of a date, and the check that a
field can stand on the wire.
Must not know: where the pairs came from, nor how they are written.
Invariant: all but `MutableHeaders` are read-only (a kept-alive connection shares one object between its requests);
`MutableHeaders` hold nothing that could split a response, because every way in goes through `check_field`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from time import gmtime
from typing import Any, Generic, TypeVar, overload

from .errors import FieldError

__all__ = [
    "Headers", "MultiDict", "MutableHeaders", "check_field", "format_date", "headers_of", "parse_bool", "parse_float",
    "parse_int",
]  # fmt: skip

V = TypeVar("V")
T = TypeVar("T")

# RFC 9110 5.6.2 and 5.5. ASCII by construction: `str` classes such as \w or \d would let Unicode through.
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FIELD_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")
NUMBER = re.compile(r"-?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[Ee][+\-]?[0-9]{1,3})?")

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
BOOLEANS = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}


def parse_int(text: str) -> int:
    """An integer in plain ASCII digits: `parse_int("-7")` is -7. Raises ValueError for anything else."""
    if not (text.isdigit() or text.removeprefix("-").isdigit()) or not text.isascii() or len(text) > 4000:
        raise ValueError("must be an integer")
    return int(text)


def parse_float(text: str) -> float:
    """A finite decimal number: `parse_float("-1.5e3")` is -1500.0. Raises ValueError, also for "nan" and "inf"."""
    if not NUMBER.fullmatch(text) or math.isinf(value := float(text)):
        raise ValueError("must be a number")
    return value


def parse_bool(text: str) -> bool:
    """A truth value as forms and URLs spell it (true/false, 1/0, on/off, yes/no). Raises ValueError otherwise."""
    if (value := BOOLEANS.get(text.lower())) is None:
        raise ValueError("must be true or false")
    return value


# What a person means by `type=int` is not what `int()`, `float()` and `bool()` do with text from the internet.
PARSERS: dict[object, Callable[[str], Any]] = {int: parse_int, float: parse_float, bool: parse_bool}


def check_field(name: str, value: str) -> None:
    """Raise ValueError unless the field may stand in a response as it is (RFC 9110 5.1, 5.5).

    Example: `check_field("location", "/a\\r\\nset-cookie: x")` raises, so a response cannot be split.
    """
    if not TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name: letters, digits and !#$%&'*+-.^_`|~ only")
    if not FIELD_VALUE.fullmatch(value):
        raise ValueError(f"the value of header {name!r} has a line break or another character not allowed: {value!r}")


def format_date(seconds: float) -> str:
    """A time since 1970 as fields say it: `format_date(0)` is "Thu, 01 Jan 1970 00:00:00 GMT" (RFC 9110 5.6.7)."""
    # Not by strftime, which speaks the language of the locale.
    year, month, day, hour, minute, second, weekday, *_ = gmtime(seconds)
    return f"{DAYS[weekday]}, {day:02} {MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} GMT"


class MultiDict(Mapping[str, V], Generic[V]):
    """A mapping in which a name may have several values; `[name]` is the first, `getall(name)` all of them.

    Example: `MultiDict([("a", "1"), ("a", "2")]).getall("a")` is `["1", "2"]`.
    A missing name raises FieldError: a KeyError that is answered with 400 and names the parameter.
    """

    __slots__ = ("_pairs", "_values")

    _pairs: Sequence[tuple[str, V]] | None  # None if made by `headers_of`: no name repeats, so `_values` has it all

    kind = "field"
    fold: Callable[[Any], str] = staticmethod(str)  # what makes names comparable

    def __init__(self, pairs: Iterable[tuple[str, V]] = ()) -> None:
        self._pairs = pairs = tuple(pairs)
        self._values: dict[str, V] = {}
        for name, value in pairs:
            self._values.setdefault(name, value)

    def __getitem__(self, name: str) -> V:
        try:
            return self._values[self.fold(name)]
        except KeyError:
            raise FieldError(self.kind, name, "is missing") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return self.fold(name) in self._values

    @overload
    def get(self, name: str, /) -> V | None: ...
    @overload
    def get(self, name: str, /, default: V | T) -> V | T: ...
    @overload
    def get(self, name: str, default: None = None, *, type: Callable[[str], T]) -> T | None: ...
    @overload
    def get(self, name: str, default: T, type: Callable[[str], T]) -> T: ...
    def get(self, name: str, default: Any = None, type: Callable[[str], Any] | None = None) -> Any:
        """The first value, or `default`; with `type`, converted: `query.get("page", 1, int)`.

        Raises FieldError (400) where the value is present but not of the type.
        """
        value = self._values.get(name) or self._values.get(self.fold(name))  # mostly the name is folded already
        if value is None or type is None:
            return default if value is None else value
        if not isinstance(value, str):
            raise FieldError(self.kind, name, "must be text, not a file")
        try:
            return PARSERS.get(type, type)(value)
        except (ValueError, ArithmeticError) as error:  # Decimal's own error is an ArithmeticError
            problem = str(error) if type in PARSERS else f"is not a valid {getattr(type, '__name__', 'value')}"
            raise FieldError(self.kind, name, problem) from None

    def getall(self, name: str) -> list[V]:
        """Every value of the name, in order; an empty list where there is none."""
        name = self.fold(name)
        return [value for key, value in self.multi_items() if key == name]

    def multi_items(self) -> list[tuple[str, V]]:
        """All pairs, in the order in which they came."""
        return list(self._values.items() if self._pairs is None else self._pairs)


class QueryParams(MultiDict[str]):
    """The parameters behind the `?` of the URL."""

    __slots__ = ()
    kind = "query parameter"


class Cookies(MultiDict[str]):
    """What the client sent in Cookie."""

    __slots__ = ()
    kind = "cookie"


class Headers(MultiDict[str]):
    """Header fields by case-insensitive name; repeated ones read as one list, joined by commas (RFC 9110 5.3).

    Example: `headers["Content-Type"]`. Cookie, which is no list, is joined by "; " (RFC 9113 8.2.3).
    """

    __slots__ = ()
    kind = "header"
    fold = staticmethod(str.lower)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = pairs = [(name.lower(), value) for name, value in pairs]
        self._values = {}
        for name, value in pairs:
            known = self._values.get(name)
            self._values[name] = value if known is None else f"{known}{'; ' if name == 'cookie' else ', '}{value}"

    def as_dict(self) -> dict[str, str]:
        """The fields by their lower-case names, to look into; it is not to be changed."""
        return self._values


def headers_of(fields: dict[str, str]) -> Headers:
    """Headers that take over a dict of lower-case names, which nobody may change any more: nothing is copied.

    Example: `headers_of({"host": "a"})["Host"]` is `"a"`.
    """
    headers = Headers.__new__(Headers)
    headers._values, headers._pairs = fields, None
    return headers


class MutableHeaders(Headers, MutableMapping[str, str]):
    """The header fields of a response: `headers["x-frame-options"] = "DENY"` replaces, `add` appends.

    Raises ValueError, here and not on the wire, for a name or value that could not be sent.
    """

    __slots__ = ()
    _pairs: list[tuple[str, str]]

    def __init__(self, pairs: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        super().__init__()
        for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """Append a field and keep those of the same name (Set-Cookie, Link, Vary)."""
        check_field(name, value)
        name = name.lower()
        self._pairs.append((name, value))
        known = self._values.get(name)
        self._values[name] = value if known is None else f"{known}, {value}"

    def __setitem__(self, name: str, value: str) -> None:
        check_field(name, value)
        self.pop(name, None)
        self.add(name, value)

    def __delitem__(self, name: str) -> None:
        del self._values[name.lower()]
        self._pairs = [pair for pair in self._pairs if pair[0] != name.lower()]

"""JSON: bytes into typed values, values into bytes.

Owns: both directions of JSON, and what a client is told about a body that is not what was asked for.
Must not know: requests, responses, or how an error is rendered.
Invariant: `decode` returns a value of the type with no unknown field in it, or raises HTTPError 400 (not JSON) or 422
(JSON, but other content); nothing a client sends becomes a 500.

msgspec passes over unknown fields of dataclasses. A *guard* refuses them: a Struct with the same fields that forbids
all others and leaves every value unread. Reading the bytes a second time with it costs about half of the first
reading, which is no more than decoding into Structs and building the dataclasses from them in Python would, and keeps
all that msgspec promises for dataclasses. A type that needs no guard (`Struct, forbid_unknown_fields=True`) is read
once.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, ForwardRef, NamedTuple, NoReturn, TypeVar, Union, overload

import msgspec
from msgspec import Meta
from msgspec import inspect as shapes

from .errors import HTTPError

__all__ = ["Meta", "decode", "encode"]

T = TypeVar("T")

PLANS = 256  # types remembered; an application has fewer
MAX_ERRORS = 20  # wrong fields named in one answer
UNKNOWN = "is not a known field"
MAX_QUOTED = 80  # characters of the client's own text repeated to it

Models = (shapes.DataclassType, shapes.StructType, shapes.TypedDictType, shapes.NamedTupleType)
Model = shapes.DataclassType | shapes.StructType | shapes.TypedDictType | shapes.NamedTupleType
Items = (shapes.ListType, shapes.SetType, shapes.FrozenSetType, shapes.VarTupleType, shapes.CollectionType)
Unread = msgspec.Raw


# --- encode ---------------------------------------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """The value as JSON in UTF-8: `encode({"id": 7})` is `b'{"id":7}'`.

    Takes dict and any other Mapping, list, tuple, set, dataclass, Struct, str, int, float (NaN and infinity become
    null), bool, None, Decimal (a string, so that no digit is lost), date, time, datetime, timedelta, UUID, Enum (its
    value) and bytes (base64). Raises TypeError that names what has no form in JSON.
    """
    try:
        return ENCODER.encode(value)
    except UnicodeEncodeError as error:
        raise TypeError(
            "cannot write a str with a lone surrogate as JSON: it came from bytes that were no UTF-8; "
            "encode it with errors='replace' first"
        ) from error
    except RecursionError as error:
        raise TypeError(f"cannot write {kind(value)} as JSON: it contains itself or nests too deeply") from error
    except (ValueError, OverflowError) as error:
        raise TypeError(f"cannot write {kind(value)} as JSON: {error}") from error


def plainer(value: Any) -> Any:
    """What msgspec does not know, as something it does."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "__await__"):
        raise TypeError(f"cannot write {kind(value)} as JSON: is an `await` missing before it?")
    raise TypeError(
        f"cannot write {kind(value)} as JSON: make it a dict, list, dataclass, str, number, bool, None, Decimal, "
        "datetime, UUID or Enum first; names in an object are str, number, datetime, UUID or Enum"
    )


def kind(value: Any) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


ENCODER: Final = msgspec.json.Encoder(enc_hook=plainer)


# --- decode ---------------------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """How bytes become one type: its decoder, the guard's (None where nothing is to be guarded), its shape."""

    decode: Callable[[bytes], Any]
    guard: Callable[[bytes], Any] | None
    shape: shapes.Type


@overload
def decode(data: bytes, type: type[T]) -> T: ...
@overload
def decode(data: bytes, type: Any = None) -> Any: ...
def decode(data: bytes, type: Any = None) -> Any:
    """The value that the JSON text says, of the type if one is given: `decode(b'{"id": 7}', User)`.

    Limits on values are annotations: `age: Annotated[int, Meta(ge=0, le=150)]`; a ValueError from a dataclass's
    `__post_init__` counts as wrong content too. Of a name said twice the last value counts.
    Raises HTTPError 400 for what is not JSON (RFC 8259), 422 for wrong content, with the path of each wrong field in
    `errors`, deep inside a field the first: `{"field": "items[3].name", "detail": "is missing"}`; an empty path is the
    whole body.
    Raises TypeError, an error of the program, for a type that cannot be read from JSON.
    """
    plan = make_plan(Any if type is None else type)
    try:
        value = plan.decode(data)
        if plan.guard is not None:
            plan.guard(data)
        return value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse(data, plan, error)


@lru_cache(maxsize=PLANS)
def make_plan(type: Any) -> Plan:
    shape = shapes.type_info(type)
    guard = Guards().of(shape)
    return Plan(
        msgspec.json.Decoder(type).decode, None if guard is Unread else msgspec.json.Decoder(guard).decode, shape
    )


class Guards:
    """Makes the guard of one type; types that contain themselves are closed by name."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}  # of the shapes under way, by identity
        self.made: dict[str, Any] = {}

    def of(self, shape: shapes.Type) -> Any:
        """The type to read the bytes with, `Unread` where there is nothing to guard."""
        if isinstance(shape, shapes.Metadata):
            return self.of(shape.type)
        if isinstance(shape, Models):
            return self.of_model(shape)
        if isinstance(shape, Items):
            item = self.of(shape.item_type)
            return Unread if item is Unread else list[item]  # type: ignore[valid-type]  # made at run time
        if isinstance(shape, shapes.DictType):
            value = self.of(shape.value_type)
            return Unread if value is Unread else dict[str, value]  # type: ignore[valid-type]  # same
        if isinstance(shape, shapes.TupleType):
            items = tuple(self.of(each) for each in shape.item_types)
            return Unread if all(each is Unread for each in items) else tuple[items]  # type: ignore[valid-type]  # same
        if isinstance(shape, shapes.UnionType):
            return self.of_union(shape)
        return Unread

    def of_union(self, shape: shapes.UnionType) -> Any:
        members = [self.of(each) for each in shape.types]
        guards = [each for each in members if each is not Unread]
        if not guards:
            return Unread
        # Beside the guarded member msgspec wants to hear of everything else that may stand in its place.
        arrays = {is_array(each) for each, guard in zip(shape.types, members, strict=True) if guard is not Unread}
        rest = [None, bool, int, float, str, *([] if True in arrays else [list]), *([] if False in arrays else [dict])]
        return Union[tuple(guards + rest)]  # noqa: UP007  # the members are known at run time only

    def of_model(self, shape: Model) -> Any:
        name = self.names.get(id(shape))
        if name is not None:
            return ForwardRef(name)
        name = self.names[id(shape)] = f"Guard{len(self.names)}"
        fields = known_fields(shape)
        types = [self.of(each.type) for each in fields]
        strict = isinstance(shape, shapes.StructType) and shape.forbid_unknown_fields
        if strict and all(each is Unread for each in types):
            del self.names[id(shape)]
            return Unread
        self.made[name] = guard = msgspec.defstruct(
            name,
            [(f"f{index}", each, None) for index, each in enumerate(types)],
            rename={f"f{index}": each.encode_name for index, each in enumerate(fields)},
            tag=getattr(shape, "tag", None),
            tag_field=getattr(shape, "tag_field", None),
            array_like=is_array(shape),
            forbid_unknown_fields=True,
        )
        for each in self.made.values():  # msgspec looks a forward reference up among the attributes of the class
            for other, target in self.made.items():
                setattr(each, other, target)
        return guard


def known_fields(shape: Model) -> list[shapes.Field]:
    """The fields a client may set: not those a dataclass keeps for itself by `field(init=False)`."""
    own = getattr(shape.cls, "__dataclass_fields__", {})
    return [each for each in shape.fields if each.name not in own or own[each.name].init]


def is_array(shape: shapes.Type) -> bool:
    """Whether JSON shows it as an array."""
    array_like = isinstance(shape, shapes.StructType) and shape.array_like
    return array_like or isinstance(shape, (*Items, shapes.TupleType, shapes.NamedTupleType))


# --- what went wrong ------------------------------------------------------------------------------------------------


def refuse(data: bytes, plan: Plan, error: Exception) -> NoReturn:
    """Raise the HTTPError for bytes that the plan could not read; here nothing is in a hurry."""
    try:
        tree = make_plan(Any).decode(data)  # wrong content is 422 only in what is JSON to its end
        if isinstance(error, RecursionError):
            raise error
        wrong = wrong_fields(plan.shape, tree)[:MAX_ERRORS] or [read_message(str(error), "")]
    except msgspec.ValidationError as whole:
        wrong = [read_message(str(whole), "")]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise HTTPError(400, f"the body is not JSON: {json_problem(problem, data)}") from None
    if len(wrong) == 1:
        detail = f"{wrong[0][0] or 'the body'}: {wrong[0][1]}"
    else:
        detail = f"{len(wrong)} fields are wrong: {', '.join(field for field, _ in wrong)}"
    raise HTTPError(422, detail, errors=[{"field": field, "detail": problem} for field, problem in wrong]) from None


def json_problem(error: Exception, data: bytes) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not data.strip():
        return "it is empty"
    message = str(error)
    return "it ends too early" if "truncated" in message else message.removeprefix("JSON is malformed: ")


def wrong_fields(shape: shapes.Type, tree: Any) -> list[tuple[str, str]]:
    """Each wrong field of an object with the first thing wrong in it; nothing where that is not how it went wrong."""
    if not isinstance(shape, Models) or not isinstance(tree, dict):
        return []
    known = {each.encode_name: each for each in known_fields(shape)}
    hints = typing.get_type_hints(getattr(shape.cls, "__origin__", shape.cls), include_extras=True)
    wrong = [(name, "is missing") for name, each in known.items() if each.required and name not in tree]
    for name, value in tree.items():
        if name not in known:
            wrong += [(join("", name), UNKNOWN)] if name != getattr(shape, "tag_field", None) else []
            continue
        try:
            msgspec.convert(value, hints[known[name].name], str_keys=True)
        except msgspec.ValidationError as error:
            field, problem = read_message(str(error), name)
            wrong.append((field, choice(known[name].type) or problem if field == name else problem))
    return wrong


def choice(shape: shapes.Type) -> str:
    """`"must be one of 'red', 'blue'"` for an Enum or Literal, else nothing."""
    if isinstance(shape, shapes.EnumType):
        return f"must be one of {', '.join(repr(each.value) for each in shape.cls)}"
    return f"must be one of {', '.join(map(repr, shape.values))}" if isinstance(shape, shapes.LiteralType) else ""


def join(path: str, name: str) -> str:
    name = name if len(name) <= MAX_QUOTED else name[:MAX_QUOTED] + "..."
    return f"{path}.{name}" if path else name


# --- msgspec's messages in plain words ------------------------------------------------------------------------------

WORDS = {
    "str": "a string", "int": "an integer", "float": "a number", "bool": "true or false", "null": "null",
    "array": "a list", "object": "an object", "bytes": "a base64 string", "datetime": "a date and time",
    "date": "a date", "time": "a time", "duration": "a duration", "uuid": "a UUID", "decimal": "a decimal number",
}  # fmt: skip
UNITS = {"str": "characters", "array": "items", "object": "entries", "bytes": "bytes"}
BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
FIXED = {
    "Invalid RFC3339 encoded datetime": "must be a date and time such as 2026-11-22T18:30:00Z",
    "Invalid RFC3339 encoded date": "must be a date such as 2026-11-22",
    "Invalid RFC3339 encoded time": "must be a time such as 18:30:00",
    "Invalid ISO8601 duration": "must be a duration such as PT1H30M",
    "Invalid UUID": "must be a UUID such as 12345678-1234-5678-1234-567812345678",
    "Invalid decimal string": "must be a decimal number",
    "Invalid base64 encoded string": "must be base64",
    "Integer value out of range": "is out of range",
    "Number out of range": "is out of range",
}
PATH = re.compile(r"(?s)(.*) - at `(key` in `)?\$(.*)`")
NAMED = re.compile(r"(?s)Object (missing required|contains unknown) field `(.*)`")
EXPECTED = re.compile(r"(?s)Expected `([^`]+)`(?:, got `([^`]+)`| (.+))")
LENGTH = re.compile(r"of (?:(at most|at least) )?length (<=|>=)? ?([0-9]+(?: to [0-9]+)?).*")
VALUE = re.compile(r"(?s)Invalid (?:enum )?value (.*)")


def read_message(message: str, path: str) -> tuple[str, str]:
    """The field and the problem, in words for whoever sent it, of an error that msgspec found below `path`."""
    if match := PATH.fullmatch(message):
        path = (path + match[3]).removeprefix(".")
        message = match[1]
        if match[2]:
            field, problem = read_message(message, path)
            return field, f"has a name that {problem}"
    if match := NAMED.fullmatch(message):
        return join(path, match[2]), "is missing" if match[1].startswith("missing") else UNKNOWN
    if match := VALUE.fullmatch(message):
        return path, f"is not one of the allowed values: {match[1][:MAX_QUOTED]}"
    if match := EXPECTED.fullmatch(message):
        return path, expectation(*match.groups())
    return path, FIXED.get(message, message)


def expectation(type: str, got: str | None, rest: str | None) -> str:
    """`expectation("int", None, ">= 0")` is "must be at least 0"."""
    if got is not None:
        wanted = " or ".join(WORDS.get(each, each) for each in type.split(" | "))
        return f"must be {wanted}, not {'a boolean' if got == 'bool' else WORDS.get(got, got)}"
    rest = rest or ""
    if match := LENGTH.fullmatch(rest):
        bound = match[1] or BOUNDS.get(match[2] or "", "")
        return f"must have {bound} {match[3]} {UNITS.get(type, 'items')}".replace("  ", " ")
    sign, _, number = rest.partition(" ")
    if sign in BOUNDS:
        return f"must be {BOUNDS[sign]} {number}"
    rest = rest.replace("that's a", "be a").replace("matching regex", "match the pattern")
    return "must " + rest.replace("with a timezone component", "have a time zone").replace(
        "with no timezone component", "have no time zone"
    )

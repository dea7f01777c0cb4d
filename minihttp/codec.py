"""JSON: bytes into typed values, values into bytes.

Owns: both directions of JSON, and what a client is told about a body that is not what was asked for.
Must not know: requests, responses, or how an error is rendered.
Invariant: `decode` returns a value of the type with no unknown field in its dataclasses, Structs and TypedDicts, or
raises HTTPError 400 (not JSON) or 422 (JSON, but other content); nothing a client sends becomes a 500.

msgspec passes over unknown fields. A *guard* refuses them: a Struct with the same fields that forbids all others and
leaves every value unread. Reading the bytes a second time with it costs about half of the first reading, which is no
more than decoding into Structs and building the dataclasses from them in Python would, and keeps all that msgspec
promises for dataclasses. Trade-off: NamedTuple, sets and generic models are read once, without a guard for them and
what they contain, so unknown fields there are left out and not refused.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import UnionType
from typing import Any, Final, ForwardRef, NoReturn, TypeVar, overload

import msgspec
from msgspec import Meta, Raw
from msgspec import inspect as shapes

from .errors import HTTPError

__all__ = ["Meta", "decode", "encode"]

T = TypeVar("T")

MAX_QUOTED = 80  # characters of the client's own text repeated to it
MARKS = ("__dataclass_fields__", "__struct_fields__", "__total__")


# --- encode ---------------------------------------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """The value as JSON in UTF-8: `encode({"id": 7})` is `b'{"id":7}'`.

    Takes dict and any other Mapping, list, tuple, set, dataclass, Struct, str, int, float (NaN and infinity become
    null), bool, None, Decimal (a string, so that no digit is lost), date, time, datetime, timedelta, UUID, Enum (its
    value) and bytes (base64). Raises TypeError that names what has no form in JSON.
    """
    try:
        return ENCODER.encode(value)
    except (ValueError, OverflowError, RecursionError) as error:  # a lone surrogate, an endless int, a circle
        raise TypeError(f"cannot write {type(value).__qualname__} as JSON: {error}") from error


def plainer(value: Any) -> Any:
    """What msgspec does not know, as something it does."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"cannot write {type(value).__qualname__} as JSON: make it a dict, list or str first, or await it")


ENCODER: Final = msgspec.json.Encoder(enc_hook=plainer)


# --- decode ---------------------------------------------------------------------------------------------------------


@overload
def decode(data: bytes, type: type[T]) -> T: ...
@overload
def decode(data: bytes, type: Any = None) -> Any: ...
def decode(data: bytes, type: Any = None) -> Any:
    """The value that the JSON text says, of the type if one is given: `decode(b'{"id": 7}', User)`.

    Limits on values are annotations: `age: Annotated[int, Meta(ge=0, le=150)]`; the `description` of a Meta is told
    where a pattern or a choice is not met: `Meta(pattern="^[a-z]+$", description="must be lower-case letters")`. A
    ValueError from a dataclass's `__post_init__` counts as wrong content too. Of a name said twice the last counts.
    Raises HTTPError 400 for what is not JSON (RFC 8259), 422 for wrong content, with the path of each wrong field in
    `errors`, deep inside a field the first: `{"field": "items[3].name", "detail": "is missing"}`; an empty path is the
    whole body.
    Raises TypeError, an error of the program, for a type that cannot be read from JSON.
    """
    read, guard = make_plan(Any if type is None else type)
    try:
        value = read(data)
        if guard is not None:
            guard(data)
        return value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse(data, type, error)


@lru_cache(maxsize=256)  # an application has fewer types
def make_plan(type: Any) -> tuple[Callable[[bytes], Any], Callable[[bytes], Any] | None]:
    """What reads bytes into a type, and what guards it; None where there is nothing to guard."""
    guards: dict[str, Any] = {}
    guarded = guard(type, guards)
    for each in guards.values():  # msgspec looks a forward reference up among the attributes of the class
        for name, target in guards.items():
            setattr(each, name, target)
    return msgspec.json.Decoder(type).decode, None if guarded == type else msgspec.json.Decoder(guarded).decode


def guard(hint: Any, guards: dict[str, Any]) -> Any:
    """The type with a guard in place of every model in it; `guards` has those there are already."""
    if is_model(hint):
        return guard_model(hint, guards)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    guarded = tuple(guard(each, guards) for each in arguments)
    if guarded == arguments or is_model(origin) or origin in (set, frozenset):  # a guard has no hash
        return hint
    return typing.Union[guarded] if origin is UnionType else origin[guarded]  # noqa: UP007  # known at run time only


def guard_model(model: Any, guards: dict[str, Any]) -> Any:
    name, shape = f"Guard{id(model)}", shapes.type_info(model)
    if name not in guards:
        guards[name] = ForwardRef(name)  # for a model that contains itself
        hints = {field.name: (hint, guard(hint, guards)) for field, hint in fields_of(model).values()}
        types = [(field, Raw if guarded == hint else guarded, None) for field, (hint, guarded) in hints.items()]
        rename = {field.name: field.encode_name for field, _ in fields_of(model).values()}
        form = {key: getattr(shape, key) for key in ("tag", "tag_field", "array_like") if hasattr(shape, key)}
        guards[name] = msgspec.defstruct(name, types, rename=rename, forbid_unknown_fields=True, **form)
    return guards[name]


def is_model(hint: Any) -> bool:
    """Whether it is a dataclass, a Struct or a TypedDict."""
    return isinstance(hint, type) and any(hasattr(hint, mark) for mark in MARKS)


def fields_of(model: Any) -> dict[str, tuple[shapes.Field, Any]]:
    """Fields and their types by name: not those a dataclass keeps for itself by `field(init=False)`."""
    shape: Any = shapes.type_info(model)
    own, hints = getattr(model, "__dataclass_fields__", {}), typing.get_type_hints(model, include_extras=True)
    fields = [each for each in shape.fields if each.name not in own or own[each.name].init]
    return {each.encode_name: (each, bare(hints[each.name])) for each in fields}


def bare(hint: Any) -> Any:
    """The type without the Required or NotRequired of a TypedDict."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) in (typing.Required, typing.NotRequired) else hint


# --- what went wrong ------------------------------------------------------------------------------------------------


def refuse(data: bytes, type: Any, error: Exception) -> NoReturn:
    """Raise the HTTPError for bytes that could not be read; here nothing is in a hurry."""
    try:
        tree = msgspec.json.decode(data)  # wrong content is 422 only in what is JSON to its end
        is_object = is_model(type) and isinstance(tree, dict)
        wrong = (wrong_fields(type, tree)[:20] if is_object else []) or [explain(error)]
    except msgspec.ValidationError as whole:
        wrong = [explain(whole)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise HTTPError(400, f"the body is not JSON: {problem}") from None
    detail = "; ".join(f"{field or 'the body'}: {problem}" for field, problem in wrong)
    raise HTTPError(422, detail, errors=[{"field": field, "detail": problem} for field, problem in wrong]) from None


def wrong_fields(model: Any, tree: dict[str, Any]) -> list[tuple[str, str]]:
    """Each wrong field of an object with the first thing wrong in it; nothing where that is not how it went wrong."""
    fields = fields_of(model)
    wrong = [(name, "is missing") for name, (field, _) in fields.items() if field.required and name not in tree]
    for name, value in tree.items():
        try:
            if name in fields:
                msgspec.convert(value, fields[name][1], str_keys=True)
            elif name != getattr(shapes.type_info(model), "tag_field", None):
                wrong.append((name[:MAX_QUOTED], "is not a known field"))
        except msgspec.ValidationError as error:
            field, problem = explain(error, name)
            wrong.append((field, (field == name and told(fields[name][1], str(error))) or problem))
    return wrong


def told(hint: Any, message: str) -> str:
    """What an annotation says to people in place of a pattern or a list of choices, or nothing."""
    if not message.startswith(("Expected `str` matching regex", "Invalid enum value")):
        return ""
    said = [each.description for each in getattr(hint, "__metadata__", ()) if isinstance(each, Meta)]
    return next((each for each in said if each), "")


WORDS = {
    "str": "a string", "int": "an integer", "float": "a number", "bool": "a boolean", "array": "a list",
    "object": "an object", ">=": "at least", "<=": "at most", ">": "more than", "<": "less than",
}  # fmt: skip
# No `.*` within the path: what a client sends may look like many of them, and must not be searched from each.
WHERE = re.compile(r"(?s)(.*) - at `(?:key` in `)?\$([^`]*)`")
# What msgspec says most often, in words for whoever sent the body; `field` ends the path. The rest stays as it is.
MESSAGES = [
    (re.compile(r"(?s)Object missing required field `(?P<field>.*)`"), "is missing"),
    (re.compile(r"(?s)Object contains unknown field `(?P<field>.*)`"), "is not a known field"),
    (re.compile(r"Expected `(.+)`, got `(.+)`"), "must be {}, not {}"),
    (re.compile(r"Expected `str` of length ([<>]=) ([0-9]+)"), "must have {} {} characters"),
    (re.compile(r"Expected `\w+` ([<>]=?) (.+)"), "must be {} {}"),
    (re.compile(r"(?s)Expected `str` matching regex (.+)"), "must match the pattern {}"),
]


def explain(error: Exception, path: str = "") -> tuple[str, str]:
    """The field and the problem, of an error that msgspec found below `path`."""
    message = str(error)
    if match := WHERE.fullmatch(message):
        message, path = match[1], (path + match[2]).removeprefix(".")
    for pattern, text in MESSAGES:
        if match := pattern.fullmatch(message):
            if field := match.groupdict().get("field"):
                path = f"{path}.{field[:MAX_QUOTED]}".removeprefix(".")
            return path, text.format(*[WORDS.get(each, each) for each in match.groups()])
    return path, message[: 2 * MAX_QUOTED]

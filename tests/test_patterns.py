"""One path pattern: reading it, filling it in, and whether a handler fits it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, NewType, Optional, Protocol
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minihttp.errors import ConfigError, HTTPError
from minihttp.patterns import CONVERTERS, Converter, Pattern, check_handler, decode_segment, is_async

if TYPE_CHECKING:
    from nowhere import Request  # type: ignore[import-not-found]  # there is no such module, and that is the point

UserId = NewType("UserId", int)


class CanRead(Protocol):
    def read(self) -> bytes: ...


# --- patterns


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "begin with a slash"),
        ("users", "begin with a slash"),
        ("/users?x=1", "query"),
        ("/users#top", "fragment"),
        ("/a b", "space"),
        ("/{id:integer}", "converter 'integer': there are int, uuid, float, str, path"),
        ("/{id", "fills a whole segment"),
        ("/id}", "fills a whole segment"),
        ("/{id}.json", "fills a whole segment"),
        ("/{}", "fills a whole segment"),
        ("/{1d}", "fills a whole segment"),
        ("/{a:}", "fills a whole segment"),
        ("/{id}/{id:int}", "'id' more than once"),
        ("/{rest:path}/x", "must be the last"),
        ("/a/../b", "clients resolve"),
        ("/.", "clients resolve"),
        ("/caf%C3%A9", "write it decoded"),
    ],
)
def test_bad_patterns(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Pattern.parse(text)


def test_literals_that_need_no_decoding() -> None:
    assert Pattern.parse("/a/b~c@d").literal() == "/a/b~c@d"
    assert Pattern.parse("/").literal() == "/"
    assert Pattern.parse("/caf\u00e9").literal() is None
    assert Pattern.parse("/100%").literal() is None
    assert Pattern.parse("/{id}").literal() is None


def test_a_prefix_comes_before() -> None:
    joined = Pattern.parse("/{id:int}").below(Pattern.parse("/admin"))
    assert joined.text == "/admin/{id:int}"
    assert joined.build({"id": 7}) == "/admin/7"


# --- building


@pytest.mark.parametrize(
    ("text", "params", "path"),
    [
        ("/", {}, "/"),
        ("/a/", {}, "/a/"),
        ("/caf\u00e9/{x}", {"x": "a/b ?#%"}, "/caf%C3%A9/a%2Fb%20%3F%23%25"),
        ("/{x:int}", {"x": -7}, "/-7"),
        ("/{x:float}", {"x": 5}, "/5.0"),
        ("/{x:float}", {"x": 1e300}, "/1e%2B300"),
        ("/{x:uuid}", {"x": UUID(int=1)}, "/00000000-0000-0000-0000-000000000001"),
        ("/f/{x:path}", {"x": "a/b c/"}, "/f/a/b%20c/"),
        ("/f/{x:path}", {"x": ""}, "/f/"),
    ],
)
def test_build(text: str, params: Mapping[str, Any], path: str) -> None:
    assert Pattern.parse(text).build(params) == path


@pytest.mark.parametrize(
    ("text", "params", "error", "problem"),
    [
        ("/{id:int}", {}, TypeError, "needs id"),
        ("/{id:int}", {"id": 1, "x": 2}, TypeError, "no parameter x"),
        ("/{id:int}", {"id": "7"}, TypeError, "'7' of type str: it must be int"),
        ("/{id:int}", {"id": True}, TypeError, "of type bool"),
        ("/{id:int}", {"id": 7.0}, TypeError, "of type float"),
        ("/{id}", {"id": 7}, TypeError, "it must be str"),
        ("/{id:uuid}", {"id": "x"}, TypeError, "it must be UUID"),
        ("/{id:float}", {"id": math.nan}, ValueError, "parameter 'id' of path .*not finite"),
        ("/{id}", {"id": ""}, ValueError, "is empty"),
        ("/{id}", {"id": ".."}, ValueError, "relative path"),
        ("/{id:path}", {"id": "a/../b"}, ValueError, "relative path"),
        ("/{id:path}", {"id": "/evil.example"}, ValueError, "host name"),
        ("/{id}", {"id": "\ud800"}, ValueError, "lone surrogate"),
    ],
)
def test_build_refuses(text: str, params: Mapping[str, Any], error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=problem):
        Pattern.parse(text).build(params)


def test_own_converters() -> None:
    day = Converter(date.fromisoformat, str, date)
    anything = Converter(str.upper)
    yes = Converter(bool, str, bool)
    pattern = Pattern.parse("/{day:day}/{x:any}/{y:yes}", {**CONVERTERS, "day": day, "any": anything, "yes": yes})
    assert pattern.build({"day": date(2026, 1, 2), "x": 7, "y": True}) == "/2026-01-02/7/True"
    with pytest.raises(TypeError, match="it must be date"):
        pattern.build({"day": "2026-01-02", "x": 7, "y": True})


# --- converters


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "7", 7),
        ("int", "-7", -7),
        ("int", "9" * 4000, int("9" * 4000)),
        ("float", "1.5", 1.5),
        ("float", "-1e-3", -0.001),
        ("uuid", "00000000-0000-0000-0000-00000000000A", UUID(int=10)),
        ("str", "a/b", "a/b"),
    ],
)
def test_converters(kind: str, text: str, value: object) -> None:
    assert CONVERTERS[kind].parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *[("int", text) for text in ("", "+7", " 7", "1_0", "7\n", "\u0667", "\u00b2", "7.0", "0x7", "9" * 4001)],
        *[("float", text) for text in ("", ".", "nan", "inf", "1_0.0", "1e999", "\u0667.0", "1" * 401, "+1.0")],
        *[("uuid", text) for text in ("", "0" * 32, "{" + str(UUID(int=1)) + "}", "urn:uuid:" + str(UUID(int=1)))],
    ],
)  # fmt: skip
def test_converters_refuse_by_value_error(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        CONVERTERS[kind].parse(text)


@given(st.sampled_from(["int", "float", "uuid"]), st.text())
def test_converters_raise_nothing_else(kind: str, text: str) -> None:
    with suppress(ValueError):
        CONVERTERS[kind].parse(text)


# --- segments


def test_segments() -> None:
    assert decode_segment("a%2Fb+%00") == "a/b+\0"
    assert decode_segment("caf%C3%A9") == decode_segment("caf%c3%a9") == "caf\u00e9"


@pytest.mark.parametrize("segment", ["%", "%4", "%zz", "a%%41", "%ff", "%ED%A0%80", "%C0%AF", "\ud800%41"])
def test_bad_segments_are_400(segment: str) -> None:
    with pytest.raises(HTTPError) as caught:
        decode_segment(segment)
    assert caught.value.status == 400


# --- handlers: the ones that fit


async def plain(request: Any, id: int) -> None: ...
def keyword_only(request: Any, *, id: int) -> None: ...
def default(request: Any, id: int = 3, other: str = "") -> None: ...
def all_names(request: Any, **params: Any) -> None: ...
def no_annotation(request: Any, id): ...  # type: ignore[no-untyped-def]  # that is the point
def unresolvable(request: Request, id: Request) -> None: ...
def mixed(request: Request, id: UserId | None) -> None: ...
def optional(request: Any, id: Optional[int]) -> None: ...  # noqa: UP045  # the old form too
def annotated(request: Any, id: Annotated[int, "an id"]) -> None: ...
def wider(request: Any, id: float) -> None: ...
def anything(request: Any, id: Any) -> None: ...
def an_object(request: Any, id: object) -> None: ...
def duck(request: Any, id: CanRead) -> None: ...
def not_a_type(request: Any, id: "1 +") -> None: ...  # type: ignore[syntax]  # noqa: F722  # no Python at all
def positional(request: Any, /, id: int) -> None: ...
def any_positional(*arguments: Any, id: int) -> None: ...
def same_name(id: Any, /, **params: Any) -> None: ...


class Callable_:
    async def __call__(self, request: Any, id: int) -> None: ...

    async def method(self, request: Any, id: int) -> None: ...


def wrapped(handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    def wrapper(*arguments: Any, **names: Any) -> Any:
        return handler(*arguments, **names)

    return wrapper


@pytest.mark.parametrize(
    "handler",
    [
        plain,
        keyword_only,
        default,
        all_names,
        no_annotation,
        unresolvable,
        mixed,
        optional,
        annotated,
        wider,
        anything,
        an_object,
        duck,
        not_a_type,
        positional,
        any_positional,
        same_name,
        Callable_(),
        Callable_().method,
        wrapped(plain),
        functools.partial(plain),
        lambda request, id: None,
        max,  # written in C: it says nothing about itself
    ],
)
def test_handlers_that_fit(handler: Callable[..., Any]) -> None:
    check_handler(handler, Pattern.parse("/{id:int}"))


def test_a_converter_without_a_type_agrees_with_all() -> None:
    check_handler(plain, Pattern.parse("/{id:own}", {"own": Converter(str.upper)}))


# --- handlers: the ones that do not


def nothing() -> None: ...
def names_only(*, request: Any, id: int) -> None: ...
def only_names(**params: Any) -> None: ...
def lacks(request: Any) -> None: ...
def needs_more(request: Any, id: int, page: int) -> None: ...
def not_by_name(request: Any, id: int, /) -> None: ...
def not_by_name_either(request: Any, id: int, /, **params: Any) -> None: ...
def as_text(request: Request, id: str) -> None: ...
def as_text_or_none(request: Request, id: str | None) -> None: ...
def as_bool(request: Any, id: bool) -> None: ...
def first_is_id(id: int) -> None: ...
def annotated_wrong(request: Any, id: Annotated[str, "x"]) -> None: ...


class Wrong:
    def __call__(self, request: Any, id: str) -> None: ...

    def method(self, request: Any, id: str) -> None: ...


def as_text_now(request: Any, id: Any) -> None: ...


# As in a module without `from __future__ import annotations`.
as_text_now.__annotations__["id"] = str


def annotated_now(request: Any, id: Any) -> None: ...


annotated_now.__annotations__["id"] = Annotated[str, "x"]


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (7, "no handler"),
        (nothing, "nothing takes nothing: the first parameter of a handler is the request"),
        (names_only, "takes names only"),
        (only_names, "takes names only"),
        (lacks, "lacks has no parameter 'id', which path '/{id:int}' gives it"),
        (needs_more, "needs 'page'"),
        (not_by_name, "'id'"),
        (not_by_name_either, "needs 'id'"),
        (as_text, "as_text declares id: str, but the path gives it as int"),
        (as_text_or_none, "id: str | None"),
        (as_bool, "id: bool"),
        (first_is_id, "is the request, not 'id'"),
        (annotated_wrong, "but the path gives it as int"),
        (Wrong(), "handler Wrong declares id: str"),
        (Wrong().method, "method declares id: str"),
        (wrapped(as_text), "as_text declares id: str"),
        (functools.partial(as_text), "declares id: str"),
        (as_text_now, "declares id: str"),
        (annotated_now, "declares id: "),
    ],
)
def test_handlers_that_do_not_fit(handler: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem.replace("{", r"\{").replace("|", r"\|")):
        check_handler(handler, Pattern.parse("/{id:int}"))


def test_is_async() -> None:
    assert is_async(plain)
    assert is_async(Callable_())
    assert is_async(Callable_().method)
    assert is_async(functools.partial(plain))
    assert not is_async(default)
    assert not is_async(Wrong())

"""One path pattern: reading it, filling it in, and whether a handler fits it."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, NewType, Optional, Protocol
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minihttp.errors import ConfigError
from minihttp.patterns import CONVERTERS, Converter, Pattern, check_handler

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
        ("/users?x=1", r"cannot have 'users\?x=1': segments are decoded text or {name:int}"),
        ("/users#top", "cannot have 'users#top'"),
        ("/a b", "cannot have 'a b'"),
        ("/{id:integer}", "{id:integer} must have a new name and be int, uuid, float, str, path"),
        ("/{id", "cannot have '{id'"),
        ("/id}", "cannot have 'id}'"),
        ("/{id}.json", "cannot have '{id}.json'"),
        ("/{}", "cannot have '{}'"),
        ("/{1d}", "cannot have '{1d}'"),
        ("/{a:}", "cannot have '{a:}'"),
        ("/{id}/{id:int}", "{id:int} must have a new name"),
        ("/{rest:path}/x", "must be the last"),
        ("/{rest:path}/{x}", "must be the last"),
        ("/a/../b", r"cannot have '\.\.'"),
        ("/.", r"cannot have '\.'"),
        ("/caf%C3%A9", "cannot have 'caf%C3%A9'"),
    ],
)
def test_bad_patterns(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Pattern.parse(text)


def test_the_template_is_what_clients_send() -> None:
    assert Pattern.parse("/a/b~c@d").template == "/a/b~c@d"
    assert Pattern.parse("/").template == "/"
    assert Pattern.parse("/caf\u00e9/{x:int}").template == "/caf%C3%A9/{x}"
    assert Pattern.parse("/100%").template == "/100%25"
    assert Pattern.parse("/...").template == "/..."


def test_the_names_of_parameters_are_the_ones_in_the_code_of_handlers() -> None:
    def handler(request: Any, id: int, slug: str) -> None: ...

    params = Pattern.parse("/users/{id:int}/posts/{slug}").params
    assert [id(name) for name in params] == [id(name) for name in handler.__code__.co_varnames[1:]]


def test_a_prefix_comes_before() -> None:
    joined = Pattern.parse("/{id:int}").below("/admin")
    assert joined == Pattern.parse("/admin/{id:int}")
    assert joined.build({"id": 7}) == "/admin/7"
    assert Pattern.parse("/x").below("").below("/") == Pattern.parse("/x")


@pytest.mark.parametrize("prefix", ["admin", "/admin/", "/{x}", "/a%20b", "/../x", "//"])
def test_bad_prefixes(prefix: str) -> None:
    with pytest.raises(ConfigError):
        Pattern.parse("/x").below(prefix)


# --- building


@pytest.mark.parametrize(
    ("text", "params", "path"),
    [
        ("/", {}, "/"),
        ("/a/", {}, "/a/"),
        ("/caf\u00e9/{x}", {"x": "a/b ?#%"}, "/caf%C3%A9/a%2Fb%20%3F%23%25"),
        ("/{x:int}", {"x": -7}, "/-7"),
        ("/{x:float}", {"x": 5}, "/5"),
        ("/{x:float}", {"x": -0.5}, "/-0.5"),
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
        ("/{id:int}", {}, TypeError, r"needs the parameters \['id'\], not \[\]"),
        ("/{id:int}", {"id": 1, "x": 2}, TypeError, r"not \['id', 'x'\]"),
        ("/{id:int}", {"id": "7"}, ValueError, "cannot have '7' as id: int is wanted"),
        ("/{id:int}", {"id": True}, ValueError, "int is wanted"),
        ("/{id:int}", {"id": 7.0}, ValueError, "int is wanted"),
        ("/{id:int}", {"id": 10**4000}, ValueError, "int is wanted"),
        ("/{id}", {"id": 7}, ValueError, "str is wanted"),
        ("/{id:uuid}", {"id": "x"}, ValueError, "UUID is wanted"),
        ("/{id:float}", {"id": math.nan}, ValueError, "float is wanted"),
        ("/{id}", {"id": ""}, ValueError, "str is wanted"),
        ("/{id}", {"id": ".."}, ValueError, "cannot have '..' as id"),
        ("/{id:path}", {"id": "a/../b"}, ValueError, "cannot have 'a/../b'"),
        ("/{id:path}", {"id": "/evil.example"}, ValueError, "host name"),
        ("/{id}", {"id": "\ud800"}, ValueError, "str is wanted"),
    ],
)
def test_build_refuses(text: str, params: Mapping[str, Any], error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=problem):
        Pattern.parse(text).build(params)


def test_own_converters() -> None:
    day = Converter(date.fromisoformat, date)
    loud = Converter(str.upper, str)
    pattern = Pattern.parse("/{day:day}/{x:loud}", {**CONVERTERS, "day": day, "loud": loud})
    assert pattern.build({"day": date(2026, 1, 2), "x": "A"}) == "/2026-01-02/A"
    with pytest.raises(ValueError, match="date is wanted"):
        pattern.build({"day": "2026-01-02", "x": "A"})
    with pytest.raises(ValueError, match="cannot have 'a' as x"):  # it would be read back as another
        pattern.build({"day": date(2026, 1, 2), "x": "a"})


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
        ("str", ""),
        *[("uuid", text) for text in ("", "0" * 32, "{" + str(UUID(int=1)) + "}", "urn:uuid:" + str(UUID(int=1)))],
    ],
)  # fmt: skip
def test_converters_refuse_by_value_error(kind: str, text: str) -> None:
    with pytest.raises(ValueError):  # whichever: its text goes nowhere
        CONVERTERS[kind].parse(text)


@given(st.sampled_from(["int", "float", "uuid"]), st.text())
def test_converters_raise_nothing_else(kind: str, text: str) -> None:
    with suppress(ValueError):
        CONVERTERS[kind].parse(text)


# --- handlers: the ones that fit


async def plain(request: Any, id: int) -> None: ...
def keyword_only(request: Any, *, id: int) -> None: ...
def default(request: Any, id: int = 3, other: str = "") -> None: ...
def all_names(request: Any, **params: Any) -> None: ...
def no_annotation(request: Any, id): ...  # type: ignore[no-untyped-def]  # that is the point
def unresolvable(request: Request, id: Request) -> None: ...
def new_type(request: Request, id: UserId | None) -> None: ...
def mixed(request: Any, id: int | None) -> None: ...
def optional(request: Any, id: Optional[int]) -> None: ...  # noqa: UP045  # the old form too
def annotated(request: Any, id: Annotated[int, "an id"]) -> None: ...
def wider(request: Any, id: float) -> None: ...
def quoted(request: Any, id: "int") -> None: ...  # noqa: UP037  # that is the point
def anything(request: Any, id: Any) -> None: ...
def an_object(request: Any, id: object) -> None: ...
def duck(request: Any, id: CanRead) -> None: ...
def not_a_type(request: Any, id: "1 +") -> None: ...  # type: ignore[syntax]  # noqa: F722  # no Python at all
def positional(request: Any, /, id: int) -> None: ...
def any_positional(*arguments: Any, id: int) -> None: ...
def same_name(id: Any, /, **params: Any) -> None: ...
def now(request: Any, id: Any) -> None: ...
def now_mixed(request: Any, id: Any) -> None: ...


# As in a module without `from __future__ import annotations`.
now.__annotations__["id"] = int
now_mixed.__annotations__["id"] = int | None


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
        new_type,
        mixed,
        quoted,
        now,
        now_mixed,
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
    ],
)
def test_handlers_that_fit(handler: Callable[..., Any]) -> None:
    check_handler(handler, Pattern.parse("/{id:int}"))


# --- handlers: the ones that do not


def nothing() -> None: ...
def names_only(*, request: Any, id: int) -> None: ...
def only_names(**params: Any) -> None: ...
def lacks(request: Any) -> None: ...
def needs_more(request: Any, id: int, page: int) -> None: ...
def not_by_name(request: Any, id: int, /) -> None: ...
def as_text(request: Request, id: str) -> None: ...
def as_text_or_none(request: Request, id: str | None) -> None: ...
def as_bool(request: Any, id: bool) -> None: ...
def first_is_id(id: int) -> None: ...
def quoted_wrong(request: Any, id: "str") -> None: ...  # noqa: UP037  # that is the point


class Wrong:
    def __call__(self, request: Any, id: str) -> None: ...

    def method(self, request: Any, id: str) -> None: ...


def as_text_now(request: Any, id: Any) -> None: ...


# As in a module without `from __future__ import annotations`.
as_text_now.__annotations__["id"] = str


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (7, "int with request, ['id']: 7 is not a callable object"),
        (max, "max with request, ['id']: no signature"),  # written in C: it says nothing about itself
        (nothing, "path '/{id:int}' calls nothing with request, ['id']: "),
        (names_only, "too many positional arguments"),
        (only_names, "too many positional arguments"),
        (lacks, "calls lacks with request, ['id']: got an unexpected keyword argument 'id'"),
        (needs_more, "missing a required argument: 'page'"),
        (not_by_name, "'id'"),
        (as_text, "as_text declares id: str, but path '/{id:int}' gives int"),
        (as_text_or_none, "id: str | None"),
        (as_bool, "id: bool"),
        (first_is_id, "multiple values for argument 'id'"),
        (quoted_wrong, "declares id: 'str', but"),
        (Wrong(), "handler Wrong declares id: str"),
        (Wrong().method, "method declares id: str"),
        (wrapped(as_text), "as_text declares id: str"),
        (functools.partial(as_text), "declares id: str"),
        (as_text_now, "declares id: <class 'str'>"),
    ],
)
def test_handlers_that_do_not_fit(handler: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        check_handler(handler, Pattern.parse("/{id:int}"))

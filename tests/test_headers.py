"""Multi-valued mappings, typed reading of their values, and what may stand in a field."""

from __future__ import annotations

import pickle
from decimal import Decimal
from email.utils import formatdate
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minihttp.errors import FieldError
from minihttp.headers import (
    Cookies,
    Headers,
    MultiDict,
    MutableHeaders,
    QueryParams,
    check_field,
    format_date,
    headers_of,
    parse_bool,
    parse_float,
    parse_int,
)


class Color(Enum):
    RED = "red"


# --- values


@given(st.integers(-1 << 35, 1 << 37) | st.floats(0, 1 << 33))
def test_a_date_is_what_the_mail_package_of_the_standard_library_makes_of_it(seconds: float) -> None:
    assert format_date(seconds) == formatdate(seconds // 1, usegmt=True)


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("-7", -7), ("007", 7), ("9" * 4000, int("9" * 4000))])
def test_integers(text: str, value: int) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize(
    "text", ["", "-", "+7", " 7", "7 ", "7\n", "1_0", "7.0", "0x7", "\u0667", "\u00b2", "9" * 4001]
)
def test_what_is_no_integer(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be an integer$"):
        parse_int(text)


@pytest.mark.parametrize(
    ("text", "value"), [("7", 7.0), ("-1.5", -1.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("1E-3", 0.001)]
)
def test_numbers(text: str, value: float) -> None:
    assert parse_float(text) == value


@pytest.mark.parametrize(
    "text", ["", ".", "-", "nan", "inf", "-Infinity", "1_0", "+1", " 1", "1\n", "1e999", "\u0667", "1e", "9" * 401]
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a number$"):
        parse_float(text)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back(value: float) -> None:
    assert parse_float(repr(value)) == float(value)
    if isinstance(value, int):
        assert parse_int(str(value)) == value


def test_truth() -> None:
    assert [parse_bool(text) for text in ("true", "1", "on", "YES")] == [True] * 4
    assert [parse_bool(text) for text in ("False", "0", "off", "no")] == [False] * 4
    for text in ("", "2", "y", " true"):
        with pytest.raises(ValueError, match="must be true or false"):
            parse_bool(text)


# --- fields


@pytest.mark.parametrize("value", ["", "a b", "\t", "\u00e4\u00ff", "!~"])
def test_fields_that_may_be_sent(value: str) -> None:
    check_field("X-a1!#$%&'*+-.^_`|~", value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\n", "\u00e4", "a\x00", "(a)"])
def test_bad_names(name: str) -> None:
    with pytest.raises(ValueError, match="is not a header name"):
        check_field(name, "x")


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\n", "\r", "\x00", "\x7f", "\u0100", "\ud800"])
def test_bad_values(value: str) -> None:
    with pytest.raises(ValueError, match="the value of header 'a' has a line break or another"):
        check_field("a", value)


# --- mappings


def test_a_name_may_have_several_values() -> None:
    items = MultiDict([("a", "1"), ("b", "2"), ("a", "3")])
    assert items["a"] == "1"
    assert items.getall("a") == ["1", "3"]
    assert items.getall("c") == []
    assert items.multi_items() == [("a", "1"), ("b", "2"), ("a", "3")]
    assert dict(items) == {"a": "1", "b": "2"}
    assert len(items) == 2
    assert "a" in items
    assert "c" not in items
    assert 1 not in items
    assert not MultiDict[str]()


def test_the_pairs_are_copies() -> None:
    pairs = [("a", "1")]
    items = MultiDict(pairs)
    pairs.append(("b", "2"))
    items.multi_items().clear()
    assert items.multi_items() == [("a", "1")]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (MultiDict, "400 field 'x' is missing"),
        (QueryParams, "400 query parameter 'x' is missing"),
        (Cookies, "400 cookie 'x' is missing"),
        (Headers, "400 header 'x' is missing"),
    ],
)
def test_what_is_missing_is_named(kind: type[MultiDict[str]], text: str) -> None:
    with pytest.raises(FieldError) as caught:
        kind()["x"]
    assert str(caught.value) == text


def test_get() -> None:
    query = QueryParams([("page", "2"), ("price", "1.5"), ("on", "yes"), ("color", "red"), ("empty", "")])
    assert query.get("page") == "2"
    assert query.get("none") is None
    assert query.get("none", "x") == "x"
    assert query.get("none", 1, int) == 1
    assert query.get("none", type=int) is None
    assert query.get("page", 1, int) == 2
    assert query.get("price", type=float) == 1.5
    assert query.get("price", type=Decimal) == Decimal("1.5")
    assert query.get("on", type=bool) is True
    assert query.get("color", type=Color) is Color.RED
    assert query.get("empty", "x") == ""


@pytest.mark.parametrize(
    ("type", "problem"),
    [
        (int, "must be an integer"),
        (float, "must be a number"),
        (bool, "must be true or false"),
        (Decimal, "is not a valid Decimal"),
        (UUID, "is not a valid UUID"),
        (Color, "is not a valid Color"),
        (lambda text: int(text), "is not a valid <lambda>"),
    ],
)
def test_a_value_of_another_type_is_named(type: Any, problem: str) -> None:
    with pytest.raises(FieldError) as caught:
        QueryParams([("a", "nan?")]).get("a", None, type)
    assert caught.value.status == 400
    assert caught.value.errors == ({"field": "a", "detail": problem},)


def test_a_file_where_text_was_expected_is_400() -> None:
    with pytest.raises(FieldError, match="must be text, not a file"):
        MultiDict[Any]([("age", object())]).get("age", type=int)
    assert MultiDict[Any]([("age", 1)]).get("age") == 1


def test_an_error_in_the_program_is_no_400() -> None:
    with pytest.raises(AttributeError):
        QueryParams([("a", "1")]).get("a", type=lambda text: text.nothing)  # type: ignore[attr-defined]  # on purpose


# --- header fields


def test_names_in_any_case() -> None:
    headers = Headers([("Content-Type", "a"), ("ACCEPT", "b"), ("accept", "c"), ("Cookie", "x"), ("cookie", "y")])
    assert headers["content-TYPE"] == "a"
    assert headers.get("Content-Type") == "a"
    assert headers.get("Accept", "") == headers["accept"] == "b, c"
    assert headers["cookie"] == "x; y"
    assert headers.getall("Accept") == ["b", "c"]
    assert "ACCEPT" in headers
    assert list(headers) == ["content-type", "accept", "cookie"]
    assert headers.get("Age", 3, int) == 3
    with pytest.raises(FieldError):
        headers.get("Accept", type=int)


def test_headers_take_over_a_dict() -> None:
    fields = {"host": "a", "cookie": "x=1"}
    headers = headers_of(fields)
    assert headers.as_dict() is fields
    assert headers["Host"] == "a"
    assert headers.getall("COOKIE") == ["x=1"]
    assert headers.multi_items() == [("host", "a"), ("cookie", "x=1")]
    assert pickle.loads(pickle.dumps(headers)).multi_items() == headers.multi_items()


def test_mutable_headers() -> None:
    headers = MutableHeaders({"A": "1"})
    headers.add("Set-Cookie", "x")
    headers.add("set-cookie", "y")
    assert headers.multi_items() == [("a", "1"), ("set-cookie", "x"), ("set-cookie", "y")]
    assert headers["set-cookie"] == "x, y"
    headers["SET-COOKIE"] = "z"
    assert headers.getall("set-cookie") == ["z"]
    del headers["A"]
    assert "a" not in headers
    assert headers.multi_items() == [("set-cookie", "z")]
    with pytest.raises(KeyError):
        del headers["a"]
    assert headers.setdefault("New", "1") == "1"
    headers.update({"New": "2"})
    assert headers.pop("new") == "2"
    assert MutableHeaders([("a", "1"), ("a", "2")]).getall("a") == ["1", "2"]


def test_nothing_that_splits_a_response_gets_in() -> None:
    headers = MutableHeaders({"a": "1"})
    bad = "x\r\nset-cookie: y"
    for way in (
        lambda: MutableHeaders({"a": bad}),
        lambda: MutableHeaders([("a", bad)]),
        lambda: headers.add("a", bad),
        lambda: headers.add(bad, "a"),
        lambda: headers.__setitem__("a", bad),
        lambda: headers.update({bad: "a"}),
        lambda: headers.setdefault("b", bad),
    ):
        with pytest.raises(ValueError, match="header"):
            way()
    assert headers.multi_items() == [("a", "1")]

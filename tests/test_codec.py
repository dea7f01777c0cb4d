"""JSON in both directions, and what a client is told about a wrong body."""

from __future__ import annotations

import datetime as dt
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Required, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minihttp.codec import Meta, decode, encode
from minihttp.errors import HTTPError

T = TypeVar("T")


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Address:
    city: str
    zip: int = 0


@dataclass
class User:
    name: str
    age: Annotated[int, Meta(ge=0, le=150)]
    address: Address | None = None
    friends: list[Address] = field(default_factory=list)
    color: Color = Color.RED
    size: Literal["s", "m"] = "s"
    by_name: dict[str, Address] = field(default_factory=dict)


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)
    other: Leaf | None = None


@dataclass
class Leaf:
    root: Tree | None = None
    leaves: list[Leaf] = field(default_factory=list)


@dataclass
class Even:
    number: int
    doubled: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("must be even")
        self.doubled = self.number * 2


@dataclass
class Page(Generic[T]):
    items: list[T]


class Point(NamedTuple):
    x: int
    at: Address | None = None


class Options(TypedDict, total=False):
    limit: int
    at: Address


class Loose(msgspec.Struct, rename="camel"):
    first_name: str
    at: Address | None = None


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    others: list[Strict] = []  # a Struct copies it


class Flat(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class Line(msgspec.Struct, array_like=True):
    x: int
    y: int = 0


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    name: str


class Tame(msgspec.Struct, tag="tame", forbid_unknown_fields=True):
    name: str


class Wish(TypedDict):
    needed: Required[Address]
    more: NotRequired[list[Address]]


@dataclass(frozen=True)
class Spot:
    x: int


class Row(Mapping[str, Any]):
    """A mapping that is no dict, as the rows of the database are."""

    def __init__(self, **values: Any) -> None:
        self.values_ = values

    def __getitem__(self, name: str) -> Any:
        return self.values_[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


def refusal(data: bytes, type: Any = None) -> HTTPError:
    with pytest.raises(HTTPError) as caught:
        decode(data, type)
    return caught.value


def wrong(data: bytes, type: Any) -> dict[str, str]:
    error = refusal(data, type)
    assert error.status == 422
    return {each["field"]: each["detail"] for each in error.errors}


# --- encode


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, True, None, "ä"]}, '{"a":[1,2.5,true,null,"ä"]}'),
        (Row(id=7, inner=Row(x=1)), '{"id":7,"inner":{"x":1}}'),
        ([Row(id=7)], '[{"id":7}]'),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (Address("Rome"), '{"city":"Rome","zip":0}'),
        (Loose("Ada"), '{"firstName":"Ada","at":null}'),
        (Decimal("1.10"), '"1.10"'),
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), '"2026-01-02T03:04:05Z"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Color.BLUE, '"blue"'),
        (float("nan"), "null"),
        (b"ab", '"YWI="'),
        ((1, {2}), "[1,[2]]"),
        ({1: 2}, '{"1":2}'),
    ],
)
def test_encode(value: Any, text: str) -> None:
    assert encode(value).decode() == text


async def nothing() -> None: ...


def test_encode_says_what_it_cannot_and_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"complex as JSON: make it a dict"):
        encode({"a": 1j})
    with pytest.raises(TypeError, match=r"Opaque as JSON"):
        encode([Opaque()])
    with pytest.raises(TypeError, match=r"list as JSON: .* surrogates not allowed"):
        encode(["\ud800"])
    with pytest.raises(TypeError, match="surrogates not allowed"):
        encode({"\udfff": 1})
    with pytest.raises(TypeError, match="NoneType as JSON"):
        encode({None: 1})
    with pytest.raises(TypeError, match="int as JSON"):
        encode(10**5000)
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(TypeError, match="list as JSON: maximum recursion depth exceeded"):
        encode(circle)
    forgotten = nothing()
    with pytest.raises(TypeError, match=r"coroutine as JSON: .*await it"):
        encode(forgotten)
    forgotten.close()


class Opaque:
    pass


# --- decode: what is JSON


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "Input data was truncated"),
        (b" \r\n", "truncated"),
        (b"{", "truncated"),
        (b"[1,]", "(byte 3)"),
        (b"NaN", "invalid character"),
        (b"\xef\xbb\xbf{}", "invalid character"),
        (b'"\xff"', "'utf-8' codec can't decode"),
        (b'"\xed\xa0\x80"', "'utf-8' codec can't decode"),
        (b'"\\ud800x"', "truncated"),
        (b'"\\ud800"', "truncated"),
        (b'{"name": "\\ud800", "age": 1}', "surrogate"),
        (b'{"\xff": 1}', "'utf-8' codec can't decode"),
        (b"[" * 100_000, "maximum recursion depth"),
        (b'{"a":' * 100_000, "maximum recursion depth"),
    ],
)
@pytest.mark.parametrize("type", [None, User, list[int], Strict, dict[str, Any]])
def test_what_is_not_json_is_400(data: bytes, problem: str, type: Any) -> None:
    error = refusal(data, type)
    assert error.status == 400
    assert problem in str(error.detail)


def test_deep_values_of_a_type_that_contains_itself_are_400() -> None:
    depth = 50_000
    text = b'{"value":1,"children":[' * depth + b"]}" * depth
    assert refusal(text, Tree).status == 400


def test_depth_that_only_the_type_cannot_take_is_no_500() -> None:
    def too_deep(*_: object) -> None:
        raise RecursionError("too deep")

    @dataclass
    class Touchy:
        value: int

        __post_init__ = too_deep

    assert wrong(b'{"value": 1}', Touchy) == {"": "too deep"}


def test_wrong_content_in_what_is_no_json_is_400() -> None:
    assert refusal(b'{"name": 1, "age": ', User).status == 400
    assert refusal(b'{"name": 1, "age": "\xff"}', User).status == 400


def test_any_json_without_a_type() -> None:
    assert decode(b'{"a": [1, null], "a": 2}') == {"a": 2}
    assert wrong(b"1e999", None) == {"": "Number out of range"}
    assert wrong(b"9" * 5000, None) == {"": "Integer value out of range"}


@given(st.binary())
def test_no_bytes_are_a_500(data: bytes) -> None:
    for type in (None, User, Tree, list[Options], Cat | Dog):
        try:
            decode(data, type)
        except HTTPError as error:
            assert error.status in (400, 422)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@given(values)
def test_what_is_encoded_reads_back(value: Any) -> None:
    try:
        assert decode(encode(value)) == value
    except HTTPError as error:
        assert "out of range" in str(error.detail)


keys = st.sampled_from(["name", "age", "address", "friends", "city", "zip", "value", "children", "type", "x"])
bodies = st.recursive(
    st.none() | st.integers(-1, 200) | st.sampled_from(["cat", "red"]),
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
)


@given(bodies)
def test_no_json_is_a_500_and_nothing_unknown_passes(body: Any) -> None:
    data = json.dumps(body).encode()
    for type in (User, Tree, Options, Point, list[User], Cat | Dog, dict[str, Loose | None]):
        try:
            value = decode(data, type)
        except HTTPError as error:
            assert error.status == 422
            assert error.errors
        else:
            assert_all_is_there(body, json.loads(encode(value)))


def assert_all_is_there(sent: Any, read: Any) -> None:
    """Every name that was sent is in what was read."""
    if isinstance(sent, dict):
        assert sent.keys() <= read.keys()
        for name in sent:
            assert_all_is_there(sent[name], read[name])
    elif isinstance(sent, list):
        for one, other in zip(sent, read, strict=False):
            assert_all_is_there(one, other)


# --- decode: what has the right content


def test_valid_values() -> None:
    user = decode(b'{"name":"A","age":3,"address":{"city":"R"},"friends":[{"city":"B","zip":1}],"color":"blue"}', User)
    assert user == User("A", 3, Address("R"), [Address("B", 1)], Color.BLUE)
    assert decode(b'{"value":1,"children":[{"value":2,"other":{"leaves":[{}]}}]}', Tree) == Tree(
        1, [Tree(2, [], Leaf(None, [Leaf()]))]
    )
    assert decode(b'{"number":4}', Even).doubled == 8
    assert decode(b'{"items":[{"city":"R"}]}', Page[Address]) == Page([Address("R")])
    assert decode(b'[1,{"city":"R"}]', Point) == Point(1, Address("R"))
    assert decode(b'{"limit":1}', Options) == {"limit": 1}
    assert decode(b'{"needed":{"city":"R"},"more":[]}', Wish) == {"needed": Address("R"), "more": []}
    assert decode(b'[{"x":1}]', set[Spot]) == {Spot(1)}
    assert decode(b'[{"type":"tame","name":"Tom"}]', list[Cat | Tame]) == [Tame("Tom")]
    assert decode(b'{"firstName":"A"}', Loose) == Loose("A")
    assert decode(b'{"name":"A","others":[{"name":"B"}]}', Strict) == Strict("A", [Strict("B")])
    assert decode(b'[{"name":"A"}]', list[Flat]) == [Flat("A")]
    assert decode(b"[[1],[2,3]]", list[Line]) == [Line(1), Line(2, 3)]
    assert decode(b'[{"type":"cat","lives":9},{"type":"dog","name":"Rex"}]', list[Cat | Dog]) == [Cat(9), Dog("Rex")]
    assert decode(b'["x",{"city":"R"}]', tuple[str, Address]) == ("x", Address("R"))
    assert decode(b'[1,[{"city":"R"}],{"a":1}]', list[int | list[Address] | dict[str, int]]) == [
        1,
        [Address("R")],
        {"a": 1},
    ]
    assert decode(b'{"a":{"city":"R"}}', dict[str, Annotated[Address, Meta(title="where")]]) == {"a": Address("R")}
    assert decode(b"7", Annotated[int, Meta(description="x")]) == 7
    assert decode(b"[1,2]", tuple[int, int]) == (1, 2)
    assert decode(b'{"a":null}', dict[str, int | None]) == {"a": None}


def test_the_type_is_known_to_the_checker() -> None:
    user: User = decode(b'{"name":"A","age":3}', User)
    assert user.age == 3


@pytest.mark.parametrize(
    ("data", "type", "path"),
    [
        (b'{"name":"A","age":1,"x":1}', User, "x"),
        (b'{"name":"A","age":1,"address":{"city":"R","x":1}}', User, "address.x"),
        (b'{"name":"A","age":1,"friends":[{"city":"R"},{"city":"R","x":1}]}', User, "friends[1].x"),
        (b'{"name":"A","age":1,"by_name":{"k":{"city":"R","x":1}}}', User, "by_name[...].x"),
        (b'{"value":1,"children":[{"value":1,"children":[{"value":2,"x":1}]}]}', Tree, "children[0].children[0].x"),
        (b'{"value":1,"other":{"leaves":[{"root":{"value":1,"x":1}}]}}', Tree, "other.leaves[0].root.x"),
        (b'{"number":2,"doubled":4}', Even, "doubled"),
        (b'{"limit":1,"x":1}', Options, "x"),
        (b'{"at":{"city":"R","x":1}}', Options, "at.x"),
        (b'{"firstName":"A","first_name":"A"}', Loose, "first_name"),
        (b'{"name":"A","others":[{"name":"B","x":1}]}', Strict, "others[0].x"),
        (b'{"name":"A","x":1}', Flat, "x"),
        (b'[{"type":"cat","lives":9,"x":1}]', list[Cat | Dog], "[0].x"),
        (b'{"city":"R","x":1}', Address | str, "x"),
        (b'[{"type":"cat","lives":9,"x":1}]', list[Cat | Tame], "[0].x"),
        (b'{"a":{"city":"R","x":1}}', dict[str, Annotated[Address, Meta(title="where")]], "[...].x"),
        (b'{"needed":{"city":"R","x":1}}', Wish, "needed.x"),
    ],
)
def test_unknown_fields_are_refused(data: bytes, type: Any, path: str) -> None:
    assert wrong(data, type) == {path: "is not a known field"}


def test_unknown_fields_in_arrays_are_refused() -> None:
    assert wrong(b'["a",{"city":"R","x":1}]', tuple[str, Address]) == {"[1].x": "is not a known field"}
    assert "Expected `array` of at most length 2" in wrong(b"[[1,2,3]]", list[Line]).values()
    assert wrong(b'[[{"city":"R","x":1}]]', list[int | list[Address]]) == {"[0][0].x": "is not a known field"}


def test_every_wrong_field_is_named_at_once() -> None:
    data = (
        b'{"age":true,"address":{"city":1,"q":2},"friends":[{},3],"color":"green","size":"xl",'
        b'"by_name":{"k":{}},"unknown":1}'
    )
    error = refusal(data, User)
    assert wrong(data, User) == {
        "name": "is missing",
        "age": "must be an integer, not a boolean",
        "address.city": "must be a string, not an integer",
        "friends[0].city": "is missing",
        "color": "Invalid enum value 'green'",
        "size": "Invalid enum value 'xl'",
        "by_name[...].city": "is missing",
        "unknown": "is not a known field",
    }
    assert str(error.detail).startswith("name: is missing; age: must be an integer, not a boolean; address.city: ")


def test_the_list_of_errors_is_bounded_and_so_is_what_is_quoted() -> None:
    many = b",".join(b'"x%d":1' % i for i in range(1000))
    assert len(refusal(b"{%b}" % many, Options).errors) == 20
    name = b"x" * 10_000
    assert len(str(refusal(b'{"city":"R","%b":1}' % name, Address).detail)) < 200
    assert len(str(refusal(b'["%b"]' % name, list[Color]).detail)) < 200


def test_text_that_looks_like_a_message_costs_time_in_proportion() -> None:
    for text in (" - at `$", " - at `key` in `$", "Expected `, got `"):  # once it took minutes
        value = json.dumps(text * 100_000).encode()
        assert wrong(b'{"name":"A","age":1,"color":%b}' % value, User).keys() == {"color"}
        assert wrong(b'{"name":"A","age":1,"by_name":{%b:1}}' % value, User).keys() == {"by_name[...]"}
        assert len(refusal(b'{"name":"A","age":1,%b:1}' % value, User).errors) == 1


def test_one_wrong_field_is_the_detail() -> None:
    assert refusal(b'{"city":1}', Address).detail == "city: must be a string, not an integer"
    assert refusal(b"[]", Address).detail == "the body: must be an object, not a list"


@dataclass
class Everything:
    number: Annotated[int, Meta(gt=0, lt=10)] = 1
    real: Annotated[float, Meta(gt=0.5)] = 1.0
    even: Annotated[int, Meta(multiple_of=2)] = 2
    word: Annotated[str, Meta(min_length=2, max_length=3, pattern="^[a-z]*$")] = "ab"
    words: Annotated[list[str], Meta(min_length=1, max_length=2)] = field(default_factory=lambda: ["a"])
    table: Annotated[dict[str, int], Meta(max_length=1)] = field(default_factory=dict)
    pair: tuple[int, int] = (1, 2)
    when: dt.datetime | None = None
    zoned: Annotated[dt.datetime, Meta(tz=True)] | None = None
    naive: Annotated[dt.datetime, Meta(tz=False)] | None = None
    day: dt.date | None = None
    clock: dt.time | None = None
    span: dt.timedelta | None = None
    id: UUID | None = None
    price: Decimal | None = None
    data: bytes | None = None
    keyed: dict[int, int] = field(default_factory=dict)
    deep: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    mixed: int | str | list[int] = 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('"number": -1', "number: must be at least 1"),
        ('"number": 10', "number: must be at most 9"),
        ('"number": 1.5', "number: must be an integer, not a number"),
        ('"number": 1.0', "number: must be an integer, not a number"),
        ('"number": "1"', "number: must be an integer, not a string"),
        ('"number": true', "number: must be an integer, not a boolean"),
        ('"number": null', "number: must be an integer, not null"),
        ('"number": [{}]', "number: must be an integer, not a list"),
        ('"real": 0.5', "real: must be more than 0.5"),
        ('"even": 3', "even: Expected `int` that's a multiple of 2"),
        ('"word": "a"', "word: must have at least 2 characters"),
        ('"word": "abcd"', "word: must have at most 3 characters"),
        ('"word": "AB"', "word: must match the pattern '^[a-z]*$'"),
        ('"words": []', "words: Expected `array` of length >= 1"),
        ('"words": ["a","b","c"]', "words: Expected `array` of length <= 2"),
        ('"words": ["a",1]', "words[1]: must be a string, not an integer"),
        ('"table": {"a":1,"b":2}', "table: Expected `object` of length <= 1"),
        ('"pair": [1]', "pair: Expected `array` of length 2, got 1"),
        ('"when": "2026"', "when: Invalid RFC3339 encoded datetime"),
        ('"zoned": "2026-01-01T00:00:00"', "zoned: Expected `datetime` with a timezone component"),
        ('"id": "x"', "id: Invalid UUID"),
        ('"keyed": {"a": 1}', "keyed: must be an integer, not a string"),
        ('"deep": {"a": {"b": [1, "x"]}}', "deep[...][...][1]: must be an integer, not a string"),
        ('"mixed": true', "mixed: must be int | str | array, not a boolean"),
    ],
)
def test_problems_are_in_plain_words(text: str, problem: str) -> None:
    assert refusal(f"{{{text}}}".encode(), Everything).detail == problem


def test_errors_of_post_init_are_422() -> None:
    assert wrong(b'{"number":3}', Even) == {"": "must be even"}
    assert wrong(b'[{"number":2},{"number":3}]', list[Even]) == {"[1]": "must be even"}


def test_metadata_hides_no_field() -> None:
    assert wrong(b'{"a":{"city":1}}', dict[str, Annotated[Address, Meta(title="where")]]) == {
        "[...].city": "must be a string, not an integer"
    }


def test_wrong_tags() -> None:
    assert wrong(b'[{"type":"cow"}]', list[Cat | Dog]) == {"[0].type": "Invalid value 'cow'"}
    assert wrong(b'{"type":"cat","x":1}', Cat) == {"lives": "is missing", "x": "is not a known field"}
    assert wrong(b"[5]", list[Cat | Dog]) == {"[0]": "must be an object, not an integer"}


def test_a_generic_type_names_its_fields() -> None:
    assert wrong(b'{"items":[{}]}', Page[Address]) == {"items[0].city": "is missing"}
    assert decode(b'{"items":[{"city":"R","x":1}],"y":2}', Page[Address]) == Page([Address("R")])  # has no guard
    assert wrong(b'{"items":["x"]}', Page[int]) == {"items[0]": "must be an integer, not a string"}


def test_a_type_that_cannot_be_read_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError):
        decode(b"{}", Annotated[int, Meta(pattern="x")])


class Described(TypedDict):
    word: Annotated[str, Meta(pattern="^[a-z]+$", description="must be lower-case letters")]
    kind: Annotated[Literal["a", "b"], Meta(description="must be a or b")]
    bare: Annotated[str, Meta(pattern="^x$")]
    size: Annotated[int, Meta(ge=1, description="the size")]


def test_a_description_is_told_where_a_pattern_or_a_choice_is_not_met() -> None:
    with pytest.raises(HTTPError) as caught:
        decode(b'{"word": "A", "kind": "c", "bare": "y", "size": 0}', Described)
    assert [each["detail"] for each in caught.value.errors] == [
        "must be lower-case letters",
        "must be a or b",
        "must match the pattern '^x$'",
        "must be at least 1",
    ]

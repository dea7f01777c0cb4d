"""Rows: a mapping, read by name, place and attribute."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from typing import Any

import pytest

from minihttp.db.errors import QueryError
from minihttp.db.rows import Row, make_rows, row_values


def one(**columns: Any) -> Row:
    return make_rows(tuple(columns), [tuple(columns.values())])[0]


def test_a_value_is_read_by_name_place_and_attribute() -> None:
    row = one(id=7, name="Ann")
    assert row["name"] == row[1] == row[-1] == row.name == "Ann"
    assert row.get("name") == "Ann"
    assert row.get("age") is None
    assert row.get("age", 0) == 0


def test_a_row_is_a_mapping_and_no_tuple() -> None:
    row = one(id=7, name="Ann")
    assert isinstance(row, Mapping)
    assert not isinstance(row, tuple)
    assert dict(row) == {**row} == {"id": 7, "name": "Ann"}
    assert list(row) == list(row.keys()) == ["id", "name"]
    assert list(row.values()) == [7, "Ann"]
    assert list(row.items()) == [("id", 7), ("name", "Ann")]
    assert row.keys() & {"id", "x"} == {"id"}
    assert len(row) == 2
    assert "id" in row
    assert 0 not in row
    match row:
        case {"id": int(number)}:
            assert number == 7
        case _:
            raise AssertionError("a row does not match a mapping pattern")


def test_methods_win_over_columns_of_the_same_name() -> None:
    row = one(items=1, keys=2, count=3, _index=4, get=5)
    assert [row["items"], row["keys"], row["count"], row["_index"], row["get"]] == [1, 2, 3, 4, 5]
    assert row.count == 3
    assert dict(row.items())["items"] == 1
    assert row.get("get") == 5


def test_rows_of_one_result_share_their_columns() -> None:
    first, second = make_rows(("a",), [(1,), (2,)])
    assert first.keys() == second.keys()
    assert first._index is second._index
    assert not hasattr(first, "__dict__")


def test_equality_is_that_of_columns_and_values() -> None:
    assert one(a=1, b=2) == one(a=1, b=2)
    assert one(a=1, b=2) != one(a=1, b=3)
    assert one(a=1, b=2) != one(b=1, a=2)
    assert one(a=1, b=2) == {"b": 2, "a": 1}
    plain = {"a": 1}
    assert plain == one(a=1)
    assert one(a=1) != {"a": 2}
    assert one(a=1) != (1,)
    with pytest.raises(TypeError, match="unhashable"):
        hash(one(a=1))


def test_what_is_not_there_is_named_with_what_is() -> None:
    row = one(id=7, name="Ann")
    with pytest.raises(KeyError) as missing:
        row["nmae"]
    assert str(missing.value) == "the row has no column 'nmae', only 'id', 'name'; did you mean 'name'?"
    with pytest.raises(AttributeError, match="no column 'nmae', only 'id', 'name'; did you mean 'name'"):
        _ = row.nmae
    with pytest.raises(KeyError, match=r"no column 'zzz', only 'id', 'name'$"):
        row["zzz"]
    with pytest.raises(KeyError, match="no column None"):
        row[None]  # type: ignore[index]  # what it does with a wrong key is the question
    with pytest.raises(IndexError, match="2 columns, none at 2"):
        row[2]
    assert not hasattr(row, "__html__")
    with pytest.raises(AttributeError, match=r"^a row has no __html__$"):
        _ = row.__html__


def test_rows_are_read_only() -> None:
    row: Any = one(id=7)
    with pytest.raises(TypeError):
        row["id"] = 8
    with pytest.raises(AttributeError):
        row.id = 8


def test_repr_copy_and_pickle() -> None:
    row = one(id=7, tags=["a"])
    assert repr(row) == "Row({'id': 7, 'tags': ['a']})"
    for again in (copy.copy(row), copy.deepcopy(row), pickle.loads(pickle.dumps(row))):
        assert again == row
        assert again.tags == ["a"]
    assert copy.deepcopy(row).tags is not row.tags


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(QueryError, match="two columns of the result are called 'id'"):
        make_rows(("id", "name", "id"), [])


def test_values_are_handed_out_as_they_came() -> None:
    values = (1, 2)
    assert row_values(make_rows(("a", "b"), [values])[0]) is values
    assert make_rows((), []) == []

"""One row of a result: a read-only mapping that is read by name, by place and by attribute.

Owns: `Row` and how a result becomes a list of them.
Must not know: drivers, SQL, nor the types of the columns.
Invariant: all rows of one result share one index of columns, so a row costs two slots. Trade-off: a row is a
Mapping, not a tuple: it iterates over its names (`dict(row)` and JSON objects follow from it), and unpacking is
said aloud, `a, b = row.values()`.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from .errors import QueryError

__all__ = ["Row", "index_of", "make_rows", "row_values"]


class ColumnError(KeyError):
    """A column that the row does not have; the text names those that it has."""

    # KeyError's own __str__ would print the repr of the message.
    __str__ = Exception.__str__


class Row(Mapping[str, Any]):
    """A row: `row["name"]`, `row[0]` and `row.name` are the same value.

    Methods win over columns: a column called `items` or `keys` is read as `row["items"]`. Two rows are equal where
    their columns, in order, and values are; a row and a dict, where they hold the same. Raises KeyError, IndexError or
    AttributeError for what is not there, and names the columns that are.
    """

    __slots__ = ("_index", "_values")

    def __init__(self, index: Mapping[str, int], values: Sequence[Any]) -> None:
        self._index = index
        self._values = values

    def __getitem__(self, key: str | int) -> Any:
        try:
            return self._values[self._index[key]]  # type: ignore[index]  # a place is no name: KeyError, tried below
        except KeyError:
            if isinstance(key, int):
                return self._at(key)
            raise ColumnError(self._missing(key)) from None

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[self._index[name]]
        except KeyError:
            raise AttributeError(self._missing(name)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    # The views of a dict made at C speed: Mapping's own would call __getitem__ once per column.
    def keys(self) -> KeysView[str]:
        """The names of the columns, in the order of the result."""
        return self._index.keys()

    def values(self) -> ValuesView[Any]:
        """The values, in the order of the columns: `id, name = row.values()`."""
        return self._dict().values()

    def items(self) -> ItemsView[str, Any]:
        """Pairs of name and value, in the order of the columns."""
        return self._dict().items()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Row):
            return self._values == other._values and list(self._index) == list(other._index)
        return self._dict() == other if isinstance(other, dict) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # values may be unhashable, and a Mapping has no hash

    def __repr__(self) -> str:
        return f"Row({self._dict()!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The default way to copy would ask for attributes before the slots are filled.
        return Row, (self._index, self._values)

    def _at(self, place: int) -> Any:
        try:
            return self._values[place]
        except IndexError:
            raise IndexError(f"the row has {len(self._index)} columns, none at {place}") from None

    def _dict(self) -> dict[str, Any]:
        return dict(zip(self._index, self._values, strict=True))

    def _missing(self, name: object) -> str:
        if isinstance(name, str) and name.startswith("__"):  # protocols asked for by copy, jinja2 and others
            return f"a row has no {name}"
        close = get_close_matches(str(name), self._index, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"the row has no column {name!r}, only {', '.join(map(repr, self._index))}{hint}"


def make_rows(columns: tuple[str, ...], values: Iterable[Sequence[Any]]) -> list[Row]:
    """The rows of one result: `make_rows(("id", "name"), [(1, "Ann")])`.

    Raises QueryError where two columns have one name, as in a join of two tables with an `id` each: one of the
    values could not be read by name and would be lost from JSON.
    """
    index = index_of(columns)
    return [Row(index, row) for row in values]


@lru_cache(maxsize=512)
def index_of(columns: tuple[str, ...]) -> Mapping[str, int]:
    """The places of the columns by name, made once for all results that have these; `make_rows` says what it raises."""
    index = {name: place for place, name in enumerate(columns)}
    if len(index) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise QueryError(
            f"two columns of the result are called {twice!r}: name one of them apart (`... AS other_name`)"
        )
    return index


def row_values(row: Row) -> Sequence[Any]:
    """The values as the driver gave them, without a copy: for code that reads thousands of rows by place."""
    return row._values

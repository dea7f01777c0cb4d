"""The SQL of a repository: identifiers only from the dataclass, values only as parameters."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from minihttp.db.errors import DataError, QueryError, UsageError
from minihttp.db.mapping import Mapper
from minihttp.db.sql import Style
from minihttp.db.statements import Statements


@dataclass
class Item:
    id: int
    name: str | None
    price: Decimal
    extra: dict[str, Any]
    odd__name: str = ""


def statements(engine: Style = "mysql", table: str = "item") -> Statements:
    return Statements(Mapper(Item), table, engine)


def where(engine: Style = "mysql", /, **filters: Any) -> tuple[str, dict[str, Any]]:
    made = statements(engine)
    conditions, params = made.filters(filters)
    return made.count(conditions).removeprefix("SELECT COUNT(*) FROM `item`").removeprefix(" WHERE "), params


@pytest.mark.parametrize(
    ("filters", "text", "params"),
    [
        ({}, "", {}),
        ({"name": "a"}, "`name` = :f0", {"f0": "a"}),
        ({"name": "a", "id": 1}, "`name` = :f0 AND `id` = :f1", {"f0": "a", "f1": 1}),
        ({"id__gte": 1, "id__lt": 9}, "`id` >= :f0 AND `id` < :f1", {"f0": 1, "f1": 9}),
        ({"id__gt": 1, "id__lte": 9}, "`id` > :f0 AND `id` <= :f1", {"f0": 1, "f1": 9}),
        ({"name__ne": "a"}, "`name` <> :f0", {"f0": "a"}),
        ({"name__like": "a%"}, "`name` LIKE :f0", {"f0": "a%"}),
        ({"name": None, "id": 2}, "`name` IS NULL AND `id` = :f1", {"f1": 2}),
        ({"name__ne": None}, "`name` IS NOT NULL", {}),
        ({"id": [1, 2]}, "`id` IN :f0", {"f0": [1, 2]}),
        ({"id": ()}, "`id` IN :f0", {"f0": []}),
        ({"id__ne": [1]}, "`id` NOT IN :f0", {"f0": [1]}),
        ({"name": ["a", None]}, "(`name` IN :f0 OR `name` IS NULL)", {"f0": ["a"]}),
        ({"name__ne": ["a", None]}, "(`name` NOT IN :f0 AND `name` IS NOT NULL)", {"f0": ["a"]}),
        ({"odd__name": "x"}, "`odd__name` = :f0", {"f0": "x"}),
        ({"odd__name__ne": "x"}, "`odd__name` <> :f0", {"f0": "x"}),
        ({"extra": None}, "`extra` IS NULL", {}),
        ({"price": 2}, "`price` = :f0", {"f0": Decimal(2)}),
    ],
)
def test_filters(filters: dict[str, Any], text: str, params: dict[str, Any]) -> None:
    assert where(**filters) == (text, params)


def test_what_sqlite_needs_apart() -> None:
    assert where("sqlite", name__like="a%")[0] == r"`name` LIKE :f0 ESCAPE '\'"
    assert where("sqlite", price__gt=Decimal(2))[0] == "CAST(`price` AS NUMERIC) > :f0"


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"nmae": "a"}, "Item has no field 'nmae'; did you mean 'name'"),
        ({"nmae__ne": "a"}, "Item has no field 'nmae'; did you mean 'name'"),
        ({"name` = 1 OR `id": 1}, "Item has no field"),
        ({"id__ge": 1}, "filter 'id__ge' has an unknown operator.*did you mean id__gte"),
        ({"id__zzz": 1}, "there are ne, gt, gte, lt, lte, like$"),
        ({"id__gt": None}, "can only be tested for None"),
        ({"name__like": None}, "can only be tested for None"),
        ({"extra": {}}, "can only be tested for None"),
        ({"id__like": 1}, "LIKE compares text"),
        ({"id__gt": [1]}, "is compared with a list"),
        ({"id": {1, 2}}, "field .id. is compared with a list or tuple, not with a set"),
    ],
)
def test_filters_that_are_refused(filters: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        where(**filters)


def test_a_filter_takes_only_values_of_its_field() -> None:
    for filters in ({"name": 0}, {"id": "1"}, {"id": [1, "2"]}, {"name__like": 5}):
        with pytest.raises(DataError, match=r"takes (str|int), not"):
            where(**filters)


def test_order() -> None:
    made = statements()
    for given, keys, text in (
        ((), ("id",), "`id`"),
        (None, ("id",), "`id`"),
        ("name", ("name", "id"), "`name`, `id`"),
        ("-name", ("-name", "-id"), "`name` DESC, `id` DESC"),
        (("-name", "id"), ("-name", "id"), "`name` DESC, `id`"),
        (("name", "-id", "price"), ("name", "-id"), "`name`, `id` DESC"),
        (["-price", "name"], ("-price", "name", "id"), "`price` DESC, `name`, `id`"),
    ):
        assert made.order(given) == keys
        assert made.select((), keys, False).endswith(f" FROM `item` ORDER BY {text}")
    assert (
        statements("sqlite")
        .select((), ("-price", "id"), True)
        .endswith("ORDER BY CAST(`price` AS NUMERIC) DESC, `id` LIMIT :limit OFFSET :offset")
    )


@pytest.mark.parametrize(
    "order_by",
    [
        "",
        "-",
        "--name",
        "+name",
        "name DESC",
        "name, id",
        "name; DROP TABLE item",
        "`name`",
        "Name",
        "1",
        ("name", "x"),
        (1,),
    ],
)
def test_any_other_order_is_refused(order_by: Any) -> None:
    with pytest.raises(QueryError, match="Item has no field"):
        statements().order(order_by)


def test_json_has_no_order() -> None:
    with pytest.raises(QueryError, match="cannot be sorted by 'extra', which is JSON"):
        statements().order("-extra")


def test_texts_are_made_once() -> None:
    made = statements()
    conditions, _ = made.filters({"name": "a"})
    again, _ = made.filters({"name": "b"})
    assert made.select(conditions, (), False) is made.select(again, (), False)
    assert made.update(("name",)) is made.update(("name",))


def test_the_texts_of_changes() -> None:
    made = statements()
    assert made.insert(2).endswith("VALUES (:p0, :p1, :p2, :p3, :p4), (:p5, :p6, :p7, :p8, :p9)")
    assert made.update(("name", "price")) == "UPDATE `item` SET `name` = :p0, `price` = :p1 WHERE `id` = :id"
    assert made.delete == "DELETE FROM `item` WHERE `id` = :id"
    assert made.upsert().endswith(
        " ON DUPLICATE KEY UPDATE `id` = IF(`id` = VALUES(`id`), `id`, (SELECT 1 UNION SELECT 2)), "
        "`name` = VALUES(`name`), `price` = VALUES(`price`), `extra` = VALUES(`extra`), "
        "`odd__name` = VALUES(`odd__name`)"
    )
    assert (
        statements("sqlite")
        .upsert()
        .endswith(
            " ON CONFLICT (`id`) DO UPDATE SET `name` = excluded.`name`, `price` = excluded.`price`, "
            "`extra` = excluded.`extra`, `odd__name` = excluded.`odd__name`"
        )
    )


def test_table_names() -> None:
    assert statements(table="shop.item").delete == "DELETE FROM `shop`.`item` WHERE `id` = :id"
    for table in ("", "a b", "a`b", "item; --", "a.b.c", "1a", "名", "a.", "x" * 65, "item\n"):
        with pytest.raises(UsageError, match="is no table name"):
            statements(table=table)

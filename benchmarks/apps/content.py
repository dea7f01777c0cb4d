"""What every application of the benchmark answers: the same values, the same checks.

Owns: the values, and the check by hand for frameworks whose documentation shows none of their own.
Must not know: any framework, nor which workload asks.
Invariant: an application that answers with these answers what every other does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLAIN = "Hello, world!"
OBJECT = {"id": 7, "name": "Ada Lovelace", "languages": ["English", "Français"], "active": True}
LARGE = ("0123456789abcde\n" * 4096).encode()  # 64 KiB
CHUNK = LARGE
CHUNKS = 1600  # of 64 KiB: 100 MiB
ROUTES = 100
TEMPLATES = Path(__file__).with_name("templates")
PEOPLE: list[dict[str, Any]] = [
    {"id": n, "name": f"Person <{n}> & Sons", "age": 20 + n, "city": "Zürich"} for n in range(1, 21)
]


@dataclass
class Line:
    sku: str
    quantity: int
    price: int


@dataclass
class Order:
    id: int
    customer: str
    lines: list[Line]
    note: str


def order(value: Any) -> Order:
    """What was read from JSON as an Order, checked by hand. Raises ValueError."""
    if not isinstance(value, dict) or value.keys() != {"id", "customer", "lines", "note"}:
        raise ValueError("not an order")
    lines = value["lines"]
    if not isinstance(lines, list):
        raise ValueError("lines: not a list")
    made = [line(each) for each in lines]
    if not (isinstance(value["id"], int) and isinstance(value["customer"], str) and isinstance(value["note"], str)):
        raise ValueError("a field of the wrong type")
    return Order(value["id"], value["customer"], made, value["note"])


def line(value: Any) -> Line:
    if not isinstance(value, dict) or value.keys() != {"sku", "quantity", "price"}:
        raise ValueError("not a line")
    sku, quantity, price = value["sku"], value["quantity"], value["price"]
    if not (isinstance(sku, str) and isinstance(quantity, int) and isinstance(price, int)):
        raise ValueError("a field of the wrong type")
    return Line(sku, quantity, price)


def receipt(order: Any) -> dict[str, int]:
    """The answer to an order, whatever class holds it."""
    return {"id": order.id, "lines": len(order.lines), "total": sum(each.quantity * each.price for each in order.lines)}


def chunks() -> Iterator[bytes]:
    for _ in range(CHUNKS):
        yield CHUNK

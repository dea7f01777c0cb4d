"""The order as pydantic models, for the frameworks whose documentation shows these.

Owns: the declaration.
Must not know: any framework.
Invariant: the fields are those of `content.Order`.
"""

from __future__ import annotations

import pydantic


class Line(pydantic.BaseModel):
    sku: str
    quantity: int
    price: int


class Order(pydantic.BaseModel):
    id: int
    customer: str
    lines: list[Line]
    note: str

"""Ways to a database, one a file: what a peer's documentation shows, and a driver by hand.

Each file has a class `Layer(url)` with `open`, `close`, `one(id)`, `twenty()` and `change(id, age)`. Rows are mappings.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any


def chosen() -> Any:
    """The layer that BENCH_LAYER names, on BENCH_DATABASE, not yet open; None where there is none."""
    name = os.environ.get("BENCH_LAYER")
    return import_module(f"benchmarks.layers.{name}").Layer(os.environ["BENCH_DATABASE"]) if name else None

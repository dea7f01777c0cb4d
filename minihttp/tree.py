"""The tree of routes: method and segments in, the most specific route out.

Owns: what a route is, its place in the tree, the order in which routes are tried.
Must not know: how routes are declared, or what a handler is beyond something to call.
Invariant: the more specific route wins whatever the order of registration, so one route can hide another only by
having its very form, which is an error that names both places.

Finding costs a step per segment, however many routes there are: a node holds its literal children in a dict and at
most one child per converter; paths without parameters have a dict of their own beside the tree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from .errors import ConfigError
from .patterns import PATH, Converter, Pattern

__all__ = ["ANY", "OnDisconnect", "Policy", "Route", "Tree"]

OnDisconnect = Literal["cancel", "finish"]

ANY: Final = "*"  # in place of a method: what is mounted takes all


@dataclass(frozen=True, slots=True)
class Policy:
    """What one route changes of the defaults; None leaves a default. Raises ConfigError for impossible values.

    `max_body` in bytes, `timeout` in seconds for the handler, `on_disconnect` "cancel" or "finish".
    """

    max_body: int | None = None
    timeout: float | None = None
    on_disconnect: OnDisconnect | None = None

    def __post_init__(self) -> None:
        if self.max_body is not None and self.max_body < 0:
            raise ConfigError(f"max_body is {self.max_body}: it must be at least 0 bytes")
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigError(f"timeout is {self.timeout}: it must be more than 0 seconds")
        if self.on_disconnect not in (None, "cancel", "finish"):
            raise ConfigError(f'on_disconnect is {self.on_disconnect!r}: it must be "cancel" or "finish"')


@dataclass(frozen=True, slots=True)
class Route:
    """One registered handler. `methods` of a mounted one is `{"*"}`; `where` is "file.py:12", its registration."""

    path: str
    methods: frozenset[str]
    handler: Callable[..., Any]
    name: str | None
    policy: Policy
    where: str
    is_async: bool
    pattern: Pattern

    def __str__(self) -> str:
        return f"{' '.join(sorted(self.methods))} {self.path}"


class Node:
    """One place in the tree of segments."""

    __slots__ = ("choices", "literals", "rest", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.choices: list[tuple[Converter, Node]] = []  # by rank
        self.routes: dict[str, Route] = {}  # by method, of paths that end here
        self.rest: dict[str, Route] = {}  # by method, of patterns that take all that follows

    def child(self, converter: Converter) -> Node:
        for known, node in self.choices:
            if known == converter:
                return node
        node = Node()
        self.choices.append((converter, node))
        self.choices.sort(key=lambda choice: choice[0].rank)
        return node


class Tree:
    """All routes by their patterns; `static` has the paths that need no search."""

    __slots__ = ("root", "static")

    def __init__(self) -> None:
        self.root = Node()
        self.static: dict[str, dict[str, Route]] = {}

    def add(self, route: Route) -> None:
        """Raises ConfigError where a route of the same form has one of its methods."""
        routes = self.leaf(route.pattern)
        for method, other in routes.items():
            taken = method in other.methods  # HEAD of a GET route may be replaced
            if taken and (method in route.methods or ANY in (method, *route.methods)):
                raise ConfigError(
                    f"{route.where}: {route} would never be reached, because {other} at {other.where} has the same "
                    "form: remove one of them, or change its path or method"
                )
        for method in route.methods:
            routes[method] = route
        if "GET" in route.methods:
            routes.setdefault("HEAD", route)
        literal = route.pattern.literal()
        if literal is not None:
            self.static[literal] = routes

    def leaf(self, pattern: Pattern) -> dict[str, Route]:
        node = self.root
        for part in pattern.parts:
            if isinstance(part, str):
                node = node.literals.setdefault(part, Node())
            elif part.converter is PATH:
                return node.rest
            else:
                node = node.child(part.converter)
        return node.routes

    def methods(self, segments: list[str]) -> set[str]:
        """All methods of all routes that match."""
        seen: set[str] = set()
        search(self.root, segments, 0, [], "", seen)
        return seen


def search(
    node: Node, segments: list[str], index: int, values: list[Any], method: str, seen: set[str] | None = None
) -> Route | None:
    """The route below `node` for the segments from `index` on; what its parameters take is appended to `values`.

    Depth first, literals before converters before `path`, and back where no route has the method. With `seen`, the
    methods of every match are noted there and none is taken, so that the search visits them all.
    """
    while index < len(segments):
        segment = segments[index]
        index += 1
        child = node.literals.get(segment)
        if not node.choices and not node.rest:  # no way back will be needed: most nodes are like this
            if child is None:
                return None
            node = child
            continue
        if child is not None and (route := search(child, segments, index, values, method, seen)) is not None:
            return route
        if segment and (route := search_choices(node, segments, index, values, method, seen)) is not None:
            return route
        route = take(node.rest, method, seen)
        if route is not None:
            values.append("/".join(segments[index - 1 :]))
        return route
    return take(node.routes, method, seen)


def search_choices(
    node: Node, segments: list[str], index: int, values: list[Any], method: str, seen: set[str] | None
) -> Route | None:
    for converter, child in node.choices:
        try:
            value = converter.parse(segments[index - 1])
        except ValueError:
            continue
        values.append(value)
        route = search(child, segments, index, values, method, seen)
        if route is not None:
            return route
        values.pop()
    return None


def take(routes: dict[str, Route], method: str, seen: set[str] | None) -> Route | None:
    if seen is not None:
        seen.update(routes)
        return None
    return routes.get(method) or routes.get(ANY)

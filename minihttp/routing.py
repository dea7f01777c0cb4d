"""Which handler answers a method and a path, and which path leads to a handler.

Owns: how routes are declared, what is checked then, and the order in which they are tried.
Must not know: requests, responses, the app, or how a handler is run; for it a handler is something to call.
Invariant: a path is split before it is decoded, so that `%2F` never becomes a separator; what could not work later is
an error where it is declared, naming the places in the program. The more specific route wins whatever the order of
registration, so one route can hide another only by having its very form, which is such an error.

Finding a path that was asked for before costs two dict look-ups, any other a step per segment, however many routes
there are. The memo is emptied when it is full: clients repeat themselves, so it is soon warm again.
Trade-off: a parameter of kind `path` stands only at the end of a pattern; elsewhere matching would have to try every
way to divide a path.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import isclass, iscoroutinefunction
from typing import Any, Final, Literal, TypedDict, TypeVar, Unpack
from urllib.parse import unquote_to_bytes

from .errors import ConfigError, HTTPError
from .headers import TOKEN
from .patterns import CONVERTERS, PATH, Converter, Pattern, check_handler

__all__ = ["METHODS", "Converter", "OnDisconnect", "Policy", "Route", "RouteOptions", "Router"]

H = TypeVar("H", bound=Callable[..., Any])
OnDisconnect = Literal["cancel", "finish"]

MEMO_ENTRIES = 1024
MEMO_PATH = 256  # characters; longer paths are rarely repeated and would make the memo large

METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class RouteOptions(TypedDict, total=False):
    """What every route decorator takes beside the path."""

    name: str | None
    max_body: int | None
    timeout: float | None
    on_disconnect: OnDisconnect | None


@dataclass(frozen=True, slots=True)
class Policy:
    """What one route changes of the defaults; None leaves a default. Raises ConfigError for impossible values.

    `max_body` in bytes, `timeout` in seconds for the handler, `on_disconnect` "cancel" or "finish".
    """

    max_body: int | None = None
    timeout: float | None = None
    on_disconnect: OnDisconnect | None = None

    def __post_init__(self) -> None:
        possible = (self.max_body or 0) >= 0 and (self.timeout is None or self.timeout > 0)
        if not possible or self.on_disconnect not in (None, "cancel", "finish"):
            raise ConfigError(f"{self}: max_body is 0 or more, timeout more than 0, on_disconnect cancel or finish")


@dataclass(frozen=True, slots=True)
class Route:
    """One registered handler; `where` is "file.py:12", its registration."""

    pattern: Pattern
    methods: frozenset[str]
    handler: Callable[..., Any]
    name: str | None
    policy: Policy | None  # None where nothing differs from the defaults
    where: str
    is_async: bool

    def __str__(self) -> str:
        return f"{' '.join(sorted(self.methods))} {self.pattern.text} ({self.where})"


Found = tuple[Route, tuple[Any, ...]]


class Node:
    """One place in the tree of segments."""

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.choices: dict[Converter, Node] = {}
        self.ways: tuple[tuple[Callable[[str], Any], bool, Node], ...] = ()  # the choices by rank, ready to be tried
        self.routes: dict[str, Route] = {}  # by method, of paths that end here

    def leaf(self, parts: Iterable[str | Converter]) -> dict[str, Route]:
        """The routes of one form, by method; the way to them is made where there is none."""
        node = self
        for part in parts:
            if isinstance(part, str):
                node = node.literals.setdefault(part, Node())
            else:
                child = node.choices.setdefault(part, Node())
                ranked = sorted(node.choices.items(), key=lambda choice: choice[0].rank)
                node.ways = tuple((converter.parse, converter is PATH, other) for converter, other in ranked)
                node = child
        return node.routes

    def find(self, segments: list[str], index: int, method: str, values: tuple[Any, ...]) -> Found | None:
        """The most specific route for the segments from `index` on, and what its parameters take.

        Depth first, literals before converters before `path`, and back where no route has the method.
        """
        node, count = self, len(segments)
        while index < count:
            segment = segments[index]
            index += 1
            child = node.literals.get(segment)
            for parse, takes_all, other in node.ways:
                if child is not None and (found := child.find(segments, index, method, values)) is not None:
                    return found
                child = None
                try:
                    value = parse("/".join(segments[index - 1 :]) if takes_all else segment)
                except ValueError:
                    continue
                end = count if takes_all else index
                if (found := other.find(segments, end, method, (*values, value))) is not None:
                    return found
            if child is None:
                return None
            node = child
        route = node.routes.get(method)
        return None if route is None else (route, values)


class Router:
    """Routes by path and method: `router = Router()`, then `@router.get("/users/{id:int}", name="user")`.

    A handler is called with the request and, by name, the parameters of its path; a class is a resource whose
    methods `get`, `post` and so on are the handlers of one instance. Converters are `str` (the default), `int`,
    `float`, `uuid`, `path` (all that follows, the only one with slashes) and those given here. Of routes that match,
    the first segment that differs decides: literal, then int, uuid, float, given ones, str, path.
    What was found for a path is remembered, but for parameters only while no converter is given: those may change
    their mind. Registering raises ConfigError, with both places, for whatever could not work later.
    """

    def __init__(self, *, converters: Mapping[str, Converter] | None = None) -> None:
        self._converters = {**(converters or {}), **CONVERTERS}
        self._root = Node()
        self._known: dict[str, dict[str, tuple[Route, dict[str, Any]]]] = {}  # by path, then by method
        self._is_plain = True  # no converter of the application's own, which might give another answer the next time
        self._routes: list[Route] = []
        self._names: dict[str, Route] = {}
        self._methods = {"HEAD"}
        self._frozen = ""

    # Registering

    def get(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for GET, and for HEAD unless that has its own: `@router.get("/users/{id:int}")`."""
        return self.route(path, ("GET",), **options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for POST."""
        return self.route(path, ("POST",), **options)

    def put(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for PUT."""
        return self.route(path, ("PUT",), **options)

    def patch(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for PATCH."""
        return self.route(path, ("PATCH",), **options)

    def delete(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for DELETE."""
        return self.route(path, ("DELETE",), **options)

    def head(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for HEAD, in place of the one for GET."""
        return self.route(path, ("HEAD",), **options)

    def options(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a handler for OPTIONS, in place of the automatic answer."""
        return self.route(path, ("OPTIONS",), **options)

    def route(self, path: str, methods: Iterable[str] = (), **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Register a function for several methods (GET if none are named), or a class for those that it has.

        `max_body` in bytes, `timeout` in seconds. Raises ConfigError for a pattern, name or handler that cannot work.
        """

        def register(handler: H) -> H:
            with at(caller()) as where:
                pattern = Pattern.parse(path, self._converters)
                policy = Policy(options.get("max_body"), options.get("timeout"), options.get("on_disconnect"))
                differs = policy if policy != Policy() else None
                name = options.get("name")
                for names, each in handlers(handler, methods):
                    self._add(Route(pattern, names, each, name, differs, where, iscoroutinefunction(each)))
            return handler

        return register

    def mount(self, prefix: str, handler: Callable[..., Any]) -> None:
        """Give all paths below the prefix, with any of `METHODS`, to a handler: `router.mount("/static", files)`.

        It is called with the rest of the path, decoded, as `path`: what reads files with it must refuse "..".
        """
        with at(caller()) as where:
            pattern = Pattern.parse("/{path:path}").below(prefix)
            self._add(Route(pattern, frozenset(METHODS), handler, None, None, where, iscoroutinefunction(handler)))

    def include(self, router: Router, prefix: str = "") -> None:
        """Take over the routes of another router, with a prefix before their paths; it accepts no more of them then."""
        with at(caller()) as where:
            router._frozen = router._frozen or f"it was included at {where}"
            for route in router:
                self._add(replace(route, pattern=route.pattern.below(prefix)))

    def freeze(self) -> None:
        """Accept no more routes: from now on requests are served."""
        self._frozen = self._frozen or f"it was put to service at {caller()}"

    def _add(self, route: Route) -> None:
        if self._frozen:
            raise ConfigError(f"this router takes no more routes, because {self._frozen}: register earlier")
        check_handler(route.handler, route.pattern)
        other = self._names.setdefault(route.name, route) if route.name is not None else route
        if (other.where, other.pattern) != (route.where, route.pattern):  # the methods of one class share a name
            raise ConfigError(f"{route} has name {route.name!r}, which {other} has already: give it another")
        routes = self._root.leaf(route.pattern.parts)
        for method in route.methods:
            other = routes.get(method, route)
            if other is not route and method in other.methods:  # HEAD of a GET route may be replaced
                raise ConfigError(f"{route} would never be reached, because {other} has the same form: change one")
            routes[method] = route
        if "GET" in route.methods:
            routes.setdefault("HEAD", route)
        self._is_plain &= all(each in CONVERTERS.values() for each in route.pattern.params.values())
        self._known.clear()
        self._methods |= route.methods
        self._routes.append(route)

    # Finding

    def find(self, method: str, raw_path: str) -> tuple[Route, dict[str, Any]] | None:
        """The route for a method and a path as it came, without query, and the parameters by name; or None.

        Raises HTTPError 400 for a path that cannot be decoded.
        """
        known = self._known.get(raw_path)
        if known and (again := known.get(method)) is not None:
            return again[0], again[1].copy()
        found = self.search(method, raw_path)
        if found is not None and (self._is_plain or not found[1]) and len(raw_path) <= MEMO_PATH:
            if known is not None:
                known[method] = found[0], found[1].copy()
            else:
                if len(self._known) >= MEMO_ENTRIES:
                    self._known.clear()
                # The first time only the path is noted: storing what was found would cost more than finding it again.
                self._known[raw_path] = {}
        return found

    def search(self, method: str, raw_path: str) -> tuple[Route, dict[str, Any]] | None:
        """The same, with no memory: for whoever looks on, from any thread, and is no client."""
        found = self._root.find(split(raw_path), 1, method, ())
        return found and (found[0], dict(zip(found[0].pattern.params, found[1])))  # noqa: B905  # as long by construction; strict= costs 10 %

    def allowed(self, raw_path: str) -> tuple[str, ...]:
        """The methods of the path, sorted, with HEAD and OPTIONS, as Allow has them; empty if there is no such path."""
        segments = split(raw_path)
        methods = {method for method in self._methods if self._root.find(segments, 1, method, ())}
        return tuple(sorted(methods | {"OPTIONS"})) if methods else ()

    def alternative(self, raw_path: str) -> str | None:
        """The same path with its last slash added or removed, if that one exists: where to redirect to (308)."""
        other = raw_path[:-1] if raw_path.endswith("/") else raw_path + "/"
        # As a Location, a path with two slashes in front would lead to another host.
        return other if not other.startswith("//") and self.allowed(other) else None

    def url_for(self, name: str, /, **params: Any) -> str:
        """The path of a named route: `router.url_for("user", id=7)` is `"/users/7"`.

        Raises LookupError for an unknown name, TypeError for a missing or unknown parameter and ValueError for a
        value that the path cannot hold.
        """
        if name not in self._names:
            raise LookupError(f"no route is named {name!r}: there are {', '.join(self._names)}")
        return self._names[name].pattern.build(params)

    def __iter__(self) -> Iterator[Route]:
        """All routes, in order of registration."""
        return iter(self._routes)


def split(raw_path: str) -> list[str]:
    """The decoded segments; none for what is no path, as the `*` of OPTIONS.

    The first, in front of the leading slash, is empty. The parser has checked that each % begins two digits.
    """
    segments = raw_path.split("/")
    if segments[0]:
        return []
    if "%" not in raw_path:
        return segments
    try:
        return [unquote_to_bytes(segment).decode() for segment in segments]
    except UnicodeError:
        raise HTTPError(400, "the path is not UTF-8") from None


def handlers(handler: Callable[..., Any], methods: Iterable[str]) -> list[tuple[frozenset[str], Callable[..., Any]]]:
    """A function for its methods; of a class the methods of one instance, which serves all requests."""
    if not isclass(handler):
        names = frozenset(method.upper() for method in methods) or frozenset(("GET",))
        if isinstance(methods, str) or not all(map(TOKEN.fullmatch, names)):
            raise ConfigError(f'methods is {methods!r}: name methods in a list, such as methods=["GET"]')
        return [(names, handler)]
    instance = handler()
    found = [method for method in METHODS if hasattr(instance, method.lower())]
    if methods or not found:
        raise ConfigError(f"{handler.__qualname__}: a class says its methods by having get, post and so on")
    return [(frozenset((method,)), getattr(instance, method.lower())) for method in found]


@contextmanager
def at(where: str) -> Iterator[str]:
    """Put the place in front of a ConfigError."""
    try:
        yield where
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def caller() -> str:
    """The place outside of this package that is calling, as "file.py:12"."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"

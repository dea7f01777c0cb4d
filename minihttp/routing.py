"""Which handler answers a method and a path, and which path leads to a handler.

Owns: how routes are declared, and the checks that come with it.
Must not know: requests, responses, the app, or how a handler is run; for it a handler is something to call.
Invariant: a path is split before it is decoded, so that `%2F` never becomes a separator; what could not work later is
an error where it is declared, naming the places in the program.

Finding a literal path costs one dict look-up. Trade-off: a parameter of kind `path` stands only at the end of a
pattern; elsewhere matching would have to try every way to divide a path.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from inspect import isclass
from typing import Any, Final, TypedDict, TypeVar, Unpack

from .errors import ConfigError
from .headers import TOKEN
from .patterns import CONVERTERS, Converter, Pattern, check_handler, decode_segment, is_async
from .tree import ANY, OnDisconnect, Policy, Route, Tree, search

__all__ = ["Converter", "OnDisconnect", "Policy", "Route", "RouteOptions", "Router"]

H = TypeVar("H", bound=Callable[..., Any])
METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
PACKAGE: Final = __name__.partition(".")[0]


class RouteOptions(TypedDict, total=False):
    """What every route decorator takes beside the path."""

    name: str | None
    max_body: int | None
    timeout: float | None
    on_disconnect: OnDisconnect | None


def split(raw_path: str) -> list[str] | None:
    """The decoded segments; None for what is no path, as the `*` of OPTIONS."""
    if not raw_path.startswith("/"):
        return None
    segments = raw_path[1:].split("/")
    return [decode_segment(segment) for segment in segments] if "%" in raw_path else segments


class Router:
    """Routes by path and method: `router = Router()`, then `@router.get("/users/{id:int}", name="user")`.

    A handler is called with the request and, by name, the parameters of its path; a class is a resource whose
    methods `get`, `post` and so on are the handlers of one instance. Converters are `str` (the default), `int`,
    `float`, `uuid`, `path` (all that follows, the only one with slashes) and those given here. Of routes that match,
    the first segment that differs decides: literal, then int, uuid, float, given ones, str, path.
    Registering raises ConfigError, with both places, for whatever could not work later.
    """

    def __init__(self, *, converters: Mapping[str, Converter] | None = None) -> None:
        for name in converters or {}:
            if name in CONVERTERS:
                raise ConfigError(f"converter {name!r} is built in: give yours another name")
        self._converters = {**CONVERTERS, **(converters or {})}
        self._tree = Tree()
        self._routes: list[Route] = []
        self._names: dict[str, Route] = {}
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

    def route(
        self,
        path: str,
        methods: Iterable[str] | None = None,
        *,
        name: str | None = None,
        max_body: int | None = None,
        timeout: float | None = None,
        on_disconnect: OnDisconnect | None = None,
    ) -> Callable[[H], H]:
        """Register a function for several methods (GET if none are named), or a class for those that it has.

        `max_body` in bytes, `timeout` in seconds. Raises ConfigError for a pattern, name or handler that cannot work.
        """
        where = caller()

        def register(handler: H) -> H:
            policy = at(where, Policy, max_body, timeout, on_disconnect)
            if isclass(handler):
                if methods is not None:
                    raise ConfigError(f"{where}: a class says its methods by having them: remove methods=")
                for method, bound in resource(handler, where):
                    self._register(path, frozenset({method}), bound, name, policy, where)
            else:
                self._register(path, check_methods(methods, where), handler, name, policy, where)
            return handler

        return register

    def mount(self, prefix: str, handler: Callable[..., Any]) -> None:
        """Give every method and all paths below the prefix to a handler: `router.mount("/static", files)`.

        It is called with the rest of the path, decoded, as `path`: what reads files with it must refuse "..".
        """
        where = caller()
        below = at(where, parse_prefix, prefix).text
        self._register(below + "/{path:path}", frozenset({ANY}), handler, None, Policy(), where)

    def include(self, router: Router, prefix: str = "") -> None:
        """Take over the routes of another router, with a prefix before their paths; it accepts no more of them then."""
        where = caller()
        self._check_open(where)
        if router is self:
            raise ConfigError(f"{where}: a router cannot include itself")
        router._frozen = router._frozen or f"it was included at {where}"
        pattern = at(where, parse_prefix, prefix)
        for route in router:
            below = route.pattern.below(pattern)
            self._add(replace(route, path=below.text, pattern=below))

    def freeze(self) -> None:
        """Accept no more routes: from now on requests are served."""
        self._frozen = self._frozen or f"it was put to service at {caller()}"

    def _register(
        self,
        path: str,
        methods: frozenset[str],
        handler: Callable[..., Any],
        name: str | None,
        policy: Policy,
        where: str,
    ) -> None:
        self._check_open(where)
        pattern = at(where, Pattern.parse, path, self._converters)
        at(where, check_handler, handler, pattern)
        self._add(Route(path, methods, handler, name, policy, where, is_async(handler), pattern))

    def _add(self, route: Route) -> None:
        if route.name is not None:
            other = self._names.setdefault(route.name, route)
            if (other.where, other.path) != (route.where, route.path):  # the methods of one class share a name
                raise ConfigError(
                    f"{route.where}: {route} has name {route.name!r}, which {other} at {other.where} has already: "
                    "give it another"
                )
        self._tree.add(route)
        self._routes.append(route)

    def _check_open(self, where: str) -> None:
        if self._frozen:
            raise ConfigError(f"{where}: this router takes no more routes, because {self._frozen}: register earlier")

    # Finding

    def find(self, method: str, raw_path: str) -> tuple[Route, dict[str, Any]] | None:
        """The route for a method and a path as it came, without query, and the parameters by name; or None.

        Raises HTTPError 400 for a path that cannot be decoded.
        """
        routes = self._tree.static.get(raw_path)
        if routes is not None:
            route = routes.get(method)
            if route is not None:
                return route, {}
        segments = split(raw_path)
        if segments is None:
            return None
        values: list[Any] = []
        route = search(self._tree.root, segments, 0, values, method)
        if route is None:
            return None
        return route, dict(zip(route.pattern.names, values))  # noqa: B905  # as long by construction; strict= costs 10 %

    def allowed(self, raw_path: str) -> tuple[str, ...]:
        """The methods of the path, sorted, with HEAD and OPTIONS, as Allow has them; empty if there is no such path."""
        segments = split(raw_path)
        methods = self._tree.methods(segments) if segments is not None else set()
        if ANY in methods:
            methods = (methods - {ANY}).union(METHODS)
        return tuple(sorted(methods | {"OPTIONS"})) if methods else ()

    def alternative(self, raw_path: str) -> str | None:
        """The same path with its last slash added or removed, if that one exists: where to redirect to (308)."""
        if raw_path.startswith("//"):
            return None  # as a Location it would lead to another host
        other = raw_path[:-1] if raw_path.endswith("/") else raw_path + "/"
        return other if self.allowed(other) else None

    def url_for(self, name: str, /, **params: Any) -> str:
        """The path of a named route: `router.url_for("user", id=7)` is `"/users/7"`.

        Raises LookupError for an unknown name, TypeError for a missing, unknown or ill-typed parameter and
        ValueError for a value that no path can hold.
        """
        route = self._names.get(name)
        if route is None:
            close = get_close_matches(name, self._names, 1)
            raise LookupError(f"no route is named {name!r}" + (f": did you mean {close[0]!r}?" if close else ""))
        return route.pattern.build(params)

    def routes(self) -> Iterator[Route]:
        """All routes, in order of registration."""
        return iter(self._routes)

    __iter__ = routes


R = TypeVar("R")


def at(where: str, check: Callable[..., R], *arguments: Any) -> R:
    """The result of the check; a ConfigError from it gets the place in front."""
    try:
        return check(*arguments)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def parse_prefix(prefix: str) -> Pattern:
    """The prefix of `include` and `mount`; "/" and "" are none."""
    if prefix in ("", "/"):
        return Pattern("", (), ())
    if prefix.endswith("/") or "{" in prefix:
        raise ConfigError(f"prefix {prefix!r} must not end in a slash nor have parameters: for example /admin")
    return Pattern.parse(prefix)


def check_methods(methods: Iterable[str] | None, where: str) -> frozenset[str]:
    if isinstance(methods, str):
        raise ConfigError(f'{where}: methods is the text {methods!r}: give a list, such as methods=["GET"]')
    given = frozenset(("GET",) if methods is None else (method.upper() for method in methods))
    bad = [method for method in given if not TOKEN.fullmatch(method) or method == ANY]
    if bad or not given:
        raise ConfigError(f"{where}: methods has {bad or 'nothing'}: name methods such as GET or POST")
    return given


def resource(cls: type, where: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The methods of one instance, which serves all requests."""
    try:
        instance = cls()
    except TypeError as error:
        raise ConfigError(f"{where}: {cls.__qualname__} cannot be made without arguments: {error}") from error
    found = [(method, getattr(instance, method.lower(), None)) for method in METHODS]
    handlers = [(method, handler) for method, handler in found if handler is not None]
    if not handlers:
        raise ConfigError(f"{where}: {cls.__qualname__} has no method get, post, put, patch, delete, head or options")
    yield from handlers


def caller() -> str:
    """The place outside of this package that is calling, as "file.py:12"."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"

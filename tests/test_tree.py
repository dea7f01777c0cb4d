"""The tree of routes: which one is found, and in what order."""

from __future__ import annotations

from typing import Any

import pytest

from minihttp.errors import ConfigError
from minihttp.patterns import CONVERTERS, Converter, Pattern
from minihttp.tree import ANY, Policy, Route, Tree, search

WORDS = {**CONVERTERS, "upper": Converter(str.upper), "digit": Converter(int, str, int)}


def route(path: str, *methods: str, where: str = "here:1") -> Route:
    names = frozenset(methods or ("GET",))
    return Route(path, names, print, None, Policy(), where, False, Pattern.parse(path, WORDS))


def tree_of(*routes: Route) -> Tree:
    tree = Tree()
    for each in routes:
        tree.add(each)
    return tree


def found(tree: Tree, path: str, method: str = "GET") -> tuple[str, list[Any]] | None:
    values: list[Any] = []
    route = search(tree.root, path[1:].split("/"), 0, values, method)
    return None if route is None else (route.path, values)


ORDER = ["/7", "/{a:int}", "/{a:uuid}", "/{a:float}", "/{a:digit}", "/{a}", "/{a:path}"]


@pytest.mark.parametrize("paths", [ORDER, ORDER[::-1], ORDER[3:] + ORDER[:3]])
def test_the_more_specific_wins_whatever_the_order_of_registration(paths: list[str]) -> None:
    tree = tree_of(*map(route, paths))
    assert found(tree, "/7") == ("/7", [])
    assert found(tree, "/8") == ("/{a:int}", [8])
    assert found(tree, "/1.5") == ("/{a:float}", [1.5])
    assert found(tree, "/1_0") == ("/{a:digit}", [10])
    assert found(tree, "/x") == ("/{a}", ["x"])
    assert found(tree, "/x/y") == ("/{a:path}", ["x/y"])
    assert found(tree, "/") == ("/{a:path}", [""])
    uuid = "00000000-0000-0000-0000-000000000001"
    assert found(tree, "/" + uuid) == ("/{a:uuid}", [CONVERTERS["uuid"].parse(uuid)])


def test_the_search_comes_back_from_where_it_leads_nowhere() -> None:
    tree = tree_of(
        route("/a/{x:int}/end"),
        route("/a/{x}/{y}/z"),
        route("/{w}/7/other"),
        route("/{rest:path}", "POST"),
    )
    assert found(tree, "/a/7/end") == ("/a/{x:int}/end", [7])
    assert found(tree, "/a/7/y/z") == ("/a/{x}/{y}/z", ["7", "y"])
    assert found(tree, "/a/7/other") == ("/{w}/7/other", ["a"])
    assert found(tree, "/a/7/none") is None
    assert found(tree, "/a/7/none", "POST") == ("/{rest:path}", ["a/7/none"])
    assert found(tree, "/a//end") is None


def test_a_route_without_the_method_hides_none_that_has_it() -> None:
    tree = tree_of(route("/users/me"), route("/users/{name}", "GET", "DELETE"))
    assert found(tree, "/users/me") == ("/users/me", [])
    assert found(tree, "/users/me", "DELETE") == ("/users/{name}", ["me"])
    assert found(tree, "/users/me", "PUT") is None
    assert tree.methods(["users", "me"]) == {"GET", "HEAD", "DELETE"}
    assert tree.methods(["users"]) == set()


def test_head() -> None:
    tree = tree_of(route("/a"), route("/b", "HEAD"), route("/b"), route("/c", "POST"))
    assert found(tree, "/a", "HEAD") == ("/a", [])
    assert tree.static["/b"]["HEAD"].methods == {"HEAD"}
    assert found(tree, "/c", "HEAD") is None
    tree.add(route("/a", "HEAD"))
    assert tree.static["/a"]["HEAD"].methods == {"HEAD"}


def test_any_method() -> None:
    tree = tree_of(route("/f/{path:path}", ANY), route("/f/exact"))
    assert found(tree, "/f/x", "PURGE") == ("/f/{path:path}", ["x"])
    assert found(tree, "/f/exact") == ("/f/exact", [])
    assert found(tree, "/f/exact", "POST") == ("/f/{path:path}", ["exact"])
    assert found(tree, "/f") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (route("/a"), route("/a", "GET", "PUT")),
        (route("/{a}"), route("/{b}")),
        (route("/{a:int}/x"), route("/{b:int}/x")),
        (route("/{a:path}"), route("/{b:path}", ANY)),
        (route("/{a:path}", ANY), route("/{b:path}", "POST")),
        (route("/{a:path}", ANY), route("/{b:path}", ANY)),
        (route("/a", "HEAD"), route("/a", "HEAD")),
    ],
)
def test_two_routes_of_one_form_are_an_error_that_names_both(one: Route, other: Route) -> None:
    tree = tree_of(one)
    with pytest.raises(ConfigError, match=r"^there:2: .* never be reached, because .* at here:1 has the same form"):
        tree.add(route(other.path, *other.methods, where="there:2"))


def test_different_forms_and_methods_are_no_error() -> None:
    tree = tree_of(route("/{a}"), route("/{a}", "POST"), route("/{a:int}"), route("/{a:float}"), route("/{a}/"))
    assert found(tree, "/x/") == ("/{a}/", ["x"])


@pytest.mark.parametrize(
    "policy", [{"max_body": -1}, {"timeout": 0}, {"timeout": float("nan")}, {"on_disconnect": "stop"}]
)
def test_impossible_policies(policy: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(policy))} is .*: it must be"):
        Policy(**policy)


def test_a_route_shows_itself() -> None:
    assert str(route("/a", "PUT", "GET")) == "GET PUT /a"
    assert Policy(0, 0.5, "finish").max_body == 0

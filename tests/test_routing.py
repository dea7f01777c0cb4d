"""Declaring routes, finding them, and back from a name to a path."""

from __future__ import annotations

import re
import sys
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minihttp.errors import ConfigError, HTTPError
from minihttp.patterns import CONVERTERS, Converter
from minihttp.routing import MEMO_ENTRIES, MEMO_PATH, METHODS, Policy, Router

DAY = Converter(date.fromisoformat, date)


async def show(request: Any, **params: Any) -> None: ...


def plain(request: Any) -> None: ...


def next_line() -> str:
    """The line below the one that calls this."""
    return f"{__file__}:{sys._getframe(1).f_lineno + 1}"


def path_found(router: Router, path: str, method: str = "GET") -> str | None:
    found = router.find(method, path)
    return found[0].pattern.text if found else None


# --- declaring


def test_each_method_has_its_decorator() -> None:
    router = Router()
    for method in ("get", "post", "put", "patch", "delete", "head", "options"):
        assert getattr(router, method)(f"/{method}")(show) is show
        found = router.find(method.upper(), f"/{method}")
        assert found is not None
        assert found[0].methods == {method.upper()}
        assert found[1] == {}


def test_what_a_route_knows() -> None:
    router = Router()

    @router.get("/users/{id:int}", name="user", max_body=10, timeout=1.5, on_disconnect="finish")
    async def user(request: Any, id: int) -> None: ...

    where = f"{__file__}:{user.__code__.co_firstlineno}"
    found = router.find("GET", "/users/7")
    assert found is not None
    route, params = found
    assert params == {"id": 7}
    assert (route.pattern.text, route.handler, route.name, route.is_async) == ("/users/{id:int}", user, "user", True)
    assert route.policy == Policy(10, 1.5, "finish")
    assert route.where == where
    assert list(router) == [route]
    assert str(route) == f"GET /users/{{id:int}} ({where})"


def test_plain_functions_are_handlers() -> None:
    router = Router()
    router.get("/")(plain)
    found = router.find("GET", "/")
    assert found is not None
    assert not found[0].is_async


def test_several_methods() -> None:
    router = Router()
    router.route("/a", methods=["get", "PURGE"])(show)
    router.route("/b")(show)
    assert path_found(router, "/a", "PURGE") == "/a"
    assert path_found(router, "/a", "GET") == "/a"
    assert path_found(router, "/a", "POST") is None
    assert path_found(router, "/b") == "/b"


@pytest.mark.parametrize(
    ("methods", "problem"), [("GET", "methods is 'GET': name methods in a list"), (["G T"], "G T"), ([""], r"\[''\]")]
)
def test_bad_methods(methods: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Router().route("/a", methods)(show)


def test_a_class_is_a_resource() -> None:
    router = Router()
    made: list[object] = []

    @router.route("/story/{id:int}", name="story", timeout=3)
    class Story:
        def __init__(self) -> None:
            made.append(self)

        async def get(self, request: Any, id: int) -> tuple[Any, int]:
            return self, id

        def delete(self, request: Any, id: int) -> tuple[Any, int]:
            return self, id

    assert len(made) == 1
    found, other = router.find("GET", "/story/7"), router.find("DELETE", "/story/7")
    assert found is not None
    assert other is not None
    assert found[0].is_async
    assert not other[0].is_async
    assert other[0].handler(None, **other[1]) == (made[0], 7)
    assert found[0].policy == other[0].policy == Policy(timeout=3)
    assert router.url_for("story", id=1) == "/story/1"
    assert router.allowed("/story/7") == ("DELETE", "GET", "HEAD", "OPTIONS")


def test_bad_resources() -> None:
    class Empty:
        pass

    class NeedsMore:
        def __init__(self, x: int) -> None: ...

    class Lacks:
        async def get(self, request: Any) -> None: ...

    with pytest.raises(ConfigError, match=r"test_routing\.py:\d+: .*Empty: a class says its methods by having get, "):
        Router().route("/")(Empty)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        Router().route("/")(NeedsMore)
    with pytest.raises(ConfigError, match=r"Lacks\.get with request, \['id'\]"):
        Router().route("/{id}")(Lacks)
    with pytest.raises(ConfigError, match="says its methods by having"):
        Router().route("/", ["GET"])(Lacks)


@pytest.mark.parametrize(
    "options", [{"max_body": -1}, {"timeout": 0}, {"timeout": float("nan")}, {"on_disconnect": "stop"}]
)
def test_errors_name_the_place(options: dict[str, Any]) -> None:
    router = Router()
    place = ""
    with pytest.raises(ConfigError) as caught:
        place = next_line()
        router.get("/", **options)(show)
    assert str(caught.value).startswith(place + ": Policy(")
    with pytest.raises(ConfigError, match=r"test_routing\.py:\d+: path 'x' must begin"):
        router.get("x")(show)
    with pytest.raises(ConfigError, match=r"test_routing\.py:\d+: path '/{id}' calls plain with request"):
        router.get("/{id}")(plain)


def test_duplicates_name_both_places() -> None:
    router = Router()
    first = next_line()
    router.get("/{a:int}")(show)
    second = ""
    with pytest.raises(ConfigError) as caught:
        second = next_line()
        router.route("/{b:int}", ["PUT", "GET"])(show)
    assert str(caught.value).startswith(f"{second}: GET PUT /{{b:int}} ({second}) would never be reached")
    assert f"because GET /{{a:int}} ({first}) has the same form" in str(caught.value)


def test_a_name_is_given_once() -> None:
    router = Router()
    first = next_line()
    router.get("/a", name="a")(show)
    with pytest.raises(ConfigError, match=re.escape(f"has name 'a', which GET /a ({first}) has already")):
        router.get("/b", name="a")(show)
    with pytest.raises(ConfigError, match="has name 'a'"):
        router.post("/a", name="a")(show)


def test_own_converters() -> None:
    router = Router(converters={"day": DAY})
    router.get("/{day:day}", name="day")(show)
    router.get("/{other}")(show)
    assert router.find("GET", "/2026-01-02") == (next(iter(router)), {"day": date(2026, 1, 2)})
    assert path_found(router, "/2026-13-02") == "/{other}"
    assert router.url_for("day", day=date(2026, 1, 2)) == "/2026-01-02"
    again = Router(converters={"int": DAY})  # what is built in stays
    again.get("/{id:int}")(show)
    assert path_found(again, "/2026-01-02") is None


# --- mount, include, freeze


def test_mount() -> None:
    router = Router()
    router.mount("/static", show)
    router.get("/static/own")(show)
    assert path_found(router, "/static/x", "PURGE") is None
    for method in METHODS:
        found = router.find(method, "/static/css/a%2Fb.css")
        assert found is not None
        assert found[1] == {"path": "css/a/b.css"}
        assert found[0].methods == set(METHODS)
    assert router.find("GET", "/static/") == (next(iter(router)), {"path": ""})
    assert path_found(router, "/static") is None
    assert router.alternative("/static") == "/static/"
    assert path_found(router, "/static/own") == "/static/own"
    assert path_found(router, "/static/own", "PUT") == "/static/{path:path}"
    assert router.allowed("/static/x") == ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


def test_mount_at_the_root() -> None:
    router = Router()
    router.mount("/", show)
    assert path_found(router, "/") == path_found(router, "/a/b") == "/{path:path}"


def test_mount_wants_a_handler_that_takes_the_path() -> None:
    with pytest.raises(ConfigError, match="calls plain with request"):
        Router().mount("/static", plain)


@pytest.mark.parametrize("prefix", ["static", "/static/", "/{x}", "/a%20b", "/../x"])
def test_bad_prefixes(prefix: str) -> None:
    with pytest.raises(ConfigError, match=r"test_routing\.py"):
        Router().mount(prefix, show)
    inner = Router()
    inner.get("/")(show)
    with pytest.raises(ConfigError, match=r"test_routing\.py"):
        Router().include(inner, prefix)


def test_include() -> None:
    inner = Router(converters={"day": DAY})
    inner.get("/{day:day}", name="day", timeout=2)(show)
    inner.get("/")(show)
    inner.mount("/files", show)
    middle = Router()
    middle.include(inner, "/api")
    outer = Router()
    outer.include(middle, prefix="/v1")
    outer.get("/x")(show)
    found = outer.find("GET", "/v1/api/2026-01-02")
    assert found is not None
    assert (found[0].pattern.text, found[0].policy.timeout) == ("/v1/api/{day:day}", 2)
    assert outer.url_for("day", day=date(2026, 1, 2)) == "/v1/api/2026-01-02"
    assert path_found(outer, "/v1/api/") == "/v1/api/"
    assert path_found(outer, "/v1/api") is None
    assert path_found(outer, "/v1/api/files/a/b") == "/v1/api/files/{path:path}"
    assert [route.pattern.text for route in outer][-1] == "/x"


def test_an_included_router_takes_no_more_routes() -> None:
    inner, outer = Router(), Router()
    place = next_line()
    outer.include(inner)
    with pytest.raises(ConfigError, match=f"because it was included at {place}"):
        inner.get("/late")(show)
    outer.get("/")(show)
    with pytest.raises(ConfigError, match="takes no more routes, because it was included"):
        outer.include(outer)
    Router().include(inner, "/again")


def test_included_routes_are_checked_too() -> None:
    inner, outer = Router(), Router()
    inner.get("/a", name="a")(show)
    outer.get("/x/a")(show)
    with pytest.raises(ConfigError, match=r"GET /x/a \(.* would never be reached, because GET /x/a \("):
        outer.include(inner, "/x")
    third = Router()
    third.include(inner, "/one")
    with pytest.raises(ConfigError, match=r"GET /two/a .* has name 'a', which GET /one/a"):
        third.include(inner, "/two")


def test_freeze() -> None:
    router = Router()
    place = next_line()
    router.freeze()
    router.freeze()
    with pytest.raises(ConfigError, match=f"put to service at {place}"):
        router.get("/")(show)
    with pytest.raises(ConfigError, match="takes no more routes"):
        router.mount("/x", show)
    inner = Router()
    inner.get("/")(show)
    with pytest.raises(ConfigError, match="takes no more routes"):
        router.include(inner)


# --- finding


def test_segments_are_matched_before_they_are_decoded() -> None:
    router = Router()
    router.get("/a/{name}")(show)
    router.get("/caf\u00e9")(show)
    router.get("/100%")(show)
    assert router.find("GET", "/a/x%2Fy") == (next(iter(router)), {"name": "x/y"})
    assert path_found(router, "/a%2Fx") is None
    assert path_found(router, "/%61/x") == "/a/{name}"
    assert path_found(router, "/caf%C3%A9") == "/caf\u00e9"
    assert path_found(router, "/100%25") == "/100%"


@pytest.mark.parametrize("path", ["/%ff", "/a/%ff", "/%ED%A0%80", "/%C0%AF", "/\ud800%41"])
def test_paths_that_cannot_be_decoded_are_400(path: str) -> None:
    router = Router()
    router.get("/100%")(show)
    router.get("/a/{name}")(show)
    for find in (lambda: router.find("GET", path), lambda: router.allowed(path), lambda: router.alternative(path)):
        with pytest.raises(HTTPError) as caught:
            find()
        assert caught.value.status == 400


def test_empty_segments_count() -> None:
    router = Router()
    router.get("/a/b")(show)
    router.get("/a/{x}/c")(show)
    assert path_found(router, "/a//b") is None
    assert path_found(router, "//a/b") is None
    assert path_found(router, "/a//c") is None


@pytest.mark.parametrize("path", ["", "*", "a", "example.org:443"])
def test_what_is_no_path_is_not_found(path: str) -> None:
    router = Router()
    router.mount("/", show)
    assert router.find("OPTIONS", path) is None
    assert router.allowed(path) == ()


def test_allowed() -> None:
    router = Router()
    router.get("/a/b")(show)
    router.put("/a/{x}")(show)
    assert router.allowed("/a/b") == ("GET", "HEAD", "OPTIONS", "PUT")
    assert router.allowed("/a/c") == ("OPTIONS", "PUT")
    assert router.allowed("/a") == ()
    assert path_found(router, "/a/b", "POST") is None
    assert path_found(router, "/a/b", "HEAD") == "/a/b"
    assert path_found(router, "/a/b", "PUT") == "/a/{x}"


def test_alternative() -> None:
    router = Router()
    router.get("/book")(show)
    router.post("/shelf/")(show)
    router.get("/")(show)
    router.get("//evil.example")(show)
    assert router.alternative("/book/") == "/book"
    assert router.alternative("/shelf") == "/shelf/"
    assert router.alternative("/%62ook/") == "/%62ook"
    assert router.alternative("/none") is None
    assert router.alternative("/book//") is None
    assert router.alternative("/") is None
    assert router.alternative("*") is None
    assert router.alternative("//evil.example/") is None


def test_huge_numbers_are_no_match() -> None:
    router = Router()
    router.get("/{id:int}")(show)
    assert path_found(router, "/" + "9" * 4000) == "/{id:int}"
    assert path_found(router, "/" + "9" * 4001) is None
    assert path_found(router, "/" + "9" * 100_000) is None


def test_finding_does_the_same_work_however_many_routes_there_are() -> None:
    calls: list[str] = []

    def noted(text: str) -> str:
        calls.append(text)
        return text

    for count in (1, 1000):
        calls.clear()
        router = Router(converters={"noted": Converter(noted, str)})
        for i in range(count):
            router.get(f"/r{i}/{{x:noted}}")(show)
        router.get("/{x:noted}")(show)
        assert path_found(router, "/r0/word") == "/r0/{x:noted}"
        assert path_found(router, "/r0/word/none") is None
        assert calls == ["word", "word", "r0"]


# --- asked for again


def test_a_path_asked_for_again_is_found_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router()
    router.get("/users/{id:int}/{name}")(show)
    router.get("/users")(plain)
    for path in ("/users/7/ada", "/users"):
        answers = [router.find("GET", path), router.find("GET", path)]
        with monkeypatch.context() as patch:
            patch.setattr(router, "_root", None)
            answers.append(router.find("GET", path))
        assert answers[0] is not None
        assert answers == [answers[0]] * 3


def test_of_a_path_that_came_once_nothing_more_is_kept() -> None:
    router = Router()
    router.get("/users/{id:int}")(show)
    router.find("GET", "/users/7")
    assert router._known == {"/users/7": {}}


def test_both_methods_of_a_path_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router()
    router.get("/a")(show)
    router.post("/a")(plain)
    for _ in range(2):
        answers = [router.find(method, "/a") for method in ("GET", "POST")]
    monkeypatch.setattr(router, "_root", None)
    assert [router.find(method, "/a") for method in ("GET", "POST")] == answers


def test_as_many_paths_in_turn_as_there_is_room_for_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router()
    router.get("/{name}")(show)
    paths = [f"/{number}" for number in range(MEMO_ENTRIES)]
    for _ in range(2):
        answers = [router.find("GET", path) for path in paths]
    monkeypatch.setattr(router, "_root", None)
    assert [router.find("GET", path) for path in paths] == answers


def test_whoever_only_looks_on_leaves_no_trace() -> None:
    router = Router()
    router.get("/{name}")(show)
    assert router.search("GET", "/a") == router.find("GET", "/a")
    known = dict(router._known)
    assert [router.search("GET", path) for path in ("/a", "/b")] != [None, None]
    assert router._known == known == {"/a": {}}


def test_a_literal_path_is_remembered_beside_a_converter_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router(converters={"day": DAY})
    router.get("/{day:day}")(show)
    router.get("/today")(plain)
    assert [path_found(router, "/today") for _ in range(2)] == ["/today"] * 2
    monkeypatch.setattr(router, "_root", None)
    assert path_found(router, "/today") == "/today"


def test_what_one_request_does_to_its_parameters_no_other_sees() -> None:
    router = Router()
    router.get("/users/{id:int}")(show)
    for _ in range(4):
        found = router.find("GET", "/users/7")
        assert found is not None
        assert found[1] == {"id": 7}
        found[1].clear()


def test_each_method_of_a_path_has_its_own_route() -> None:
    router = Router()
    router.get("/a")(show)
    router.post("/a")(plain)
    for _ in range(3):
        for method, handler in (("GET", show), ("POST", plain)):
            found = router.find(method, "/a")
            assert found is not None
            assert found[0].handler is handler
        assert router.find("PUT", "/a") is None


def test_a_route_registered_after_a_search_is_found() -> None:
    router = Router()
    router.get("/{name}")(show)
    for _ in range(3):
        assert path_found(router, "/a") == "/{name}"
    router.get("/a")(plain)
    assert path_found(router, "/a") == "/a"


def test_a_converter_of_ones_own_is_asked_each_time() -> None:
    words = {"new"}

    def known(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    inner = Router(converters={"known": Converter(known, str)})
    inner.get("/{word:known}")(show)
    inner.get("/{word}")(show)
    inner.get("/plain/{number:int}")(show)
    outer = Router()
    outer.include(inner)
    for router in (inner, outer):
        words.add("new")
        assert [path_found(router, "/new") for _ in range(3)] == ["/{word:known}"] * 3
        words.clear()
        assert [path_found(router, "/new") for _ in range(3)] == ["/{word}"] * 3
        words.add("new")
        assert path_found(router, "/new") == "/{word:known}"


def test_what_clients_ask_for_fills_no_memory() -> None:
    router = Router()
    router.get("/{name}")(show)
    for number in [*range(2000), *range(2000)]:
        for path in (f"/{number}", f"/{number}/none", f"/{number:0>300}"):
            for _ in range(2):
                router.find("GET", path)
        assert len(router._known) <= MEMO_ENTRIES
    assert all(len(path) <= MEMO_PATH and "none" not in path for path in router._known)


# --- which one is found


def router_of(*paths: str) -> Router:
    """A router with these routes, each a path, or methods and a path."""
    router = Router(converters={"digit": Converter(int, int)})
    for each in paths:
        *methods, path = each.split()
        router.route(path, methods)(show)
    return router


def what(router: Router, path: str, method: str = "GET") -> tuple[str, list[Any]] | None:
    found = router.find(method, path)
    return found and (found[0].pattern.text, list(found[1].values()))


ORDER = ["/7", "/{a:int}", "/{a:uuid}", "/{a:float}", "/{a:digit}", "/{a}", "/{a:path}"]


@pytest.mark.parametrize("paths", [ORDER, ORDER[::-1], ORDER[3:] + ORDER[:3]])
def test_the_more_specific_wins_whatever_the_order_of_registration(paths: list[str]) -> None:
    router = router_of(*paths)
    assert what(router, "/7") == ("/7", [])
    assert what(router, "/8") == ("/{a:int}", [8])
    assert what(router, "/1.5") == ("/{a:float}", [1.5])
    assert what(router, "/1_0") == ("/{a:digit}", [10])
    assert what(router, "/x") == ("/{a}", ["x"])
    assert what(router, "/x/y") == ("/{a:path}", ["x/y"])
    assert what(router, "/") == ("/{a:path}", [""])
    uuid = "00000000-0000-0000-0000-000000000001"
    assert what(router, "/" + uuid) == ("/{a:uuid}", [CONVERTERS["uuid"].parse(uuid)])


def test_the_search_comes_back_from_where_it_leads_nowhere() -> None:
    router = router_of("/a/{x:int}/end", "/a/{x}/{y}/z", "/{w}/7/other", "POST /{rest:path}")
    assert what(router, "/a/7/end") == ("/a/{x:int}/end", [7])
    assert what(router, "/a/7/y/z") == ("/a/{x}/{y}/z", ["7", "y"])
    assert what(router, "/a/7/other") == ("/{w}/7/other", ["a"])
    assert what(router, "/a/7/none") is None
    assert what(router, "/a/7/none", "POST") == ("/{rest:path}", ["a/7/none"])
    assert what(router, "/a//end") is None


def test_a_route_without_the_method_hides_none_that_has_it() -> None:
    router = router_of("/users/me", "GET DELETE /users/{name}")
    assert what(router, "/users/me") == ("/users/me", [])
    assert what(router, "/users/me", "DELETE") == ("/users/{name}", ["me"])
    assert what(router, "/users/me", "PUT") is None


def test_head() -> None:
    router = router_of("/a", "HEAD /b", "/b", "POST /c")
    assert what(router, "/a", "HEAD") == ("/a", [])
    assert what(router, "/c", "HEAD") is None
    router.head("/a")(show)
    for path in ("/a", "/b"):
        found = router.find("HEAD", path)
        assert found is not None
        assert found[0].methods == {"HEAD"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/a", "GET PUT /a"),
        ("/{a}", "/{b}"),
        ("/{a:int}/x", "/{b:int}/x"),
        ("POST /{a:path}", "POST /{b:path}"),
        ("HEAD /a", "HEAD /a"),
    ],
)
def test_two_routes_of_one_form_are_an_error(one: str, other: str) -> None:
    with pytest.raises(ConfigError, match=r" would never be reached, because .* has the same form"):
        router_of(one, other)


def test_different_forms_and_methods_are_no_error() -> None:
    router = router_of("/{a}", "POST /{a}", "/{a:int}", "/{a:float}", "/{a}/")
    assert what(router, "/x/") == ("/{a}/", ["x"])


# --- and back


def test_url_for() -> None:
    router = Router()
    router.get("/users/{id:int}/{name}", name="user")(show)
    assert router.url_for("user", id=7, name="a b") == "/users/7/a%20b"
    with pytest.raises(LookupError, match="no route is named 'usr': there are user"):
        router.url_for("usr")
    with pytest.raises(TypeError, match="needs the parameters"):
        router.url_for("user", name="a")


def everything() -> Router:
    router = Router(converters={"day": DAY})
    for kind in ("int", "float", "uuid", "str", "day"):
        router.get(f"/{kind}/{{x:{kind}}}/end", name=kind)(show)
        router.get(f"/{{x:{kind}}}")(show)
    router.get("/path/{x:path}", name="path")(show)
    router.get("/caf\u00e9", name="literal")(show)
    return router


ROUTER = everything()
DOTS = {".", ".."}
segments = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text not in DOTS)
anything = (
    st.tuples(st.just("int"), st.integers())
    | st.tuples(st.just("float"), st.floats(allow_nan=False, allow_infinity=False))
    | st.tuples(st.just("uuid"), st.uuids())
    | st.tuples(st.just("day"), st.dates())
    | st.tuples(st.just("str"), segments)
    | st.tuples(
        st.just("path"), st.text(st.characters(codec="utf-8")).filter(lambda text: not DOTS & set(text.split("/")))
    )
)


@given(anything)
def test_url_for_and_find_are_inverse(case: tuple[str, int | float | UUID | date | str]) -> None:
    name, value = case
    url = ROUTER.url_for(name, x=value)
    assert url.isascii()
    found = ROUTER.find("GET", url)
    assert found is not None
    assert (found[0].name, found[1]) == (name, {"x": value})
    assert type(found[1]["x"]) is type(value)


paths = st.text() | st.lists(
    st.sampled_from(["/", "%", "2F", "%2F", "%ff", "7", "1.5", "-", "int", "end", "path", "2026-01-02", "\ud800"])
).map(lambda pieces: "/" + "".join(pieces))


@given(paths)
def test_no_path_raises_anything_but_400(path: str) -> None:
    for call in (lambda: ROUTER.find("GET", path), lambda: ROUTER.allowed(path), lambda: ROUTER.alternative(path)):
        try:
            call()
        except HTTPError as error:
            assert error.status == 400

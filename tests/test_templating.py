"""Pages from templates: everything escaped, nothing missing, and errors that name the place."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateSyntaxError, UndefinedError
from markupsafe import Markup

from minihttp.errors import ConfigError
from minihttp.headers import Headers
from minihttp.options import Limits
from minihttp.request import Request
from minihttp.response import HTML, to_response
from minihttp.templating import Templates
from minihttp.wire.head import Fields

ATTACK = """<script>alert("1" + '2')</script>&"""


class Origin:
    client: tuple[str, int] | None = None
    scheme = "http"
    is_gone = False

    async def disconnected(self) -> None: ...

    def limit_handler(self, seconds: float | None) -> None: ...


class Application:
    state: Any = None

    def url_for(self, name: str, /, **params: Any) -> str:
        return f"/{name}s/{params['id']}"


class Page(HTMLParser):
    """Tags with their attributes, and the text, as a browser sees them."""

    def __init__(self, response: HTML) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(response.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def request_of_app() -> Request:
    request = Request(("GET", "/here", "", Fields(Headers(), 0, True, False, 1)), b"", Origin(), Limits())
    request.app = Application()
    return request


def templates_with(directory: Path, text: str, name: str = "page.html", **options: Any) -> Templates:
    (directory / name).write_text(text, encoding="utf-8")
    return Templates(directory, **options)


def test_a_template_becomes_a_page(tmp_path: Path) -> None:
    page = templates_with(tmp_path, "<p>你好, {{ name }}</p>").render("page.html", name="北京")
    assert isinstance(page, HTML)
    assert (page.status, page.content_type) == (200, "text/html; charset=utf-8")
    assert page.body.decode() == "<p>你好, 北京</p>"


def test_another_status_is_said_as_for_any_value(tmp_path: Path) -> None:
    response = to_response((templates_with(tmp_path, "gone").render("page.html"), 410))
    assert (response.status, response.body) == (410, b"gone")


def test_with_the_request_a_template_knows_it_and_the_urls(tmp_path: Path, request_of_app: Request) -> None:
    templates = templates_with(tmp_path, "{{ request.raw_path }} {{ url_for('user', id=id) }}")
    assert templates.render("page.html", request_of_app, id=7).body == b"/here /users/7"
    assert templates.render("page.html", request_of_app, id=7, url_for=lambda *_, **__: "own").body == b"/here own"
    with pytest.raises(UndefinedError, match="'request' is undefined"):
        templates.render("page.html", id=7)


def test_values_may_have_any_name(tmp_path: Path) -> None:
    assert templates_with(tmp_path, "{{ name }}{{ self_ }}").render("page.html", name="a", self_="b").body == b"ab"


@pytest.mark.parametrize("name", ["page.html", "page.txt", "page.xml", "page", "page.html.j2", "page.svg"])
def test_everything_is_escaped_whatever_the_template_is_called(tmp_path: Path, name: str) -> None:
    page = templates_with(tmp_path, "<p>{{ text }}</p>", name).render(name, text=ATTACK)
    seen = Page(page)
    assert [tag for tag, _ in seen.tags] == ["p"]
    assert seen.text == ATTACK
    assert b"<script" not in page.body


@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_value_cannot_leave_its_quoted_attribute(tmp_path: Path, quote: str) -> None:
    text = "\" onclick=\"x\" ' onfocus='y' >" + ATTACK
    page = templates_with(tmp_path, f"<a title={quote}{{{{ text }}}}{quote}>x</a>").render("page.html", text=text)
    assert Page(page).tags == [("a", [("title", text)])]


def test_included_inherited_and_imported_templates_are_escaped_too(tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text("<{% block body %}{% endblock %}>")
    (tmp_path / "part.txt").write_text("[{{ text }}]")
    (tmp_path / "macros.txt").write_text("{% macro m(x) %}({{ x }}){% endmacro %}")
    source = (
        "{% extends 'base.txt' %}{% from 'macros.txt' import m %}"
        "{% block body %}{% include 'part.txt' %}{{ m(text) }}{% endblock %}"
    )
    page = templates_with(tmp_path, source).render("page.html", text="<b>")
    assert page.body == b"<[&lt;b&gt;](&lt;b&gt;)>"


def test_only_what_the_program_marks_as_safe_is_not_escaped(tmp_path: Path) -> None:
    templates = templates_with(tmp_path, "{{ a }}{{ b | safe }}")
    assert templates.render("page.html", a=Markup("<i>"), b="<b>").body == b"<i><b>"


@dataclass
class User:
    name: str


def test_values_for_a_script_are_the_json_of_a_response_and_cannot_leave_it(tmp_path: Path) -> None:
    templates = templates_with(tmp_path, "<script>let x = {{ x | tojson }}</script>")
    page = templates.render("page.html", x=[User("</script><script>'北&"), None])
    assert page.body.decode() == (
        '<script>let x = [{"name":"\\u003c/script\\u003e\\u003cscript\\u003e\\u0027北\\u0026"},null]</script>'
    )


def test_globals_are_there_in_every_template_and_context_wins(tmp_path: Path) -> None:
    templates = templates_with(tmp_path, "{{ site }}{% include 'part' %}", globals={"site": "A"})
    (tmp_path / "part").write_text("{{ site }}")
    assert templates.render("page.html").body == b"AA"
    assert templates.render("page.html", site="B").body == b"BB"


@pytest.mark.parametrize(
    ("source", "name"),
    [("{{ user }}", "user"), ("{% if user %}{% endif %}", "user"), ("{{ a.nmae }}", "nmae"), ("{{ a['x'] }}", "x")],
)
def test_a_name_that_is_not_there_is_an_error_that_names_it(tmp_path: Path, source: str, name: str) -> None:
    with pytest.raises(UndefinedError, match=name):
        templates_with(tmp_path, source).render("page.html", a=User("x"))


def test_a_template_is_read_once_unless_it_is_to_be_reloaded(tmp_path: Path) -> None:
    kept = templates_with(tmp_path, "old")
    reloaded = Templates(str(tmp_path), auto_reload=True)
    assert (kept.render("page.html").body, reloaded.render("page.html").body) == (b"old", b"old")
    (tmp_path / "page.html").unlink()
    (tmp_path / "other").write_text("new")
    assert kept.render("page.html").body == b"old"
    with pytest.raises(LookupError):
        reloaded.render("page.html")


def test_a_missing_template_names_the_directory_and_the_nearest_name(tmp_path: Path) -> None:
    templates = templates_with(tmp_path, "{% include part %}", "users.html")
    with pytest.raises(LookupError) as caught:
        templates.render("user.html")
    assert str(caught.value) == f"there is no template 'user.html' in {tmp_path}: did you mean 'users.html'?"
    with pytest.raises(LookupError) as caught:
        templates.render("users.html", part="qqq")
    assert str(caught.value) == f"there is no template 'qqq' in {tmp_path}"


@pytest.mark.parametrize("name", ["../secret.html", "/etc/passwd", "a/../../secret.html", "\0", ""])
def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.html").write_text("secret")
    (tmp_path / "inner").mkdir()
    with pytest.raises((LookupError, ValueError, OSError)):
        templates_with(tmp_path / "inner", "x").render(name)


def test_a_template_with_wrong_syntax_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        templates_with(tmp_path, "fine\n{% if %}").render("page.html")
    assert (caught.value.filename, caught.value.lineno) == (str(tmp_path / "page.html"), 2)


def test_an_error_of_the_application_passes_through(tmp_path: Path) -> None:
    def fail() -> None:
        raise LookupError("no route is named 'usr'")

    with pytest.raises(LookupError, match="no route is named"):
        templates_with(tmp_path, "{{ fail() }}").render("page.html", fail=fail)


def test_a_directory_that_is_none_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    for wrong in ("templates", "file"):
        with pytest.raises(ConfigError) as caught:
            Templates(wrong)
        assert str(tmp_path / wrong) in str(caught.value)
        assert "Path(__file__).parent" in str(caught.value)


def test_a_later_change_of_the_working_directory_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pages").mkdir()
    monkeypatch.chdir(tmp_path)
    templates = templates_with(Path("pages"), "x")
    monkeypatch.chdir("/")
    assert templates.render("page.html").body == b"x"


def test_a_missing_extra_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigError) as caught:
        Templates(tmp_path)
    assert 'pip install "minihttp-asyncio[templates]"' in str(caught.value)
    assert isinstance(caught.value.__cause__, ImportError)

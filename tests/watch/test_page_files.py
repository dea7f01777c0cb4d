"""The files of /_loop: what they refer to exists, and nothing outside is asked."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from minihttp.watch import tour
from minihttp.watch.records import KINDS, State

FOLDER = Path(tour.__file__).parent / "page"
FILES = {file.name: file.read_text() for file in FOLDER.iterdir()}
NAMESPACE = "http://www.w3.org/2000/svg"  # a name, never fetched


def test_no_outside_address_is_reached() -> None:
    assert set(FILES) == {"index.html", "page.css", "page.js", "picture.js", "look.js", "store.js", "tour.js"}
    for name, text in FILES.items():
        rest = text.replace(NAMESPACE, "")
        assert not re.search(r"""https?:|//[a-z]+\.|@import|(?:src|href)="(?!/_loop)""", rest), name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\bon\w+=\"", rest), name


def test_every_element_that_the_script_asks_for_is_on_the_page() -> None:
    found: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.update(value for key, value in attrs if key == "id" and value)

    Reader().feed(FILES["index.html"])
    asked = set(re.findall(r'\$\("([\w-]+)"\)', FILES["page.js"]))
    assert len(asked) > 10
    assert asked <= found


def test_every_module_and_file_that_is_referred_to_is_there() -> None:
    asked = set(re.findall(r'(?:from |import\()"\./([\w.]+)"', "".join(FILES.values())))
    asked |= set(re.findall(r'"/_loop/([\w]+\.(?:js|css))"', FILES["index.html"]))
    assert asked == set(FILES) - {"index.html"}


def test_each_kind_of_wait_has_its_look_and_each_state_its_words() -> None:
    kind = r'^  (\w+): \["#[0-9a-f]{6}", (\d+), "(\w+)", "[^"]+"\],$'
    looks = re.findall(kind, FILES["look.js"], re.M)
    names = [name for name, _, _ in looks]
    assert names == list(dict.fromkeys(names))
    assert set(names) == set(KINDS)
    words = FILES["picture.js"].partition("function tipOf(")[2]
    assert set(re.findall(r"^    (\w+): `", words, re.M)) == {state.value for state in State}
    # Without its color, too, no kind looks like another. Dots and crosses are the same after a quarter of a turn.
    shapes = [(texture, int(angle) % (90 if texture in ("dots", "cross") else 180)) for _, angle, texture in looks]
    assert len(set(shapes)) == len(shapes)
    assert "90" not in {angle for _, angle, _ in looks}, "that looks like the frame of who could go on"
    textures = re.findall(r'^  (\w+): \[\d+, "M[^"]+z"\],$', FILES["look.js"], re.M)
    assert sorted(textures) == sorted({texture for texture, _ in shapes})


def test_the_tour_asks_for_what_there_is() -> None:
    asked = set(re.findall(r'\["(\w+)", \d+\]', FILES["tour.js"]))
    assert asked == set(tour.Tour(list).names) - {"large"}, "the slow client asks for that"
    assert f'"{tour.HEADER}"' in FILES["tour.js"]


def test_the_tour_says_how_long_what_it_asks_for_takes() -> None:
    assert tour.WAIT < tour.LONG / 2, "who waits could go on for most of the time"
    assert FILES["tour.js"].count(f"{tour.WAIT * 1000:.0f} ms, as before") == 1
    assert FILES["tour.js"].count(f"time.sleep({tour.LONG})") == 2
    assert f"a database connection for {tour.QUERY * 1000:.0f} ms" in FILES["tour.js"]

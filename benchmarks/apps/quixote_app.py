"""Quixote: on gunicorn; paths are walked, one object a segment.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from quixote import get_field, get_request, get_response
from quixote.directory import Directory
from quixote.html import htmltext
from quixote.http_response import Stream
from quixote.publish import Publisher
from quixote.wsgi import QWIP

from benchmarks.apps import content


def as_json(value: Any) -> str:
    get_response().set_content_type("application/json", "utf-8")
    return json.dumps(value)


class Posts(Directory):
    def __init__(self, id: int) -> None:
        self.id = id

    def _q_lookup(self, slug: str) -> str:
        return as_json({"id": self.id, "slug": slug, "page": int(get_field("page"))})


class User(Directory):
    _q_exports: ClassVar = ["posts"]

    def __init__(self, id: int) -> None:
        self.posts = Posts(id)


class Users(Directory):
    def _q_lookup(self, id: str) -> User:
        return User(int(id))


class Numbered(Directory):
    def _q_lookup(self, id: str) -> str:
        return as_json({"id": int(id)})


class Root(Directory):
    _q_exports: ClassVar = ["plaintext", "json", "users", "orders", "large", "download", "page"]
    users = Users()

    def plaintext(self) -> str:
        get_response().set_content_type("text/plain", "utf-8")
        return content.PLAIN

    def json(self) -> str:
        return as_json(content.OBJECT)

    def orders(self) -> str:
        request = get_request()
        body = request.stdin.read(int(request.get_environ("CONTENT_LENGTH")))
        return as_json(content.receipt(content.order(json.loads(body))))

    def large(self) -> bytes:
        get_response().set_content_type("text/plain")
        return content.LARGE

    def download(self) -> Stream:
        made: Iterator[bytes] = content.chunks()
        get_response().set_content_type("application/octet-stream")
        return Stream(
            made, content.CHUNKS * len(content.CHUNK)
        )  # without a length it would chunk, as gunicorn does already

    def page(self) -> htmltext:
        # What a page in PTL is compiled to: literals that are safe, values that are escaped.
        row = htmltext("<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n")
        rows = [row % (each["id"], each["name"], each["age"], each["city"]) for each in content.PEOPLE]
        head = htmltext("<!doctype html>\n<title>%s</title>\n<table>\n") % "People"
        return head + htmltext("").join(rows) + htmltext("</table>\n")


for number in range(content.ROUTES):
    Root._q_exports.append(f"r{number}")
    setattr(Root, f"r{number}", Numbered())

publisher = Publisher(Root())
publisher.is_thread_safe = True  # gunicorn runs it in one thread, although not in the main one
app = QWIP(publisher)

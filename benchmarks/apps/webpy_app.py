"""web.py: on gunicorn; its own templates.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import web

from benchmarks.apps import content

template = web.template.Template((content.TEMPLATES / "webpy.html").read_text(), filter=web.websafe)


def as_json(value: Any) -> str:
    web.header("Content-Type", "application/json")
    return json.dumps(value)


class Plaintext:
    def GET(self) -> str:
        web.header("Content-Type", "text/plain; charset=utf-8")
        return content.PLAIN


class Json:
    def GET(self) -> str:
        return as_json(content.OBJECT)


class Post:
    def GET(self, id: str, slug: str) -> str:
        return as_json({"id": int(id), "slug": slug, "page": int(web.input().page)})


class Order:
    def POST(self) -> str:
        return as_json(content.receipt(content.order(json.loads(web.data()))))


class Large:
    def GET(self) -> bytes:
        web.header("Content-Type", "text/plain")
        return content.LARGE


class Upload:
    def POST(self) -> str:
        return str(len(web.data()))


class Download:
    def GET(self) -> Iterator[bytes]:
        web.header("Content-Type", "application/octet-stream")
        yield from content.chunks()


class Page:
    def GET(self) -> Any:
        web.header("Content-Type", "text/html; charset=utf-8")
        return template("People", content.PEOPLE)


class Numbered:
    def GET(self, id: str) -> str:
        return as_json({"id": int(id)})


routes: list[Any] = ["/plaintext", Plaintext, "/json", Json, r"/users/(\d+)/posts/([^/]+)", Post, "/orders", Order]
routes += ["/large", Large, "/upload", Upload, "/download", Download, "/page", Page]
for number in range(content.ROUTES):
    routes += [rf"/r{number}/(\d+)", Numbered]

app = web.application(routes, autoreload=False).wsgifunc()

"""Bottle: on gunicorn; its own templates.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bottle

from benchmarks.apps import content

app = bottle.Bottle()
request, response = bottle.request, bottle.response
page_template = bottle.SimpleTemplate((content.TEMPLATES / "bottle.html").read_text())


@app.get("/plaintext")
def plaintext() -> str:
    response.content_type = "text/plain"
    return content.PLAIN


@app.get("/json")
def object() -> Any:
    return content.OBJECT


@app.get("/users/<id:int>/posts/<slug>")
def post(id: int, slug: str) -> Any:
    return {"id": id, "slug": slug, "page": int(request.query.page)}


@app.post("/orders")
def order() -> Any:
    return content.receipt(content.order(request.json))


@app.get("/large")
def large() -> bytes:
    response.content_type = "text/plain"
    return content.LARGE


@app.post("/upload")
def upload() -> str:
    body, size = request.body, 0  # each `request.body` starts again from the beginning
    while chunk := body.read(65536):
        size += len(chunk)
    return str(size)


@app.get("/download")
def download() -> Iterator[bytes]:
    response.content_type = "application/octet-stream"
    return content.chunks()


@app.get("/page")
def page() -> str:
    return page_template.render(title="People", people=content.PEOPLE)


def numbered(id: int) -> Any:
    return {"id": id}


for number in range(content.ROUTES):
    app.get(f"/r{number}/<id:int>")(numbered)

"""BlackSheep: on uvicorn; what comes in is bound to a pydantic model, since a dataclass gets no lines.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

import jinja2
from blacksheep import Application, Content, FromJSON, Request, Response, StreamedContent, html, json, text

from benchmarks import layers
from benchmarks.apps import content
from benchmarks.apps.models import Order

app = Application()
templates = jinja2.Environment(loader=jinja2.FileSystemLoader(content.TEMPLATES), autoescape=True, auto_reload=False)
db = layers.chosen()
get, post = app.router.get, app.router.post

if db is not None:

    @app.on_start
    async def connect(app: Application) -> None:
        await db.open()


@get("/plaintext")
async def plaintext() -> Response:
    return text(content.PLAIN)


@get("/json")
async def object() -> Response:
    return json(content.OBJECT)


@get("/users/{id}/posts/{slug}")
async def show_post(id: int, slug: str, page: int) -> Response:
    return json({"id": id, "slug": slug, "page": page})


@post("/orders")
async def order(order: FromJSON[Order]) -> Response:
    return json(content.receipt(order.value))


@get("/large")
async def large() -> Response:
    return Response(200, content=Content(b"text/plain", content.LARGE))


@post("/upload")
async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return text(str(size))


async def chunks() -> AsyncIterable[bytes]:
    for chunk in content.chunks():
        yield chunk


@get("/download")
async def download() -> Response:
    return Response(200, content=StreamedContent(b"application/octet-stream", chunks))


@get("/page")
async def page() -> Response:
    return html(templates.get_template("page.html").render(title="People", people=content.PEOPLE))


@get("/db/{id}")
async def one(id: int) -> Response:
    return json(await db.one(id))


@get("/db")
async def twenty() -> Response:
    return json(await db.twenty())


@post("/db/{id}")
async def change(id: int, request: Request) -> Response:
    value: Any = await request.json()
    await db.change(id, value["age"])
    return json({"id": id, "age": value["age"]})


async def numbered(id: int) -> Response:
    return json({"id": id})


for number in range(content.ROUTES):
    app.router.add_get(f"/r{number}/{{id}}", numbered)

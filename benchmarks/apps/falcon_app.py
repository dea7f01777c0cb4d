"""Falcon: its ASGI application on uvicorn.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import falcon.asgi
import jinja2

from benchmarks import layers
from benchmarks.apps import content

Request, Response = falcon.asgi.Request, falcon.asgi.Response
templates = jinja2.Environment(loader=jinja2.FileSystemLoader(content.TEMPLATES), autoescape=True, auto_reload=False)
db = layers.chosen()


class Plaintext:
    async def on_get(self, request: Request, response: Response) -> None:
        response.content_type = falcon.MEDIA_TEXT
        response.text = content.PLAIN


class Json:
    async def on_get(self, request: Request, response: Response) -> None:
        response.media = content.OBJECT


class Post:
    async def on_get(self, request: Request, response: Response, id: int, slug: str) -> None:
        response.media = {"id": id, "slug": slug, "page": request.get_param_as_int("page", required=True)}


class Order:
    async def on_post(self, request: Request, response: Response) -> None:
        response.media = content.receipt(content.order(await request.get_media()))


class Large:
    async def on_get(self, request: Request, response: Response) -> None:
        response.content_type = falcon.MEDIA_TEXT
        response.data = content.LARGE


class Upload:
    async def on_post(self, request: Request, response: Response) -> None:
        size = 0
        async for chunk in request.stream:
            size += len(chunk)
        response.text = str(size)


async def chunks() -> AsyncIterator[bytes]:
    for chunk in content.chunks():
        yield chunk


class Download:
    async def on_get(self, request: Request, response: Response) -> None:
        response.content_type = "application/octet-stream"
        response.stream = chunks()


class Page:
    async def on_get(self, request: Request, response: Response) -> None:
        response.content_type = falcon.MEDIA_HTML
        response.text = templates.get_template("page.html").render(title="People", people=content.PEOPLE)


class One:
    async def on_get(self, request: Request, response: Response, id: int) -> None:
        response.media = await db.one(id)

    async def on_post(self, request: Request, response: Response, id: int) -> None:
        age = (await request.get_media())["age"]
        await db.change(id, age)
        response.media = {"id": id, "age": age}


class Twenty:
    async def on_get(self, request: Request, response: Response) -> None:
        response.media = await db.twenty()


class Numbered:
    async def on_get(self, request: Request, response: Response, id: int) -> None:
        response.media = {"id": id}


class Connect:
    async def process_startup(self, scope: Any, event: Any) -> None:
        await db.open()


app = falcon.asgi.App(middleware=[Connect()] if db is not None else [])
app.add_route("/plaintext", Plaintext())
app.add_route("/json", Json())
app.add_route("/users/{id:int}/posts/{slug}", Post())
app.add_route("/orders", Order())
app.add_route("/large", Large())
app.add_route("/upload", Upload())
app.add_route("/download", Download())
app.add_route("/page", Page())
app.add_route("/db/{id:int}", One())
app.add_route("/db", Twenty())
for number in range(content.ROUTES):
    app.add_route(f"/r{number}/{{id:int}}", Numbered())

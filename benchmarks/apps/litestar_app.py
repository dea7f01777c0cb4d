"""Litestar: on uvicorn; what comes in is checked by msgspec.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.response import Stream, Template
from litestar.template.config import TemplateConfig

from benchmarks import layers
from benchmarks.apps import content

db = layers.chosen()


@get("/plaintext", media_type=MediaType.TEXT)
async def plaintext() -> str:
    return content.PLAIN


@get("/json")
async def object() -> dict[str, Any]:
    return content.OBJECT


@get("/users/{id:int}/posts/{slug:str}")
async def show_post(id: int, slug: str, page: int) -> dict[str, Any]:
    return {"id": id, "slug": slug, "page": page}


@post("/orders", status_code=200)
async def order(data: content.Order) -> dict[str, int]:
    return content.receipt(data)


@get("/large")
async def large() -> Response[bytes]:
    return Response(content.LARGE, media_type=MediaType.TEXT)


@post("/upload", status_code=200, media_type=MediaType.TEXT, request_max_body_size=None)
async def upload(request: Request[Any, Any, Any]) -> str:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return str(size)


async def chunks() -> AsyncIterator[bytes]:
    for chunk in content.chunks():
        yield chunk


@get("/download")
async def download() -> Stream:
    return Stream(chunks(), media_type="application/octet-stream")


@get("/page")
async def page() -> Template:
    return Template("page.html", context={"title": "People", "people": content.PEOPLE})


@get("/db/{id:int}")
async def one(id: int) -> dict[str, Any]:
    row: dict[str, Any] = await db.one(id)
    return row


@get("/db")
async def twenty() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = await db.twenty()
    return rows


@post("/db/{id:int}", status_code=200)
async def change(id: int, data: dict[str, int]) -> dict[str, int]:
    await db.change(id, data["age"])
    return {"id": id, "age": data["age"]}


@get([f"/r{number}/{{id:int}}" for number in range(content.ROUTES)])
async def numbered(id: int) -> dict[str, int]:
    return {"id": id}


async def connect() -> None:
    if db is not None:
        await db.open()


app = Litestar(
    [plaintext, object, show_post, order, large, upload, download, page, one, twenty, change, numbered],
    template_config=TemplateConfig(directory=Path(content.TEMPLATES), engine=JinjaTemplateEngine),
    on_startup=[connect],
    openapi_config=None,
)

"""FastAPI: on uvicorn; what comes in is checked by pydantic.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pydantic
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from fastapi.templating import Jinja2Templates

from benchmarks import layers
from benchmarks.apps import content
from benchmarks.apps.models import Order

templates = Jinja2Templates(content.TEMPLATES)
db = layers.chosen()


class Change(pydantic.BaseModel):
    age: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    if db is not None:
        await db.open()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/plaintext", response_class=PlainTextResponse)
async def plaintext() -> str:
    return content.PLAIN


@app.get("/json")
async def object() -> dict[str, Any]:
    return content.OBJECT


@app.get("/users/{id}/posts/{slug}")
async def post(id: int, slug: str, page: int) -> dict[str, Any]:
    return {"id": id, "slug": slug, "page": page}


@app.post("/orders")
async def order(order: Order) -> dict[str, int]:
    return content.receipt(order)


@app.get("/large")
async def large() -> Response:
    return Response(content.LARGE, media_type="text/plain")


@app.post("/upload", response_class=PlainTextResponse)
async def upload(request: Request) -> str:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return str(size)


async def chunks() -> AsyncIterator[bytes]:
    for chunk in content.chunks():
        yield chunk


@app.get("/download")
async def download() -> StreamingResponse:
    return StreamingResponse(chunks(), media_type="application/octet-stream")


@app.get("/page", response_class=HTMLResponse)
async def page(request: Request) -> Response:
    return templates.TemplateResponse(request, "page.html", {"title": "People", "people": content.PEOPLE})


@app.get("/db/{id}")
async def one(id: int) -> dict[str, Any]:
    row: dict[str, Any] = await db.one(id)
    return row


@app.get("/db")
async def twenty() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = await db.twenty()
    return rows


@app.post("/db/{id}")
async def change(id: int, change: Change) -> dict[str, int]:
    await db.change(id, change.age)
    return {"id": id, "age": change.age}


async def numbered(id: int) -> dict[str, int]:
    return {"id": id}


for number in range(content.ROUTES):
    app.get(f"/r{number}/{{id}}")(numbered)

"""Starlette: on uvicorn.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from benchmarks import layers
from benchmarks.apps import content

templates = Jinja2Templates(content.TEMPLATES)
db = layers.chosen()


async def plaintext(request: Request) -> Response:
    return PlainTextResponse(content.PLAIN)


async def object(request: Request) -> Response:
    return JSONResponse(content.OBJECT)


async def post(request: Request) -> Response:
    found = request.path_params
    return JSONResponse({"id": found["id"], "slug": found["slug"], "page": int(request.query_params["page"])})


async def order(request: Request) -> Response:
    return JSONResponse(content.receipt(content.order(await request.json())))


async def large(request: Request) -> Response:
    return Response(content.LARGE, media_type="text/plain")


async def upload(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return PlainTextResponse(str(size))


async def chunks() -> AsyncIterator[bytes]:
    for chunk in content.chunks():
        yield chunk


async def download(request: Request) -> Response:
    return StreamingResponse(chunks(), media_type="application/octet-stream")


async def page(request: Request) -> Response:
    return templates.TemplateResponse(request, "page.html", {"title": "People", "people": content.PEOPLE})


async def one(request: Request) -> Response:
    return JSONResponse(await db.one(request.path_params["id"]))


async def twenty(request: Request) -> Response:
    return JSONResponse(await db.twenty())


async def change(request: Request) -> Response:
    id, age = request.path_params["id"], (await request.json())["age"]
    await db.change(id, age)
    return JSONResponse({"id": id, "age": age})


async def numbered(request: Request) -> Response:
    return JSONResponse({"id": request.path_params["id"]})


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    if db is not None:
        await db.open()
    yield


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/plaintext", plaintext),
        Route("/json", object),
        Route("/users/{id:int}/posts/{slug}", post),
        Route("/orders", order, methods=["POST"]),
        Route("/large", large),
        Route("/upload", upload, methods=["POST"]),
        Route("/download", download),
        Route("/page", page),
        Route("/db", twenty),
        Route("/db/{id:int}", one),
        Route("/db/{id:int}", change, methods=["POST"]),
        *(Route(f"/r{number}/{{id:int}}", numbered) for number in range(content.ROUTES)),
    ],
)

"""minihttp: with its own server, codec, templates and repository.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import layers
from benchmarks.apps import content
from minihttp import App, Request, Response, Stream
from minihttp.db import Database, Repository
from minihttp.templating import Templates

templates = Templates(content.TEMPLATES)


@dataclass
class User:
    id: int
    name: str
    age: int
    sex: str
    city: str


async def lifespan(app: App) -> AsyncGenerator[dict[str, Any], None]:
    """Repository: the layer of our own. Another layer, by hand, shows what it costs."""
    layer = layers.chosen()
    if layer is not None:
        await layer.open()
        yield {"layer": layer}
        await layer.close()
    elif url := os.environ.get("BENCH_DATABASE"):
        async with Database(url + "?pool_size=8" * url.startswith("mysql")) as db:
            yield {"users": Repository(User, table="user", db=db)}
    else:
        yield {}


app = App(lifespan=lifespan)


@app.get("/plaintext")
async def plaintext(request: Request) -> str:
    return content.PLAIN


@app.get("/json")
async def json(request: Request) -> dict[str, Any]:
    return content.OBJECT


@app.get("/users/{id:int}/posts/{slug}")
async def post(request: Request, id: int, slug: str) -> dict[str, Any]:
    return {"id": id, "slug": slug, "page": request.query.get("page", type=int)}


@app.post("/orders")
async def order(request: Request) -> dict[str, int]:
    return content.receipt(await request.json(content.Order))


@app.get("/large")
async def large(request: Request) -> Response:
    return Response(content.LARGE, content_type="text/plain")


@app.post("/upload", max_body=200 << 20)
async def upload(request: Request) -> str:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return str(size)


async def chunks() -> AsyncIterator[bytes]:
    for chunk in content.chunks():
        yield chunk


@app.get("/download")
async def download(request: Request) -> Stream:
    return Stream(chunks(), content_type="application/octet-stream")


@app.get("/page")
async def page(request: Request) -> Response:
    return templates.render("page.html", title="People", people=content.PEOPLE)


if os.environ.get("BENCH_LAYER"):

    @app.get("/db/{id:int}")
    async def one(request: Request, id: int) -> Mapping[str, Any]:
        row: dict[str, Any] = await request.app.state.layer.one(id)
        return row

    @app.get("/db")
    async def twenty(request: Request) -> list[Any]:
        rows: list[Any] = await request.app.state.layer.twenty()
        return rows

    @app.post("/db/{id:int}")
    async def change(request: Request, id: int) -> dict[str, Any]:
        age = (await request.json())["age"]
        await request.app.state.layer.change(id, age)
        return {"id": id, "age": age}

else:

    @app.get("/db/{id:int}")
    async def repository_one(request: Request, id: int) -> User:
        user: User = await request.app.state.users.get(id)
        return user

    @app.get("/db")
    async def repository_twenty(request: Request) -> list[User]:
        users: list[User] = await request.app.state.users.find(order_by="id", limit=20)
        return users

    @app.post("/db/{id:int}")
    async def repository_change(request: Request, id: int) -> dict[str, Any]:
        age = (await request.json())["age"]
        await request.app.state.users.update(id, age=age)
        return {"id": id, "age": age}


async def numbered(request: Request, id: int) -> dict[str, int]:
    return {"id": id}


for number in range(content.ROUTES):
    app.get(f"/r{number}/{{id:int}}")(numbered)

"""Sanic: with its own server, which brings uvloop, httptools and ujson.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

from typing import Any

import jinja2
from sanic import HTTPResponse, Request, Sanic, html, json, raw, text

from benchmarks import layers
from benchmarks.apps import content

app = Sanic("bench")
app.config.REQUEST_MAX_SIZE = 200 << 20
templates = jinja2.Environment(loader=jinja2.FileSystemLoader(content.TEMPLATES), autoescape=True, auto_reload=False)
db = layers.chosen()

if db is not None:

    @app.before_server_start
    async def connect(app: Any) -> None:
        await db.open()


@app.get("/plaintext")
async def plaintext(request: Request) -> HTTPResponse:
    return text(content.PLAIN)


@app.get("/json")
async def object(request: Request) -> HTTPResponse:
    return json(content.OBJECT)


@app.get("/users/<id:int>/posts/<slug:str>")
async def post(request: Request, id: int, slug: str) -> HTTPResponse:
    return json({"id": id, "slug": slug, "page": int(request.args.get("page"))})


@app.post("/orders")
async def order(request: Request) -> HTTPResponse:
    return json(content.receipt(content.order(request.json)))


@app.get("/large")
async def large(request: Request) -> HTTPResponse:
    return raw(content.LARGE, content_type="text/plain")


@app.post("/upload", stream=True)
async def upload(request: Request) -> HTTPResponse:
    size = 0
    async for chunk in request.stream:
        size += len(chunk)
    return text(str(size))


@app.get("/download")
async def download(request: Request) -> None:
    response = await request.respond(content_type="application/octet-stream")
    for chunk in content.chunks():
        await response.send(chunk)


@app.get("/page")
async def page(request: Request) -> HTTPResponse:
    return html(templates.get_template("page.html").render(title="People", people=content.PEOPLE))


@app.get("/db/<id:int>")
async def one(request: Request, id: int) -> HTTPResponse:
    return json(await db.one(id))


@app.get("/db")
async def twenty(request: Request) -> HTTPResponse:
    return json(await db.twenty())


@app.post("/db/<id:int>")
async def change(request: Request, id: int) -> HTTPResponse:
    age = request.json["age"]
    await db.change(id, age)
    return json({"id": id, "age": age})


async def numbered(request: Request, id: int) -> HTTPResponse:
    return json({"id": id})


for number in range(content.ROUTES):
    app.add_route(numbered, f"/r{number}/<id:int>", name=f"r{number}")

"""aiohttp: with its own server, on uvloop, access log off.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

import ssl
import sys

import jinja2
import uvloop
from aiohttp import web

from benchmarks import layers
from benchmarks.apps import content

routes = web.RouteTableDef()
templates = jinja2.Environment(loader=jinja2.FileSystemLoader(content.TEMPLATES), autoescape=True, auto_reload=False)
db = layers.chosen()


@routes.get("/plaintext")
async def plaintext(request: web.Request) -> web.Response:
    return web.Response(text=content.PLAIN)


@routes.get("/json")
async def object(request: web.Request) -> web.Response:
    return web.json_response(content.OBJECT)


@routes.get(r"/users/{id:\d+}/posts/{slug}")
async def post(request: web.Request) -> web.Response:
    found = request.match_info
    return web.json_response({"id": int(found["id"]), "slug": found["slug"], "page": int(request.query["page"])})


@routes.post("/orders")
async def order(request: web.Request) -> web.Response:
    return web.json_response(content.receipt(content.order(await request.json())))


@routes.get("/large")
async def large(request: web.Request) -> web.Response:
    return web.Response(body=content.LARGE, content_type="text/plain")


@routes.post("/upload")
async def upload(request: web.Request) -> web.Response:
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
    return web.Response(text=str(size))


@routes.get("/download")
async def download(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    await response.prepare(request)
    for chunk in content.chunks():
        await response.write(chunk)
    await response.write_eof()
    return response


@routes.get("/page")
async def page(request: web.Request) -> web.Response:
    made = templates.get_template("page.html").render(title="People", people=content.PEOPLE)
    return web.Response(text=made, content_type="text/html")


@routes.get(r"/db/{id:\d+}")
async def one(request: web.Request) -> web.Response:
    return web.json_response(await db.one(int(request.match_info["id"])))


@routes.get("/db")
async def twenty(request: web.Request) -> web.Response:
    return web.json_response(await db.twenty())


@routes.post(r"/db/{id:\d+}")
async def change(request: web.Request) -> web.Response:
    id, age = int(request.match_info["id"]), (await request.json())["age"]
    await db.change(id, age)
    return web.json_response({"id": id, "age": age})


async def numbered(request: web.Request) -> web.Response:
    return web.json_response({"id": int(request.match_info["id"])})


async def connect(app: web.Application) -> None:
    if db is not None:
        await db.open()


if __name__ == "__main__":
    app = web.Application()
    app.add_routes(routes)
    app.add_routes([web.get(rf"/r{number}/{{id:\d+}}", numbered) for number in range(content.ROUTES)])
    app.on_startup.append(connect)
    context = None
    if sys.argv[2:]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[2])
    loop = uvloop.new_event_loop()
    port = int(sys.argv[1])
    web.run_app(app, host="127.0.0.1", port=port, ssl_context=context, access_log=None, print=None, loop=loop)

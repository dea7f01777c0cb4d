"""Tornado: with its own server, on uvloop, access log off; its own templates.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

import tornado.web
import uvloop

from benchmarks import layers
from benchmarks.apps import content

db = layers.chosen()


class Plaintext(tornado.web.RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write(content.PLAIN)


class Json(tornado.web.RequestHandler):
    def get(self) -> None:
        self.write(content.OBJECT)


class Post(tornado.web.RequestHandler):
    def get(self, id: str, slug: str) -> None:
        self.write({"id": int(id), "slug": slug, "page": int(self.get_query_argument("page"))})


class Order(tornado.web.RequestHandler):
    def post(self) -> None:
        self.write(content.receipt(content.order(json.loads(self.request.body))))


class Large(tornado.web.RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", "text/plain")
        self.write(content.LARGE)


@tornado.web.stream_request_body
class Upload(tornado.web.RequestHandler):
    size = 0

    def data_received(self, chunk: bytes) -> None:
        self.size += len(chunk)

    def post(self) -> None:
        self.write(str(self.size))


class Download(tornado.web.RequestHandler):
    async def get(self) -> None:
        for chunk in content.chunks():
            self.write(chunk)
            await self.flush()


class Page(tornado.web.RequestHandler):
    def get(self) -> None:
        self.render("tornado.html", title="People", people=content.PEOPLE)


class One(tornado.web.RequestHandler):
    async def get(self, id: str) -> None:
        self.write(await db.one(int(id)))

    async def post(self, id: str) -> None:
        age = json.loads(self.request.body)["age"]
        await db.change(int(id), age)
        self.write({"id": int(id), "age": age})


class Twenty(tornado.web.RequestHandler):
    async def get(self) -> None:
        # Tornado writes no list as JSON by itself.
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(await db.twenty()))


class Numbered(tornado.web.RequestHandler):
    def get(self, id: str) -> None:
        self.write({"id": int(id)})


def application() -> tornado.web.Application:
    routes: list[Any] = [
        (r"/plaintext", Plaintext),
        (r"/json", Json),
        (r"/users/(\d+)/posts/([^/]+)", Post),
        (r"/orders", Order),
        (r"/large", Large),
        (r"/upload", Upload),
        (r"/download", Download),
        (r"/page", Page),
        (r"/db", Twenty),
        (r"/db/(\d+)", One),
    ]
    routes += [(rf"/r{number}/(\d+)", Numbered) for number in range(content.ROUTES)]
    # The access log is off: `log_function` is what writes it.
    return tornado.web.Application(routes, template_path=str(content.TEMPLATES), log_function=lambda handler: None)


async def main(port: int, certificate: str | None) -> None:
    if db is not None:
        await db.open()
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    application().listen(port, "127.0.0.1", ssl_options=context, max_body_size=200 << 20)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2] if sys.argv[2:] else None))

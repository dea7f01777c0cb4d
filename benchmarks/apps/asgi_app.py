"""An ASGI application without any framework: for uvicorn and for Granian.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from benchmarks import layers
from benchmarks.apps import content

Scope, Receive, Send = dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]
POST = re.compile(r"/users/(\d+)/posts/([^/]+)")
NUMBERED = {f"r{number}" for number in range(content.ROUTES)}
TEXT, JSON = b"text/plain; charset=utf-8", b"application/json"
db = layers.chosen()


async def answer(send: Send, body: bytes, kind: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup" and db is not None:
            await db.open()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def upload(receive: Receive, send: Send) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await answer(send, str(size).encode(), TEXT)


async def download(receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for chunk in content.chunks():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def database(scope: Scope, receive: Receive, send: Send) -> None:
    _, _, id = scope["path"].partition("/db/")
    if not id:
        value: Any = await db.twenty()
    elif scope["method"] == "POST":
        value = {"id": int(id), "age": json.loads(await read(receive))["age"]}
        await db.change(value["id"], value["age"])
    else:
        value = await db.one(int(id))
    await answer(send, json.dumps(value).encode(), JSON)


async def other(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"]
    _, first, *rest = path.split("/")
    if first in NUMBERED and rest:
        await answer(send, json.dumps({"id": int(rest[0])}).encode(), JSON)
    elif first == "db":
        await database(scope, receive, send)
    elif found := POST.fullmatch(path):
        page = int(parse_qs(scope["query_string"].decode())["page"][0])
        await answer(send, json.dumps({"id": int(found[1]), "slug": found[2], "page": page}).encode(), JSON)
    elif path == "/orders":
        made = content.receipt(content.order(json.loads(await read(receive))))
        await answer(send, json.dumps(made).encode(), JSON)
    else:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    path = scope["path"]
    if path == "/plaintext":
        await answer(send, content.PLAIN.encode(), TEXT)
    elif path == "/json":
        await answer(send, json.dumps(content.OBJECT).encode(), JSON)
    elif path == "/large":
        await answer(send, content.LARGE, TEXT)
    elif path == "/upload":
        await upload(receive, send)
    elif path == "/download":
        await download(receive, send)
    else:
        await other(scope, receive, send)

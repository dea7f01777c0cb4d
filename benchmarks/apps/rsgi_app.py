"""Granian's own interface, RSGI, without any framework.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs

from benchmarks import layers
from benchmarks.apps import content

POST = re.compile(r"/users/(\d+)/posts/([^/]+)")
NUMBERED = {f"r{number}" for number in range(content.ROUTES)}
TEXT = [("content-type", "text/plain; charset=utf-8")]
JSON = [("content-type", "application/json")]
db = layers.chosen()


async def upload(protocol: Any) -> None:
    size = 0
    async for chunk in protocol:
        size += len(chunk)
    protocol.response_str(200, TEXT, str(size))


async def download(protocol: Any) -> None:
    transport = protocol.response_stream(200, [("content-type", "application/octet-stream")])
    for chunk in content.chunks():
        await transport.send_bytes(chunk)


async def database(scope: Any, protocol: Any) -> None:
    _, _, id = scope.path.partition("/db/")
    if not id:
        value: Any = await db.twenty()
    elif scope.method == "POST":
        value = {"id": int(id), "age": json.loads(await protocol())["age"]}
        await db.change(value["id"], value["age"])
    else:
        value = await db.one(int(id))
    protocol.response_str(200, JSON, json.dumps(value))


async def other(scope: Any, protocol: Any) -> None:
    path = scope.path
    _, first, *rest = path.split("/")
    if first in NUMBERED and rest:
        protocol.response_str(200, JSON, json.dumps({"id": int(rest[0])}))
    elif first == "db":
        await database(scope, protocol)
    elif found := POST.fullmatch(path):
        page = int(parse_qs(scope.query_string)["page"][0])
        protocol.response_str(200, JSON, json.dumps({"id": int(found[1]), "slug": found[2], "page": page}))
    elif path == "/orders":
        made = content.receipt(content.order(json.loads(await protocol())))
        protocol.response_str(200, JSON, json.dumps(made))
    else:
        protocol.response_empty(404, [])


class Application:
    def __rsgi_init__(self, loop: Any) -> None:
        if db is not None:
            loop.run_until_complete(db.open())

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        path = scope.path
        if path == "/plaintext":
            protocol.response_str(200, TEXT, content.PLAIN)
        elif path == "/json":
            protocol.response_str(200, JSON, json.dumps(content.OBJECT))
        elif path == "/large":
            protocol.response_bytes(200, TEXT, content.LARGE)
        elif path == "/upload":
            await upload(protocol)
        elif path == "/download":
            await download(protocol)
        else:
            await other(scope, protocol)


app = Application()

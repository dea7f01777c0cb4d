"""Robyn: with its own server in Rust.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.apps import content

port = int(sys.argv.pop(1))  # Robyn reads the rest of the command line itself

from robyn import Headers, Request, Response, Robyn, StreamingResponse  # noqa: E402  # after the port is taken away
from robyn.templating import JinjaTemplate  # noqa: E402  # after the port is taken away

app = Robyn(__file__)
templates = JinjaTemplate(str(content.TEMPLATES))


@app.get("/plaintext")
async def plaintext(request: Request) -> str:
    return content.PLAIN


@app.get("/json")
async def object(request: Request) -> Any:
    return content.OBJECT


@app.get("/users/:id/posts/:slug")
async def post(request: Request) -> Any:
    found = request.path_params
    return {"id": int(found["id"]), "slug": found["slug"], "page": int(request.query_params.get("page", ""))}


@app.post("/orders")
async def order(request: Request) -> Any:
    return content.receipt(content.order(json.loads(request.body)))


@app.get("/large")
async def large(request: Request) -> Response:
    return Response(status_code=200, headers=Headers({"Content-Type": "text/plain"}), description=content.LARGE)


@app.get("/download")
async def download(request: Request) -> StreamingResponse:
    return StreamingResponse(content.chunks(), media_type="application/octet-stream")


@app.get("/page")
async def page(request: Request) -> Response:
    return templates.render_template("page.html", title="People", people=content.PEOPLE)


async def numbered(request: Request) -> Any:
    return {"id": int(request.path_params["id"])}


for number in range(content.ROUTES):
    app.get(f"/r{number}/:id")(numbered)

if __name__ == "__main__":
    app.start(host="127.0.0.1", port=port)

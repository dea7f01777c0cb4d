"""Flask: on gunicorn.

Owns: the workloads' paths, as the documentation of this framework shows such handlers.
Must not know: who measures it.
Invariant: the answers are those of `content`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify, render_template, request

from benchmarks import layers
from benchmarks.apps import content

app = Flask(__name__, template_folder=str(content.TEMPLATES))
db = layers.chosen()


@app.get("/plaintext")
def plaintext() -> Response:
    return Response(content.PLAIN, mimetype="text/plain")


@app.get("/json")
def object() -> Any:
    return content.OBJECT


@app.get("/users/<int:id>/posts/<slug>")
def post(id: int, slug: str) -> Any:
    return {"id": id, "slug": slug, "page": request.args.get("page", type=int)}


@app.post("/orders")
def order() -> Any:
    return content.receipt(content.order(request.get_json()))


@app.get("/large")
def large() -> Response:
    return Response(content.LARGE, mimetype="text/plain")


@app.post("/upload")
def upload() -> str:
    size = 0
    while chunk := request.stream.read(65536):
        size += len(chunk)
    return str(size)


@app.get("/download")
def download() -> Response:
    made: Iterator[bytes] = content.chunks()
    return Response(made, mimetype="application/octet-stream")


@app.get("/page")
def page() -> str:
    return render_template("page.html", title="People", people=content.PEOPLE)


@app.get("/db/<int:id>")
def one(id: int) -> Any:
    return db.one(id)


@app.get("/db")
def twenty() -> Response:
    return jsonify(db.twenty())


@app.post("/db/<int:id>")
def change(id: int) -> Any:
    age = request.get_json()["age"]
    db.change(id, age)
    return {"id": id, "age": age}


def numbered(id: int) -> Any:
    return {"id": id}


for number in range(content.ROUTES):
    app.add_url_rule(f"/r{number}/<int:id>", f"r{number}", numbered)

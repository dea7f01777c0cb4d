"""What is measured: each workload once, as data.

Owns: the requests, the answers that every contender must give, and how each kind of number is taken.
Must not know: the contenders.
Invariant: a workload's answer is compared before it is measured: `text` byte by byte, `json` as the value it means
(encoders differ in spaces and escapes), `html` without the white space that templates leave.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.apps import content

Kind = Literal["wrk", "latency", "upload", "download", "idle", "import"]
Variant = Literal["plain", "tls", "burst", "once", "mysql", "sqlite"]

BROWSER = (
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    ),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9,zh-CN;q=0.8"),
    ("Cache-Control", "max-age=0"),
    ("Connection", "keep-alive"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Cookie", "session=eyJ1c2VyIjogN30.ZzqL5Q.0Wm3c6S8k2f1Y7n9Qe4TtXbVhUo; theme=dark"),
)  # and Host: nine fields
JSON_BODY = (("Content-Type", "application/json"),)
LINES: list[dict[str, Any]] = [{"sku": f"SKU-{n:05}", "quantity": n % 5 + 1, "price": 199 + 10 * n} for n in range(16)]
ORDER: dict[str, Any] = {"id": 4711, "customer": "Ada Lovelace", "lines": LINES, "note": "leave it with the neighbor"}
ORDER["note"] += "." * (1024 - len(json.dumps(ORDER)))
RECEIPT = {"id": 4711, "lines": 16, "total": sum(each["quantity"] * each["price"] for each in LINES)}
ROW = "".join(
    "<tr><td>{id}</td><td>{safe}</td><td>{age}</td><td>{city}</td></tr>\n".format(
        safe=each["name"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), **each
    )
    for each in content.PEOPLE
)
PAGE = f"<!doctype html>\n<title>People</title>\n<table>\n{ROW}</table>\n"
MEBIBYTES = content.CHUNKS * len(content.CHUNK) / 2**20


@dataclass(frozen=True)
class Workload:
    """`expect` is the answer; None where it is a row of the database, which `checking` asks the table for."""

    name: str
    title: str
    group: str
    kind: Kind = "wrk"
    path: str = "/plaintext"
    expect: Any = content.PLAIN
    compare: Literal["text", "json", "html"] = "text"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    connections: int = 64
    depth: int = 1
    variant: Variant = "plain"
    rounds: int = 3
    lasts: int = 1  # how many times the seconds of others: TLS, so that handshakes do not weigh
    unit: str = "us"
    limit: bool = False  # whether canned bytes are a limit for it


def _database(name: str, title: str, path: str, **more: Any) -> Workload:
    return Workload(name, title, "database", path=path, expect=None, compare="json", **more)


POST = "/users/7/posts/on-numbers?page=2"
CHANGE = {"method": "POST", "headers": JSON_BODY, "body": '{"age": {age}}'}
WORKLOADS = [
    Workload("plaintext", "plaintext, wrk's bare head", "requests", rounds=5, limit=True),
    Workload("browser", "plaintext, a browser's head", "requests", rounds=5, headers=BROWSER, limit=True),
    Workload("json", "JSON", "requests", rounds=5, path="/json", expect=content.OBJECT, compare="json"),
    Workload(
        "params",
        "path parameter and query",
        "requests",
        rounds=5,
        path=POST,
        compare="json",
        expect={"id": 7, "slug": "on-numbers", "page": 2},
    ),
    Workload("routes", "the last of 100 routes", "requests", rounds=5, path="/r99/7", expect={"id": 7}, compare="json"),
    Workload(
        "post",
        "POST of 1 KiB JSON, validated",
        "requests",
        rounds=5,
        path="/orders",
        method="POST",
        headers=JSON_BODY,
        body=json.dumps(ORDER),
        expect=RECEIPT,
        compare="json",
    ),
    Workload("pipelined", "pipelined, 16 deep", "requests", rounds=5, depth=16, variant="burst", limit=True),
    Workload("large", "answer of 64 KiB", "requests", path="/large", expect=content.LARGE.decode()),
    Workload("page", "page from a template", "requests", path="/page", expect=PAGE, compare="html"),
    Workload(
        "once",
        "a new connection per request",
        "connections",
        headers=(("Connection", "close"),),
        variant="once",
        limit=True,
    ),
    Workload("tls", "TLS", "connections", variant="tls", connections=16, lasts=2, limit=True),
    Workload("c1", "1 connection", "connections", connections=1, limit=True),
    Workload("c512", "512 connections", "connections", connections=512, limit=True),
    Workload("latency", "latency at half load", "latency", kind="latency", connections=256, unit="ms", limit=True),
    Workload("upload", "100 MiB up", "bodies", kind="upload", path="/upload", method="POST", unit="us/MiB"),
    Workload("download", "100 MiB down", "bodies", kind="download", path="/download", unit="us/MiB"),
    Workload("idle", "memory of an idle connection", "memory", kind="idle", rounds=1, unit="KiB", limit=True),
    Workload("import", "import", "memory", kind="import", unit="ms"),
    _database("mysql-one", "one user, MariaDB", "/db/{id}", variant="mysql"),
    _database("mysql-twenty", "20 users, MariaDB", "/db", variant="mysql"),
    _database("mysql-update", "update, MariaDB", "/db/{id}", variant="mysql", **CHANGE),
    _database("sqlite-one", "one user, SQLite", "/db/{id}", variant="sqlite"),
]
BY_NAME = {each.name: each for each in WORKLOADS}

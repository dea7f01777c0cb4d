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

Kind = Literal["wrk", "latency", "upload", "download", "idle", "import", "parts", "inside"]
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
    script: bool = False  # whether the script without checks serves it, too
    more: int = 0  # further rounds of those alone whom an aim compares: ours, limits, the script, the cheapest peer
    rate: int = 0  # requests a second; 0 is half of what the contender can do
    second: bool = False  # whether minihttp and the limit are measured on the second Python, too


def _request(name: str, title: str, **more: Any) -> Workload:
    return Workload(name, title, "requests", **{"rounds": 5, "limit": True, **more})


def _aimed(name: str, title: str, **more: Any) -> Workload:
    """A request that has its aim beside the limit: a tenth more or less decides."""
    return _request(name, title, **{"more": 4, "second": True, **more})


def _part(name: str, title: str, **more: Any) -> Workload:
    """What only minihttp has: a ratio of two things that are measured one right after the other."""
    return Workload(name, title, "parts", **{"kind": "inside", "unit": "ratio", "second": True, **more})


def _latency(name: str, title: str, **more: Any) -> Workload:
    told = {"kind": "latency", "connections": 256, "rounds": 5, "lasts": 2, "unit": "ms", "limit": True}
    return Workload(name, title, "latency", **{**told, **more})


def _body(name: str, title: str, **more: Any) -> Workload:
    return Workload(name, title, "bodies", more=4, unit="us/MiB", **more)


def _database(name: str, title: str, path: str, **more: Any) -> Workload:
    return Workload(name, title, "database", path=path, expect=None, compare="json", **more)


POST = "/users/7/posts/on-numbers?page=2"
CHANGE = {"method": "POST", "headers": JSON_BODY, "body": '{"age": {age}}'}
WORKLOADS = [
    _aimed("plaintext", "plaintext, wrk's bare head", script=True),
    _aimed("browser", "plaintext, a browser's head", headers=BROWSER, script=True),
    _request("another", "plaintext, another query each time", path="/plaintext?n={new}", second=True),
    _aimed("json", "JSON", path="/json", expect=content.OBJECT, compare="json"),
    _aimed(
        "params",
        "path parameter and query",
        path=POST,
        compare="json",
        expect={"id": 7, "slug": "on-numbers", "page": 2},
    ),
    _aimed("routes", "the last of 100 routes", path="/r99/7", expect={"id": 7}, compare="json"),
    _request(
        "post",
        "POST of 1 KiB JSON, validated",
        path="/orders",
        method="POST",
        headers=JSON_BODY,
        body=json.dumps(ORDER),
        expect=RECEIPT,
        compare="json",
        more=4,
    ),
    _request("pipelined", "pipelined, 16 deep", depth=16, variant="burst", more=4),
    _request("large", "answer of 64 KiB", path="/large", expect=content.LARGE.decode(), rounds=3),
    _request("page", "page from a template", path="/page", expect=PAGE, compare="html", rounds=3),
    Workload(
        "once",
        "a new connection per request",
        "connections",
        headers=(("Connection", "close"),),
        variant="once",
        rounds=5,
        more=4,
        limit=True,
        script=True,
        second=True,
    ),
    Workload("tls", "TLS", "connections", variant="tls", connections=16, lasts=2, limit=True),
    Workload("c1", "1 connection", "connections", connections=1, limit=True),
    Workload("c512", "512 connections", "connections", connections=512, limit=True),
    _latency("latency", "latency at half load"),
    # About half of what the slowest of all can bear, a synchronous one.
    _latency("steady", "latency at 1,500 requests a second", rate=1500),
    _body("upload", "100 MiB up", kind="upload", path="/upload", method="POST"),
    _body("download", "100 MiB down", kind="download", path="/download"),
    Workload(
        "idle", "memory of an idle connection", "memory", kind="idle", rounds=1, unit="KiB", limit=True, second=True
    ),
    Workload("import", "import", "memory", kind="import", rounds=5, unit="ms"),
    _database("mysql-one", "one user, MariaDB", "/db/{id}", variant="mysql"),
    _part(
        "mysql-parts",
        "one user, MariaDB, in plaintext and the driver alone",
        kind="parts",
        more=6,
        path="/db/{id}",
        expect=None,
        compare="json",
        variant="mysql",
    ),
    _database("mysql-twenty", "20 users, MariaDB", "/db", variant="mysql"),
    # After those that read: it changes ages for good.
    _database("mysql-update", "update, MariaDB", "/db/{id}", variant="mysql", **CHANGE),
    _database("sqlite-one", "one user, SQLite", "/db/{id}", variant="sqlite"),
    _part("lookup", "finding one of 10,000 routes, in finding one of 10"),
    _part("cold", "a bare head, every line new, in httptools"),
    _part("cold-browser", "a browser's head, every line new, in httptools"),
    _part("warm", "a bare head again, in httptools"),
    _part("warm-browser", "a browser's head again, in httptools"),
]
BY_NAME = {each.name: each for each in WORKLOADS}

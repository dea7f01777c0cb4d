"""Who is measured, and how each is started: as its documentation advises for production, with one worker process.

Owns: the commands, what each contender cannot do, and which ways to the database it is measured with.
Must not know: what is measured, nor any figure.
Invariant: this list is the only place that says how a contender runs; the raw results repeat the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

# `python -m` and no script of bin/: a script names the folder it was installed in, and starts what is there.
ON = "--host 127.0.0.1 --port {port}"
OURS = "{bin}/python -m minihttp benchmarks.apps.minihttp_app:app " + ON
LIMIT = "{bin}/python -m benchmarks.apps.limit_app"
SCRIPT = "{bin}/python -m benchmarks.apps.script_app"
UVICORN = "{bin}/python -m uvicorn benchmarks.apps.{app}:app " + ON
UVICORN += " --loop uvloop --http httptools --no-access-log --log-level warning"
GRANIAN = "{bin}/python -m granian " + ON + " --workers 1 --loop uvloop --no-ws --no-access-log --log-level warning"
GUNICORN = "{bin}/python -m gunicorn --config benchmarks/gunicorn.py --bind 127.0.0.1:{port} benchmarks.apps.{app}:app"
UVICORN_TLS = "--ssl-certfile {certificate} --ssl-keyfile {key}"
GRANIAN_TLS = "--ssl-certificate {certificate} --ssl-keyfile {key}"
GUNICORN_TLS = "--certfile {certificate} --keyfile {key}"

Kind = Literal["ours", "limit", "script", "peer"]  # those to compare with come along always


@dataclass(frozen=True)
class Way:
    """A way to the database: `layer` is a module of benchmarks.layers, empty for the application's own."""

    name: str
    layer: str
    engines: tuple[str, ...] = ("mysql", "sqlite")


HAND = Way("driver by hand", "by_hand")  # asyncmy, aiosqlite
ASYNC_WAYS = (Way("SQLAlchemy async", "sqlalchemy_async"), HAND)
POOL_WAYS = (Way("aiomysql", "aiomysql_pool", ("mysql",)), HAND)


@dataclass(frozen=True)
class Peer:
    """One contender. `packages` are those whose versions matter; `lacks` says why it misses a workload."""

    name: str
    app: str
    command: str
    tls: str = ""
    kind: Kind = "peer"
    loop: str = "uvloop"
    packages: tuple[str, ...] = ()
    imports: str = ""
    ways: tuple[Way, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)
    python: str = ""  # another than the first


def uvicorn(name: str, app: str, package: str, imports: str, **more: Any) -> Peer:
    packages = (package, "uvicorn", "httptools", "uvloop")
    return Peer(name, app, UVICORN, UVICORN_TLS, packages=packages, imports=imports, **{"ways": ASYNC_WAYS, **more})


def gunicorn(name: str, app: str, package: str, imports: str, **more: Any) -> Peer:
    packages = (package, "gunicorn")
    return Peer(name, app, GUNICORN, GUNICORN_TLS, loop="threads", packages=packages, imports=imports, **more)


NO_TEMPLATES = {"page": "a bare application has no templates"}
WHOLE_BODY = "it reads a body whole before the handler sees it"

REPOSITORY = Way("minihttp.db", "")
OURS_TLS = "--certificate {certificate} --private-key {key}"
MINIHTTP = Peer(
    "minihttp",
    "minihttp_app",
    OURS + " --loop uvloop",
    OURS_TLS,
    "ours",
    packages=("uvloop", "msgspec"),
    imports="minihttp",
    ways=(REPOSITORY, HAND),
)
LIMITED = Peer("limit", "limit_app", LIMIT + " uvloop {port}", "{certificate}", "limit", packages=("uvloop",))
DRIVER = replace(LIMITED, name="driver", app="driver_app", command="{bin}/python -m benchmarks.apps.driver_app {port}")
UNCHECKED = Peer("script", "script_app", SCRIPT + " uvloop {port}", kind="script", packages=("uvloop",))
FIRST = [
    MINIHTTP,
    replace(
        MINIHTTP,
        name="minihttp on asyncio",
        command=OURS + " --loop asyncio",
        loop="asyncio",
        imports="",
        ways=(REPOSITORY,),
    ),
    LIMITED,
    replace(LIMITED, name="limit on asyncio", command=LIMIT + " asyncio {port}", loop="asyncio", packages=()),
    UNCHECKED,
    replace(UNCHECKED, name="script on asyncio", command=SCRIPT + " asyncio {port}", loop="asyncio", packages=()),
]

PEERS = [
    *FIRST,
    Peer(
        "Granian, RSGI",
        "rsgi_app",
        GRANIAN + " --interface rsgi benchmarks.apps.rsgi_app:app",
        GRANIAN_TLS,
        packages=("granian", "uvloop"),
        imports="granian",
        ways=(HAND,),
        lacks=NO_TEMPLATES,
    ),
    Peer(
        "Granian, ASGI",
        "asgi_app",
        GRANIAN + " --interface asgi benchmarks.apps.asgi_app:app",
        GRANIAN_TLS,
        packages=("granian", "uvloop"),
        ways=(HAND,),
        lacks=NO_TEMPLATES,
    ),
    uvicorn("raw ASGI on uvicorn", "asgi_app", "uvicorn", "uvicorn", ways=(HAND,), lacks=NO_TEMPLATES),
    uvicorn("BlackSheep", "blacksheep_app", "blacksheep", "blacksheep"),
    uvicorn("Falcon", "falcon_app", "falcon", "falcon.asgi"),
    uvicorn("Starlette", "starlette_app", "starlette", "starlette.applications"),
    uvicorn("Litestar", "litestar_app", "litestar", "litestar"),
    uvicorn("FastAPI", "fastapi_app", "fastapi", "fastapi"),
    Peer(
        "Sanic",
        "sanic_app",
        "{bin}/python -m sanic benchmarks.apps.sanic_app:app " + ON + " --single-process --no-access-logs --no-motd",
        "--cert {certificate} --key {key}",
        packages=("sanic", "uvloop", "httptools"),
        imports="sanic",
        ways=ASYNC_WAYS,
    ),
    Peer(
        "aiohttp",
        "aiohttp_app",
        "{bin}/python -m benchmarks.apps.aiohttp_app {port}",
        "{certificate}",
        packages=("aiohttp", "uvloop"),
        imports="aiohttp.web",
        ways=POOL_WAYS,
    ),
    Peer(
        "Tornado",
        "tornado_app",
        "{bin}/python -m benchmarks.apps.tornado_app {port}",
        "{certificate}",
        packages=("tornado", "uvloop"),
        imports="tornado.web",
        ways=POOL_WAYS,
    ),
    Peer(
        "Robyn",
        "robyn_app",
        "{bin}/python -m benchmarks.apps.robyn_app {port} --processes 1 --workers 1 --log-level WARN --disable-openapi",
        packages=("robyn",),
        imports="robyn",
        lacks={
            "tls": "its documentation leaves TLS to a proxy",
            "upload": WHOLE_BODY,
            "mysql": "its documentation shows no asynchronous layer",
            "sqlite": "its documentation shows none",
        },
    ),
    gunicorn("Bottle", "bottle_app", "bottle", "bottle"),
    gunicorn("Flask", "flask_app", "Flask", "flask", ways=(Way("SQLAlchemy", "sqlalchemy_sync"),)),
    gunicorn("Django", "django_app", "Django", "django.core.handlers.wsgi", ways=(Way("Django's ORM", ""),)),
    gunicorn("web.py", "webpy_app", "web.py", "web", lacks={"upload": WHOLE_BODY}),
    replace(
        gunicorn("Quixote", "quixote_app", "Quixote", "quixote", lacks={"upload": WHOLE_BODY}),
        command=GUNICORN + " --threads 1",
    ),  # its publisher is not made for several
]
NEWER = "3.13"
SECOND = [
    replace(each, name=f"{each.name}, Python {NEWER}", python=NEWER, imports="", ways=each.ways[:1]) for each in FIRST
]

"""Users in a database: pages for people, a JSON API for programs, and one thread that serves them all.

    python examples/users_app.py [--host 127.0.0.1] [--port 8000] [--database URL] [--loop auto|asyncio|uvloop]

Then open http://127.0.0.1:8000 (with --watch, also /_loop, where the event loop is seen at work), or ask the API:

    curl '127.0.0.1:8000/api/users?city=London&order=-age'
    curl -X PATCH 127.0.0.1:8000/api/users/1 -d '{"age": 35}'

PUT, PATCH and DELETE may be repeated by a client that got no answer. So may POST, if it carries an Idempotency-Key, any
text that the client uses once: the same key again gets the first answer and adds nobody.

The database is sqlite:///users.db, a file in the current folder, or what --database or the environment variable
DATABASE_URL says: mysql://user:password@host:3306/name is MySQL or MariaDB. If it has no table `user` yet, it gets the
table and a few rows from schema.sql.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, TypeVar, get_args, get_type_hints

from minihttp import App, File, HTTPError, Redirect, Request, Response
from minihttp.codec import Meta, decode, encode
from minihttp.db import Database, Executor, IntegrityError, Lock, QueryError, Repository
from minihttp.templating import Templates

T = TypeVar("T")

HERE = Path(__file__).resolve().parent
SCHEMA = HERE.parent / "schema.sql"
templates = Templates(HERE / "templates")

# --- what a user is: declared once, checked in JSON, forms and query strings alike -----------------------------------

LINE = r"[^\x00-\x1f\x7f-\x9f]*\Z"  # no control characters to the end
Text = Annotated[str, Meta(max_length=50, pattern="^" + LINE, description="must be one line of text")]
Name = Annotated[
    str, Meta(min_length=1, max_length=50, pattern=r"^(?=.*\S)" + LINE, description="must be visible text")
]
Age = Annotated[int, Meta(ge=0, le=150)]
Sex = Annotated[Literal["male", "female", "other"], Meta(description="must be male, female or other")]


Order = Annotated[
    str, Meta(pattern=r"^-?(id|name|age|sex|city)\Z", description="must be id, name, age, sex or city, or - and one")
]


@dataclass
class User:
    """A row of the table `user`, and an object of the API."""

    id: int
    name: str
    age: int
    sex: str
    city: str


class Fields(TypedDict):
    """What a client says of a user: all of it, for POST, PUT and the forms. The id is the database's."""

    name: Name
    age: Age
    sex: Sex
    city: Text


class Changes(TypedDict, total=False):
    """Some of it, for PATCH."""

    name: Name
    age: Age
    sex: Sex
    city: Text


@dataclass
class Page:
    """Which users, and in which order: the query string of the list. `q` is a part of the name."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    offset: Annotated[int, Meta(ge=0, le=2**53)] = 0
    order: Order = "id"
    city: Text = ""
    q: Text = ""


def typed(kind: type[T], texts: Mapping[str, Any]) -> T:
    """The texts of a form or query string as a type, by the rules for JSON. Raises HTTPError 422."""
    values: dict[str, str | int] = {}
    for name, hint in get_type_hints(kind).items():
        text = texts.get(name)
        if isinstance(text, str):  # it is neither missing nor an uploaded file
            values[name] = int(text) if hint is int and re.fullmatch("-?[0-9]{1,18}", text) else text
    return decode(encode(values), kind)


# --- the application -------------------------------------------------------------------------------------------------


async def lifespan(app: App) -> AsyncGenerator[dict[str, Any], None]:
    """Open the database before the first request and close it after the last; a new one gets its table."""
    async with Database(os.environ.get("DATABASE_URL", "sqlite:///users.db")) as db:
        async with Lock(db, "schema"):  # of several processes that start at once, one does it
            try:
                await db.scalar("SELECT COUNT(*) FROM `user`")
            except QueryError:
                await db.script(SCHEMA.read_text(encoding="utf-8"))
        yield {"db": db, "users": Repository(User, table="user", db=db)}


app = App(lifespan=lifespan)


def users_of(request: Request) -> Repository[User]:
    users: Repository[User] = request.app.state.users
    return users


async def find(request: Request, page: Page) -> dict[str, Any]:
    filters = {"city": page.city} if page.city else {}
    if page.q:
        filters["name__like"] = "%" + re.sub(r"([\\%_])", r"\\\1", page.q) + "%"
    users = users_of(request)
    items = await users.find(order_by=page.order, limit=page.limit, offset=page.offset, **filters)
    return {"items": items, "total": await users.count(**filters), "limit": page.limit, "offset": page.offset}


async def add_once(request: Request, fields: Fields, key: str) -> User:
    """Add a user; if a request with this key did so before, the answer is that of the first time."""

    async def add(tx: Executor) -> User:
        user = await users_of(request).on(tx).add(User(0, **fields))
        answer = encode(user).decode()  # kept by the same COMMIT as the user: there are both or neither
        await tx.execute("INSERT INTO user_posted (`key`, answer) VALUES (:key, :answer)", key=key, answer=answer)
        return user

    if not re.fullmatch("[!-~]{1,100}", key):
        raise HTTPError(400, "the Idempotency-Key must be 1 to 100 visible ASCII characters")
    db: Database = request.app.state.db
    try:
        return await db.retry(add)
    except IntegrityError:  # the key is there already: all else about a user was checked before
        answer: str = await db.scalar("SELECT answer FROM user_posted WHERE `key` = :key", key=key)
    first = decode(answer.encode(), User)
    if first != User(first.id, **fields):
        raise HTTPError(422, "this Idempotency-Key was sent with another user before: a new user needs a new key")
    return first


# --- for programs: JSON ----------------------------------------------------------------------------------------------


@app.route("/api/users")
class UserList:
    async def get(self, request: Request) -> dict[str, Any]:
        return await find(request, typed(Page, request.query))

    async def post(self, request: Request) -> tuple[User, int, dict[str, str]]:
        fields, key = await request.json(Fields), request.headers.get("idempotency-key")
        user = await (users_of(request).add(User(0, **fields)) if key is None else add_once(request, fields, key))
        return user, 201, {"location": request.url_for("api-user", id=user.id)}


@app.route("/api/users/{id:int}", name="api-user")
class OneUser:
    """A missing id is 404: the repository raises NotFound, which knows its status."""

    async def get(self, request: Request, id: int) -> User:
        return await users_of(request).get(id)

    async def put(self, request: Request, id: int) -> User:
        await users_of(request).update(id, **await request.json(Fields))
        return await users_of(request).get(id)

    async def patch(self, request: Request, id: int) -> User:
        await users_of(request).update(id, **await request.json(Changes))
        return await users_of(request).get(id)

    async def delete(self, request: Request, id: int) -> None:
        await users_of(request).delete(id)


# --- for people: pages -----------------------------------------------------------------------------------------------


@app.get("/")
@app.get("/users", name="users")
async def list_users(request: Request) -> Response:
    page = typed(Page, request.query)
    db: Database = request.app.state.db
    cities = await db.all("SELECT city FROM `user` GROUP BY city ORDER BY COUNT(*) DESC LIMIT 50")
    return templates.render("users.html", request, page=asdict(page), cities=cities, **await find(request, page))


@app.get("/users/new", name="new-user")
async def new_user(request: Request) -> Response:
    return user_page(request, None, {})


@app.post("/users")
async def create_user(request: Request) -> Response:
    form = await request.form()
    try:
        user = await users_of(request).add(User(0, **typed(Fields, form)))
    except HTTPError as error:
        return user_page(request, None, form, error)
    return Redirect(request.url_for("user", id=user.id))


@app.get("/users/{id:int}", name="user")
async def show_user(request: Request, id: int) -> Response:
    user = await users_of(request).get(id)
    return user_page(request, user, asdict(user))


@app.post("/users/{id:int}")
async def edit_user(request: Request, id: int) -> Response:
    user, form = await users_of(request).get(id), await request.form()
    try:
        await users_of(request).update(id, **typed(Fields, form))
    except HTTPError as error:
        return user_page(request, user, form, error)
    return Redirect(request.url_for("user", id=id))


def user_page(request: Request, user: User | None, form: Mapping[str, Any], error: HTTPError | None = None) -> Response:
    """The user, if there is one yet, and the form: what was typed, and beside it what is wrong with it."""
    errors = {each["field"]: each["detail"] for each in error.errors} if error else {}
    page = templates.render("user.html", request, user=user, form=form, errors=errors, sexes=get_args(get_args(Sex)[0]))
    page.status = 422 if error else 200
    return page


@app.get("/static/users.css", name="style")
async def style(request: Request) -> Response:
    return File(HERE / "static/users.css")


def main() -> None:
    parser = argparse.ArgumentParser(description="Users in a database: pages for people, JSON for programs.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=8000, type=int)
    parser.add_argument("--database", metavar="URL", help="sqlite:///users.db or mysql://user:password@host:3306/name")
    parser.add_argument("--loop", default="auto", choices=("auto", "asyncio", "uvloop"))
    parser.add_argument("--watch", action="store_true", help="show what the event loop does at /_loop")
    options = parser.parse_args()
    if options.database:
        os.environ["DATABASE_URL"] = options.database
    app.run(options.host, options.port, loop=options.loop, watch=options.watch)


if __name__ == "__main__":
    main()

"""The example: its API and its pages in memory on both engines, and the whole program as a process."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from examples.users_app import app, lifespan
from minihttp.db import Database
from minihttp.testing import Client, Reply
from tests.support.mariadb import PrivateMariaDB

PROJECT = Path(__file__).parents[1]
SAMPLES = 12

ANN = {"name": "Ann", "age": 34, "sex": "female", "city": "Bonn"}
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FORM = {"content-type": "application/x-www-form-urlencoded", **BROWSER}


@pytest.fixture
async def client(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    async with Client(app) as client:
        yield client


async def everybody(client: Client) -> list[Any]:
    items: list[Any] = (await client.get("/api/users?limit=100")).json()["items"]
    return items


async def names(client: Client, query: str) -> list[str]:
    reply = await client.get(f"/api/users?{query}")
    assert reply.status == 200, reply.text
    return [user["name"] for user in reply.json()["items"]]


async def submit(client: Client, path: str, **fields: str) -> Reply:
    return await client.post(path, data=fields, headers=BROWSER)


def wrong_fields(reply: Reply) -> list[str]:
    assert reply.headers["content-type"] == "application/problem+json"
    return [each["field"] for each in reply.json()["errors"]]


# --- the API: reading -----------------------------------------------------------------------------------------------


async def test_a_new_database_gets_the_schema_and_its_rows_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    async with Client(app) as client:
        assert len(await everybody(client)) == SAMPLES
        assert (await client.delete("/api/users/1")).status == 204
    async with Client(app) as client:
        assert len(await everybody(client)) == SAMPLES - 1


async def test_several_that_start_at_once_load_the_schema_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)

    async def start() -> int:
        async with aclosing(lifespan(app)) as running:
            state = await anext(running)
            count: int = await state["users"].count()
            return count

    assert await asyncio.gather(*(start() for _ in range(8))) == [SAMPLES] * 8


async def test_a_user_is_a_flat_object(client: Client) -> None:
    reply = await client.get("/api/users/6")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {"id": 6, "name": "Ada Lovelace", "age": 36, "sex": "female", "city": "London"}


async def test_the_list_comes_in_pages(client: Client) -> None:
    whole = (await client.get("/api/users")).json()
    assert (whole["total"], whole["limit"], whole["offset"]) == (SAMPLES, 20, 0)
    page = (await client.get("/api/users?limit=5&offset=10")).json()
    assert page == {"items": whole["items"][10:], "total": SAMPLES, "limit": 5, "offset": 10}
    assert (await client.get("/api/users?limit=100&offset=9007199254740992")).json()["items"] == []


async def test_the_list_is_filtered(client: Client) -> None:
    assert await names(client, "city=London") == ["Ada Lovelace", "Alan Turing"]
    assert await names(client, f"city={quote('北京')}") == ["王伟", "张敏"]
    assert await names(client, "q=an") == ["Alan Turing", "Conan O'Brien"]
    assert await names(client, "q=an&city=London") == ["Alan Turing"]
    assert await names(client, "q=O'B") == ["Conan O'Brien"]
    assert (await client.get("/api/users?city=London&limit=1")).json()["total"] == 2
    assert (await client.get("/api/users?q=nobody")).json() == {"items": [], "total": 0, "limit": 20, "offset": 0}


@pytest.mark.parametrize("special", ["%", "_", "\\", "\\%", "'", '"', "%' OR '1'='1"])
async def test_nothing_is_special_in_a_search(client: Client, special: str) -> None:
    assert await names(client, f"q={quote(special)}") == (["Conan O'Brien"] if special == "'" else [])
    assert await names(client, f"city={quote(special)}") == []
    added = await client.post("/api/users", json={**ANN, "name": f"a{special}z"})
    assert added.status == 201
    assert f"a{special}z" in await names(client, f"q={quote(special)}")


@pytest.mark.parametrize("field", ["id", "name", "age", "sex", "city"])
async def test_the_list_is_sorted(client: Client, field: str) -> None:
    upward = (await client.get(f"/api/users?order={field}")).json()["items"]
    downward = (await client.get(f"/api/users?order=-{field}")).json()["items"]
    values = [user[field] for user in upward]
    assert values == sorted(values)
    assert [user[field] for user in downward] == values[::-1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=101", "limit"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=abc", "limit"),
        ("limit=", "limit"),
        ("limit=1.5", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=%D9%A3", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("offset=-1", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("order=password", "order"),
        ("order=--age", "order"),
        ("order=age%0A", "order"),
        ("order=age;DROP%20TABLE%20user", "order"),
        ("order=", "order"),
        ("q=%00", "q"),
        (f"q={'x' * 51}", "q"),
        ("city=%0A", "city"),
        ("q=%FF", "q"),
    ],
)
async def test_a_wrong_query_is_refused_and_named(client: Client, query: str, field: str) -> None:
    reply = await client.get(f"/api/users?{query}")
    assert reply.status == (400 if query == "q=%FF" else 422)
    assert wrong_fields(reply) == [field]


async def test_parameters_of_others_are_left_alone(client: Client) -> None:
    assert (await client.get("/api/users?utm_source=mail&id=7")).json()["total"] == SAMPLES


# --- the API: writing -----------------------------------------------------------------------------------------------


async def test_a_user_is_added_read_changed_and_deleted(client: Client) -> None:
    added = await client.post("/api/users", json=ANN)
    ann = {"id": added.json()["id"], **ANN}
    path = f"/api/users/{ann['id']}"
    assert (added.status, added.json(), added.headers["location"]) == (201, ann, path)
    assert (await client.get(path)).json() == ann

    changed = await client.patch(path, json={"age": 35})
    assert (changed.status, changed.json()) == (200, {**ann, "age": 35})
    replaced = await client.put(path, json={**ANN, "name": "Anna", "city": ""})
    assert (replaced.status, replaced.json()) == (200, {**ann, "name": "Anna", "city": ""})
    assert (await client.get(path)).json() == replaced.json()

    deleted = await client.delete(path)
    assert (deleted.status, deleted.content) == (204, b"")
    assert (await client.get(path)).status == 404
    assert len(await everybody(client)) == SAMPLES


async def test_the_same_value_again_is_a_success(client: Client) -> None:
    ada = (await client.get("/api/users/6")).json()
    fields = {name: value for name, value in ada.items() if name != "id"}
    for reply in (
        await client.patch("/api/users/6", json={"age": 36}),
        await client.put("/api/users/6", json=fields),
        await client.patch("/api/users/6", json={}),
    ):
        assert (reply.status, reply.json()) == (200, ada)


@pytest.mark.parametrize("id", ["13", "0", "-1", str(2**31), str(2**63), "9" * 40])
async def test_a_user_that_is_not_there_is_404(client: Client, id: str) -> None:
    path = f"/api/users/{id}"
    for reply in (
        await client.get(path),
        await client.head(path),
        await client.put(path, json=ANN),
        await client.patch(path, json={"age": 1}),
        await client.patch(path, json={}),
        await client.delete(path),
        await client.get(f"/users/{id}"),
        await submit(client, f"/users/{id}", name="x", age="1", sex="other", city=""),
    ):
        assert reply.status == 404
    assert len(await everybody(client)) == SAMPLES


@pytest.mark.parametrize("id", ["abc", "1.5", "%31x", "1%00", "", "1 OR 1=1"])
async def test_what_is_no_id_is_404(client: Client, id: str) -> None:
    assert (await client.get(f"/api/users/{quote(id, safe='%')}/")).status == 404 or id == ""
    assert (await client.delete(f"/api/users/{quote(id, safe='%')}")).status in (404, 308)


async def test_a_repeated_key_gets_the_first_answer_and_adds_nobody(client: Client) -> None:
    headers = {"idempotency-key": "5f1c-!"}
    first = await client.post("/api/users", json=ANN, headers=headers)
    assert first.status == 201
    again = await client.post("/api/users", json=dict(reversed(ANN.items())), headers=headers)
    assert (again.status, again.json(), again.headers["location"]) == (201, first.json(), first.headers["location"])
    await client.patch(first.headers["location"], json={"age": 35})
    assert (await client.post("/api/users", json=ANN, headers=headers)).json() == first.json()
    await client.delete(first.headers["location"])
    assert (await client.post("/api/users", json=ANN, headers=headers)).json() == first.json()
    assert len(await everybody(client)) == SAMPLES
    await client.post("/api/users", json=ANN, headers={"idempotency-key": "5F1C-!"})  # is another key
    assert len(await everybody(client)) == SAMPLES + 1


async def test_a_key_is_for_one_user_only(client: Client) -> None:
    headers = {"idempotency-key": "7"}
    assert (await client.post("/api/users", json={**ANN, "age": -1}, headers=headers)).status == 422
    assert (await client.post("/api/users", json=ANN, headers=headers)).status == 201  # what was refused used no key up
    for field, value in {"name": "Anna", "age": 35, "sex": "other", "city": "bonn"}.items():
        reply = await client.post("/api/users", json={**ANN, field: value}, headers=headers)
        assert (reply.status, reply.json()["detail"].partition(":")[0]) == (
            422,
            "this Idempotency-Key was sent with another user before",
        )
    assert len(await everybody(client)) == SAMPLES + 1


@pytest.mark.parametrize("key", ["", "a b", "\xe9", "x" * 101])
async def test_a_key_that_is_none_is_refused(client: Client, key: str) -> None:
    reply = await client.post("/api/users", json=ANN, headers={"idempotency-key": key})
    assert (reply.status, reply.json()["detail"]) == (
        400,
        "the Idempotency-Key must be 1 to 100 visible ASCII characters",
    )
    assert len(await everybody(client)) == SAMPLES


async def test_the_longest_of_everything_has_room(client: Client) -> None:
    headers = {"idempotency-key": "x" * 100}
    user = {"name": '"' * 50, "age": 150, "sex": "female", "city": "\\" * 50}
    for _ in range(2):
        reply = await client.post("/api/users", json=user, headers=headers)
        assert (reply.status, reply.json()) == (201, {"id": SAMPLES + 1, **user})


async def test_the_same_key_at_the_same_time(client: Client) -> None:
    headers = {"idempotency-key": "7"}
    replies = await asyncio.gather(*(client.post("/api/users", json=ANN, headers=headers) for _ in range(4)))
    assert {(reply.status, reply.text) for reply in replies} == {(201, replies[0].text)}
    assert len(await everybody(client)) == SAMPLES + 1


async def test_a_key_that_meets_a_deadlock_is_tried_again(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", mysql_url)
    headers = {"idempotency-key": "7"}
    waiting = (
        "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'INSERT INTO user_p%'"
    )
    async with Client(app) as client, Database(mysql_url) as db, asyncio.timeout(30):
        async with db.transaction() as tx:
            for key in "1234567":  # who has changed more rows is the one whom the server lets live
                await tx.execute("INSERT INTO user_posted (`key`, answer) VALUES (:key, '')", key=key)
            post = asyncio.create_task(client.post("/api/users", json=ANN, headers=headers))
            while not await tx.scalar(waiting):
                pass
            await tx.all("SELECT id FROM `user` FOR UPDATE")  # now each waits for the other
            await tx.execute("DELETE FROM user_posted")
        reply = await post
        assert (reply.status, reply.json()["name"]) == (201, "Ann")
        assert len(await everybody(client)) == SAMPLES + 1


class CutAtCommit:
    """Stands between the program and its server and cuts the connection at the next COMMIT, which may have arrived."""

    def __init__(self, url: str, arrives: bool) -> None:
        self.url = urlsplit(url)
        self.arrives = arrives
        self.armed = False
        self.running: set[asyncio.Task[None] | None] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.running.add(asyncio.current_task())
        from_server, to_server = await asyncio.open_connection(self.url.hostname, self.url.port)
        back = asyncio.create_task(self.copy(from_server, writer))
        while data := await reader.read(65536):
            if self.armed and b"COMMIT" in data:
                self.armed = False
                back.cancel()
                await asyncio.wait([back])
                if self.arrives:
                    to_server.write(data)
                    await from_server.read(1)
                break
            to_server.write(data)
        back.cancel()
        await asyncio.wait([back])
        for each in (writer, to_server):
            each.transport.abort()
            with suppress(ConnectionError):
                await each.wait_closed()

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_post_of_unknown_outcome_is_repeated_with_its_key(
    mysql_url: str, monkeypatch: pytest.MonkeyPatch, arrives: bool
) -> None:
    cut = CutAtCommit(mysql_url, arrives)
    async with await asyncio.start_server(cut, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        monkeypatch.setenv("DATABASE_URL", mysql_url.replace(f":{cut.url.port}/", f":{port}/"))
        async with Client(app) as client:
            cut.armed = True
            unknown = await client.post("/api/users", json=ANN, headers={"idempotency-key": "7"})
            assert (unknown.status, "retry-after" in unknown.headers) == (503, False)
            assert len(await everybody(client)) == SAMPLES + arrives
            for _ in range(2):
                reply = await client.post("/api/users", json=ANN, headers={"idempotency-key": "7"})
                assert (reply.status, reply.json()["name"]) == (201, "Ann")
            assert len(await everybody(client)) == SAMPLES + 1
        await asyncio.gather(*filter(None, cut.running))


LONG = "x" * 51
WRONG: list[tuple[str, Any]] = [
    *[
        ("name", value)
        for value in ("", " ", "\t", "　", LONG, "😀" * 51, "a\0b", "a\nb", "a\n", "\x7f", "a\x85", 7, None, [], {})
    ],
    *[("age", value) for value in (-1, 151, 1.5, 36.0, True, "abc", "36", "", None, 10**30, [1])],
    *[("sex", value) for value in ("", "Male", "male ", "m", 1, None, ["male"])],
    *[("city", value) for value in (LONG, "a\0b", "a\rb", 7, None)],
    *[(unknown, "1") for unknown in ("id", "nickname", "", "Name", "__class__")],
]


@pytest.mark.parametrize(("field", "value"), WRONG)
async def test_a_wrong_value_is_refused_named_and_not_stored(client: Client, field: str, value: object) -> None:
    before = await everybody(client)
    for reply in (
        await client.post("/api/users", json={**ANN, field: value}),
        await client.put("/api/users/1", json={**ANN, field: value}),
        await client.patch("/api/users/1", json={field: value}),
        await client.patch("/api/users/1", json={"age": 1, field: value} if field != "age" else {field: value}),
    ):
        assert reply.status == 422, reply.text
        assert wrong_fields(reply) == [field]
    assert await everybody(client) == before


@pytest.mark.parametrize("missing", list(ANN))
async def test_a_missing_field_is_refused_and_named(client: Client, missing: str) -> None:
    fields = {name: value for name, value in ANN.items() if name != missing}
    for reply in (await client.post("/api/users", json=fields), await client.put("/api/users/1", json=fields)):
        assert (reply.status, wrong_fields(reply)) == (422, [missing])
    assert len(await everybody(client)) == SAMPLES


async def test_all_wrong_fields_are_named_at_once(client: Client) -> None:
    reply = await client.post("/api/users", json={"name": "", "age": -1, "sex": "x", "nickname": "y"})
    assert sorted(wrong_fields(reply)) == ["age", "city", "name", "nickname", "sex"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"name=Ann", 400),
        (b'{"name": "\xff"}', 400),
        (b'{"name": "\\ud800", "age": 1, "sex": "other", "city": ""}', 400),
        (b"[" * 100_000, 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"Ann"', 422),
        (b'{"name": "' + b"x" * (1 << 21) + b'"}', 413),
    ],
)
async def test_a_body_that_is_no_user_is_refused(client: Client, body: bytes, status: int) -> None:
    for method, path in (("POST", "/api/users"), ("PUT", "/api/users/1"), ("PATCH", "/api/users/1")):
        reply = await client.request(method, path, content=body, headers={"content-type": "application/json"})
        assert reply.status == status
    assert len(await everybody(client)) == SAMPLES


@pytest.mark.parametrize(
    "text", ["王小明", "😀" * 50, "字" * 50, "👩‍👩‍👧", "e\u0301", "O'Brien\\", "a  b ", "<b>&amp;", "\u200fא"]
)
async def test_text_comes_back_as_it_was_sent(client: Client, text: str) -> None:
    added = await client.post("/api/users", json={**ANN, "name": text, "city": text})
    assert added.status == 201, added.text
    read = (await client.get(added.headers["location"])).json()
    assert (read["name"], read["city"]) == (text, text)
    assert read in (await client.get(f"/api/users?city={quote(text)}")).json()["items"]


async def test_head_options_and_other_methods(client: Client) -> None:
    for path, allowed in (
        ("/api/users", "GET, HEAD, OPTIONS, POST"),
        ("/api/users/1", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/users/1", "GET, HEAD, OPTIONS, POST"),
    ):
        whole, head = await client.get(path), await client.head(path)
        assert (head.status, head.content) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
        options = await client.options(path)
        assert (options.status, options.headers["allow"]) == (204, allowed)
    refused = await client.delete("/api/users")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")


# --- the pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/users"])
async def test_the_list_is_a_page(client: Client, path: str) -> None:
    reply = await client.get(path, headers=BROWSER)
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r'<a href="(/users/[0-9]+)"[^>]*>([^<]*)</a>', reply.text)[5] == ("/users/6", "Ada Lovelace")
    assert len(re.findall(r"<tr>", reply.text)) == SAMPLES + 1


def link(reply: Reply, rel: str) -> str | None:
    found = re.search(rf'<a rel="{rel}" href="([^"]*)"', reply.text)
    return found[1].replace("&amp;", "&") if found else None


async def test_the_pages_of_the_list_are_linked(client: Client) -> None:
    seen = 0
    path: str | None = "/users?limit=5&order=-age"
    while path:
        reply = await client.get(path, headers=BROWSER)
        seen += reply.text.count('<td class="name">')
        assert (link(reply, "prev") is None) == (seen <= 5)
        path = link(reply, "next")
    assert seen == SAMPLES
    assert "11&ndash;12 of 12" in reply.text


async def test_the_list_is_filtered_and_keeps_what_was_typed(client: Client) -> None:
    reply = await client.get('/users?city=London&q="><script>', headers=BROWSER)
    assert reply.status == 200
    assert "No user matches" in reply.text
    assert 'value="London"' in reply.text
    assert "<script>" not in reply.text
    assert "&lt;script&gt;" in reply.text
    london = await client.get("/users?city=London", headers=BROWSER)
    assert "Alan Turing" in london.text
    assert "Grace Hopper" not in london.text


async def test_a_wrong_query_is_a_page_too(client: Client) -> None:
    reply = await client.get("/users?limit=abc", headers=BROWSER)
    assert reply.status == 422
    assert reply.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_user_has_a_page_with_a_form(client: Client) -> None:
    text = (await client.get("/users/1", headers=BROWSER)).text
    assert "<h1" in text
    assert "王伟" in text
    assert '<form class="fields" method="post" action="/users/1">' in text
    assert re.search(r'name="age" value="34"', text)
    assert re.search(r"<option selected>male</option>", text)


async def test_the_form_changes_the_user_and_leads_back(client: Client) -> None:
    reply = await submit(client, "/users/1", name="王大伟", age="35", sex="other", city="上海")
    assert (reply.status, reply.headers["location"], reply.content) == (303, "/users/1", b"")
    changed = (await client.get("/api/users/1")).json()
    assert changed == {"id": 1, "name": "王大伟", "age": 35, "sex": "other", "city": "上海"}


async def test_a_form_adds_a_user(client: Client) -> None:
    empty = await client.get("/users/new", headers=BROWSER)
    assert empty.status == 200
    assert '<form class="fields" method="post" action="/users">' in empty.text
    assert "error" not in empty.text
    reply = await submit(client, "/users", name="Zed", age="0", sex="male", city="")
    assert (reply.status, reply.headers["location"]) == (303, f"/users/{SAMPLES + 1}")
    assert "Zed" in (await client.get(reply.headers["location"], headers=BROWSER)).text


@pytest.mark.parametrize("path", ["/users", "/users/1"])
async def test_a_wrong_form_comes_back_with_what_was_typed(client: Client, path: str) -> None:
    before = await everybody(client)
    reply = await submit(client, path, name='"><script>alert(1)</script>' + LONG, age="abc", sex="female", city="a\0")
    assert reply.status == 422
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    for field in ("name", "age", "city"):
        assert re.search(rf'<input id="{field}"[^>]*aria-describedby="{field}-error"', reply.text), field
        assert f'id="{field}-error">' in reply.text
    assert "must have at most 50 characters" in reply.text
    assert "must be an integer" in reply.text
    assert 'id="sex-error"' not in reply.text
    assert "<script>" not in reply.text
    assert "alert(1)&lt;/script&gt;" in reply.text
    assert 'value="abc"' in reply.text
    assert "<option selected>female</option>" in reply.text
    assert await everybody(client) == before


@pytest.mark.parametrize("age", ["", "-1", "151", "1.5", "1e2", " 7", "٣", "9" * 30, "true"])
async def test_an_age_typed_wrong_is_marked(client: Client, age: str) -> None:
    reply = await submit(client, "/users/1", name="Ann", age=age, sex="female", city="")
    assert reply.status == 422
    assert re.findall(r'id="([a-z]+)-error"', reply.text) == ["age"]


@pytest.mark.parametrize("body", [b"", b"x", b"name=&age=&sex=&city=", b"name=%FF", b"name=a&name=b"])
async def test_a_broken_form_is_refused(client: Client, body: bytes) -> None:
    reply = await client.request("POST", "/users", content=body, headers=FORM)
    assert reply.status in (400, 422)
    assert len(await everybody(client)) == SAMPLES


async def test_a_file_is_no_name(client: Client) -> None:
    parts = [("name", '; filename="a"', "Ann"), ("age", "", "1"), ("sex", "", "other"), ("city", "", "Bonn")]
    lines = [f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{text}' for name, more, text in parts]
    body = "\r\n".join([*lines, "--b--\r\n"]).encode()
    headers = {**BROWSER, "content-type": "multipart/form-data; boundary=b"}
    reply = await client.request("POST", "/users", content=body, headers=headers)
    assert (reply.status, re.findall(r'id="([a-z]+)-error"', reply.text)) == (422, ["name"])


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "{{ 7 * 7 }}"])
async def test_what_users_are_called_is_escaped(client: Client, name: str) -> None:
    added = await client.post("/api/users", json={**ANN, "name": name, "city": name})
    for path in ("/users?limit=100", f"/users?city={quote(name)}", f"/users/{added.json()['id']}"):
        text = (await client.get(path, headers=BROWSER)).text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "49" not in re.findall(r"<h1[^>]*>([^<]*)<", text)


async def test_a_browser_sees_a_page_for_what_is_not_there(client: Client) -> None:
    for path in ("/users/99", "/nothing"):
        page = await client.get(path, headers=BROWSER)
        assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        problem = await client.get(path)
        assert (problem.status, problem.headers["content-type"]) == (404, "application/problem+json")


async def test_the_pages_find_their_style(client: Client) -> None:
    path = re.search(r'<link rel="stylesheet" href="([^"]+)"', (await client.get("/")).text)
    assert path is not None
    reply = await client.get(path[1])
    assert (reply.status, reply.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "prefers-color-scheme" in reply.text


# --- the whole program ----------------------------------------------------------------------------------------------


class Program:
    """The example in a process of its own, on a port that the system chose."""

    def __init__(self, database: str, *arguments: str, port: int = 0) -> None:
        command = [sys.executable, "-W", "error", "examples/users_app.py", "--port", str(port), "--database", database]
        path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)}
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.stdout = self.stderr = ""

    def started(self) -> Program:
        """Wait for the line with the address."""
        if self.process.stdout is None:
            raise RuntimeError("no output to read")
        self.stdout = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:([0-9]+)", self.stdout)
        if found is None:
            self.process.kill()
            raise RuntimeError(f"no address in {self.stdout!r}:\n{self.process.communicate()[1]}")
        self.port = int(found[1])
        return self

    def ended(self) -> int:
        """Wait for the end; the exit status."""
        more, self.stderr = self.process.communicate(timeout=60)
        self.stdout += more
        return self.process.returncode

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.ended()

    def ask(
        self, method: str, path: str, value: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, http.client.HTTPResponse]:
        """One request on a connection of its own, by a client that is not ours: status, body, response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = None if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        is_json = "json" in response.headers.get("content-type", "") and data
        return response.status, json.loads(data) if is_json else data, response


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Starts the program; whatever is left of it is killed."""
    programs: list[Program] = []

    def start(*arguments: str, **options: Any) -> Program:
        programs.append(Program(*arguments, **options))
        return programs[-1]

    yield start
    for each in programs:
        each.process.kill()
        each.process.communicate()


@contextmanager
def connected(program: Program) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", program.port), timeout=60) as client:
        yield client


def receive_head(client: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        if not piece:
            break
        data += piece
    return data


def receive_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_all_methods_over_the_network(start: Callable[..., Program], database_url: str) -> None:
    program = start(database_url).started()
    user = {"name": "欧阳锋", "age": 60, "sex": "male", "city": "西域"}
    status, added, response = program.ask("POST", "/api/users", user)
    path = response.headers["location"]
    assert (status, added) == (201, {"id": SAMPLES + 1, **user})
    assert program.ask("GET", path)[:2] == (200, added)
    assert program.ask("GET", f"/api/users?city={quote('西域')}")[1]["items"] == [added]
    assert program.ask("HEAD", path)[:2] == (200, b"")
    status, _, response = program.ask("OPTIONS", path)
    assert (status, response.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PATCH, PUT")
    assert program.ask("PUT", path, {**user, "city": "北京"})[:2] == (200, {**added, "city": "北京"})
    assert program.ask("PATCH", path, {"age": 61})[:2] == (200, {**added, "city": "北京", "age": 61})
    assert "欧阳锋" in program.ask("GET", f"/users/{added['id']}")[1].decode()
    for method, value in (("POST", {}), ("PUT", []), ("PATCH", {"age": -1}), ("PATCH", b"\xff")):
        assert program.ask(method, "/api/users" if method == "POST" else path, value)[0] in (400, 422)
    assert program.ask("DELETE", path)[:2] == (204, b"")
    assert program.ask("DELETE", path)[0] == 404
    assert program.ask("GET", "/static/users.css")[0] == 200
    assert program.stop() == 0
    assert (program.stdout.count("\n"), program.stderr) == (1, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_request_finish(
    start: Callable[..., Program], tmp_path: Path, number: signal.Signals
) -> None:
    url = f"sqlite:///{tmp_path / 'users.db'}"
    program = start(url).started()
    body = json.dumps(ANN).encode()
    head = f"POST /api/users HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n"
    with connected(program) as idle, connected(program) as busy:
        idle.sendall(b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n")
        assert receive_head(idle).startswith(b"HTTP/1.1 204 ")
        busy.sendall(head.encode())
        assert receive_head(busy).startswith(b"HTTP/1.1 100 ")  # its handler is running, and waits for the body
        program.process.send_signal(number)
        assert idle.recv(1) == b""  # the signal has arrived: connections without work are closed
        busy.sendall(body)
        answer = receive_all(busy)
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert program.ended() == 0
    assert program.stderr == ""
    again = start(url).started()
    assert again.ask("GET", f"/api/users/{SAMPLES + 1}")[0] == 200
    assert again.stop(number) == 0


def assert_refused(program: Program, *words: str) -> None:
    """It ended with status 1 and one plain line that has these words."""
    assert program.ended() == 1
    assert program.stdout == ""
    assert program.stderr.count("\n") == 1, program.stderr
    assert "Traceback" not in program.stderr
    for word in words:
        assert word in program.stderr


def test_a_port_in_use_is_one_line(start: Callable[..., Program], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_refused(start(f"sqlite:///{tmp_path / 'users.db'}", port=port), f"127.0.0.1:{port}", "in use")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://app:hunter2@127.0.0.1:1/app", ("127.0.0.1:1",)),
        ("postgres://app:hunter2@127.0.0.1/app", ("database URL",)),
        ("mysql://app:hunter2@127.0.0.1", ("database name",)),
        ("mysql://app:hunter2@127.0.0.1/app?pool=2", ("pool",)),
        ("sqlite:////nonexistent/folder/users.db", ("/nonexistent/folder/users.db",)),
        ("users.db", ("sqlite:///",)),
    ],
)
def test_a_database_that_cannot_be_is_one_line(start: Callable[..., Program], url: str, words: tuple[str, ...]) -> None:
    program = start(url)
    assert_refused(program, *words)
    assert "hunter2" not in program.stderr


def test_a_database_that_refuses_is_one_line(start: Callable[..., Program], mysql_url: str) -> None:
    login, _, name = mysql_url.rpartition("/")
    stranger = re.sub(r"//[^@]*@", "//nobody:hunter2@", mysql_url)
    password = re.findall(r"//[^:]*:([^@]*)@", mysql_url)[0]
    for url, word in ((stranger, "nobody"), (f"{login}/{name}_missing", f"{name}_missing")):
        program = start(url)
        assert_refused(program, word)
        assert "hunter2" not in program.stderr
        assert password not in program.stderr


def until_it_recovers(program: Program, path: str) -> None:
    deadline = time.monotonic() + 60
    while (status := program.ask("GET", path)[0]) == 503 and time.monotonic() < deadline:
        pass
    assert status == 200


def test_a_lost_database_is_503_until_it_is_back(
    start: Callable[..., Program], own_mariadb: Callable[..., PrivateMariaDB]
) -> None:
    server = own_mariadb()
    program = start(server.url()).started()
    status, added, _ = program.ask("POST", "/api/users", ANN)
    assert status == 201
    server.kill()

    status, problem, response = program.ask("GET", "/api/users/1")
    assert (status, problem["title"]) == (503, "Service Unavailable")
    assert int(response.headers["retry-after"]) > 0
    for method, value in (("POST", ANN), ("PUT", ANN), ("PATCH", {}), ("DELETE", None)):
        path = "/api/users" if method == "POST" else "/api/users/1"
        assert program.ask(method, path, value)[0] == 503
    status, page, response = program.ask("GET", "/", headers=BROWSER)
    assert (status, response.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert b"127.0.0.1" not in page  # where the database is, is the operator's business
    assert program.ask("GET", "/static/users.css")[0] == 200

    server.restart()
    until_it_recovers(program, "/")
    assert program.ask("GET", f"/api/users/{added['id']}")[:2] == (200, added)
    assert program.ask("POST", "/api/users", ANN)[0] == 201
    assert program.stop() == 0
    lost, back = program.stderr.splitlines()  # the operator is told, once each, however many requests fail
    assert lost.startswith("the database is lost")
    assert f"127.0.0.1:{server.port}" in lost
    assert back == "the database is back"
    assert re.findall(r"//[^:]*:([^@]*)@", server.url())[0] not in program.stderr


def test_a_database_that_is_down_at_the_start_is_one_line(
    start: Callable[..., Program], own_mariadb: Callable[..., PrivateMariaDB]
) -> None:
    server = own_mariadb()
    server.kill()
    assert_refused(start(server.url()), f"127.0.0.1:{server.port}")

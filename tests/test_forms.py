"""Query strings, cookies and form bodies."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minihttp import forms, spool
from minihttp.errors import FieldError, HTTPError
from minihttp.forms import (
    FormData,
    UploadFile,
    format_cookie,
    parse_cookies,
    parse_query,
    read_form,
)

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=xyz"


async def chunked(body: bytes, size: int = 1 << 16) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def form_of(body: bytes, content_type: str = MULTIPART, size: int = 1 << 16) -> FormData:
    return await read_form(content_type, chunked(body, size))


def part(name: str, content: bytes = b"", filename: str | None = None, *more: str) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    head = "\r\n".join(["--xyz", disposition, *more, "", ""])
    return head.encode() + content + b"\r\n"


def body_of(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--xyz--\r\n"


# --- query strings


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", []),
        ("a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        ("a", [("a", "")]),
        ("a=", [("a", "")]),
        ("=1", [("", "1")]),
        ("a=1&&b=2&", [("a", "1"), ("b", "2")]),
        ("a=1;b=2", [("a", "1;b=2")]),
        ("a=b=c", [("a", "b=c")]),
        ("a+b=c+d%2Be", [("a b", "c d+e")]),
        ("%E5%8C%97=%e4%ba%ac", [("北", "京")]),
        ("a=100%&b=%zz&c=%4", [("a", "100%"), ("b", "%zz"), ("c", "%4")]),
        ("a=%26%3D%00", [("a", "&=\0")]),
    ],
)
def test_queries(query: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_query(query).multi_items() == pairs


@pytest.mark.parametrize("query", ["a=%ff", "a=%ED%A0%80", "%ff=1"])
def test_a_query_that_is_not_utf8_is_400(query: str) -> None:
    with pytest.raises(HTTPError) as caught:
        parse_query(query)
    assert caught.value.status == 400
    assert caught.value.errors[0]["detail"] == "is not UTF-8"


def test_a_query_names_what_is_missing() -> None:
    with pytest.raises(FieldError, match="query parameter 'id' is missing"):
        parse_query("a=1")["id"]


def test_the_count_of_parameters_is_bounded() -> None:
    assert len(parse_query("&".join(f"a{i}" for i in range(1000)))) == 1000
    with pytest.raises(HTTPError) as caught:
        parse_query("&" * 1000)
    assert caught.value.status == 400


@given(st.text(st.characters(max_codepoint=0xFF)))
def test_any_query_is_read_or_400(query: str) -> None:
    try:
        parse_query(query)
    except HTTPError as error:
        assert error.status == 400


# --- cookies


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        ("", []),
        ("a=1; b=2", [("a", "1"), ("b", "2")]),
        ("a=1;b=2 ;\tc = 3", [("a", "1"), ("b", "2"), ("c", "3")]),
        ('a="1"; b="', [("a", "1"), ("b", '"')]),
        ("a=1; a=2", [("a", "1"), ("a", "2")]),
        ("a; =1; ;b=2", [("b", "2")]),
        ("a=b=c", [("a", "b=c")]),
        ("a=%41", [("a", "%41")]),
        ('a="\\073"', [("a", "\\073")]),
        ("a=\xa0x\xa0", [("a", "\xa0x\xa0")]),
    ],
)
def test_cookies(value: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_cookies(value).multi_items() == pairs


def test_the_first_cookie_counts() -> None:
    assert parse_cookies("a=1; a=2")["a"] == "1"


@given(st.text())
def test_no_cookie_raises(value: str) -> None:
    parse_cookies(value)


def test_set_cookie() -> None:
    assert format_cookie("id", "7") == "id=7; Path=/; HttpOnly; SameSite=Lax"
    noon = datetime(2026, 11, 22, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    full = format_cookie(
        "__Host-id",
        "a%20b",
        max_age=60,
        expires=noon,
        secure=True,
        httponly=False,
        samesite="none",
    )
    assert full == ("__Host-id=a%20b; Max-Age=60; Expires=Sun, 22 Nov 2026 12:00:00 GMT; Path=/; Secure; SameSite=None")
    assert format_cookie("a", "", path=None, domain="example.org", samesite=None) == "a=; Domain=example.org; HttpOnly"
    assert format_cookie("a", "b", path="/x", max_age=0, samesite="strict").endswith(
        "Path=/x; HttpOnly; SameSite=Strict"
    )
    read = parse_cookies(format_cookie("a", "b", path=None, samesite=None, httponly=False))
    assert read.multi_items() == [("a", "b")]


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"name": "a b"}, "not a cookie name"),
        ({"name": ""}, "not a cookie name"),
        ({"name": "a\r\nset-cookie: b"}, "not a cookie name"),
        ({"value": "a b"}, r"quote\(\)"),
        ({"value": "a;b"}, "quote"),
        ({"value": "ä"}, "base64"),
        ({"value": "a\r\nx"}, "quote"),
        ({"value": "x" * 4096}, "keep it on the server"),
        ({"path": "/;secure"}, "'Path=/;secure' of cookie 'a' must be ASCII without semicolon"),
        ({"path": "/\r\nx: y"}, "ASCII"),
        ({"domain": "a;b"}, "without semicolon"),
        ({"domain": "\u00e4.example"}, "ASCII"),
        ({"samesite": "lax; Domain=b"}, "without semicolon"),
        ({"samesite": "none"}, "needs secure=True"),
        ({"name": "__Secure-a"}, "needs secure=True"),
        ({"name": "__Host-a"}, "needs secure=True"),
    ],
)
def test_cookies_that_browsers_would_drop_are_refused(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        format_cookie(**{"name": "a", "value": "b", **arguments})


def test_expiry_in_utc() -> None:
    assert "Expires=Thu, 01 Jan 2026 00:00:00 GMT" in format_cookie("a", "b", expires=datetime(2026, 1, 1, tzinfo=UTC))
    local = datetime(2026, 1, 1)
    assert format_cookie("a", "b", expires=local) == format_cookie("a", "b", expires=local.astimezone(UTC))


@given(st.text(), st.text())
def test_no_cookie_splits_the_field(name: str, value: str) -> None:
    try:
        text = format_cookie(name, value, httponly=False, samesite=None, path=None)
    except ValueError:
        return
    assert text == f"{name}={value}"
    assert text.isascii()
    assert text.isprintable()
    assert ";" not in text


# --- form bodies


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_urlencoded(size: int) -> None:
    form = await form_of(b"a=1&name=%E5%8C%97+x&a=2&raw=\xe4\xba\xac", URLENCODED + "; charset=UTF-8", size)
    assert form.multi_items() == [("a", "1"), ("name", "北 x"), ("a", "2"), ("raw", "京")]
    assert form.get("a", type=int) == 1
    with pytest.raises(FieldError, match="form field 'b' is missing"):
        form["b"]


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 16])
async def test_multipart(size: int) -> None:
    photo = bytes(range(256)) * 4 + b"\r\n--xy\r\n-"
    body = body_of(
        part("name", "Ada 北京".encode()),
        part("empty"),
        part("photo", photo, "me.png", "Content-Type: image/png", "X-Extra: 1"),
        part("name", b"again"),
        part("none", b"", ""),
    )
    form = await form_of(body, size=size)
    assert form.getall("name") == ["Ada 北京", "again"]
    assert form["empty"] == ""
    upload = form["photo"]
    assert isinstance(upload, UploadFile)
    assert (upload.filename, upload.content_type, upload.size) == ("me.png", "image/png", len(photo))
    assert upload.read(3) == photo[:3]
    assert upload.read() == photo[3:]
    none = form["none"]
    assert isinstance(none, UploadFile)
    assert (none.filename, none.content_type, none.size) == ("", "application/octet-stream", 0)
    form.close()
    assert upload.file.closed
    assert none.file.closed


@pytest.mark.parametrize(
    "content_type",
    [
        "Multipart/Form-Data ;Boundary=xyz",
        'multipart/form-data; boundary="xyz"; charset=latin-1',
        'multipart/form-data; x="; boundary=no"; boundary=xyz',
        r'multipart/form-data; x="\"; boundary=no"; boundary=xyz',
        "multipart/form-data;; x; boundary=xyz;",
    ],
)
async def test_the_boundary_is_found(content_type: str) -> None:
    assert (await form_of(body_of(part("a", b"1")), content_type)).multi_items() == [("a", "1")]


async def test_an_empty_multipart_form() -> None:
    assert len(await form_of(b"--xyz--\r\n")) == 0


async def test_the_epilogue_may_come_late_and_empty_chunks_mean_nothing() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"", b"preamble\r\n", part("a", b"1") + b"--xyz--", b"", b"\r\n", b"epilogue"):
            yield chunk

    form = await read_form(MULTIPART, chunks())
    assert form.multi_items() == [("a", "1")]


async def test_large_uploads_go_to_disk() -> None:
    form = await form_of(body_of(part("small", b"x" * 1000, "s"), part("large", b"y" * (1 << 20) + b"z", "l")))
    small, large = form["small"], form["large"]
    assert isinstance(small, UploadFile)
    assert isinstance(large, UploadFile)
    assert not small.file._rolled  # type: ignore[attr-defined]  # where the bytes are has no public name
    assert large.file._rolled  # type: ignore[attr-defined]  # same
    assert large.read().endswith(b"yz")
    form.close()
    assert large.file.closed


async def test_an_upload_closes_when_forgotten() -> None:
    form = await form_of(body_of(part("f", b"x", "f")))
    upload = form["f"]
    assert isinstance(upload, UploadFile)
    inner = upload.file._file  # type: ignore[attr-defined]  # what really holds the bytes
    del form, upload
    assert inner.closed


async def test_an_upload_in_a_circle_is_forgotten_without_a_warning() -> None:
    form = await form_of(body_of(part("f", b"x", "f"), part("a", b"x")))
    upload = form["f"]
    assert isinstance(upload, UploadFile)
    upload.filename = [upload]  # type: ignore[assignment]  # a circle
    inner = upload.file._file  # type: ignore[attr-defined]  # what really holds the bytes
    del form, upload
    gc.collect()
    assert inner.closed


async def test_file_names_come_as_they_are() -> None:
    form = await form_of(body_of(part("f", b"", "../../etc/pass%22wd")))
    upload = form["f"]
    assert isinstance(upload, UploadFile)
    assert upload.filename == '../../etc/pass"wd'
    form.close()


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("", 415),
        ("application/json", 415),
        ("multipart/mixed; boundary=xyz", 415),
        (URLENCODED + "; charset=latin-1", 415),
        ("multipart/form-data", 400),
        ('multipart/form-data; boundary="x\ny"', 400),
        ('multipart/form-data; boundary="', 400),
        ('multipart/form-data; x="; boundary=xyz', 400),
        ('multipart/form-data; x="; boundary=xyz"', 400),
    ],
)
async def test_content_types_that_are_no_form(content_type: str, status: int) -> None:
    with pytest.raises(HTTPError) as caught:
        await form_of(b"", content_type)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary",
        b"--xyz\r\n",
        part("a", b"1"),
        body_of(b"--xyz\r\n\r\nno head\r\n"),
        body_of(b"--xyz\r\nContent-Disposition: attachment\r\n\r\n\r\n"),
        body_of(b"--xyz\r\nno colon\r\n\r\n\r\n"),
        body_of(b'--xyz\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\r\n'),
        body_of(part("a", b"\xff")),
        body_of(part("a", b"1", "file", "Content-Length: +1")),
    ],
)
async def test_malformed_multipart_is_400(body: bytes) -> None:
    with pytest.raises(HTTPError) as caught:
        await form_of(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"a=%ff", b"a=\xff"])
async def test_forms_that_are_not_utf8_are_400(body: bytes) -> None:
    with pytest.raises(HTTPError) as caught:
        await form_of(body, URLENCODED)
    assert caught.value.status == 400


async def test_a_part_in_another_charset_is_415() -> None:
    with pytest.raises(HTTPError) as caught:
        await form_of(body_of(part("a", b"x", None, "Content-Type: text/plain; charset=utf-16")))
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("body", "content_type", "limits"),
    [
        (b"a=1&b=2", URLENCODED, {"max_fields": 1}),
        (b"a=12345678", URLENCODED, {"max_memory": 9}),
        (body_of(part("a"), part("b")), MULTIPART, {"max_fields": 1}),
        (body_of(part("a", b"", "f"), part("b", b"", "f")), MULTIPART, {"max_files": 1}),
        (body_of(part("a"), part("b")), MULTIPART, {"max_fields": 1, "max_files": 0}),
        (body_of(part("a", b"123"), part("b", b"456")), MULTIPART, {"max_memory": 5}),
        (body_of(part("a", b"", None, "X: " + "y" * 5000)), MULTIPART, {}),
        (body_of(part("a", b"", None, *["X: y"] * 9)), MULTIPART, {}),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 16])
async def test_limits_are_413(
    body: bytes, content_type: str, limits: dict[str, int], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(forms, name.upper(), value)
    with pytest.raises(HTTPError) as caught:
        await form_of(body, content_type, size)
    assert caught.value.status == 413


async def test_limits_met_exactly_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MAX_FIELDS", 2)
    monkeypatch.setattr(forms, "MAX_FILES", 1)
    monkeypatch.setattr(forms, "MAX_MEMORY", 7)
    form = await form_of(body_of(part("a", b"123"), part("b", b"4567"), part("f", b"x" * 100, "f")))
    assert len(form) == 3
    form.close()
    assert len(await form_of(b"a=1&b=2", URLENCODED)) == 2


class Gone(Exception):
    pass


@pytest.mark.parametrize("error", [Gone(), None])
async def test_uploads_are_closed_when_the_form_never_ends(error: Gone | None, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    first = spool.Spooled

    def noted(*arguments: Any) -> Any:
        made.append(first(*arguments))
        return made[-1]

    monkeypatch.setattr(spool, "Spooled", noted)

    async def broken() -> AsyncIterator[bytes]:
        yield part("a", b"1", "done") + part("b", b"2", "half")
        if error:
            raise error

    with pytest.raises(Gone if error else HTTPError):
        await read_form(MULTIPART, broken())
    assert [file.closed for file in made] == [True, True]


async def test_without_the_extra_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "multipart", None)
    with pytest.raises(ImportError, match=r'pip install "minihttp-asyncio\[forms\]"'):
        await form_of(b"--xyz--\r\n")
    assert (await form_of(b"a=1", URLENCODED))["a"] == "1"


pieces = st.sampled_from(
    [
        b"--xyz",
        b"--xyz--",
        b"\r\n",
        b"\n",
        b"\r",
        b'Content-Disposition: form-data; name="a"',
        b'; filename="f"',
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: 3",
        b" folded",
        b"abc",
        b"\xff",
    ]
)


@given(st.lists(pieces, max_size=30), st.integers(1, 20))
async def test_any_multipart_is_read_or_refused(body: Iterable[bytes], size: int) -> None:
    try:
        form = await form_of(b"--xyz\r\n" + b"".join(body), size=size)
    except HTTPError as error:
        assert error.status in (400, 413, 415)
    else:
        form.close()

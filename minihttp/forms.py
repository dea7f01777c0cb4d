"""What comes as name=value: query strings, cookies, form bodies with their files.

Owns: these four formats and their limits, and the Set-Cookie value.
Must not know: requests and responses, sockets, or where uploads are kept in the end.
Invariant: every count and size is checked before the work it would cause, and time grows with the length of the
input and no faster. Names and values are text; what is no UTF-8 is refused and never replaced, because a replaced
character would be stored as if the client had sent it.

Trade-off: an upload above 1 MiB goes to a temporary file, written on the loop in pieces as they arrive; the
system's cache takes such writes without waiting for the disk.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, BinaryIO, Final, Literal, cast
from urllib.parse import unquote_to_bytes

from .errors import HTTPError
from .headers import TOKEN, Cookies, Headers, MultiDict, QueryParams

__all__ = [
    "FormData",
    "UploadFile",
    "format_cookie",
    "parse_content_type",
    "parse_cookies",
    "parse_query",
    "read_form",
]

MAX_FIELDS: Final = 1000
MAX_FILES: Final = 100
MAX_MEMORY: Final = 1 << 20  # bytes of form fields; files have their own threshold
SPOOL: Final = 1 << 20  # bytes of one upload held in memory
MAX_COOKIE: Final = 4096  # bytes of name and value that browsers keep (RFC 6265bis 5.6)

PARAMETER = re.compile(
    r'[ \t]*;[ \t]*(?:([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)=([!#$%&\'*+\-.^_`|~0-9A-Za-z]+|"(?:[^"\\]|\\.)*"))?'
)
QUOTED_PAIR = re.compile(r"\\(.)")
BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")  # RFC 2046 5.1.1
COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")  # RFC 6265 4.1.1: no space, quote, comma, semicolon, backslash
PATH = re.compile(r"/[ -:<-~]*")  # RFC 6265 4.1.1: no control character, no semicolon
DOMAIN = re.compile(r"\.?[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*")
SAMESITE = {"lax": "Lax", "strict": "Strict", "none": "None"}


# --- name=value pairs -----------------------------------------------------------------------------------------------


def parse_query(query: str, max_fields: int = MAX_FIELDS) -> QueryParams:
    """The parameters of a query string: `parse_query("a=1&b=x+y")["b"]` is `"x y"`.

    A semicolon separates nothing, `%` without two digits stands for itself, and a name may repeat (URL Standard 5.1).
    Raises HTTPError 400 for more than `max_fields` parameters and for what is not UTF-8.
    """
    return QueryParams(split_pairs(query, max_fields, 400, QueryParams.kind))


def split_pairs(text: str, max_fields: int, status: int, kind: str) -> list[tuple[str, str]]:
    if not text:
        return []
    if text.count("&") >= max_fields:
        raise HTTPError(status, f"more than {max_fields} {kind}s")
    pairs = []
    for piece in text.split("&"):
        if piece:
            name, _, value = piece.partition("=")
            name = unquote(name, kind, name)
            pairs.append((name, unquote(value, kind, name)))
    return pairs


def unquote(text: str, kind: str, name: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        error = {"field": name, "detail": "is not UTF-8"}
        raise HTTPError(400, f"{kind} {name!r} is not UTF-8", errors=[error]) from None


# --- cookies --------------------------------------------------------------------------------------------------------


def parse_cookies(value: str) -> Cookies:
    """The cookies of a Cookie field: `parse_cookies('a=1; b="2"')["b"]` is `"2"`.

    Lenient, because browsers send what anybody has ever set (RFC 6265 5.4): what has no name is passed over, quotes
    around a value go, nothing is decoded. Never raises. Of a name sent twice the first, more specific one counts.
    """
    pairs = []
    for piece in value.split(";"):
        name, equals, text = piece.partition("=")
        name, text = name.strip(" \t"), text.strip(" \t")
        if equals and name:
            if len(text) >= 2 and text[0] == text[-1] == '"':
                text = text[1:-1]
            pairs.append((name, text))
    return Cookies(pairs)


def format_cookie(
    name: str,
    value: str,
    *,
    max_age: int | None = None,
    expires: datetime | None = None,
    path: str | None = "/",
    domain: str | None = None,
    secure: bool = False,
    httponly: bool = True,
    samesite: Literal["lax", "strict", "none"] | None = "lax",
) -> str:
    """The value of a Set-Cookie field: `format_cookie("id", "7", max_age=3600)`.

    `max_age` is in seconds, 0 or less deletes the cookie; `expires` has a time zone; without both the cookie goes
    with the browser's session. Raises ValueError, with advice, for what a browser would drop or misread
    (RFC 6265 4.1, RFC 6265bis 4.1.3).
    """
    if not TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a cookie name: letters, digits and !#$%&'*+-.^_`|~ only")
    if not COOKIE_VALUE.fullmatch(value):
        raise ValueError(
            f"the value of cookie {name!r} has a character that a cookie cannot hold: encode it first, "
            "with urllib.parse.quote(value) or as base64"
        )
    if len(name) + len(value) > MAX_COOKIE:
        raise ValueError(f"cookie {name!r} is above {MAX_COOKIE} bytes, which browsers drop: keep it on the server")
    check_cookie_scope(name, path, domain, secure, samesite)
    if expires is not None and expires.tzinfo is None:
        raise ValueError(f"expires of cookie {name!r} has no time zone: use datetime.now(UTC) and the like")
    parts = (
        f"{name}={value}",
        None if max_age is None else f"Max-Age={int(max_age)}",
        None if expires is None else f"Expires={format_datetime(expires.astimezone(UTC), usegmt=True)}",
        None if path is None else f"Path={path}",
        None if domain is None else f"Domain={domain}",
        "Secure" if secure else None,
        "HttpOnly" if httponly else None,
        None if samesite is None else f"SameSite={SAMESITE[samesite]}",
    )
    return "; ".join(part for part in parts if part is not None)


def check_cookie_scope(name: str, path: str | None, domain: str | None, secure: bool, samesite: str | None) -> None:
    """Raise ValueError for combinations that browsers refuse."""
    if samesite is not None and samesite not in SAMESITE:
        raise ValueError(f'samesite is {samesite!r}: it must be "lax", "strict", "none" or None')
    if path is not None and not PATH.fullmatch(path):
        raise ValueError(f"path {path!r} of cookie {name!r} must begin with a slash and be ASCII without semicolon")
    if domain is not None and not DOMAIN.fullmatch(domain):
        raise ValueError(f"domain {domain!r} of cookie {name!r} is not a host name: for example example.org")
    if samesite == "none" and not secure:
        raise ValueError(f'cookie {name!r} has samesite="none", which browsers take with secure=True only')
    prefix = name.lower()
    if prefix.startswith(("__secure-", "__host-")) and not secure:
        raise ValueError(f"cookie {name!r} needs secure=True because of its prefix")
    if prefix.startswith("__host-") and (domain is not None or path != "/"):
        raise ValueError(f'cookie {name!r} needs path="/" and no domain because of its prefix')


# --- forms ----------------------------------------------------------------------------------------------------------


class UploadFile:
    """A file that came in a form: `data = form["photo"].read()`.

    `filename` is the client's text as it came: never make it a path, it may be `../../etc/passwd`; it is empty where
    the file input was left empty. `content_type` is the client's claim too. `size` is in bytes. Above 1 MiB it is a
    temporary file, gone once closed; `file` is the open file itself, for whatever wants one.
    """

    __slots__ = ("content_type", "file", "filename", "headers", "size")

    def __init__(self, filename: str, content_type: str | None = None, headers: Headers | None = None) -> None:
        self.filename = filename
        self.content_type = content_type or "application/octet-stream"  # RFC 7578 4.4
        self.headers = headers or Headers()
        self.size = 0
        from tempfile import SpooledTemporaryFile  # 10 ms that only uploads need

        self.file = cast("BinaryIO", SpooledTemporaryFile(max_size=SPOOL))  # noqa: SIM115  # closed by close()

    def write(self, data: bytes | bytearray) -> None:
        """Append bytes."""
        self.file.write(data)
        self.size += len(data)

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, or all that are left; a large file is read from disk, so `in_thread` is its place."""
        return self.file.read(size)

    def close(self) -> None:
        """Let memory and temporary file go; may be called again."""
        self.file.close()

    def __del__(self) -> None:
        if hasattr(self, "file"):
            self.close()

    def __repr__(self) -> str:
        return f"<UploadFile {self.filename!r} {self.content_type} {self.size} bytes>"


class FormData(MultiDict[str | UploadFile]):
    """The fields of a form; those with a file are `UploadFile`."""

    __slots__ = ()
    kind = "form field"

    def close(self) -> None:
        """Close every upload."""
        close_uploads(self.multi_items())


def close_uploads(pairs: Iterable[tuple[str, str | UploadFile]]) -> None:
    for _, value in pairs:
        if isinstance(value, UploadFile):
            value.close()


def parse_content_type(value: str) -> tuple[str, dict[str, str]]:
    """Media type and parameters: `parse_content_type("text/plain; Charset=a")` is `("text/plain", {"charset": "a"})`.

    Type and names come in lower case, quotes are undone. Raises HTTPError 400 for a malformed one (RFC 9110 8.3.1).
    """
    media_type = value.partition(";")[0]
    position = len(media_type)
    parameters: dict[str, str] = {}
    while position < len(value):
        match = PARAMETER.match(value, position)
        if match is None:
            raise HTTPError(400, "the Content-Type field is malformed")
        position = match.end()
        name, text = match.groups()
        if name is not None:
            parameters.setdefault(name.lower(), QUOTED_PAIR.sub(r"\1", text[1:-1]) if text[0] == '"' else text)
    return media_type.strip(" \t").lower(), parameters


async def read_form(
    content_type: str,
    chunks: AsyncIterable[bytes],
    *,
    max_fields: int = MAX_FIELDS,
    max_files: int = MAX_FILES,
    max_memory: int = MAX_MEMORY,
) -> FormData:
    """The form in a body of the content type, read from its chunks.

    `max_memory` is in bytes and counts all that is not in a file. Raises HTTPError 415 for a content type or charset
    that is no form, 400 for a malformed one, 413 above a limit, and ImportError, answered with 500, where the first
    multipart form finds its extra not installed.
    """
    media_type, parameters = parse_content_type(content_type)
    check_charset(parameters.get("charset"))
    if media_type == "application/x-www-form-urlencoded":
        return await read_urlencoded(chunks, max_fields, max_memory)
    if media_type != "multipart/form-data":
        wanted = "application/x-www-form-urlencoded or multipart/form-data"
        raise HTTPError(415, f"a form is {wanted}, not {media_type or 'without content type'}")
    boundary = parameters.get("boundary", "")
    if not BOUNDARY.fullmatch(boundary):
        raise HTTPError(400, "the form has no valid boundary in its content type (RFC 2046 5.1.1)")
    return await read_multipart(boundary, chunks, max_fields, max_files, max_memory)


def check_charset(charset: str | None) -> None:
    if charset is not None and charset.lower() not in ("utf-8", "utf8", "us-ascii"):
        raise HTTPError(415, f"the form is in charset {charset!r}: send UTF-8")


async def read_urlencoded(chunks: AsyncIterable[bytes], max_fields: int, max_memory: int) -> FormData:
    body = bytearray()
    async for chunk in chunks:
        if len(body) + len(chunk) > max_memory:
            raise HTTPError(413, f"the form is above {max_memory} bytes")
        body += chunk
    return FormData(split_pairs(decode_text(body, "the form"), max_fields, 413, FormData.kind))


def decode_text(data: bytes | bytearray, subject: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise HTTPError(400, f"{subject} is not UTF-8") from None


async def read_multipart(
    boundary: str, chunks: AsyncIterable[bytes], max_fields: int, max_files: int, max_memory: int
) -> FormData:
    try:
        # The package has no types of its own.
        from multipart import (  # type: ignore[import-untyped]  # see above
            MultipartError,
            ParserLimitReached,
            PushMultipartParser,
        )
    except ImportError as error:
        raise ImportError(
            'multipart forms need one more package: pip install "minihttp-asyncio[forms]" '
            "(the package python-multipart, which has the same import name, is another one)"
        ) from error
    parser = PushMultipartParser(boundary, max_segment_count=max_fields + max_files)
    form = Parts(max_fields, max_files, max_memory)
    try:
        async for chunk in chunks:
            if chunk:  # an empty one would mean the end
                for event in parser.parse(chunk):
                    form.take(event)
        parser.close()
    except ParserLimitReached as error:
        form.abandon()
        raise HTTPError(413, f"the form is too large: {error}") from None
    except MultipartError as error:
        form.abandon()
        raise HTTPError(400, f"the form is malformed: {error}") from None
    except BaseException:  # the client has gone, a limit was met: nobody will see the uploads
        form.abandon()
        raise
    return FormData(form.pairs)


class Parts:
    """The parts of one multipart body as they come in."""

    def __init__(self, max_fields: int, max_files: int, max_memory: int) -> None:
        self.pairs: list[tuple[str, str | UploadFile]] = []
        self.name = ""
        self.part: UploadFile | bytearray = bytearray()
        self.fields_left = max_fields
        self.files_left = max_files
        self.memory_left = max_memory
        self.max_memory = max_memory

    def take(self, event: Any) -> None:
        """Take the head of a part, a piece of its content, or None at its end."""
        if event is None:
            self.finish()
        elif not isinstance(event, bytes | bytearray):
            self.begin(event)
        elif isinstance(self.part, UploadFile):
            self.part.write(event)
        else:
            self.memory_left -= len(event)
            if self.memory_left < 0:
                raise HTTPError(413, f"the fields of the form are above {self.max_memory} bytes")
            self.part += event

    def begin(self, segment: Any) -> None:
        self.name = segment.name or ""
        if segment.filename is None:
            self.fields_left -= 1
            check_charset(segment.charset)
            self.part = bytearray()
        else:
            self.files_left -= 1
            self.part = UploadFile(segment.filename, segment.content_type, Headers(segment.headerlist))
        if self.fields_left < 0 or self.files_left < 0:
            raise HTTPError(413, f"the form has too many {'fields' if self.fields_left < 0 else 'files'}")

    def finish(self) -> None:
        if isinstance(self.part, UploadFile):
            self.part.file.seek(0)
            self.pairs.append((self.name, self.part))
        else:
            self.pairs.append((self.name, decode_text(self.part, f"form field {self.name!r}")))
        self.part = bytearray()

    def abandon(self) -> None:
        """Close what was opened."""
        close_uploads([*self.pairs, (self.name, self.part if isinstance(self.part, UploadFile) else "")])

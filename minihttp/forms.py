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
from collections.abc import AsyncIterable
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, Final, Literal
from urllib.parse import unquote_to_bytes

from .errors import FieldError, HTTPError
from .headers import TOKEN, Cookies, MultiDict, QueryParams, format_date

__all__ = ["FormData", "UploadFile", "format_cookie", "parse_cookies", "parse_query", "read_form"]

MAX_FIELDS: Final = 1000
MAX_FILES: Final = 100
MAX_MEMORY: Final = 1 << 20  # bytes of all fields together, and of one file before it goes to disk
MAX_COOKIE: Final = 4096  # bytes of name and value that browsers keep (RFC 6265bis 5.6)

PARAMETER = re.compile(r""";[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^ \t;"]+))""")
COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")  # RFC 6265 4.1.1: no space, quote, comma, semicolon, backslash
ATTRIBUTE = re.compile(r"[ -:<-~]*")  # RFC 6265 4.1.1: no control character, no semicolon


# --- name=value pairs -----------------------------------------------------------------------------------------------


def parse_query(query: str) -> QueryParams:
    """The parameters of a query string: `parse_query("a=1&b=x+y")["b"]` is `"x y"`.

    A semicolon separates nothing, `%` without two digits stands for itself, and a name may repeat (URL Standard 5.1).
    Raises HTTPError 400 for more than 1,000 parameters and for what is not UTF-8.
    """
    return QueryParams(split_pairs(query, 400, QueryParams.kind))


def split_pairs(text: str, status: int, kind: str) -> list[tuple[str, str]]:
    pieces = text.replace("+", " ").split("&", MAX_FIELDS)
    if len(pieces) > MAX_FIELDS:
        raise HTTPError(status, f"more than {MAX_FIELDS} {kind}s")
    pairs = []
    for piece in pieces:
        name, _, value = piece.partition("=")
        if "%" in piece:
            try:
                name, value = unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()
            except UnicodeError:
                raise FieldError(kind, name, "is not UTF-8") from None
        if piece:
            pairs.append((name, value))
    return pairs


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
            quoted = len(text) >= 2 and text[0] == text[-1] == '"'
            pairs.append((name, text[1:-1] if quoted else text))
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

    `max_age` is in seconds, 0 or less deletes the cookie; `expires` without a time zone is local time; without both
    the cookie goes with the browser's session. Raises ValueError, with advice, for what a browser would drop or misread
    (RFC 6265 4.1, RFC 6265bis 4.1.3).
    """
    if not TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a cookie name: letters, digits and !#$%&'*+-.^_`|~ only")
    if not COOKIE_VALUE.fullmatch(value):
        raise ValueError(f"cookie {name!r} cannot hold {value!r}: encode it first, with quote() or as base64")
    if len(name) + len(value) > MAX_COOKIE:
        raise ValueError(f"cookie {name!r} is above {MAX_COOKIE} bytes, which browsers drop: keep it on the server")
    if not secure and (samesite == "none" or name.lower().startswith(("__secure-", "__host-"))):
        raise ValueError(f"cookie {name!r} needs secure=True, because of its prefix or its samesite")
    attributes = [
        f"Max-Age={max_age}" if max_age is not None else "",
        f"Expires={format_date(expires.timestamp())}" if expires is not None else "",
        f"Path={path}" if path is not None else "",
        f"Domain={domain}" if domain is not None else "",
        "Secure" if secure else "",
        "HttpOnly" if httponly else "",
        f"SameSite={samesite.title()}" if samesite is not None else "",
    ]
    for each in attributes:
        if not ATTRIBUTE.fullmatch(each):
            raise ValueError(f"{each!r} of cookie {name!r} must be ASCII without semicolon")
    return "; ".join([f"{name}={value}", *filter(None, attributes)])


# --- forms ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class UploadFile:
    """A file that came in a form: `data = form["photo"].read()`.

    `filename` is the client's text as it came: never make it a path, it may be `../../etc/passwd`; it is empty where
    the file input was left empty. `content_type` is the client's claim too. `size` is in bytes. Above 1 MiB it is a
    temporary file, gone once closed; `file` is the open file itself, for whatever wants one.
    """

    file: IO[bytes]
    filename: str
    content_type: str
    size: int

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, or all that are left; a large file is read from disk, so `in_thread` is its place."""
        return self.file.read(size)

    def close(self) -> None:
        """Let memory and temporary file go; may be called again."""
        self.file.close()


class FormData(MultiDict[str | UploadFile]):
    """The fields of a form; those with a file are `UploadFile`."""

    __slots__ = ()
    kind = "form field"

    def close(self) -> None:
        """Close every upload."""
        for _, value in self.multi_items():
            if isinstance(value, UploadFile):
                value.close()


async def read_form(content_type: str, chunks: AsyncIterable[bytes]) -> FormData:
    """The form in a body of the content type, read from its chunks.

    Raises HTTPError 415 for a content type or charset that is no form, 400 for a malformed one, 413 above a limit, and
    ImportError, answered with 500, where the first multipart form finds its extra not installed.
    """
    media_type = content_type.partition(";")[0].strip(" \t").lower()
    parameters = {name.lower(): quoted or token for name, quoted, token in PARAMETER.findall(content_type)}
    if media_type == "application/x-www-form-urlencoded":
        return await read_urlencoded(chunks, parameters.get("charset"))
    if media_type == "multipart/form-data":
        return await Multipart().read(parameters.get("boundary", ""), chunks)
    raise HTTPError(415, "a form is application/x-www-form-urlencoded or multipart/form-data")


async def read_urlencoded(chunks: AsyncIterable[bytes], charset: str | None) -> FormData:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_MEMORY:
            raise HTTPError(413, f"the form is above {MAX_MEMORY} bytes")
    return FormData(split_pairs(decode_text(body, "the form", charset), 413, FormData.kind))


def decode_text(data: bytes | bytearray, subject: str, charset: str | None) -> str:
    if (charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise HTTPError(415, f"{subject} is in charset {charset!r}: send UTF-8")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise HTTPError(400, f"{subject} is not UTF-8") from None


class Multipart:
    """The parts of one multipart body as they come in, each with its head and a file for its content."""

    def __init__(self) -> None:
        self.parts: list[tuple[Any, IO[bytes]]] = []
        self.left = {"fields": MAX_FIELDS, "files": MAX_FILES, "bytes in fields": MAX_MEMORY}

    async def read(self, boundary: str, chunks: AsyncIterable[bytes]) -> FormData:
        """The whole form; where it does not come to that, nobody will see the uploads, and they are closed."""
        try:
            import multipart  # type: ignore[import-untyped]  # the package has no types of its own
        except ImportError as error:
            # The package python-multipart, which has the same import name, is another one.
            raise ImportError('multipart forms need one more package: pip install "minihttp-asyncio[forms]"') from error
        try:
            parser = multipart.PushMultipartParser(boundary)
            async for chunk in chunks:
                for event in parser.parse(chunk) if chunk else ():  # an empty one would mean the end
                    self.take(event)
            parser.close()
            return FormData([(head.name, finished(head, file)) for head, file in self.parts])
        except BaseException as error:
            for _, file in self.parts:
                file.close()
            if isinstance(error, multipart.MultipartError):
                status = 413 if isinstance(error, multipart.ParserLimitReached) else 400
                raise HTTPError(status, f"the form cannot be read: {error}") from None
            raise

    def take(self, event: Any) -> None:
        """Take the head of a part, a piece of its content, or None at its end."""
        if isinstance(event, bytes | bytearray):
            head, file = self.parts[-1]
            if head.filename is None:
                self.left["bytes in fields"] -= len(event)
            file.write(event)
        elif event is not None:
            from .spool import Spooled  # with the first upload

            self.left["fields" if event.filename is None else "files"] -= 1
            self.parts.append((event, Spooled(MAX_MEMORY)))
        if min(self.left.values()) < 0:
            raise HTTPError(413, f"the form has more than {MAX_FIELDS} fields, {MAX_FILES} files or {MAX_MEMORY} bytes")


def finished(head: Any, file: IO[bytes]) -> str | UploadFile:
    file.seek(0)
    if head.filename is not None:
        return UploadFile(file, head.filename, head.content_type or "application/octet-stream", head.size)
    return decode_text(file.read(), f"form field {head.name!r}", head.charset)

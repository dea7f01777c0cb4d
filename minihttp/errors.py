"""Every exception of the HTTP side, each knowing the status it is answered with.

Owns: the tree of errors and the JSON-ready list of field errors.
Must not know: how an error becomes a response (`response.error_response` does that), nor who logs it.
Invariant: whoever catches one needs no table to answer it: `http_status` is on the exception. Any exception of
any package that carries `http_status` (and, if it likes, `retry_after` in seconds) is honoured in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NoReturn

__all__ = ["ClientDisconnected", "ConfigError", "FieldError", "HTTPError", "MiniHTTPError", "ProtocolError", "abort"]


PHRASES = {each.value: each.phrase for each in HTTPStatus}
# RFC 9110 renamed these; the standard library follows from Python 3.13 on.
PHRASES |= {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


def reason_phrase(status: int) -> str:
    """The standard phrase of a status code, or `"Unknown"`: `reason_phrase(404)` is `"Not Found"` (RFC 9110 15)."""
    return PHRASES.get(status, "Unknown")


class MiniHTTPError(Exception):
    """The root of what minihttp itself raises on the HTTP side: `except MiniHTTPError` catches all of it."""


class ConfigError(MiniHTTPError):
    """The program that uses minihttp is wrong; raised before the first request is served.

    Example: two routes for the same method and path. The text names both places and what to do.
    """


class ClientDisconnected(MiniHTTPError):
    """The client went away, or closed its side, in the middle of a body; one half closed may still read the 400."""

    http_status = 400


class ProtocolError(MiniHTTPError):
    """A peer sent bytes that HTTP/1.1 does not allow, or more of them than the limits do.

    `status` is the answer the peer gets before the connection closes, `reason` a sentence for it and
    `section` the place in the RFC that the bytes violate, or an empty string for a limit of ours.

    Example: `ProtocolError("space before the colon", 400, "RFC 9112 5.1")`.
    """

    def __init__(self, reason: str, status: int = 400, section: str = "") -> None:
        super().__init__(f"{reason} ({section})" if section else reason)
        self.reason = reason
        self.section = section
        self.http_status = status


class HTTPError(MiniHTTPError):
    """An answer other than success, raised from wherever the handler found out.

    Example: `raise HTTPError(409, "this name is taken")`. `detail` is shown to the client; `headers` are added
    to the answer; `errors` holds one `{"field": ..., "detail": ...}` per wrong field (RFC 9457, section 3.2).
    Raises ValueError for a status outside 400 to 599.
    """

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"HTTPError is for statuses 400 to 599, not {status}: return a Response instead")
        super().__init__(f"{status} {detail or reason_phrase(status)}")
        self.status = self.http_status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = tuple(errors)


class FieldError(HTTPError, KeyError):
    """One named value of the request is missing or wrong: 400 (or `status`) that names it.

    It is a KeyError too, so that `query["id"]`, `"id" in query` and `query.get("id")` behave as on any mapping.

    Example: `FieldError("query parameter", "id", "is missing")`.
    """

    def __init__(self, kind: str, name: str, problem: str, status: int = 400) -> None:
        super().__init__(status, f"{kind} {name!r} {problem}", errors=({"field": name, "detail": problem},))

    # KeyError's own __str__ would print the repr of the message.
    __str__ = Exception.__str__


def abort(status: int, detail: str | None = None, headers: Mapping[str, str] | None = None) -> NoReturn:
    """Stop the handler and answer with an error: `abort(404, "no such user")`.

    Raises HTTPError, always.
    """
    raise HTTPError(status, detail, headers)

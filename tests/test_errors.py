"""Errors know how they are answered."""

from __future__ import annotations

from typing import Any

import pytest

from minihttp.errors import (
    ClientDisconnected,
    ConfigError,
    FieldError,
    HTTPError,
    MiniHTTPError,
    ProtocolError,
    abort,
    reason_phrase,
)


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (200, "OK"),
        (404, "Not Found"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (416, "Range Not Satisfiable"),
        (422, "Unprocessable Content"),
        (599, "Unknown"),
        (999, "Unknown"),
    ],
)
def test_reason_phrases_are_those_of_rfc_9110_on_every_python(status: int, phrase: str) -> None:
    assert reason_phrase(status) == phrase


def test_one_root() -> None:
    for kind in (ConfigError, ClientDisconnected, ProtocolError, HTTPError, FieldError):
        assert issubclass(kind, MiniHTTPError)


def test_protocol_error() -> None:
    error = ProtocolError("space before the colon", 400, "RFC 9112 5.1")
    assert str(error) == "space before the colon (RFC 9112 5.1)"
    assert (error.reason, error.section, error.http_status) == ("space before the colon", "RFC 9112 5.1", 400)
    limit = ProtocolError("request line too long", 414)
    assert str(limit) == "request line too long"
    assert (limit.section, limit.http_status) == ("", 414)


def test_http_error() -> None:
    errors = [{"field": "age", "detail": "is missing"}]
    error = HTTPError(409, "taken", {"retry-after": "1"}, errors)
    assert (error.status, error.http_status, error.detail) == (409, 409, "taken")
    assert error.headers == {"retry-after": "1"}
    assert error.errors == tuple(errors)
    assert str(error) == "409 taken"
    bare = HTTPError(404)
    assert (bare.detail, bare.headers, bare.errors) == (None, {}, ())
    assert str(bare) == "404 Not Found"


def test_headers_are_a_copy() -> None:
    given: dict[str, Any] = {"a": "b"}
    error = HTTPError(400, headers=given)
    error.headers["c"] = "d"
    assert given == {"a": "b"}


@pytest.mark.parametrize("status", [99, 200, 304, 399, 600])
def test_http_errors_are_errors(status: int) -> None:
    with pytest.raises(ValueError, match="return a Response instead"):
        HTTPError(status)


@pytest.mark.parametrize("status", [400, 599])
def test_the_range_includes_its_ends(status: int) -> None:
    assert HTTPError(status).status == status


def test_a_field_error_is_a_key_error_that_reads_well() -> None:
    error = FieldError("query parameter", "id", "is missing")
    assert isinstance(error, KeyError)
    assert str(error) == "400 query parameter 'id' is missing"
    assert error.errors == ({"field": "id", "detail": "is missing"},)
    assert FieldError("form field", "id", "is missing", 422).status == 422


def test_abort() -> None:
    with pytest.raises(HTTPError) as caught:
        abort(404, "no such user", {"x": "y"})
    assert (caught.value.status, caught.value.detail, caught.value.headers) == (404, "no such user", {"x": "y"})

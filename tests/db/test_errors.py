"""The tree of errors: what it promises to those who catch, answer and retry."""

from __future__ import annotations

import pickle

import pytest

from minihttp.db import errors


def every_error() -> list[type[errors.DatabaseError]]:
    return [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_is_a_database_error_that_shows_its_text(kind):
    error = kind("what was wrong", code=7)
    assert isinstance(error, errors.DatabaseError)
    assert str(error) == "what was wrong"
    assert error.code == 7
    assert 400 <= error.http_status <= 599


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.NotFound, 404), (errors.IntegrityError, 409), (errors.DataError, 422), (errors.Timeout, 503),
        (errors.Unavailable, 503), (errors.Deadlock, 503), (errors.OutcomeUnknown, 503), (errors.QueryError, 500),
    ],
)  # fmt: skip
def test_statuses(kind, status):
    assert kind("x").http_status == status


def test_when_to_come_back():
    assert errors.Unavailable("x", retry_after=3).retry_after == 3
    assert errors.Timeout("x").retry_after == 1
    assert not hasattr(errors.OutcomeUnknown("x"), "retry_after"), "a client must not simply send it again"


def test_only_conflicts_are_retryable():
    retryable = {kind.__name__ for kind in every_error() if kind.retryable}
    assert retryable == {"Conflict", "Deadlock", "LockTimeout"}


def test_builtin_relatives():
    assert issubclass(errors.Timeout, TimeoutError)
    assert issubclass(errors.InvalidURL, ValueError)
    assert issubclass(errors.UsageError, RuntimeError)


def test_integrity_error_tells_kind_and_constraint():
    error = errors.IntegrityError("x", kind="check", constraint="age")
    assert (error.kind, error.constraint) == ("check", "age")


def test_a_timeout_survives_pickling():
    assert str(pickle.loads(pickle.dumps(errors.Timeout("too slow")))) == "too slow"

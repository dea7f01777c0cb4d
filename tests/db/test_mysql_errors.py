"""Error numbers of MySQL and MariaDB, in the words of their servers."""

from __future__ import annotations

import pytest

from minihttp.db import errors
from minihttp.db.mysql_errors import is_lost, refused, translate


def told(code, text="words", keyword="UPDATE", in_transaction=False):
    return translate(code, text, keyword=keyword, in_transaction=in_transaction)


@pytest.mark.parametrize(
    ("code", "text", "kind", "constraint"),
    [
        (1062, "Duplicate entry 'it's' for key 'email'", "unique", "email"),
        (1062, "Duplicate entry 'x' for key 'user.email'", "unique", "email"),
        (1452, "Cannot add or update a child row: a foreign key constraint fails (`a`.`b`, CONSTRAINT `fk` FOREIGN KEY",
         "foreign key", "fk"),
        (1452, "a foreign key constraint fails (`a`.`b`, CONSTRAINT `b.fk` FOREIGN KEY", "foreign key", "b.fk"),
        (1048, "Column 'name' cannot be null", "not null", "name"),
        (1364, "Field 'name' doesn't have a default value", "not null", "name"),
        (4025, "CONSTRAINT `age` failed for `a`.`b`", "check", "age"),
        (4025, "CONSTRAINT `b.age` failed for `a`.`b`", "check", "age"),
        (4025, "CONSTRAINT `b.age.low` failed for `a`.`b`", "check", "age.low"),
        (4025, "CONSTRAINT `age.low` failed for `a`.`b`", "check", "age.low"),
        (3819, "Check constraint 'age' is violated.", "check", "age"),
        (1451, "words of another release", "foreign key", None),
    ],
)  # fmt: skip
def test_constraints(code, text, kind, constraint):
    error = told(code, text)
    assert isinstance(error, errors.IntegrityError)
    assert (error.kind, error.constraint, error.code) == (kind, constraint, code)
    assert "it's" not in str(error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1406, errors.DataError), (1264, errors.DataError), (1213, errors.Deadlock), (1205, errors.LockTimeout),
        (1969, errors.Timeout), (3024, errors.Timeout), (1040, errors.Unavailable), (1047, errors.Unavailable),
        (1290, errors.Unavailable), (1317, errors.Unavailable), (1064, errors.QueryError), (1146, errors.QueryError),
        (1153, errors.DataError), (9999, errors.QueryError), (3101, errors.Deadlock), (9007, errors.Deadlock),
        (8002, errors.Deadlock), (8022, errors.Deadlock), (8028, errors.Deadlock),
    ],
)  # fmt: skip
def test_classes(code, kind):
    assert type(told(code)) is kind


def test_a_repeated_value_is_cut_out():
    error = told(1366, "Incorrect integer value: 'its 'secret'' for column `a`.`b`.`age` at row 1")
    assert str(error) == "a value does not fit: Incorrect integer value for column `a`.`b`.`age` at row 1"
    assert "secret" not in str(told(1292, "Truncated incorrect DOUBLE value: 'secret'"))


@pytest.mark.parametrize(
    ("keyword", "in_transaction", "code", "kind"),
    [
        ("SELECT", False, 2013, errors.Unavailable),
        ("UPDATE", False, 2013, errors.OutcomeUnknown),
        ("UPDATE", False, 2006, errors.Unavailable),  # it was never sent
        ("UPDATE", True, 2013, errors.Unavailable),  # and rolled back
        ("COMMIT", True, 2013, errors.OutcomeUnknown),
        ("COMMIT", True, 2006, errors.Unavailable),
        ("UPDATE", False, 1927, errors.OutcomeUnknown),
        ("COMMIT", True, 1180, errors.OutcomeUnknown),  # Galera without a quorum
        ("UPDATE", False, 1180, errors.OutcomeUnknown),
        ("UPDATE", False, 0, errors.OutcomeUnknown),
        ("START", False, 2013, errors.Unavailable),  # of a transaction in which nothing was done yet
    ],
)
def test_a_lost_connection(keyword, in_transaction, code, kind):
    assert type(told(code, "gone", keyword, in_transaction)) is kind
    assert is_lost(code)


@pytest.mark.parametrize("code", [1047, 1290, 1836, 2003, 2006, 2013])
def test_a_server_that_cannot_write_or_answer_is_left(code):
    """Each ends the connection, by which the pool moves on to the next host; and nothing was changed."""
    assert is_lost(code)
    assert type(told(code, "not this one", "SELECT", False)) is errors.Unavailable


@pytest.mark.parametrize("code", [1047, 1290, 1836])
def test_a_server_that_refuses_has_changed_nothing(code):
    assert type(told(code, "not this one", "UPDATE", False)) is errors.Unavailable


def test_an_answer_of_the_server_loses_nothing():
    assert not any(map(is_lost, (1062, 1064, 1205, 1213, 3024)))


def test_whoever_may_not_write_is_told_what_to_do():
    error = told(1290, "The MariaDB server is running with the --read-only option")
    assert "--read-only option: if it is a replica, give the URL of the server that is written to" in str(error)
    error = told(1792, "Cannot execute statement in a READ ONLY transaction", in_transaction=True)
    assert type(error) is errors.QueryError
    assert "begin it without read_only=True" in str(error)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1045, "refuses user 'ann'"), (1049, "has no database 'shop'"), (1040, "too many connections"),
        (2003, "cannot reach the server: words"), (1129, "refuses the connection: words"),
    ],
)  # fmt: skip
def test_refused_connections_name_what_to_do(code, words):
    error = refused(code, "words", "the server", "ann", "shop")
    assert isinstance(error, errors.Unavailable)
    assert words in str(error)
    assert "\n" not in str(error)

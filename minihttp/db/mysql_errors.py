"""What MySQL's and MariaDB's error numbers mean to a program.

Owns: the tables of numbers, and the sentences for them.
Must not know: the driver and its exception classes, which sort the same numbers otherwise from release to release.
Invariant: decided by number alone; the server's words are only read for the name of a key or column, and values that
it repeats are cut out.
"""

from __future__ import annotations

import re

from .errors import (
    DatabaseError,
    DataError,
    Deadlock,
    IntegrityError,
    LockTimeout,
    OutcomeUnknown,
    QueryError,
    Timeout,
    Unavailable,
)

__all__ = ["FULL", "is_lost", "refused", "translate"]

KINDS = {
    1062: "unique", 1586: "unique", 1169: "unique", 1761: "unique", 1762: "unique",
    1216: "foreign key", 1217: "foreign key", 1451: "foreign key", 1452: "foreign key",
    1048: "not null", 1364: "not null", 1263: "not null", 1566: "not null",
    3819: "check", 4025: "check",
}  # fmt: skip
BAD_VALUE = frozenset({
    1264, 1265, 1292, 1365, 1366, 1367, 1406, 1411, 1416, 1426, 1441, 1525, 1690, 3140, 3141, 3156, 3903, 4038,
})  # fmt: skip
# 1020 (MariaDB): the row changed since the snapshot; 3101: Group Replication's certification; from 8002 on TiDB's, of
# which it says that the transaction may be run again.
DEADLOCK = frozenset({1213, 1020, 3101, 8002, 8022, 8028, 9007})
LOCK_TIMEOUT = frozenset({1205, 3572})
TOO_SLOW = frozenset({1969, 3024})
READ_ONLY, READS_ONLY = frozenset({1290, 1836}), frozenset({1792})  # the server, and the transaction
# The server is there, and will not work for us now: no quorum, read only, too many connections, killed by an operator.
NOT_NOW = frozenset({1040, 1041, 1047, 1203, 1226, 1317, 3100}) | READ_ONLY
# After these the connection is no use: shutting down, killed, idle for too long, network errors, packet too big; 1180
# is Galera's when it loses its quorum in a COMMIT, which the other nodes may have or not.
FATAL = frozenset({
    1042, 1047, 1053, 1079, 1080, 1152, 1153, 1158, 1159, 1160, 1161, 1180, 1184, 1290, 1836, 1927, 3169, 4031,
})  # fmt: skip
FULL = frozenset({1040, 1203, 1226})  # as many connections as the server, or the account, may have
DENIED = frozenset({1044, 1045, 1130, 1251, 1698, 1862, 3118, 4151})
UNCHANGING = frozenset({"SELECT", "PREPARE", "START"})  # done or not, nothing is changed
SENTENCES: tuple[tuple[frozenset[int], type[DatabaseError], str], ...] = (
    (DEADLOCK, Deadlock, "the server rolled this back for the sake of another: run it again (db.retry)"),
    (LOCK_TIMEOUT, LockTimeout, "another transaction holds a lock that this one needs: run it again (db.retry)"),
    (TOO_SLOW, Timeout, "the server stopped the statement because it took longer than the server allows"),
    (READ_ONLY, Unavailable, "{text}: if it is a replica, give the URL of the server that is written to"),
    (READS_ONLY, QueryError, "this transaction only reads: begin it without read_only=True"),
    (NOT_NOW, Unavailable, "the MySQL server cannot serve this now: {text}"),
)
NOT_SENT = 2006  # the driver found the connection closed before it wrote the statement

KEY = re.compile(r"for key '(?:[^'.]*\.)?([^']*)'\s*\Z")  # MySQL names its table too, MariaDB does not
# MariaDB calls a CHECK that stands at a column by table and column; a name of one's own may have a dot too.
NAMED = re.compile(
    r"CONSTRAINT `(?:([^`]*)\.(?=[^`]*` failed .*\.`\1`))?([^`]*)`|(?:[Cc]heck constraint|Column|Field) '([^']*)'"
)
REPEATED_VALUE = re.compile(r"(value)s?:? '.*'(?= for |\Z)", re.DOTALL)


def is_lost(code: int) -> bool:
    """Whether the connection is gone, or will be. Numbers below 1000 and from 2000 to 2999 are the driver's own."""
    return code < 1000 or 2000 <= code < 3000 or code in FATAL


def translate(code: int, text: str, *, keyword: str, in_transaction: bool) -> DatabaseError:
    """The error for a number of server or driver, raised by a statement that starts with `keyword`.

    Example: `translate(1062, "Duplicate entry 'x' for key 'email'", keyword="INSERT", in_transaction=False)` is an
    IntegrityError whose constraint is "email".
    """
    if code == 1153:
        return DataError("the statement and its values are larger than the server's max_allowed_packet", code=code)
    if is_lost(code) and code not in NOT_NOW:
        return lost(code, text, keyword, in_transaction)
    if code in KINDS:
        return broken_constraint(code, text)
    if code in BAD_VALUE:
        return DataError("a value does not fit: " + REPEATED_VALUE.sub(r"\1", text), code=code)
    for codes, kind, sentence in SENTENCES:
        if code in codes:
            return kind(sentence.format(text=text), code=code)
    return QueryError(f"{text} (MySQL error {code})", code=code)


def lost(code: int, text: str, keyword: str, in_transaction: bool) -> DatabaseError:
    if keyword == "COMMIT" and code != NOT_SENT:
        return OutcomeUnknown(
            "the connection to the MySQL server was lost during COMMIT: the transaction may be committed or not; read "
            "the data again to find out", code=code,
        )  # fmt: skip
    if in_transaction:
        return Unavailable("the connection to the MySQL server was lost; the transaction was rolled back", code=code)
    if keyword in UNCHANGING or code == NOT_SENT:
        return Unavailable("the connection to the MySQL server was lost; nothing was changed", code=code)
    return OutcomeUnknown(
        f"the connection to the MySQL server was lost during {keyword}: it may have been done or not; read the data "
        "again to find out", code=code,
    )  # fmt: skip


def broken_constraint(code: int, text: str) -> IntegrityError:
    kind = KINDS[code]
    match = KEY.search(text) if kind == "unique" else NAMED.search(text)
    name = match[match.lastindex or 0] if match else None
    words = {
        "unique": "there is a row with this value already",
        "foreign key": "a row refers to another that is not there, or is referred to and cannot go",
        "not null": "a value is missing",
        "check": "a value breaks a rule of its table",
    }
    return IntegrityError(f"{words[kind]} ({kind} {name or 'constraint'})", code=code, kind=kind, constraint=name)


def refused(code: int, text: str, where: str, user: str, name: str) -> Unavailable:
    """The error for a connection that could not be made: one sentence that says what to look at."""
    if code in DENIED:
        reason = f"{where} refuses user {user!r}: check user, password and rights on database {name!r}"
    elif code == 1049:
        reason = f"{where} has no database {name!r}: create it, or correct the name in the URL"
    elif code in FULL:
        reason = f"{where} has too many connections: lower pool_size or raise the server's max_connections"
    elif code < 1000 or 2000 <= code < 3000:
        reason = f"cannot reach {where}: {text}"
    else:
        reason = f"{where} refuses the connection: {text}"
    return Unavailable(reason, code=code)

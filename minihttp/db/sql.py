"""SQL with `:name` parameters, compiled once per statement and engine to the form its driver takes.

Owns: the scanner that knows strings and comments from code, and what a statement may do to its session.
Must not know: connections, drivers, tables, nor what a statement means.
Invariant: no value ever becomes text of a statement; the text depends on the statement and on the lengths of its
lists alone. Trade-off: the scanner reads tokens, not grammar: it is small, serves two dialects, and leaves every
error of grammar to the server. On MySQL it takes a backslash for an escape, so sessions must not run under
NO_BACKSLASH_ESCAPES: the connection sets its own sql_mode.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from itertools import chain
from typing import Any, Literal

from .errors import DataError, QueryError
from .values import MYSQL_TYPES, SQLITE_TYPES, to_driver

__all__ = ["Compiled", "Statement", "Style", "Values", "compile_sql", "split_statements"]

Style = Literal["mysql", "sqlite"]

# Alternatives are tried in order. A doubled quote needs no rule: it ends one string and begins the next.
MYSQL_TOKEN = re.compile(
    r"""(?P<string> '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" )
      | (?P<quoted> `[^`]*` )
      | (?P<comment> --(?=[\x00-\x20\x7f]|\Z)[^\n]* | \#[^\n]* | /\*(?!M?!).*?\*/ )
      | (?P<special> /\*M?!(?:[0-9]{5,6})? | \*/ )
      | (?P<unclosed> ['"`] | /\* )
      | (?P<name> :[^\W\d]\w* )
      | (?P<word> [\w$]+ )
      | (?P<space> \s+ )
      | (?P<other> ::|:=|. )""",
    re.VERBOSE | re.DOTALL,
)
SQLITE_TOKEN = re.compile(
    r"""(?P<string> '[^']*' )
      | (?P<quoted> "[^"]*" | `[^`]*` )
      | (?P<comment> --[^\n]* | /\*.*?\*/ )
      | (?P<unclosed> ['"`] | /\* )
      | (?P<name> :[^\W\d]\w* )
      | (?P<word> [\w$]+ )
      | (?P<space> \s+ )
      | (?P<other> ::|:=|. )""",
    re.VERBOSE | re.DOTALL,
)
SILENT = frozenset({"comment", "special", "space"})  # tokens between which `IN`, `(` and `:ids` still are neighbors

CLEAN_KEYWORDS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"})
# Variables, named locks and files: what one of the keywords above can still leave behind.
LEAVES_TRACES = re.compile(r":=|\bINTO\s+(?:@|OUTFILE\b|DUMPFILE\b)|_LOCKS?\s*\(|\bLAST_INSERT_ID\s*\(\s*[^\s)]", re.I)
STORED_PROGRAMS = frozenset({"TRIGGER", "PROCEDURE", "FUNCTION", "EVENT"})

SCALAR, BARE_LIST, INNER_LIST = range(3)  # `= :id`, `IN :ids`, `IN (:ids)`
# What stands between the parentheses of an IN list without values: false for every operand, NULL included, and so
# NOT IN is true. SQLite takes `IN ()` as it is; for MySQL it is an error, and `IN (NULL)` would make NOT IN unknown.
NOTHING = {"mysql": "SELECT NULL FROM DUAL WHERE 1 = 0", "sqlite": ""}
# Statements with more values than this keep the lengths of their lists: padded, these would pass SQLite's 32,766
# variables or MySQL's 65,535, and they are too rare for a statement cache to profit.
MAX_PADDED = 16_384

Token = tuple[str, str]
Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement in the driver's own form, its first word in upper case, and whether it leaves its session clean."""

    text: str
    keyword: str
    is_clean: bool


def _scan(sql: str, style: Style) -> list[Token]:
    """The statement as (kind, text) pairs that joined give it back. Raises QueryError for an open quote or comment."""
    tokens: list[Token] = []
    for match in (MYSQL_TOKEN if style == "mysql" else SQLITE_TOKEN).finditer(sql):
        kind = match.lastgroup or "other"
        if kind == "unclosed":
            line = sql.count("\n", 0, match.start()) + 1
            raise QueryError(
                f"the {match.group()} opened in line {line} is never closed: {_excerpt(sql[match.start() :])}"
            )
        tokens.append((kind, match.group()))
    return tokens


def _excerpt(sql: str) -> str:
    return repr(sql if len(sql) <= 60 else sql[:57] + "...")


def _code(tokens: Sequence[Token]) -> str:
    """The statement without its strings and comments; quoted identifiers stay, as they may name a function."""
    return "".join(
        f" {text[1:-1]} " if kind == "quoted" else "''" if kind == "string" else " " if kind in SILENT else text
        for kind, text in tokens
    )


class Compiled:
    """One statement in the form of one driver: `compile_sql("SELECT :a", "sqlite").bind({"a": 1})`.

    `sql` is the text as written, `style` the engine, `names` the parameters in the order of their places (a name may
    come twice), `statement` the driver's for scalars.
    """

    __slots__ = (
        "_bare", "_distinct", "_parts", "_slots", "_types", "names", "sql", "statement", "style",
    )  # fmt: skip

    def __init__(self, sql: str, style: Style) -> None:
        tokens = _scan(sql, style)
        if len(_split(tokens)) > 1:  # text behind a semicolon is how an injection would go on
            raise QueryError(f"there are several statements in {_excerpt(sql)}: run each with a call of its own")
        self.sql = sql
        self.style = style
        self._parts, self._slots = _placeholders(tokens)
        self.names = tuple(name for name, _ in self._slots)
        self._distinct = len(set(self.names))
        self._bare = [place for place, (_, slot) in enumerate(self._slots) if slot == BARE_LIST]
        self._types = MYSQL_TYPES if style == "mysql" else SQLITE_TYPES
        text = self._join(["%s" if style == "mysql" else "?"] * len(self.names), bool(self.names))
        code = _code(tokens)
        word = re.search(r"[^\W\d]\w*", code)
        keyword = word.group().upper() if word else ""
        is_clean = (
            keyword in CLEAN_KEYWORDS
            and not LEAVES_TRACES.search(code)
            # `/*!99999 ... */` is code or comment by the server's version: which of the two is not known here.
            and all(kind != "special" for kind, _ in tokens)
        )
        self.statement = Statement(text, keyword, is_clean)

    def __repr__(self) -> str:
        return f"Compiled({self.sql!r}, {self.style!r})"

    def bind(self, params: Mapping[str, Any]) -> tuple[Statement, Values]:
        """The driver's statement and its positional values: `(Statement("SELECT ?", "SELECT", True), (1,))`.

        With no values at all, MySQL's driver must be called without arguments: only then it leaves `%` alone. An
        aware datetime becomes UTC without a zone; SQLite gets Decimal, dates, times and timedelta as text; both get
        UUID as text, bool as 0 or 1 and an Enum as its value. A list after IN becomes as many places as the next power
        of two (up to 16,384), the last value repeated, so that few texts serve all lengths. NULL in a list means
        what SQL says: `x NOT IN (1, NULL)` is never true.

        Raises QueryError for a missing or unknown name and for a type that SQL has no form for; DataError, which is
        one, for an infinite number, an integer beyond 64 bits and text that has no UTF-8 form.
        """
        if len(params) != self._distinct:
            raise self._wrong_names(params)
        if not self._bare:
            types = self._types
            try:
                return self.statement, tuple([types[type(value := params[name])](value) for name in self.names])
            except (KeyError, ValueError):  # a list, a subclass, an Enum, or a name or value to be named in the error
                pass
        return self._bind_lists(params)

    def _bind_lists(self, params: Mapping[str, Any]) -> tuple[Statement, Values]:
        if not params.keys() >= set(self.names):
            raise self._wrong_names(params)
        bound: list[list[Any]] = []
        for name, slot in self._slots:
            value = params[name]
            if isinstance(value, list | tuple) and slot != SCALAR:
                bound.append([self._value(name, item) for item in value])
            elif slot == BARE_LIST:
                raise QueryError(
                    f"parameter :{name} stands for the list after IN: pass a list or tuple, not {_kind(value)}"
                )
            else:
                bound.append([self._value(name, value)])
        padded = [each if len(each) < 3 else _padded(each) for each in bound]
        if sum(map(len, padded)) <= MAX_PADDED:
            bound = padded
        mark = "%s" if self.style == "mysql" else "?"
        marks = [mark if len(each) == 1 else ", ".join([mark] * len(each)) or NOTHING[self.style] for each in bound]
        for place in self._bare:
            marks[place] = f"({marks[place]})"
        flat = tuple(chain.from_iterable(bound))
        return replace(self.statement, text=self._join(marks, bool(flat))), flat

    def _value(self, name: str, value: Any) -> Any:
        try:
            return to_driver(self._types, value)
        except TypeError as error:
            raise QueryError(f"parameter :{name} {error}") from None
        except ValueError as error:
            raise DataError(f"parameter :{name} {error}") from None

    def _join(self, marks: Sequence[str], has_values: bool) -> str:
        parts = self._parts
        if has_values and self.style == "mysql":  # the driver formats with `%` only when it is given values
            parts = [part.replace("%", "%%") for part in parts]
        return "".join(chain.from_iterable(zip(parts, [*marks, ""], strict=True)))

    def _wrong_names(self, params: Mapping[str, Any]) -> QueryError:
        missing = [name for name in dict.fromkeys(self.names) if name not in params]
        unknown = [name for name in params if name not in self.names]
        if missing:
            problem = f"parameter :{missing[0]} is missing"
            close = get_close_matches(missing[0], unknown, 1)
            hint = f"; did you mean it by {close[0]!r}?" if close else ""
        else:
            problem = f"there is no parameter :{unknown[0]}"
            close = get_close_matches(str(unknown[0]), self.names, 1)
            hint = f"; did you mean :{close[0]}?" if close else ""
        return QueryError(f"{problem} in {_excerpt(self.sql)}{hint}")


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _padded(items: list[Any]) -> list[Any]:
    size = len(items)
    return items + items[-1:] * ((1 << (size - 1).bit_length()) - size)


def _placeholders(tokens: Sequence[Token]) -> tuple[list[str], list[tuple[str, int]]]:
    """The text around the parameters, one piece more than there are of them, and each one's name and kind of place."""
    code = [(place, kind, text.upper()) for place, (kind, text) in enumerate(tokens) if kind not in SILENT]
    words = ["", "", *(text for _, _, text in code), ""]  # so that every token has neighbors
    parts, slots, start = [], [], 0
    for number, (place, kind, text) in enumerate(code):
        if kind == "other" and text == "?":
            raise QueryError("`?` is no parameter here: write :name and pass the value by name")
        if kind != "name":
            continue
        before_last, last, _, following = words[number : number + 4]
        slot = SCALAR
        if last == "IN":
            slot = BARE_LIST
        elif last == "(" and before_last == "IN" and following == ")":
            slot = INNER_LIST
        parts.append("".join(text for _, text in tokens[start:place]))
        slots.append((tokens[place][1][1:], slot))
        start = place + 1
    parts.append("".join(text for _, text in tokens[start:]))
    return parts, slots


@lru_cache(maxsize=1024)
def compile_sql(sql: str, style: Style) -> Compiled:
    """The statement compiled for an engine; the 1,024 used last are kept.

    Example: `compile_sql("SELECT * FROM t WHERE id IN :ids", "mysql").bind({"ids": [1, 2]})` is
    `(Statement("SELECT * FROM t WHERE id IN (%s, %s)", "SELECT", True), (1, 2))`.
    Raises QueryError for a quote or comment that is never closed, a `?`, and several statements in one text.
    """
    return Compiled(sql, style)


def split_statements(script: str, style: Style) -> list[str]:
    """The statements of a script, without their semicolons; those that are only comments are left out.

    Example: `split_statements("CREATE TABLE t (s TEXT DEFAULT ';'); -- done", "sqlite")` has one element. A semicolon
    between the BEGIN and END of a trigger or stored program does not end the statement. Raises QueryError for a
    quote or comment that is never closed.
    """
    return _split(_scan(script, style))


def _split(tokens: Sequence[Token]) -> list[str]:
    statements: list[str] = []
    current: list[Token] = []
    words: list[str] = []
    depth, previous = 0, ""
    for kind, text in [*tokens, ("other", ";")]:
        if text == ";" and depth <= 0:
            if _code(current).strip():
                statements.append("".join(part for _, part in current).strip())
            current, words, depth = [], [], 0
            continue
        current.append((kind, text))
        if kind == "word":
            words.append(text.upper())
            depth += _nesting(words, previous)
        previous = previous if kind in SILENT else text.upper()
    return statements


def _nesting(words: Sequence[str], previous: str) -> int:
    """By how much the last word opens or closes a block of a stored program; `END IF` closes no BEGIN."""
    word = words[-1]
    if words[0] != "CREATE" or STORED_PROGRAMS.isdisjoint(words[:8]):
        return 0
    if word == "END":
        return -1
    if previous == "END":
        return int(word in {"IF", "LOOP", "WHILE", "REPEAT"})
    return int(word in {"BEGIN", "CASE"})

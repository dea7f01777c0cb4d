"""The compiler of statements: what it takes for a parameter, what it takes for text, and what a driver then gets."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minihttp.db import Database
from minihttp.db.errors import DataError, QueryError
from minihttp.db.sql import Style, compile_sql, split_statements
from tests.support.mariadb import PrivateMariaDB

STYLES: tuple[Style, ...] = ("mysql", "sqlite")


def bind(sql: str, style: Style = "sqlite", /, **params: Any) -> tuple[str, tuple[Any, ...]]:
    statement, values = compile_sql(sql, style).bind(params)
    return statement.text, values


# --- parameters ------------------------------------------------------------------------------------------------------


def test_each_driver_gets_its_own_marks() -> None:
    sql = "SELECT * FROM t WHERE a = :a AND b = :b AND c = :a"
    assert bind(sql, "sqlite", a=1, b="x") == ("SELECT * FROM t WHERE a = ? AND b = ? AND c = ?", (1, "x", 1))
    assert bind(sql, "mysql", a=1, b="x") == ("SELECT * FROM t WHERE a = %s AND b = %s AND c = %s", (1, "x", 1))


def test_a_statement_without_parameters_stays_as_it_is() -> None:
    for style in STYLES:
        assert bind("SELECT 'a%b', 5 % 2", style) == ("SELECT 'a%b', 5 % 2", ())


def test_percent_is_doubled_only_where_the_driver_formats() -> None:
    assert bind("SELECT '%s', 5 % :n", "mysql", n=2) == ("SELECT '%%s', 5 %% %s", (2,))
    assert bind("SELECT '%' WHERE 1 IN :ids", "mysql", ids=[])[0].startswith("SELECT '%' WHERE")
    assert bind("SELECT '%' WHERE 1 IN :ids", "mysql", ids=[1]) == ("SELECT '%%' WHERE 1 IN (%s)", (1,))
    assert bind("SELECT '%s', 5 % :n", "sqlite", n=2) == ("SELECT '%s', 5 % ?", (2,))


@pytest.mark.parametrize(
    "text",
    [
        "':no'",
        "'it''s :no'",
        '":no"',
        '"say "":no"""',
        "`:no`",
        "`a``:no`",
        "'12:30'",
        "12:30",
        "-- :no",
        "-- it's :no\n",
        "/* :no */",
        "/* ' :no */",
        "/*+ :no */",
        "x::text",
        "@a := 3",
        ": no",
        ":9",
        "'\n:no\n'",
    ],
)
@pytest.mark.parametrize("style", STYLES)
def test_no_parameter_is_found_in(text: str, style: Style) -> None:
    assert compile_sql(f"SELECT {text}", style).names == ()


@pytest.mark.parametrize(
    ("text", "mysql", "sqlite"),
    [
        (r"'a\' , :x , \''", (), ("x",)),
        (r"'a\\' , :x", ("x",), ("x",)),
        (r'"a\" , :x , \""', (), ("x",)),
        (r"`a\` , :x", ("x",), ("x",)),
        ("# :x", (), ("x",)),
        ("5--:x", ("x",), ()),
        ("5--\t:x", (), ()),
        ("1 --", (), ()),
        ("/*! :x */", ("x",), ()),
        ("/*!50001 :x */", ("x",), ()),
        ("/*M! :x */", ("x",), ()),
        ("/*! /* :y */ :x */", ("x",), ("x",)),
        ("[:x]", ("x",), ("x",)),
        ("(:x)", ("x",), ("x",)),
        ("::x :y", ("y",), ("y",)),
        ("1:x", ("x",), ("x",)),
        (":_x1, :Näme", ("_x1", "Näme"), ("_x1", "Näme")),
    ],
)
def test_dialects(text: str, mysql: tuple[str, ...], sqlite: tuple[str, ...]) -> None:
    assert compile_sql(f"SELECT {text}", "mysql").names == mysql
    if text.count("'") % 2 == text.count('"') % 2 == 0 or not sqlite:
        assert compile_sql(f"SELECT {text}", "sqlite").names == sqlite


@pytest.mark.parametrize("text", ["'a", '"a', "`a", "/* a", "'a''", "-- '\n'a"])
@pytest.mark.parametrize("style", STYLES)
def test_an_open_quote_is_refused_with_its_line(text: str, style: Style) -> None:
    with pytest.raises(QueryError, match=r"line \d is never closed"):
        compile_sql(f"SELECT\n{text}", style)


def test_a_question_mark_is_no_parameter() -> None:
    with pytest.raises(QueryError, match="write :name"):
        compile_sql("SELECT ?", "sqlite")
    assert compile_sql("SELECT '?' -- ?", "sqlite").names == ()


@pytest.mark.parametrize("style", STYLES)
def test_missing_and_unknown_parameters_are_named(style: Style) -> None:
    with pytest.raises(QueryError, match=r"parameter :name is missing.*did you mean it by 'nmae'"):
        bind("SELECT :name, :age", style, nmae=1, age=2)
    with pytest.raises(QueryError, match="parameter :age is missing"):
        bind("SELECT :age", style)
    with pytest.raises(QueryError, match=r"no parameter :agee.*did you mean :age"):
        bind("SELECT :age", style, age=1, agee=2)
    with pytest.raises(QueryError, match=r"no parameter :zzz in 'SELECT 1'$"):
        bind("SELECT 1", style, zzz=2)
    with pytest.raises(QueryError, match=r"\.\.\."):
        bind("SELECT " + "1 + " * 50 + "1", style, zzz=2)


@pytest.mark.parametrize("style", STYLES)
def test_several_statements_are_refused(style: Style) -> None:
    for sql in ("SELECT 1; DROP TABLE t", "SELECT ';'; SELECT 2", "/* x */ ; SELECT 1; -- x\n SELECT 2"):
        with pytest.raises(QueryError, match="several statements"):
            compile_sql(sql, style)
    for sql in ("SELECT 1;", "SELECT 1; -- done", ";; SELECT ';' ;;", "", "-- nothing"):
        assert compile_sql(sql, style).statement.text == sql
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END"
    assert compile_sql(trigger, style).statement.text == trigger


def test_compiled_statements_are_kept() -> None:
    assert compile_sql("SELECT :a", "mysql") is compile_sql("SELECT :a", "mysql")
    assert compile_sql("SELECT :a", "mysql") is not compile_sql("SELECT :a", "sqlite")
    assert repr(compile_sql("SELECT :a", "mysql")) == "Compiled('SELECT :a', 'mysql')"
    assert compile_sql.cache_info().maxsize == 1024


# --- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [":ids", "(:ids)", "( :ids )", "/* x */ (\n:ids -- y\n)"])
@pytest.mark.parametrize("values", [[1, 2], (1, 2)])
def test_a_list_stands_for_the_parenthesized_list(form: str, values: Any) -> None:
    text, bound = bind(f"SELECT 1 WHERE 2 in {form}", "sqlite", ids=values)
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute(text, bound).fetchall() == [(1,)]
    assert bound == (1, 2)


@pytest.mark.parametrize(("length", "places"), [(1, 1), (2, 2), (3, 4), (5, 8), (64, 64), (65, 128), (16_385, 16_385)])
def test_lists_are_padded_to_powers_of_two(length: int, places: int) -> None:
    text, bound = bind("SELECT 1 WHERE 1 IN :ids", "mysql", ids=list(range(length)))
    assert text.count("%s") == len(bound) == places
    assert bound[:length] == tuple(range(length))
    assert set(bound[length:]) <= {length - 1}


@pytest.mark.parametrize(
    ("lengths", "places"), [((8_000, 8_000), 16_384), ((8_000, 8_193), 16_193), ((3, 20_000), 20_003)]
)
def test_lists_are_padded_together_or_not_at_all(lengths: tuple[int, int], places: int) -> None:
    lists = {name: [7] * length for name, length in zip("ab", lengths, strict=True)}
    assert len(bind("SELECT 1 WHERE 1 IN :a OR 1 IN (:b)", "sqlite", **lists)[1]) == places


def test_lists_leave_the_caller_s_list_alone() -> None:
    ids = [1, 2, 3]
    bind("SELECT 1 WHERE 1 IN :ids", "mysql", ids=ids)
    assert ids == [1, 2, 3]


def test_a_scalar_may_stand_in_parentheses_after_in() -> None:
    assert bind("SELECT 1 IN (:a), 1 IN (:a, :b)", "sqlite", a=1, b=2) == ("SELECT 1 IN (?), 1 IN (?, ?)", (1, 1, 2))


@pytest.mark.parametrize(
    ("sql", "value", "message"),
    [
        ("SELECT :x", [1], "only after IN"),
        ("SELECT 1 WHERE a = (:x)", [1], "only after IN"),
        ("SELECT 1 IN (:x, 2)", [1], "only after IN"),
        ("SELECT 1 IN :x", [[1]], "not inside another list"),
        ("SELECT 1 IN :x", 1, "pass a list or tuple, not int"),
        ("SELECT 1 IN :x", None, "pass a list or tuple, not None"),
        ("SELECT 1 IN :x", {1}, "pass a list or tuple, not set"),
        ("SELECT 1 IN (:x)", {1}, "has the type set"),
    ],
)
def test_a_list_in_the_wrong_place_is_refused(sql: str, value: Any, message: str) -> None:
    with pytest.raises(QueryError, match=f"parameter :x .*{message}"):
        bind(sql, "sqlite", x=value)


async def test_lists_mean_the_same_on_both_engines(database_url: str) -> None:
    async with Database(database_url) as db:
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)")
        await db.execute("INSERT INTO t VALUES (1, 10), (2, 20), (3, NULL)")

        async def ids(condition: str, *values: Any) -> list[int]:
            rows = await db.all(f"SELECT id, 'a%b' FROM t WHERE {condition} ORDER BY id", {"v": list(values)})
            return [row.id for row in rows]

        for listed in (":v", "(:v)"):
            assert await ids(f"a IN {listed}") == []
            assert await ids(f"a NOT IN {listed}") == [1, 2, 3]
            assert await ids(f"NOT a IN {listed}") == [1, 2, 3]
            assert await ids(f"a IN {listed}", 10) == [1]
            assert await ids(f"a IN {listed}", 10, 30, 20) == [1, 2]
            assert await ids(f"a NOT IN {listed}", 10, 30, 40) == [2]
            assert await ids(f"a NOT IN {listed}", 10, None) == []
        assert len(await ids("id IN :v", *range(1, 20_000))) == 3


# --- sessions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "keyword", "clean"),
    [
        ("SELECT 1", "SELECT", True),
        ("  (select 1)", "SELECT", True),
        ("((SELECT 1) UNION (SELECT 2))", "SELECT", True),
        ("-- first\n/* then */ insert INTO t VALUES (1)", "INSERT", True),
        ("UPDATE t SET a = 1", "UPDATE", True),
        ("DELETE FROM t", "DELETE", True),
        ("REPLACE INTO t VALUES (1)", "REPLACE", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "WITH", True),
        ("SELECT ':=', 'INTO @x', 'GET_LOCK(1)' -- := GET_LOCK()", "SELECT", True),
        ("SELECT LAST_INSERT_ID()", "SELECT", True),
        ("SELECT * FROM t FOR UPDATE SKIP LOCKED", "SELECT", True),
        ("SELECT @a := 1", "SELECT", False),
        ("SELECT 1 INTO @a", "SELECT", False),
        ("SELECT 1 INTO /* to */ @a", "SELECT", False),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT", False),
        ("SELECT 1 INTO DUMPFILE '/tmp/x'", "SELECT", False),
        ("SELECT get_lock('a', 1)", "SELECT", False),
        ("SELECT `get_lock` ('a', 1)", "SELECT", False),
        ("INSERT INTO t SELECT RELEASE_LOCK('a')", "INSERT", False),
        ("SELECT RELEASE_ALL_LOCKS()", "SELECT", False),
        ("SELECT LAST_INSERT_ID(5)", "SELECT", False),
        ("SET NAMES utf8mb4", "SET", False),
        ("SET STATEMENT max_statement_time = 1 FOR SELECT 1", "SET", False),
        ("CALL p()", "CALL", False),
        ("CREATE TEMPORARY TABLE x (a INT)", "CREATE", False),
        ("PRAGMA foreign_keys = OFF", "PRAGMA", False),
        ("BEGIN", "BEGIN", False),
        ("", "", False),
    ],
)
def test_what_a_statement_leaves_behind(sql: str, keyword: str, clean: bool) -> None:
    for style in STYLES:
        compiled = compile_sql(sql, style)
        assert (compiled.statement.keyword, compiled.statement.is_clean) == (keyword, clean)


def test_a_conditional_comment_leaves_the_session_in_doubt() -> None:
    assert compile_sql("/*! SET */ SELECT 1", "mysql").statement.keyword == "SET"
    assert not compile_sql("SELECT 1 /*!99999 + 1 */", "mysql").statement.is_clean
    assert compile_sql("SELECT 1 /*!99999 + 1 */", "sqlite").statement.is_clean


# --- scripts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_scripts_are_split_at_semicolons_of_the_code(style: Style) -> None:
    script = "CREATE TABLE a (s TEXT DEFAULT ';'); -- a ; b\n\nINSERT INTO `;` VALUES (\";\"); /* ; */ ;; SELECT 1"
    assert split_statements(script, style) == [
        "CREATE TABLE a (s TEXT DEFAULT ';')",
        '-- a ; b\n\nINSERT INTO `;` VALUES (";")',
        "SELECT 1",
    ]


def test_what_only_mysql_reads_is_no_statement_for_sqlite() -> None:
    script = "/*! SET NAMES utf8mb4 */; SELECT 1;"
    assert split_statements(script, "mysql") == ["/*! SET NAMES utf8mb4 */", "SELECT 1"]
    assert split_statements(script, "sqlite") == ["SELECT 1"]


BODIES = [
    "BEGIN DELETE FROM a; DELETE FROM b; END",
    "BEGIN SELECT CASE WHEN 1 THEN 2 END; DELETE FROM b; END",
    "BEGIN IF x THEN BEGIN DELETE FROM a; END; END IF; CASE x WHEN 1 THEN DELETE FROM a; END CASE; END",
    "BEGIN LOOP DELETE FROM a; END LOOP; END",
]


@pytest.mark.parametrize("body", BODIES)
def test_a_stored_program_is_one_statement(body: str) -> None:
    trigger = f"CREATE TRIGGER t AFTER INSERT ON a {body}"
    assert split_statements(f"{trigger}; SELECT 1; BEGIN; END; {trigger};", "sqlite") == [
        *(trigger, "SELECT 1", "BEGIN", "END", trigger),
    ]


def test_a_script_with_an_open_quote_is_refused() -> None:
    with pytest.raises(QueryError, match="line 3 is never closed"):
        split_statements("SELECT 1;\n\nSELECT 'a;", "mysql")


# --- properties ------------------------------------------------------------------------------------------------------

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = st.text(alphabet=":ab'\"`\\%?;-#*/\n ", max_size=12)
LITERALS = st.one_of(
    WORDS.map(lambda text: "'" + text.replace("\\", "").replace("'", "''") + "'"),
    WORDS.map(lambda text: '"' + text.replace("\\", "").replace('"', '""') + '"'),
    WORDS.map(lambda text: "`" + text.replace("`", "``") + "`"),
    WORDS.map(lambda text: "/* " + text.replace("*", "").replace("/", "") + " */"),
    WORDS.map(lambda text: "-- " + text.replace("\n", "") + "\n"),
)
PIECES = st.lists(st.one_of(LITERALS, st.sampled_from([":p", "1", " ", ", ", "(", ")"])), max_size=8)


@UNHURRIED
@given(PIECES, st.sampled_from(STYLES))
def test_parameters_are_found_exactly_in_the_code(pieces: list[str], style: Style) -> None:
    sql = " ".join(pieces)
    compiled = compile_sql(sql, style)
    assert compiled.names == ("p",) * pieces.count(":p")
    statement, values = compiled.bind({"p": 1} if compiled.names else {})
    mark = "%s" if style == "mysql" else "?"
    expected = " ".join(
        mark if piece == ":p" else piece.replace("%", "%%") if style == "mysql" and values else piece
        for piece in pieces
    )
    assert statement.text == expected


@UNHURRIED
@given(st.text(alphabet=":ab'\"`\\%?;-#*/!\n ()", max_size=40), st.sampled_from(STYLES))
def test_any_text_is_compiled_or_refused(sql: str, style: Style) -> None:
    try:
        compiled = compile_sql(sql, style)
    except QueryError:
        return
    marks = iter(re.split(r"(?<!:):[A-Za-z_]\w*", sql))
    assert next(marks) is not None
    params = dict.fromkeys(compiled.names, 1)
    statement, values = compiled.bind(params)
    assert len(values) == len(compiled.names)
    if style == "mysql" and values:
        assert (statement.text % (("?",) * len(values))).count("?") >= len(values)


SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)),
    *(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.binary(),
        st.decimals(allow_nan=False, allow_infinity=False),
    ),
    *(st.dates(), st.datetimes(), st.times(), st.timedeltas(), st.uuids()),
)


@UNHURRIED
@given(SCALARS, SCALARS, st.sampled_from(STYLES))
def test_values_never_change_the_text(one: Any, other: Any, style: Style) -> None:
    sql = "SELECT * FROM t WHERE a = :a AND b IN (:b)"
    assert bind(sql, style, a=one, b=other)[0] == bind(sql, style, a=1, b=1)[0]


# --- injection -------------------------------------------------------------------------------------------------------

ATTACKS = [
    *("' OR 1=1 -- ", '" OR 1=1 -- ', "\\' OR 1=1 -- ", "\xbf' OR 1=1 -- ", "1) OR (1=1", "'; DROP TABLE t; -- "),
    *("\\", "'", "''", "%s", "%(a)s", "%", "?", ":a", "a\0b", "\x1a", "/*", "*/", "`", "名' OR '名'='名"),
]  # fmt: skip


async def attack(db: Database) -> None:
    """Every attack comes back as the value that it is, and finds only the row that holds it."""
    binary = "VARBINARY(100)" if db.engine == "mysql" else "BLOB"
    await db.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, s VARCHAR(100), b {binary})")
    await db.execute("INSERT INTO t VALUES (0, 'safe', NULL)")
    for number, text in enumerate(ATTACKS, 1):
        raw = text.encode()
        await db.execute("INSERT INTO t VALUES (:id, :text, :raw)", id=number, text=text, raw=raw)
        row = await db.one("SELECT s, b, '%' FROM t WHERE id = :id", id=number)
        assert (row[0], row[1], row[2]) == (text, raw, "%")
        for condition, value in (("s = :v", text), ("b = :v", raw), ("s IN :v", [text]), ("b IN :v", [raw, raw, raw])):
            assert [row.id for row in await db.all(f"SELECT id FROM t WHERE {condition}", {"v": value})] == [number]
            streamed = [row.id async for row in db.iterate(f"SELECT id FROM t WHERE {condition}", {"v": value})]
            assert streamed == [number]
    assert await db.scalar("SELECT COUNT(*) FROM t") == len(ATTACKS) + 1


async def test_no_value_becomes_sql(database_url: str) -> None:
    async with Database(database_url) as db:
        await attack(db)


async def test_no_value_becomes_sql_where_the_server_has_no_backslash_escapes(
    own_mariadb: Callable[..., PrivateMariaDB],
) -> None:
    server = own_mariadb(options=("--sql-mode=NO_BACKSLASH_ESCAPES",))
    for options in ("", "?statement_cache=0"):
        async with Database(server.url() + options) as db:
            await attack(db)
            assert await db.scalar(r"SELECT 'it\'s :x' = :text", text="it's :x") == 1  # the mode of the session counts
            await db.execute("DROP TABLE t")


async def test_wrong_values_do_not_reach_the_driver(database_url: str) -> None:
    async with Database(database_url) as db:
        for value in (float("nan"), float("inf"), 2**64, "\ud800"):
            with pytest.raises(DataError, match="parameter :v "):
                await db.scalar("SELECT :v", v=value)
        for wrong in (object(), {"a": 1}, {1}, 1j, [1]):
            with pytest.raises(QueryError, match="parameter :v "):
                await db.scalar("SELECT :v", v=wrong)

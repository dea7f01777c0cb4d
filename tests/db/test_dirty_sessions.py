"""Whatever one task does to its MySQL session, the next one that gets a connection finds none of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from minihttp.db import Database, DatabaseError, UsageError
from tests.support.mariadb import run_sql

# All that a session could pass on, in one row; the same on a new connection.
STATE = """SELECT @@sql_mode AS mode, @@time_zone AS zone, @@autocommit AS autocommit, @@foreign_key_checks AS checks,
    @@character_set_client AS client, @@character_set_results AS results, @@collation_connection AS collation,
    @@tx_isolation AS isolation, @@tx_read_only AS read_only, @@max_statement_time AS longest, @@sql_log_bin AS log,
    DATABASE() AS db, CURRENT_ROLE() AS role, @x AS x, @y AS y, LAST_INSERT_ID() AS last, @@sql_select_limit AS most,
    IS_USED_LOCK(CONCAT(DATABASE(), '1')) AS locked, IS_USED_LOCK(CONCAT(DATABASE(), '2')) AS locked_too"""
LEAKS = [
    "SET SESSION sql_mode = ''", "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", "SET @@sql_mode := ''",
    "/* a comment */ set time_zone = '+05:00'", "SET autocommit = 0", "SET foreign_key_checks = 0",
    "SET NAMES latin1", "SET CHARACTER SET gbk", "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET SESSION TRANSACTION READ ONLY", "SET max_statement_time = 0.5", "SET sql_select_limit = 1", "SET ROLE {role}",
    "USE information_schema",
    "SET @x = 5", "SELECT @x := 5", "SELECT 5 INTO @x", "SELECT 5 INTO\n@x", "SELECT 5, 6 INTO @x, @y",
    "SELECT 5 /* ! */ INTO /* ! */ @x", "SELECT /*! @x := */ 5", "SELECT 5 /*!50000 INTO @x */", "/*! SET @x = 5 */",
    "/*M! SET @x = 5 */", "WITH w AS (SELECT 5 AS five) SELECT five INTO @x FROM w",
    "INSERT INTO t VALUES (@x := 5)", "UPDATE t SET id = (@x := id)", "SELECT `id` INTO @`x` FROM t LIMIT 1",
    "CALL leak()", "SET STATEMENT max_statement_time = 9 FOR SELECT @x := 5", "DO @x := 5",
    "EXECUTE IMMEDIATE 'SET @x = 5'",
    "SELECT GET_LOCK(CONCAT(DATABASE(), '1'), 0)", "SELECT get_lock /* ! */ (CONCAT(DATABASE(), '2'), 0)",
    "SELECT `get_lock`(CONCAT(DATABASE(), '1'), 0)", "DO GET_LOCK(CONCAT(DATABASE(), '1'), 0)",
    "SELECT id FROM t WHERE GET_LOCK(CONCAT(DATABASE(), '1'), 0)", "SELECT LAST_INSERT_ID(77)",
    "INSERT INTO t VALUES (LAST_INSERT_ID(78))",
]  # fmt: skip
# What shows only when it is looked for.
HIDDEN = [
    ("CREATE TEMPORARY TABLE t2 (other INT)", "SELECT id FROM t2"),
    ("CREATE TEMPORARY TABLE t (other INT)", "SELECT id FROM t"),
    ("LOCK TABLES t WRITE", "SELECT id FROM t2"),
    ("LOCK TABLES t READ", "INSERT INTO t2 VALUES (1)"),
    ("PREPARE mine FROM 'SELECT 1'", "PREPARE mine FROM 'SELECT 2'"),
    ("HANDLER t OPEN", "INSERT INTO t VALUES (1)"),
    ("SET TRANSACTION READ ONLY", "INSERT INTO t VALUES (1)"),
]
WAYS = ["execute", "iterate", "script", "transaction"]


@pytest.fixture
async def db(mysql_url, mariadb_server):
    name = mysql_url.rpartition("/")[2]
    role = f"{name}_role"
    # A grant to the user whom the server sees, under the host by which it knows him.
    run_sql(mariadb_server.root_url(), f"CREATE ROLE {role}", f"GRANT {role} TO app@'127.0.0.1'")
    async with Database(mysql_url + "?pool_size=1&close_grace=0") as db:
        await db.script(
            "CREATE TABLE t (id INT) ENGINE=InnoDB; CREATE TABLE t2 (id INT) ENGINE=InnoDB; INSERT INTO t VALUES (1);"
            "CREATE PROCEDURE leak() BEGIN SET @x = 5; SET sql_mode = ''; SET SESSION autocommit = 0; END"
        )
        db.role = role
        yield db
    run_sql(mariadb_server.root_url(), f"DROP ROLE {role}")


async def leak(db, way, sql):
    """Run it in one of the ways there are. What cannot be in a transaction, or ends it, is refused there."""
    if way == "script":
        await db.script(sql)
    elif way == "iterate":
        await anext(db.iterate(sql), None)
    elif way == "execute":
        await db.execute(sql)
    else:
        with suppress(DatabaseError):
            async with db.transaction() as tx:
                await tx.execute(sql)


async def settled(db):
    """A lock is free when the server has seen that its session is gone, a moment later."""
    async with asyncio.timeout(10):
        while db.stats.used:
            await asyncio.sleep(0.001)
        while await db.scalar(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        ):
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_that_shows_is_left(db, way):
    clean = dict(await db.one(STATE))
    assert clean["x"] is None
    for sql in LEAKS:
        await leak(db, way, sql.format(role=db.role))
        await settled(db)
        assert dict(await db.one(STATE)) == clean, sql


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_that_hides_is_left(db, way):
    for sql, probe in HIDDEN:
        await leak(db, way, sql)
        await settled(db)
        await db.execute(probe)
        await db.execute("DELETE FROM t2")


@pytest.mark.parametrize(
    "sql", ["BEGIN", "START TRANSACTION READ ONLY", "XA START 'x'", "SAVEPOINT a", "COMMIT", "END"]
)
async def test_a_transaction_by_hand_is_refused(db, sql):
    with pytest.raises(UsageError, match=r"async with db\.transaction"):
        await db.execute(sql)


async def test_a_statement_cancelled_or_wrong_leaves_nothing_either(db):
    clean = dict(await db.one(STATE))
    task = asyncio.create_task(db.execute("SET @x = SLEEP(100)"))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.wait([task])
    await settled(db)
    assert dict(await db.one(STATE)) == clean
    with pytest.raises(DatabaseError):
        await db.execute("SELECT @x := 5 FROM nowhere")
    with pytest.raises(DatabaseError):
        await db.execute("SELECT @x := id, (SELECT 1 UNION SELECT 2) FROM t")
    await settled(db)
    assert dict(await db.one(STATE)) == clean


async def test_what_is_clean_keeps_its_connection(db):
    """The other side of it: nothing of this is taken for a trace."""
    await db.scalar("SELECT 1")
    before = db.stats
    for sql in (
        "SELECT 'a := b', '@x', \"INTO @x\", '/*! SET @x = 1 */'", "SELECT id AS block FROM t /* INTO @x */",
        "INSERT INTO t VALUES (2)", "UPDATE t SET id = 3 WHERE id = 2", "REPLACE INTO t VALUES (4)", "DELETE FROM t",
        "WITH w AS (SELECT 1) SELECT * FROM w", "SELECT LAST_INSERT_ID()", "SELECT id FROM t FOR UPDATE",
    ):  # fmt: skip
        await db.execute(sql)
    assert db.stats.connects == before.connects

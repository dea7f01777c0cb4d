"""Migrations: what is applied, once and in order, what is refused, and what a failure leaves."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from minihttp.db import (
    Database,
    Lock,
    LockTimeout,
    MigrationError,
    MigrationState,
    UsageError,
    migrate,
    migration_plan,
    migration_status,
)
from tests.support.mariadb import run_sql

PROJECT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds until something that does not come fails the test
ROUNDS = 100

# Every statement fails, or leaves another number, where it runs a second time.
FILES = {
    "0001_make.sql": "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);\nINSERT INTO t VALUES (1, 0);",
    "0002_widen.sql": "UPDATE t SET n = n + 1;\n-- more\nALTER TABLE t ADD COLUMN m INTEGER;\nUPDATE t SET m = 7;\n",
    "0003_add.sql": "UPDATE t SET m = m + 1;",
}
OUTCOME = {"id": 1, "n": 1, "m": 8}


@pytest.fixture
async def db(database_url):
    async with Database(database_url) as db:
        yield db


@pytest.fixture
async def mysql(mysql_url):
    async with Database(mysql_url) as db:
        yield db


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "migrations"
    folder.mkdir()
    write(folder, FILES)
    return folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


async def states(db, folder) -> dict[str, tuple[str, int]]:
    return {each.name: (each.state.value, each.applied) for each in await migration_status(db, folder)}


async def refusal(db, folder, **options) -> str:
    """The error of `migrate`, one line that says what to do; nothing is applied by it."""
    with pytest.raises(MigrationError) as caught:
        await migrate(db, folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- applying


async def test_each_file_is_applied_once_and_in_order(db, folder):
    told = []
    assert await migrate(db, folder, report=told.append) == list(FILES) == told
    assert await db.all("SELECT * FROM t") == [OUTCOME]
    assert await migrate(db, folder) == []
    write(folder, {"0004_again.sql": "UPDATE t SET m = m + 1", "README.md": "not one of them"})
    assert await migrate(db, folder) == ["0004_again.sql"]
    assert await db.all("SELECT * FROM t") == [{**OUTCOME, "m": 9}]


async def test_status_and_plan_change_nothing(db, folder):
    assert [str(each) for each in await migration_status(db, folder)] == [
        "0001_make.sql pending, 0 of 2 statements",
        "0002_widen.sql pending, 0 of 3 statements",
        "0003_add.sql pending, 0 of 1 statements",
    ]
    plan = migration_plan(await migration_status(db, folder))
    assert [(file.name, first) for file, first in plan] == [(name, 0) for name in FILES]
    tables = {"mysql": "SHOW TABLES", "sqlite": "SELECT name FROM sqlite_master"}
    assert await db.all(tables[db.engine]) == []
    await migrate(db, folder)
    files = await migration_status(db, folder)
    assert re.fullmatch(
        r"0001_make\.sql applied at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, 2 of 2 statements", str(files[0])
    )
    assert {each.state for each in files} == {MigrationState.APPLIED}
    assert migration_plan(files) == []


async def test_what_is_up_to_date_needs_no_lock(db, folder):
    await migrate(db, folder)
    async with Lock(db, "migrations"):
        assert await migrate(db, folder, wait=0) == []
        write(folder, {"0004_more.sql": "DELETE FROM t"})
        with pytest.raises(LockTimeout, match="process"):
            await migrate(db, folder, wait=0)
        assert await migrate(db, folder, wait=0, break_lock=True) == ["0004_more.sql"]


async def test_a_file_may_be_for_one_engine_alone(db, folder):
    write(folder, {"0004_only.sql": "/*! ALTER TABLE t ADD COLUMN k INTEGER DEFAULT 5 */;"})
    await migrate(db, folder)
    assert (await states(db, folder))["0004_only.sql"] == ("applied", int(db.engine == "mysql"))
    assert await db.all("SELECT * FROM t") == [{**OUTCOME, **({"k": 5} if db.engine == "mysql" else {})}]


async def test_a_file_may_hold_a_trigger_and_marks_that_are_no_parameters(db, folder):
    each_row = "FOR EACH ROW" if db.engine == "mysql" else ""
    write(folder, {
        "0004_trigger.sql": f"""CREATE TRIGGER twice AFTER INSERT ON t {each_row} BEGIN
            DELETE FROM other; INSERT INTO other VALUES ('a;?:b%s');
        END; INSERT INTO t VALUES (2, 0, 0)""",
        "0003_add.sql": "UPDATE t SET m = m + 1; CREATE TABLE other (a VARCHAR(9));",
    })  # fmt: skip
    await migrate(db, folder)
    assert await db.scalar("SELECT a FROM other") == "a;?:b%s"


async def test_what_a_file_sets_is_for_its_own_statements_alone(mysql, folder):
    write(folder, {
        "0004_set.sql": "SET @n = 40; UPDATE t SET n = @n + 2;", "0005_unset.sql": "UPDATE t SET m = COALESCE(@n, -1);"
    })  # fmt: skip
    await migrate(mysql, folder)
    assert await mysql.all("SELECT n, m FROM t") == [{"n": 42, "m": -1}]


async def test_a_file_takes_the_time_that_it_takes(mysql_url, folder):
    write(folder, {"0001_slow.sql": "DO SLEEP(0.6)"})
    for name in FILES:
        (folder / name).unlink()
    async with Database(mysql_url + "?query_timeout=0.5") as db:
        assert await migrate(db, folder) == ["0001_slow.sql"]


async def test_it_works_in_memory(folder):
    async with Database("sqlite:///:memory:") as db:
        assert await migrate(db, folder) == list(FILES)
        assert await db.all("SELECT * FROM t") == [OUTCOME]


async def test_a_pool_of_one_connection_is_too_small_for_mysql(mysql_url, folder):
    async with Database(mysql_url + "?pool_size=1") as db:
        with pytest.raises(UsageError, match="pool_size is 1"):
            await migrate(db, folder)


# ---- files that are refused


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"add_email.sql": ""}, "add_email.sql does not begin with its number: name it as in 0001_add_email.sql"),
        ({"4.sql": ""}, "4.sql does not begin with its number"),
        ({"0003_b.sql": "", "0004_c.sql": ""}, "0003_add.sql and 0003_b.sql have the same number: .* next free one, 5"),
        ({"0005_late.sql": ""}, "0005_late.sql stands where number 4 should be: .*bring back.*or renumber"),
        ({"0000_early.sql": ""}, "0000_early.sql stands where number 1 should be"),
        ({"0004_open.sql": "SELECT 'x"}, "cannot read .*0004_open.sql: the ' opened in line 1 is never closed"),
        ({"0004_mark.sql": "SELECT ?"}, "cannot read .*0004_mark.sql: `\\?` is no parameter"),
        ({"0004_tx.sql": "SELECT 1; BEGIN; SELECT 2; COMMIT"}, "0004_tx.sql, statement 2, is BEGIN: leave it out"),
    ],
)
async def test_a_folder_that_makes_no_sense_is_refused(db, folder, files, problem):
    write(folder, files)
    assert re.search(problem, await refusal(db, folder))
    with pytest.raises(MigrationError, match=problem):
        await migration_status(db, folder)


async def test_a_folder_that_cannot_be_read_is_refused(db, tmp_path):
    assert re.search(
        "cannot read the folder of migrations, .*absent: No such file", await refusal(db, tmp_path / "absent")
    )
    (tmp_path / "file").write_text("")
    assert "Not a directory" in await refusal(db, tmp_path / "file")
    (tmp_path / "0001_latin.sql").write_bytes(b"SELECT '\xe4'")
    assert re.search("cannot read .*0001_latin.sql: .*utf-8", await refusal(db, tmp_path))
    (tmp_path / "0001_latin.sql").unlink()
    (tmp_path / "0001_folder.sql").mkdir()
    assert re.search("cannot read .*0001_folder.sql: .*directory", await refusal(db, tmp_path))


CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "0002_widen.sql").write_text("UPDATE t SET n = 2"),
     "0002_widen.sql was changed after it was applied: restore it .* next free number, 4"),
    (lambda folder: (folder / "0002_widen.sql").write_text(FILES["0002_widen.sql"] + "SELECT 1"),
     "0002_widen.sql was changed after it was applied"),
    (lambda folder: (folder / "0003_add.sql").unlink(),
     "0003_add.sql is recorded in the database, and there is no such file: bring it back"),
    (lambda folder: (folder / "0003_add.sql").rename(folder / "0003_renamed.sql"),
     "number 3 was applied as 0003_add.sql and is 0003_renamed.sql now: .*its name back.* next free number, 4"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "problem"), CHANGES)
async def test_what_was_applied_cannot_be_changed(db, folder, change, problem):
    await migrate(db, folder)
    change(folder)
    assert re.search(problem, await refusal(db, folder))


async def test_what_means_the_same_may_be_changed(db, folder):
    await migrate(db, folder)
    on_windows = FILES["0002_widen.sql"].replace("\n", "\r\n").encode("utf-8-sig")
    (folder / "0002_widen.sql").write_bytes(on_windows + b"-- done\r\n")
    assert await migrate(db, folder) == []


async def test_a_file_before_those_that_are_applied_is_refused(db, folder):
    await migrate(db, folder)
    await db.execute("DELETE FROM minihttp_migration WHERE number = 2")
    said = await refusal(db, folder)
    assert said.startswith("0002_widen.sql is not applied, but 0003_add.sql, which comes after it, is")


# ---- failures


WRONG = {"0002_widen.sql": FILES["0002_widen.sql"].replace("UPDATE t SET m = 7", "UPDATE nowhere SET m = 7")}


async def test_on_sqlite_a_file_that_fails_leaves_nothing(tmp_path, folder):
    write(folder, WRONG)
    async with Database(f"sqlite:///{tmp_path}/x.db") as db:
        assert re.fullmatch(
            r"0002_widen\.sql, statement 3 of 3, failed: .*nowhere.*; nothing of the file was applied: correct it and "
            r"run `migrate up` again",
            await refusal(db, folder),
        )
        assert await states(db, folder) == {
            "0001_make.sql": ("applied", 2), "0002_widen.sql": ("pending", 0), "0003_add.sql": ("pending", 0)
        }  # fmt: skip
        assert await db.all("SELECT * FROM t") == [{"id": 1, "n": 0}]
        write(folder, FILES)
        assert await migrate(db, folder) == ["0002_widen.sql", "0003_add.sql"]
        assert await db.all("SELECT * FROM t") == [OUTCOME]


async def test_on_mysql_a_file_that_fails_is_recorded_and_goes_on_there(mysql, folder):
    write(folder, WRONG)
    said = await refusal(mysql, folder)
    assert re.match(
        r"0002_widen\.sql, statement 3 of 3, failed: .*nowhere.*\(MySQL error 1146\); the statements before", said
    )
    assert "which begins with statement 3;" in said
    assert "--resume 4" in said
    assert (await states(mysql, folder))["0002_widen.sql"] == ("failed", 2)
    assert re.search(r"failed at .*, 2 of 3 statements: .*nowhere", str((await migration_status(mysql, folder))[1]))
    assert await refusal(mysql, folder) == said  # it is tried again, and nothing before it

    (folder / "0002_widen.sql").write_text(WRONG["0002_widen.sql"].replace("n + 1", "n + 2"))
    assert "0002_widen.sql was changed in its first 2 statements, after it was applied" in await refusal(mysql, folder)
    write(folder, FILES)
    assert [(file.name, first) for file, first in migration_plan(await migration_status(mysql, folder))] == [
        ("0002_widen.sql", 2), ("0003_add.sql", 0)
    ]  # fmt: skip
    assert await migrate(mysql, folder) == ["0002_widen.sql", "0003_add.sql"]
    assert await mysql.all("SELECT * FROM t") == [OUTCOME]
    assert {each.error for each in await migration_status(mysql, folder)} == {None}


async def test_where_the_first_statement_fails_there_are_none_before_it(mysql, folder):
    write(folder, {"0004_wrong.sql": "UPDATE nowhere SET n = 1; UPDATE t SET n = 1"})
    said = "(MySQL error 1146); correct the file and run `migrate up` again, which begins with statement 1; if it is"
    assert said in await refusal(mysql, folder)


async def test_an_error_of_several_lines_is_told_and_kept_in_one(mysql, folder):
    write(folder, {"0004_wrong.sql": "UPDATE t\nSET n = = 1\nWHERE id = 1"})
    assert "near '= 1 WHERE id = 1'" in await refusal(mysql, folder)
    assert "near '= 1 WHERE id = 1'" in str((await migration_status(mysql, folder))[3])


async def test_what_was_done_by_hand_is_passed_over(mysql, folder):
    write(folder, WRONG)
    await refusal(mysql, folder)
    for number in (0, 2, 5):
        assert f"can be resumed at statement 3 to 4, not at {number}" in await refusal(mysql, folder, resume=number)
    await mysql.execute("UPDATE t SET m = 7")
    assert await migrate(mysql, folder, resume=4) == ["0002_widen.sql", "0003_add.sql"]
    assert await mysql.all("SELECT * FROM t") == [OUTCOME]
    assert await migrate(mysql, folder) == []


async def test_there_must_be_something_to_resume(db, folder):
    assert "nothing to resume: no file is half applied" in await refusal(db, folder, resume=1)
    await migrate(db, folder)
    assert "nothing to resume: no file is half applied" in await refusal(db, folder, resume=1)


async def test_a_file_that_leaves_a_transaction_open_is_refused(mysql, folder):
    write(folder, {"0004_open.sql": "SET autocommit = 0; UPDATE t SET n = 99;"})
    assert "0004_open.sql, statement 2 of 2, failed: it leaves a transaction open" in await refusal(mysql, folder)
    assert await mysql.scalar("SELECT n FROM t") == 1


async def test_a_lock_that_was_taken_meanwhile_stops_the_work(database_url, db, folder):
    def steal(name: str) -> None:
        at_once(database_url, "UPDATE minihttp_lock SET owner = 'somebody else'")

    with pytest.raises(MigrationError, match="another process has taken the lock meanwhile: nothing more was run here"):
        await migrate(db, folder, report=steal)
    assert [each.state.value for each in await migration_status(db, folder)] == ["applied", "pending", "pending"]
    assert await db.all("SELECT * FROM t") == [{"id": 1, "n": 0}]


async def test_a_failure_that_cannot_be_recorded_is_told(mysql, folder):
    write(folder, {"0004_both.sql": """
        CREATE PROCEDURE both_at_once() BEGIN
            UPDATE minihttp_lock SET owner = 'somebody else';
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no more';
        END;
        CALL both_at_once();"""})  # fmt: skip
    assert "0004_both.sql, statement 2 of 2, failed: no more" in await refusal(mysql, folder)
    assert (await states(mysql, folder))["0004_both.sql"] == ("running", 1)


async def test_who_has_lost_the_lock_plans_nothing_by_what_is_recorded(mysql, folder):
    async with Lock(mysql, "another"):  # which makes the table
        await mysql.script(
            "CREATE TRIGGER t BEFORE INSERT ON minihttp_lock FOR EACH ROW SET NEW.owner = 'somebody else'"
        )
    assert "another process has taken the lock meanwhile" in await refusal(mysql, folder, resume=1)


def at_once(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement without a loop, on a connection of its own."""
    if url.startswith("mysql"):
        return run_sql(url, statement)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


# ---- processes


class Process:
    """A process that migrates when it is told to."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.db.migrating"],
            cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.answer() == "ready"

    def order(self, url: str, folder: Path) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"url": url, "folder": str(folder)}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def process() -> Iterator[Callable[[], Process]]:
    with ExitStack() as stack:

        def start() -> Process:
            started = Process()
            stack.callback(started.kill)
            return started

        yield start


def together(process: Callable[[], Process], folder: Path, urls: Sequence[str]) -> None:
    """Two processes migrate each database at the same time: nobody fails, and one of them applies each file."""
    two = process(), process()
    for url in urls:
        for each in two:
            each.order(url, folder)
        applied = [each.answer() for each in two]
        assert applied in ([list(FILES), []], [[], list(FILES)])


def test_two_processes_together_a_hundred_times_on_sqlite(process, folder, tmp_path):
    urls = [f"sqlite:///{tmp_path}/{number}.db" for number in range(ROUNDS)]
    together(process, folder, urls)
    for url in urls:
        assert at_once(url, "SELECT * FROM t, (SELECT COUNT(*) FROM minihttp_lock)") == [(*OUTCOME.values(), 0)]


def test_two_processes_together_a_hundred_times_on_mysql(process, folder, mariadb_server):
    names = [f"test_{secrets.token_hex(6)}_{number}" for number in range(ROUNDS)]
    root = mariadb_server.root_url()
    run_sql(root, *(f"CREATE DATABASE {name}" for name in names))
    try:
        together(process, folder, [mariadb_server.url(name) for name in names])
        every = [f"SELECT t.*, (SELECT COUNT(*) FROM {name}.minihttp_lock) FROM {name}.t" for name in names]
        assert run_sql(root, " UNION ALL ".join(every)) == [(*OUTCOME.values(), 0)] * ROUNDS
    finally:
        run_sql(root, *(f"DROP DATABASE {name}" for name in names))


@pytest.mark.parametrize(("resume", "left"), [(1, 3), (2, 2)])
async def test_on_mysql_a_killed_process_stops_all_until_somebody_has_looked(
    mysql, mysql_url, folder, process, resume, left
):
    await mysql.script("CREATE TABLE gate (id INTEGER PRIMARY KEY, n INTEGER NOT NULL); INSERT INTO gate VALUES (1, 1)")
    write(folder, {"0001_make.sql": "UPDATE gate SET n = n + 1;" + FILES["0001_make.sql"]})
    killed = process()
    waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'UPDATE gate%'"
    async with asyncio.timeout(PATIENCE), Database(mysql_url) as watcher:
        async with mysql.transaction() as tx:
            await tx.one("SELECT n FROM gate WHERE id = 1 FOR UPDATE")
            killed.order(mysql_url, folder)
            while not await watcher.scalar(waiting):  # recorded as running it is before it is sent
                pass
            assert (await states(watcher, folder))["0001_make.sql"] == ("running", 0)
            killed.kill()
        while await mysql.scalar("SELECT n FROM gate WHERE id = 1") == 1:  # the server goes on without the client
            pass
    with pytest.raises(LockTimeout, match=r"held by process \d+ on"):
        await migrate(mysql, folder, wait=0)
    said = await refusal(mysql, folder, wait=0, break_lock=True)
    assert said == await refusal(mysql, folder)
    assert re.match(
        r"0001_make\.sql, statement 1 of 3, was begun, and nobody knows whether it was done \(its process .* ended\); "
        r"see that the server is not at it still \(SHOW PROCESSLIST\), .*: if nothing was done, `migrate up --resume "
        r"1` runs it again; if it is done already, or you do it by hand, `migrate up --resume 2` goes on behind it",
        said,
    )
    with pytest.raises(MigrationError, match="nobody knows"):
        migration_plan(await migration_status(mysql, folder))
    assert await migrate(mysql, folder, resume=resume) == list(FILES)
    assert await mysql.scalar("SELECT n FROM gate") == left
    assert await mysql.all("SELECT * FROM t") == [OUTCOME]


async def test_on_mysql_a_statement_that_is_run_again_has_no_error_yet(mysql, mysql_url, folder, process):
    write(folder, WRONG)
    await refusal(mysql, folder)
    write(folder, {"0002_widen.sql": WRONG["0002_widen.sql"].replace("UPDATE nowhere SET m = 7", "DO SLEEP(100)")})
    process().order(mysql_url, folder)
    async with asyncio.timeout(PATIENCE):
        while (await states(mysql, folder))["0002_widen.sql"] != ("running", 2):
            pass
    assert (await migration_status(mysql, folder))[1].error is None


async def test_on_mysql_a_connection_that_is_lost_leaves_it_open_too(mysql, folder):
    write(folder, {"0001_make.sql": "KILL CONNECTION_ID();" + FILES["0001_make.sql"]})
    said = await refusal(mysql, folder)
    assert "0001_make.sql, statement 1 of 3, was begun, and nobody knows whether it was done (its process or" in said
    assert "running at" in (told := str((await migration_status(mysql, folder))[0]))
    assert "the connection to the MySQL server was lost" in told
    assert await refusal(mysql, folder) == said
    assert await migrate(mysql, folder, resume=2) == list(FILES)


async def test_on_sqlite_a_killed_process_leaves_nothing_but_its_lock(tmp_path, folder, process):
    url = f"sqlite:///{tmp_path}/x.db?busy_timeout=0.3"
    endless = (
        "INSERT INTO t WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT COUNT(*), 0 FROM r;"
    )
    write(folder, {"0001_make.sql": FILES["0001_make.sql"] + endless})
    killed = process()
    async with asyncio.timeout(PATIENCE), Database(url) as db:
        killed.order(url, folder)
        with pytest.raises(LockTimeout, match=r"by process|others write"):
            while True:
                async with Lock(db, "migrations", wait=0):
                    pass
        killed.kill()
        async with Lock(db, "migrations", steal=True):
            assert {state for state, _ in (await states(db, folder)).values()} == {"pending"}
        write(folder, FILES)
        assert await migrate(db, folder) == list(FILES)
        assert await db.all("SELECT * FROM t") == [OUTCOME]

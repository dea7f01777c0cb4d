"""The command line: what it serves, how options are said, and how it speaks of mistakes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from minihttp import App, Limits, Options, cli
from minihttp.db import Database
from minihttp.options import ENVIRONMENT_PREFIX, Setting, settings

PROJECT = Path(__file__).parents[1]
PATIENCE = 30.0  # seconds until something that does not come fails the test

MODULE = """
from types import SimpleNamespace
from minihttp import App, Limits, Response

app = App(limits=Limits(max_body=7, pipeline=2048))
inner = SimpleNamespace(deep=SimpleNamespace(app=app))
number = 7

@app.get("/")
async def hello(request):
    return f"hello {request.max_body}"

async def bare(request):
    return Response("bare")
"""

BLOCKS = """
import pathlib
import time

@app.get("/block")
async def block(request):
    while not pathlib.Path("over").exists():
        time.sleep(0.01)
    return "over"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a module `mine`, and an environment without our variables."""
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


Choosing = Callable[..., tuple[Any, Options]]


@pytest.fixture
def chosen(here: Path, monkeypatch: pytest.MonkeyPatch) -> Choosing:
    """What would be served, and with which options: `chosen("mine:app", "--port", "1")`."""

    def run(*arguments: str) -> tuple[Any, Options]:
        served: list[Any] = []
        monkeypatch.setattr(cli, "run_until_stopped", lambda app, options: served.extend((app, options())))
        cli.main(arguments)
        app, options = served
        return app, options

    return run


def complaint(*arguments: str) -> str:
    """The one line that a mistake is answered with; its status is 1."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    message = str(ended.value.code)
    assert message.startswith("cannot start: ")
    assert "\n" not in message
    return message


# --- what is served ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["mine:app", "mine:inner.deep.app"])
def test_module_and_attribute_name_the_app(chosen: Choosing, target: str) -> None:
    app, options = chosen(target)
    assert app is sys.modules["mine"].app
    assert options == Options(limits=Limits(max_body=7, pipeline=2048))


def test_a_bare_handler_may_be_named(chosen: Choosing) -> None:
    assert chosen("mine:bare") == (sys.modules["mine"].bare, Options())


def test_a_module_in_a_package_may_be_named(here: Path, chosen: Choosing) -> None:
    (here / "parcel").mkdir()
    (here / "parcel" / "inside.py").write_text(MODULE)
    assert isinstance(chosen("parcel.inside:app")[0], App)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("mine", "'mine' is not module:app"),
        ("mine:", "is not module:app"),
        (":app", "is not module:app"),
        (".mine:app", "is not module:app"),
        ("..:app", "is not module:app"),
        ("absent:app", "no module 'absent'"),
        ("mine.absent:app", "no module 'mine.absent'"),
        ("absent.mine:app", "no module 'absent.mine'"),
        ("mine.py:app", "no module 'mine.py'"),
        ("./mine.py:app", "is not module:app"),
        ("folder/mine.py:app", "no module 'folder/mine.py'"),
        ("mine..x:app", "no module 'mine..x'"),
        ("mine:absent", "'mine' has no 'absent'"),
        ("mine:inner.absent", "'mine' has no 'inner.absent'"),
        ("mine:app.", "'mine' has no 'app.'"),
        ("mine:number", "is a int, neither an App nor an async function"),
        ("minihttp:App", "neither an App nor an async function"),
    ],
)
def test_a_target_that_is_none_is_told_in_one_line(here: Path, target: str, problem: str) -> None:
    assert problem in complaint(target)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("1 / 0", ZeroDivisionError),
        ("def", SyntaxError),
        ("import absent_elsewhere", ModuleNotFoundError),
        ("import broken.absent", ModuleNotFoundError),
        ("from minihttp import absent", ImportError),
    ],
)
def test_an_error_in_the_module_itself_is_shown_whole(here: Path, source: str, error: type[Exception]) -> None:
    (here / "broken.py").write_text(source)
    with pytest.raises(error):
        cli.main(["broken:app"])


def test_a_wrong_route_is_told_in_one_line_with_its_places(here: Path) -> None:
    (here / "twice.py").write_text(MODULE + "\napp.get('/')(bare)\n")
    assert len(set(re.findall(r"twice\.py:\d+", complaint("twice:app")))) == 2


# --- options ----------------------------------------------------------------------------------------------------------


def sample(each: Setting) -> tuple[str, Any]:
    """A text that this option takes, other than its default, and the value it means."""
    if each.choices:
        return each.choices[-1], each.choices[-1]
    samples: dict[str, tuple[str, Any]] = {
        "int": ("5000", 5000), "float": ("2.5", 2.5), "str": ("text", "text"), "bool": ("yes", True)
    }  # fmt: skip
    return samples[each.kind]


def value_of(options: Options, each: Setting) -> Any:
    return getattr(options if hasattr(options, each.name) else options.limits, each.name)


@pytest.mark.parametrize("way", ["argument", "variable"])
@pytest.mark.parametrize("each", settings(), ids=lambda each: each.name)
def test_every_option_has_an_argument_and_a_variable(
    chosen: Choosing, monkeypatch: pytest.MonkeyPatch, each: Setting, way: str
) -> None:
    text, value = sample(each)
    arguments = ["--certificate", "c.pem"] if each.name == "private_key" else []
    if way == "argument":
        arguments += ["--" + each.name.replace("_", "-"), *([] if each.kind == "bool" else [text])]
    else:
        monkeypatch.setenv(ENVIRONMENT_PREFIX + each.name.upper(), text)
    _, options = chosen("mine:bare", *arguments)
    assert value_of(options, each) == value != each.default
    others = [other for other in settings() if other.name not in (each.name, "certificate")]
    assert all(value_of(options, other) == other.default for other in others)


def test_arguments_win_over_variables_and_these_over_the_apps_limits(
    chosen: Choosing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIHTTP_PORT", "1")
    monkeypatch.setenv("MINIHTTP_HOST", "::1")
    monkeypatch.setenv("MINIHTTP_MAX_BODY", "8")
    _, options = chosen("mine:app", "--port", "2", "--keep-alive", "3")
    assert (options.port, options.host) == (2, "::1")
    assert (options.limits.max_body, options.limits.pipeline, options.limits.keep_alive) == (8, 2048, 3.0)


def test_what_belongs_together_may_be_said_in_two_ways(chosen: Choosing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIHTTP_PRIVATE_KEY", "key.pem")
    options = chosen("mine:app", "--certificate", "cert.pem")[1]
    assert (options.certificate, options.private_key) == ("cert.pem", "key.pem")
    monkeypatch.setenv("MINIHTTP_UDS", "socket")
    assert "uds and fd" in complaint("mine:app", "--certificate", "cert.pem", "--fd", "3")


def test_a_variable_can_say_no_and_an_argument_wins_over_a_wrong_one(
    chosen: Choosing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIHTTP_WATCH", "no")
    monkeypatch.setenv("MINIHTTP_PORT", "not a port")
    assert chosen("mine:app", "--port", "2")[1] == Options(port=2, limits=Limits(max_body=7, pipeline=2048))
    assert chosen("mine:app", "--port", "2", "--watch")[1].watch


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--port", "http"], "option port is 'http'"),
        (["--port", "70000"], "option port"),
        (["--port", "-1"], "option port"),
        (["--max-body", "-1"], "option max_body"),
        (["--keep-alive", "nan"], "option keep_alive"),
        (["--watch-limit", "inf"], "option watch_limit"),
        (["--loop", "twisted"], "asyncio, uvloop"),
        (["--fd", "3", "--uds", "x"], "uds and fd exclude each other"),
        (["--private-key", "k"], "needs option certificate"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(here: Path, arguments: list[str], problem: str) -> None:
    assert problem in complaint("mine:app", *arguments)


def test_a_wrong_variable_is_told_in_one_line(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIHTTP_GRACE", "long")
    assert "option grace is 'long'" in complaint("mine:app")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "module:app"),
        (["mine:app", "--prot", "1"], "--prot"),
        (["mine:app", "--por", "1"], "--por"),  # no abbreviations: a new option could change what they mean
        (["mine:app", "--port"], "--port"),
        (["mine:app", "more"], "more"),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    [text] = capsys.readouterr().err.splitlines()
    assert problem in text


def test_the_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "python -m minihttp module:app" in text
    for each in settings():
        assert f"--{each.name.replace('_', '-')} " in text or f"--{each.name.replace('_', '-')}\n" in text
        assert ENVIRONMENT_PREFIX + each.name.upper() in "".join(text.split())


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert sorted(cli.COMMANDS) == ["migrate", "race", "top"]
    for word, (_, does) in cli.COMMANDS.items():
        assert re.search(rf"^  {word} +{re.escape(does)}$", text, re.MULTILINE)


@pytest.mark.parametrize("word", sorted(cli.COMMANDS))
def test_every_command_has_a_help_of_its_own(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([word, "--help"])
    assert ended.value.code == 0
    assert word in capsys.readouterr().out


# --- migrate ----------------------------------------------------------------------------------------------------------

STATEMENTS = ["CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)"]
WAITING = "0001_make.sql pending, 0 of 2 statements\n0002_more.sql pending, 0 of 1 statements\n"


@pytest.fixture
def folder(here: Path) -> Path:
    folder = here / "migrations"
    folder.mkdir()
    (folder / "0001_make.sql").write_text("; ".join(STATEMENTS))
    (folder / "0002_more.sql").write_text("INSERT INTO t VALUES (2);")
    return folder


Output = pytest.CaptureFixture[str]


def test_migrate_shows_and_applies_and_applies_once(folder: Path, database_url: str, capsys: Output) -> None:
    where = ["--database", database_url]
    if database_url.startswith("sqlite"):
        Path(database_url.removeprefix("sqlite:///")).touch()
    cli.main(["migrate", "status", *where])
    assert capsys.readouterr().out == WAITING
    cli.main(["migrate", "up", "--dry-run", *where])
    assert capsys.readouterr().out.splitlines() == [
        *("-- 0001_make.sql, statement 1 of 2", STATEMENTS[0] + ";"),
        *("-- 0001_make.sql, statement 2 of 2", STATEMENTS[1] + ";"),
        *("-- 0002_more.sql, statement 1 of 1", "INSERT INTO t VALUES (2);"),
    ]
    cli.main(["migrate", "status", *where])
    assert capsys.readouterr().out == WAITING
    cli.main(["migrate", "up", *where])
    assert capsys.readouterr().out == "0001_make.sql applied\n0002_more.sql applied\n"
    cli.main(["migrate", "up", *where])
    cli.main(["migrate", "up", "--dry-run", *where])
    assert capsys.readouterr() == ("nothing to apply\n-- nothing to apply\n", "")
    cli.main(["migrate", "status", *where])
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(" at ")[0] for line in shown] == ["0001_make.sql applied", "0002_more.sql applied"]


def test_migrate_says_that_a_folder_is_empty(here: Path, database_url: str, capsys: Output) -> None:
    (here / "empty").mkdir()
    for action in ("up", "status"):
        cli.main(["migrate", action, "--migrations", "empty", "--database", database_url])
    assert capsys.readouterr().out == "nothing to apply\nno .sql files in empty\n"
    cli.main(["migrate", "status", "--migrations", "empty", "--database", "sqlite:///:memory:"])
    assert capsys.readouterr().out == "no .sql files in empty\n"


def test_migrate_is_told_by_variables_too(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    Path("here.db").touch()
    monkeypatch.setenv("MINIHTTP_DATABASE", "sqlite:///here.db")
    monkeypatch.setenv("MINIHTTP_MIGRATIONS", str(folder.rename(folder.with_name("elsewhere"))))
    cli.main(["migrate", "up", "--database", "sqlite:///there.db"])
    assert capsys.readouterr().out.count("applied") == 2
    cli.main(["migrate", "status"])
    assert capsys.readouterr().out == WAITING
    assert (folder.parent / "there.db").exists()
    monkeypatch.setenv("MINIHTTP_LOCK_WAIT", "-1")
    assert "option lock_wait is -1.0: it must be at least 0 seconds" in migrate_complaint("up")


def migrate_complaint(*arguments: str) -> str:
    """The one line that `migrate` refuses with; its status is 1."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["migrate", *arguments])
    message = str(ended.value.code)
    assert message.startswith("cannot migrate: ")
    assert "\n" not in message
    return message


def test_what_migrate_cannot_do_is_told_in_one_line(folder: Path) -> None:
    where = ["--database", "sqlite:///here.db"]
    assert "--database URL" in migrate_complaint("status")
    for action in (["status"], ["up", "--dry-run"]):
        assert "there is no file here.db; `migrate up` would make it" in migrate_complaint(*action, *where)
    assert not Path("here.db").exists()
    Path("plain").touch()
    for name in ("x" * 300, "plain/here.db"):
        assert "the SQLite file" in migrate_complaint("status", "--database", f"sqlite:///{name}")
    assert "sqlite:///" in migrate_complaint("status", "--database", "here.db")
    assert "127.0.0.1:1" in migrate_complaint("status", "--database", "mysql://ann:hunter2@127.0.0.1:1/x")
    assert "folder of migrations, absent: No such file" in migrate_complaint("up", *where, "--migrations", "absent")
    assert "nothing to resume" in migrate_complaint("up", *where, "--resume", "2")
    assert "nothing to resume" in migrate_complaint("up", *where, "--resume", "2", "--dry-run")
    (folder / "0002_more.sql").write_text("INSERT INTO nowhere VALUES (1)")
    assert "0002_more.sql, statement 1 of 1, failed" in migrate_complaint("up", *where)


@pytest.mark.parametrize(
    "arguments",
    [["migrate"], ["migrate", "down"], ["migrate", "up", "--resume", "two"], ["migrate", "up", "--data", "x"]],
)
def test_a_wrong_argument_of_migrate_is_told_in_one_line(arguments: list[str], capsys: Output) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_help_of_migrate_names_its_options(capsys: Output) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["migrate", "--help"])
    assert ended.value.code == 0
    text = "".join(capsys.readouterr().out.split())
    for each in ("--database", "--migrations", "--lock-wait", "--dry-run", "--resume", "--break-lock"):
        assert each in text
    for each in ("MINIHTTP_DATABASE", "MINIHTTP_MIGRATIONS", "MINIHTTP_LOCK_WAIT"):
        assert f"[{each}]" in text


def test_migrate_waits_for_another_only_as_long_as_it_is_told(folder: Path, capsys: Output) -> None:
    where = ["--database", "sqlite:///here.db"]
    cli.main(["migrate", "up", *where])
    (folder / "0003_last.sql").write_text("INSERT INTO t VALUES (3)")
    with closing(sqlite3.connect("here.db")) as connection, connection:
        now = "(julianday('now') - 2440587.5) * 86400.0"
        connection.execute(f"INSERT INTO minihttp_lock VALUES ('migrations', 'process 7 on elsewhere', {now} + 600)")
    said = migrate_complaint("up", *where, "--lock-wait", "0.1")
    assert "'migrations' is held by process 7 on elsewhere" in said
    assert "(waited for 0.1 s)" in said
    cli.main(["migrate", "up", *where, "--break-lock"])
    assert capsys.readouterr().out.endswith("0003_last.sql applied\n")


# --- top and race -----------------------------------------------------------------------------------------------------


def test_top_without_a_server_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        cli.main(["top", "--once"])
    assert "start one with python -m minihttp module:app --watch" in str(ended.value.code)
    assert "\n" not in str(ended.value.code)


def test_race_runs_a_heat_and_draws_it(here: Path, capsys: Output) -> None:
    cli.main(["race", "--heat", "1", "--picture", "race.svg"])
    assert "minihttp, one loop" in capsys.readouterr().out
    assert (here / "race.svg").read_text().startswith("<svg")
    with pytest.raises(SystemExit) as ended:
        cli.main(["race", "--heat", "1", "--picture", "absent/race.svg"])
    assert str(ended.value.code).startswith("the race was broken off: ")
    assert "\n" not in str(ended.value.code)


# --- the program ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def program(folder: Path, *arguments: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m minihttp` in this folder, with every warning an error; killed at the end, should it still run."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "minihttp", *arguments,
        cwd=folder, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, **options,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def end_of(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    """Status, the rest of its output, and its errors."""
    async with asyncio.timeout(PATIENCE):
        output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def served_at(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        line = (await process.stdout.readline()).decode()
    assert line.startswith("Serving on "), line
    return line.split()[2]


async def get(address: str, path: str = "/") -> str:
    """The body of the answer to GET this path."""
    scheme, _, place = address.partition(":")
    async with asyncio.timeout(PATIENCE):
        if scheme == "unix":
            reader, writer = await asyncio.open_unix_connection(place)
        else:
            host, _, port = place.removeprefix("//").rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2].decode()


@pytest.mark.parametrize("place", ["port", "uds", "fd"])
async def test_the_program_serves_until_it_is_told_to_stop(here: Path, place: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd = listening.fileno()
        said = {"port": "0", "uds": str(here / "socket"), "fd": str(fd)}[place]
        async with program(here, "mine:app", f"--{place}", said, "--max-body", "9", pass_fds=[fd]) as process:
            assert await get(await served_at(process)) == "hello 9"
            process.send_signal(signal.SIGINT)
            assert await end_of(process) == (0, "", "")


async def test_the_program_serves_a_bare_handler(here: Path) -> None:
    async with program(here, "mine:bare", "--port", "0", "--loop", "asyncio") as process:
        assert await get(await served_at(process)) == "bare"
        process.send_signal(signal.SIGTERM)
        assert await end_of(process) == (0, "", "")


async def test_what_the_program_cannot_do_is_told_in_one_line(here: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, problem in (
            (["mine:app", "--port", str(port)], f"127.0.0.1:{port} is in use"),
            (["mine:bare", "--host", "does-not-exist.invalid"], "does-not-exist.invalid:8000"),
            (["mine:app", "--certificate", "absent.pem"], "absent.pem"),
            (["absent:app"], "'absent'"),
        ):
            async with program(here, *arguments) as process:
                status, output, errors = await end_of(process)
            assert (status, output, errors.count("\n")) == (1, "", 1)
            assert errors.startswith("cannot start: ")
            assert problem in errors


async def test_top_shows_a_program_that_is_watched(here: Path) -> None:
    async with program(here, "mine:app", "--port", "0", "--watch") as served:
        await get(await served_at(served))
        async with program(here, "top", "--once", "--pid", str(served.pid)) as shown:
            status, output, errors = await end_of(shown)
    assert (status, errors) == (0, "")
    assert f"pid {served.pid}" in output
    assert "THE ONE THREAD" in output


async def test_top_shows_a_program_that_is_blocked(here: Path) -> None:
    text = MODULE + BLOCKS
    (here / "mine.py").write_text(text)
    async with program(here, "mine:app", "--port", "0", "--watch") as served:
        asking = asyncio.create_task(get(await served_at(served), "/block"))
        async with asyncio.timeout(PATIENCE):
            output = ""
            while "AND STILL IS" not in output:
                async with program(here, "top", "--once", "--pid", str(served.pid)) as shown:
                    status, output, errors = await end_of(shown)
                assert (status, errors) == (0, "")
        (here / "over").touch()
        assert await asking == "over"
    line = text.splitlines().index("        time.sleep(0.01)") + 1
    assert f"time.sleep(0.01)  mine.py:{line} in block" in output
    assert "fix: use await asyncio.sleep(...)" in output


async def test_a_race_can_be_interrupted(here: Path) -> None:
    async with program(here, "race") as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readline()  # of the first heat: the second lasts for seconds
        process.send_signal(signal.SIGINT)
        status, _, errors = await end_of(process)
    assert (status, errors) == (1, "stopped\n")


async def test_the_program_shows_where_the_module_failed(here: Path) -> None:
    (here / "broken.py").write_text("1 / 0\n")
    async with program(here, "broken:app") as process:
        status, output, errors = await end_of(process)
    assert (status, output) == (1, "")
    assert "Traceback" in errors
    assert "broken.py" in errors


async def test_the_program_migrates_and_can_be_interrupted(folder: Path, mysql_url: str) -> None:
    async with program(folder.parent, "migrate", "up", "--database", mysql_url) as process:
        assert await end_of(process) == (0, "0001_make.sql applied\n0002_more.sql applied\n", "")
    (folder / "0003_slow.sql").write_text("DELETE FROM t; DO SLEEP(100)")
    running = "SELECT id FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%' AND db = DATABASE()"
    async with program(folder.parent, "migrate", "up", "--database", mysql_url) as process, Database(mysql_url) as db:
        async with asyncio.timeout(PATIENCE):
            while not await db.all(running):
                pass
        process.send_signal(signal.SIGINT)
        status, output, errors = await end_of(process)
        assert (status, output) == (1, "")
        assert errors == "stopped: `migrate status` says how far it came\n"
        assert await db.scalar("SELECT COUNT(*) FROM minihttp_lock") == 0

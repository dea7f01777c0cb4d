"""The tests' own server: that it can be killed, paused and restarted, leaves nothing behind and opens no door."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncmy
import pytest

from tests.support import debian, mariadb
from tests.support.mariadb import ForeignServer, NoMariaDB, PrivateMariaDB, Server, find_programs, run_sql

PROJECT = Path(__file__).parents[1]
OwnServer = Callable[..., PrivateMariaDB]


def test_each_database_is_fresh_and_goes_away(mariadb_server: Server) -> None:
    one, two = mariadb_server.create_database(), mariadb_server.create_database()
    run_sql(mariadb_server.url(one), "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (3)")
    assert run_sql(mariadb_server.url(one), "SELECT a FROM t") == [(3,)]
    assert run_sql(mariadb_server.url(two), "SHOW TABLES") == []
    for name in (one, two):
        mariadb_server.drop_database(name)
        mariadb_server.drop_database(name)
    with pytest.raises(asyncmy.errors.OperationalError, match="Unknown database"):
        run_sql(mariadb_server.root_url(one), "SELECT 1")


async def test_sql_runs_inside_a_running_loop_too(mysql_url: str) -> None:
    assert run_sql(mysql_url, "SELECT DATABASE()")[0][0] in mysql_url


def test_a_database_survives_kill_and_terminate(own_mariadb: OwnServer) -> None:
    server = own_mariadb()
    port = server.port
    run_sql(server.url(), "CREATE TABLE t (a INT)", "INSERT INTO t VALUES (3)")
    for end in (server.kill, server.terminate):
        end()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        server.restart()
        assert server.port == port
        assert run_sql(server.url(), "SELECT a FROM t") == [(3,)]


def test_a_paused_server_accepts_and_is_silent(own_mariadb: OwnServer) -> None:
    server = own_mariadb()
    server.pause()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        server.resume()
        client.settimeout(60)
        assert client.recv(1)


def test_no_account_is_without_a_password(own_mariadb: OwnServer) -> None:
    server = own_mariadb()
    for user in ("root", "app", "", "mysql"):
        with pytest.raises(asyncmy.errors.OperationalError, match="Access denied"):
            run_sql(f"mysql://{user}@127.0.0.1:{server.port}/app", "SELECT 1")
    accounts = run_sql(server.root_url(), "SELECT DISTINCT User FROM mysql.user")
    assert {user for (user,) in accounts} == {"app", "root", "mariadb.sys"}
    assert Path(server.socket).parent.stat().st_mode & 0o777 == 0o700


def test_options_reach_the_server(own_mariadb: OwnServer) -> None:
    server = own_mariadb(options=("--max-connections=17",))
    assert run_sql(server.url(), "SELECT @@max_connections") == [(17,)]


def test_a_server_that_cannot_start_says_what_it_logged() -> None:
    with pytest.raises(RuntimeError, match="no-such-option"), PrivateMariaDB(options=("--no-such-option",)):
        pass


def test_the_server_dies_with_the_process_that_started_it_and_its_folder_is_swept() -> None:
    script = (
        "from tests.support.mariadb import PrivateMariaDB\n"
        "with PrivateMariaDB() as server:\n"
        "    print(server.port, server.socket, flush=True)\n"
        "    input()\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port, path = process.stdout.readline().split()
        with socket.create_connection(("127.0.0.1", int(port))) as client:
            client.settimeout(60)
            assert client.recv(1)
            mariadb.sweep()
            assert Path(path).exists(), "in use: not swept"
            process.send_signal(signal.SIGKILL)
            process.wait()
            while client.recv(4096):  # to the end: the kernel closes it when the server is gone
                pass
    mariadb.sweep()
    assert not Path(path).parent.exists()


def test_a_command_runs_beside_a_server_and_its_status_is_ours() -> None:
    script = (
        "import os, sys\n"
        "from tests.support.mariadb import run_sql\n"
        "assert os.environ['MINIHTTP_MYSQL_URL'] == sys.argv[1]\n"
        "print(run_sql(sys.argv[1], 'SELECT 6 * 7'))\n"
        "sys.exit(3)\n"
    )
    command = [sys.executable, "-m", "tests.support.mariadb", "--", sys.executable, "-c", script, "{url}"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[(42,)]\n", 3), done.stderr


def test_a_named_server_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIHTTP_MYSQL_URL", "mysql://me:secret@db.example:3307/mine?pool_size=2")
    server = mariadb.server_from_environment()
    assert isinstance(server, ForeignServer)
    with server:
        assert server.url() == "mysql://me:secret@db.example:3307/mine?pool_size=2"
        assert server.url("other") == server.root_url("other") == "mysql://me:secret@db.example:3307/other?pool_size=2"


def fake_program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_an_installed_server_is_preferred(tmp_path: Path) -> None:
    server = fake_program(tmp_path / "bin", "mariadbd")
    install_db = fake_program(tmp_path / "bin", "mariadb-install-db")
    found = find_programs(tmp_path / "cache", str(tmp_path / "bin"))
    assert (found.mariadbd, found.install_db, found.basedir) == (server, install_db, tmp_path)
    assert not (tmp_path / "cache").exists()


def test_without_any_server_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mariadb, "installed_programs", lambda path: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoMariaDB, match=r"install mariadb-server .* or set MINIHTTP_MYSQL_URL=") as caught:
        find_programs(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_package_that_does_not_exist_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake_program(tmp_path / "bin", "apt-get")
    program.write_text("#!/bin/sh\necho 'E: Unable to locate package nonesuch' >&2\nexit 100\n")
    fake_program(tmp_path / "bin", "dpkg")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with pytest.raises(debian.CannotFetch, match="Unable to locate package nonesuch"):
        debian.fetch(["nonesuch"], tmp_path / "cache/nonesuch")
    assert list((tmp_path / "cache").iterdir()) == []

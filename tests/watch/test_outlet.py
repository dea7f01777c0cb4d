"""The socket through which other processes of the owner see a snapshot."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from minihttp.errors import ConfigError
from minihttp.watch import outlet as module
from minihttp.watch.outlet import Outlet, folder, outlets

from .sample import sample

PATIENCE = 20.0  # seconds until something that does not come fails the test


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / f"minihttp-{os.getuid()}"


@pytest.fixture
def opened() -> Iterator[Outlet]:
    outlet = Outlet(sample)
    yield outlet
    outlet.close()


def read_line(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(path))
        with connection.makefile("rb") as lines:
            return lines.readline()


async def test_it_answers_while_the_loop_is_blocked(opened: Outlet) -> None:
    # This reads in the loop's own thread: the loop cannot turn before the answer is there.
    assert json.loads(read_line(opened.path)) == json.loads(json.dumps(sample()))


def test_only_the_owner_can_open_it(opened: Outlet, place: Path) -> None:
    assert opened.path.parent == place
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(opened.path.stat().st_mode) == 0o600


def test_snapshots_go_on_until_it_is_closed(opened: Outlet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.001)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(opened.path))
        with connection.makefile("rb") as lines:
            assert [json.loads(lines.readline())["version"] for _ in range(3)] == [1, 1, 1]
            opened.close()
            assert not opened.path.exists()
            assert lines.read() == b"" or lines.read() == b""  # what was under way, then the end


def test_a_reader_that_leaves_or_takes_nothing_ends_only_its_own_thread(
    opened: Outlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "EVERY", 0.0001)
    before = set(threading.enumerate())
    with socket.socket(socket.AF_UNIX) as lazy:
        lazy.connect(str(opened.path))
        read_line(opened.path)  # and leaves
        for thread in set(threading.enumerate()) - before:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert read_line(opened.path)


def test_processes_that_can_be_watched_are_found_and_the_dead_swept_away(opened: Outlet, place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place / "1.sock"))
    assert dict(outlets()) == {os.getpid(): opened.path}
    assert not (place / "1.sock").exists()


def test_a_socket_left_by_a_dead_process_of_our_number_is_replaced(place: Path) -> None:
    path = folder() / f"{os.getpid()}.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    outlet = Outlet(sample)
    assert read_line(path)
    outlet.close()


def test_a_folder_that_others_can_open_is_refused(place: Path) -> None:
    place.mkdir(mode=0o755)
    with pytest.raises(ConfigError, match=r"is not a folder that only you can open: remove it, or set XDG_RUNTIME_DIR"):
        folder()


def test_a_link_in_its_place_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is not a folder"):
        folder()


def test_a_path_that_is_too_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(ConfigError, match=r"cannot listen at .*ddd.* for `python -m minihttp top`"):
        Outlet(sample)

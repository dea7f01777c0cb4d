"""A private, throw-away MariaDB server: for the tests, which may kill it, and for `make run-mysql`.

Owns: finding or fetching the programs, one data folder per server, and the server process.
Must not know: minihttp. No dependencies, but for `run_sql`, which borrows the driver that minihttp requires anyway.
Invariant: touches nothing of the machine's own server (no /etc/mysql, no shared socket, port or folder), and is gone
when the process that started it is gone, however that ended. Its data would not survive the machine's crash.

From a shell, with `{url}` replaced in the command: `python -m tests.support.mariadb -- python app.py --database {url}`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from .debian import CannotFetch, fetch, library_path

__all__ = [
    "ForeignServer",
    "NoMariaDB",
    "PrivateMariaDB",
    "Programs",
    "Server",
    "find_programs",
    "run_sql",
    "server_from_environment",
]

CACHE = Path(__file__).resolve().parents[2] / ".cache"
HANDOVER = Path(__file__).with_name("handover.py")
PACKAGES = ("mariadb-server-core", "mariadb-client-core")
PREFIX = "minihttp-mariadb-"
LINUX = sys.platform == "linux"

# What is committed survives kill -9 (2: handed to the kernel at every commit), but not the machine's crash.
NOT_DURABLE = ("--innodb-flush-log-at-trx-commit=2", "--innodb-doublewrite=0", "--innodb-log-file-size=16M")
SMALL = (
    "--innodb-buffer-pool-size=64M",
    "--innodb-use-native-aio=0",
    "--innodb-buffer-pool-dump-at-shutdown=0",
    "--innodb-buffer-pool-load-at-startup=0",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=1M",
    "--performance-schema=0",
    "--max-connections=300",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_unicode_ci",
)


class NoMariaDB(RuntimeError):
    """There is no server and none can be had; the text says in one line what to do."""


@dataclass(frozen=True)
class Programs:
    """Where the server's programs are; `library_path` is for those that were unpacked beside the system."""

    mariadbd: Path
    install_db: Path
    basedir: Path
    library_path: str = ""


def installed_programs(path: str) -> Programs | None:
    """The machine's own MariaDB, if one is installed. A `mysqld` without MariaDB's own tools is another server."""
    path += os.pathsep + os.pathsep.join(("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"))
    server = shutil.which("mariadbd", path=path) or shutil.which("mysqld", path=path)
    install_db = shutil.which("mariadb-install-db", path=path)
    if server is None or install_db is None:
        return None
    return Programs(Path(server), Path(install_db), Path(install_db).resolve().parents[1])


def find_programs(cache: Path = CACHE, path: str | None = None) -> Programs:
    """The machine's own MariaDB, else Debian's, fetched once into `cache`. Raises NoMariaDB."""
    found = installed_programs(os.environ.get("PATH", "") if path is None else path)
    if found is not None:
        return found
    root = cache / "mariadb"
    if not root.is_dir():
        print(f"MariaDB is not installed: unpacking Debian's packages into {root} (once, about 10 MB)", file=sys.stderr)
    try:
        root = fetch(PACKAGES, root).resolve()
    except CannotFetch as error:
        raise NoMariaDB(
            f"no MariaDB, and none can be fetched ({error}): install mariadb-server (macOS: brew install mariadb), or "
            "set MINIHTTP_MYSQL_URL=mysql://user:password@host:3306/name to a server of your own"
        ) from None
    usr = root / "usr"
    return Programs(usr / "sbin/mariadbd", usr / "bin/mariadb-install-db", usr, library_path(root))


def run_sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements on a connection of their own and return the rows of the last: `run_sql(server.url(), "SELECT 1")`.

    Blocks, also inside a running loop: the driver gets a loop of its own in a thread of its own.
    """
    import asyncmy  # here, because starting a server needs no driver

    async def talk() -> list[tuple[Any, ...]]:
        parts = urlsplit(url)
        connection = await asyncmy.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            db=parts.path.lstrip("/") or None,
            autocommit=True,
        )
        async with connection.cursor() as cursor:
            for statement in statements:
                await cursor.execute(statement)
            rows = list(await cursor.fetchall()) if cursor.description else []
        await connection.ensure_closed()
        return rows

    outcome: list[Any] = []

    def in_thread() -> None:
        try:
            outcome.append(asyncio.run(talk()))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    rows: list[tuple[Any, ...]] = outcome[0]
    return rows


class Server:
    """What a test may ask of a server, whoever runs it."""

    def url(self, database: str | None = None) -> str:
        """The address of a database, by default of the server's first one."""
        raise NotImplementedError

    def root_url(self, database: str | None = None) -> str:
        """The same, with an account that may do everything (`SET GLOBAL`, `CREATE USER`)."""
        raise NotImplementedError

    def create_database(self) -> str:
        """A fresh, empty database; returns its name, for `url(name)`."""
        name = f"test_{secrets.token_hex(6)}"
        run_sql(self.root_url(), f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database; one that is gone already is no error."""
        run_sql(self.root_url(), f"DROP DATABASE IF EXISTS {name}")


class ForeignServer(Server):
    """A server that somebody else runs, named by MINIHTTP_MYSQL_URL; its user must be allowed to create databases."""

    def __init__(self, url: str) -> None:
        base, _, options = url.partition("?")
        self._base, _, self._name = base.rpartition("/")
        self._options = options and f"?{options}"

    def url(self, database: str | None = None) -> str:
        return f"{self._base}/{database or self._name}{self._options}"

    def root_url(self, database: str | None = None) -> str:
        return self.url(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        pass


class PrivateMariaDB(Server):
    """A server of one's own on a free loopback port and a Unix socket, ready when `with` has entered.

    Example: `with PrivateMariaDB() as server: connect(server.url())`, on the main thread: Linux ties the life of the
    server to that of the thread that started it. Raises NoMariaDB.
    """

    def __init__(self, *, programs: Programs | None = None, options: tuple[str, ...] = ()) -> None:
        self._programs = programs
        self._extra = options
        self._password = secrets.token_hex(12)
        self._root_password = secrets.token_hex(12)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def url(self, database: str | None = None) -> str:
        return f"mysql://app:{self._password}@127.0.0.1:{self.port}/{database or 'app'}"

    def root_url(self, database: str | None = None) -> str:
        return f"mysql://root:{self._root_password}@127.0.0.1:{self.port}/{database or 'app'}"

    def __enter__(self) -> Self:
        self._programs = self._programs or find_programs()
        sweep()
        self._folder = new_folder()
        self.socket = str(self._folder / "sock")
        self._log = self._folder / "log"
        try:
            self._lock = lock(self._folder)
            self._install()
            self.restart()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server at once and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def kill(self) -> None:
        """End the server as a crash would (kill -9); `restart` brings it back with its data."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the server to stop, and wait until it has: its clients are told."""
        self.resume()
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Make the server silent: its connections stay open and the kernel accepts more (SIGSTOP)."""
        self._signal(signal.SIGSTOP)
        if LINUX and self._process is not None:  # until all of its threads stand still
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start the server again after `kill` or `terminate`: same data, port and socket. Returns when it answers."""
        self.kill()
        listening = self._listen()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-S", str(HANDOVER), str(os.getpid()), *map(str, listening), "--", *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=listening,
                env=self._environment(),
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C is for the program that uses the server, which may still need it
            )
        for each in listening:
            os.close(each)
        self._wait_for_greeting()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def _environment(self) -> Mapping[str, str]:
        where = {"HOME": str(self._folder), "TMPDIR": str(self._folder), "PATH": os.environ.get("PATH", os.defpath)}
        libraries = self._found.library_path
        return {**where, "LC_ALL": "C", "TZ": "UTC", **({"LD_LIBRARY_PATH": libraries} if libraries else {})}

    @property
    def _found(self) -> Programs:
        if self._programs is None:
            raise RuntimeError("use the server in a `with` statement")
        return self._programs

    def _common(self) -> list[str]:
        # --no-defaults comes first, or the machine's own my.cnf is read. As root, the server wants it said aloud.
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        here = [f"--basedir={self._found.basedir}", f"--datadir={self._folder / 'data'}", f"--tmpdir={self._folder}"]
        return ["--no-defaults", *as_root, *here, "--skip-name-resolve", *NOT_DURABLE]

    def _install(self) -> None:
        """Make the system tables, and an init file that leaves no account without a password."""
        command = [str(self._found.install_db), *self._common(), "--auth-root-authentication-method=normal"]
        done = subprocess.run(
            [*command, "--skip-test-db"], stdin=subprocess.DEVNULL, capture_output=True, env=self._environment()
        )
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db failed:\n{(done.stdout + done.stderr).decode(errors='replace')}")
        grants = ["CREATE DATABASE IF NOT EXISTS app;"]
        for host in ("localhost", "127.0.0.1"):
            grants += [
                # OR REPLACE, because IF NOT EXISTS would keep the empty password of the installed root.
                f"CREATE OR REPLACE USER root@'{host}' IDENTIFIED BY '{self._root_password}';",
                f"GRANT ALL ON *.* TO root@'{host}' WITH GRANT OPTION;",
                f"CREATE OR REPLACE USER app@'{host}' IDENTIFIED BY '{self._password}';",
                f"GRANT PROCESS ON *.* TO app@'{host}';",
                f"GRANT ALL ON app.* TO app@'{host}';",
                f"GRANT ALL ON `test\\_%`.* TO app@'{host}';",
            ]
        grants += ["DELETE FROM mysql.global_priv WHERE Host NOT IN ('localhost', '127.0.0.1');", "FLUSH PRIVILEGES;"]
        init = self._folder / "init.sql"
        init.touch(mode=0o600)
        init.write_text("\n".join(grants) + "\n")

    def _command(self) -> list[str]:
        messages = self._found.basedir / "share/mysql"
        return [
            str(self._found.mariadbd),
            *self._common(),
            *SMALL,
            *([f"--lc-messages-dir={messages}"] if messages.is_dir() else []),
            f"--pid-file={self._folder / 'pid'}",
            f"--init-file={self._folder / 'init.sql'}",
            f"--socket={self.socket}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            *self._extra,
        ]

    def _listen(self) -> list[int]:
        """Bind the port and the socket here and hand them over: between choosing and using a port, nobody takes it."""
        Path(self.socket).unlink(missing_ok=True)
        tcp = socket.socket()
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("127.0.0.1", self.port))
        self.port = tcp.getsockname()[1]
        if not LINUX:  # only a server built for systemd takes sockets over
            tcp.close()
            return []
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(self.socket)
        for each in (unix, tcp):
            each.listen(128)
        return [unix.detach(), tcp.detach()]

    def _wait_for_greeting(self) -> None:
        """Return when the server speaks first, as the protocol has it. A server that dies closes the socket instead."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(60)
                try:
                    client.connect(self.socket)
                    if client.recv(1):
                        return
                except OSError:
                    pass
            if LINUX or self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.02)  # where the sockets were not ours, they are not there yet
        raise RuntimeError(f"mariadbd did not start:\n{self._log.read_text(errors='replace')[-3000:]}")


def new_folder() -> Path:
    """A folder that only this user may enter, in memory where there is room: a start then takes half a second."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 512 << 20
    # Not the default place: a Unix socket's path must stay below 104 bytes, and TMPDIR may be long.
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=memory if roomy else "/tmp"))


def lock(folder: Path) -> int:
    """Mark the folder as in use while this process lives. Locked before it has its name, so never seen free."""
    new = folder / "lock.new"
    descriptor = os.open(new, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    new.rename(folder / "lock")
    return descriptor


def sweep() -> None:
    """Remove the folders that killed processes of this user have left behind."""
    for parent in ("/dev/shm", "/tmp"):
        for mark in Path(parent).glob(f"{PREFIX}*/lock"):
            try:
                if mark.stat().st_uid != os.geteuid():
                    continue
                descriptor = os.open(mark, os.O_RDWR)
            except OSError:
                continue  # another user's, or gone in this moment
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(mark.parent, ignore_errors=True)
            except OSError:
                pass  # in use
            finally:
                os.close(descriptor)


def server_from_environment() -> ForeignServer | PrivateMariaDB:
    """What MINIHTTP_MYSQL_URL names, else a server of our own, not yet started."""
    url = os.environ.get("MINIHTTP_MYSQL_URL")
    return ForeignServer(url) if url else PrivateMariaDB()


def run_with(server: Server, command: list[str]) -> int:
    """Run the command with `{url}` replaced, pass SIGTERM on to it and return its exit status."""
    url = server.url()
    environment = {**os.environ, "MINIHTTP_MYSQL_URL": url}
    # Ctrl-C reaches the command by itself, and this process waits for it. Not SIG_IGN: a child would inherit that.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    with subprocess.Popen([part.replace("{url}", url) for part in command], env=environment) as process:
        signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
        status = process.wait()
    return status if status >= 0 else 128 - status  # ended by a signal: as a shell says it


def main(arguments: list[str]) -> int:
    """`--fetch`: make sure that there is a server to start. `-- COMMAND`: run it beside one."""
    try:
        if arguments == ["--fetch"]:
            if "MINIHTTP_MYSQL_URL" not in os.environ:
                find_programs()
            return 0
        if arguments[:1] != ["--"] or not arguments[1:]:
            sys.exit("usage: python -m tests.support.mariadb --fetch | -- COMMAND [ARGUMENT | {url}]...")
        with server_from_environment() as server:
            return run_with(server, arguments[1:])
    except NoMariaDB as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A private, throw-away Galera cluster of MariaDB nodes on loopback, whose nodes the tests may kill.

Owns: fetching the programs (Debian's, into .cache), a folder per node, and the nodes' processes.
Must not know: minihttp.
Invariant: touches nothing of the machine's own servers, and is gone when the process that started it is gone. The nodes
never run as root, because the rsync that copies one node's data to another gives root up by itself and then may not
write: started by root, they run as `nobody`, from a copy of the programs that `nobody` may read.
"""

from __future__ import annotations

import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import asyncmy

from .debian import CannotFetch, fetch, library_path
from .mariadb import CACHE, Server, lock, new_folder, run_sql, sweep

__all__ = ["Galera", "NoCluster", "Node"]

PACKAGES = ("mariadb-server-core", "mariadb-client-core", "galera-4", "rsync", "lsof", "procps")
SCRIPTS = ("mariadb-server",)  # only for wsrep_sst_rsync, which copies one node's data to another
PATIENCE = 90.0  # seconds until a node that does not come up is a failure
BETWEEN = 0.05  # seconds between two questions to a node: nothing but asking tells how it is
# Outside of the range from which the system takes ports for clients: a node that is down must get its own back.
PORTS = range(20000, 30000)

CONFIGURATION = """[mariadbd]
basedir={usr}
lc-messages-dir={usr}/share/mysql
plugin-dir={folder}
datadir={folder}/data
tmpdir={folder}
socket={folder}/sock
pid-file={folder}/pid
log-error={folder}/log
port={port}
bind-address=127.0.0.1
skip-name-resolve
character-set-server=utf8mb4
performance-schema=0
max-connections=100
innodb-buffer-pool-size=64M
innodb-log-file-size=16M
innodb-use-native-aio=0
innodb-flush-log-at-trx-commit=2
innodb-doublewrite=0
innodb-autoinc-lock-mode=2
binlog-format=ROW
default-storage-engine=InnoDB
wsrep-on=ON
wsrep-provider={provider}
wsrep-cluster-name=minihttp
wsrep-cluster-address=gcomm://{members}
wsrep-node-name=n{number}
wsrep-node-address=127.0.0.1:{group_port}
wsrep-sst-method=rsync
wsrep-sst-receive-address=127.0.0.1:{copy_port}
wsrep-slave-threads=2
wsrep-provider-options="base_host=127.0.0.1;base_port={group_port};gmcast.listen_addr=tcp://127.0.0.1:{group_port};\
ist.recv_addr=127.0.0.1:{catch_up_port};gcache.size=32M;gcache.page_size=32M"
"""


class NoCluster(RuntimeError):
    """The cluster cannot be had or did not come up; the text ends with the tail of the node's log."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on. They are not held: a node binds them itself."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise NoCluster(f"there are no {count} free ports from {PORTS.start} to {PORTS.stop}")


class Node(Server):
    """One node: `kill` it, `start` it, ask it. Its data is that of the cluster."""

    def __init__(self, cluster: Galera, number: int, ports: list[int]) -> None:
        self.number = number
        self.port, self.group_port, self.copy_port, self.catch_up_port = ports
        self.folder = cluster.folder / f"n{number}"
        self._cluster = cluster
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"node {self.number}"

    def url(self, database: str | None = None) -> str:
        return f"mysql://app:{self._cluster.password}@127.0.0.1:{self.port}/{database or 'app'}"

    def root_url(self, database: str | None = None) -> str:
        return f"mysql://root:{self._cluster.root_password}@127.0.0.1:{self.port}/{database or 'app'}"

    @property
    def is_running(self) -> bool:
        """Whether its process lives; it may not be of use yet."""
        return self._process is not None and self._process.poll() is None

    def launch(self, *arguments: str) -> None:
        """Start the process."""
        configuration = f"--defaults-file={self.folder / 'my.cnf'}"
        # The life of the node is tied to that of the thread that starts it (Linux).
        command = ["setpriv", "--pdeathsig", "KILL", str(self._cluster.usr / "sbin/mariadbd"), configuration]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                **self._cluster.surroundings,
            )  # fmt: skip

    def start(self) -> float:
        """Start it, and wait until it has all that it missed and serves; the seconds that took."""
        since = time.monotonic()
        self.launch()
        self.wait_until(ready="ON", state="Synced")
        return time.monotonic() - since

    def kill(self) -> None:
        """End it as a crash would (kill -9), with what it started for copying data."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)
            self._process = None

    def status(self) -> dict[str, str]:
        """What it says of itself: ready, size and state of the cluster; empty if it does not answer."""
        try:
            rows = run_sql(self.root_url("mysql"), "SHOW GLOBAL STATUS LIKE 'wsrep_%'")
        except (asyncmy.errors.Error, OSError):
            return {}
        names = {"wsrep_ready": "ready", "wsrep_cluster_size": "size", "wsrep_local_state_comment": "state"}
        return {names[name]: value for name, value in rows if name in names}

    def wait_until(self, **wanted: str) -> None:
        """Return when its status is as wanted: `node.wait_until(ready="ON", size="3")`. Raises NoCluster."""
        deadline = time.monotonic() + PATIENCE
        while not wanted.items() <= (status := self.status()).items():
            if not self.is_running or time.monotonic() > deadline:
                tail = (self.folder / "log").read_text(errors="replace")[-4000:]
                raise NoCluster(f"{self} is {status or 'silent'}, not {wanted}; the end of its log:\n{tail}")
            time.sleep(BETWEEN)

    def configure(self, members: str) -> None:
        """Make its folder and its configuration."""
        self.folder.mkdir(mode=0o700)
        (self.folder / "my.cnf").write_text(
            CONFIGURATION.format(usr=self._cluster.usr, provider=self._cluster.provider, members=members, **vars(self))
        )
        (self.folder / "data").mkdir(mode=0o700)
        (self.folder / "log").touch()
        for path in (self.folder, *self.folder.iterdir()):
            self._cluster.hand_over(path)


class Galera:
    """Nodes that hold the same data, ready when `with` has entered: `with Galera() as cluster: cluster.url()`.

    To be used on the main thread. Raises NoCluster.
    """

    def __init__(self, size: int = 3) -> None:
        self._size = size
        self.password = secrets.token_hex(12)
        self.root_password = secrets.token_hex(12)
        self.nodes: list[Node] = []

    def url(self, options: str = "", *, first: int = 1) -> str:
        """All nodes in one URL, `first` in front."""
        nodes = self.nodes[first - 1 :] + self.nodes[: first - 1]
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        return f"mysql://app:{self.password}@{hosts}/app{options}"

    def __enter__(self) -> Self:
        try:
            programs = fetch(PACKAGES, CACHE / "galera", bare=SCRIPTS).resolve()
        except CannotFetch as error:
            raise NoCluster(f"no Galera, and it cannot be fetched: {error}") from None
        sweep()
        self.folder = new_folder()
        try:
            self._lock = lock(self.folder)
            self._prepare(programs)
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all nodes and remove their folders."""
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def heal(self) -> None:
        """Start what is down, and wait until all nodes are in sync."""
        for node in self.nodes:
            if not node.is_running:
                node.start()
        for node in self.nodes:
            node.wait_until(ready="ON", state="Synced", size=str(self._size))

    def hand_over(self, path: Path) -> None:
        """Give a path to the account that the nodes run as."""
        if self._account:
            os.chown(path, self._account["user"], self._account["group"])

    def _prepare(self, programs: Path) -> None:
        self._account: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            programs = shutil.copytree(programs, self.folder / "programs", symlinks=True)
        self.hand_over(self.folder)
        self.usr = programs / "usr"
        self.provider = next(self.usr.rglob("libgalera_smm.so"))
        path = f"{self.usr / 'bin'}:{os.environ.get('PATH', os.defpath)}"
        where = {"HOME": str(self.folder), "TMPDIR": str(self.folder), "PATH": path, "LC_ALL": "C", "TZ": "UTC"}
        environment = {**where, "LD_LIBRARY_PATH": library_path(programs)}
        self.surroundings: dict[str, Any] = {"cwd": self.folder, "env": environment, **self._account}

    def _begin(self) -> None:
        """Install the first node's data, start it as a cluster of its own, and let the others join."""
        ports = free_ports(4 * self._size)
        self.nodes = [Node(self, number, ports[number - 1 :: self._size]) for number in range(1, self._size + 1)]
        for node in self.nodes:
            node.configure(",".join(f"127.0.0.1:{each.group_port}" for each in self.nodes))
        first, *others = self.nodes
        install = [str(self.usr / "bin/mariadb-install-db"), "--no-defaults", f"--basedir={self.usr}"]
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        data = [f"--datadir={first.folder / 'data'}", "--innodb-log-file-size=16M"]
        done = subprocess.run(
            [*install, *options, *data], stdin=subprocess.DEVNULL, capture_output=True, **self.surroundings
        )
        if done.returncode:
            raise NoCluster(f"mariadb-install-db failed:\n{(done.stdout + done.stderr).decode(errors='replace')}")
        first.launch("--wsrep-new-cluster", f"--init-file={self._accounts()}")
        first.wait_until(ready="ON", state="Synced")
        for node in others:
            node.start()
        self.heal()

    def _accounts(self) -> Path:
        """A file of SQL that leaves no account without a password."""
        statements = ["CREATE DATABASE app CHARACTER SET utf8mb4;"]
        for host in ("localhost", "127.0.0.1"):
            statements += [
                f"CREATE OR REPLACE USER root@'{host}' IDENTIFIED BY '{self.root_password}';",
                f"GRANT ALL ON *.* TO root@'{host}' WITH GRANT OPTION;",
            ]
        statements += [
            f"CREATE USER app@'127.0.0.1' IDENTIFIED BY '{self.password}';",
            "GRANT ALL ON app.* TO app@'127.0.0.1';",
            "DELETE FROM mysql.global_priv WHERE Host NOT IN ('localhost', '127.0.0.1');",
            "FLUSH PRIVILEGES;",
        ]
        path = self.folder / "init.sql"
        path.touch(mode=0o600)
        path.write_text("\n".join(statements) + "\n")
        self.hand_over(path)
        return path

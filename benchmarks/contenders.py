"""Contenders, started once for a set of workloads and left running while they are measured in turn.

Owns: which contenders a workload has and why others miss it, the servers that run, their logs and their certificate.
Must not know: how anything is measured.
Invariant: all servers of a workload run at the same time, so that what the machine does meets all of them; those that
the next workload does not need are ended before it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.checking import canned
from benchmarks.install import PROJECT, Environment
from benchmarks.peers import REPOSITORY, Peer, Way
from benchmarks.processes import DidNotAnswer, Server, free_port
from benchmarks.workloads import Workload

NO_WAYS = "of the synchronous frameworks Flask and Django are measured with a database"


@dataclass(frozen=True)
class Contender:
    """A peer, and for a database one of its ways to it."""

    peer: Peer
    way: Way | None = None

    @property
    def name(self) -> str:
        return f"{self.peer.name}, {self.way.name}" if self.way else self.peer.name


def contenders(workload: Workload, peers: Sequence[Peer]) -> tuple[list[Contender], dict[str, str]]:
    """Who can be measured, and of the others by name why not."""
    able, missing = [], {}
    for peer in peers:
        unfit = {"limit": not workload.limit, "script": not workload.script}.get(peer.kind, False)
        if unfit or (peer.python and not workload.second):
            continue
        if workload.group == "parts":  # of minihttp alone; what is measured is no server, or its loop is told
            if peer.kind == "ours" and peer.loop == "uvloop":
                able.append(Contender(peer, REPOSITORY if workload.variant == "mysql" else None))
            continue
        if reason := peer.lacks.get(workload.name) or peer.lacks.get(workload.variant):
            missing[peer.name] = reason
        elif workload.group == "database" and peer.kind == "peer" and not peer.ways:
            missing[peer.name] = NO_WAYS
        elif workload.group == "database":
            able += [Contender(peer, way) for way in peer.ways if workload.variant in way.engines]
        elif workload.kind != "import" or peer.imports:
            able.append(Contender(peer))
    return able, missing


@dataclass(frozen=True)
class Place:
    """Where contenders run: environments by Python, database URLs by variant, and a folder for logs."""

    environments: Mapping[str, Environment]
    databases: Mapping[str, str]
    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def make_certificate(self) -> None:
        """A certificate of a CA of our own; the key in PKCS #8, which every contender reads, also beside the chain."""
        import trustme
        from cryptography.hazmat.primitives import serialization as forms

        issued = trustme.CA().issue_cert("127.0.0.1")
        loaded = forms.load_pem_private_key(issued.private_key_pem.bytes(), None)
        key = loaded.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        self.key.write_bytes(key)
        self.certificate.write_bytes(key + chain)

    def command(self, contender: Contender, variant: str, port: int) -> list[str]:
        peer = contender.peer
        said = f"{peer.command} {peer.tls}" if variant == "tls" else peer.command
        places = {"certificate": str(self.certificate), "key": str(self.key), "app": peer.app, "port": str(port)}
        programs = str(self.environments[peer.python].folder / "bin")
        return [part.format(bin=programs, **places) for part in said.split()]

    def variables(self, contender: Contender, workload: Workload) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        made = {**kept, "PYTHONPATH": str(PROJECT), "BENCH_VARIANT": workload.variant}
        if contender.way:
            made |= {"BENCH_LAYER": contender.way.layer, "BENCH_DATABASE": self.databases[workload.variant]}
        if contender.peer.kind == "limit":
            made["BENCH_CANNED"] = canned(workload)
        return made


class Fleet:
    """The servers that run: `with Fleet(place) as fleet: fleet.serve(workload, contenders)`."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._running: dict[tuple[str, str], tuple[Server, ExitStack]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.keep(set())

    def keep(self, wanted: set[tuple[str, str]]) -> None:
        """End all servers but these."""
        for key in self._running.keys() - wanted:
            _, stack = self._running.pop(key)
            stack.close()

    @staticmethod
    def key(workload: Workload, contender: Contender) -> tuple[str, str]:
        """Contenders serve most variants with the same server; the limit, which reads nothing, has one per answer.

        Memory is read from a fresh one: what another has had and given up would hide what is taken.
        """
        if workload.kind in ("upload", "download", "idle"):
            return contender.name, workload.name
        if contender.peer.kind == "limit":
            return contender.name, f"{workload.variant} {workload.path}"
        return contender.name, workload.variant if workload.variant in ("tls", "mysql", "sqlite") else "plain"

    def serve(self, workload: Workload, contender: Contender) -> Server:
        """The contender's server for this workload, started if it does not run. Raises DidNotAnswer."""
        key = self.key(workload, contender)
        if key not in self._running:
            name = re.sub(r"[^a-z0-9.]+", "-", f"{key[0]}-{key[1]}".lower())
            stack, port = ExitStack(), free_port()
            try:
                log = stack.enter_context((self.place.folder / f"{name}.log").open("w"))
                command = self.place.command(contender, workload.variant, port)
                variables = self.place.variables(contender, workload)
                server = Server(command, port, log=log, env=variables)
                self._running[key] = stack.enter_context(server), stack
            except BaseException:
                stack.close()
                raise
        server, _ = self._running[key]
        if not server.runs:
            said = server.last_words()
            self._running.pop(key)[1].close()
            raise DidNotAnswer(f"it ended by itself: {said}")
        return server

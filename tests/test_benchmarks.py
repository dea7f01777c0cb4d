"""The benchmark's own arithmetic: what is compared, counted, kept, left out and shown."""

from __future__ import annotations

import io
import json
import os
import re
import select
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    checking,
    databases,
    guard,
    heads,
    inside,
    load,
    measure,
    open_loop,
    plots,
    processes,
    readme,
    report,
    targets,
)
from benchmarks.__main__ import RESULTS, chosen_peers, chosen_workloads, files
from benchmarks.apps import content, minihttp_app
from benchmarks.contenders import NO_WAYS, Contender, Fleet, Place, contenders
from benchmarks.install import HERE, PROJECT, Environment, requirements
from benchmarks.peers import DRIVER, PEERS, REPOSITORY, SECOND
from benchmarks.processes import DidNotAnswer
from benchmarks.progress import Progress
from benchmarks.records import Records, only
from benchmarks.records import load as load_records
from benchmarks.run import Benchmark, Plan
from benchmarks.workloads import BY_NAME, ORDER, WORKLOADS, Workload
from minihttp.testing import Client
from tests.support.mariadb import run_sql

MOST = 58 * 60  # seconds


# --- what is measured ------------------------------------------------------------------------------------------------


def test_the_order_is_a_kibibyte() -> None:
    assert len(json.dumps(ORDER)) == 1024


def test_a_full_run_takes_less_than_an_hour() -> None:
    assert Plan(WORKLOADS, [*PEERS, *SECOND], 1, 5).seconds_in_all() < MOST


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_peer_has_its_application_and_pinned_packages(peer: Any) -> None:
    pinned = {each.partition("==")[0].partition("[")[0] for each in requirements(HERE / "requirements.txt")}
    assert set(peer.packages) <= pinned
    assert (HERE / f"apps/{peer.app}.py").exists()
    assert all((HERE / f"layers/{way.layer}.py").exists() for way in peer.ways if way.layer)
    assert bool(peer.tls) is ("tls" not in peer.lacks) or peer.kind == "script"
    assert set(peer.lacks) <= {each.name for each in WORKLOADS} | {each.variant for each in WORKLOADS}


def test_requirements_are_exact() -> None:
    assert [each for each in requirements(HERE / "requirements.txt") if "==" not in each] == []


def names(workload: str) -> list[str]:
    able, _ = contenders(BY_NAME[workload], PEERS)
    return [each.name for each in able]


def test_who_is_measured_with_what_and_why_not() -> None:
    assert {"minihttp", "limit on asyncio", "Tornado", "Quixote"} <= set(names("plaintext"))
    assert {"limit", "limit on asyncio"} <= set(names("json"))
    assert "limit" not in names("mysql-one")
    assert [each.name for each in WORKLOADS if "script on asyncio" in names(each.name)] == [
        "plaintext",
        "browser",
        "once",
    ]
    assert names("mysql-parts") == ["minihttp, minihttp.db"]
    assert names("cold") == ["minihttp"]
    assert {"aiohttp, aiomysql", "aiohttp, driver by hand", "Django, Django's ORM"} <= set(names("mysql-one"))
    assert "aiohttp, aiomysql" not in names("sqlite-one")
    assert "limit" not in names("import")
    _, missing = contenders(BY_NAME["mysql-one"], PEERS)
    assert missing["Bottle"] == NO_WAYS
    assert "limit" not in missing
    assert "proxy" in contenders(BY_NAME["tls"], PEERS)[1]["Robyn"]


def test_rows_are_read_before_they_are_changed() -> None:
    order = [each.name for each in WORKLOADS if each.variant == "mysql"]
    assert order[-1] == "mysql-update"
    assert "mysql-parts" in order


def test_the_second_python_is_measured_where_a_target_needs_it() -> None:
    def second(workload: str) -> list[str]:
        able, _ = contenders(BY_NAME[workload], SECOND)
        return [each.name for each in able]

    assert second("plaintext") == [each.name for each in SECOND]
    assert second("json") == [each.name for each in SECOND if each.kind != "script"]
    assert second("mysql-parts") == ["minihttp, Python 3.13, minihttp.db"]
    assert second("latency") == []


def test_a_part_of_it_is_chosen_by_name_and_group() -> None:
    assert [each.name for each in chosen_workloads("json,memory")] == ["json", "idle", "import"]
    assert chosen_workloads("") == WORKLOADS
    assert [each.name for each in chosen_peers("granian", {""})] == [
        "minihttp",
        "limit",
        "script",
        "Granian, RSGI",
        "Granian, ASGI",
    ]
    assert chosen_peers("", {""}) == PEERS
    with pytest.raises(SystemExit, match="ONLY=jsn is no workload"):
        chosen_workloads("jsn")
    with pytest.raises(SystemExit, match="PEER=nobody is nobody"):
        chosen_peers("nobody", {""})


def test_wrk_is_told_what_to_send() -> None:
    told = load.command(BY_NAME["post"], 8000, 1, connections=64)
    assert told[:4] == ["-t1", "-c64", "-d1s", "--timeout"]
    assert told[told.index("--") - 1] == "http://127.0.0.1:8000/"
    assert {"method=POST", "path=/orders", "depth=1", "header=Content-Type: application/json"} < set(told)
    assert f"body={json.dumps(ORDER)}" in told
    assert "https://127.0.0.1:8000/" in load.command(BY_NAME["tls"], 8000, 1, connections=64)


# --- what is compared ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workload", "text"),
    [
        ("plaintext", "Hello, world!"),
        ("params", '{"page":2,"slug":"on-numbers", "id":7}'),
        ("page", checking.expected(BY_NAME["page"]).replace("\n", "\n\n  ")),
        ("upload", "104857600"),
        ("mysql-update", '{"id": 7, "age": 7}'),
    ],
)
def test_an_answer_that_means_the_same_passes(workload: str, text: str) -> None:
    checking.compare(BY_NAME[workload], 200, text)


@pytest.mark.parametrize(
    ("workload", "status", "text"),
    [
        ("plaintext", 200, "Hello, world! "),
        ("plaintext", 500, "Hello, world!"),
        ("params", 200, '{"id": "7", "slug": "on-numbers", "page": 2}'),
        ("params", 200, "Hello"),
        ("page", 200, checking.expected(BY_NAME["page"]).replace("&lt;", "<")),
        ("mysql-twenty", 200, "[]"),
    ],
)
def test_another_answer_does_not(workload: str, status: int, text: str) -> None:
    with pytest.raises(checking.WrongAnswer, match=workload):
        checking.compare(BY_NAME[workload], status, text)


PLAIN = [each for each in WORKLOADS if each.group == "requests" or each.kind == "upload"]


@pytest.mark.parametrize("workload", PLAIN, ids=lambda workload: workload.name)
async def test_our_own_application_answers_as_all_must(workload: Workload) -> None:
    async with Client(minihttp_app.app) as client:
        body = b"".join(content.chunks()) if workload.kind == "upload" else workload.body.encode()
        headers = dict(workload.headers)
        reply = await client.request(workload.method, workload.path, content=body or None, headers=headers)
        checking.compare(workload, reply.status, reply.text)


def test_both_databases_hold_the_same_people(tmp_path: Path) -> None:
    url = databases.sqlite(tmp_path / "people.db")
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        rows = connection.execute("SELECT id, name, age, sex, city FROM user ORDER BY id").fetchall()
    connection.close()
    assert rows == [tuple(databases.person(id).values()) for id in range(1, 1001)]


# --- processes -------------------------------------------------------------------------------------------------------

BUSY = "import time\nwhile time.process_time() < 0.3: pass\n"
FAMILY = f"""
import http.server, subprocess, sys, threading
def busy():
    exec({BUSY!r})
subprocess.run([sys.executable, "-c", {BUSY!r}])
thread = threading.Thread(target=busy); thread.start(); thread.join()
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler).serve_forever()
"""


def run_family(tmp_path: Path) -> Iterator[processes.Server]:
    port = processes.free_port()
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-c", FAMILY, str(port)]
        with processes.Server(command, port, log=log) as server:
            yield server


def test_the_cost_of_a_tree_counts_threads_and_children_that_have_ended(tmp_path: Path) -> None:
    for server in run_family(tmp_path):
        pids = server.pids
        assert len(pids) == 2
        assert processes.cpu_seconds(pids[:1]) > 0.6 - 0.02  # the ended child is known to 10 ms
        assert processes.cpu_seconds(pids) > processes.cpu_seconds(pids[:1])
        assert processes.status_kib(pids, "VmRSS") > processes.status_kib(pids[:1], "VmRSS") > 1000
        child = os.pidfd_open(pids[1])
        assert select.select([child], [], [], 0)[0] == []
    ended, _, _ = select.select([child], [], [], 10)
    os.close(child)
    assert ended == [child]


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-c", "raise SystemExit('no port for me')"]
        with pytest.raises(processes.DidNotAnswer, match="status 1: no port for me"):
            processes.Server(command, processes.free_port(), log=log).__enter__()


# --- contenders ------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Path(sys.prefix)  # this environment has what the limits need
    return Place({"": Environment(made, {})}, {}, tmp_path)


async def test_our_own_application_answers_whatever_the_query(place: Place) -> None:
    async with Client(minihttp_app.app) as client:
        reply = await client.get("/plaintext?n=1")
        checking.compare(BY_NAME["another"], reply.status, reply.text)


def contending(name: str) -> Contender:
    return next(each for each in contenders(BY_NAME["plaintext"], PEERS)[0] if each.name == name)


def limit() -> Contender:
    return contending("limit on asyncio")


def test_a_contender_is_started_once_checked_and_ended(place: Place) -> None:
    with Fleet(place) as fleet:
        server = fleet.serve(BY_NAME["plaintext"], limit())
        assert fleet.serve(BY_NAME["browser"], limit()) is server
        found = checking.check(BY_NAME["plaintext"], server.port)
        assert found == {"fields": ["content-length", "content-type", "date"], "body_bytes": 13}
        with pytest.raises(checking.WrongAnswer, match="json: answered 200 'Hello"):
            checking.check(BY_NAME["json"], server.port)
        for other in ("json", "page", "post", "another"):
            checking.check(BY_NAME[other], fleet.serve(BY_NAME[other], limit()).port)
        burst = fleet.serve(BY_NAME["pipelined"], limit())
        assert burst is not server
        checking.check(BY_NAME["pipelined"], burst.port)
        fleet.keep({Fleet.key(BY_NAME["pipelined"], limit())})
        assert (server.runs, burst.runs) == (False, True)
    assert not burst.runs


def test_the_script_answers_whatever_it_is_compared_in(place: Place) -> None:
    with Fleet(place) as fleet:
        script = contending("script on asyncio")
        server = fleet.serve(BY_NAME["plaintext"], script)
        for each in WORKLOADS:
            if each.script:
                assert fleet.serve(each, script) is server
                checking.check(each, server.port)
        with pytest.raises(checking.WrongAnswer, match="not kept open"):
            checking.check(replace(BY_NAME["once"], variant="plain"), server.port)


def test_a_connection_must_stay_open_and_a_burst_be_answered(place: Place) -> None:
    with Fleet(place) as fleet:
        server = fleet.serve(BY_NAME["once"], limit())
        checking.check(BY_NAME["once"], server.port)
        with pytest.raises(checking.WrongAnswer, match="not kept open"):
            checking.check(BY_NAME["plaintext"], server.port)
        with pytest.raises(checking.WrongAnswer, match="1 of 16 answers came"):
            checking.check(replace(BY_NAME["once"], depth=16), server.port)


def test_tls_is_served_with_a_certificate_of_our_own(place: Place) -> None:
    place.make_certificate()
    with Fleet(place) as fleet:
        checking.check(BY_NAME["tls"], fleet.serve(BY_NAME["tls"], limit()).port)


def test_a_contender_that_has_died_is_not_measured(place: Place) -> None:
    with Fleet(place) as fleet:
        server = fleet.serve(BY_NAME["plaintext"], limit())
        subprocess.run(["kill", "-9", str(server.pids[0])], check=True)
        server._process.wait(10)
        with pytest.raises(processes.DidNotAnswer, match="ended by itself"):
            fleet.serve(BY_NAME["plaintext"], limit())


# --- parts, and latency ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lookup", "warm", "cold-browser"])
def test_a_part_is_measured_beside_what_it_is_compared_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "read_httptools", heads.read_minihttp)  # which is in the benchmark's environment only
    found = inside.MEASURED[name]()
    assert min(found["parts_us"].values()) > 0
    assert found["value"] > 0
    if name == "lookup":
        assert list(found["parts_us"]) == ["10 routes", "100 routes", "1000 routes", "10000 routes"]


def test_the_driver_answers_as_the_limit_does_after_a_query(place: Place, mysql_url: str) -> None:
    run_sql(mysql_url, *databases.statements())
    workload = BY_NAME["mysql-parts"]
    with Fleet(replace(place, databases={"mysql": mysql_url})) as fleet:
        driver = fleet.serve(workload, Contender(DRIVER, REPOSITORY))
        found = checking.check(workload, driver.port)
        assert found["fields"] == ["content-length", "content-type", "date"]
        ((_, asked),) = run_sql(mysql_url, "SHOW GLOBAL STATUS LIKE 'Com_stmt_execute'")
    assert int(asked) > checking.WARM


def test_the_driver_alone_is_what_canned_bytes_cost_after_a_query_less_those_without(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = {("mysql-one", "ours"): 60.0, ("plaintext", "ours"): 10.0}
    costs |= {("mysql-one", "driver"): 37.0, ("mysql-one", "limit"): 7.0}

    def requests(workload: Workload, server: Any, seconds: int) -> tuple[dict[str, float], None]:
        return {"value": costs[workload.name, server]}, None

    monkeypatch.setattr(measure, "requests", requests)
    ours: Any = "ours", "driver", "limit"
    found = measure.parts(*ours, 1)
    assert found == {"value": 1.5, "parts_us": {"one user": 60.0, "plaintext": 10.0, "the driver alone": 30.0}}


def test_a_ratio_is_the_median_of_the_ratios_of_a_turn() -> None:
    found = inside.judged({"one": [1.0, 20.0, 3.0], "other": [1.0, 10.0, 1.0]}, "one", "other")
    assert found == {"value": 2.0, "parts_us": {"one": 3.0, "other": 1.0}}


def test_latency_counts_from_when_a_request_was_due(place: Place) -> None:
    with Fleet(place) as fleet:
        server = fleet.serve(BY_NAME["latency"], limit())
        seen = open_loop.drive(server.port, 500, 0.2, 8)
        assert len(seen.latencies) == len(open_loop.schedule(500, 0.2, 1)) > 50
        assert list(seen.latencies) == sorted(seen.latencies)
        with ExitStack() as stack:  # all due at once, one connection: each waits for those before it
            client, before = open_loop.Client(server.port, 1, stack), time.perf_counter()
            seen = client.run([0] * 500)
            spent = (time.perf_counter() - before) * 1e6
        assert spent / 2 < seen.latencies[-1] <= spent  # the last waited all the time, not only for its own answer
        assert seen.late[250] < seen.latencies[250] / 10  # which is nobody's fault but the server's


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!"


def ask_twice(answer: Callable[[list[socket.socket]], None]) -> open_loop.Seen:
    """Two connections that have had their first answer are asked again, 50 ms apart; then `answer` has both."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack, ThreadPoolExecutor(1) as thread:

        def serve() -> None:
            peers = [stack.enter_context(listener.accept()[0])]
            peers[0].recv(1024)
            peers[0].sendall(WHOLE)
            peers.append(stack.enter_context(listener.accept()[0]))
            peers[1].recv(1024)
            peers[1].sendall(WHOLE)
            peers[0].recv(1024)
            answer(peers)

        served = thread.submit(serve)
        seen = open_loop.Client(listener.getsockname()[1], 2, stack).run([0, 50_000_000])
        served.result()
        return seen


def test_an_answer_may_come_in_pieces_and_the_next_one_before_its_end() -> None:
    def answer(peers: list[socket.socket]) -> None:
        peers[0].sendall(WHOLE[:50])
        peers[1].recv(1024)  # by now the piece has been read
        peers[1].sendall(WHOLE)
        peers[0].sendall(WHOLE[50:])

    assert ask_twice(answer).latencies[1] > 50_000  # it ended after the second was due


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda peers: peers[0].close(), "closed instead of answered"),
        (lambda peers: peers[1].sendall(b"?"), "nobody asked for"),
        (lambda peers: peers[0].sendall(WHOLE.replace(b"200", b"503")), "503"),
    ],
    ids=["closed", "unasked", "refused"],
)
def test_what_is_no_answer_ends_the_measurement(answer: Callable[[list[socket.socket]], None], said: str) -> None:
    with pytest.raises(checking.WrongAnswer, match=said):
        ask_twice(answer)


def test_requests_are_due_at_random_at_their_rate() -> None:
    due = open_loop.schedule(10_000, 2, seed=1)
    assert len(due) == pytest.approx(20_000, rel=0.03)
    gaps = [after - before for before, after in pairwise(due)]
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)  # as those of a Poisson process
    assert due == open_loop.schedule(10_000, 2, seed=1)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"HTTP/1.1 2", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, wo", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nHello, world!", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nHello, world!\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_complete_with_its_last_byte(data: bytes, whole: bool) -> None:
    assert open_loop.complete(data) is whole
    with pytest.raises(checking.WrongAnswer, match="503"):
        open_loop.complete(b"HTTP/1.1 503 Service Unavailable")


def test_percentiles_are_of_what_was_seen() -> None:
    ascending = [float(each) for each in range(1, 101)]
    assert [open_loop.percentile(ascending, each) for each in (50, 99, 99.9, 100)] == [51.0, 100.0, 100.0, 100.0]


@pytest.mark.parametrize(
    ("workload", "rate", "late", "tries", "chosen"),
    [
        ("latency", 1000.0, [0.5], 1, 1),
        ("latency", 1000.0, [900.0, 1.0], 2, 2),
        ("latency", 1000.0, [900.0, 901.0], 2, 1),
        ("steady", 1500, [0.5], 1, 1),
    ],
)
def test_latency_is_taken_at_half_of_what_wrk_reaches_or_at_one_rate_by_a_client_that_was_not_disturbed(
    workload: str,
    rate: float,
    late: list[float],
    tries: int,
    chosen: int,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = []

    def drive(port: int, rate: float, seconds: float, connections: int) -> open_loop.Seen:
        rates.append(rate)
        return open_loop.Seen([1000.0] * 98 + [5000.0 * len(rates)] * 2, [late[len(rates) - 1]])

    monkeypatch.setattr(open_loop, "drive", drive)
    monkeypatch.setattr(measure, "drive", lambda *_, **__: load.Load(3000, 1.5, 0, 0, {}))
    with Fleet(place) as fleet:
        found = measure.latency(BY_NAME[workload], fleet.serve(BY_NAME[workload], limit()), 2)
    assert rates == [rate] * tries
    assert found["rate"] == rate
    assert (found["value"], found["latency_us"]["50"], found["tries"]) == (chosen * 5.0, 1000.0, tries)
    assert found["late_us"]["99"] == late[chosen - 1]


# --- records ---------------------------------------------------------------------------------------------------------

RUN = {
    "commit": "0123456789ab",
    "changed": "",
    "machine": {"cpu": "a CPU", "cores": 2, "system": "Linux 6"},
    "versions": {"wrk": "4.1.0", "database": "11.4-MariaDB", "first": {"python": "3.11.7"}},
    "settings": {"seconds": 1, "rounds": 3},
    "off": "access logs",
}


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "results/raw.jsonl"
    Records(path, RUN).add(record="measurement", workload="json", contender="Sanic", round=1, value=30.0)
    with path.open("a") as file:
        file.write('{"record": "measurement", "workload": "js')  # the lights went out
    again = Records(path, RUN)
    assert again.resumed
    assert again.has(record="measurement", workload="json", contender="Sanic", round=1)
    assert not again.has(record="measurement", workload="json", contender="Sanic", round=2)
    again.add(record="missing", workload="tls", contender="Robyn", reason="none")
    assert [each["record"] for each in load_records(path)] == ["run", "measurement", "missing"]


def test_a_finished_run_stays_unless_it_is_to_be_measured_anew(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    records = Records(path, RUN)
    assert Records(path, RUN, anew=True).resumed
    records.finish()
    records.finish()
    assert Records(path, RUN).all == [{"record": "run", **RUN}, {"record": "end"}]
    assert not Records(path, RUN, anew=True).resumed
    assert [each["record"] for each in load_records(path)] == ["run"]


@pytest.mark.parametrize("name", ["commit", "changed", "machine", "versions", "settings"])
def test_another_run_starts_anew(tmp_path: Path, name: str) -> None:
    path = tmp_path / "raw.jsonl"
    Records(path, RUN).add(record="measurement", workload="json", contender="Sanic", round=1, value=30.0)
    other = Records(path, {**RUN, name: "other"})
    assert not other.resumed
    assert [each["record"] for each in load_records(path)] == ["run"]


@pytest.mark.parametrize(("failures", "measured"), [(1, 5), (2, 0)])
def test_what_fails_is_measured_once_more_and_said(
    failures: int, measured: int, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([DidNotAnswer(f"too late, in {PROJECT}")] * failures)

    def inside(name: str, python: Path) -> dict[str, float]:
        for each in answers:
            raise each
        return {"value": 1.0}

    monkeypatch.setattr(measure, "inside", inside)
    workload = replace(BY_NAME["warm"], rounds=5)
    records = Records(tmp_path / "raw.jsonl", RUN)
    with Fleet(place) as fleet:
        Benchmark(Plan([workload], PEERS, 1, 5), fleet, records).run()
    assert len(only(records.all, "measurement")) == measured
    assert [each["round"] for each in only(records.all, "failure")] == [1]
    assert [each["reason"] for each in only(records.all, "missing")] == ["too late, in "] * (failures - 1)


def test_those_whom_an_aim_compares_have_more_rounds_and_nobody_always_follows_the_same_one(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five that cost less and less, the script among them, in three rounds of all and two more."""
    script = contending("script on asyncio").peer
    named = ("minihttp", "Sanic", "Tornado", "limit", "script")
    kinds = ("ours", "peer", "peer", "limit", "script")
    five = [replace(script, name=name, kind=kind) for name, kind in zip(named, kinds, strict=True)]  # type: ignore[arg-type]  # each is one

    def cost(self: Benchmark, workload: Workload, contender: Contender) -> dict[str, Any]:
        return {"value": 10.0 - named.index(contender.name)}

    monkeypatch.setattr(Benchmark, "_number", cost)
    plan = Plan([replace(BY_NAME["plaintext"], rounds=3, more=2)], five, 1, 3)
    path = tmp_path / "raw.jsonl"
    with Fleet(Place({"": Environment(Path(sys.prefix), {"python": "3.11"})}, {}, tmp_path)) as fleet:
        records = Records(path, RUN)
        Benchmark(plan, fleet, records).run()
        Benchmark(plan, fleet, records).run()  # adds nothing
        assert Plan(plan.workloads, five, 1, 2).more_of(plan.workloads[0]) == 0
    done = [(each["contender"], each["round"]) for each in only(records.all, "measurement")]
    last = {name: max(number for who, number in done if who == name) for name in named}
    assert last == {"minihttp": 5, "limit": 5, "script": 5, "Tornado": 5, "Sanic": 3}
    assert len(done) == len(set(done)) == 5 * 3 + 4 * 2
    before = {name: {one for (one, _), (other, _) in pairwise(done) if other == name} for name in named}
    assert all(len(each) > 1 for each in before.values())


def test_bodies_follow_each_other_until_the_time_is_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[float] = []

    def send(workload: Workload, port: int) -> None:
        sent.append(0.4)

    monkeypatch.setattr(measure.streams, "upload", send)
    monkeypatch.setattr(measure.time, "monotonic", lambda: sum(sent))
    monkeypatch.setattr(measure, "status_kib", lambda pids, field: 1024 * (10 + len(sent) ** 2))
    with Fleet(place) as fleet:
        server = fleet.serve(BY_NAME["plaintext"], limit())
        found = measure.body(BY_NAME["upload"], server, 1)
        assert (len(sent), found["bodies"], found["seconds"]) == (3, 3, 1.2)
        assert found["value"] == pytest.approx(found["cpu_seconds"] / 300 * 1e6, abs=0.01)
        assert found["peak_mib"] == 1.0  # of the first
        assert measure.body(BY_NAME["upload"], server, 0)["bodies"] == 1


# --- what is shown ---------------------------------------------------------------------------------------------------


def measurement(workload: str, contender: str, value: float, round: int = 1, **more: Any) -> dict[str, Any]:
    named = {"workload": workload, "contender": contender, "round": round, "at": "2026-11-22T12:00:00Z"}
    return {"record": "measurement", **named, "value": value, **more}


def contender(name: str, kind: str, way: str = "") -> dict[str, Any]:
    told = {"command": f"{name} app", "loop": "uvloop", "versions": {name: "1.0"}}
    return {"record": "contender", "name": name, "kind": kind, "way": way, **told}


RECORDS: list[dict[str, Any]] = [
    {"record": "run", **RUN},
    contender("Sanic", "peer"),
    contender("Sanic, SQLAlchemy async", "peer", "SQLAlchemy async"),
    *(measurement("plaintext", "minihttp", each, at) for at, each in enumerate((10.0, 8.0, 90.0), 1)),
    *(measurement("plaintext", "Sanic", each, at) for at, each in enumerate((29.0, 30.0, 360.0), 1)),
    measurement("plaintext", "limit", 5.0),
    measurement("plaintext", "script", 7.0),
    measurement("c1", "Sanic", 40.0),
    measurement("c1", "minihttp", 20.0),
    measurement("latency", "Sanic", 4.0, latency_us={each: 1000 + at for at, each in enumerate(plots.PERCENTILES)}),
    measurement("upload", "Sanic", 300.0, peak_mib=-0.4),
    measurement("mysql-one", "minihttp, minihttp.db", 50.0),
    measurement("mysql-one", "Sanic, SQLAlchemy async", 400.0),
    measurement("cold", "minihttp", 10.0, parts_us={"minihttp": 5.0, "httptools": 0.5}),
    {"record": "failure", "workload": "json", "contender": "Sanic", "round": 1, "reason": "once, it was late"},
    {"record": "missing", "workload": "tls", "contender": "Robyn", "reason": "it has\nno TLS"},
]


def test_a_table_shows_medians_and_ratios_the_cheapest_first_below_the_limit() -> None:
    results = report.Results(RECORDS)
    assert report.rows(results, [BY_NAME["plaintext"]]) == [
        ["", "plaintext, wrk's bare head"],
        ["limit", "5.00 0.50x"],
        ["script", "7.00 0.70x"],
        ["**minihttp**", "10.0 1.00x"],
        ["Sanic", "30.0 3.75x"],  # of 2.9, 3.75 and 4 in a round
    ]
    assert report.cell(results, BY_NAME["mysql-one"], "Sanic, SQLAlchemy async") == "400 8.00x"
    assert report.cell(results, BY_NAME["latency"], "Sanic") == "1.00 / 4.00"
    assert report.cell(results, BY_NAME["upload"], "Sanic") == "300 (0)"
    assert report.cell(results, BY_NAME["json"], "Sanic") == "-"


def test_the_page_says_all_that_the_figures_depend_on() -> None:
    page = report.markdown(RECORDS)
    for said in ("0123456789ab", "2026-11-22", "3.11.7", "a CPU", "4.1.0", "11.4-MariaDB", "access logs", "for 1 s"):
        assert said in page
    assert "| Sanic | `Sanic app` | uvloop | Sanic 1.0 |" in page
    assert "- Sanic (json): once, it was late" in page
    assert "a bare head, every line new, in httptools, minihttp: minihttp 5.00, httptools 0.50" in page
    assert "- Robyn (tls): it has no TLS" in page
    assert "uncommitted" not in page
    assert "The script answers" not in page
    assert "The script answers" in report.markdown([*RECORDS, contender("script", "script")])
    assert "the same load" not in page
    steady = measurement("steady", "Sanic", 4.0, latency_us={"50": 1000.0})
    assert "the same load, 1,500 requests a second" in report.markdown([*RECORDS, steady])
    changed = [{**RECORDS[0], "changed": "abc"}, *RECORDS[1:]]
    assert "with uncommitted changes (abc)" in report.markdown(changed)


def test_the_terminal_gets_the_same_figures() -> None:
    said = report.terminal(RECORDS)
    assert "Sanic     30.0 3.75x" in said
    assert said.endswith("Robyn (tls): it has no TLS")
    assert max(map(len, said.splitlines())) <= 120


def test_the_readme_shows_what_the_committed_results_give() -> None:
    text = readme.README.read_text()
    shown = text.partition(readme.BEGIN)[2].partition(readme.END)[0]
    assert shown == readme.section(load_records(RESULTS / "raw.jsonl"))


def test_the_committed_tables_and_plots_are_what_the_committed_results_give() -> None:
    records = load_records(RESULTS / "raw.jsonl")
    made = files(records, every=True) if records else {}
    assert {path.name: path.read_text() for path in RESULTS.glob("*.[ms][dv]*")} == made


def test_aims_stand_in_the_page_by_title_and_only_those_measured_in_a_part() -> None:
    page = files(RECORDS, every=False)["results.md"]
    assert "| a bare head, every line new, in httptools | minihttp | ratio | 1.4 | 10.00 | NOT MET |" in page
    assert "not measured" not in page
    assert "not measured" in files(RECORDS, every=True)["results.md"]


def test_the_section_of_the_readme_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{readme.BEGIN}old\n{readme.END}after\n")
    readme.update(RECORDS, page)
    before, _, rest = page.read_text().partition(readme.BEGIN)
    section, _, after = rest.partition(readme.END)
    assert (before, after) == ("before\n", "after\n")
    assert section == readme.section(RECORDS)
    assert readme.section([]) == readme.NOT_YET


def test_the_readme_names_the_best_peer_of_each_workload() -> None:
    records = [
        *RECORDS,
        contender("Sanic, driver by hand", "peer", "driver by hand"),
        measurement("mysql-one", "Sanic, driver by hand", 60.0),
        measurement("mysql-one", "minihttp on asyncio, minihttp.db", 55.0),
        measurement("plaintext", "minihttp on asyncio", 11.0),
    ]
    section = readme.section(records)
    for row in (
        "| plaintext, wrk's bare head | 10.0 | Sanic: 30.0 | 3.75x |",
        "| one user, MariaDB | 50.0 | Sanic, SQLAlchemy async: 400 | 8.00x |",
        "| one user, MariaDB, driver by hand | 50.0 | Sanic, driver by hand: 60.0 | 1.20x |",
        "| minihttp on asyncio | 1.10x | - | 1.10x |",
        "| Sanic | 3.75x | - | 8.00x |",
    ):
        assert row in section
    assert all(line.count("|") <= 5 for line in section.splitlines())  # it is read on a phone, too


def test_the_best_peer_is_so_in_the_same_rounds_however_many_it_has() -> None:
    slow = [measurement("plaintext", name, 90.0, at) for name in ("minihttp", "Sanic") for at in (2, 3)]
    few = [
        {"record": "run", **RUN},
        *(contender(name, "peer") for name in ("Sanic", "Tornado")),
        *(
            measurement("plaintext", name, cost)
            for name, cost in (("minihttp", 10.0), ("Tornado", 22.0), ("Sanic", 9.0))
        ),
    ]
    for rounds, found in ((slow, "Sanic"), ([], "Sanic"), (slow[:2], "Sanic")):
        results = report.Results([*few, *rounds])
        assert results.peers("plaintext")[0] == found
        assert targets.verdict(results, targets.Target("plaintext", "minihttp", "the best peer", 0.6)).other == found
    assert report.Results(few[:3]).peers("plaintext") == []
    apart = [*few[:3], measurement("plaintext", "Sanic", 9.0), measurement("plaintext", "Tornado", 8.0, 2)]
    assert report.Results(apart).peers("plaintext") == ["Tornado", "Sanic"], "a run that was interrupted"


def test_what_was_measured_again_is_named() -> None:
    disturbed = {**measurement("json", "minihttp", 30.0), "record": "disturbed"}
    measured = [{"record": "run", **RUN}, measurement("json", "minihttp", 20.0)]
    assert "once more" not in report.about(report.Results(measured))
    results = report.Results([*measured, disturbed])
    assert "Measured once more, because the machine had been disturbed: JSON." in report.about(results)
    assert results.value("json", "minihttp") == 20.0


def test_a_target_is_a_ratio_to_the_limit_or_to_the_best_of_those_it_names() -> None:
    results = report.Results(
        [
            {"record": "run", **RUN},
            contender("limit", "limit"),
            contender("Sanic", "peer"),
            contender("Tornado", "peer"),
            contender("Sanic, SQLAlchemy async", "peer", "SQLAlchemy async"),
            contender("Sanic, driver by hand", "peer", "driver by hand"),
            measurement("plaintext", "limit", 5.0),
            measurement("plaintext", "minihttp", 8.0),
            measurement("plaintext", "Sanic", 20.0),
            measurement("plaintext", "Tornado", 80.0),
            measurement("json", "minihttp", 9.0),
            measurement("json", "limit", 4.5),
            measurement("cold", "minihttp", 1.3),
            measurement("upload", "minihttp", 100.0, peak_mib=9.0),
            measurement("mysql-one", "minihttp, minihttp.db", 50.0),
            measurement("mysql-one", "Sanic, SQLAlchemy async", 200.0),
            measurement("mysql-one", "Sanic, driver by hand", 40.0),
            measurement("idle", "minihttp", 3.5),
        ]
    )
    said = {(each.target.workload, each.target.ours, each.target.against): each for each in targets.verdicts(results)}
    limited = said["plaintext", "minihttp", "the limit"]
    assert (limited.ratio, limited.met) == (1.6, False)
    best = said["plaintext", "minihttp", "the best peer"]
    assert (best.other, best.ratio, best.met) == ("Sanic", 0.4, True)
    assert said["json", "minihttp", "the limit"].ratio == 2.0  # to the limit of its own rounds
    assert said["cold", "minihttp", None].met
    assert said["upload", "minihttp", "memory, MiB"].ratio == 9.0
    assert not said["json", "minihttp", "the best peer"].met
    own = "minihttp, minihttp.db"
    assert said["mysql-one", own, "the best documented layer"].ratio == 0.25
    assert said["mysql-one", own, "the best driver by hand"].ratio == 1.25
    assert said["idle", "minihttp", None].met
    assert ["plaintext", "minihttp", "the limit: limit", "1.5", "1.60", "NOT MET"] in targets.table(results)
    script = "minihttp", "the script"
    assert ("plaintext", *script) not in said  # a run that knew none is not asked for it
    known = [*results.records, contender("script", "script"), measurement("plaintext", "script", 10.0)]
    assert [
        each.ratio
        for each in targets.verdicts(report.Results(known))
        if (each.target.ours, each.target.against) == script and each.ratio
    ] == [0.8]
    missing = ["json", "minihttp", "the best peer", "0.6", "not measured", "NOT MET"]
    assert missing in targets.table(results)
    assert missing not in targets.table(results, every=False)
    assert {workload for workload, _, _ in said} == {"plaintext", "json", "mysql-one", "idle", "cold", "upload"}


def test_every_target_is_of_someone_who_is_measured() -> None:
    for each in targets.TARGETS:
        able, _ = contenders(BY_NAME[each.workload], [*PEERS, *SECOND])
        assert each.ours in {contender.name for contender in able}


def test_plots_are_drawings_that_name_every_contender() -> None:
    drawn = plots.all_plots(RECORDS)
    assert set(drawn) == {"plaintext.svg", "requests.svg", "database.svg", "connections.svg", "latency.svg"}
    for drawing in drawn.values():
        root = ElementTree.fromstring(drawing)
        said = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
        assert any(each and each.startswith("Sanic") for each in said)
    assert plots.all_plots(RECORDS[:1]) == {}


def test_labels_keep_their_distance() -> None:
    places = plots.spread({"a": 10.0, "b": 11.0, "c": 98.0, "d": 99.0}, 14, 100)
    assert places == {"a": 10.0, "b": 24.0, "c": 86.0, "d": 100}


def test_the_bar_says_how_far_it_is() -> None:
    out = io.StringIO()
    progress = Progress(100.0, out)
    progress.skip(20.0)
    progress.step(40.0, "JSON", "Sanic")
    progress.step(40.0, "JSON", "Tornado")
    progress.step(40.0, "TLS", "Sanic")
    progress.close()
    first, second = out.getvalue().splitlines()
    assert first == "  0%  JSON  (about 80 s)"
    assert second.startswith("100%  TLS")


# --- the guard --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "status"), [(1.9, 0), (2.1, 0), (2.11, 1), (None, 1)])
def test_the_guard_fails_where_a_request_became_dearer(
    ratio: float | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    dear = targets.Verdict(targets.Target("plaintext", "minihttp", "the limit", 2.1), "limit", ratio)
    fine = targets.Verdict(targets.Target("json", "minihttp", "the limit", 2.1), "limit", 1.0)
    assert guard.judge([fine, dear]) == status
    assert ("DEARER" in capsys.readouterr().out) is bool(status)


def test_the_guard_can_fail_its_ceilings_are_close_above_what_was_measured() -> None:
    page = (PROJECT / "docs/performance.md").read_text()
    [told] = re.findall(r"`make bench-guard` on a quiet machine(.+?)\n\n", page, re.DOTALL)
    measured = [float(each) for each in re.findall(r"\b[1-9]\.\d\d\b", told.replace("3.11", ""))]
    assert len(measured) == len(guard.GUARDED)
    for target, found in zip(guard.GUARDED, measured, strict=True):
        assert found < target.most <= 1.1 * found


def test_the_guard_watches_what_the_targets_are_about() -> None:
    aimed = {(each.workload, each.ours) for each in targets.TARGETS if each.against == "the limit"}
    assert {(each.workload, each.ours) for each in guard.GUARDED} <= aimed

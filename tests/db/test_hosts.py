"""Which host is asked first, without a clock."""

from __future__ import annotations

import logging

import pytest

from minihttp.db.hosts import FIRST_REST, LONGEST_REST, Address, Hosts, obstacle

A: Address = ("a", 3306)
B: Address = ("b", 3307)
C: Address = ("c", 3306)


def test_the_order_is_that_of_the_url():
    assert Hosts((B, A, C)).in_order(0.0) == [B, A, C]


def test_one_that_failed_is_asked_last_for_a_while():
    hosts = Hosts((A, B, C))
    hosts.failed(A, 100.0)
    assert hosts.in_order(100.0 + FIRST_REST * 0.49) == [B, C, A]
    assert hosts.in_order(100.0 + FIRST_REST) == [A, B, C]
    for each in (C, B, A):
        hosts.failed(each, 200.0)
    assert hosts.in_order(200.0) == [A, B, C]  # none is left out, even if all of them failed


def test_who_fails_again_rests_longer_up_to_a_limit():
    hosts, now, rests = Hosts((A, B)), 0.0, []
    for _ in range(40):
        hosts.failed(A, now)
        rests.append(hosts._resting[A].until - now)
        now = hosts._resting[A].until
    for number, rest in enumerate(rests[:5]):
        assert FIRST_REST * 2**number / 2 <= rest <= FIRST_REST * 2**number
    assert all(LONGEST_REST / 2 <= rest <= LONGEST_REST for rest in rests[5:])
    assert len(set(rests[5:])) > 1  # not all processes come back in the same moment
    hosts.works(A)
    hosts.failed(A, now)
    assert hosts._resting[A].until - now <= FIRST_REST


def test_several_connects_that_fail_together_count_once():
    hosts = Hosts((A, B))
    for _ in range(4):
        hosts.failed(A, 1.0)
    assert hosts._resting[A].failures == 1


def test_the_operator_reads_of_every_move_once(caplog: pytest.LogCaptureFixture):
    hosts = Hosts((A, B))
    with caplog.at_level(logging.WARNING, "minihttp.db"):
        for each in (A, A, B, B, A):
            hosts.works(each)
    assert [each.getMessage().rpartition(" ")[2] for each in caplog.records] == ["b:3307", "a:3306"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, ""),
        ({"read_only": "OFF"}, ""),
        ({"read_only": "ON"}, "is read-only"),
        ({"read_only": "NO_LOCK"}, "is read-only"),
        ({"read_only": "OFF", "wsrep_on": "ON", "wsrep_ready": "ON"}, ""),
        ({"read_only": "OFF", "wsrep_on": "OFF", "wsrep_ready": "OFF"}, ""),
        (
            {"wsrep_on": "ON", "wsrep_ready": "OFF"},
            "is a node of a cluster and not ready: it has no quorum, or is still joining",
        ),
    ],
)
def test_what_keeps_a_server_from_taking_a_change(said: dict[str, str], reason: str) -> None:
    assert obstacle(said) == reason

"""The database benchmark: what it asks, what it makes of the numbers."""

from __future__ import annotations

import json

import pytest

from benchmarks.db import NAMES, Line, Sample, record, summary, table
from benchmarks.db_client import CONTENDERS, TABLE, measure
from tests.support.mariadb import run_sql

HERE = ["raw", "asyncmy-pool", "db.one", "Repository.get", "db.one-wide", "Repository.get-wide"]


def samples(name, *cpu):
    return [Sample(round, "asyncio", 8, name, each, 1e6 / each) for round, each in enumerate(cpu)]


def test_ratios_are_taken_within_a_round():
    # The machine was twice as slow in the second round, for both.
    lines = summary([*samples("raw", 10.0, 20.0, 10.0), *samples("db.one", 15.0, 30.0, 14.0)])
    assert lines == [
        Line("asyncio", 8, "raw", 10.0, 1.0, 100_000.0),
        Line("asyncio", 8, "db.one", 15.0, 1.5, pytest.approx(66_666.7)),
    ]


def test_loops_and_numbers_of_tasks_are_kept_apart():
    more = [Sample(0, "uvloop", 8, "raw", 5.0, 1.0), Sample(0, "asyncio", 64, "raw", 7.0, 1.0)]
    more += [Sample(0, "uvloop", 8, "db.one", 10.0, 1.0), Sample(0, "asyncio", 64, "db.one", 7.0, 1.0)]
    found = {(each.loop, each.tasks, each.name): each.ratio for each in summary([*samples("raw", 10.0), *more])}
    assert found["uvloop", 8, "db.one"] == 2.0
    assert found["asyncio", 64, "db.one"] == 1.0
    assert len(found) == 5


def test_the_table():
    assert table([Line("uvloop", 64, "db.one", 25.04, 1.25, 20_000.4)]).splitlines()[-1] == (
        "| uvloop | 64 | db.one, 8 connections | 25.0 us | 1.25 | 20,000 |"
    )


def test_the_record_is_json_with_a_sample_a_line():
    text = record({"commit": "abc"}, samples("raw", 10.0, 20.0))
    assert json.loads(text)["facts"] == {"commit": "abc"}
    assert [Sample(**each) for each in json.loads(text)["samples"]] == samples("raw", 10.0, 20.0)
    assert len(text.splitlines()) == 7


def test_every_contender_has_a_name():
    assert list(NAMES) == list(CONTENDERS)


@pytest.mark.parametrize("name", HERE)
async def test_a_contender_reads_what_is_there(mysql_url, name):
    run_sql(mysql_url, *TABLE)
    cpu, seconds = await measure(name, mysql_url, 9, 18)
    assert cpu > 0
    assert seconds > 0


@pytest.mark.parametrize("name", HERE)
async def test_a_wrong_answer_ends_the_benchmark(mysql_url, name):
    run_sql(mysql_url, *TABLE, "UPDATE account SET name = 'somebody else' WHERE id = 15")
    with pytest.raises(ExceptionGroup) as caught:
        await measure(name, mysql_url, 1, 1)
    assert [str(each) for each in caught.value.exceptions] == [f"{name} gave a wrong answer for 15"]

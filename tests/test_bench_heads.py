"""The benchmark of request heads: that its heads are what they say, and what it makes of the numbers."""

from __future__ import annotations

import pytest

from benchmarks.heads import SHAPES, line, main, measure, new, read_minihttp


@pytest.mark.parametrize("shape", SHAPES)
def test_every_head_is_read(shape):
    make, fresh = SHAPES[shape]
    method, path, query, fields = read_minihttp([make(1), make(2)], fresh)
    assert (method, query) == ("GET", "")
    assert path in ("/plaintext/2", "/plaintext/a")
    assert fields.persistent is (shape != "bare, first of a connection")
    assert (make(1) == make(2)) is ("same" in shape or "first" in shape)


def test_every_line_of_a_new_head_is_new_but_for_connection():
    assert {*new(1).split(b"\r\n")} & {*new(2).split(b"\r\n")} == {b"Connection: keep-alive", b""}


def test_readers_take_turns():
    turns = []
    readers = [lambda heads, fresh: turns.append((1, len(heads), fresh)), lambda heads, fresh: turns.append(2)]
    ours, theirs = measure(readers, "bare, first of a connection", 2, 3)
    assert turns == [(1, 3, True), 2, (1, 3, True), 2]
    assert len(ours) == len(theirs) == 2


def test_ratios_are_taken_within_a_round():
    assert line("a", [2000.0, 8000.0, 2500.0], [1000.0, 4000.0, 1000.0]) == "| a | 2,000 | 1,000 | 2.00 |"


def test_the_table(capsys):
    main(["--rounds", "1", "--count", "2"], [read_minihttp, read_minihttp])
    assert [row.split(" | ")[0] for row in capsys.readouterr().out.splitlines()[2:]] == [
        f"| {shape}" for shape in SHAPES
    ]

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from minihttp.testing.replies import ReplyReader
from minihttp.wire.parser import Parser

from . import fuzz_failures, fuzz_run, fuzz_splits, reading
from .fuzz_failures import check_input, failure, replay, report, shrunk
from .fuzz_inputs import CORPUS, LONGEST, joined, mutated, parts, seeds

PROJECT = Path(__file__).parents[2]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
REPLY = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\n"


# -- inputs ------------------------------------------------------------------------------------------------------------


def test_no_seed_fails() -> None:
    assert [raw for raw in seeds() if failure(raw)] == []


def test_the_corpus_is_small_and_adds_to_the_scenarios() -> None:
    kept = [file.read_bytes() for file in CORPUS.iterdir()]
    assert 0 < len(kept) <= 60
    assert sum(map(len, kept)) <= 60_000
    assert len(set(seeds())) == len(list(seeds())), "none of them twice"


def test_an_input_says_where_it_is_cut() -> None:
    assert parts(joined(b"abc", 2)) == (b"abc", 2)
    assert parts(b"\xff\xffabc") == (b"abc", 3)
    assert parts(b"\x01") == (b"", 0)


def test_a_change_depends_on_its_seed_alone_and_fits() -> None:
    changed = {mutated(joined(GET, 3), LONGEST, seed) for seed in range(100)}
    assert changed == {mutated(joined(GET, 3), LONGEST, seed) for seed in range(100)}
    assert len(changed) > 50
    for raw in (b"", b"\x00", b"\x00\x00", joined(GET, 3), bytes(range(256))):
        for seed in range(200):
            assert 2 <= len(mutated(raw, 40, seed)) <= 40
            parts(mutated(raw, 40, seed))


# -- checks, that can fail ---------------------------------------------------------------------------------------------


def test_requests_that_depend_on_the_pieces_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz_splits.check_requests(POST + GET, 3)
    feed = Parser.feed
    monkeypatch.setattr(Parser, "feed", lambda self, data: feed(self, data[:1] if len(data) == 3 else data))
    with pytest.raises(AssertionError, match="cut at 3"):
        fuzz_splits.check_requests(POST + GET, 3)


def test_a_body_that_depends_on_the_pieces_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz_splits.check_requests(POST[:-1], 3)
    body = Parser.body
    monkeypatch.setattr(Parser, "body", lambda self: body(self).replace(b"ab", b"x"))
    with pytest.raises(AssertionError, match="one by one, b'ab' is b'x'"):
        fuzz_splits.check_requests(POST[:-1], 3)


def test_what_came_of_a_body_before_a_refusal_may_depend_on_the_pieces() -> None:
    data = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n"
    assert fuzz_splits.outcome([data], fuzz_splits.SMALL)[1] == b""
    assert fuzz_splits.outcome(reading.one_by_one(data), fuzz_splits.SMALL)[1] == b"abc"
    fuzz_splits.check_requests(data, 3)


def test_a_limit_that_depends_on_the_pieces_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"GET /" + b"a" * 50 + b" HTTP/1.1\r\nHost: a\r\n\r\n"  # fills the small limit
    fuzz_splits.check_requests(data, 3)

    def one_too_strict(self: Parser) -> None:
        if self.buffered() == self._limits.request_line:
            raise self._refusal("request line too long", 414)

    monkeypatch.setattr(Parser, "_wait_for_head", one_too_strict)
    with pytest.raises(AssertionError, match="one by one"):
        fuzz_splits.check_requests(data, 3)


def test_replies_that_depend_on_the_pieces_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for cut in range(len(REPLY)):
        fuzz_splits.check_replies(REPLY + REPLY, cut)
    replies, ended, _ = fuzz_splits.read_replies([REPLY + REPLY], "GET", 1)
    assert (len(replies), ended.__name__) == (2, "IncompleteReply")
    take = ReplyReader._take
    monkeypatch.setattr(ReplyReader, "_take", lambda self, most: take(self, most).replace(b"ab", b"x"))
    with pytest.raises(AssertionError, match="one by one"):
        fuzz_splits.check_replies(REPLY, 3)


def test_an_error_that_is_not_the_readers_own_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(lines: list[bytes]) -> None:
        raise ValueError("not its own")

    monkeypatch.setattr("minihttp.testing.replies.parse_fields", broken)
    with pytest.raises(ValueError, match="not its own"):
        check_input(joined(REPLY, 0))
    kind, line = failure(joined(REPLY, 0)) or ("", 0)
    assert (kind, line) == ("ValueError", broken.__code__.co_firstlineno + 1)


def test_a_reader_that_waits_for_something_else_is_noticed() -> None:
    class Waiting:
        def __await__(self) -> Iterable[None]:
            yield

    async def reading() -> None:
        await Waiting()

    coroutine = reading()
    with pytest.raises(AssertionError, match="something else"):
        fuzz_splits.run(coroutine)
    coroutine.close()


# -- an input that fails -----------------------------------------------------------------------------------------------


def has_x_cut_from_y(raw: bytes) -> None:
    data, cut = parts(raw)
    if len(data) < 2:
        raise ValueError("another failure")
    assert not (b"x" in data[:cut] and b"y" in data[cut:]), "x and y"


def test_a_failing_input_is_shrunk_to_what_fails_alike() -> None:
    for filler in (b"", b"-", b"-" * 7, GET):
        data = filler + b"x" + filler + b"y" + filler
        assert shrunk(joined(data, 2 * len(filler) + 1), has_x_cut_from_y) == joined(b"xy", 1)
    alone, both = failure(joined(b"x", 0), has_x_cut_from_y), failure(joined(b"xy", 1), has_x_cut_from_y)
    assert (alone and alone[0], both and both[0]) == ("ValueError", "AssertionError")


def test_a_failing_input_is_shown_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = joined(b"\x00x\r\ny", 2)
    file = report(raw, tmp_path / "kept", has_x_cut_from_y)
    shown = capsys.readouterr().err
    assert r"b'\x00x\r\ny', cut at 2, fails:" in shown
    assert "AssertionError: x and y" in shown
    assert f"Again: make fuzz INPUT={os.path.relpath(file)}" in shown
    assert file.read_bytes() == raw
    assert replay([b"--"], tmp_path, lambda raw: None) == 0
    assert replay([joined(b"ab", 1), file.read_bytes()], tmp_path, has_x_cut_from_y) == 1
    assert "2 inputs, 1 failed" in capsys.readouterr().out


def test_an_input_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "input"
    file.write_bytes(joined(GET, 3))
    arguments = ["--folder", str(tmp_path), str(file)]
    assert fuzz_run.main(arguments) == 0
    monkeypatch.setattr("tests.wire.fuzz.STRICTER", {})
    file.write_bytes(joined(b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 3))
    assert fuzz_run.main(arguments) == fuzz_run.main(arguments) == 0, "both refuse"
    file.write_bytes(joined(b"GET /| HTTP/1.1\r\nHost: a\r\n\r\n", 3))
    assert fuzz_run.main(arguments) == 1


# -- the run -----------------------------------------------------------------------------------------------------------

RUN = (
    "import re, sys, minihttp.testing.replies as replies\n{bug}\nfrom tests.wire.fuzz_run import main\nsys.exit(main())"
)


def run(folder: Path, *arguments: str, bug: str = "") -> subprocess.CompletedProcess[str]:
    """In a process of its own: the fuzzer never comes back."""
    command = [sys.executable, "-c", RUN.format(bug=bug), "--folder", str(folder), *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_a_run_ends_in_time_when_nothing_fails(tmp_path: Path) -> None:
    done = run(tmp_path, "--seconds", "0", "--seed", "5")
    assert done.returncode == 0, done.stderr
    assert "0 failed" in done.stdout


def test_a_run_that_finds_something_fails_and_keeps_it(tmp_path: Path) -> None:
    bug = "replies.CHUNK_SIZE = re.compile(rb'[0-9a-z;]+')"
    done = run(tmp_path, "--seconds", "600", bug=bug)
    assert done.returncode == 1, done.stderr
    assert "ValueError: invalid literal for int()" in done.stderr
    (file,) = list(tmp_path.glob("failing-*"))[:1]
    assert run(tmp_path, str(file), bug=bug).returncode == 1
    assert run(tmp_path, str(file)).returncode == 0


def test_without_the_fuzzer_the_seeds_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz_run, "find_spec", lambda name: None)
    assert fuzz_run.main(["--folder", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "atheris, the fuzzer, has no wheel" in shown
    assert f"{len(list(seeds()))} inputs, 0 failed" in shown
    monkeypatch.setattr(fuzz_failures, "check_replies", lambda data, cut: has_x_cut_from_y(joined(b"xy", 1)))
    assert fuzz_run.main(["--folder", str(tmp_path)]) == 1

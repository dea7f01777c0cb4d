"""The one list of options."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from math import inf, nan
from typing import Any

import pytest

from minihttp.errors import ConfigError
from minihttp.options import Limits, Options, from_environment, settings, with_settings


def test_defaults_are_valid_and_frozen() -> None:
    limits, options = Limits(), Options()
    assert options.limits == limits
    with pytest.raises(FrozenInstanceError):
        limits.max_body = 1  # type: ignore[misc]  # on purpose
    with pytest.raises(FrozenInstanceError):
        options.port = 1  # type: ignore[misc]  # on purpose


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"max_body": -1}, "option max_body is -1: it must be at least 0 bytes"),
        ({"request_line": 63}, "at least 64 bytes"),
        ({"connections": 0}, "at least 1 connections"),
        ({"header_timeout": -0.1}, "at least 0 seconds"),
        ({"header_timeout": float("nan")}, "at least 0 seconds"),
        ({"max_body": "10"}, r"option max_body is '10': it must be of type int \(bytes\)"),
        ({"max_body": None}, "must be of type int"),
        ({"max_body": 1.5}, "must be of type int"),
        ({"max_body": True}, "must be of type int"),
        ({"keep_alive": "75"}, "must be of type float"),
        ({"handler_timeout": "5"}, "must be of type float"),
        ({"handler_timeout": True}, "must be of type float"),
    ],
)
def test_impossible_limits(limits: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Limits(**limits)


def test_possible_limits() -> None:
    assert Limits(max_body=0, request_line=64, keep_alive=1, handler_timeout=None, connections=1).keep_alive == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"port": -1}, "port is -1"),
        ({"port": 65536}, r"from 0 to 65535 \(port\)"),
        ({"port": "80"}, "must be of type int"),
        ({"loop": "trio"}, "one of auto, asyncio, uvloop"),
        ({"watch": 2}, "must be of type bool"),
        ({"watch": "yes"}, "must be of type bool"),
        *(({"watch_limit": each}, r"from 0.01 to 60 \(seconds\)") for each in (0.0, -1.0, 60.1, inf, nan)),
        ({"uds": "/x", "fd": 3}, "exclude each other"),
        ({"private_key": "key.pem"}, "needs option certificate"),
        ({"host": None}, "must be of type str"),
    ],
)
def test_impossible_options(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Options(**options)


def test_possible_options() -> None:
    assert Options(port=65535, uds="/x", certificate="c", private_key="k", watch=True).watch
    assert Options(fd=3, port=0).fd == 3


def test_settings_list_every_option_once() -> None:
    listed = settings()
    names = [each.name for each in listed]
    assert len(names) == len(set(names))
    all_fields = {each.name for owner in (Options, Limits) for each in fields(owner)}
    assert all_fields - set(names) == {"limits", "ssl"}  # which have no form as text
    assert names.index("loop") < names.index("max_body")  # those of Options first
    assert settings(Limits) == tuple(each for each in listed if hasattr(Limits(), each.name))
    for each in listed:
        assert each.kind in ("int", "float", "str", "bool")
        assert each.help
        assert each.unit
        assert getattr(Options() if hasattr(Options(), each.name) else Limits(), each.name) == each.default
    loop = next(each for each in listed if each.name == "loop")
    assert loop.choices == ("auto", "asyncio", "uvloop")


def test_text_becomes_values() -> None:
    by_name = {each.name: each for each in settings()}
    assert by_name["port"].parse("80") == 80
    assert by_name["grace"].parse("1.5") == 1.5
    assert by_name["host"].parse("::1") == "::1"
    assert by_name["watch"].parse("Yes") is True
    assert by_name["watch"].parse("0") is False
    for name, text in (("port", "http"), ("grace", "soon"), ("watch", "maybe")):
        with pytest.raises(ConfigError, match=f"option {name} is '{text}': it must be of type"):
            by_name[name].parse(text)
    for name, text in (("loop", "'trio'"), ("backlog", "0"), ("grace", "nan")):
        with pytest.raises(ConfigError, match=f"option {name} is {text}: it must be (one of|at least)"):
            by_name[name].parse(text.strip("'"))


def test_values_by_name() -> None:
    before = Options(port=1)
    after = with_settings(before, {"host": "::1", "max_body": 7})
    assert (after.host, after.port, after.limits.max_body) == ("::1", 1, 7)
    assert before == Options(port=1)
    assert with_settings(before, {}) == before


def test_the_environment() -> None:
    given = {"MINIHTTP_PORT": "8080", "MINIHTTP_MAX_BODY": "10", "MINIHTTP_WATCH": "true", "PORT": "1", "HOME": "/"}
    options = from_environment(given)
    assert (options.port, options.limits.max_body, options.watch) == (8080, 10, True)
    assert from_environment({}) == Options()
    assert from_environment({"MINIHTTP_PORT": "1"}, Options(host="::1")) == Options(host="::1", port=1)
    with pytest.raises(ConfigError, match="option port is 'x'"):
        from_environment({"MINIHTTP_PORT": "x"})
    with pytest.raises(ConfigError, match="from 0 to 65535"):
        from_environment({"MINIHTTP_PORT": "70000"})

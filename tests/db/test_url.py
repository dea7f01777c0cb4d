"""Database URLs: what they mean, what is refused and how, and that no password is ever shown."""

from __future__ import annotations

import math
import traceback
from dataclasses import fields

import pytest

from minihttp.db.errors import InvalidURL
from minihttp.db.url import DatabaseURL, PoolOptions, parse_url


def test_a_full_url():
    url = parse_url("mysql://ann:s%40c%3Aret@db.example:3307/shop?pool_size=16&acquire_timeout=2.5&tls=yes")
    assert (url.engine, url.name, url.user, url.password) == ("mysql", "shop", "ann", "s@c:ret")
    assert url.hosts == (("db.example", 3307),)
    assert (url.options.pool_size, url.options.acquire_timeout, url.options.tls) == (16, 2.5, True)
    assert not url.in_memory


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("mysql://u:p@h/n", (("h", 3306),)),
        ("mysql://u@[::1]:33/n", (("::1", 33),)),
        ("mysql://u@a,b:1,[::2]/n", (("a", 3306), ("b", 1), ("::2", 3306))),
        ("mysql:///n", (("localhost", 3306),)),
        ("mysql://h/n", (("h", 3306),)),
    ],
)
def test_hosts(text, hosts):
    assert parse_url(text).hosts == hosts


def test_defaults():
    options = parse_url("mysql://h/n").options
    assert options == PoolOptions()
    assert (options.connect_timeout, options.acquire_timeout) == (5.0, 10.0)
    assert options.queue >= 1000
    assert all(each.metadata["help"] and each.metadata["unit"] for each in fields(PoolOptions))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sqlite:///users.db", "users.db"),
        ("sqlite:////var/lib/users.db", "/var/lib/users.db"),
        ("sqlite:///a%20b%3F.db", "a b?.db"),
    ],
)
def test_sqlite(text, name):
    url = parse_url(text)
    assert (url.engine, url.name, url.options.pool_size, url.in_memory) == ("sqlite", name, 4, False)
    assert parse_url(text + "?pool_size=2").options.pool_size == 2


def test_a_database_in_memory_has_one_connection_for_ever():
    url = parse_url("sqlite:///:memory:?pool_size=9")
    assert url.in_memory
    assert (url.options.pool_size, url.options.min_idle, url.options.max_age) == (1, 1, math.inf)


def test_an_authority_implies_tls():
    assert parse_url("mysql://h/n?tls_ca=/etc/ca.pem").options.tls
    assert not parse_url("mysql://h/n?tls_ca=/etc/ca.pem&tls=no").options.tls


def test_as_text():
    assert str(parse_url("mysql://u:secret@a,[::1]:7/n")) == "mysql://u@a:3306,[::1]:7/n"
    assert str(parse_url("mysql://u:secret@/n?socket=/run/s")) == "mysql://u@/run/s/n"
    assert str(parse_url("sqlite:////a/b.db")) == "sqlite:////a/b.db"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "looks like mysql://"),
        ("users.db", "looks like"),
        ("postgres://h/n", "looks like"),
        ("sqlite:users.db", "looks like"),
        ("sqlite://users.db", "three slashes"),
        ("sqlite:///", "three slashes"),
        ("mysql://h", "no database name"),
        ("mysql://h/", "no database name"),
        ("mysql://h:0/n", "host or port"),
        ("mysql://h:65536/n", "host or port"),
        ("mysql://a,,b/n", "host or port"),
        ("mysql://h/n?pool_sise=8", "'pool_sise': did you mean pool_size?"),
        ("mysql://h/n?zzz=8", "'zzz': there are pool_size"),
        ("mysql://h/n?pool_size=8&pool_size=9", "pool_size twice"),
        ("mysql://h/n?pool_size=many", "'many': it must be a whole number"),
        ("mysql://h/n?pool_size=0", "at least 1 connections"),
        ("mysql://h/n?acquire_timeout=nan", "at least"),
        ("mysql://h/n?acquire_timeout=x", "it must be a number"),
        ("mysql://h/n?tls=perhaps", "true or false"),
        ("mysql://h/n?min_idle=9", "more than pool_size"),
        ("mysql://h/n%zz", "starts no %XX"),
        ("mysql://h/n%ff", "starts no %XX"),
        ("sqlite:///a%00b", "NUL"),
    ],
)
def test_refused(text, words):
    with pytest.raises(InvalidURL) as caught:
        parse_url(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("password", ["hun/ter", "hun?ter", "hun#ter", "hun@ter", "hun%ter", "hun:ter@x", "hun]ter[@"])
def test_a_password_with_special_characters_is_explained_and_not_shown(password):
    with pytest.raises(InvalidURL) as caught:
        parse_url(f"mysql://ann:{password}@host:3306/name")
    shown = "".join(traceback.format_exception_only(caught.value)) + repr(caught.value.__context__)
    assert "hun" not in shown
    assert "ter" not in shown.replace("character", "")


def test_no_password_in_repr_and_str():
    url = parse_url("mysql://ann:hunter2@host/name")
    assert isinstance(url, DatabaseURL)
    assert "hunter2" not in repr(url) + str(url)

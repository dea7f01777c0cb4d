"""No password is shown, whatever fails: in texts, reprs, traces of causes and logs; and TLS, which guards it."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from dataclasses import asdict, fields
from urllib.parse import quote

import pytest
import trustme

from minihttp.db import Database, DatabaseError, InvalidURL, QueryError, Unavailable
from minihttp.db.url import DatabaseURL, PoolOptions, parse_url
from tests.db.proxy import Proxy
from tests.support.mariadb import PrivateMariaDB, run_sql

SECRET = "hunter2/@:?#% 密码🙂"
# As it was given, as it stands in a URL, and its middle, as half of it is too much.
SHOWN = [SECRET, quote(SECRET, safe=""), "hunter2", "密码", quote("密码")]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority, tmp_path_factory):
    """A server with a certificate for 127.0.0.1, and a user whose password is looked for."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    with PrivateMariaDB(options=(f"--ssl-cert={folder}/cert.pem", f"--ssl-key={folder}/key.pem")) as server:
        for host in ("127.0.0.1", "localhost"):
            run_sql(
                server.root_url(),
                f"CREATE USER secretive@'{host}' IDENTIFIED BY '{SECRET}'",
                f"GRANT ALL ON app.* TO secretive@'{host}'",
            )
        yield server


@pytest.fixture
def url(server):
    return f"mysql://secretive:{quote(SECRET, safe='')}@127.0.0.1:{server.port}/app"


def all_that_is_shown(error: BaseException, *things: object) -> str:
    """What a log, a debugger's prompt or an error page could print of an error and of the objects around it."""
    trace = "".join(traceback.format_exception(error))
    chain, each = [], error
    while each is not None:
        chain.append(f"{each!r} {each!s} {each.args!r} {vars(each)!r} {getattr(each, '__notes__', '')}")
        each = each.__cause__ or each.__context__
    return "\n".join([trace, *chain, *(f"{thing!r} {thing!s} {thing}" for thing in things)])


def check(text: str) -> None:
    for each in SHOWN:
        assert each not in text


FAILURES = {
    "denied": lambda url: url.replace("secretive:", "secretive:x"),
    "unknown user": lambda url: url.replace("secretive", "nobody"),
    "unknown database": lambda url: url.replace("/app", "/nowhere"),
    "refused": lambda url: url.replace(url.rpartition("@")[2], "127.0.0.1:1/app"),
    "unknown host": lambda url: url.replace("127.0.0.1", "name.invalid"),
    "no such socket": lambda url: url + "?socket=/nowhere",
    "nobody vouches": lambda url: url + "?tls=yes",
    "wrong file": lambda url: url + "?tls_ca=/nowhere.pem",
    "unreadable file": lambda url: url + f"?tls_ca={__file__}",
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_login_that_fails(url, caplog, failure):
    caplog.set_level(logging.DEBUG)
    db = Database(FAILURES[failure](url))
    with pytest.raises((Unavailable, QueryError)) as caught:
        await db.open()
    assert "\n" not in str(caught.value)
    check(all_that_is_shown(caught.value, db, db.url, db.url.options) + caplog.text)


@pytest.mark.parametrize("place", [0, 4, 40, 85, 130])
async def test_a_login_that_is_cut(url, caplog, place):
    caplog.set_level(logging.DEBUG)
    async with Proxy.before(url) as proxy:
        for way, kind in (("request", "cut"), ("answer", "cut"), ("answer", "silence")):
            proxy.fail(way, place, kind)
            db = Database(proxy.url(url) + "?connect_timeout=0.1")
            with pytest.raises(Unavailable) as caught:
                await db.open()
            check(all_that_is_shown(caught.value, db) + caplog.text)


async def test_a_database_that_is_used_and_lost(url, caplog):
    """Also what is drawn of the pool, and what the operator reads."""
    caplog.set_level(logging.DEBUG)
    async with Proxy.before(url) as proxy, Database(proxy.url(url) + "?retry_wait=0.01") as db:
        assert await db.scalar("SELECT 1") == 1
        things = [db, db.url, db.stats, db._pool, db._pool.gauge(), db._pool._connector, db.transaction()]
        for wrong in ("SELECT nothing", "SELEC", "SELECT * FROM nowhere"):
            with pytest.raises(QueryError) as caught:
                await db.all(wrong)
            check(all_that_is_shown(caught.value))
        proxy.stop_listening()
        proxy.cut_all()
        for _ in range(5):
            with pytest.raises(DatabaseError) as caught:
                await db.execute("INSERT INTO t VALUES (1)")
            check(all_that_is_shown(caught.value, *things))
            await asyncio.sleep(0.01)
        check(repr(asyncio.all_tasks()))
    assert "the database is lost" in caplog.text
    check(caplog.text)


@pytest.mark.parametrize(
    "wrong",
    [
        f"mysql://user:{SECRET}@host/name", f"mysql://user:{SECRET}", f"mysql:/user:{SECRET}@host/name", f"my://u:{SECRET}@h/n",
        f"mysql://user:{SECRET.replace('?', '')}@host:port/name", f"mysql://user:{quote(SECRET)}@host/name?pool_size=x",
        f"mysql://user:{quote(SECRET)}@host", f"mysql://user:{quote(SECRET, safe='')}%zz@host/name",
        f"mysql://user:{quote(SECRET, safe='')}@ho st/name",
        f"mysql://user:{quote(SECRET, safe='')}@host/name?nothing=1",
        f"mysql://{SECRET}@host/name", "mysql://user:hunter2@host/na#me", "mysql://user:hunter2@host:99999/name",
        "mysql://user:x?hunter2", "mysql://user:hunter2@host/name?pool_size=0", "mysql://user:hunter2@host/name?tls=perhaps",
    ],
)  # fmt: skip
def test_a_url_that_is_wrong(wrong):
    with pytest.raises(InvalidURL) as caught:
        parse_url(wrong)
    check(all_that_is_shown(caught.value))


def test_a_url_that_is_right(url):
    parsed = parse_url(url)
    assert parsed.password == SECRET
    check(f"{parsed!r} {parsed} {parsed.options!r}")
    check(repr({each.name: getattr(parsed, each.name) for each in fields(DatabaseURL) if each.repr}))
    check(str(asdict(parsed.options)))
    assert pickle.loads(pickle.dumps(parsed)) == parsed, "and still it is all there"
    assert "password" not in {each.name for each in fields(PoolOptions)}


# ---- TLS


async def encrypted(url: str) -> bool:
    async with Database(url) as db:
        return bool((await db.one("SHOW STATUS LIKE 'Ssl_version'"))[1])


async def test_tls_is_verified_unless_told_otherwise(url, authority, tmp_path):
    trusted, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(str(trusted))
    trustme.CA().cert_pem.write_to_path(str(other))
    by_name = url.replace("127.0.0.1", "localhost")
    assert not await encrypted(url)
    assert await encrypted(f"{url}?tls_ca={trusted}")
    assert await encrypted(f"{url}?tls=yes&tls_ca={trusted}")
    assert await encrypted(f"{url}?tls=yes&tls_verify=no")
    assert await encrypted(f"{by_name}?tls_ca={other}&tls_verify=no")
    for wrong, words in (
        (f"{url}?tls=yes", "certificate verify failed: unable to get local issuer"),
        (f"{url}?tls_ca={other}", "certificate verify failed"),
        (f"{by_name}?tls_ca={trusted}", "not valid for 'localhost'"),
    ):
        with pytest.raises(Unavailable, match=words) as caught:
            await Database(wrong).open()
        check(all_that_is_shown(caught.value))


async def test_nothing_of_the_login_is_sent_before_the_certificate_is_good(url):
    """Whoever listens without a good certificate gets neither the user nor a hash to try passwords on."""
    heard = bytearray()
    async with Proxy.before(url) as proxy:
        proxy.listener = heard.extend
        with pytest.raises(Unavailable, match="certificate"):
            await Database(proxy.url(url) + "?tls=yes").open()
        assert b"secretive" not in heard
        assert heard
        async with Database(proxy.url(url) + "?tls=yes&tls_verify=no"):
            pass
        assert b"secretive" not in heard
        async with Database(proxy.url(url)):
            pass
        assert b"secretive" in heard
        check(heard.decode("latin-1"))
        assert SECRET.encode() not in heard


async def test_tls_that_is_not_offered_sends_nothing_either(mysql_url):
    heard = bytearray()
    async with Proxy.before(mysql_url) as proxy:
        proxy.listener = heard.extend
        with pytest.raises(Unavailable, match="at 127"):
            await Database(proxy.url(mysql_url) + "?tls=yes").open()
        assert b"app" not in heard


async def test_a_large_result_over_tls(url):
    async with Database(url + "?tls=yes&tls_verify=no&pool_size=1") as db:
        for most in (3, 20_000):
            sql = "SELECT seq, REPEAT('x', 500) AS text FROM seq_1_to_20000 WHERE seq <= :most"
            rows = db.iterate(sql, most=most)
            assert (await anext(rows)).text == "x" * 500
            await asyncio.sleep(0.01)
            assert [row.seq async for row in rows] == list(range(2, most + 1))
            assert await db.scalar("SELECT :text", text="y" * 100_000) == "y" * 100_000
        assert db.stats.discarded == 0


async def test_a_unix_socket_needs_no_tls(server, url):
    async with Database(f"{url}?socket={server.socket}") as db:
        assert "localhost" in await db.scalar("SELECT USER()")
        assert server.socket in str(db.url)

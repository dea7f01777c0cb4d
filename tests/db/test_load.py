"""Every acknowledged write is there, whatever was killed and cut meanwhile; what is in doubt was said to be."""

from __future__ import annotations

import asyncio

from minihttp.db import Database, OutcomeUnknown
from tests.db.load import Ledger, Writers
from tests.db.proxy import Proxy
from tests.support.mariadb import run_sql

FAULTS = 14


async def test_no_acknowledged_write_is_lost(own_mariadb):
    server = own_mariadb()
    run_sql(server.root_url(), "CREATE TABLE app.entry (id INT PRIMARY KEY) ENGINE=InnoDB")
    async with Proxy.before(server.url()) as proxy:
        url = proxy.url(server.url()) + "?pool_size=6&retry_wait=0.05&connect_timeout=2&query_timeout=5"
        async with Database(url) as db, asyncio.timeout(60):
            writers = Writers(db)
            async with writers.writing() as ledger:
                for number in range(FAULTS):
                    await writers.more(200)
                    if number % 7 == 0:
                        server.kill()
                        await asyncio.sleep(0.02)  # in which the writers meet a server that is not there
                        server.restart()
                    elif number % 7 == 1:
                        proxy.cut_all()
                    elif number % 7 == 2:
                        proxy.cut_all("cut")
                    elif number % 7 == 3:
                        proxy.fail("answer", number, "reset")
                    elif number % 7 == 4:
                        proxy.fail("request", number, "cut")
                    elif number % 7 == 5:
                        kill_all_connections(server)
                    else:
                        server.terminate()
                        server.restart()
                await writers.more(200)
            assert db.stats.used == db.stats.waiters == 0
    rows = {row[0] for row in run_sql(server.root_url(), "SELECT id FROM app.entry")}
    assert ledger.compare(rows) == {}, ledger.others[:3]
    assert len(ledger.acknowledged) >= 200 * FAULTS
    # The faults did meet something: some writes were in doubt, of which some are there.
    assert ledger.in_doubt
    assert ledger.refused
    halves = [id for id in rows if id % 2 and id - 1 not in rows]
    assert halves == [], "of a transaction there is all or nothing"


def kill_all_connections(server):
    query = "SELECT id FROM information_schema.processlist WHERE user = 'app'"
    for (number,) in run_sql(server.root_url(), query):
        try:
            run_sql(server.root_url(), f"KILL {number}")
        except Exception as error:
            assert "Unknown thread" in str(error)


def test_the_ledger_sees_what_is_wrong():
    ledger = Ledger(acknowledged={1, 2}, in_doubt={3, 4}, refused={5})
    assert ledger.compare({1, 2, 3}) == {}
    assert ledger.compare({1, 5, 9}) == {
        "acknowledged and missing": 1, "refused and there": 1, "there, and never written": 1,
    }  # fmt: skip
    ledger.others.append(OutcomeUnknown("x"))
    assert ledger.compare({1, 2}) == {"other errors": 1}

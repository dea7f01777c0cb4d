"""Connections to MySQL and MariaDB through asyncmy, the only file that knows it.

Owns: how a connection is made and set up, how a statement travels, and which faults end a connection.
Must not know: the pool's decisions, rows as the application sees them.
Invariant: values travel in the binary protocol, never as text of a statement. Exceptions: with `statement_cache=0`,
and where the server refuses to prepare, this file writes them itself, bytes as hexadecimal, text escaped as the
session's mode asks. A connection whose protocol is in doubt is closed, never reused.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from asyncmy import errors as driver_errors
from asyncmy.connection import Connection, PreparedStatement
from asyncmy.constants.CLIENT import DEPRECATE_EOF, FOUND_ROWS, MULTI_STATEMENTS
from asyncmy.cursors import Cursor, SSCursor

from . import mysql_errors
from .errors import DatabaseError, QueryError, Unavailable, UsageError
from .hosts import Address, Hosts, host_and_port, obstacle
from .piecemeal import Piecemeal
from .session import Answer, Isolation, Session, Stream, answer, columns_of
from .sql import Statement, Values
from .tls import tls_context
from .url import DatabaseURL, Engine

__all__ = ["MySQLConnector", "MySQLSession"]

# FOUND_ROWS: an update to the same values counts its row, as on every other database.
CLIENT_FLAGS = FOUND_ROWS
# TRADITIONAL refuses what would be stored altered, and leaves backslash escapes on, which the compiler relies on.
SET_UP = "SET SESSION autocommit = 1, sql_mode = 'TRADITIONAL', time_zone = '+00:00'"
PREPARED = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"})
UNPREPARABLE = frozenset({1295, 1461})  # not supported as a prepared statement; the server has too many of them
Prepared = tuple[Any, Any, tuple[str, ...]]  # the driver's statement; its columns, as described and as names
AS_TEXT: Prepared = (None, None, ())
ROWS_AT_ONCE = 500
SIDE_CONNECTIONS = 2
# Ways to log in that show the password, or nearly, to whom it is sent.
REVEALING = frozenset({b"mysql_clear_password", b"dialog", b"mysql_old_password"})
# What is private to the driver: without one of these a query would fail midway, or what is overridden do nothing.
NEEDED = (
    (PreparedStatement, "_execute_cursor"), (Cursor, "_rows"), (Cursor, "_show_warnings"),
    (Connection, "_get_auth_plugin_handler"), (Connection, "_get_server_information"), (Connection, "_proto"),
    (Connection, "_result"), (Connection, "_stream_broken"), (Connection, "_transport"),
)  # fmt: skip


class QuietCursor(Cursor):
    """A cursor that asks for no warnings: that would be a second round trip, and the driver would log values."""

    async def _show_warnings(self, conn: Any) -> None:
        pass


class QuietStream(SSCursor):
    """The same for results that are read in pieces."""

    async def _show_warnings(self, conn: Any) -> None:
        pass


class Driver(Connection):
    """The driver's connection, without what does harm."""

    _secure: bool  # missing in the driver's stubs

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]  # the driver's stubs name no types
        # Always asked for by the driver; without it, the server refuses a second statement behind a semicolon.
        self._client_flag: int = self._client_flag & ~MULTI_STATEMENTS

    async def _get_server_information(self) -> None:
        # With it, the driver takes the first row of 16 MiB or more in its text protocol for the end of the result.
        await super()._get_server_information()  # type: ignore[misc]  # it is missing in the driver's stubs
        self.server_capabilities: int = self.server_capabilities & ~DEPRECATE_EOF

    def _get_auth_plugin_handler(self, plugin_name: bytes) -> Any:
        # Whoever answers in the server's place could ask for the password itself, or for a hash that is as good.
        if plugin_name in REVEALING and not self._secure:
            raise driver_errors.OperationalError(2059, f"it asks for {plugin_name.decode()}, which needs tls=yes")
        return super()._get_auth_plugin_handler(plugin_name)  # type: ignore[misc]  # missing in the driver's stubs


class MySQLConnector:
    """Makes sessions: with several hosts in the URL, on the first that answers and can write."""

    def __init__(self, url: DatabaseURL) -> None:
        if lost := [f"{kind.__name__}.{name}" for kind, name in NEEDED if not hasattr(kind, name)]:
            raise UsageError(f"this release of asyncmy has no {lost[0]}, which minihttp needs: install asyncmy 0.2.18")
        self._url = url
        self._hosts = Hosts(url.hosts)
        self._share = url.options.connect_timeout / len(url.hosts)  # else a silent host would use up the others' time
        self._tls = tls_context(url) if url.options.tls else None
        self._side = asyncio.Semaphore(SIDE_CONNECTIONS)
        self.where = self._named(", ".join(map(host_and_port, url.hosts)))

    async def connect(self) -> MySQLSession:
        """A session, set up. Raises Unavailable with one sentence for the operator."""
        loop = asyncio.get_running_loop()
        refusals: list[Unavailable] = []
        for address in self._hosts.in_order(loop.time()):
            try:
                async with asyncio.timeout(self._share):
                    session = await self._open(address)
            except TimeoutError:
                reason = f"{self._named(host_and_port(address))} did not answer within {self._share:g} s"
                refusals.append(Unavailable(f"{reason} (connect_timeout, shared by the hosts)"))
            except Unavailable as error:
                if error.code in mysql_errors.FULL:
                    raise  # the next host would get all of this one's clients, and be full too
                refusals.append(error)
            else:
                self._hosts.works(address)
                return session
            self._hosts.failed(address, loop.time())
        raise Unavailable("; ".join(map(str, refusals)), code=refusals[-1].code) from refusals[-1]

    async def _open(self, address: Address) -> MySQLSession:
        driver = self._driver(address)
        try:
            await driver.connect()
            driver.__class__ = Connection  # the driver takes its quickest ways with no subclass
            await driver.query(SET_UP)
            if len(self._url.hosts) > 1 and (reason := await why_not_to_write(driver)):
                raise Unavailable(f"{self._named(host_and_port(address))} {reason}")
            return MySQLSession(driver, self, address, await identity(driver), self._url.options.statement_cache)
        except driver_errors.Error as error:
            driver.close()
            raise self._refused(error, address) from error
        except BaseException:
            driver.close()
            raise

    def _named(self, hosts: str) -> str:
        return f"the MySQL server at {self._url.options.socket or hosts}"

    def _driver(self, address: Address) -> Any:
        url = self._url
        return Driver(
            host=address[0],
            port=address[1],
            unix_socket=url.options.socket,
            user=url.user or None,
            password=url.password.encode(),  # the driver would take latin-1
            database=url.name,
            charset="utf8mb4",
            client_flag=CLIENT_FLAGS,
            connect_timeout=url.options.connect_timeout,
            autocommit=None,  # SET_UP says it, in one round trip with the rest
            local_infile=False,
            program_name="minihttp",
            ssl=self._tls,
        )

    def _refused(self, error: driver_errors.Error, address: Address) -> Unavailable:
        code, text = code_and_text(error)
        cause = error.__cause__
        if isinstance(cause, OSError):
            text = cause.strerror or str(cause)
        where = self._named(host_and_port(address))
        return mysql_errors.refused(code, text, where, self._url.user, self._url.name)

    async def stop_query(self, session: MySQLSession) -> None:
        """End what an abandoned session still runs on the server; it would go on there, and hold its locks.

        Behind a proxy a second connection may reach another server, where the same number is somebody else's: so the
        server must be the same one, and not have begun to count anew.
        """
        async with self._side:
            driver = self._driver(session.address)
            try:
                await driver.connect()
                host, port, number = await identity(driver)
                if (host, port) == session.identity[:2] and number > session.identity[2]:
                    await driver.query(f"KILL {session.identity[2]}")
            finally:
                driver.close()


class MySQLSession(Session):
    """One connection; its prepared statements live and die with it."""

    engine: Engine = "mysql"

    def __init__(
        self, driver: Any, connector: MySQLConnector, address: Address, identity: tuple[str, int, int],
        statement_cache: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.address = address
        self.origin = host_and_port(address)
        self.identity = identity
        self._driver = driver  # typed as Any: its stubs leave most of it untyped
        self._transport: asyncio.Transport = driver._transport
        self._connector = connector
        self._limit = statement_cache
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._runs_on = False
        self._cursor = driver.cursor(QuietCursor)

    @property
    def is_open(self) -> bool:
        return not self._driver._stream_broken

    @property
    def in_transaction(self) -> bool:
        return self._driver.get_transaction_status()  # type: ignore[no-any-return]  # a bool; the stubs leave it open

    async def ping(self) -> bool:
        await self._driver.ping(reconnect=False)
        return True

    async def restore(self) -> bool:
        if self._dirty or self._stream is not None or self._doing is not None:
            return False
        await self._driver.rollback()
        return True

    async def close(self) -> None:
        self._stream = self._driver._result = None  # they hold what holds them
        if self._runs_on:
            await self._connector.stop_query(self)
        await self._driver.ensure_closed()

    def abort(self) -> None:
        # The server goes on with what it was told to do; with a result, until its buffer is full and nobody takes it.
        # Where it was the server or the network that broke off, there may be nobody to tell.
        self._runs_on |= not self.was_lost and (self._stream is not None or self._doing not in (None, "COMMIT"))
        # The driver's own close keeps the socket until a silent peer has taken what is still unsent, which may be a
        # statement that nobody waits for any more.
        self._transport.abort()
        self._driver.close()

    async def begin(self, isolation: Isolation | None, read_only: bool) -> None:
        if isolation is not None:
            await self.run(Statement(f"SET TRANSACTION ISOLATION LEVEL {isolation.upper()}", "START", True))
        await self.command("START TRANSACTION READ ONLY" if read_only else "START TRANSACTION")

    # ---- statements

    async def _run(self, statement: Statement, values: Values) -> Answer:
        text, prepared, doing = statement.text, self._prepared, "PREPARE"
        try:
            if text in prepared:
                prepared.move_to_end(text)
            elif self._limit and (values or statement.keyword in PREPARED):
                await self._prepare(text, values)
            doing = statement.keyword
            known, description, columns = prepared.get(text, AS_TEXT)
            if known is None:
                return await self._run_text(text, values)
            # Not `execute`: this is what its cursors call, and cheaper for rows whose columns it has seen before.
            cursor, driver = self._cursor, self._driver
            if await known._execute_cursor(values, cursor):
                if cursor.description is not description:  # the same object until the table is changed
                    columns = columns_of(cursor.description)
                    prepared[text] = known, cursor.description, columns
                rows, cursor._rows = cursor._rows, None  # an idle connection keeps no answer
                return columns, rows, cursor.rowcount, None
            result, driver._result = driver._result, None
            return answer(columns_of(result.description), result.rows, result.affected_rows, result.insert_id)
        except BaseException as error:
            if isinstance(error, driver_errors.Error) and self.in_transaction and not statement.is_clean:
                await self._run(Statement("DO 0", "DO", True), ())  # tells whether it committed before it failed
            self.explain(error, doing)
            raise

    async def _prepare(self, text: str, values: Values) -> None:
        """Prepare the statement on this connection, or remember that it goes as text."""
        cache = self._prepared
        if len(values) > 65_535:  # they are counted in two bytes
            raise QueryError(f"{len(values):,} values, and MySQL takes 65,535 in one statement: split the list")
        try:
            # Only the compiler's own marks and its doubled % are in the text: see `sql.Compiled.bind`.
            marked = text % (("?",) * len(values)) if values else text
            cache[text] = await self._driver.prepare(marked), None, ()
        except driver_errors.Error as error:
            if code_and_text(error)[0] not in UNPREPARABLE:
                raise
            cache[text] = AS_TEXT
        if len(cache) > self._limit and (oldest := cache.popitem(last=False)[1][0]) is not None:
            await oldest.close()

    async def _run_text(self, text: str, values: Values) -> Answer:
        cursor: Any = self._driver.cursor(QuietCursor)
        await cursor.execute(self._as_text(text, values))
        found = answer(columns_of(cursor.description), await cursor.fetchall(), cursor.rowcount, cursor.lastrowid)
        while await cursor.nextset():  # of a procedure; the first result counts
            pass
        self._driver._result = None
        return found

    def _as_text(self, text: str, values: Values) -> str:
        return text % tuple(map(self._literal, values)) if values else text

    def _literal(self, value: Any) -> str:
        # The driver escapes bytes with backslashes even where the session's mode gives them no meaning.
        return f"x'{value.hex()}'" if isinstance(value, bytes) else str(self._driver.literal(value))

    def explain(self, error: BaseException, keyword: str) -> None:
        """Raise what a fault of the driver means; the connection is closed unless the server itself answered.

        Returns where the error itself is to go on: raised from here, its traceback and it would hold each other, and
        the statement's values with them.
        """
        if isinstance(error, DatabaseError):
            return
        if isinstance(error, driver_errors.Error):
            code, text = code_and_text(error)
            if mysql_errors.is_lost(code):
                self.was_lost = True
                self.abort()
            # An error carries no status: whether there is a transaction is known from before.
            raise mysql_errors.translate(code, text, keyword=keyword, in_transaction=self.in_transaction) from error
        self.abort()
        if isinstance(error, Exception):
            raise QueryError(f"the driver cannot send or read this: {type(error).__name__}") from error

    # ---- streams

    async def _open_stream(self, statement: Statement, values: Values) -> Stream:
        try:
            cursor: Any = self._driver.cursor(QuietStream)
            await cursor.execute(await self._streamable(statement.text, values))
            return MySQLStream(self, cursor, statement.keyword)
        except BaseException as error:
            self.explain(error, statement.keyword)
            raise

    def read_piecemeal(self) -> Piecemeal:
        """For a stream: read no more of it than somebody waits for."""
        return Piecemeal(self._transport, self._driver._proto)

    async def _streamable(self, text: str, values: Values) -> str:
        """Text to stream. The driver streams text only, so values go ahead, bound, into variables of the session."""
        if not values or not self._limit:
            return self._as_text(text, values)
        names = [f"@minihttp_{number}" for number in range(len(values))]
        await self._run(Statement(f"SET {' = %s, '.join(names)} = %s", "SELECT", True), values)
        marked = self._literal(text % (("?",) * len(values)))
        await self._run(Statement(f"PREPARE minihttp FROM {marked}", "PREPARE", True), ())
        return f"EXECUTE minihttp USING {', '.join(names)}"


class MySQLStream(Stream):
    """A result read piece by piece, without the driver's `async with`: its end would hide a cancellation."""

    def __init__(self, session: MySQLSession, cursor: SSCursor, keyword: str) -> None:
        self._session = session
        self._cursor = cursor
        self._keyword = keyword
        self._flow = session.read_piecemeal()
        self.columns = columns_of(cursor.description)

    async def fetch(self) -> Sequence[Any]:
        try:
            rows = await self._cursor.fetchmany(ROWS_AT_ONCE) if self.columns else ()
        except BaseException as error:
            self._session.explain(error, self._keyword)
            raise
        if not rows:
            self._flow.over()
        return rows

    async def discard(self) -> None:
        while await self.fetch():
            pass


def code_and_text(error: driver_errors.Error) -> tuple[int, str]:
    """The number and the words; 0 for what the driver itself complains about, such as bytes that are not MySQL."""
    if isinstance(error, driver_errors.InterfaceError):  # raised before anything is written
        return mysql_errors.NOT_SENT, str(error.args[-1])
    if len(error.args) > 1 and isinstance(error.args[0], int):
        return error.args[0], str(error.args[1])
    return 0, str(error)


async def rows_of(driver: Any, text: str) -> Sequence[Sequence[Any]]:
    cursor = driver.cursor(QuietCursor)
    await cursor.execute(text)
    return list(await cursor.fetchall())


async def identity(driver: Any) -> tuple[str, int, int]:
    """Which server this is, and the number it gave to the connection."""
    [(host, port, number)] = await rows_of(driver, "SELECT @@hostname, @@port, CONNECTION_ID()")
    return str(host), int(port), int(number)


async def why_not_to_write(driver: Any) -> str:
    """What keeps this server from taking a change, or "". SHOW works everywhere, also on a node without quorum."""
    variables = await rows_of(driver, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'wsrep_on')")
    status = await rows_of(driver, "SHOW GLOBAL STATUS LIKE 'wsrep_ready'")
    return obstacle({str(name): str(value) for name, value in [*variables, *status]})

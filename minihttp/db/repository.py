"""Objects of a dataclass in a table: found, counted, added, changed and deleted without writing SQL.

Owns: `Repository`, and what each of its methods promises.
Must not know: drivers and connections, the text of its statements (`statements`), the types of columns (`mapping`), how
many rows go at once (`batches`).
Invariant: the same call has the same outcome on MySQL and SQLite. Trade-off: one table, and conditions joined by AND;
anything further is SQL, said aloud through `db.all`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from .batches import add_batch, cut
from .errors import DataError, IntegrityError, NotFound, QueryError, StaleVersion, UsageError
from .executor import Executor, Params
from .mapping import Mapper
from .rows import row_values
from .statements import SECOND_ROW, WITHOUT_LIMIT, Statements
from .tables import TableCheck
from .values import MYSQL_TYPES, SQLITE_TYPES, to_driver

__all__ = ["Repository"]

T = TypeVar("T")


class Repository(Generic[T]):
    """The rows of one table as objects: `users = Repository(User, table="user", db=db)`.

    `User` is a dataclass whose fields are the columns, and `key` the field that identifies a row. Filters are given by
    name and joined by AND: `city="北京"` is equality, None is IS NULL, a list is IN, and a suffix is another operator:
    `age__gte=18`, `name__like="A%"` (`ne`, `gt`, `gte`, `lt`, `lte`, `like`; `ne` takes None and lists too). LIKE is
    SQL's own, with `\\` before a literal `%` or `_`; whether it minds upper and lower case is the engine's choice.

    A value must be of its field's type: DataError otherwise, before the database is asked. A Decimal on SQLite is
    compared by its first 15 digits; an aware datetime is stored, and read back, as UTC without a zone.

    With `version="version"`, an int field that counts the changes of its row, nobody overwrites what somebody else has
    written since: `save` and `update` then want the version that was read, and raise StaleVersion (409).

    The first use asks the database for the table's columns, once. It raises UsageError that names each field without a
    column, and each column without a field unless it has a DEFAULT or the like; with `partial=True` the class may lack
    any. Raises UsageError at once for a class that cannot be a row, or a table name that is not plain.
    """

    def __init__(
        self,
        model: type[T],
        *,
        table: str,
        db: Executor,
        key: str = "id",
        version: str | None = None,
        partial: bool = False,
    ) -> None:
        self._mapper = Mapper(model, key)
        self._statements = Statements(self._mapper, table, db.engine, version)
        self._check = TableCheck(self._mapper, table, partial)
        self._key = self._mapper.fields[key]
        self._types = MYSQL_TYPES if db.engine == "mysql" else SQLITE_TYPES
        self._db = db

    def __repr__(self) -> str:
        return f"Repository({self._mapper.model.__name__}, table={self._statements.table})"

    def on(self, tx: Executor) -> Repository[T]:
        """The same repository bound to a transaction: `await users.on(tx).add(user)`."""
        bound: Repository[T] = object.__new__(type(self))
        bound.__dict__ = {**self.__dict__, "_db": tx}
        return bound

    # --- reading ---------------------------------------------------------------------------------------------------

    async def get(self, id: Any, /) -> T:
        """The object with this id: `await users.get(7)`. Raises NotFound, and MultipleRows for a key that is no key."""
        if not self._check.is_done:
            await self._check.run(self._db)
        try:
            row = await self._db.one(self._statements.get, {"id": self._id(id)})
        except NotFound:
            raise self._missing() from None
        return self._mapper.make(row_values(row))

    async def find(
        self,
        *,
        order_by: str | Sequence[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        after: T | Any = None,
        **filters: Any,
    ) -> list[T]:
        """The objects that pass all filters: `await users.find(city="北京", order_by="-age", limit=20)`.

        `order_by` is a field name or a tuple of them, descending with a leading `-`; equal rows are sorted by id in the
        last direction, so that pages do not overlap. `after=page[-1]` finds the page behind that object: however deep,
        as fast as the first, and nothing is missed or repeated when rows come and go between. Where the object is not
        at hand, a tuple of its values of `order_by` and id does.

        Raises QueryError for an unknown field, a negative limit or offset, and an `after` that does not fit the order.
        """
        where, params = self._statements.filters(filters)
        order = self._statements.order(order_by)
        db = await self._ready()
        forms: tuple[str, ...] = ()
        if after is not None:
            forms, last = self._statements.after(order, after, self._check.never_null)
            params |= last
        paged = limit is not None or offset != 0
        if paged:
            params["limit"] = _whole("limit", WITHOUT_LIMIT if limit is None else limit)
            params["offset"] = _whole("offset", offset)
        return self._mapper.load(await db.all(self._statements.select(where, order, paged, forms), params))

    async def all(self, sql: str, params: Params = None, /, **named: Any) -> list[T]:
        """The objects that SQL of your own finds, such as joins: `await users.all("SELECT user.* FROM ...", age=30)`.

        The result needs a column for each field, in any order, and may have more. Raises QueryError for a missing one.
        """
        return self._mapper.pick(await self._db.all(sql, params, **named))

    async def count(self, **filters: Any) -> int:
        """How many rows pass all filters: `await users.count(age__gte=18)`."""
        where, params = self._statements.filters(filters)
        return int(await (await self._ready()).scalar(self._statements.count(where), params))

    async def exists(self, **filters: Any) -> bool:
        """Whether any row passes all filters: `await users.exists(name="Ann")`."""
        where, params = self._statements.filters(filters)
        return bool(await (await self._ready()).scalar(self._statements.exists(where), params))

    # --- writing ---------------------------------------------------------------------------------------------------

    async def add(self, record: T) -> T:
        """Insert the object and return it with its id, which the database gives where it is None or 0.

        A frozen dataclass comes back as a copy. Raises IntegrityError where a constraint refuses it.
        """
        return await self._insert(self._statements.insert(1), record)

    async def add_many(self, records: Iterable[T]) -> list[T]:
        """Insert all objects or none, in batches and one transaction; returns them with their ids, in order."""
        has_key, key = self._mapper.has_key, self._mapper.key
        batches = cut([(each, self._values(each), has_key(each)) for each in records], len(self._mapper.names))
        db = await self._ready()
        if len(batches) == 1:  # one statement is a transaction by itself
            ids = [await add_batch(db, self._statements, batches[0])]
        elif batches:
            async with db.transaction() as tx:
                ids = [await add_batch(tx, self._statements, batch) for batch in batches]
        else:
            ids = []
        # Only now: objects of a transaction that failed keep no ids of rows that are not there.
        return [
            record if brings_id else self._mapper.with_field(record, key, id)
            for batch, batch_ids in zip(batches, ids, strict=True)
            for (record, _, brings_id), id in zip(batch, batch_ids, strict=True)
        ]

    async def update(self, id: Any, /, **changes: Any) -> None:
        """Change the named fields of one row: `await users.update(7, age=30)`.

        Values that are there already are fine. With a version, `version=3` names the one that was read, and the row
        gets the next. Raises NotFound for a missing id, StaleVersion, QueryError for an unknown field and for the id.
        """
        if self._mapper.key in changes:
            raise QueryError(f"{self._mapper.key!r} identifies the row and cannot be changed")
        await self._change(id, {name: self._mapper.field(name).encode(value) for name, value in changes.items()})

    async def save(self, record: T) -> T:
        """Write all fields of an object that was read before; returns it, with the next version where there is one.

        A frozen dataclass comes back as a copy. Raises NotFound, StaleVersion.
        """
        values = dict(zip(self._mapper.names, self._values(record), strict=True))
        await self._change(values.pop(self._mapper.key), values)
        version = self._statements.version
        return record if version is None else self._mapper.with_field(record, version, getattr(record, version) + 1)

    async def delete(self, id: Any, /, *, version: int | None = None) -> None:
        """Delete one row, and only at this version if one is given. Raises NotFound, StaleVersion."""
        sql, params = self._statements.delete, {"id": self._id(id)}
        if version is not None:
            if not self._statements.guard:
                raise UsageError("this repository has no version: Repository(..., version=...) names its field")
            sql, params = sql + self._statements.guard, {**params, "version": version}
        result = await (await self._ready()).execute(sql, params)
        if not result.rowcount:
            await self._explain(params)

    async def upsert(self, record: T) -> T:
        """Insert the object, or change the row that has its id; returns it with its id.

        Raises IntegrityError where another unique key belongs to another row: that row is not touched. Raises
        UsageError where the repository has a version: a row changed since would be overwritten.
        """
        if self._statements.version:
            raise UsageError("upsert asks for no version: use add for a new row, and save for one that was read")
        if not self._mapper.has_key(record):
            return await self.add(record)
        try:
            return await self._insert(self._statements.upsert(), record)
        except QueryError as error:
            if error.code != SECOND_ROW:
                raise
            raise IntegrityError("there is another row with one of these values (unique)", code=error.code) from error

    # --- below -----------------------------------------------------------------------------------------------------

    async def _ready(self) -> Executor:
        """Where statements run, once the table is known to fit."""
        if not self._check.is_done:
            await self._check.run(self._db)
        return self._db

    def _id(self, value: Any) -> Any:
        """The id as a parameter. One that no row can have is not found, rather than an error of the driver."""
        if value is None:
            raise self._missing()
        self._key.check(value)
        try:
            return to_driver(self._types, self._key.type.encode(value))
        except ValueError:
            raise self._missing() from None

    async def _change(self, id: Any, changes: dict[str, Any]) -> None:
        """Write encoded values to one row, and where there is a version, only to the one that was read."""
        where, version = {"id": self._id(id)}, self._statements.version
        if version is not None:
            if changes.get(version) is None:
                raise QueryError(
                    f"pass {version}= as it was read: it keeps you from overwriting what others wrote since"
                )
            where["version"] = changes.pop(version)
        db = await self._ready()
        if changes or version is not None:
            params = {f"p{place}": value for place, value in enumerate(changes.values())}
            result = await db.execute(self._statements.update(tuple(changes)), {**params, **where})
            if result.rowcount:
                return
        await self._explain(where)

    async def _explain(self, where: dict[str, Any]) -> None:
        """Why no row was touched; it is fine where MySQL counts only rows in which a value differed."""
        if not await self._db.all(self._statements.get, {"id": where["id"]}):
            raise self._missing()
        if "version" in where:
            raise StaleVersion(f"this {self._mapper.model.__name__} was changed since it was read: read it again")

    def _missing(self) -> NotFound:
        return NotFound(f"there is no {self._mapper.model.__name__} with this {self._mapper.key}")

    def _values(self, record: T) -> list[Any]:
        if not isinstance(record, self._mapper.model):
            raise QueryError(f"this is a repository of {self._mapper.model.__name__}, not of {type(record).__name__}")
        values = self._mapper.dump(record, self._mapper.names)
        if not self._mapper.has_key(record):
            if self._mapper.fields[self._mapper.key].type.label != "int":
                raise DataError(f"field {self._mapper.key!r} must be given: the database gives only integers")
            values[self._mapper.names.index(self._mapper.key)] = None
        return values

    async def _insert(self, sql: str, record: T) -> T:
        values = self._values(record)
        result = await (await self._ready()).execute(sql, {f"p{place}": value for place, value in enumerate(values)})
        return (
            record
            if self._mapper.has_key(record)
            else self._mapper.with_field(record, self._mapper.key, result.last_id)
        )


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise QueryError(f"{name} must be an integer from 0, not {value!r}")
    return value

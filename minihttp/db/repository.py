"""Objects of a dataclass in a table: found, counted, added, changed and deleted without writing SQL.

Owns: `Repository`, what each of its methods promises, and the sizes of batches.
Must not know: drivers and connections, the text of its statements (`statements`), the types of columns (`mapping`).
Invariant: the same call has the same outcome on MySQL and SQLite. Trade-off: one table, and conditions joined by AND;
anything further is SQL, said aloud through `db.all`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Generic, TypeVar

from .errors import DataError, IntegrityError, NotFound, QueryError
from .executor import Executor
from .mapping import Mapper
from .statements import SECOND_ROW, WITHOUT_LIMIT, Statements
from .values import MYSQL_TYPES, SQLITE_TYPES, to_driver

__all__ = ["Repository"]

T = TypeVar("T")

MAX_VARIABLES = 32_766  # SQLite's limit for one statement; MySQL's is 65,535
BATCH_ROWS = 256  # beyond this a longer statement saves nothing
BATCH_BYTES = 1 << 20  # far below every server's max_allowed_packet


class Repository(Generic[T]):
    """The rows of one table as objects: `users = Repository(User, table="user", db=db)`.

    `User` is a dataclass whose fields are the columns, and `key` the field that identifies a row. Filters are given by
    name and joined by AND: `city="北京"` is equality, None is IS NULL, a list is IN, and a suffix is another operator:
    `age__gte=18`, `name__like="A%"` (`ne`, `gt`, `gte`, `lt`, `lte`, `like`; `ne` takes None and lists too). LIKE is
    SQL's own, with `\\` before a literal `%` or `_`; whether it minds upper and lower case is the engine's choice.

    A value must be of its field's type: DataError otherwise, before the database is asked. A Decimal on SQLite is
    compared by its first 15 digits; an aware datetime is stored, and read back, as UTC without a zone.

    Raises UsageError for a class that cannot be a row, or a table name that is not plain.
    """

    def __init__(self, model: type[T], *, table: str, db: Executor, key: str = "id") -> None:
        self._mapper = Mapper(model, key)
        self._statements = Statements(self._mapper, table, db.engine)
        self._db = db

    def __repr__(self) -> str:
        return f"Repository({self._mapper.model.__name__}, table={self._statements.table})"

    def on(self, tx: Executor) -> Repository[T]:
        """The same repository bound to a transaction: `await users.on(tx).add(user)`."""
        bound: Repository[T] = object.__new__(type(self))
        bound._mapper = self._mapper
        bound._statements = self._statements
        bound._db = tx
        return bound

    # --- reading ---------------------------------------------------------------------------------------------------

    async def get(self, id: Any, /) -> T:
        """The object with this id: `await users.get(7)`. Raises NotFound."""
        rows = await self._db.all(self._statements.get, {"id": self._id(id)})
        if not rows:
            raise self._missing()
        return self._mapper.load(rows)[0]

    async def find(
        self,
        *,
        order_by: str | Sequence[str] | None = None,
        limit: int | None = None,
        offset: int = 0,
        **filters: Any,
    ) -> list[T]:
        """The objects that pass all filters: `await users.find(city="北京", order_by="-age", limit=20)`.

        `order_by` is a field name or a tuple of them, descending with a leading `-`; equal rows are sorted by id, so
        that pages do not overlap. Raises QueryError for an unknown field, and a negative limit or offset.
        """
        where, params = self._statements.filters(filters)
        order = self._statements.order(order_by)
        paged = limit is not None or offset != 0
        if paged:
            params["limit"] = _whole("limit", WITHOUT_LIMIT if limit is None else limit)
            params["offset"] = _whole("offset", offset)
        return self._mapper.load(await self._db.all(self._statements.select(where, order, paged), params))

    async def count(self, **filters: Any) -> int:
        """How many rows pass all filters: `await users.count(age__gte=18)`."""
        where, params = self._statements.filters(filters)
        return int(await self._db.scalar(self._statements.count(where), params))

    async def exists(self, **filters: Any) -> bool:
        """Whether any row passes all filters: `await users.exists(name="Ann")`."""
        where, params = self._statements.filters(filters)
        return bool(await self._db.scalar(self._statements.exists(where), params))

    # --- writing ---------------------------------------------------------------------------------------------------

    async def add(self, record: T) -> T:
        """Insert the object and return it with its id, which the database gives where it is None or 0.

        A frozen dataclass comes back as a copy. Raises IntegrityError where a constraint refuses it.
        """
        return await self._insert(self._statements.insert(1), record)

    async def add_many(self, records: Iterable[T]) -> list[T]:
        """Insert all objects or none, in batches and one transaction; returns them with their ids, in order."""
        batches = self._batches(records)
        if len(batches) == 1:  # one statement is a transaction by itself
            ids = [await self._add_batch(self._db, batches[0])]
        elif batches:
            async with self._db.transaction() as tx:
                ids = [await self._add_batch(tx, batch) for batch in batches]
        else:
            ids = []
        # Only now: objects of a transaction that failed keep no ids of rows that are not there.
        return [
            record if self._mapper.has_key(record) else self._mapper.with_key(record, id)
            for batch, batch_ids in zip(batches, ids, strict=True)
            for (record, _), id in zip(batch, batch_ids, strict=True)
        ]

    async def update(self, id: Any, /, **changes: Any) -> None:
        """Change the named fields of one row: `await users.update(7, age=30)`.

        Values that are there already are fine. Raises NotFound for a missing id, QueryError for an unknown field and
        for the id itself.
        """
        fields = [self._mapper.field(name) for name in changes]
        if self._mapper.key in changes:
            raise QueryError(f"{self._mapper.key!r} identifies the row and cannot be changed")
        params = {f"p{place}": field.encode(changes[field.name]) for place, field in enumerate(fields)}
        key = self._id(id)
        if changes:
            result = await self._db.execute(self._statements.update(tuple(changes)), {**params, "id": key})
            if result.rowcount:
                return
        # MySQL may count a row as changed only where a value differs.
        if not await self.exists(**{self._mapper.key: key}):
            raise self._missing()

    async def delete(self, id: Any, /) -> None:
        """Delete one row. Raises NotFound."""
        result = await self._db.execute(self._statements.delete, {"id": self._id(id)})
        if not result.rowcount:
            raise self._missing()

    async def upsert(self, record: T) -> T:
        """Insert the object, or change the row that has its id; returns it with its id.

        Raises IntegrityError where another unique key belongs to another row: that row is not touched.
        """
        if not self._mapper.has_key(record):
            return await self.add(record)
        try:
            return await self._insert(self._statements.upsert(), record)
        except QueryError as error:
            if error.code != SECOND_ROW:
                raise
            raise IntegrityError("there is another row with one of these values (unique)", code=error.code) from error

    # --- below -----------------------------------------------------------------------------------------------------

    def _id(self, value: Any) -> Any:
        """The id as a parameter. One that no row can have is not found, rather than an error of the driver."""
        encoded = self._mapper.fields[self._mapper.key].encode(value)
        try:
            to_driver(MYSQL_TYPES if self._db.engine == "mysql" else SQLITE_TYPES, encoded)
        except ValueError:
            raise self._missing() from None
        return encoded

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
        result = await self._db.execute(sql, {f"p{place}": value for place, value in enumerate(values)})
        return record if self._mapper.has_key(record) else self._mapper.with_key(record, result.last_id)

    def _batches(self, records: Iterable[T]) -> list[list[tuple[T, list[Any]]]]:
        """Cut into batches whose sizes are powers of two, so that few statements serve all lengths.

        Those with and without an id do not mix: only then the ids that the database gives are consecutive.
        """
        most = min(BATCH_ROWS, MAX_VARIABLES // len(self._mapper.names))
        batches = []
        dumped = [(record, self._values(record)) for record in records]
        for _, group in groupby(dumped, lambda pair: self._mapper.has_key(pair[0])):
            rows = list(group)
            start = 0
            while start < len(rows):
                fitting = _fitting(rows[start : start + most])
                size = 1 << (fitting.bit_length() - 1)
                batches.append(rows[start : start + size])
                start += size
        return batches

    async def _add_batch(self, db: Executor, batch: Sequence[tuple[T, list[Any]]]) -> Sequence[int]:
        """Insert with one statement; the ids that the database gave, or would have given."""
        flat = [value for _, values in batch for value in values]
        params = {f"p{place}": value for place, value in enumerate(flat)}
        last_id = (await db.execute(self._statements.insert(len(batch)), params)).last_id or 0
        if db.engine == "sqlite":  # tells the last of several ids, MySQL the first
            return range(last_id - len(batch) + 1, last_id + 1)
        # On a MySQL cluster every node has its own ids, which then are not one apart.
        alone = len(batch) == 1 or self._mapper.has_key(batch[0][0])
        step = 1 if alone else int(await db.scalar("SELECT @@auto_increment_increment"))
        return range(last_id, last_id + step * len(batch), step)


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise QueryError(f"{name} must be an integer from 0, not {value!r}")
    return value


def _fitting(rows: Sequence[tuple[Any, Sequence[Any]]]) -> int:
    """How many of the rows stay below BATCH_BYTES together; at least one."""
    total = 0
    for count, (_, values) in enumerate(rows):
        total += sum(len(value) for value in values if isinstance(value, str | bytes))
        if total > BATCH_BYTES and count:
            return count
    return len(rows)

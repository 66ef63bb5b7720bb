"""The store: desired and observed state in SQL, read and written in short transactions.

A transaction is a plain function run in a thread: nothing can be awaited inside it, so no network call ever holds it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from anyio import CapacityLimiter, to_thread
from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, Table, create_engine, event, func, inspect, select
from sqlalchemy.exc import IntegrityError, OperationalError

from modelport.core.errors import (
    Aborted,
    AlreadyExists,
    InvalidArgument,
    ModelNotFound,
    NotFound,
    OperationNotFound,
    Unavailable,
    VersionNotFound,
)
from modelport.core.names import ModelName, OperationName, VersionName
from modelport.core.resources import Model, Operation, Version
from modelport.store import tables

T = TypeVar("T")
R = TypeVar("R", Model, Version, Operation)
Name = ModelName | VersionName | OperationName

_TABLES: dict[type[Any], Table] = {Model: tables.models, Version: tables.versions, Operation: tables.operations}
_NOT_FOUND: dict[type[Any], Callable[[object], NotFound]] = {
    Model: ModelNotFound,
    Version: VersionNotFound,
    Operation: OperationNotFound,
}
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in _TABLES}
_SCAN = 200
# The newest migration; a database that stands there needs none.
SCHEMA = "0001"


@dataclass(frozen=True)
class Page(Generic[R]):
    """One page of a list; an empty token means that there are no more."""

    items: tuple[R, ...]
    next_page_token: str = ""


class Tx:
    """One transaction. No clock and no randomness: times and ids are passed in with the resources."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, kind: type[R], name: Name) -> R:
        """Return a resource; raise the NotFound of its kind."""
        found = self.find(kind, name)
        if found is None:
            raise _NOT_FOUND[kind](name)
        return found

    def find(self, kind: type[R], name: Name) -> R | None:
        """Return a resource, or None."""
        table = _TABLES[kind]
        body = self._connection.scalar(select(table.c.body).where(table.c.name == str(name)))
        return None if body is None else _parse(kind, body)

    def find_each(self, kind: type[R], names: Iterable[Name]) -> dict[str, R]:
        """Return those of the named resources that exist, by full name, in one query."""
        table = _TABLES[kind]
        rows = self._connection.execute(
            select(table.c.name, table.c.body).where(table.c.name.in_({str(name) for name in names}))
        )
        return {name: _parse(kind, body) for name, body in rows}

    def list(
        self,
        kind: type[R],
        parent: str,
        *,
        page_size: int,
        page_token: str = "",
        where: Callable[[R], bool] | None = None,
    ) -> Page[R]:
        """Return a page of the resources below `parent`, ordered by name.

        `where` is applied row by row: a filter that matches little reads on until the page is full.
        """
        items: list[R] = []
        last = _decode_token(page_token, parent)
        table = _TABLES[kind]
        while True:
            rows = self._connection.execute(
                select(table.c.name, table.c.body)
                .where(table.c.parent == parent, table.c.name > last)
                .order_by(table.c.name)
                .limit(page_size + 1 if where is None else _SCAN)
            ).all()
            for name, body in rows:
                resource = _parse(kind, body)
                if where is not None and not where(resource):
                    last = name
                    continue
                if len(items) == page_size:
                    return Page(tuple(items), _encode_token(last))
                items.append(resource)
                last = name
            if where is None or len(rows) < _SCAN:
                return Page(tuple(items))

    def count(self, kind: type[R], parent: str) -> int:
        """Return how many resources there are below `parent`."""
        table = _TABLES[kind]
        return self._connection.scalar(select(func.count()).select_from(table).where(table.c.parent == parent)) or 0

    def all(self, kind: type[R]) -> tuple[R, ...]:
        """Return every resource of a kind, ordered by name."""
        table = _TABLES[kind]
        rows = self._connection.scalars(select(table.c.body).order_by(table.c.name))
        return tuple(_parse(kind, body) for body in rows)

    def running_operations(self, target: Name | None = None) -> tuple[Operation, ...]:
        """Return the operations that are not done, of one resource or of all."""
        table = tables.operations
        query = select(table.c.body).where(table.c.done.is_(False)).order_by(table.c.name)
        if target is not None:
            query = query.where(table.c.target == str(target))
        return tuple(_parse(Operation, body) for body in self._connection.scalars(query))

    def insert(self, resource: R) -> R:
        """Add a resource; raise AlreadyExists when its name is taken."""
        table = _TABLES[type(resource)]
        try:
            self._connection.execute(table.insert().values(_row(resource)))
        except IntegrityError as error:
            raise AlreadyExists(f"`{resource.name}` already exists", resource=str(resource.name)) from error
        return resource

    def update(self, resource: R) -> R:
        """Replace a resource that has not changed since it was read; raise Aborted when it has."""
        table = _TABLES[type(resource)]
        updated = replace(resource, revision=resource.revision + 1)
        result = self._connection.execute(
            table.update()
            .where(table.c.name == str(resource.name), table.c.revision == resource.revision)
            .values(_row(updated))
        )
        if result.rowcount != 1:
            raise Aborted(f"`{resource.name}` has changed meanwhile", hint="Read it again, then retry")
        return updated

    def delete(self, kind: type[R], name: Name) -> None:
        """Remove a resource; a missing one is no error."""
        table = _TABLES[kind]
        self._connection.execute(table.delete().where(table.c.name == str(name)))


class Store:
    """SQLite behind `read` and `write`; one writer at a time, readers beside it (WAL)."""

    def __init__(self, database: Path) -> None:
        """Open the database, bringing its schema up to date."""
        database.parent.mkdir(parents=True, exist_ok=True)
        self._engine = _engine(database)
        self._writing = CapacityLimiter(1)
        self._reading = CapacityLimiter(4)
        _migrate(self._engine)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` on a consistent snapshot."""

        def run() -> T:
            with _translating(), self._engine.connect() as connection:
                return fn(Tx(connection))

        return await to_thread.run_sync(run, limiter=self._reading)

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in one transaction: all of it happens, or nothing."""

        def run() -> T:
            with _translating(), self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                result = fn(Tx(connection))
                connection.commit()
                return result

        return await to_thread.run_sync(run, limiter=self._writing)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _parse(kind: type[R], body: str) -> R:
    resource: R = _ADAPTERS[kind].validate_json(body)
    return resource


def _row(resource: Model | Version | Operation) -> dict[str, object]:
    row: dict[str, object] = {
        "name": str(resource.name),
        "parent": resource.name.parent,
        "revision": resource.revision,
        "body": _ADAPTERS[type(resource)].dump_json(resource).decode(),
    }
    if isinstance(resource, Operation):
        row |= {"target": resource.target, "done": resource.done}
    return row


def _engine(database: Path) -> Engine:
    engine = create_engine(f"sqlite:///{database}", pool_size=6)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # Transactions are begun by us (BEGIN IMMEDIATE), not by the driver's guess.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        if inspect(connection).has_table("alembic_version"):
            version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            if version == SCHEMA:
                return
        # Imported when there is something to migrate: it takes as long as the rest of the store together.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        # SQLITE_FULL, SQLITE_BUSY, SQLITE_IOERR and their like: nothing was written.
        name = getattr(error.orig, "sqlite_errorname", "SQLITE_ERROR")
        raise Unavailable(
            f"The database refused the transaction ({name})", hint="Check the disk of the data directory", sqlite=name
        ) from error


def _encode_token(last_name: str) -> str:
    return base64.urlsafe_b64encode(last_name.encode()).decode().rstrip("=")


def _decode_token(token: str, parent: str) -> str:
    if not token:
        return ""
    try:
        name = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        name = ""
    if not name.startswith(f"{parent}/"):
        raise InvalidArgument("`pageToken` is not one that this list returned", hint="Start again without pageToken")
    return name

"""Operations as the API shows them: get, list, cancel. They are closed elsewhere, by the reconciler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from modelport.control.filters import parse_filter
from modelport.core.names import ModelName, OperationName, VersionName, create_operation_id, require_project
from modelport.core.resources import Model, Operation, OperationType, Version
from modelport.store.store import Store, Tx

_FIELDS: dict[str, Callable[[Operation], str | None]] = {
    "name": lambda operation: str(operation.name),
    "done": lambda operation: str(operation.done).lower(),
    "metadata.operationType": lambda operation: operation.type.value,
    "metadata.modelName": lambda operation: str(target_model(operation)),
    "metadata.versionName": lambda operation: operation.target if "/versions/" in operation.target else None,
    "operationType": lambda operation: operation.type.value,
}
_VERBS = {
    OperationType.CREATE_VERSION: "create",
    OperationType.DELETE_VERSION: "delete",
    OperationType.UPDATE_VERSION: "update",
    OperationType.DELETE_MODEL: "delete",
    OperationType.UPDATE_MODEL: "update",
}


@dataclass(frozen=True)
class OperationView:
    """An operation with the resource that it is about, while that exists.

    Attributes:
        version: the version that it is about, if it is about one.
        default: the default version of the model, if the operation is about the model.
    """

    operation: Operation
    model: Model | None = None
    version: Version | None = None
    default: Version | None = None

    @property
    def is_default(self) -> bool:
        """Return whether the version is the one that answers for its model."""
        return (
            self.model is not None
            and self.version is not None
            and self.model.default_version == self.version.name.version
        )


def target_model(operation: Operation) -> ModelName:
    """Return the model that the operation is about."""
    if "/versions/" in operation.target:
        return VersionName.parse(operation.target).model_name
    return ModelName.parse(operation.target)


def view(tx: Tx, operation: Operation) -> OperationView:
    """Return the operation with its resource as it is now."""
    return views(tx, (operation,))[0]


def views(tx: Tx, operations: Sequence[Operation]) -> tuple[OperationView, ...]:
    """Return operations with their resources as they are now, found in two queries however many there are.

    A version of the same name that was created later is another one, and is not shown.
    """
    models = tx.find_each(Model, {target_model(operation) for operation in operations})
    defaults = {default_name(model) for model in models.values() if model.default_version}
    targets = {VersionName.parse(op.target) for op in operations if "/versions/" in op.target}
    versions = tx.find_each(Version, targets | defaults)

    def one(operation: Operation) -> OperationView:
        model = models.get(str(target_model(operation)))
        if "/versions/" not in operation.target:
            default = versions.get(str(default_name(model))) if model is not None else None
            return OperationView(operation, model, default=default)
        version = versions.get(operation.target)
        if version is not None and version.create_time > operation.create_time:
            version = None
        return OperationView(operation, model, version)

    return tuple(map(one, operations))


def default_name(model: Model) -> VersionName:
    """Return the name of the version that answers for a model which has one."""
    return VersionName(model.name.project, model.name.model, model.default_version)


def default_of(tx: Tx, model: Model | None) -> Version | None:
    """Return the version that answers for a model, if there is one."""
    if model is None or not model.default_version:
        return None
    return tx.find(Version, default_name(model))


def start(
    tx: Tx,
    type: OperationType,
    target: ModelName | VersionName,
    *,
    now: datetime,
    generation: int = 0,
    done: bool = False,
) -> Operation:
    """Insert an operation for `target`: running, or already done where nothing has to be reconciled."""
    parts = (target.model, target.version) if isinstance(target, VersionName) else (target.model,)
    epoch_ms = int(now.timestamp() * 1000)
    while True:
        name = OperationName(target.project, create_operation_id(_VERBS[type], *parts, epoch_ms=epoch_ms))
        if tx.find(Operation, name) is None:
            break
        # Two operations in one millisecond: names are unique, times need not be.
        epoch_ms += 1
    return tx.insert(
        Operation(
            name=name,
            type=type,
            target=str(target),
            create_time=now,
            generation=generation,
            start_time=now,
            end_time=now if done else None,
            done=done,
        )
    )


class Operations:
    """Use-cases on operations."""

    def __init__(self, store: Store, now: Callable[[], datetime], notify: Callable[[VersionName], None]) -> None:
        self._store = store
        self._now = now
        self._notify = notify

    async def get(self, name: OperationName) -> OperationView:
        """Return an operation. Raises OperationNotFound."""
        return await self._store.read(lambda tx: view(tx, tx.get(Operation, name)))

    async def list(
        self, project: str, *, page_size: int, page_token: str = "", filter: str = ""
    ) -> tuple[tuple[OperationView, ...], str]:
        """Return a page of a project's operations and the token of the next page."""
        require_project(project)
        where = parse_filter(filter, _FIELDS)

        def read(tx: Tx) -> tuple[tuple[OperationView, ...], str]:
            page = tx.list(Operation, f"projects/{project}", page_size=page_size, page_token=page_token, where=where)
            return views(tx, page.items), page.next_page_token

        return await self._store.read(read)

    async def cancel(self, name: OperationName) -> None:
        """Ask for an end of the operation. Only the creation of a version can be undone; others run to their end."""

        def write(tx: Tx) -> VersionName | None:
            operation = tx.get(Operation, name)
            if operation.done:
                return None
            if not operation.cancel_requested:
                tx.update(replace(operation, cancel_requested=True))
            if operation.type is not OperationType.CREATE_VERSION:
                return None
            version = view(tx, operation).version
            if version is None:
                return None
            if not version.cancelled:
                tx.update(replace(version, cancelled=True))
            return version.name

        if version := await self._store.write(write):
            self._notify(version)

    async def sweep(self, *, ended_before: datetime) -> int:
        """Forget operations that ended before a time; return how many."""

        def write(tx: Tx) -> int:
            old = [op for op in tx.all(Operation) if op.done and op.end_time is not None and op.end_time < ended_before]
            for operation in old:
                tx.delete(Operation, operation.name)
            return len(old)

        return await self._store.write(write)

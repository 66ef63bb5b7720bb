"""Versions: create, get, list, patch, delete, set default. What is wanted is written here, not brought about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from modelport.control.default_version import require_serving, takes_default
from modelport.control.etags import require_etag
from modelport.control.filters import parse_filter
from modelport.control.operations import OperationView, default_of, start, view
from modelport.control.runtime_catalogue import RuntimeCatalogue
from modelport.control.version_changes import changed, parse_changes
from modelport.control.version_rules import VersionDraft, version_from, version_violations
from modelport.core.errors import AlreadyExists, InvalidArgument, VersionBusy, VersionIsDefault
from modelport.core.names import ModelName, VersionName
from modelport.core.resources import Goal, Model, OperationType, Version, VersionState
from modelport.store.store import Store, Tx

_FIELDS: dict[str, Callable[[Version], str | None]] = {
    "name": lambda version: str(version.name),
    "description": lambda version: version.description,
    "state": lambda version: version.state.value,
    "machineType": lambda version: version.spec.machine_type or None,
    "container.image": lambda version: version.spec.container.image or None,
    "framework": lambda version: version.framework or None,
    "runtimeVersion": lambda version: version.spec.runtime.runtime_version if version.spec.runtime else None,
}
_BUSY = (VersionState.CREATING, VersionState.DELETING, VersionState.UPDATING)


@dataclass(frozen=True)
class VersionDetails:
    """A version and whether it answers for its model."""

    version: Version
    is_default: bool


class Versions:
    """Use-cases on versions."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        notify: Callable[[VersionName], None],
        catalogue: RuntimeCatalogue,
    ) -> None:
        self._store = store
        self._now = now
        self._new_id = new_id
        self._notify = notify
        self._catalogue = catalogue

    async def create(self, model_name: ModelName, draft: VersionDraft) -> OperationView:
        """Insert a version that is to serve. Raises InvalidArgument with all violations, ModelNotFound, AlreadyExists.

        It becomes the default when its model has none, or only one that failed.
        """
        if violations := version_violations(draft, model_name, self._catalogue):
            # Both may be true; a missing model is the bigger mistake.
            await self._store.read(lambda tx: tx.get(Model, model_name))
            raise InvalidArgument.listing(violations)

        def write(tx: Tx) -> OperationView:
            model = tx.get(Model, model_name)
            version = version_from(draft, model_name, self._catalogue, uid=self._new_id(), now=self._now())
            if tx.find(Version, version.name) is not None:
                raise AlreadyExists.same_name("version")
            tx.insert(version)
            if takes_default(model, default_of(tx, model)):
                tx.update(replace(model, default_version=version.name.version))
            operation = start(
                tx,
                OperationType.CREATE_VERSION,
                version.name,
                now=version.create_time,
                generation=version.generation,
            )
            return view(tx, operation)

        result = await self._store.write(write)
        self._notify(VersionName(model_name.project, model_name.model, draft.id))
        return result

    async def get(self, name: VersionName) -> VersionDetails:
        """Return a version. Raises VersionNotFound."""
        return await self._store.read(lambda tx: _details(tx, tx.get(Version, name)))

    async def list(
        self, model_name: ModelName, *, page_size: int, page_token: str = "", filter: str = ""
    ) -> tuple[tuple[VersionDetails, ...], str]:
        """Return a page of a model's versions and the token of the next page. Raises ModelNotFound."""
        where = parse_filter(filter, _FIELDS, lambda version: version.labels)

        def read(tx: Tx) -> tuple[tuple[VersionDetails, ...], str]:
            model = tx.get(Model, model_name)
            page = tx.list(Version, str(model_name), page_size=page_size, page_token=page_token, where=where)
            details = (VersionDetails(v, v.name.version == model.default_version) for v in page.items)
            return tuple(details), page.next_page_token

        return await self._store.read(read)

    async def patch(self, name: VersionName, draft: VersionDraft, mask: str, *, etag: str = "") -> OperationView:
        """Change description, labels or the number of nodes.

        Raises:
            InvalidArgument: the mask names something that never changes, or a new value breaks a rule.
            VersionNotFound, Aborted, VersionBusy, VersionNotReady: it cannot be changed as it is now.
        """
        changes = parse_changes(draft, mask)

        def write(tx: Tx) -> tuple[OperationView, bool]:
            version = tx.get(Version, name)
            require_etag(version, etag)
            _require_idle(tx, version)
            updated = changed(version, changes)
            rescaled = updated.generation != version.generation
            tx.update(updated)
            operation = start(
                tx,
                OperationType.UPDATE_VERSION,
                name,
                now=self._now(),
                generation=updated.generation,
                done=not rescaled,
            )
            return view(tx, operation), rescaled

        result, rescaled = await self._store.write(write)
        if rescaled:
            self._notify(name)
        return result

    async def delete(self, name: VersionName) -> OperationView:
        """Ask for the end of a version. Raises VersionNotFound, VersionBusy, VersionIsDefault."""

        def write(tx: Tx) -> OperationView:
            version = tx.get(Version, name)
            model = tx.get(Model, name.model_name)
            _require_idle(tx, version)
            if model.default_version == name.version:
                others = tx.list(
                    Version, name.parent, page_size=1, where=lambda v: v.name != name and v.goal is Goal.SERVE
                )
                if others.items:
                    raise VersionIsDefault(
                        f"Version `{name}` is the default of its model, which has other versions",
                        hint="Make another version the default first, with setDefault",
                        resource=str(name),
                    )
                tx.update(replace(model, default_version=""))
            generation = version.generation + 1
            tx.update(replace(version, goal=Goal.DELETE, generation=generation))
            operation = start(tx, OperationType.DELETE_VERSION, name, now=self._now(), generation=generation)
            return view(tx, operation)

        result = await self._store.write(write)
        self._notify(name)
        return result

    async def set_default(self, name: VersionName) -> VersionDetails:
        """Let a version answer for its model. Raises VersionNotFound, VersionNotReady."""

        def write(tx: Tx) -> VersionDetails:
            version = tx.get(Version, name)
            require_serving(version)
            model = tx.get(Model, name.model_name)
            if model.default_version != name.version:
                tx.update(replace(model, default_version=name.version))
            return VersionDetails(version, is_default=True)

        result = await self._store.write(write)
        self._notify(name)
        return result


def _details(tx: Tx, version: Version) -> VersionDetails:
    model = tx.find(Model, version.name.model_name)
    return VersionDetails(version, model is not None and model.default_version == version.name.version)


def _require_idle(tx: Tx, version: Version) -> None:
    if version.state not in _BUSY:
        return
    running = ", ".join(f"`{operation.name}`" for operation in tx.running_operations(version.name))
    raise VersionBusy(
        f"Version `{version.name}` is {version.state}" + (f": {running} is still running" if running else ""),
        hint="Wait until the operation is done" + (", or cancel it" if version.state is VersionState.CREATING else ""),
        resource=str(version.name),
        state=version.state.value,
    )

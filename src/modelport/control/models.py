"""Models: create, get, list, patch, delete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from modelport.control.default_version import require_serving
from modelport.control.etags import require_etag
from modelport.control.filters import parse_filter
from modelport.control.labels import description_violations, label_violations
from modelport.control.masks import parse_mask
from modelport.control.model_rules import ModelDraft, model_violations
from modelport.control.operations import OperationView, default_name, default_of, start, view
from modelport.control.version_rules import beside
from modelport.core.errors import AlreadyExists, InvalidArgument, ModelHasVersions, Violation
from modelport.core.names import ModelName, VersionName, require_project
from modelport.core.resources import Model, OperationType, Version
from modelport.store.store import Store, Tx

WRITABLE = ("description", "labels", "defaultVersion.name")
_FIELDS: dict[str, Callable[[Model], str | None]] = {
    "name": lambda model: str(model.name),
    "description": lambda model: model.description,
    "defaultVersion.name": lambda model: model.default_version or None,
}


@dataclass(frozen=True)
class ModelView:
    """A model with its default version, if it has one."""

    model: Model
    default: Version | None = None


class Models:
    """Use-cases on models."""

    def __init__(self, store: Store, now: Callable[[], datetime], notify: Callable[[VersionName], None]) -> None:
        self._store = store
        self._now = now
        self._notify = notify

    async def create(self, project: str, draft: ModelDraft) -> ModelView:
        """Insert a model. Raises InvalidArgument with all violations, AlreadyExists."""
        require_project(project)
        if violations := model_violations(draft):
            raise InvalidArgument.listing(violations)
        model = Model(
            name=ModelName(project, draft.id),
            create_time=self._now(),
            description=draft.description,
            labels=draft.labels,
            regions=draft.regions,
            online_prediction_logging=draft.online_prediction_logging,
            online_prediction_console_logging=draft.online_prediction_console_logging,
        )

        def write(tx: Tx) -> ModelView:
            if tx.find(Model, model.name) is not None:
                raise AlreadyExists.same_name("model")
            return ModelView(tx.insert(model))

        return await self._store.write(write)

    async def get(self, name: ModelName) -> ModelView:
        """Return a model. Raises ModelNotFound."""

        def read(tx: Tx) -> ModelView:
            model = tx.get(Model, name)
            return ModelView(model, default_of(tx, model))

        return await self._store.read(read)

    async def list(
        self, project: str, *, page_size: int, page_token: str = "", filter: str = ""
    ) -> tuple[tuple[ModelView, ...], str]:
        """Return a page of a project's models and the token of the next page."""
        require_project(project)
        where = parse_filter(filter, _FIELDS, lambda model: model.labels)

        def read(tx: Tx) -> tuple[tuple[ModelView, ...], str]:
            page = tx.list(Model, f"projects/{project}", page_size=page_size, page_token=page_token, where=where)
            names = [default_name(model) for model in page.items if model.default_version]
            defaults = tx.find_each(Version, names)
            views = tuple(ModelView(model, defaults.get(str(default_name(model)))) for model in page.items)
            return views, page.next_page_token

        return await self._store.read(read)

    async def patch(self, name: ModelName, draft: ModelDraft, mask: str) -> OperationView:
        """Change the fields that the mask names. Raises InvalidArgument, ModelNotFound, Aborted, VersionNotReady."""
        paths = parse_mask(mask, WRITABLE, what="model")
        found: list[Violation] = []
        if "description" in paths:
            found += description_violations(draft.description, "model.description")
        if "labels" in paths:
            found += label_violations(draft.labels, "model.labels")
        default = _sibling(name, draft.default_version) if "defaultVersion.name" in paths else None
        if isinstance(default, Violation):
            found.append(default)
        if violations := beside(draft.unreadable, found):
            raise InvalidArgument.listing(violations)

        def write(tx: Tx) -> OperationView:
            model = tx.get(Model, name)
            require_etag(model, draft.etag)
            if "description" in paths:
                model = replace(model, description=draft.description)
            if "labels" in paths:
                model = replace(model, labels=draft.labels)
            if isinstance(default, VersionName):
                require_serving(tx.get(Version, default))
                model = replace(model, default_version=default.version)
            tx.update(model)
            return view(tx, start(tx, OperationType.UPDATE_MODEL, name, now=self._now(), done=True))

        result = await self._store.write(write)
        if isinstance(default, VersionName):
            self._notify(default)
        return result

    async def delete(self, name: ModelName) -> OperationView:
        """Remove a model without versions. Raises ModelNotFound, ModelHasVersions."""

        def write(tx: Tx) -> OperationView:
            tx.get(Model, name)
            if count := tx.count(Version, str(name)):
                raise ModelHasVersions(
                    f"Model `{name}` has {count} {'version' if count == 1 else 'versions'}; only a model without"
                    " versions can be deleted",
                    hint="Delete its versions first",
                    resource=str(name),
                )
            tx.delete(Model, name)
            return view(tx, start(tx, OperationType.DELETE_MODEL, name, now=self._now(), done=True))

        return await self._store.write(write)


def _sibling(model: ModelName, text: str) -> VersionName | Violation:
    """Return the version of `model` that `text` names, by its bare id or in full."""
    try:
        name = VersionName.parse(text if "/" in text else f"{model}/versions/{text}")
    except InvalidArgument as error:
        return Violation("model.defaultVersion.name", error.message)
    if name.model_name != model:
        return Violation("model.defaultVersion.name", f"`{text[:300]}` is not a version of `{model}`.")
    return name

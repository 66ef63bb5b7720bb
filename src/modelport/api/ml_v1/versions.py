"""The methods of `projects.models.versions`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from modelport.api.ml_v1 import messages
from modelport.api.ml_v1.convert import operation_message, version_draft, version_message
from modelport.api.ml_v1.route import accepts, ml_router, page_size, read_message
from modelport.control.versions import VersionDetails, Versions
from modelport.core.errors import InvalidArgument
from modelport.core.names import ModelName, VersionName


def version_routes(versions: Versions) -> APIRouter:
    """Return the routes of versions."""
    router = ml_router()

    @router.post(
        "/projects/{project}/models/{model}/versions",
        operation_id="ml.projects.models.versions.create",
        openapi_extra=accepts(messages.Version),
    )
    async def create(request: Request, project: str, model: str) -> messages.Operation:
        """Create a version: the container is started, checked and routed while the operation runs."""
        name = _model(project, model)
        parsed = await read_message(request, messages.Version, "version")
        return operation_message(await versions.create(name, version_draft(parsed)))

    @router.get("/projects/{project}/models/{model}/versions", operation_id="ml.projects.models.versions.list")
    async def list_versions(
        project: str,
        model: str,
        size: Annotated[int | None, Query(alias="pageSize", ge=0)] = None,
        token: Annotated[str, Query(alias="pageToken")] = "",
        filter: str = "",
    ) -> messages.ListVersionsResponse:
        """List the versions of a model, in order of their names; `{}` when there are none."""
        found, following = await versions.list(
            _model(project, model), page_size=page_size(size), page_token=token, filter=filter
        )
        return messages.ListVersionsResponse(
            versions=[_message(details) for details in found] or None, next_page_token=following or None
        )

    @router.post(
        "/projects/{project}/models/{model}/versions/{version}:setDefault",
        operation_id="ml.projects.models.versions.setDefault",
        openapi_extra=accepts(messages.SetDefaultVersionRequest),
    )
    async def set_default(request: Request, project: str, model: str, version: str) -> messages.Version:
        """Let a READY version answer for its model."""
        name = _version(project, model, version)
        parsed = await read_message(request, messages.SetDefaultVersionRequest, "request")
        if parsed.unreadable:
            raise InvalidArgument.listing(parsed.unreadable)
        return _message(await versions.set_default(name))

    @router.get("/projects/{project}/models/{model}/versions/{version}", operation_id="ml.projects.models.versions.get")
    async def get(project: str, model: str, version: str) -> messages.Version:
        """Return a version with its state."""
        return _message(await versions.get(_version(project, model, version)))

    @router.patch(
        "/projects/{project}/models/{model}/versions/{version}",
        operation_id="ml.projects.models.versions.patch",
        openapi_extra=accepts(messages.Version),
    )
    async def patch(
        request: Request, project: str, model: str, version: str, mask: Annotated[str, Query(alias="updateMask")] = ""
    ) -> messages.Operation:
        """Change what `updateMask` names: description, labels, `manualScaling.nodes` or `autoScaling.minNodes`."""
        name = _version(project, model, version)
        parsed = await read_message(request, messages.Version, "version")
        etag = parsed.message.etag or ""
        return operation_message(await versions.patch(name, version_draft(parsed), mask, etag=etag))

    @router.delete(
        "/projects/{project}/models/{model}/versions/{version}", operation_id="ml.projects.models.versions.delete"
    )
    async def delete(project: str, model: str, version: str) -> messages.Operation:
        """Delete a version. The default version can be deleted only when it is the last one."""
        return operation_message(await versions.delete(_version(project, model, version)))

    return router


def _message(details: VersionDetails) -> messages.Version:
    return version_message(details.version, is_default=details.is_default)


def _model(project: str, model: str) -> ModelName:
    return ModelName.parse(f"projects/{project}/models/{model}")


def _version(project: str, model: str, version: str) -> VersionName:
    return VersionName.parse(f"projects/{project}/models/{model}/versions/{version}")

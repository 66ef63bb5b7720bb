"""The methods of `projects.models`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from modelport.api.ml_v1 import messages
from modelport.api.ml_v1.convert import model_draft, model_message, operation_message
from modelport.api.ml_v1.route import accepts, ml_router, page_size, read_message
from modelport.control.models import Models
from modelport.core.names import ModelName


def model_routes(models: Models) -> APIRouter:
    """Return the routes of models."""
    router = ml_router()

    @router.post(
        "/projects/{project}/models", operation_id="ml.projects.models.create", openapi_extra=accepts(messages.Model)
    )
    async def create(request: Request, project: str) -> messages.Model:
        """Create a model, which groups versions. The body is the model; only its name is required."""
        parsed = await read_message(request, messages.Model, "model")
        return model_message(await models.create(project, model_draft(parsed)))

    @router.get("/projects/{project}/models", operation_id="ml.projects.models.list")
    async def list_models(
        project: str,
        size: Annotated[int | None, Query(alias="pageSize", ge=0)] = None,
        token: Annotated[str, Query(alias="pageToken")] = "",
        filter: str = "",
    ) -> messages.ListModelsResponse:
        """List the models of a project, in order of their names; `{}` when there are none."""
        found, following = await models.list(project, page_size=page_size(size), page_token=token, filter=filter)
        return messages.ListModelsResponse(
            models=[model_message(view) for view in found] or None, next_page_token=following or None
        )

    @router.get("/projects/{project}/models/{model}", operation_id="ml.projects.models.get")
    async def get(project: str, model: str) -> messages.Model:
        """Return a model with its default version."""
        return model_message(await models.get(_name(project, model)))

    @router.patch(
        "/projects/{project}/models/{model}",
        operation_id="ml.projects.models.patch",
        openapi_extra=accepts(messages.Model),
    )
    async def patch(
        request: Request, project: str, model: str, mask: Annotated[str, Query(alias="updateMask")] = ""
    ) -> messages.Operation:
        """Change what `updateMask` names: `description`, `labels` or `defaultVersion.name`."""
        name = _name(project, model)
        parsed = await read_message(request, messages.Model, "model")
        return operation_message(await models.patch(name, model_draft(parsed), mask))

    @router.delete("/projects/{project}/models/{model}", operation_id="ml.projects.models.delete")
    async def delete(project: str, model: str) -> messages.Operation:
        """Delete a model that has no versions."""
        return operation_message(await models.delete(_name(project, model)))

    return router


def _name(project: str, model: str) -> ModelName:
    return ModelName.parse(f"projects/{project}/models/{model}")

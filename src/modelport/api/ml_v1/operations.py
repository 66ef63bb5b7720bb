"""The methods of `projects.operations`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from modelport.api.body import read_object
from modelport.api.ml_v1 import messages
from modelport.api.ml_v1.convert import operation_message
from modelport.api.ml_v1.route import ml_router, page_size
from modelport.control.operations import Operations
from modelport.core.names import OperationName


def operation_routes(operations: Operations) -> APIRouter:
    """Return the routes of operations."""
    router = ml_router()

    @router.get("/projects/{project}/operations", operation_id="ml.projects.operations.list")
    async def list_operations(
        project: str,
        size: Annotated[int | None, Query(alias="pageSize", ge=0)] = None,
        token: Annotated[str, Query(alias="pageToken")] = "",
        filter: str = "",
    ) -> messages.ListOperationsResponse:
        """List the operations of a project, in order of their names; `{}` when there are none."""
        found, following = await operations.list(project, page_size=page_size(size), page_token=token, filter=filter)
        return messages.ListOperationsResponse(
            operations=[operation_message(view) for view in found] or None, next_page_token=following or None
        )

    @router.post("/projects/{project}/operations/{operation}:cancel", operation_id="ml.projects.operations.cancel")
    async def cancel(request: Request, project: str, operation: str) -> messages.Empty:
        """Ask for the end of an operation. Creating a version can be cancelled; the rest runs to its end."""
        await read_object(request)
        await operations.cancel(_name(project, operation))
        return messages.Empty()

    @router.get("/projects/{project}/operations/{operation}", operation_id="ml.projects.operations.get")
    async def get(project: str, operation: str) -> messages.Operation:
        """Return an operation; it has ended when `done` is true."""
        return operation_message(await operations.get(_name(project, operation)))

    return router


def _name(project: str, operation: str) -> OperationName:
    return OperationName.parse(f"projects/{project}/operations/{operation}")

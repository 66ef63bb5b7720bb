"""The ASGI application: routes, error handlers and the gate around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from modelport import __version__
from modelport.api.errors import on_error, on_http, on_invalid
from modelport.api.gate import Gate
from modelport.api.ml_v1.discovery import discovery_document
from modelport.api.ml_v1.models import model_routes
from modelport.api.ml_v1.operations import operation_routes
from modelport.api.ml_v1.projects import project_routes
from modelport.api.ml_v1.versions import version_routes
from modelport.api.openapi import complete
from modelport.api.platform import platform_routes
from modelport.api.services import Services
from modelport.core.errors import Error, NotFound

_API = "ml"


class Application(FastAPI):
    """FastAPI whose description of itself also has what FastAPI cannot see."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description, made when it is first asked for."""
        if self.openapi_schema is None:
            complete(super().openapi())
        return super().openapi()


def create_app(services: Services, new_id: Callable[[], str]) -> FastAPI:
    """Return the application.

    Args:
        services: what the API stands on.
        new_id: makes the ids by which a failed request is found in the log.
    """
    routers = (
        # The verbs of projects come first: `{model}:predict` must be tried before `{model}`.
        project_routes(services),
        version_routes(services.versions),
        model_routes(services.models),
        operation_routes(services.operations),
        platform_routes(services),
    )
    app = Application(
        title="modelport",
        version=__version__,
        description="Models, versions and operations of ml.v1, and what modelport adds to them.",
        openapi_url="/modelport/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        middleware=[Middleware(Gate, new_id=new_id)],
        exception_handlers={Error: on_error, RequestValidationError: on_invalid},
    )
    for router in routers:
        app.include_router(router)

    @app.get("/$discovery/rest", include_in_schema=False)
    async def discovery(request: Request, version: str = "v1") -> dict[str, object]:
        """Return the discovery document, by which Google's clients build themselves."""
        if version != "v1":
            raise NotFound(f"There is no version `{version[:40]}` of the API", hint="Ask for version=v1")
        return discovery_document(app.openapi(), str(request.base_url))

    @app.get("/discovery/v1/apis/{api}/{version}/rest", include_in_schema=False)
    async def discovery_by_path(request: Request, api: str, version: str) -> dict[str, object]:
        """Return the discovery document, at the address of Google's discovery service."""
        if (api, version) != (_API, "v1"):
            raise NotFound(f"There is no API `{api[:40]}` `{version[:40]}`", hint="Ask for ml/v1")
        return discovery_document(app.openapi(), str(request.base_url))

    app.add_exception_handler(HTTPException, on_http([*app.routes, *(r for router in routers for r in router.routes)]))
    return app

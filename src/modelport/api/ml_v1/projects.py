"""The methods of `projects` itself: getConfig, and the explanation of predictions that the gateway has no route for."""

from __future__ import annotations

from fastapi import APIRouter

from modelport.api.ml_v1 import messages
from modelport.api.ml_v1.route import accepts, ml_router
from modelport.api.services import Services
from modelport.control.unserved import no_default, unserved
from modelport.core.names import ModelName, VersionName, project_number, require_project


def project_routes(services: Services) -> APIRouter:
    """Return the routes of projects. Any valid project id is a project; there is nothing to create."""
    router = ml_router()

    @router.get("/projects/{project}:getConfig", operation_id="ml.projects.getConfig")
    async def get_config(project: str) -> messages.GetConfigResponse:
        """Return the service account of a project, made of its number."""
        require_project(project)
        number = project_number(project)
        return messages.GetConfigResponse(
            service_account=f"service-{number}@cloud-ml.google.com.iam.gserviceaccount.com",
            service_account_project=number,
        )

    @router.get("/projects/{project}/locations", operation_id="ml.projects.locations.list")
    async def list_locations(project: str) -> messages.ListLocationsResponse:
        """List no locations: everything runs where modelport runs."""
        require_project(project)
        return messages.ListLocationsResponse()

    @router.post(
        "/projects/{project}/models/{model}:predict",
        operation_id="ml.projects.predict",
        openapi_extra=accepts(messages.PredictRequest),
    )
    async def predict(project: str, model: str) -> messages.HttpBody:
        """Predict with the default version. The gateway routes this; what comes here has no route."""
        view = await services.models.get(ModelName.parse(f"projects/{project}/models/{model}"))
        raise no_default(view.model) if view.default is None else unserved(view.default)

    @router.post(
        "/projects/{project}/models/{model}/versions/{version}:predict",
        operation_id="ml.projects.predict.version",
        openapi_extra=accepts(messages.PredictRequest),
    )
    async def predict_version(project: str, model: str, version: str) -> messages.HttpBody:
        """Predict with one version. The gateway routes this; what comes here has no route."""
        name = VersionName.parse(f"projects/{project}/models/{model}/versions/{version}")
        raise unserved((await services.versions.get(name)).version)

    return router

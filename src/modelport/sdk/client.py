"""The client: one method for each call of the API, on plain dictionaries as the API writes them (ml.v1 JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from modelport.core.errors import Internal
from modelport.sdk.statuses import error_from_status
from modelport.sdk.transport import Transport

Json = dict[str, Any]

DEFAULT_ENDPOINT = "http://127.0.0.1:8470"
DEFAULT_PROJECT = "demo"


class Client:
    """Calls of one project at one control plane.

    Names may be given as they are written in lists (`iris`, `v1`). Errors are raised as the classes of
    `modelport.core.errors`; `ControlPlaneUnreachable` when nothing answers.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        project: str = DEFAULT_PROJECT,
        *,
        transport: Transport | None = None,
    ) -> None:
        self.project = project
        self._transport = transport or Transport(endpoint)
        self.endpoint = self._transport.endpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # Models

    def create_model(self, model: str, body: Mapping[str, Any] | None = None) -> Json:
        """Create a model and return it."""
        return self._send("POST", self._models(), body={**(body or {}), "name": model})

    def get_model(self, model: str) -> Json:
        """Return a model."""
        return self._send("GET", self._models(model))

    def list_models(self, filter: str = "") -> list[Json]:
        """Return all models of the project."""
        return list(self._pages(self._models(), "models", filter))

    def update_model(self, model: str, body: Mapping[str, Any], *, mask: str) -> Json:
        """Change the fields in `mask` and return the operation."""
        return self._send("PATCH", self._models(model), params={"updateMask": mask}, body=dict(body))

    def delete_model(self, model: str) -> Json:
        """Delete a model without versions and return the operation."""
        return self._send("DELETE", self._models(model))

    # Versions

    def create_version(self, model: str, version: str, body: Mapping[str, Any]) -> Json:
        """Create a version and return the operation that makes it READY."""
        return self._send("POST", self._versions(model), body={**body, "name": version})

    def get_version(self, model: str, version: str) -> Json:
        """Return a version."""
        return self._send("GET", self._versions(model, version))

    def list_versions(self, model: str, filter: str = "") -> list[Json]:
        """Return all versions of a model."""
        return list(self._pages(self._versions(model), "versions", filter))

    def update_version(self, model: str, version: str, body: Mapping[str, Any], *, mask: str) -> Json:
        """Change the fields in `mask` and return the operation."""
        return self._send("PATCH", self._versions(model, version), params={"updateMask": mask}, body=dict(body))

    def set_default_version(self, model: str, version: str) -> Json:
        """Let this version answer for the model, and return it."""
        return self._send("POST", f"{self._versions(model, version)}:setDefault", body={}, idempotent=True)

    def delete_version(self, model: str, version: str) -> Json:
        """Delete a version and return the operation."""
        return self._send("DELETE", self._versions(model, version))

    def inspect_version(self, model: str, version: str) -> Json:
        """Return a version with its conditions and replicas."""
        return self._send("GET", f"/modelport{self._versions(model, version)}:inspect")

    def logs(self, model: str, version: str, *, tail: int = 100, follow: bool = False) -> Iterator[Json]:
        """Yield the last `tail` lines of the version's replicas; with `follow`, go on until the consumer stops."""
        path = f"/modelport{self._versions(model, version)}:logs"
        params = {"tail": str(tail), "follow": "true" if follow else "false"}
        for text in self._transport.lines(path, params=params):
            line = json.loads(text)
            if "error" in line:
                raise error_from_status(line["error"])
            yield line

    # Operations

    def get_operation(self, operation: str) -> Json:
        """Return an operation."""
        return self._send("GET", self._operations(operation))

    def list_operations(self, filter: str = "") -> list[Json]:
        """Return the operations of the project."""
        return list(self._pages(self._operations(), "operations", filter))

    def cancel_operation(self, operation: str) -> None:
        """Ask for an operation to be given up; it ends with the error CANCELLED unless it is done before."""
        self._send("POST", f"{self._operations(operation)}:cancel", body={}, idempotent=True)

    # Predictions and the platform itself

    def predict(self, model: str, body: object, *, version: str = "", timeout_s: float = 120) -> Any:
        """Return the container's answer: parsed JSON, or the text where it answered something else.

        Args:
            model: the model.
            body: the request, such as `{"instances": [...]}`; text and bytes are sent as they are.
            version: the version; empty for the model's default.
            timeout_s: longest silence.
        """
        path = self._versions(model, version) if version else self._models(model)
        return self._transport.call("POST", f"{path}:predict", body=body, timeout_s=timeout_s)

    def status(self) -> Json:
        """Return how the control plane, the driver, the gateway and all versions are."""
        return self._send("GET", "/modelport/v1/status")

    def request(self, request_id: str) -> Json:
        """Return what the gateway remembers of a request that failed; RequestNotFound where it remembers nothing."""
        return self._send("GET", f"/modelport/v1/requests/{_part(request_id)}")

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        idempotent: bool | None = None,
    ) -> Json:
        answer = self._transport.call(method, path, params=params, body=body, idempotent=idempotent)
        if not isinstance(answer, dict):
            raise Internal(
                f"`{self.endpoint}` answered {method} {path} with something that is not a JSON object: {answer!s:.200}",
                hint="Check that --endpoint names a modelport control plane",
            )
        return answer

    def _pages(self, path: str, field: str, filter: str) -> Iterator[Json]:
        token = ""
        while True:
            params = {"pageSize": "100"}
            if filter:
                params["filter"] = filter
            if token:
                params["pageToken"] = token
            page = self._send("GET", path, params=params)
            yield from page.get(field, [])
            last, token = token, page.get("nextPageToken", "")
            if not token or token == last:
                return

    def _models(self, model: str = "") -> str:
        return f"/v1/projects/{_part(self.project)}/models" + (f"/{_part(model)}" if model else "")

    def _versions(self, model: str, version: str = "") -> str:
        return f"{self._models(model)}/versions" + (f"/{_part(version)}" if version else "")

    def _operations(self, operation: str = "") -> str:
        return f"/v1/projects/{_part(self.project)}/operations" + (f"/{_part(operation)}" if operation else "")


def _part(text: str) -> str:
    return quote(text, safe="")

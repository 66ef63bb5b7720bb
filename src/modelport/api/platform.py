"""The API that is modelport's own: the platform's status, a version's way to READY, its logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from starlette.types import Send

from modelport.api.errors import envelope
from modelport.api.ml_v1.convert import timestamp, version_message
from modelport.api.ml_v1.route import MethodRoute
from modelport.api.services import Services
from modelport.control.inspect import Lines, PlatformStatus, ReplicaView, RequestView, VersionSummary, VersionView
from modelport.core.conditions import Condition
from modelport.core.errors import Error
from modelport.core.names import VersionName
from modelport.core.replicas import LogLine

MAX_TAIL = 10_000
_VERSION = "/projects/{project}/models/{model}/versions/{version}"


def platform_routes(services: Services) -> APIRouter:
    """Return the routes of modelport's own API."""
    router = APIRouter(prefix="/modelport/v1", route_class=MethodRoute)

    @router.get("/status", operation_id="modelport.status")
    async def status() -> dict[str, Any]:
        """Return the platform at a glance: driver, gateway, and a line for each version."""
        return _status(await services.inspector.status())

    @router.get("/requests/{request_id}", operation_id="modelport.requests.get")
    async def request(request_id: str) -> dict[str, Any]:
        """Return what the gateway remembers of a request that failed, by the id in its answer."""
        return _request(await services.inspector.request(request_id))

    @router.get(f"{_VERSION}:inspect", operation_id="modelport.versions.inspect")
    async def inspect(project: str, model: str, version: str) -> dict[str, Any]:
        """Return a version with its conditions and replicas."""
        return _view(await services.inspector.inspect(_name(project, model, version)))

    @router.get(
        f"{_VERSION}:logs",
        operation_id="modelport.versions.logs",
        response_class=StreamingResponse,
        responses={200: {"description": "One JSON object a line.", "content": {"application/x-ndjson": {}}}},
    )
    async def logs(
        project: str,
        model: str,
        version: str,
        tail: Annotated[int, Query(ge=0, le=MAX_TAIL)] = 100,
        follow: bool = False,
    ) -> StreamingResponse:
        """Return what the replicas of a version wrote, dead ones included; with `follow`, as they write it.

        Where reading ends with an error, the last line is `{"error": ...}`.
        """
        name = _name(project, model, version)
        # A stream cannot turn into an error any more, so the version is looked up before it starts.
        await services.versions.get(name)
        return LinesResponse(services.inspector.logs(name, tail=tail, follow=follow))

    return router


class LinesResponse(StreamingResponse):
    """A stream of JSON lines; their context is entered and left in the one task that sends them."""

    def __init__(self, opened: AbstractAsyncContextManager[Lines]) -> None:
        super().__init__((), media_type="application/x-ndjson")
        self._opened = opened

    async def stream_response(self, send: Send) -> None:
        """Send the lines as they come, until they end or the client leaves."""
        async with self._opened as lines:
            self.body_iterator = _ndjson(lines)
            await super().stream_response(send)


async def _ndjson(lines: Lines) -> AsyncIterator[bytes]:
    try:
        async for replica, line in lines:
            yield orjson.dumps(_line(replica, line), option=orjson.OPT_APPEND_NEWLINE)
    except Error as error:
        # The status has gone out as 200: the last line says what went wrong.
        yield orjson.dumps(envelope(error.status()), option=orjson.OPT_APPEND_NEWLINE)


def _line(replica: str, line: LogLine) -> dict[str, Any]:
    return {
        "time": timestamp(line.time) if line.time else None,
        "stream": line.stream,
        "text": line.text,
        "replica": replica,
        "attempt": line.attempt,
    }


def _status(seen: PlatformStatus) -> dict[str, Any]:
    health, gateway = seen.driver_health, seen.gateway
    return {
        "version": seen.version,
        "listen": seen.listen,
        "driver": {
            "name": seen.driver,
            "state": health.state.value,
            "version": health.version,
            "message": health.message,
            "remedy": health.remedy,
        },
        "gateway": {
            "running": gateway.running,
            "version": gateway.version,
            "digest": gateway.digest,
            "message": gateway.message,
        },
        "versions": [_summary(summary) for summary in seen.versions],
    }


def _summary(summary: VersionSummary) -> dict[str, Any]:
    return {
        "name": str(summary.name),
        "state": summary.state.value,
        "since": timestamp(summary.since),
        "ready": summary.ready,
        "wanted": summary.wanted,
        "isDefault": summary.is_default,
        "cause": summary.cause,
    }


def _request(view: RequestView) -> dict[str, Any]:
    error = view.error
    return {
        "requestId": error.request_id,
        "time": timestamp(error.time),
        "method": error.method,
        "path": error.path,
        "httpStatus": error.http_status,
        "reason": error.reason,
        "version": error.version,
        "replica": error.replica,
        "retries": error.retries,
        "seconds": {
            "received": error.received_s,
            "queued": error.queued_s,
            "connected": error.connected_s,
            "answered": error.answered_s,
            "total": error.total_s,
        },
        "endedBy": error.ended_by,
        "times": view.times,
        "versionNow": _summary(view.version) if view.version else None,
    }


def _view(view: VersionView) -> dict[str, Any]:
    version = version_message(view.version, is_default=view.is_default)
    return {
        "version": version.model_dump(mode="json", by_alias=True, exclude_none=True),
        "conditions": [_condition(condition) for condition in view.conditions],
        "replicas": [_replica(replica) for replica in view.replicas],
    }


def _condition(condition: Condition) -> dict[str, Any]:
    return {
        "type": condition.type.value,
        "status": condition.status.value,
        "reason": condition.reason,
        "message": condition.message,
        "since": timestamp(condition.since),
    }


def _replica(replica: ReplicaView) -> dict[str, Any]:
    return {
        "name": replica.name,
        "state": replica.state.value,
        "address": str(replica.address) if replica.address else None,
        "attempt": replica.attempt,
        "healthy": replica.healthy,
        "startedAt": timestamp(replica.started_at) if replica.started_at else None,
        "exit": str(replica.exit) if replica.exit else None,
    }


def _name(project: str, model: str, version: str) -> VersionName:
    return VersionName.parse(f"projects/{project}/models/{model}/versions/{version}")

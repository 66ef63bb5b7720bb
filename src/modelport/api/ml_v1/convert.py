"""Between messages of ml.v1 and the resources of the core. Pure, in both directions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from modelport.api.errors import details
from modelport.api.ml_v1 import messages
from modelport.api.ml_v1.reading import Parsed
from modelport.control.etags import etag
from modelport.control.model_rules import ModelDraft
from modelport.control.models import ModelView
from modelport.control.operations import OperationView, target_model
from modelport.control.runtime_rules import RuntimeDraft
from modelport.control.version_rules import AutoScaling, VersionDraft
from modelport.core.errors import Status
from modelport.core.names import project_number
from modelport.core.replicas import Accelerators, EnvVar
from modelport.core.resources import ContainerSpec, OperationType, RouteMap, Scaling, Version, VersionState

_TYPES = "type.googleapis.com/google.cloud.ml.v1"
_EMPTY = "type.googleapis.com/google.protobuf.Empty"
_DELETIONS = (OperationType.DELETE_VERSION, OperationType.DELETE_MODEL)


def timestamp(time: datetime) -> str:
    """Return a time as RFC 3339 in UTC."""
    return time.isoformat().replace("+00:00", "Z")


def model_draft(parsed: Parsed[messages.Model]) -> ModelDraft:
    """Return what a request says of a model; output fields are ignored."""
    sent = parsed.message
    return ModelDraft(
        id=sent.name or "",
        description=sent.description or "",
        labels=sent.labels or {},
        regions=tuple(sent.regions or ()),
        online_prediction_logging=sent.online_prediction_logging or False,
        online_prediction_console_logging=sent.online_prediction_console_logging or False,
        default_version=(sent.default_version.name if sent.default_version else None) or "",
        etag=sent.etag or "",
        unreadable=parsed.unreadable,
    )


def version_draft(parsed: Parsed[messages.Version]) -> VersionDraft:
    """Return what a request says of a version; output fields are ignored."""
    sent = parsed.message
    auto, gpu = sent.auto_scaling, sent.accelerator_config
    return VersionDraft(
        id=sent.name or "",
        description=sent.description or "",
        labels=sent.labels or {},
        deployment_uri=sent.deployment_uri or "",
        container=None if sent.container is None else _container(sent.container),
        routes=None if sent.routes is None else RouteMap(sent.routes.predict or "", sent.routes.health or ""),
        runtime=_runtime(sent),
        machine_type=sent.machine_type or "",
        accelerators=None if gpu is None else Accelerators(gpu.count or 0, gpu.type or ""),
        auto_scaling=None if auto is None else AutoScaling(auto.min_nodes, auto.max_nodes, bool(auto.metrics)),
        manual_nodes=None if sent.manual_scaling is None else sent.manual_scaling.nodes or 0,
        refused=_refused(sent),
        unreadable=parsed.unreadable,
    )


def _container(sent: messages.ContainerSpec) -> ContainerSpec:
    return ContainerSpec(
        image=sent.image or "",
        command=tuple(sent.command or ()),
        args=tuple(sent.args or ()),
        env=tuple(EnvVar(variable.name or "", variable.value or "") for variable in sent.env or ()),
        ports=tuple(port.container_port or 0 for port in sent.ports or ()),
    )


def _runtime(sent: messages.Version) -> RuntimeDraft:
    return RuntimeDraft(
        framework="" if sent.framework == "FRAMEWORK_UNSPECIFIED" else sent.framework or "",
        runtime_version=sent.runtime_version or "",
        python_version=sent.python_version or "",
        package_uris=tuple(sent.package_uris or ()),
        prediction_class=sent.prediction_class or "",
    )


def _refused(sent: messages.Version) -> tuple[str, ...]:
    stated = {
        "serviceAccount": bool(sent.service_account),
        "explanationConfig": sent.explanation_config is not None,
        "requestLoggingConfig": sent.request_logging_config is not None,
    }
    return tuple(name for name, is_stated in stated.items() if is_stated)


def model_message(view: ModelView) -> messages.Model:
    """Return a model as the API shows it."""
    model = view.model
    return messages.Model(
        name=str(model.name),
        description=model.description or None,
        default_version=None if view.default is None else version_message(view.default, is_default=True),
        regions=list(model.regions) or None,
        online_prediction_logging=model.online_prediction_logging or None,
        online_prediction_console_logging=model.online_prediction_console_logging or None,
        labels=model.labels or None,
        etag=etag(model),
    )


def version_message(version: Version, *, is_default: bool) -> messages.Version:
    """Return a version as the API shows it."""
    spec, runtime = version.spec, version.spec.runtime
    failure = version.status.error if version.state is VersionState.FAILED else None
    return messages.Version(
        name=str(version.name),
        description=version.description or None,
        is_default=is_default or None,
        deployment_uri=spec.deployment_uri or None,
        container=None if runtime else _container_message(spec.container),
        routes=_routes(spec.routes),
        machine_type=spec.machine_type or None,
        accelerator_config=_accelerators(spec.accelerators),
        auto_scaling=messages.AutoScaling(min_nodes=version.nodes) if version.scaling is Scaling.AUTO else None,
        manual_scaling=messages.ManualScaling(nodes=version.nodes) if version.scaling is Scaling.MANUAL else None,
        labels=version.labels or None,
        state=version.state.value,
        error_message=failure.message if failure else None,
        create_time=timestamp(version.create_time),
        etag=etag(version),
        framework=version.framework or None,
        runtime_version=runtime.runtime_version if runtime else None,
        python_version=(runtime.python_version or None) if runtime else None,
        package_uris=(list(runtime.package_uris) or None) if runtime else None,
        prediction_class=(runtime.prediction_class or None) if runtime else None,
    )


def _container_message(container: ContainerSpec) -> messages.ContainerSpec:
    return messages.ContainerSpec(
        image=container.image,
        command=list(container.command) or None,
        args=list(container.args) or None,
        env=[messages.EnvVar(name=v.name, value=v.value) for v in container.env] or None,
        ports=[messages.ContainerPort(container_port=port) for port in container.ports] or None,
    )


def _routes(routes: RouteMap) -> messages.RouteMap | None:
    if not routes.predict and not routes.health:
        return None
    return messages.RouteMap(predict=routes.predict or None, health=routes.health or None)


def _accelerators(accelerators: Accelerators | None) -> messages.AcceleratorConfig | None:
    if accelerators is None:
        return None
    return messages.AcceleratorConfig(count=accelerators.count, type=accelerators.type)


def operation_message(view: OperationView) -> messages.Operation:
    """Return an operation as the API shows it, with its resource as that is now."""
    operation = view.operation
    version = None if view.version is None else version_message(view.version, is_default=view.is_default)
    return messages.Operation(
        name=str(operation.name),
        metadata=messages.OperationMetadata(
            create_time=timestamp(operation.create_time),
            start_time=timestamp(operation.start_time) if operation.start_time else None,
            end_time=timestamp(operation.end_time) if operation.end_time else None,
            is_cancellation_requested=operation.cancel_requested or None,
            operation_type=operation.type.value,
            model_name=str(target_model(operation)),
            version=version,
            project_number=project_number(operation.name.project),
            warnings=_warnings(view),
        ),
        done=operation.done or None,
        error=status_message(operation.error) if operation.done and operation.error else None,
        response=_response(view, version) if operation.done and not operation.error else None,
    )


def _warnings(view: OperationView) -> list[str] | None:
    if view.operation.done or view.version is None or not view.version.status.warning:
        return None
    return [view.version.status.warning]


def _response(view: OperationView, version: messages.Version | None) -> dict[str, Any]:
    operation = view.operation
    if operation.type in _DELETIONS:
        return {"@type": _EMPTY}
    if operation.type is OperationType.UPDATE_MODEL:
        # A resource that has been deleted since is answered by its name alone.
        model = (
            messages.Model(name=operation.target)
            if view.model is None
            else model_message(ModelView(view.model, view.default))
        )
        return {"@type": f"{_TYPES}.Model", **_json(model)}
    return {"@type": f"{_TYPES}.Version", **_json(version or messages.Version(name=operation.target))}


def status_message(status: Status) -> messages.RpcStatus:
    """Return an error as `google.rpc.Status`."""
    return messages.RpcStatus(code=status.code.number, message=status.message, details=details(status))


def _json(message: messages.Message) -> dict[str, Any]:
    return message.model_dump(mode="json", by_alias=True, exclude_none=True)

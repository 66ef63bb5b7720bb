"""From a version to its replicas: routes, AIP_* variables and `ReplicaSpec`s, all computed."""

from __future__ import annotations

from pathlib import PurePosixPath

from modelport.core.expansion import expand
from modelport.core.machine_types import MACHINE_TYPES
from modelport.core.names import project_number, replica_name
from modelport.core.replicas import EnvVar, ReplicaSpec, Resources
from modelport.core.resources import Version

# `python` is the one of the environment that was built for the version.
_SERVER = ("python", "-m", "modelport.server")


def default_health_route(version: Version) -> str:
    """Return the health route of the original API where the version names none."""
    return f"/v1/models/{version.name.model}/versions/{version.name.version}"


def _variables(version: Version) -> dict[str, str]:
    spec = version.spec
    variables = {
        "AIP_PROJECT_NUMBER": str(project_number(version.name.project)),
        "AIP_MODEL_NAME": version.name.model,
        "AIP_VERSION_NAME": version.name.version,
        "AIP_FRAMEWORK": version.framework if spec.runtime else "CUSTOM_CONTAINER",
        "AIP_MODE_VERSION": "1.0.0",
    }
    if spec.machine_type:
        variables["AIP_MACHINE_TYPE"] = spec.machine_type
    if spec.accelerators:
        variables["AIP_ACCELERATOR_TYPE"] = spec.accelerators.type
    return variables


def health_route(version: Version) -> str:
    """Return the health route as the container serves it: default filled in, AIP_* and env references expanded."""
    return _route(version, version.spec.routes.health or default_health_route(version))


def predict_route(version: Version) -> str:
    """Return the predict route as the container serves it."""
    return _route(version, version.spec.routes.predict or f"{default_health_route(version)}:predict")


def _route(version: Version, route: str) -> str:
    variables = {**_variables(version), "AIP_HTTP_PORT": str(version.spec.container.port)}
    variables.update((variable.name, variable.value) for variable in version.spec.container.env)
    return expand(route, variables)


def aip_variables(version: Version) -> tuple[EnvVar, ...]:
    """Return the AIP_* variables, except the two that the driver decides (port and storage URI).

    AIP_MODE is left out: it belongs to Vertex, and switches off Triton's ordinary ports.
    """
    variables = {
        **_variables(version),
        "AIP_HEALTH_ROUTE": health_route(version),
        "AIP_PREDICT_ROUTE": predict_route(version),
    }
    return tuple(EnvVar(name, value) for name, value in variables.items())


def _server_variables(version: Version) -> tuple[EnvVar, ...]:
    """Return what modelport's own server is told beyond the container contract."""
    runtime = version.spec.runtime
    if runtime is None:
        return ()
    if runtime.prediction_class:
        return (EnvVar("MODELPORT_SERVER_PREDICTOR", runtime.prediction_class),)
    return (EnvVar("MODELPORT_SERVER_FRAMEWORK", version.framework),)


def replica_names(version: Version) -> tuple[str, ...]:
    """Return the names of the replicas that the version wants, in order."""
    return tuple(replica_name(version.name, version.uid, index) for index in range(version.nodes))


def replica_spec(version: Version, index: int, *, attempt: int, model_dir: PurePosixPath | None) -> ReplicaSpec:
    """Return what a driver needs to run one replica of a version whose image or environment is there."""
    machine = MACHINE_TYPES.get(version.spec.machine_type)
    container = version.spec.container
    return ReplicaSpec(
        name=replica_name(version.name, version.uid, index),
        owner=str(version.name),
        image=version.status.image,
        command=_SERVER if version.spec.runtime else container.command,
        args=container.args,
        env=(*container.env, *_server_variables(version)),
        aip=aip_variables(version),
        port=container.port,
        model_dir=model_dir,
        resources=Resources(
            cpus=machine.cpus if machine else None,
            memory_bytes=machine.memory_bytes if machine else None,
            accelerators=version.spec.accelerators,
        ),
        attempt=attempt,
    )

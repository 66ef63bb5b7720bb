"""The spec as evidence: what a version asks for, after expansion. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from modelport.core.environment import invocation
from modelport.core.replicas import EnvVar
from modelport.core.resources import Version
from modelport.core.version_replicas import health_route, predict_route, replica_spec
from modelport.doctor.evidence import SpecFacts


def spec_facts(version: Version, *, port: int, storage_uri: str = "", dockerfile: bool = False) -> SpecFacts:
    """Return what a version asks for.

    Args:
        version: its image may be pinned or not.
        port: on which the replica is told to listen; the process driver chooses one.
        storage_uri: where the replica finds the artifacts; empty where there are none.
        dockerfile: whether the user can change the Dockerfile that the image was built from.
    """
    spec, container = version.spec, version.spec.container
    replica = replica_spec(version, 0, attempt=1, model_dir=PurePosixPath(storage_uri) if storage_uri else None)
    final = invocation(replica, port=port, storage_uri=storage_uri)
    return SpecFacts(
        image=container.image,
        command=final.command,
        args=final.args,
        env=tuple(EnvVar(name, value) for name, value in final.env.items()),
        port=port,
        port_given=bool(container.ports),
        predict_route=predict_route(version),
        health_route=health_route(version),
        routes_given=bool(spec.routes.predict or spec.routes.health),
        machine_type=spec.machine_type,
        cpus=replica.resources.cpus,
        memory_bytes=replica.resources.memory_bytes,
        accelerators=spec.accelerators.count if spec.accelerators else 0,
        deployment_uri=spec.deployment_uri,
        storage_uri=storage_uri,
        written_command=(*container.command, *container.args),
        dockerfile=dockerfile,
    )

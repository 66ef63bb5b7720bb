"""The environment and command line of a replica: AIP_* variables, `env` in order, references expanded."""

from __future__ import annotations

from dataclasses import dataclass

from modelport.core.expansion import expand
from modelport.core.replicas import ReplicaSpec


@dataclass(frozen=True)
class Invocation:
    """What is finally started: `command` empty means the image's ENTRYPOINT, `args` empty the image's CMD."""

    command: tuple[str, ...]
    args: tuple[str, ...]
    env: dict[str, str]


def invocation(spec: ReplicaSpec, *, port: int, storage_uri: str) -> Invocation:
    """Return command, args and environment with every reference expanded.

    Args:
        spec: the replica.
        port: where the server must listen, as the container sees it: AIP_HTTP_PORT, and PORT for images that know
            only that one. A `PORT` in the version's own `env` wins.
        storage_uri: where the artifacts lie as the container sees them; empty without artifacts.
    """
    env = {variable.name: variable.value for variable in spec.aip}
    env["AIP_HTTP_PORT"] = str(port)
    env["AIP_STORAGE_URI"] = storage_uri
    env["PORT"] = str(port)
    for variable in spec.env:
        # Later entries may refer to earlier ones; a bare $AIP_* in a value is left to the container's shell.
        env[variable.name] = expand(variable.value, env, bare_aip=False)
    return Invocation(
        command=tuple(expand(part, env) for part in spec.command),
        args=tuple(expand(part, env) for part in spec.args),
        env=env,
    )

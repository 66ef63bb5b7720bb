"""Where the container engine of this machine listens: named, or at one of the usual places."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def engine_socket(named: str, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the container engine (`unix://…` or `tcp://…`), or None where there is none.

    An explicit setting or DOCKER_HOST is taken as it is; else the usual sockets of Docker and Podman are looked for.
    """
    if named := named or environ.get("DOCKER_HOST", ""):
        return named
    return next((f"unix://{path}" for path in usual_sockets(environ) if Path(path).is_socket()), None)


def usual_sockets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return where Docker and Podman have their sockets, in the order in which they are looked for."""
    runtime_dir = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return (
        "/var/run/docker.sock",
        f"{runtime_dir}/docker.sock",
        f"{runtime_dir}/podman/podman.sock",
        "/run/podman/podman.sock",
    )

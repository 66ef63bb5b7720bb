"""Sources: decides what a deploy consists of, from what was given and what the platform can run. Pure but for looking.

A folder with a Dockerfile is built where an engine runs; without an engine the folder itself is the image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from modelport.cli.specs import FolderSpec, kind, looks_like_path
from modelport.cli.usage import UsageProblem
from modelport.core.names import ID_PATTERN

DEFAULT_MACHINE_TYPE = "n1-standard-2"


@dataclass(frozen=True)
class Overrides:
    """What options say of the version; it wins over the spec file. `None` and empty say nothing."""

    predict_route: str = ""
    health_route: str = ""
    port: int | None = None
    machine_type: str = ""
    deployment_uri: str = ""
    env: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """What to deploy: the version's body, and the folder to build first, if one is."""

    version: dict[str, Any]
    build: Path | None = None


def is_folder(target: str) -> bool:
    """Return whether the target is a folder; raise where it looks like one that does not exist."""
    path = Path(target)
    if path.is_dir():
        return True
    if looks_like_path(target) or path.exists():
        raise UsageProblem(
            f"`{target}` is not a folder", hint="Name a folder with a Dockerfile, or an image such as registry/name:tag"
        )
    return False


def plan(target: str, spec: FolderSpec, *, driver: str) -> Source:
    """Return what deploying `target` means on a platform with this driver."""
    container = _container(spec.version)
    if not is_folder(target):
        return Source({**spec.version, "container": {**container, "image": target}})
    if container.get("image"):
        return Source(spec.version)
    folder = Path(target).resolve()
    if driver != "docker":
        return Source({**spec.version, "container": {**container, "image": str(folder)}})
    if not (folder / "Dockerfile").is_file():
        raise UsageProblem(
            f"`{target}` has no Dockerfile, and its spec names no `container.image`",
            hint="Add a Dockerfile, or deploy an image: modelport deploy IMAGE --model MODEL",
        )
    return Source({**spec.version, "container": container}, build=folder)


def chosen_driver(target: str, spec: FolderSpec, *, driver: str, engine: bool) -> str:
    """Return on which driver `target` is tried; `auto` where its image alone decides.

    A folder is built where there is a Dockerfile and an engine; else it is its own image, for the process driver.
    """
    if driver != "auto" or not is_folder(target) or _container(spec.version).get("image"):
        return driver
    return "docker" if engine and (Path(target) / "Dockerfile").is_file() else "process"


def override(source: Source, options: Overrides) -> Source:
    """Return the source with what options say, and the default machine type where nothing is said."""
    version = overridden(source.version, options)
    if not version.get("machineType") and not version.get("machine_type"):
        version["machineType"] = DEFAULT_MACHINE_TYPE
    return replace(source, version=version)


def overridden(spec: dict[str, Any], options: Overrides) -> dict[str, Any]:
    """Return a version with what options say."""
    version = dict(spec)
    container = _container(version)
    if options.command:
        container["command"] = list(options.command)
    if options.args:
        container["args"] = list(options.args)
    if options.port is not None:
        container["ports"] = [{"containerPort": options.port}]
    if options.env:
        given = dict(options.env)
        written = container.get("env") or []
        kept = [one for one in written if not isinstance(one, dict) or one.get("name") not in given]
        container["env"] = [*kept, *({"name": name, "value": value} for name, value in given.items())]
    if container:
        version["container"] = container
    routes = {
        **_object(version, "routes"),
        **({"predict": options.predict_route} if options.predict_route else {}),
        **({"health": options.health_route} if options.health_route else {}),
    }
    if routes:
        version["routes"] = routes
    if options.deployment_uri:
        version.pop("deployment_uri", None)
        version["deploymentUri"] = options.deployment_uri
    if options.machine_type:
        version.pop("machine_type", None)
        version["machineType"] = options.machine_type
    return version


def _container(version: dict[str, Any]) -> dict[str, Any]:
    return _object(version, "container")


def _object(version: dict[str, Any], field: str) -> dict[str, Any]:
    value = version.get(field)
    if value is not None and not isinstance(value, dict):
        raise UsageProblem(f"`{field}` of the spec is {kind(value)}; it must be an object")
    return dict(value or {})


def with_image(source: Source, image: str) -> Source:
    """Return the source with the image that was built."""
    container = {**_container(source.version), "image": image}
    return replace(source, version={**source.version, "container": container})


def model_id(target: str) -> str:
    """Return the model's name where none is given: the folder's, or the last part of the image's repository."""
    base = Path(target).resolve().name if Path(target).is_dir() else target
    name = re.sub(r"[^A-Za-z0-9]+", "_", base.rpartition("/")[2].partition("@")[0].partition(":")[0]).strip("_")
    if not ID_PATTERN.fullmatch(name):
        raise UsageProblem(f"`{target}` gives no name for the model", hint="Add --model MODEL")
    return name


def next_version_id(taken: set[str], today: date) -> str:
    """Return `vYYYYMMDD_N` with the first free N."""
    stem = f"v{today:%Y%m%d}"
    number = 1
    while f"{stem}_{number}" in taken:
        number += 1
    return f"{stem}_{number}"

"""Sources: decides what a deploy consists of, from what was given and what the platform can run. Pure but for looking.

A folder with a Dockerfile is built where an engine runs; without an engine the folder itself is the image. A folder
that has the files of a model and no program is served by modelport's own server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from modelport.cli.presets import filled
from modelport.cli.specs import FolderSpec, kind, looks_like_path
from modelport.cli.usage import UsageProblem
from modelport.core.frameworks import Framework, framework_named, framework_of, model_files
from modelport.core.names import ID_PATTERN

DEFAULT_MACHINE_TYPE = "n1-standard-2"
_STORES = ("gs://", "s3://", "az://", "http://", "https://")
# Fields of a version without a container, and how they may be spelt in a spec too.
_RUNTIME_FIELDS = {
    "framework": "framework",
    "runtimeVersion": "runtime_version",
    "pythonVersion": "python_version",
    "packageUris": "package_uris",
    "predictionClass": "prediction_class",
}


@dataclass(frozen=True)
class Overrides:
    """What options say of the version; it wins over the spec file. `None` and empty say nothing."""

    preset: str = ""
    predict_route: str = ""
    health_route: str = ""
    port: int | None = None
    machine_type: str = ""
    deployment_uri: str = ""
    framework: str = ""
    runtime_version: str = ""
    python_version: str = ""
    packages: tuple[str, ...] = ()
    prediction_class: str = ""
    env: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()

    @property
    def runtime(self) -> dict[str, Any]:
        """Return the fields of a version without a container that are stated."""
        framework = framework_named(self.framework) or self.framework
        fields = {
            "framework": str(framework),
            "runtimeVersion": self.runtime_version,
            "pythonVersion": self.python_version,
            "packageUris": list(self.packages),
            "predictionClass": self.prediction_class,
        }
        return {name: value for name, value in fields.items() if value}


@dataclass(frozen=True)
class Source:
    """What to deploy.

    Attributes:
        version: its body.
        build: the folder to build first, or None.
        note: what was made of the folder.
        preset: what a preset has filled.
    """

    version: dict[str, Any]
    build: Path | None = None
    note: str = ""
    preset: str = ""


_NOTHING = Overrides()


def is_folder(target: str) -> bool:
    """Return whether the target is a folder; raise where it looks like one that does not exist."""
    path = Path(target)
    if path.is_dir():
        return True
    if looks_like_path(target) or path.exists():
        raise UsageProblem(
            f"`{target}` is not a folder",
            hint="Name a folder with a Dockerfile or a model, or an image such as registry/name:tag",
        )
    return False


def plan(target: str, spec: FolderSpec, options: Overrides = _NOTHING, *, driver: str) -> Source:
    """Return what deploying `target` means on a platform with this driver."""
    container = _container(spec.version)
    if is_of_files(target, spec, options):
        return _of_files(target, spec, options)
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
            hint="Add a Dockerfile, deploy an image: modelport deploy IMAGE --model MODEL; or name the --framework of"
            " the model in it",
        )
    return Source({**spec.version, "container": container}, build=folder)


def is_of_files(target: str, spec: FolderSpec, options: Overrides = _NOTHING) -> bool:
    """Return whether the model's files are deployed without a server: one says so, or a folder looks like that."""
    names = (*_RUNTIME_FIELDS, *_RUNTIME_FIELDS.values())
    if options.runtime or any(spec.version.get(name) for name in names):
        return True
    if target.startswith(_STORES):
        return True
    return not _container(spec.version) and is_folder(target) and _recognised(Path(target)) is not None


def _of_files(target: str, spec: FolderSpec, options: Overrides) -> Source:
    version = dict(spec.version)
    named = options.deployment_uri or version.get("deploymentUri") or version.get("deployment_uri")
    if target.startswith(_STORES):
        version["deploymentUri"] = target
    elif is_folder(target) and not named:
        version["deploymentUri"] = str(Path(target).resolve())
        if not options.framework and not version.get("framework") and (found := _recognised(Path(target))):
            framework, file = found
            return Source(version, note=f"{framework} model recognised by {file}")
    elif not named and not is_folder(target):
        raise UsageProblem(
            f"`{target}` is neither a folder with model files nor a URI of some",
            hint="Name the folder: modelport deploy PATH --framework F; a container image comes with its own server",
        )
    return Source(version)


def _recognised(folder: Path) -> tuple[Framework, str] | None:
    """Return the framework whose files a folder has, and the one that tells; None where it has a program too."""
    names = sorted(path.name for path in folder.iterdir())
    if "Dockerfile" in names or any(name.endswith(".py") for name in names):
        return None
    framework = framework_of(names)
    return (framework, model_files(names, framework)[0]) if framework else None


def chosen_driver(target: str, spec: FolderSpec, options: Overrides = _NOTHING, *, driver: str, engine: bool) -> str:
    """Return on which driver `target` is tried; `auto` where its image alone decides.

    A folder is built where there is a Dockerfile and an engine; else it is its own image, for the process driver.
    """
    if driver == "auto" and is_of_files(target, spec, options):
        return "docker" if engine else "process"
    if driver != "auto" or not is_folder(target) or _container(spec.version).get("image"):
        return driver
    return "docker" if engine and (Path(target) / "Dockerfile").is_file() else "process"


def override(source: Source, options: Overrides) -> Source:
    """Return the source with what options and then a preset say, and the default machine type where nothing is said."""
    whole = filled(overridden(source.version, options))
    version = whole.version
    if whole.preset and source.build is None and not version["container"].get("image"):
        raise UsageProblem(
            f"The preset `{whole.preset}` is for a container, and no image is named",
            hint=f"Name one: modelport deploy IMAGE --preset {whole.preset}, or `container.image` in the spec",
        )
    if not version.get("machineType") and not version.get("machine_type"):
        version["machineType"] = DEFAULT_MACHINE_TYPE
    return replace(source, version=version, preset=str(whole) if whole.preset else "")


def overridden(spec: dict[str, Any], options: Overrides) -> dict[str, Any]:
    """Return a version with what options say."""
    version = dict(spec)
    if options.preset:
        version["preset"] = options.preset
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
    for name, value in options.runtime.items():
        version.pop(_RUNTIME_FIELDS[name], None)
        version[name] = value
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

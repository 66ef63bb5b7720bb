"""What a case is: a container as somebody might bring it, what the doctor is to say of it, and what puts it right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

PODMAN, DOCKER = "podman", "docker"
STACKS = "localhost/modelport-test-stacks:2"
ROUTES = {"health": "/health", "predict": "/predict"}
PYTHON = 'COPY . .\nCMD ["python", "app.py"]\n'
NODE = 'COPY . .\nCMD ["node", "server.js"]\n'


@dataclass(frozen=True)
class Edit:
    """A remedy: `old` is replaced by `new` in one file, the Dockerfile included."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Respec:
    """A remedy: fields of the version that are written differently; a dict of dicts is merged."""

    changes: Mapping[str, Any]


@dataclass(frozen=True)
class OwnPatch:
    """A remedy: the JSON Patch that the finding itself brings."""


@dataclass(frozen=True)
class Instances:
    """A remedy: the instances of the user were the mistake."""

    instances: tuple[Any, ...]


@dataclass(frozen=True)
class Elsewhere:
    """No remedy that a test could apply: what has to change is neither the container nor its spec."""


Remedy = tuple[Edit, ...] | Respec | OwnPatch | Instances | Elsewhere


@dataclass(frozen=True)
class Container:
    """One container.

    Attributes:
        name: of the case, and of the recorded evidence.
        code: of the first finding; empty for a container that is fine.
        files: the build's context.
        dockerfile: what follows FROM; empty: there is no image to build, `version` names one.
        base: what FROM names.
        platform: what the image is built for, where that is not the machine's own.
        evidence: a regular expression that one line of the finding's evidence matches.
        also: codes of further findings.
        remedy: what makes it conform.
        version: the version's body; `{model}` is the folder of `model`, `{refusing}` a server that lets nobody in.
        model: files of the model, for `deploymentUri: "{model}"`.
        instances: the user's own, or None where there are none.
        engines: the engines on which it shows.
        limits: fields of CheckSettings that differ, so that a test need not wait as long as production.
        egress: whether the container may reach the network.
        serves: whether it conforms all the same: the finding is a warning or advice.
        builds: whether an image can be built of it.
        engine_url: an engine other than the one of the test run.
    """

    name: str
    code: str = ""
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    dockerfile: str = PYTHON
    base: str = STACKS
    platform: str = ""
    evidence: str = ""
    also: tuple[str, ...] = ()
    remedy: Remedy = ()
    version: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, str | bytes] = field(default_factory=dict)
    instances: tuple[Any, ...] | None = ([1.0, 2.0], [3.0, 4.0])
    engines: tuple[str, ...] = (PODMAN,)
    limits: Mapping[str, float] = field(default_factory=dict)
    egress: bool = True
    serves: bool = False
    builds: bool = True
    engine_url: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """Return the version's body with what nearly every case has."""
        return merged({"machineType": "n1-standard-2", "routes": ROUTES}, self.version)

    def put_right(self) -> Container:
        """Return the case with its remedy applied, where that is in the files or in the version."""
        if isinstance(self.remedy, Respec):
            return replace(self, version=merged(self.version, self.remedy.changes))
        if isinstance(self.remedy, Instances):
            return replace(self, instances=self.remedy.instances)
        if isinstance(self.remedy, (OwnPatch, Elsewhere)):
            return self
        files, dockerfile = dict(self.files), self.dockerfile
        for edit in self.remedy:
            if edit.file == "Dockerfile":
                dockerfile = _edited(dockerfile, edit)
            else:
                text = files[edit.file]
                if isinstance(text, bytes):
                    files[edit.file] = _edited(text.decode("latin-1"), edit).encode("latin-1")
                else:
                    files[edit.file] = _edited(text, edit)
        return replace(self, files=files, dockerfile=dockerfile)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes`, dicts in dicts merged; None removes."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return result


def _edited(text: str, edit: Edit) -> str:
    if text.count(edit.old) != 1:
        raise ValueError(f"`{edit.old}` stands {text.count(edit.old)} times in {edit.file}; once was expected")
    return text.replace(edit.old, edit.new)

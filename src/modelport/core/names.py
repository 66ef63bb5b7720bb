"""Resource names and every name derived from them: computed here, remembered nowhere."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from modelport.core.errors import InvalidArgument, Violation

# Models and versions: letters, digits, underscore, from a letter (the rule of the original service).
ID_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
# Projects: what Google allows for ids and numbers, without domain prefixes.
PROJECT_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
OPERATION_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,299}")


@dataclass(frozen=True, order=True)
class ModelName:
    """`projects/P/models/M`."""

    project: str
    model: str

    def __str__(self) -> str:
        return f"projects/{self.project}/models/{self.model}"

    @property
    def parent(self) -> str:
        """Return `projects/P`."""
        return f"projects/{self.project}"

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Read a full name; raise InvalidArgument when it is none."""
        match text.split("/"):
            case ["projects", project, "models", model]:
                require_project(project)
                require_id(model, field="name", what="model")
                return cls(project, model)
        raise InvalidArgument(f"`{text}` is not a model name", hint="Write projects/PROJECT/models/MODEL")


@dataclass(frozen=True, order=True)
class VersionName:
    """`projects/P/models/M/versions/V`."""

    project: str
    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model_name}/versions/{self.version}"

    @property
    def model_name(self) -> ModelName:
        """Return the name of the model that the version belongs to."""
        return ModelName(self.project, self.model)

    @property
    def parent(self) -> str:
        """Return `projects/P/models/M`."""
        return str(self.model_name)

    @classmethod
    def parse(cls, text: str) -> VersionName:
        """Read a full name; raise InvalidArgument when it is none."""
        match text.split("/"):
            case ["projects", project, "models", model, "versions", version]:
                require_project(project)
                require_id(model, field="name", what="model")
                require_id(version, field="name", what="version")
                return cls(project, model, version)
        raise InvalidArgument(
            f"`{text}` is not a version name", hint="Write projects/PROJECT/models/MODEL/versions/VERSION"
        )


@dataclass(frozen=True, order=True)
class OperationName:
    """`projects/P/operations/ID`."""

    project: str
    operation: str

    def __str__(self) -> str:
        return f"projects/{self.project}/operations/{self.operation}"

    @property
    def parent(self) -> str:
        """Return `projects/P`."""
        return f"projects/{self.project}"

    @classmethod
    def parse(cls, text: str) -> OperationName:
        """Read a full name; raise InvalidArgument when it is none."""
        match text.split("/"):
            case ["projects", project, "operations", operation] if OPERATION_PATTERN.fullmatch(operation):
                require_project(project)
                return cls(project, operation)
        raise InvalidArgument(f"`{text}` is not an operation name", hint="Write projects/PROJECT/operations/OPERATION")


def id_violation(value: str, *, what: str) -> str:
    """Return why `value` cannot name a model or version, or an empty string."""
    if ID_PATTERN.fullmatch(value):
        return ""
    suggestion = re.sub(r"[^A-Za-z0-9_]", "_", value)[:128]
    if not suggestion[:1].isalpha():
        suggestion = f"v{suggestion}"[:128]
    return (
        f"A {what} name has letters, digits and underscores, starts with a letter and has at most 128 characters;"
        f" `{value[:140]}` does not. Write `{suggestion}`, for example."
    )


def require_id(value: str, *, field: str, what: str) -> None:
    """Raise InvalidArgument when `value` cannot name a model or version."""
    if problem := id_violation(value, what=what):
        raise InvalidArgument(problem, violations=(Violation(field, problem),))


def require_project(value: str) -> None:
    """Raise InvalidArgument when `value` cannot name a project."""
    if not PROJECT_PATTERN.fullmatch(value):
        problem = f"A project name has lower-case letters, digits and hyphens (1 to 63); `{value[:80]}` does not."
        raise InvalidArgument(problem, violations=(Violation("project", problem),))


def project_number(project: str) -> int:
    """Return the 12-digit number of a project: a pure function of its id, so it never changes."""
    if project.isdigit():
        return int(project)
    digest = int.from_bytes(hashlib.sha256(project.encode()).digest()[:8], "big")
    return 100_000_000_000 + digest % 900_000_000_000


def replica_name(version: VersionName, uid: str, index: int) -> str:
    """Return the name of one replica: readable, unique per incarnation (`uid`), valid as container and DNS name."""
    digest = hashlib.sha256(f"{version}#{uid}".encode()).hexdigest()[:10]
    return f"mp-{_slug(version.model)}-{_slug(version.version)}-{digest}-{index}"


def create_operation_id(verb: str, *parts: str, epoch_ms: int) -> str:
    """Return an operation id in the form that clients know: `create_iris_v1-1607934875576`."""
    return f"{'_'.join((verb, *parts))[:280]}-{epoch_ms}"


def _slug(text: str) -> str:
    return text.lower().replace("_", "-")[:18].strip("-")

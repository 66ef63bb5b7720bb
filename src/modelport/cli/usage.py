"""What the user typed: names read into resources, and the error for whatever cannot be meant. No network."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from modelport.core.errors import InvalidArgument
from modelport.core.names import ModelName, OperationName, VersionName


class UsageProblem(InvalidArgument):
    """The command line, or a file that it names, is wrong; nothing was sent."""

    reason = "USAGE"


@dataclass(frozen=True)
class Target:
    """`MODEL` or `MODEL/VERSION` of one project; `version` is empty for the model's default."""

    project: str
    model: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.model}/{self.version}" if self.version else self.model


def parse_target(text: str, project: str) -> Target:
    """Read `MODEL`, `MODEL/VERSION` or a full resource name."""
    try:
        match text.split("/"):
            case ["projects", _, "models", _]:
                model = ModelName.parse(text)
                return Target(model.project, model.model)
            case ["projects", *_]:
                version = VersionName.parse(text)
                return Target(version.project, version.model, version.version)
            case [_]:
                model = ModelName.parse(f"projects/{project}/models/{text}")
                return Target(project, model.model)
            case [model_id, version_id]:
                version = VersionName.parse(f"projects/{project}/models/{model_id}/versions/{version_id}")
                return Target(project, version.model, version.version)
    except InvalidArgument as error:
        raise UsageProblem(error.message, hint=error.hint) from error
    raise UsageProblem(f"`{text}` is neither MODEL nor MODEL/VERSION", hint="Write iris or iris/v1, for example")


def parse_version(text: str, model: str, project: str) -> Target:
    """Read a version given as `VERSION` with --model, as `MODEL/VERSION`, or by its full name."""
    if model and "/" in text:
        raise UsageProblem(f"`{text}` names its model already", hint="Leave --model out")
    target = parse_target(f"{model}/{text}" if model else text, project)
    if not target.version:
        raise UsageProblem(f"`{text}` does not say of which model", hint=f"Write MODEL/{text}, or add --model MODEL")
    return target


def parse_operation(text: str, project: str) -> OperationName:
    """Read an operation given by its id or by its full name."""
    try:
        return OperationName.parse(text if text.startswith("projects/") else f"projects/{project}/operations/{text}")
    except InvalidArgument as error:
        raise UsageProblem(error.message, hint=error.hint) from error


def parse_words(text: str, option: str) -> tuple[str, ...]:
    """Split a command line as a shell would."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageProblem(f"`{option} {text}` cannot be split: {str(error).lower()}") from error


def parse_pairs(texts: list[str], option: str) -> dict[str, str]:
    """Read `K=V` given several times; the value may be empty and may hold `=`."""
    pairs = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise UsageProblem(f"`{option} {text}` is not {option} NAME=VALUE")
        pairs[key] = value
    return pairs

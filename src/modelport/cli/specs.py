"""Specs: reads JSON and YAML files and the `modelport.yaml` of a folder."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelport.cli.presets import preset_named
from modelport.cli.usage import UsageProblem

SPEC_FILES = ("modelport.yaml", "modelport.yml", "modelport.json")


@dataclass(frozen=True)
class FolderSpec:
    """A spec file: the version as in the API but for a `preset`, and `sample`, for the curl command that is printed."""

    version: dict[str, Any]
    sample: list[Any] | None = None


def read_text(source: str) -> str:
    """Return the text of a file, or of stdin for `-`."""
    if source == "-":
        return sys.stdin.read()
    try:
        return Path(source).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageProblem(f"Cannot read `{source}`: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise UsageProblem(f"`{source}` is not UTF-8 text") from error


def read_object(source: str) -> dict[str, Any]:
    """Return the one object of a JSON or YAML file, or of stdin for `-`."""
    text = read_text(source)
    try:
        # YAML 1.2 holds JSON, but the loader's YAML 1.1 does not hold all of it (tabs).
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise UsageProblem(f"`{_shown(source)}` is neither JSON nor YAML: {error}") from error
    if not isinstance(document, dict):
        raise UsageProblem(
            f"`{_shown(source)}` holds {kind(document)}; a spec is an object, such as `container:` with `image:` in it"
        )
    return document


def read_folder_spec(path: Path) -> FolderSpec:
    """Read a spec file; paths in it that are relative start at its folder."""
    return folder_spec(read_object(str(path)), path)


def folder_spec(written: dict[str, Any], path: Path) -> FolderSpec:
    """Return what the document of a spec file means."""
    document = dict(written)
    sample = document.pop("sample", None)
    document.pop("server", None)  # what modelport's own server reads, beside the model
    if preset := document.get("preset"):
        preset_named(preset)
    if sample is not None and not isinstance(sample, list):
        raise UsageProblem(f"`sample` in `{path}` is {kind(sample)}; it must be a list of instances")
    return FolderSpec(_anchored(document, path.absolute().parent), sample)


def find_spec(folder: Path) -> Path | None:
    """Return the spec file of a folder, or None."""
    return next((folder / name for name in SPEC_FILES if (folder / name).is_file()), None)


def read_instances(source: str) -> list[Any]:
    """Return instances: one JSON document in a line, or one JSON array with all of them."""
    text = read_text(source)
    if not text.strip():
        raise UsageProblem(f"`{_shown(source)}` is empty; it must hold at least one instance, one in a line")
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        instances = [json.loads(line) for line in lines]
    except ValueError as line_error:
        try:
            whole = json.loads(text)
        except ValueError:
            raise UsageProblem(
                f"`{_shown(source)}` is not JSON: {line_error}", hint="Write one instance in a line, or a JSON array"
            ) from line_error
        return whole if isinstance(whole, list) else [whole]
    match instances:
        # A single line that holds rows is the array of all instances; `[5.1, 3.5]` alone is one instance.
        case [[_, *_] as rows] if all(isinstance(row, list | dict) for row in rows):
            return list(rows)
    return instances


def _anchored(version: dict[str, Any], folder: Path) -> dict[str, Any]:
    anchored = dict(version)
    for field in ("deploymentUri", "deployment_uri"):
        if isinstance(uri := version.get(field), str) and uri and "://" not in uri:
            anchored[field] = os.path.normpath(folder / uri)
    for field in ("packageUris", "package_uris"):
        if isinstance(uris := version.get(field), list):
            anchored[field] = [_anchored_path(uri, folder) for uri in uris]
    container = version.get("container")
    if isinstance(container, dict) and isinstance(image := container.get("image"), str) and looks_like_path(image):
        anchored["container"] = {**container, "image": str((folder / Path(image)).resolve())}
    return anchored


def _anchored_path(uri: object, folder: Path) -> object:
    return os.path.normpath(folder / uri) if isinstance(uri, str) and uri and "://" not in uri else uri


def looks_like_path(text: str) -> bool:
    """Return whether an image is a folder rather than a reference in a registry."""
    return text in (".", "..") or text.startswith(("./", "../", "/", "~"))


def _shown(source: str) -> str:
    return "stdin" if source == "-" else source


def kind(value: object) -> str:
    """Return what a value of JSON is, in words."""
    names = {list: "a list", dict: "an object", str: "a text", type(None): "nothing"}
    return names.get(type(value), f"a {type(value).__name__}")

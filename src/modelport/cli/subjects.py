"""Subjects: what the TARGET of a check is: an image, a spec file, a folder, or a case. Looks, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelport.cli.sources import is_folder
from modelport.cli.specs import FolderSpec, find_spec, folder_spec, read_object, read_text
from modelport.cli.usage import UsageProblem
from modelport.doctor.case import Case, from_json, is_case

_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Given:
    """What is to be checked, before options and before anything is built.

    Attributes:
        target: an image or a folder; empty where the spec alone says what to run.
        spec: what the spec file means.
        written: the spec file as its author wrote it; for an image without one, the least that names it.
        file: the spec file, or None.
    """

    target: str
    spec: FolderSpec
    written: dict[str, Any]
    file: Path | None = None


def read_target(target: str, file: Path | None) -> Given | Case:
    """Return what a target is.

    Args:
        target: as it was typed.
        file: the spec file that an option names, or None.
    """
    path = Path(target)
    if path.is_file():
        document = read_object(target)
        if is_case(document):
            return from_json(read_text(target), target)
        if path.suffix not in _SUFFIXES:
            raise UsageProblem(
                f"`{target}` is not a spec: its name ends with `{path.suffix}`, not .yaml, .yml or .json"
            )
        if file is not None:
            raise UsageProblem(f"`{target}` and --spec {file} are both specs", hint="Leave one of them out")
        return _spec_file(path, document)
    if path.suffix in _SUFFIXES and not path.is_dir():
        raise UsageProblem(f"`{target}` does not exist", hint="Name an image, a spec file, a folder, or a saved case")
    folder = is_folder(target)
    if folder and file is None:
        file = find_spec(path)
    if file is not None:
        document = read_object(str(file))
        written = document if folder else {**document, "container": {**_container(document), "image": target}}
        return Given(target, folder_spec(document, file), written, file)
    written = {} if folder else {"container": {"image": target}}
    return Given(target, FolderSpec({}), written)


def _spec_file(path: Path, document: dict[str, Any]) -> Given:
    """Return a spec file's meaning; one that names no image speaks of the folder that it lies in."""
    spec = folder_spec(document, path)
    container = document.get("container")
    if isinstance(container, dict | None) and not (container or {}).get("image") and _is_of_folder(path):
        return Given(str(path.parent), spec, document, path)
    return Given("", spec, document, path)


def _is_of_folder(path: Path) -> bool:
    return path.name.startswith("modelport.") or (path.parent / "Dockerfile").is_file()


def _container(document: dict[str, Any]) -> dict[str, Any]:
    container = document.get("container")
    return container if isinstance(container, dict) else {}

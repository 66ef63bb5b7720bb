"""Which file of a folder is the model, and of which framework it is."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import Framework, framework_of, framework_of_content, model_files

_HEAD_BYTES = 512
_LISTED = 20


def detected(folder: Path, file: str = "") -> Framework:
    """Return the framework of the files in a folder, or of this one of them.

    Contents go before names where they tell: anything may be called model.json.

    Raises:
        ModelCannotBeLoaded: they are of no framework that is known.
    """
    names = [file] if file else _names(folder)
    by_name = framework_of(names)
    if by_name is None or model_files(names, by_name)[0].endswith((".json", ".txt")):
        told = (framework_of_content(head(folder / name)) for name in _files_first(names) if (folder / name).is_file())
        found = next((framework for framework in told if framework), by_name)
    else:
        found = by_name
    if found is None and _exported_versions(folder):
        found = Framework.TENSORFLOW  # TensorFlow Serving's layout: 1/saved_model.pb
    if found is None:
        raise ModelCannotBeLoaded(
            f"No framework is known for the files of `{folder}`: {_listed(names)}",
            hint=_one_level_deeper(folder, None) or f"Name it with --framework: {', '.join(Framework)}",
        )
    return found


def model_file(folder: Path, framework: Framework, chosen: str = "") -> Path:
    """Return the file that holds the model of this framework: `chosen`, or the only one that can be it.

    Of several, one that is called `model` is taken, as the original service did, and one whose contents tell.

    Raises:
        ModelCannotBeLoaded: there is none, or there are several.
    """
    if chosen:
        if not (folder / chosen).is_file():
            raise ModelCannotBeLoaded(
                f"`{folder}` has no file `{chosen}`; it has {_listed(_names(folder))}",
                hint="Correct --model-file, which is relative to the folder",
            )
        return folder / chosen
    found = [name for name in model_files(_names(folder), framework) if (folder / name).is_file()]
    if len(found) > 1:
        told = [name for name in found if framework_of_content(head(folder / name)) is framework]
        found = told or found
    if len(found) > 1:
        found = [name for name in found if PurePosixPath(name).stem == "model"] or found
    if len(found) == 1:
        return folder / found[0]
    if not found:
        raise ModelCannotBeLoaded(
            f"`{folder}` has no model file of {framework}: {_listed(_names(folder))}",
            hint=_one_level_deeper(folder, framework) or "Name the file with --model-file, or another --framework",
        )
    raise ModelCannotBeLoaded(
        f"`{folder}` has {len(found)} model files of {framework}: {_listed(found)}",
        hint=f"Name one with --model-file, such as `--model-file {found[0]}`, or leave only one in the folder",
    )


def head(file: Path) -> bytes:
    """Return the first bytes of a file, enough for `framework_of_content`."""
    with file.open("rb") as opened:
        return opened.read(_HEAD_BYTES)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _files_first(names: list[str]) -> list[str]:
    """Return the names with those called `model` in front: beside a model there may be any number of other files."""
    return sorted(names, key=lambda name: (PurePosixPath(name).stem != "model", name))


def _exported_versions(folder: Path) -> bool:
    versions = [path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()]
    return any(framework_of(_names(version)) is Framework.TENSORFLOW for version in versions)


def _one_level_deeper(folder: Path, framework: Framework | None) -> str:
    """Return a hint where a folder inside this one holds what is looked for."""
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        wanted = framework or framework_of(_names(inner))
        if wanted and model_files(_names(inner), wanted):
            return f"The model lies one folder deeper: name `{inner}`"
    return ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(f"`{name}`" for name in names[:_LISTED]) or "nothing") + more

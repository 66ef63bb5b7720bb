"""The models of a folder of models, by name: each subfolder is one, and so is each model file that lies beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import framework_of
from modelport.server.notices import notice

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def catalogue(folder: Path) -> Mapping[str, Path]:
    """Return the folder or file of every model by its name, in the order of the names. Nothing is loaded.

    What is no model, such as a README, is passed over; what might be one and cannot be named in a URL is told.

    Raises:
        ModelCannotBeLoaded: there is no model, or two have the same name.
    """
    if not folder.is_dir():
        raise ModelCannotBeLoaded(f"`{folder}` is no folder of models", hint="Name a folder with one subfolder a model")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            name = path.name
        elif framework_of([path.name]) is not None:
            name = path.stem
        else:
            continue
        if not _NAME.fullmatch(name):
            notice(f"`{path.name}` is passed over: a model's name has letters, digits, `.`, `_` and `-` only")
        elif name in found:
            raise ModelCannotBeLoaded(
                f"Two models of `{folder}` are called `{name}`: `{found[name].name}` and `{path.name}`",
                hint="Rename one of them",
            )
        else:
            found[name] = path
    if not found:
        raise ModelCannotBeLoaded(
            f"`{folder}` holds no models", hint="Put each model into a subfolder of its own, named as it is asked for"
        )
    return found


def size_on_disk(path: Path) -> int:
    """Return the bytes of a model's files: what it may need in memory, as long as nobody has measured that."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

"""A model on this machine, as `run` and `dry-run` take it: code of a predictor, or a folder of model files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from modelport.cli.usage import UsageProblem

TargetArgument = Annotated[
    str, typer.Argument(metavar="TARGET", help="FILE.py:CLASS, MODULE:CLASS, or a folder of model files.")
]
ServedArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="FILE.py:CLASS, MODULE:CLASS, a folder of model files, or a listener.yaml or its folder.",
    ),
]
ModelDirOption = Annotated[
    Path | None, typer.Option("--model-dir", metavar="DIR", help="Folder that the predictor loads from.")
]
FrameworkOption = Annotated[
    str, typer.Option("--framework", metavar="F", help="Framework of a folder's files. [default: by the files]")
]

_LISTENER_FILE = "listener.yaml"
_YAML = (".yaml", ".yml")
_WATCHED = 5000
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages"})


@dataclass(frozen=True)
class LocalModel:
    """What is to be served: either `predictor` or `framework` says how `model_dir` is loaded, or the files do.

    A `listener` stands before model servers; `model_dir` is for them.
    """

    predictor: str
    model_dir: Path | None
    framework: str
    listener: Path | None = None

    def __str__(self) -> str:
        return self.predictor or str(self.listener or self.model_dir)

    @property
    def watched(self) -> Path:
        """Return the folder whose change means another model."""
        if self.listener is not None:
            return self.listener.parent
        if not self.predictor and self.model_dir is not None:
            return self.model_dir
        file = Path(self.predictor.partition(":")[0])
        return file.parent if file.suffix == ".py" and file.is_file() else Path()

    @property
    def endings(self) -> tuple[str, ...]:
        """Return how the names of the files end whose change means another model."""
        if self.listener is not None:
            return (".py", *_YAML)
        return (".py",) if self.predictor else ("",)


def read_model(target: str, model_dir: Path | None, framework: str) -> LocalModel:
    """Tell a folder from a predictor; paths must exist.

    Raises:
        UsageProblem: the arguments do not go together, or name what is not there.
    """
    if model_dir is not None and not model_dir.is_dir():
        raise UsageProblem(f"`--model-dir {model_dir}` is no folder")
    if not Path(target).is_dir():
        if "/" in target and ".py" not in target:
            raise UsageProblem(f"`{target}` does not exist", hint="Name a folder, or a predictor as FILE.py:CLASS")
        if framework:
            raise UsageProblem("`--framework` is for a folder of model files; a predictor loads them itself")
        return LocalModel(target, model_dir, "")
    if model_dir is not None:
        raise UsageProblem(f"`{target}` is a folder already", hint="Leave --model-dir out")
    return LocalModel("", Path(target), framework)


def read_served(target: str, model_dir: Path | None, framework: str) -> LocalModel:
    """Tell a listener from a folder and a predictor; paths must exist.

    Raises:
        UsageProblem: as of `read_model`.
    """
    path = Path(target)
    path = path / _LISTENER_FILE if (path / _LISTENER_FILE).is_file() else path
    if path.suffix not in _YAML:
        return read_model(target, model_dir, framework)
    if not path.is_file():
        raise UsageProblem(f"`{target}` does not exist", hint="Name a listener.yaml, or a folder that has one")
    if model_dir is not None and not model_dir.is_dir():
        raise UsageProblem(f"`--model-dir {model_dir}` is no folder")
    if framework:
        raise UsageProblem(
            "`--framework` is for a folder of model files; a listener says itself how its models are served"
        )
    return LocalModel("", model_dir, "", path)


def snapshot(model: LocalModel) -> dict[str, tuple[int, int]]:
    """Return time and size of every file that is part of the model: the code, or all files of a model folder."""
    return {
        entry.path: (status.st_mtime_ns, status.st_size)
        for _, entry in zip(range(_WATCHED), _files(model.watched, model.endings), strict=False)
        if (status := _status(entry)) is not None
    }


def _files(folder: Path, endings: tuple[str, ...]) -> Iterator[os.DirEntry[str]]:
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:  # gone meanwhile, or not ours to read
            continue
        if any(entry.name == "pyvenv.cfg" for entry in found):
            continue
        for entry in found:
            if entry.name.startswith(".") or entry.name in _LEFT_OUT:
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif entry.name.endswith(endings):
                yield entry


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:
        return None

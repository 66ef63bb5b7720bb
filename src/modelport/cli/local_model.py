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
ModelDirOption = Annotated[
    Path | None, typer.Option("--model-dir", metavar="DIR", help="Folder that the predictor loads from.")
]
FrameworkOption = Annotated[
    str, typer.Option("--framework", metavar="F", help="Framework of a folder's files. [default: by the files]")
]

_WATCHED = 5000
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages"})


@dataclass(frozen=True)
class LocalModel:
    """What is to be served: either `predictor` or `framework` says how `model_dir` is loaded, or the files do."""

    predictor: str
    model_dir: Path | None
    framework: str

    def __str__(self) -> str:
        return self.predictor or str(self.model_dir)

    @property
    def watched(self) -> Path:
        """Return the folder whose change means another model."""
        if not self.predictor and self.model_dir is not None:
            return self.model_dir
        file = Path(self.predictor.partition(":")[0])
        return file.parent if file.suffix == ".py" and file.is_file() else Path()


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


def snapshot(model: LocalModel) -> dict[str, tuple[int, int]]:
    """Return time and size of every file that is part of the model: the code, or all files of a model folder."""
    return {
        entry.path: (status.st_mtime_ns, status.st_size)
        for _, entry in zip(range(_WATCHED), _files(model.watched, ".py" if model.predictor else ""), strict=False)
        if (status := _status(entry)) is not None
    }


def _files(folder: Path, ending: str) -> Iterator[os.DirEntry[str]]:
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
            elif entry.name.endswith(ending):
                yield entry


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:
        return None

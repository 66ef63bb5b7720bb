"""`modelport init`: writes a folder to start from, with all that `modelport check` and `modelport deploy` need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelport.cli.output import columns
from modelport.cli.session import Session
from modelport.cli.usage import UsageProblem
from modelport.wheel import write_wheel

TEMPLATES = {
    "flask": "a server of your own with Flask and gunicorn, around a scikit-learn model",
    "fastapi": "a server of your own with FastAPI and uvicorn, around a scikit-learn model",
    "sklearn": "a scikit-learn model, served by modelport",
    "xgboost": "an XGBoost model, served by modelport",
    "tensorflow": "a TensorFlow SavedModel, served by modelport",
    "pytorch": "a PyTorch model, served by modelport",
    "onnx": "an ONNX model, served by modelport",
    "predictor": "code of your own around a model, served by modelport",
    "listener": "steps of your own before and behind a model server, put together in YAML",
}

_FOLDER = Path(__file__).parents[1] / "templates"
# Stands in requirements.txt for the name of the wheel, which holds the version.
_WHEEL = "{wheel}"

TemplateArgument = Annotated[
    str, typer.Argument(metavar="TEMPLATE", help="What to start from; without it, the templates are listed.")
]
FolderArgument = Annotated[
    Path | None, typer.Argument(metavar="FOLDER", help="Where to write it. [default: the template's name]")
]


def init(session: Session, template: TemplateArgument = "", folder: FolderArgument = None) -> None:
    """Write a folder to start from: Dockerfile, server or training, test and spec.

    It builds and passes `modelport check` as it is. Files that are there already are never overwritten.
    """
    if not template:
        document = [{"template": name, "description": description} for name, description in TEMPLATES.items()]
        session.out.show(document, columns(("TEMPLATE", "WHAT IT IS"), list(TEMPLATES.items())))
        return
    if template not in TEMPLATES:
        raise UsageProblem(f"There is no template `{template}`", hint=f"Choose one of {', '.join(TEMPLATES)}")
    target = folder or Path(template)
    written = write(template, target)
    lines = "\n".join(f"  {path}" for path in written)
    following = f"modelport check {target}"
    session.out.show(
        {"template": template, "folder": str(target), "files": [str(path) for path in written], "next": following},
        f"wrote {target}:\n{lines}\n\nnext: {following}",
    )


def write(template: str, target: Path) -> list[Path]:
    """Write the files of a template, and modelport's own wheel where its image installs that; return their paths.

    Raises:
        UsageProblem: one of them is there already; nothing is written.
    """
    texts = {path: (_FOLDER / template / path).read_text(encoding="utf-8") for path in _files(_FOLDER / template)}
    _require_room(target, texts)
    try:
        target.mkdir(parents=True, exist_ok=True)
        written = list(texts)
        if any(_WHEEL in text for text in texts.values()):
            wheel = write_wheel(target).name
            texts = {path: text.replace(_WHEEL, wheel) for path, text in texts.items()}
            written.append(Path(wheel))
        for path, text in texts.items():
            (target / path).parent.mkdir(exist_ok=True)
            (target / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageProblem(f"Cannot write `{error.filename}`: {(error.strerror or str(error)).lower()}") from error
    return sorted(written)


def _files(folder: Path) -> list[Path]:
    # Installers compile modules where they lie.
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _require_room(target: Path, files: dict[Path, str]) -> None:
    if target.exists() and not target.is_dir():
        raise UsageProblem(f"`{target}` is a file; a folder is written", hint="Name a new folder")
    folders = {parent for path in files for parent in path.parents if (target / parent).exists()}
    in_the_way = [path for path in files if (target / path).exists() or (target / path).is_symlink()]
    in_the_way += [folder for folder in folders if not (target / folder).is_dir()]
    if in_the_way:
        names = ", ".join(f"`{path}`" for path in sorted(in_the_way))
        raise UsageProblem(f"`{target}` has {names} already, and nothing is overwritten", hint="Name a new folder")

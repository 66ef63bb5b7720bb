"""Where a predictor's code is: MODULE:CLASS, MODULE.CLASS or FILE.py:CLASS, imported and found, or a clear error."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from modelport.core.errors import ModelCannotBeLoaded

# What user code may raise while it is loaded: anything, and it may call `sys.exit`.
CODE_FAILURES = (Exception, SystemExit)

_FORMS = "MODULE:CLASS, MODULE.CLASS or FILE.py:CLASS"


@dataclass(frozen=True)
class Source:
    """What a text such as `my_predictor.py:Predictor` means: one of `file` and `module`, and a name, or empty."""

    file: Path | None
    module: str
    name: str


def parse(spec: str) -> Source:
    """Read the three forms; a file without a name stands for the one predictor that is in it.

    Raises:
        ModelCannotBeLoaded: it has none of these forms.
    """
    place, _, name = spec.partition(":")
    if place.endswith(".py"):
        source = Source(Path(place), "", name)
    elif ":" in spec:
        source = Source(None, place, name)
    else:
        module, _, name = spec.rpartition(".")
        source = Source(None, module, name)
    words = [*source.module.split("."), source.name] if source.file is None else [name or "any"]
    if not all(word.isidentifier() for word in words):
        raise ModelCannotBeLoaded(
            f"`{spec}` does not say where the predictor is", hint=f"Write it as {_FORMS}: my_predictor.py:Predictor"
        )
    return source


def find(spec: str, model_dir: Path | None) -> Any:
    """Return the class, function or object that a text names, after importing its module.

    A file is looked for in the working directory, then in the model's folder; its own folder comes first on the import
    path, as with a script. A module is looked for on the import path, the working directory and the model's folder.

    Raises:
        ModelCannotBeLoaded: there is no such file, module or name, or importing it fails.
    """
    source = parse(spec)
    module = module_in(source.file, model_dir) if source.file else module_called(source.module, model_dir)
    if not source.name:
        return _only(module)
    found = getattr(module, source.name, None)
    if found is None:
        raise absent(module, source.name, _candidates(module))
    return found


def place_of(found: Any) -> str:
    """Return `file:line` of a class, function or method; empty where it has none."""
    try:
        found = inspect.unwrap(getattr(found, "__func__", found))
        return f"{inspect.getsourcefile(found)}:{inspect.getsourcelines(found)[1]}"
    except (OSError, TypeError):
        return ""


def failing_place(error: BaseException) -> str:
    """Return `file:line` where the user's own code raised: the last line that is no library's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _foreign(frame.filename)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def cannot(what: str, error: BaseException, *, hint: str = "") -> ModelCannotBeLoaded:
    """Return the error for user code that raised while the model was loaded, with its place and its last lines."""
    place = failing_place(error)
    where = f" ({place})" if place else ""
    lines = "".join(traceback.format_exception(error)).splitlines()[-20:]
    problem = ModelCannotBeLoaded(
        f"{what}: {summary(error)}{where}",
        hint=hint or (f"Correct it at {place}" if place else "See the server's log"),
        debug=tuple(lines),
    )
    if place:
        problem.metadata["location"] = place
    return problem


def summary(error: BaseException) -> str:
    """Return type and first line of an exception, as at the end of a traceback."""
    said = error.msg if isinstance(error, SyntaxError) else str(error)  # its text has the place in it as well
    text = (said.splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def module_in(file: Path, model_dir: Path | None) -> ModuleType:
    """Import a file, looked for in the working directory, then in the model's folder.

    Raises:
        ModelCannotBeLoaded: it is not there, or importing it fails.
    """
    choices = [file, *([model_dir / file] if model_dir and not file.is_absolute() else [])]
    path = next((choice.resolve() for choice in choices if choice.is_file()), None)
    if path is None:
        raise ModelCannotBeLoaded(
            f"The file `{file}` does not exist; looked in {', '.join(str(one.parent.resolve()) for one in choices)}",
            hint="Correct the path",
        )
    if not path.stem.isidentifier():
        raise ModelCannotBeLoaded(f"`{path.name}` is no name of a module", hint="Rename it: letters, digits, _")
    _import_from(path.parent, first=True)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Pickles made beside the predictor's classes, and its other files, find it by this name.
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except CODE_FAILURES as error:
        sys.modules.pop(path.stem, None)
        raise _not_importable(file.name, error) from error
    return module


def module_called(name: str, model_dir: Path | None) -> ModuleType:
    """Import a module from the import path, the working directory or the model's folder.

    Raises:
        ModelCannotBeLoaded: it is not there, or importing it fails.
    """
    for folder in (Path.cwd(), model_dir):
        if folder is not None:
            _import_from(folder.resolve(), first=False)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _not_importable(name, error) from error
        raise ModelCannotBeLoaded(
            f"No module named `{error.name}` is installed or in {Path.cwd()}{f' or {model_dir}' if model_dir else ''}",
            hint="Install the package that holds it, or name the file: FILE.py:CLASS",
        ) from error
    except CODE_FAILURES as error:
        raise _not_importable(name, error) from error


def _import_from(folder: Path, *, first: bool) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0 if first else len(sys.path), str(folder))


def _not_importable(name: str, error: BaseException) -> ModelCannotBeLoaded:
    hint = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"Install the package that holds `{error.name}`, or put the module beside the predictor"
    return cannot(f"`{name}` cannot be imported", error, hint=hint)


def _candidates(module: ModuleType) -> list[str]:
    """Return the names of what could be a predictor, defined in this module itself."""
    return [
        name
        for name, one in vars(module).items()
        if getattr(one, "__module__", "") == module.__name__
        and ((isinstance(one, type) and callable(getattr(one, "predict", None))) or _is_predict(name, one))
    ]


def _is_predict(name: str, one: object) -> bool:
    return name == "predict" and inspect.isfunction(one)


def _only(module: ModuleType) -> Any:
    names = _candidates(module)
    if len(names) != 1:
        there = f"several predictors: {', '.join(names)}" if names else "no class with a method `predict`"
        raise ModelCannotBeLoaded(
            f"`{Path(module.__file__ or module.__name__).name}` holds {there}",
            hint="Name one: FILE.py:CLASS" if names else "Write one, or a function `predict(instances)`",
        )
    return getattr(module, names[0])


def absent(module: ModuleType, name: str, names: list[str], kind: str = "predictor") -> ModelCannotBeLoaded:
    """Return the error for a name that a module does not hold; `names` are those it could have been."""
    near = difflib.get_close_matches(name, names, 1)
    there = f"is no {kind}"
    if names:
        there = f"{'is' if len(names) == 1 else 'are'} {', '.join(f'`{one}`' for one in names)}"
    return ModelCannotBeLoaded(
        f"`{Path(module.__file__ or module.__name__).name}` holds no `{name}`; there {there}",
        hint=f"Write `{near[0]}`" if near else "Correct the name behind the colon",
    )


def _foreign(filename: str) -> bool:
    """Return whether a frame is of Python itself, of an installed library, or of this server."""
    path = Path(filename)
    return (
        filename.startswith("<")
        or Path(__file__).parent in path.parents
        or "site-packages" in path.parts
        or Path(traceback.__file__).parent in path.parents
    )

"""Where a listener is declared: a YAML file, or an instance of `Listener` in Python; read and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded, Violation
from modelport.server.listener.declaration import Listener
from modelport.server.listener.listener_config import DEFAULT_FILE as DEFAULT_FILE
from modelport.server.listener.notation.listener_file import read_document, refuse
from modelport.server.listener.notation.yaml_document import Document
from modelport.server.listener.steps.functions import Functions
from modelport.server.listener.validation.violations import refuse_declared, violations
from modelport.server.predictor_source import absent, module_called, module_in


def load_listener(target: str | Path) -> Listener:
    """Return the listener that a text names, after all checks that need none of its functions.

    Args:
        target: a YAML file, a folder with a listener.yaml, `FILE.py:NAME` or `MODULE:NAME`.

    Raises:
        InvalidArgument: some of it cannot be used; has all that is wrong.
        ModelCannotBeLoaded: the code that declares it cannot be imported, or has no such name.
    """
    document, listener = _declared(target)
    _refuse(document, violations(listener))
    return listener


def examine(target: str | Path) -> Listener:
    """Return the listener that a text names, after all checks: its functions are imported, and their hints compared.

    Raises:
        InvalidArgument: as of `load_listener`, and where a function cannot be loaded.
        ModelCannotBeLoaded: as of `load_listener`.
    """
    document, listener = _declared(target)
    functions: dict[tuple[str, str], Callable[..., Any]] = {}
    failed: list[Violation] = []
    load = Functions(folder_of(target)).ready
    for stack in listener.stacks:
        for step in stack.steps:
            try:
                if step.python:
                    functions[stack.name, step.name] = load(step.python)
            except ModelCannotBeLoaded as error:
                failed.append(Violation(f"stacks.{stack.name}.{step.name}.python", error.message))
    # What is no name of code was told once.
    found = violations(listener, functions)
    told = {one.field for one in found}
    _refuse(document, [*found, *(one for one in failed if one.field not in told)])
    return listener


def _declared(target: str | Path) -> tuple[Document | None, Listener]:
    """Return the document, where it is YAML, and what it declares; not checked."""
    place, _, name = str(target).rpartition(":")
    if not place or not name.isidentifier():
        path = Path(target)
        if path.suffix == ".py":
            raise InvalidArgument(f"`{target}` does not say which listener", hint=f"Write {target}:NAME")
        return read_document(path / DEFAULT_FILE if path.is_dir() else path)
    module = module_in(Path(place), None) if place.endswith(".py") else module_called(place, Path.cwd())
    found = getattr(module, name, None)
    if found is None:
        declared = [one for one, value in vars(module).items() if isinstance(value, Listener)]
        raise absent(module, name, declared, "listener")
    if not isinstance(found, Listener):
        raise InvalidArgument(
            f"`{target}` is of the type `{type(found).__name__}`, a `Listener` is wanted",
            hint="Make one with `modelport.server.listener.declaration.Listener(…)`",
        )
    return None, found


def _refuse(document: Document | None, found: Sequence[Violation]) -> None:
    if document is not None:
        refuse(document, found)
    else:
        refuse_declared(found)


def folder_of(target: str | Path) -> Path:
    """Return the folder that files in a listener's steps are relative to: that of the file which declares it."""
    place, _, name = str(target).rpartition(":")
    if place and name.isidentifier():
        return Path(place).parent if place.endswith(".py") else Path()
    path = Path(target)
    return path if path.is_dir() else path.parent

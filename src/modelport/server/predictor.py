"""Predictors: code of the user's seen as a model, whichever of the known interfaces it is written to.

Three are known: `from_path` and `predict`, as in AI Platform's custom prediction routines; `load(artifacts_uri)` and
verbs over the whole request, as in Vertex AI's; and our own `load`, `preprocess`, `predict`, `postprocess`, of which
only `predict` is required and which a plain function fulfils too. Which one it is, is decided once, by what is there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.server.bytes_in_json import with_bytes
from modelport.server.model import Model
from modelport.server.predictor_models import Verbs, VertexModel, model_of
from modelport.server.predictor_source import CODE_FAILURES, cannot, find, place_of
from modelport.server.signatures import Verb, wrong_signature

_VERTEX_ARGUMENT = "artifacts_uri"


@dataclass(frozen=True)
class Traits:
    """What the attributes of a predictor say: instances that it can predict, and how it may be called."""

    example: list[Any]
    row_wise: bool
    threads: int


def load_predictor(spec: str, model_dir: Path | None) -> Model:
    """Return the predictor that `spec` names (MODULE:CLASS, MODULE.CLASS or FILE.py:CLASS) as a model, loaded.

    Raises:
        ModelCannotBeLoaded: it is not there, its code fails, or it has not the form of a predictor.
    """
    found = find(spec, model_dir)
    if not isinstance(found, type):
        return _unloaded(found, spec)
    if not callable(getattr(found, "predict", None)):
        raise wrong_signature(found, "has no method `predict`", "Add `def predict(self, instances)`")
    if callable(getattr(found, "from_path", None)):
        return _from_path(found, model_dir)
    instance = constructed(found)
    verbs = _verbs(instance)
    load = getattr(instance, "load", None)
    vertex = callable(load) and next(iter(inspect.signature(load).parameters), "") == _VERTEX_ARGUMENT
    if callable(load):
        _load(load, model_dir, as_text=vertex)
    traits = traits_of(instance)
    return VertexModel(verbs, traits.example) if vertex else _model(verbs, traits)


def traits_of(predictor: Any) -> Traits:
    """Read the attributes `example`, `row_wise` and `threads`.

    Raises:
        ModelCannotBeLoaded: one is not what it has to be.
    """
    example = getattr(predictor, "example", None)
    if example is not None and not isinstance(example, list | tuple | np.ndarray):
        raise _wrong_trait(predictor, "example", example, "a list of instances")
    threads = getattr(predictor, "threads", 1)
    if not isinstance(threads, int) or threads < 1:
        raise _wrong_trait(predictor, "threads", threads, "a number from 1")
    rows = example.tolist() if isinstance(example, np.ndarray) else deepcopy(list(example or ()))
    try:
        rows = with_bytes(rows)  # as a request would bring them
    except InvalidArgument as error:
        raise _wrong_trait(predictor, "example", error.message, "base64") from error
    return Traits(rows, bool(getattr(predictor, "row_wise", False)), threads)


def _unloaded(found: Any, spec: str) -> Model:
    """Return the model of a function, or of an object that is loaded already."""
    if callable(getattr(found, "predict", None)):
        return _model(_verbs(found), traits_of(found))
    if not callable(found):
        raise ModelCannotBeLoaded(
            f"`{spec}` is {type(found).__name__}, neither a class nor a function",
            hint="Name a class with a method `predict`, or a function `predict(instances)`",
        )
    return _model(Verbs(None, Verb(found), None), traits_of(found))


def _from_path(found: type, model_dir: Path | None) -> Model:
    folder = _folder(found.from_path, model_dir)  # type: ignore[attr-defined]
    try:
        instance = found.from_path(folder)  # type: ignore[attr-defined]
    except CODE_FAILURES as error:
        raise cannot(f"`{found.__name__}.from_path` failed", error) from error
    if not callable(getattr(instance, "predict", None)):
        raise wrong_signature(
            found.from_path,  # type: ignore[attr-defined]
            f"returned {type(instance).__name__}, which has no method `predict`",
            "Return an instance of the class: `return cls(model)`",
        )
    # That interface has no other verbs: a method called `preprocess` is the class's own business.
    return _model(Verbs(None, Verb(instance.predict), None), traits_of(instance))


def constructed(found: type) -> Any:
    """Return an instance of a class that nothing is given to. Raises ModelCannotBeLoaded where that cannot be."""
    wanted = [
        one.name
        for one in _parameters(found)
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if wanted:
        raise wrong_signature(
            found,
            f"is constructed with {', '.join(f'`{name}`' for name in wanted)}, and nobody is there to give it",
            "Add `from_path(cls, model_dir)`, which constructs it, or read files in `load(self, model_dir)`",
        )
    try:
        return found()
    except CODE_FAILURES as error:
        raise cannot(f"`{found.__name__}()` failed", error) from error


def _parameters(found: type) -> Iterator[inspect.Parameter]:
    try:
        yield from inspect.signature(found).parameters.values()
    except ValueError:  # a constructor written in C
        return


def _load(load: Callable[..., Any], model_dir: Path | None, *, as_text: bool) -> None:
    if inspect.iscoroutinefunction(load):
        raise wrong_signature(load, "is a coroutine function", "Write it without `async`: no request waits for it")
    takes_folder = bool(inspect.signature(load).parameters)
    folder = _folder(load, model_dir) if takes_folder else ""
    try:
        if takes_folder:
            load(folder if as_text else Path(folder))
        else:
            load()
    except CODE_FAILURES as error:
        raise cannot(f"`{getattr(load, '__qualname__', 'load')}` failed", error) from error


def _folder(wanting: Any, model_dir: Path | None) -> str:
    if model_dir is None:
        raise wrong_signature(wanting, "wants the folder of the model, and none was named", "Add --model-dir DIR")
    return str(model_dir)


def _verbs(instance: Any) -> Verbs:
    def verb(name: str) -> Verb | None:
        function = getattr(instance, name, None)
        return Verb(function) if callable(function) else None

    return Verbs(verb("preprocess"), Verb(instance.predict), verb("postprocess"))


def _model(verbs: Verbs, traits: Traits) -> Model:
    return model_of(verbs, example=traits.example, row_wise=traits.row_wise, threads=traits.threads)


def _wrong_trait(predictor: Any, name: str, value: Any, wanted: str) -> ModelCannotBeLoaded:
    kind = predictor if isinstance(predictor, type) else type(predictor)
    place = place_of(kind)
    return ModelCannotBeLoaded(
        f"`{kind.__name__}.{name}` is {str(value)[:80]!r}, {wanted} is wanted{f' ({place})' if place else ''}",
        hint=f"Correct `{name}`",
    )

"""The loader of CatBoost: models in its binary format and in JSON, and pickled ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, required
from modelport.server.loaders.columns import Columns, described
from modelport.server.loaders.files import head, model_file
from modelport.server.loaders.pickles import SUFFIXES
from modelport.server.model import Batch, Form, LibraryVersion, Model, ModelInfo, Parameters, TensorInfo
from modelport.server.skew import compared

_NAME = "catboost"
_CLASSES = ("predict", "predict_proba", "predict_log_proba")
# Their models tell classes apart.
_CLASSIFYING = (
    "Logloss", "CrossEntropy", "Focal", "MultiClass", "MultiClassOneVsAll", "MultiLogloss", "MultiCrossEntropy",
)  # fmt: skip
_RELEASE = re.compile(r"(?:tags/v|release )(\d+(?:\.\d+)+)")


class CatBoostModel:
    """One model; `parameters.method` of a request chooses another method than the usual one."""

    def __init__(self, model: Any, options: LoadOptions, libraries: tuple[LibraryVersion, ...]) -> None:
        self._threads = options.threads
        self._methods = {name: getattr(model, name) for name in _CLASSES if hasattr(model, name)}
        if options.method not in self._methods:
            known = ", ".join(f"`{name}`" for name in self._methods)
            raise ModelCannotBeLoaded(
                f"A `{type(model).__name__}` has no method `{options.method}`; it has {known}",
                hint="Name one of them with --method",
            )
        self._usual = self._methods[options.method]
        self._refusal = required(_NAME, Framework.CATBOOST).CatBoostError
        names = model.feature_names_ or []
        named = names != [str(place) for place in range(len(names))]
        self._columns = Columns(tuple(names) if named else (), len(names))
        self._worded = frozenset(
            (
                *model.get_cat_feature_indices(),
                *model.get_text_feature_indices(),
                *model.get_embedding_feature_indices(),
            )
        )
        self.info = ModelInfo(
            framework=Framework.CATBOOST,
            inputs=() if self._worded else (TensorInfo("instances", "FP64", (-1, len(names))),),
            # A whole number may be a category, and must not become 1.0 because there is a 2.5 beside it.
            form=Form.PYTHON if self._worded else Form.ARRAY,
            libraries=libraries,
            warm_up=[] if self._worded else [[0.0] * len(names)],
        )

    def preprocess(self, batch: Batch, parameters: Parameters) -> Any:
        """Put the values in the order of the columns."""
        if not self._worded:
            return self._columns.numbers(batch)
        rows = self._columns.ordered(batch)
        return [
            [float("nan") if value is None and at not in self._worded else value for at, value in enumerate(row)]
            for row in rows
        ]

    def predict(self, inputs: Any, parameters: Parameters) -> Any:
        """Call the method."""
        call = self._method(parameters["method"]) if parameters and "method" in parameters else self._usual
        try:
            return call(inputs, thread_count=self._threads)
        except self._refusal as error:
            raise ValueError(str(error).rpartition("cpp:")[2] or str(error)) from error

    def postprocess(self, outputs: Any, parameters: Parameters) -> Batch:
        """Return the outputs unchanged."""
        return outputs  # type: ignore[no-any-return]

    def _method(self, name: Any) -> Any:
        if isinstance(name, str) and name in self._methods:
            return self._methods[name]
        known = ", ".join(f"`{one}`" for one in self._methods)
        raise InvalidArgument(
            f"`parameters.method` is {described(name)}; the model has {known}",
            hint="Name one of them, or leave it out",
        )


def load(folder: Path, options: LoadOptions) -> Model:
    """Load the model of the folder, or the pickle that holds one.

    Raises:
        ModelCannotBeLoaded: there is none or there are several, it cannot be read, or CatBoost is not installed.
    """
    catboost = required(_NAME, Framework.CATBOOST)
    file = model_file(folder, Framework.CATBOOST, options.model_file)
    if file.suffix in SUFFIXES:
        from modelport.server.loaders.sklearn import pickled

        return pickled(file, options)
    form = "json" if head(file).lstrip().startswith(b"{") else "cbm"
    try:
        model = catboost.CatBoost().load_model(str(file), format=form)
        kind = _kind(catboost, str(model.get_all_params().get("loss_function", "")))
        if kind is not catboost.CatBoost:
            model = kind().load_model(str(file), format=form)
    except catboost.CatBoostError as error:
        raise ModelCannotBeLoaded(
            f"CatBoost {catboost.__version__} cannot read `{file.name}`: {error}",
            hint='Save the model again: `model.save_model("model.cbm")`',
        ) from error
    return of_object(model, folder, options)


def of_object(model: Any, folder: Path, options: LoadOptions) -> Model:
    """Return the model of a CatBoost object."""
    match = _RELEASE.search(str(model.get_metadata().get("catboost_version_info", "")))
    libraries = compared(folder, (_NAME, "numpy"), {_NAME: match[1]} if match else {})
    return CatBoostModel(model, options, libraries)


def _kind(catboost: Any, loss: str) -> Any:
    """Return the class whose `predict` gives what was trained: class labels or numbers."""
    return catboost.CatBoostClassifier if loss.partition(":")[0] in _CLASSIFYING else catboost.CatBoost

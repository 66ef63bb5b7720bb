"""The loader of scikit-learn: estimators and pipelines stored by skops, joblib, pickle or cloudpickle.

Pickles are code (see `pickles`). Estimators of other libraries in scikit-learn's manner are served alike, and the own
objects of XGBoost, LightGBM and CatBoost by their loaders.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders import estimators
from modelport.server.loaders.base import LoadOptions, required
from modelport.server.loaders.columns import Categories, Columns, described, not_finite
from modelport.server.loaders.files import model_file
from modelport.server.loaders.pickles import unpickled
from modelport.server.loaders.sklearn_direct import direct_call
from modelport.server.loaders.table_model import required_pandas
from modelport.server.model import Batch, LibraryVersion, Model, ModelInfo, Parameters, TensorInfo
from modelport.server.skew import compared

_OTHERS = {"xgboost": Framework.XGBOOST, "lightgbm": Framework.LIGHTGBM, "catboost": Framework.CATBOOST}
_WARM_UP_VALUES = 100_000
_DATATYPES = {"i": "INT64", "f": "FP64", "b": "BOOL"}


class SklearnModel:
    """One estimator; `parameters.method` of a request chooses another method than the usual one."""

    def __init__(
        self,
        estimator: Any,
        options: LoadOptions,
        *,
        framework: Framework = Framework.SCIKIT_LEARN,
        libraries: tuple[LibraryVersion, ...] = (),
        pandas: Any = None,
        categories: Categories = MappingProxyType({}),
    ) -> None:
        self._methods = {name: getattr(estimator, name) for name in estimators.methods(estimator)}
        self._columns = estimators.columns(estimator)
        self._pandas = pandas
        self._categories = categories
        self._usual = self._methods[options.method]
        if self._columns is not None and pandas is None:
            with _quietly():
                self._usual = direct_call(estimator, options.method)
        self.info = ModelInfo(
            framework=framework,
            inputs=_inputs(self._columns, frame=pandas is not None),
            outputs=_outputs(estimator, options.method),
            row_wise=estimators.is_row_wise(estimator),
            # Threads that a library started are gone after a fork, and it would wait for them.
            libraries=libraries,
            warm_up=self._warm_up(),
        )

    def preprocess(self, batch: Batch, parameters: Parameters) -> Any:
        """Make of the rows the table that the estimator was fitted on; rows that are no table stay as they are."""
        if self._columns is None or (type(batch) is np.ndarray and self._pandas is None):
            return batch
        if self._pandas is not None:
            return self._columns.frame(batch, self._pandas, self._categories)
        return self._columns.values(batch)

    def predict(self, inputs: Any, parameters: Parameters) -> Any:
        """Call the method."""
        call = self._method(parameters["method"]) if parameters and "method" in parameters else self._usual
        try:
            return call(inputs)
        except (ValueError, AttributeError) as error:
            if located := self._located(inputs, error):
                raise located from error
            raise

    def postprocess(self, outputs: Any, parameters: Parameters) -> Batch:
        """Return one prediction for each row."""
        return outputs if type(outputs) is np.ndarray else _rows(outputs)

    def _method(self, name: Any) -> Any:
        if isinstance(name, str) and name in self._methods:
            return self._methods[name]
        raise InvalidArgument(
            f"`parameters.method` is {described(name)}; the model has {_listed(self._methods)}",
            hint="Name one of them, or leave it out",
        )

    def _located(self, inputs: Any, error: Exception) -> InvalidArgument | None:
        """Return what a refusal means, where the row at fault can be found."""
        reason = str(error).partition("\n")[0]
        if self._columns is None:
            rows = inputs if isinstance(inputs, list) else ()
            odd = next((index for index, row in enumerate(rows) if not isinstance(row, str)), None)
            if isinstance(error, AttributeError) and odd is not None:
                return _refused(odd, f"is {described(inputs[odd])}; a text is wanted ({reason})")
            return None
        if isinstance(error, AttributeError):
            return None
        if isinstance(inputs, np.ndarray):
            try:
                self._columns.values(inputs)
            except InvalidArgument as refusal:
                return refusal
        if place := not_finite(inputs):
            row, column = place
            return _refused(row, f"has {inputs[row, column]} for {self._columns.named(column)}: {reason}")
        return None

    def _warm_up(self) -> list[list[float]]:
        """Return a row of zeros if the model can predict it: categories, say, are not among them."""
        columns = self._columns
        if columns is None or self._pandas is not None or columns.count > _WARM_UP_VALUES:
            return []
        rows = [[0.0] * columns.count]
        with _quietly():
            try:
                self.predict(self.preprocess(rows, {}), {})
            except Exception:  # the model's own code; it need not know what a zero is
                return []
        return rows


def load(folder: Path, options: LoadOptions) -> Model:
    """Load the model file of the folder.

    Raises:
        ModelCannotBeLoaded: there is none or there are several, it does not load, or it holds no model.
    """
    file = model_file(folder, Framework.SCIKIT_LEARN, options.model_file)
    return pickled(file, options)


def pickled(file: Path, options: LoadOptions) -> Model:
    """Load the model in a file of any pickle's format.

    Raises:
        ModelCannotBeLoaded: it does not load, holds no model, or its model has no such method.
    """
    found = unpickled(file, options)
    value = found.value
    root = type(value).__module__.partition(".")[0]
    framework = _OTHERS.get(root, Framework.SCIKIT_LEARN)
    if root == "catboost" or (root in _OTHERS and not estimators.is_estimator(value)):
        loader = importlib.import_module(f"modelport.server.loaders.{root}")
        return loader.of_object(value, file.parent, options)  # type: ignore[no-any-return]
    _check(value, file, options)
    estimators.limit_threads(value, options.threads)
    told = {"scikit-learn": found.sklearn_version} if found.sklearn_version else {}
    used = dict.fromkeys(("scikit-learn", *(name for name in _OTHERS if _uses(value, name)), "numpy"))
    libraries = compared(file.parent, used, told)
    pandas, categories = _table(value)
    return SklearnModel(value, options, framework=framework, libraries=libraries, pandas=pandas, categories=categories)


@contextmanager
def _quietly() -> Iterator[None]:
    """Predict with made-up rows: what is warned of is about them, and threads would not survive a later fork."""
    with required("threadpoolctl", Framework.SCIKIT_LEARN).threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check(value: Any, file: Path, options: LoadOptions) -> None:
    methods = estimators.methods(value)
    if not methods:
        raise ModelCannotBeLoaded(
            f"`{file.name}` holds {_kind(value)}, which has none of the methods {_listed(estimators.METHODS)}",
            hint="Save the fitted estimator or pipeline itself; serve anything else with a predictor",
        )
    if options.method not in methods:
        raise ModelCannotBeLoaded(
            f"`{type(value).__name__}` in `{file.name}` has no method `{options.method}`; it has {_listed(methods)}",
            hint=f"Name one of them with --method, such as `--method {methods[0]}`",
        )


def _table(value: Any) -> tuple[Any, Categories]:
    """Return pandas and the categories of columns, where the model must be given DataFrames, else None and nothing."""
    categories = _categories(value)
    if categories or estimators.wants_frame(value):
        return required_pandas("was fitted on a DataFrame and picks columns by name"), categories
    # Columns are put in order by name before, so scikit-learn's warning that an array has no names is of no use.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    return None, {}


def _categories(value: Any) -> Categories:
    root = type(value).__module__.partition(".")[0]
    if root in ("xgboost", "lightgbm"):
        booster = value.booster_ if root == "lightgbm" else value.get_booster()
        return importlib.import_module(f"modelport.server.loaders.{root}").categories_of(booster)  # type: ignore[no-any-return]
    return {}


def _rows(outputs: Any) -> Batch:
    if hasattr(outputs, "toarray"):  # a sparse matrix
        return outputs.toarray()  # type: ignore[no-any-return]
    if hasattr(outputs, "to_numpy"):  # a table, where an estimator is set to give one
        return outputs.to_numpy()  # type: ignore[no-any-return]
    if isinstance(outputs, list) and outputs and all(isinstance(one, np.ndarray) for one in outputs):
        # One array for each target: of each row, the list of its targets.
        return [list(row) for row in zip(*(one.tolist() for one in outputs), strict=True)]
    return outputs  # type: ignore[no-any-return]


def _inputs(columns: Columns | None, *, frame: bool) -> tuple[TensorInfo, ...]:
    if columns is None or frame:
        return ()
    return (TensorInfo("instances", "FP64", (-1, columns.count)),)


def _outputs(estimator: Any, method: str) -> tuple[TensorInfo, ...]:
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray):
        return ()
    if method == "predict":
        return (TensorInfo("predictions", _DATATYPES.get(classes.dtype.kind, "BYTES"), (-1,)),)
    if method in ("predict_proba", "predict_log_proba"):
        return (TensorInfo("predictions", "FP64", (-1, len(classes))),)
    return ()


def _uses(value: Any, module: str) -> bool:
    return any(type(part).__module__.partition(".")[0] == module for part in estimators.parts(value))


def _kind(value: Any) -> str:
    kind = type(value)
    return f"a `{kind.__name__}`" if kind.__module__ == "builtins" else f"a `{kind.__module__}.{kind.__name__}`"


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _refused(index: int, what: str) -> InvalidArgument:
    return InvalidArgument(f"instances[{index}] {what}", row=str(index))

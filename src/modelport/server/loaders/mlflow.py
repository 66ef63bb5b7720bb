"""The loader of folders written by MLflow, by our own loaders where there is one for what lies in them.

Those predict faster and do not need MLflow. Everything else, such as code of the user's own, goes through MLflow's
`pyfunc`: that is code from the folder, as a pickle is.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modelport.core.errors import InvalidArgument
from modelport.core.frameworks import Framework, framework_of
from modelport.server import skew
from modelport.server.loaders.base import LoadOptions, required
from modelport.server.loaders.columns import Columns
from modelport.server.loaders.device import refuse_without_gpus
from modelport.server.loaders.mlflow_file import Column, Described, described
from modelport.server.loaders.table_model import required_pandas
from modelport.server.loaders.tensors_in import Wanted, named_tensors, tensor_info
from modelport.server.model import Batch, LibraryVersion, Model, ModelInfo, Parameters, TensorInfo

# Of each module of MLflow: our loader, the flavor and the key under which it notes the file.
_OWN = {
    "mlflow.sklearn": ("sklearn", "sklearn", "pickled_model"),
    "mlflow.xgboost": ("xgboost", "xgboost", "data"),
    "mlflow.lightgbm": ("lightgbm", "lightgbm", "data"),
    "mlflow.catboost": ("catboost", "catboost", "data"),
    "mlflow.onnx": ("onnx", "onnx", "data"),
    "mlflow.keras": ("keras", "keras", "data"),
    "mlflow.tensorflow": ("keras", "tensorflow", "data"),
}
_FOLDERS = {Framework.KERAS: "keras", Framework.TENSORFLOW: "tensorflow"}


def load(folder: Path, options: LoadOptions) -> Model:
    """Load the model that the folder's MLmodel describes.

    Raises:
        ModelCannotBeLoaded: it does not describe one, or a library that it needs is not installed.
    """
    about = described(folder)
    found = own_loader(folder, about)
    if found is None:
        refuse_without_gpus(Framework.MLFLOW, options.device)  # its code decides for itself
        return PyfuncModel(folder, about, _libraries(folder, ()))
    module, file = found
    loader = importlib.import_module(f"modelport.server.loaders.{module}")
    inner: Model = (
        loader.load(file, options)
        if file.is_dir()
        else loader.load(file.parent, replace(options, model_file=file.name))
    )
    refuse_without_gpus(Framework(inner.info.framework), options.device)
    return NativeModel(inner, about, _libraries(folder, inner.info.libraries))


def own_loader(folder: Path, about: Described) -> tuple[str, Path] | None:
    """Return the module among our loaders that can load what lies in the folder, and the file or folder for it."""
    if about.loader not in _OWN:
        return None
    module, flavor, key = _OWN[about.loader]
    path = folder / str((about.flavors.get(flavor) or {}).get(key, ""))
    if path.is_file():
        return module, path
    # A folder `data` with a .keras file or a SavedModel in it, or one level deeper.
    for inner in (path, path / "model"):
        kind = framework_of(one.name for one in inner.iterdir()) if inner != folder and inner.is_dir() else None
        if kind in _FOLDERS:
            return _FOLDERS[kind], inner
    return None


class NativeModel:
    """A model of one of our loaders, with what MLflow noted about it."""

    def __init__(self, inner: Model, about: Described, libraries: tuple[LibraryVersion, ...]) -> None:
        self._inner = inner
        names = tuple(column.name for column in about.columns)
        # Fitted on an array, but described by columns: callers name them, and the model knows only their order.
        self._order = Columns(names, len(names)) if names and _knows_order_only(inner, names) else None
        self.info = replace(
            inner.info,
            framework=Framework.MLFLOW,
            inputs=_inputs(about) or inner.info.inputs,
            libraries=libraries,
            warm_up=about.example or inner.info.warm_up,
        )

    def preprocess(self, batch: Batch, parameters: Parameters) -> Any:
        """Put named columns in order where the model does not know them by name."""
        if self._order is not None and not isinstance(batch, np.ndarray):
            batch = self._order.ordered(batch)
        return self._inner.preprocess(batch, parameters)

    def predict(self, inputs: Any, parameters: Parameters) -> Any:
        """Predict."""
        return self._inner.predict(inputs, parameters)

    def postprocess(self, outputs: Any, parameters: Parameters) -> Batch:
        """Return one prediction for each row."""
        return self._inner.postprocess(outputs, parameters)


class PyfuncModel:
    """A model that MLflow loads itself: a table or tensors in, whatever it likes out."""

    def __init__(self, folder: Path, about: Described, libraries: tuple[LibraryVersion, ...]) -> None:
        self._pandas = required_pandas("is one of MLflow's pyfunc")
        self._model = required("mlflow.pyfunc", Framework.MLFLOW).load_model(str(folder))
        self._about = about
        self.info = ModelInfo(
            framework=Framework.MLFLOW,
            inputs=_inputs(about),
            row_wise=False,  # the code may do anything with the rows of one call
            libraries=libraries,
            warm_up=about.example,
        )

    def preprocess(self, batch: Batch, parameters: Parameters) -> Any:
        """Make the table or the tensors of the signature; without one, a table."""
        about = self._about
        if about.tensors:
            tensors = named_tensors(batch, about.tensors)
            return tensors if len(about.tensors) > 1 else next(iter(tensors.values()))
        if about.columns:
            return table(self._pandas, batch, about.columns)
        return self._pandas.DataFrame(batch)

    def predict(self, inputs: Any, parameters: Parameters) -> Any:
        """Predict, with those of the request's parameters that the signature names."""
        sent = {name: value for name, value in parameters.items() if name in self._about.parameters}
        return self._model.predict(inputs, params=sent) if sent else self._model.predict(inputs)

    def postprocess(self, outputs: Any, parameters: Parameters) -> Batch:
        """Return one prediction for each row: of a table objects, of a column its values."""
        if isinstance(outputs, self._pandas.DataFrame):
            return outputs.to_dict("records")  # type: ignore[no-any-return]
        if isinstance(outputs, self._pandas.Series):
            return outputs.to_numpy()  # type: ignore[no-any-return]
        if isinstance(outputs, Mapping):
            return dict(outputs)
        return outputs if isinstance(outputs, (list, np.ndarray)) else list(outputs)


def table(pandas: Any, batch: Batch, columns: Sequence[Column]) -> Any:
    """Return a DataFrame of the columns, each of its type.

    Raises:
        InvalidArgument: a row lacks a column, or has a value of another type.
    """
    rows = _completed(batch, columns)
    ordered = Columns(tuple(column.name for column in columns), len(columns)).ordered(rows)
    frame = {}
    for position, column in enumerate(columns):
        values = ordered[:, position] if isinstance(ordered, np.ndarray) else [row[position] for row in ordered]
        frame[column.name] = values if column.dtype is None else _typed(values, column)
    return pandas.DataFrame(frame)


def _completed(batch: Batch, columns: Sequence[Column]) -> Batch:
    """Return rows with null for the columns that may be left out."""
    absent = {column.name: None for column in columns if not column.required}
    if not absent or not isinstance(batch, list):
        return batch
    return [{**absent, **row} if isinstance(row, dict) else row for row in batch]


def _typed(values: Any, column: Column) -> Any:
    if not isinstance(values, np.ndarray) and any(value is None for value in values):
        if column.required:
            row = next(index for index, value in enumerate(values) if value is None)
            raise InvalidArgument(f"instances[{row}]: the column `{column.name}` is null", row=str(row))
        return values  # which pandas makes NaN
    return named_tensors({column.name: values}, (Wanted(column.name, column.dtype, (-1,)),))[column.name]


def _knows_order_only(inner: Model, names: tuple[str, ...]) -> bool:
    return not _takes(inner, [dict.fromkeys(names, 0.0)]) and _takes(inner, [[0.0] * len(names)])


def _takes(inner: Model, rows: Batch) -> bool:
    try:
        inner.preprocess(rows, {})
    except (InvalidArgument, ValueError, TypeError, KeyError):
        return False
    return True


def _inputs(about: Described) -> tuple[TensorInfo, ...]:
    if about.tensors:
        return tuple(tensor_info(one) for one in about.tensors)
    return tuple(
        tensor_info(Wanted(column.name, np.dtype(object) if column.dtype is None else column.dtype, (-1,)))
        for column in about.columns
    )


def _libraries(folder: Path, inner: tuple[LibraryVersion, ...]) -> tuple[LibraryVersion, ...]:
    """Return the model's libraries, with the versions that MLflow noted beside it."""
    found = {one.name: one for one in inner}
    for one in skew.compared(folder, ()):
        if one.name not in found or not found[one.name].trained:
            found[one.name] = one
    return tuple(found.values())

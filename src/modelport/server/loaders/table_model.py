"""A model of a table: rows of numbers, or of numbers and categories, in the order of its columns."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions
from modelport.server.loaders.columns import Categories, Columns
from modelport.server.model import Batch, ModelInfo, Parameters, TensorInfo


class TableModel:
    """One function of a table.

    Args:
        call: the function, of an array or of a DataFrame.
        columns: the table's.
        info: what the model says about itself.
        categories: of the columns that hold some. Where there are any, the table is a DataFrame.
    """

    def __init__(
        self, call: Callable[[Any], Any], columns: Columns, info: ModelInfo, categories: Categories | None = None
    ) -> None:
        self._call = call
        self._columns = columns
        self._categories = categories or {}
        self._pandas = required_pandas("has categories") if categories else None
        self.info = info

    def preprocess(self, batch: Batch, parameters: Parameters) -> Any:
        """Make the table."""
        if self._pandas is None:
            return self._columns.numbers(batch)
        return self._columns.frame(batch, self._pandas, self._categories)

    def predict(self, inputs: Any, parameters: Parameters) -> Any:
        """Call the function."""
        return self._call(inputs)

    def postprocess(self, outputs: Any, parameters: Parameters) -> Batch:
        """Return the outputs unchanged."""
        return outputs  # type: ignore[no-any-return]


def numeric_input(columns: Columns, categories: Categories | None = None) -> tuple[TensorInfo, ...]:
    """Return what to say of the inputs: one array of all columns; nothing where some hold categories."""
    return () if categories else (TensorInfo("instances", "FP64", (-1, columns.count)),)


def zeros(columns: Columns, categories: Categories | None = None) -> list[list[float]]:
    """Return a row to warm up with; none where some columns hold categories."""
    return [] if categories else [[0.0] * columns.count]


def only_predict(framework: Framework, options: LoadOptions) -> None:
    """Refuse a method that such a model does not have.

    Raises:
        ModelCannotBeLoaded: another one than `predict` is wanted.
    """
    if options.method != "predict":
        raise ModelCannotBeLoaded(
            f"A model of {framework} that is not a scikit-learn wrapper has no method `{options.method}`",
            hint="Leave --method out: it gives what its objective gives; or pickle the wrapper that was fitted",
        )


def required_pandas(why: str) -> Any:
    """Import pandas and return it.

    Raises:
        ModelCannotBeLoaded: it is not installed; `why` says what of the model needs it.
    """
    try:
        return importlib.import_module("pandas")
    except ModuleNotFoundError as error:
        raise ModelCannotBeLoaded(
            f"The model {why}, which needs the module `pandas`; it is not installed",
            hint="Install it with `pip install pandas`",
        ) from error

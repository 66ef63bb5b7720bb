"""Tables and tensors of other libraries as numpy arrays, told by what they can do: nothing is imported for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelport.core.errors import Internal
from modelport.server.model import Batch


def as_batch(outputs: Any) -> Batch:
    """Return what a model gave as a batch; arrays and lists as they are.

    Raises:
        Internal: it is nothing that has rows.
    """
    if type(outputs) is list or (type(outputs) is np.ndarray and outputs.ndim):
        return outputs
    if isinstance(outputs, Mapping):
        return {str(name): _column(values, f"the output `{name}`") for name, values in outputs.items()}
    if _is_table(outputs):
        return {str(name): _column(outputs[name], f"the column `{name}`") for name in outputs.columns}
    return _column(outputs, "the model's output")


def as_array(value: Any) -> NDArray[Any] | list[Any] | None:
    """Return an array or tensor of another library as one of numpy, a ragged one as a list; None: it is neither."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "toarray"):  # scipy.sparse
        return np.asarray(value.toarray())
    if hasattr(value, "detach"):  # torch
        tensor = value.detach().cpu()
        return np.asarray((tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy())
    if hasattr(value, "to_numpy"):  # series of pandas and polars
        return np.asarray(value.to_numpy())
    if hasattr(value, "to_list"):  # tensorflow, ragged
        return list(value.to_list())
    if hasattr(value, "numpy"):  # tensorflow
        return np.asarray(value.numpy())
    if hasattr(value, "__array__") and not isinstance(value, np.generic):  # jax and others
        return np.asarray(value)
    return None


def _is_table(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "shape")


def _column(values: Any, name: str) -> NDArray[Any] | list[Any]:
    if isinstance(values, (list, tuple)):
        return list(values)
    column = as_array(values)
    if column is None or (isinstance(column, np.ndarray) and not column.ndim):
        raise Internal(
            f"Of {name} there is one value of type `{type(values).__name__}`, not one for each instance",
            hint="Give a list or an array with one entry for each instance",
        )
    return column

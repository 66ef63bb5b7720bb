"""From named output tensors to predictions: bare values of one output, objects of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelport.core.errors import Internal
from modelport.server.model import Array, Batch

_BINARY = "_bytes"  # by TensorFlow Serving's custom, an output whose name ends in this holds no text


def predictions(outputs: Mapping[str, Array], rows: int) -> Batch:
    """Return a prediction for each row; an output that is one value for all rows is repeated.

    Raises:
        Internal: an output has another number of rows.
    """
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return _column(name, array, rows)
    return {name: _column(name, array, rows) for name, array in outputs.items()}


def _column(name: str, array: Array, rows: int) -> Array | list[Any]:
    if array.ndim == 0:
        array = np.broadcast_to(array, (rows,))
    if len(array) != rows:
        raise Internal(
            f"The output `{name}` has {len(array)} rows for {rows} instances",
            hint="Serve a signature whose outputs have an axis for the rows in front",
        )
    if array.dtype == object:
        values: list[Any] = array.tolist()
        return values if name.endswith(_BINARY) else [_text(value) for value in values]
    return array


def _text(value: Any) -> Any:
    """Return bytes, in lists or not, as text; what is no UTF-8 stays as it is and is sent as base64."""
    if isinstance(value, list):
        return [_text(one) for one in value]
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value

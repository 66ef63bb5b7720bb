"""From rows to the tensors that a model declares, and from tensors to rows.

Nothing is guessed against what is declared: values that a datatype cannot hold, a shape that differs, a name that is
missing are refused with the row. Without a declaration, a tensor's datatype is that of the array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from modelport.core.errors import InvalidArgument
from modelport.server import tensors
from modelport.server.decoding import too_deep
from modelport.server.foreign import as_batch
from modelport.server.listener.declaration import Model
from modelport.server.listener.formats.row_arrays import NoTensor, array_of, fitting
from modelport.server.listener.validation.tensor_types import TensorType, parse
from modelport.server.model import Array, Batch
from modelport.server.tensors import BF16, BYTES, Tensor

_DEFAULT_INPUT = "input-0"
_JSON = "json"  # content type of BYTES that hold the JSON of predictions which make no tensor


def tensors_of(batch: Batch, model: Model) -> list[Tensor]:
    """Return rows as the inputs of a model, in the order in which it declares them.

    Raises:
        InvalidArgument: the rows do not make them; names the row.
    """
    columns = _columns(batch, model)
    declared = {name: parse(written) for name, written in model.inputs.items()}
    try:
        return [_tensor(name, values, declared.get(name, TensorType()), model) for name, values in columns.items()]
    except RecursionError:
        raise too_deep() from None


def batch_of_tensors(given: Sequence[Tensor]) -> Batch:
    """Return tensors as rows: those of the one, or columns by name of several."""
    if len(given) == 1:
        return _rows(given[0])
    return {one.name: _rows(_single_values(one)) for one in given}


def _single_values(tensor: Tensor) -> Tensor:
    if tensor.array.shape[1:] != (1,):
        return tensor
    return Tensor(tensor.name, tensor.array[:, 0], tensor.parameters)


def _rows(tensor: Tensor) -> Array | list[Any]:
    if tensor.array.dtype != object:
        return tensor.array
    elements = tensor.array.ravel().tolist()
    try:
        texts = [one.decode() if isinstance(one, bytes) else one for one in elements]
        elements = texts if tensor.parameters.get("content_type") != _JSON else list(map(orjson.loads, texts))
    except (UnicodeDecodeError, orjson.JSONDecodeError):  # the bytes of an image, say
        pass
    if tensor.array.ndim == 1:
        return elements
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(tensor.array.shape).tolist()  # type: ignore[no-any-return]


def _columns(batch: Batch, model: Model) -> Mapping[str, Any]:
    """Return the values for each input."""
    batch = as_batch(batch)
    names = list(model.inputs)
    if isinstance(batch, list) and batch and all(isinstance(row, Mapping) for row in batch):
        batch = _turned(batch, names, model)
    if isinstance(batch, dict):
        if not names or batch.keys() == set(names):
            return {name: batch[name] for name in names} if names else batch
        if len(batch) == len(names) == 1:
            return dict(zip(names, batch.values(), strict=True))
        missing = next((name for name in names if name not in batch), None)
        if missing is not None:
            raise InvalidArgument(
                f"The rows have {_quoted(batch)}, no `{missing}`; the model `{model.name}` takes {_quoted(names)}",
                hint=f"Give each row a `{missing}`",
            )
        return {name: batch[name] for name in names}
    if len(names) > 1:
        raise InvalidArgument(
            f"The values of the rows have no names; the model `{model.name}` takes {_quoted(names)}",
            hint=f'Send rows such as {{"{names[0]}": ..., "{names[1]}": ...}}',
        )
    return {names[0] if names else _DEFAULT_INPUT: batch}


def _turned(rows: list[Any], declared: list[str], model: Model) -> dict[str, list[Any]]:
    """Return objects, one for each row, as columns; without declared names all have those of the first row."""
    names = declared or list(rows[0])
    if len(names) == 1 and len(rows[0]) == 1:
        names = list(rows[0])  # a single value goes by any name
    for number, row in enumerate(rows):
        if row.keys() != rows[0].keys() if not declared else not row.keys() >= set(names):
            raise InvalidArgument(
                f"instances[{number}] has {_quoted(row)}; the model `{model.name}` takes {_quoted(names)}",
                hint="Send rows with the same names",
                row=str(number),
            )
    return {name: [row[name] for row in rows] for name in names}


def _tensor(name: str, values: Any, type: TensorType, model: Model) -> Tensor:
    try:
        array = fitting(array_of(values, type), type)
        if not type.datatype or type.datatype == BYTES:
            return Tensor(name, array)
        # Cast by those who know what a datatype cannot hold.
        datatype = "FP32" if type.datatype == BF16 else type.datatype
        tensor = tensors.from_json(name, datatype, array.shape, array)
        return Tensor(name, tensor.array, bf16=True) if type.datatype == BF16 else tensor
    except NoTensor as refused:
        at = f"instances[{refused.row}]" if refused.row is not None else "The rows"
        wanted = f"; `{type}` is wanted" if type.datatype else ""
        error = InvalidArgument(
            f"{at} {refused.what}{wanted} for the input `{name}` of the model `{model.name}`",
            hint="Send rows of one shape, as the model takes them",
        )
        if refused.row is not None:
            error.metadata["row"] = str(refused.row)
        raise error from None
    except InvalidArgument as refused:
        error = InvalidArgument(f"{refused.message} (input `{name}` of the model `{model.name}`)", hint=refused.hint)
        error.metadata.update(refused.metadata)
        raise error from refused


def _quoted(names: Any) -> str:
    listed = list(names)
    return ", ".join(f"`{name}`" for name in listed[:10]) or "nothing"

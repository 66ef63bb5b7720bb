"""The model of a deep-learning framework: functions from named tensors to named tensors, the rows along the first axis.

TensorFlow, Keras and PyTorch differ in how such functions are found and called; the rest is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from modelport.core.errors import InvalidArgument
from modelport.core.frameworks import Framework
from modelport.server import skew
from modelport.server.loaders.tensors_in import TEXT, Wanted, named_tensors, tensor_info
from modelport.server.loaders.tensors_out import predictions
from modelport.server.model import Array, Batch, LibraryVersion, ModelInfo, Parameters, rows_of

Tensors = dict[str, Array]
Caller = Callable[[Tensors], Tensors]


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a model.

    Attributes:
        name: of the signature that it was exported as; empty where models have one function only.
        inputs: what it takes.
        outputs: what it gives; empty when it does not tell.
        call: from tensors by name to tensors by name.
    """

    name: str
    inputs: tuple[Wanted, ...]
    outputs: tuple[Wanted, ...]
    call: Caller

    @property
    def batch(self) -> int:
        """Return how many rows it takes at a time; 0 is any number."""
        sizes = {one.shape[0] for one in self.inputs if one.shape}
        return max((size for size in sizes if size > 0), default=0)

    @property
    def row_wise(self) -> bool:
        """Return whether the rows of several requests may be one call."""
        return self.batch == 0 and not any(one.shape == () for one in (*self.inputs, *self.outputs))


@dataclass(slots=True)
class Fed:
    """The tensors that go into a function, or came out of it, and how many rows they are of."""

    function: Function
    batch: int
    rows: int
    tensors: Tensors


class TensorModel:
    """A loaded model; `parameters.signature_name` of a request chooses another function than the usual one."""

    def __init__(
        self,
        framework: Framework,
        functions: Mapping[str, Function],
        chosen: str,
        libraries: tuple[LibraryVersion, ...],
        device: str,
        owner: object = None,
    ) -> None:
        self._functions = functions
        self._owner = owner  # has the variables that the functions read, which would go away with it
        self._chosen = functions[chosen]
        self._batch = self._chosen.batch
        self.info = ModelInfo(
            framework=framework,
            inputs=tuple(tensor_info(one) for one in self._chosen.inputs),
            outputs=tuple(tensor_info(one) for one in self._chosen.outputs),
            row_wise=all(function.row_wise for function in functions.values()),
            libraries=libraries,
            device=device,
        )
        self.info = replace(self.info, warm_up=self._warm_up())

    def preprocess(self, batch: Batch, parameters: Parameters) -> Fed:
        """Make the tensors that the function takes."""
        function, size = self._chosen, self._batch
        if parameters and "signature_name" in parameters:
            function = self._named(parameters["signature_name"])
            size = function.batch
        rows = rows_of(batch)
        return Fed(function, size, rows, named_tensors(batch, function.inputs) if rows else {})

    def predict(self, inputs: Fed, parameters: Parameters) -> Fed:
        """Call the function; one of a fixed number of rows as often as needed."""
        function, size, rows = inputs.function, inputs.batch, inputs.rows
        if not rows:
            tensors: Tensors = {}
        elif size in (0, rows):
            tensors = function.call(inputs.tensors)
        elif rows % size:
            raise InvalidArgument(
                f"The model takes {size} instances at a time; {rows} were sent",
                hint=f"Send a multiple of {size}, or export the model so that the number of rows is left open",
            )
        else:
            parts = [
                function.call({name: _part(array, start, size) for name, array in inputs.tensors.items()})
                for start in range(0, rows, size)
            ]
            tensors = {name: _together([part[name] for part in parts], size) for name in parts[0]}
        return Fed(function, size, rows, tensors)

    def postprocess(self, outputs: Fed, parameters: Parameters) -> Batch:
        """Make a prediction of each row."""
        return predictions(outputs.tensors, outputs.rows) if outputs.rows else []

    def _named(self, name: Any) -> Function:
        function = self._functions.get(name) if isinstance(name, str) else None
        if function is None:
            known = ", ".join(f"`{one}`" for one in self._functions if one) or "none"
            raise InvalidArgument(f"The model has no signature `{name}`; it has {known}", signature_name=str(name))
        return function

    def _warm_up(self) -> list[Any]:
        """Return made-up rows; none where it would be the rows' fault, not the model's, that they are refused."""
        inputs = self._chosen.inputs
        if any(one.shape is None for one in inputs):
            return []
        rows = made_up(inputs, self._batch or 1)
        if any(one.dtype == TEXT or -1 in (one.shape or ())[1:] for one in inputs):
            try:
                self.predict(self.preprocess(rows, {}), {})
            except Exception:  # a framework raises what it likes: no image of one pixel, no empty text
                return []
        return rows


def libraries(folder: Path, own: LibraryVersion) -> tuple[LibraryVersion, ...]:
    """Return a framework's versions, and those of what is pinned beside the model."""
    beside = skew.compared(folder, ())
    trained = own.trained or skew.noted_beside(folder).get(own.name, "")
    return (LibraryVersion(own.name, trained, own.serving), *(one for one in beside if one.name != own.name))


def made_up(inputs: tuple[Wanted, ...], rows: int) -> list[Any]:
    """Return instances as a caller would send them: zeros and empty texts, of size one where any size will do."""
    values = {one.name: _made_up(one) for one in inputs}
    return [next(iter(values.values())) if len(values) == 1 else values] * rows


def _made_up(wanted: Wanted) -> Any:
    row_shape = tuple(1 if size == -1 else size for size in wanted.row_shape or ())
    dtype = np.dtype(np.float32) if wanted.dtype is None else wanted.dtype
    return np.full(row_shape, "" if dtype == TEXT else 0, dtype=dtype).tolist()


def _part(array: Array, start: int, size: int) -> Array:
    return array[start : start + size] if array.ndim else array


def _together(parts: list[Array], size: int) -> Array:
    return np.concatenate([np.broadcast_to(part, (size,)) if part.ndim == 0 else part for part in parts])

"""The loader of ONNX models, run by ONNX Runtime: named tensors in and out, whatever they were exported from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, required
from modelport.server.loaders.device import PROCESSORS, Device, uses_gpu
from modelport.server.loaders.files import model_file
from modelport.server.loaders.tensor_model import Fed, Function, TensorModel, Tensors
from modelport.server.loaders.tensors_in import TEXT, Wanted
from modelport.server.model import Array, Batch, LibraryVersion, Parameters
from modelport.server.skew import compared

_NAME = "onnxruntime"
_ON_GPU, _ON_CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_TYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "bool": "bool",
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class OnnxModel(TensorModel):
    """A session; `parameters.signature_name` of a request names one of several outputs, to be had alone."""

    def __init__(
        self, functions: dict[str, Function], chosen: str, libraries: tuple[LibraryVersion, ...], device: str
    ) -> None:
        inputs = functions[chosen].inputs
        # A table of columns that are tensors each, as converters of scikit-learn's pipelines write it.
        self._columns = [one.name for one in inputs] if all(one.row_shape == (1,) for one in inputs) else []
        super().__init__(Framework.ONNX, functions, chosen, libraries, device)
        fixed = any(one.shape and one.shape[0] != -1 for one in functions[chosen].outputs)
        self.info = replace(self.info, row_wise=self.info.row_wise and not fixed)

    def preprocess(self, batch: Batch, parameters: Parameters) -> Fed:
        """Make the tensors; of a table, bare values are as good as lists of one, and columns may come in order."""
        return super().preprocess(self._table(batch) if len(self._columns) > 1 else batch, parameters)

    def _table(self, batch: Batch) -> Batch:
        names = self._columns
        if isinstance(batch, dict):
            return {name: _lists_of_one(values) for name, values in batch.items()}
        if isinstance(batch, np.ndarray):
            if batch.ndim != 2 or batch.shape[1] != len(names):
                return batch
            return {name: batch[:, [place]] for place, name in enumerate(names)}
        return [self._row(row) for row in batch]

    def _row(self, row: Any) -> Any:
        if isinstance(row, list) and len(row) == len(self._columns):
            row = dict(zip(self._columns, row, strict=True))
        if not isinstance(row, dict):
            return row
        return {name: value if isinstance(value, list) else [value] for name, value in row.items()}


def load(folder: Path, options: LoadOptions) -> OnnxModel:
    """Load the ONNX file of the folder.

    Raises:
        ModelCannotBeLoaded: there is none or there are several, it cannot be read, has no such output, or ONNX Runtime
            is not installed.
    """
    onnxruntime = required(_NAME, Framework.ONNX)
    file = model_file(folder, Framework.ONNX, options.model_file)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4  # errors are raised as well; what else it says is about graphs
    wanted = options.device is not Device.CPU and _ON_GPU in onnxruntime.get_available_providers()
    providers = [_ON_GPU, _ON_CPU] if wanted else [_ON_CPU]
    try:
        session = onnxruntime.InferenceSession(str(file), settings, providers=providers)
    except Exception as error:  # each of its status codes is a class of its own, right under Exception
        raise ModelCannotBeLoaded(
            f"ONNX Runtime {onnxruntime.__version__} cannot read `{file.name}`: {str(error).strip()}",
            hint="Copy the file again, with those of its weights; or export it for an opset that this version knows",
        ) from error
    # It goes on without the GPU's provider where a library of CUDA is missing.
    on_gpu = uses_gpu("ONNX Runtime", options.device, found=_ON_GPU in session.get_providers())
    state = onnxruntime.capi.onnxruntime_pybind11_state
    functions = _functions(session, (state.InvalidArgument, state.Fail))  # sizes that only the nodes know
    if options.signature not in functions:
        known = ", ".join(f"`{name}`" for name in functions if name)
        raise ModelCannotBeLoaded(
            f"`{file.name}` has no output `{options.signature}`; it has {known}",
            hint="Name one of them with --signature, or leave it out for all",
        )
    versions = compared(folder, (_NAME, "numpy"))
    return OnnxModel(functions, options.signature, versions, "the GPU" if on_gpu else PROCESSORS)


def _functions(session: Any, refusals: tuple[type[Exception], ...]) -> dict[str, Function]:
    """Return the function that gives all outputs, under the empty name, and one for each output."""
    inputs = tuple(_wanted(one) for one in session.get_inputs())
    outputs = tuple(_wanted(one) for one in session.get_outputs())
    functions = {"": Function("", inputs, outputs, _call(session, inputs, outputs, refusals))}
    for one in outputs:
        functions[one.name] = Function(one.name, inputs, (one,), _call(session, inputs, (one,), refusals))
    return functions


def _call(
    session: Any, inputs: tuple[Wanted, ...], outputs: tuple[Wanted, ...], refusals: tuple[type[Exception], ...]
) -> Callable[[Tensors], Tensors]:
    texts = [one.name for one in inputs if one.dtype == TEXT]
    names = [one.name for one in outputs]

    def call(tensors: Tensors) -> Tensors:
        for name in texts:
            tensors[name] = _decoded(tensors[name])
        try:
            values = session.run(names, tensors)
        except refusals as error:
            raise ValueError(str(error).strip().replace("\n", ";")) from error
        return {
            name: value if type(value) is np.ndarray else _objects(value)
            for name, value in zip(names, values, strict=True)
        }

    return call


def _wanted(tensor: Any) -> Wanted:
    """Return an input or output as the session tells it: `tensor(float)`, `seq(map(int64,tensor(float)))`."""
    kind = tensor.type.removeprefix("tensor(").removesuffix(")")
    if not tensor.type.startswith("tensor("):
        return Wanted(tensor.name, None, None)
    shape = tuple(size if isinstance(size, int) and size > 0 else -1 for size in tensor.shape)
    dtype = TEXT if kind == "string" else np.dtype(_TYPES[kind]) if kind in _TYPES else None
    return Wanted(tensor.name, dtype, shape)


def _decoded(array: Array) -> Array:
    """Return texts as such: ONNX's are UTF-8 and have no bytes beside."""
    values = np.empty(array.size, dtype=object)
    for place, value in enumerate(array.ravel()):
        values[place] = value.decode() if isinstance(value, bytes) else value
    return values.reshape(array.shape)


def _objects(values: list[Any]) -> Array:
    """Return what is no tensor, such as a map of probabilities by class, as one object for each row."""
    rows = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        rows[place] = {str(name): one for name, one in value.items()} if isinstance(value, dict) else value
    return rows


def _lists_of_one(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return values.reshape(-1, 1) if values.ndim == 1 else values
    return [value if isinstance(value, list) else [value] for value in values]

"""Requests and answers of the Open Inference Protocol: from its tensors to the rows of a model, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from modelport.core.errors import InvalidArgument
from modelport.server import tensors
from modelport.server.encoding import json_of, require_finite, writable
from modelport.server.model import Array, Batch, Form, ModelInfo, Parameters
from modelport.server.number_arrays import WORTHWHILE_BYTES, NumberReader
from modelport.server.rows import batch_of
from modelport.server.tensors import Tensor

LENGTH_HEADER = b"inference-header-content-length"  # of the JSON, where tensors in binary form follow it

_DEFAULT_OUTPUT = "output-0"
_BINARY_OUTPUT = "binary_data_output"


@dataclass(frozen=True, slots=True)
class Inference:
    """A request: its tensors, and how the answer is wanted.

    Attributes:
        id: what the caller calls it, or None.
        parameters: those for the model.
        inputs: at least one, all with the same first axis.
        outputs: the names of the outputs that are wanted, and whether in binary form; empty: all there are.
        binary: outputs are wanted in binary form where nothing else is said.
    """

    id: str | None
    parameters: Parameters
    inputs: tuple[Tensor, ...]
    outputs: dict[str, bool]
    binary: bool

    @property
    def rows(self) -> int:
        """Return the size of the first axis."""
        return len(self.inputs[0].array)


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an answer; `json_length` is that of its JSON where tensors in binary form follow."""

    body: bytes
    json_length: int | None


def read(body: bytes, json_length: int | None, numbers: NumberReader) -> Inference:
    """Return the request in a body, whose first `json_length` bytes are JSON where tensors in binary form follow.

    Raises:
        InvalidArgument: it is none; says what is wrong and with which input.
    """
    json = body if json_length is None else body[:json_length]
    document = (numbers.read_tensors(json) if len(json) >= WORTHWHILE_BYTES else None) or _document(json)
    binary = memoryview(body)[len(body) if json_length is None else json_length :]
    listed = _objects(document, "inputs")
    if not listed:
        raise InvalidArgument(
            "The request has no `inputs`", hint='Send {"inputs": [{"name", "shape", "datatype", "data"}]}'
        )
    inputs: list[Tensor] = []
    start = 0
    for index, entry in enumerate(listed):
        name, datatype, shape = _head(entry, index)
        told = _parameters(entry, f"inputs[{index}]")
        size = told.get("binary_data_size")
        if size is None:
            base64 = told.get("content_type") == "base64"
            inputs.append(tensors.from_json(name, datatype, shape, entry.get("data"), base64=base64))
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - start:
            raise InvalidArgument(
                f"The input `{name}` has a `binary_data_size` of {size}; {len(binary) - start} bytes are there",
                hint="Send the tensors behind the JSON, in order, and Inference-Header-Content-Length",
            )
        inputs.append(tensors.from_binary(name, datatype, shape, binary[start : start + size]))
        start += size
    if start < len(binary):
        raise InvalidArgument(f"{len(binary) - start} bytes behind the JSON belong to no input")
    _require_rows(inputs)
    parameters = _parameters(document, "the request")
    default = parameters.pop(_BINARY_OUTPUT, False) is True
    outputs = {
        _name(entry, f"outputs[{index}]"): _parameters(entry, f"outputs[{index}]").get("binary_data", default) is True
        for index, entry in enumerate(_objects(document, "outputs"))
    }
    identity = document.get("id")
    return Inference(None if identity is None else str(identity), parameters, tuple(inputs), outputs, default)


def rows_for(inference: Inference, info: ModelInfo) -> Batch:
    """Return the tensors as the rows that a model takes.

    Columns by name where there are several tensors, or where the model declares several inputs and the one that is
    sent is among them; else the rows of the one tensor, whatever it is called.
    """
    declared = {one.name for one in info.inputs}
    several = len(inference.inputs) > 1
    named = several or (len(declared) > 1 and inference.inputs[0].name in declared)
    if not named:
        rows = inference.inputs[0].array
        return rows.tolist() if info.form is Form.PYTHON or rows.dtype == object else rows
    columns = {one.name: one.array for one in inference.inputs}
    if len(declared) < 2:
        columns = {name: column[:, 0] if column.shape[1:] == (1,) else column for name, column in columns.items()}
    if info.form is Form.PYTHON:
        lists = [column.tolist() for column in columns.values()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
    return {name: column.tolist() if column.dtype == object else column for name, column in columns.items()}


def outputs_of(batch: Batch, info: ModelInfo, *, finite: bool = False) -> list[Tensor]:
    """Return predictions as tensors: one for each named column, else one alone.

    Predictions that make no tensor, such as lists of unequal length, are BYTES with the JSON of each.
    """
    if (
        isinstance(batch, list)
        and batch
        and all(isinstance(row, dict) and row.keys() == batch[0].keys() for row in batch)
    ):
        batch = {name: [row[name] for row in batch] for name in batch[0]}
    if not isinstance(batch, dict):
        name = info.outputs[0].name if len(info.outputs) == 1 else _DEFAULT_OUTPUT
        batch = {name: batch}
    return [_output(str(name), values, finite=finite) for name, values in batch.items()]


def answer(inference: Inference, outputs: Sequence[Tensor], model: str, version: str) -> Answer:
    """Return the body that carries the outputs that were asked for, in the form that was asked for.

    Raises:
        InvalidArgument: one that was asked for is not there.
    """
    there = {one.name: one for one in outputs}
    wanted = inference.outputs or dict.fromkeys(there, inference.binary)
    for name in wanted.keys() - there.keys():
        known = ", ".join(f"`{one}`" for one in there)
        raise InvalidArgument(f"The model has no output `{name}`", hint=f"Ask for {known}", output=name)
    heads, parts = [], []
    for name, binary in wanted.items():
        if binary:
            head, data = tensors.to_binary(there[name])
            parts.append(data)
        else:
            head = tensors.to_json(there[name])
        heads.append(head)
    document: dict[str, Any] = {"model_name": model}
    if version:
        document["model_version"] = version
    if inference.id is not None:
        document["id"] = inference.id
    json = orjson.dumps(document | {"outputs": heads}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Answer(b"".join((json, *parts)), len(json)) if parts else Answer(json, None)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument(f"The request is not JSON: {error}") from error
    if isinstance(document, dict):
        if "inputs" not in document and "instances" in document:
            raise InvalidArgument(
                "The request has `instances`, not `inputs`", hint="Send instances to the predict route, tensors here"
            )
        return document
    raise InvalidArgument("The request is no JSON object", hint='Send {"inputs": [...]}')


def _objects(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    listed = document.get(name)
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise InvalidArgument(f"`{name}` is not a list of objects")
    return listed


def _head(entry: dict[str, Any], index: int) -> tuple[str, str, tuple[int, ...]]:
    name = _name(entry, f"inputs[{index}]")
    datatype, shape = entry.get("datatype"), entry.get("shape")
    if not isinstance(datatype, str):
        raise InvalidArgument(f"The input `{name}` has no `datatype`", hint=f"Known: {', '.join(tensors.DTYPES)}")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise InvalidArgument(
            f"The input `{name}` has the `shape` {shape}",
            hint="Send a list of sizes, that of the rows first",
        )
    return name, datatype, tuple(shape)


def _name(entry: dict[str, Any], place: str) -> str:
    name = entry.get("name")
    if not isinstance(name, str):
        raise InvalidArgument(f"{place} has no `name`")
    return name


def _parameters(holder: dict[str, Any], place: str) -> dict[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidArgument(f"The `parameters` of {place} are not an object")
    return parameters


def _require_rows(inputs: Sequence[Tensor]) -> None:
    sizes = {one.name: len(one.array) for one in inputs}
    if len(sizes) < len(inputs):
        raise InvalidArgument("Two inputs have the same name")
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"`{name}` {size}" for name, size in sizes.items())
        raise InvalidArgument(f"The inputs have different numbers of rows: {told}", hint="The first axis is the rows")
    if not all(sizes.values()):
        raise InvalidArgument("The inputs have no rows", hint="Send a shape whose first size is 1 or more")


def _output(name: str, values: Array | list[Any], *, finite: bool) -> Tensor:
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "USO" and all(isinstance(one, (str, bytes)) for one in values.ravel().tolist()):
            return Tensor(name, values.astype(object))
        values = writable(values)
    if finite:
        require_finite(values)
    if isinstance(values, np.ndarray) and values.dtype.kind != "M":
        return Tensor(name, values)
    return _of_list(name, list(values))


def _of_list(name: str, values: list[Any]) -> Tensor:
    if all(isinstance(value, (str, bytes)) for value in values):
        return Tensor(name, _objects_of(values))
    try:
        array: Any = batch_of(
            [value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value for value in values]
        )
    except InvalidArgument:  # of unequal length
        array = None
    if isinstance(array, np.ndarray):
        return Tensor(name, array)
    texts = [orjson.dumps(json_of(index, value)) for index, value in enumerate(values)]
    return Tensor(name, _objects_of(texts), {"content_type": "json"})


def _objects_of(values: list[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array

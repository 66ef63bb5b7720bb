"""What the files of a folder written by MLflow say: flavour, signature, parameters, an example of its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml

from modelport.core.errors import ModelCannotBeLoaded
from modelport.server.loaders.tensors_in import TEXT, Wanted

FILE = "MLmodel"
_EXAMPLE_ROWS = 5

# What a column of a type holds as a NumPy array; dates stay as they were sent.
_COLUMN_TYPES: dict[str, np.dtype[Any]] = {
    "boolean": np.dtype(bool),
    "integer": np.dtype(np.int32),
    "long": np.dtype(np.int64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a signature; its type is None where it holds anything but numbers."""

    name: str
    dtype: np.dtype[Any] | None
    required: bool = True


@dataclass(frozen=True, slots=True)
class Described:
    """A folder of MLflow.

    Attributes:
        loader: the module of MLflow that loads it.
        flavors: what is noted for each library, by name.
        columns: of the signature, if it is one of tables.
        tensors: of the signature, if it is one of tensors.
        parameters: names of those that may be sent with a request.
        example: instances, if it has some.
    """

    loader: str
    flavors: Mapping[str, Any]
    columns: tuple[Column, ...]
    tensors: tuple[Wanted, ...]
    parameters: frozenset[str]
    example: list[Any]


def described(folder: Path) -> Described:
    """Read the folder's MLmodel.

    Raises:
        ModelCannotBeLoaded: it is not there, or is not of MLflow's form.
    """
    try:
        document = yaml.safe_load((folder / FILE).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ModelCannotBeLoaded(f"`{folder / FILE}` cannot be read: {error}") from error
    flavors = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavors, dict) or "python_function" not in flavors:
        names = ", ".join(f"`{name}`" for name in flavors or ()) or "none"
        raise ModelCannotBeLoaded(
            f"`{folder / FILE}` has no flavor `python_function`; it has {names}", hint="Log the model with its flavor"
        )
    signature = document.get("signature") or {}
    inputs = _listed(signature.get("inputs"))
    tabular = any(one.get("type") != "tensor" for one in inputs)
    return Described(
        loader=str(flavors["python_function"].get("loader_module", "")),
        flavors=flavors,
        columns=tuple(_column(one) for one in inputs) if tabular and all("name" in one for one in inputs) else (),
        tensors=() if tabular else tuple(_tensor(one) for one in inputs),
        parameters=frozenset(str(one["name"]) for one in _listed(signature.get("params"))),
        example=_example(folder, document.get("saved_input_example_info") or {}),
    )


def _listed(text: Any) -> list[dict[str, Any]]:
    """Return a part of the signature, which is JSON in YAML."""
    return orjson.loads(text) if text else []


def _column(one: Mapping[str, Any]) -> Column:
    return Column(str(one["name"]), _COLUMN_TYPES.get(str(one.get("type"))), bool(one.get("required", True)))


def _tensor(one: Mapping[str, Any]) -> Wanted:
    spec = one["tensor-spec"]
    name = str(spec["dtype"])
    dtype = TEXT if name in ("object", "str") else np.dtype(name)
    return Wanted(str(one.get("name") or "instances"), dtype, tuple(spec["shape"]))


def _example(folder: Path, info: Mapping[str, Any]) -> list[Any]:
    name = info.get("serving_input_path") or info.get("artifact_path")
    file = folder / str(name)
    if not name or not file.is_file():
        return []
    try:
        document = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError:
        return []
    return instances(document)[:_EXAMPLE_ROWS]


def instances(document: Any) -> list[Any]:
    """Return an example as instances, whichever of MLflow's forms it is written in; none of a form that is unknown."""
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        return []
    for form in ("instances", "dataframe_records", "inputs"):
        if form in document:
            return _rows(document[form])
    table = document.get("dataframe_split", document)
    if not isinstance(table, dict) or "data" not in table:
        return []
    if "columns" not in table or all(isinstance(name, int) for name in table["columns"]):
        return list(table["data"])
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def _rows(inputs: Any) -> list[Any]:
    if isinstance(inputs, list):
        return inputs
    if not isinstance(inputs, dict) or not all(isinstance(column, list) for column in inputs.values()):
        return []
    return [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]

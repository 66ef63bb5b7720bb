"""The loader of XGBoost: boosters in JSON and UBJSON, and pickled boosters and wrappers.

A booster gives what its objective gives, probabilities for `binary:logistic`; a pickled wrapper gives classes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import Framework, framework_of_content
from modelport.server.loaders.base import LoadOptions, required
from modelport.server.loaders.columns import Columns
from modelport.server.loaders.files import model_file
from modelport.server.loaders.pickles import SUFFIXES
from modelport.server.loaders.table_model import TableModel, numeric_input, only_predict, zeros
from modelport.server.model import Model, ModelInfo
from modelport.server.skew import compared

_NAME = "xgboost"
_EDGE_BYTES = 256  # the version stands first or last in the file
_BINARY = b"binf"  # the format before JSON, which XGBoost 3.1 dropped, and says so
_SAVE_AGAIN = 'Save it again with the XGBoost that wrote it: `booster.save_model("model.ubj")`'
_IN_JSON = re.compile(rb'"version"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)')
_IN_UBJSON = re.compile(rb"\x07version\[(?:\$i)?#L.{7}\x03i?(.)i?(.)i?(.)", re.S)


def load(folder: Path, options: LoadOptions) -> Model:
    """Load the booster of the folder, or the pickle that holds one.

    Raises:
        ModelCannotBeLoaded: there is none or there are several, it cannot be read, or XGBoost is not installed.
    """
    xgboost = required(_NAME, Framework.XGBOOST)
    file = model_file(folder, Framework.XGBOOST, options.model_file)
    if file.suffix in SUFFIXES:
        from modelport.server.loaders.sklearn import pickled

        return pickled(file, options)
    source = _source(file)
    booster = xgboost.Booster({"nthread": options.threads})
    try:
        booster.load_model(source)
    except xgboost.core.XGBoostError as error:
        what = str(error).partition("Stack trace")[0].strip()
        raise ModelCannotBeLoaded(
            f"XGBoost {xgboost.__version__} cannot read `{file.name}`: {what}", hint=_SAVE_AGAIN
        ) from error
    return _model(booster, folder, options, written_by(file))


def of_object(booster: Any, folder: Path, options: LoadOptions) -> Model:
    """Return the model of a booster that was pickled."""
    booster.set_param({"nthread": options.threads})
    return _model(booster, folder, options, "")


def written_by(file: Path) -> str:
    """Return the version of XGBoost that wrote a model file; empty if it does not tell."""
    with file.open("rb") as opened:
        head = opened.read(_EDGE_BYTES)
        opened.seek(max(0, file.stat().st_size - _EDGE_BYTES))
        tail = opened.read()
    for edge in (tail, head):
        if match := _IN_JSON.search(edge):
            return ".".join(part.decode() for part in match.groups())
        if match := _IN_UBJSON.search(edge):
            return ".".join(str(part[0]) for part in match.groups())
    return ""


def _source(file: Path) -> Path | bytearray:
    """Return what XGBoost is to read: it judges a file by its ending, and a buffer by what it begins with.

    What is no model or was cut off is refused, for XGBoost ends the process over some of these.
    """
    with file.open("rb") as opened:
        head = opened.read(_EDGE_BYTES)
        opened.seek(max(0, file.stat().st_size - _EDGE_BYTES))
        tail = opened.read().rstrip()
    if head.startswith(_BINARY):
        return file
    if framework_of_content(head) is not Framework.XGBOOST:
        raise ModelCannotBeLoaded(
            f"`{file.name}` is no model of XGBoost: it begins with {head[:16]!r}", hint=_SAVE_AGAIN
        )
    if not tail.endswith(b"}"):
        raise ModelCannotBeLoaded(f"`{file.name}` ends too early", hint="Copy the file again, whole")
    return file if file.suffix in (".json", ".ubj") else bytearray(file.read_bytes())


def categories_of(booster: Any) -> dict[str, None]:
    """Return the names of the columns that were pandas' categories; which they are, the booster knows itself."""
    kinds = zip(booster.feature_names or (), booster.feature_types or (), strict=False)
    return {name: None for name, kind in kinds if kind == "c"}


def _model(booster: Any, folder: Path, options: LoadOptions, trained: str) -> TableModel:
    only_predict(Framework.XGBOOST, options)
    xgboost = required(_NAME, Framework.XGBOOST)
    columns = Columns(tuple(booster.feature_names or ()), booster.num_features())
    categories = categories_of(booster)

    def by_matrix(rows: Any) -> Any:
        matrix = xgboost.DMatrix(
            rows, feature_names=booster.feature_names, nthread=options.threads, enable_categorical=bool(categories)
        )
        return booster.predict(matrix)

    info = ModelInfo(
        framework=Framework.XGBOOST,
        inputs=numeric_input(columns, categories),
        libraries=compared(folder, (_NAME, "numpy"), {_NAME: trained} if trained else {}),
        warm_up=zeros(columns, categories),
    )
    return TableModel(_in_place(booster) or by_matrix, columns, info, categories)


def _in_place(booster: Any) -> Any:
    """Return the function that predicts without a copy of the rows; None where it is not to be had.

    The numbers are the same to the bit; linear boosters do not have it.
    """
    linear = '"name":"gblinear"' in booster.save_config()
    return None if linear else booster.inplace_predict

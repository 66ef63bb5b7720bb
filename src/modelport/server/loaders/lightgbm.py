"""The loader of LightGBM: boosters in its text format, and pickled boosters and wrappers.

A booster gives what its objective gives, probabilities for `binary`; a pickled wrapper gives classes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, required
from modelport.server.loaders.columns import Columns
from modelport.server.loaders.files import head, model_file
from modelport.server.loaders.pickles import SUFFIXES
from modelport.server.loaders.table_model import TableModel, numeric_input, only_predict, zeros
from modelport.server.model import Model, ModelInfo
from modelport.server.skew import compared

_NAME = "lightgbm"
_FORMAT = re.compile(rb"^version=v(\d+)", re.M)  # of the file; it goes up with LightGBM's major version
_CATEGORICAL = re.compile(r"^\[categorical_feature: (\d[\d,]*)\]", re.M)
_UNNAMED = re.compile(r"Column_\d+")


def load(folder: Path, options: LoadOptions) -> Model:
    """Load the booster of the folder, or the pickle that holds one.

    Raises:
        ModelCannotBeLoaded: there is none or there are several, it cannot be read, or LightGBM is not installed.
    """
    lightgbm = required(_NAME, Framework.LIGHTGBM)
    file = model_file(folder, Framework.LIGHTGBM, options.model_file)
    if file.suffix in SUFFIXES:
        from modelport.server.loaders.sklearn import pickled

        return pickled(file, options)
    try:
        booster = lightgbm.Booster(model_file=file)
    except lightgbm.basic.LightGBMError as error:
        raise ModelCannotBeLoaded(
            f"LightGBM {lightgbm.__version__} cannot read `{file.name}`: {error}",
            hint='Save the model again: `booster.save_model("model.txt")`',
        ) from error
    match = _FORMAT.search(head(file))
    return _model(booster, folder, options, match[1].decode() if match else "")


def of_object(booster: Any, folder: Path, options: LoadOptions) -> Model:
    """Return the model of a booster that was pickled."""
    return _model(booster, folder, options, "")


def _model(booster: Any, folder: Path, options: LoadOptions, trained: str) -> TableModel:
    only_predict(Framework.LIGHTGBM, options)
    names = booster.feature_name()
    named = not all(_UNNAMED.fullmatch(name) for name in names)
    columns = Columns(tuple(names) if named else (), booster.num_feature())
    categories = categories_of(booster)
    threads = options.threads

    def predict(rows: Any) -> Any:
        # Whole numbers as such would be taken as float32, which cannot hold them all.
        wide = rows.astype(np.float64) if isinstance(rows, np.ndarray) and rows.dtype.kind in "iub" else rows
        return booster.predict(wide, num_threads=threads)

    info = ModelInfo(
        framework=Framework.LIGHTGBM,
        inputs=numeric_input(columns, categories),
        libraries=compared(folder, (_NAME, "numpy"), {_NAME: trained} if trained else {}),
        warm_up=zeros(columns, categories),
    )
    return TableModel(predict, columns, info, categories)


def categories_of(booster: Any) -> dict[str, list[Any]]:
    """Return the categories, in the order of the training, of the columns that were pandas' categories."""
    values = booster.pandas_categorical or []
    match = _CATEGORICAL.search(booster.model_to_string(num_iteration=1)) if values else None
    if match is None:
        return {}
    names = booster.feature_name()
    return dict(zip((names[int(place)] for place in match[1].split(",")), values, strict=False))

"""Frameworks whose model files are served without a server of one's own, and how their files are recognised. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import PurePosixPath


class Framework(StrEnum):
    """The value of a version's `framework`: the three of ml.v1 and, as an extension, the others that are served."""

    TENSORFLOW = "TENSORFLOW"
    SCIKIT_LEARN = "SCIKIT_LEARN"
    XGBOOST = "XGBOOST"
    LIGHTGBM = "LIGHTGBM"
    CATBOOST = "CATBOOST"
    KERAS = "KERAS"
    ONNX = "ONNX"
    PYTORCH = "PYTORCH"
    MLFLOW = "MLFLOW"


# What people type; the enum's own names are understood in any case too.
_ALIASES = {
    "SKLEARN": Framework.SCIKIT_LEARN,
    "SCIKIT": Framework.SCIKIT_LEARN,
    "SCIKITLEARN": Framework.SCIKIT_LEARN,
    "TF": Framework.TENSORFLOW,
    "XGB": Framework.XGBOOST,
    "LGBM": Framework.LIGHTGBM,
    "TORCH": Framework.PYTORCH,
    "ONNXRUNTIME": Framework.ONNX,
}

# File names at the root of a model folder, most telling first. A folder that MLflow wrote holds files of others too.
_FILES: tuple[tuple[str, Framework], ...] = (
    ("MLmodel", Framework.MLFLOW),
    ("saved_model.pb", Framework.TENSORFLOW),
    ("saved_model.pbtxt", Framework.TENSORFLOW),
    ("*.keras", Framework.KERAS),
    ("*.onnx", Framework.ONNX),
    ("*.pt2", Framework.PYTORCH),
    ("*.pt", Framework.PYTORCH),
    ("*.pth", Framework.PYTORCH),
    ("*.torchscript", Framework.PYTORCH),
    ("*.cbm", Framework.CATBOOST),
    ("*.bst", Framework.XGBOOST),
    ("*.ubj", Framework.XGBOOST),
    ("*.lgb", Framework.LIGHTGBM),
    ("*.skops", Framework.SCIKIT_LEARN),
    ("*.joblib", Framework.SCIKIT_LEARN),
    ("*.pkl", Framework.SCIKIT_LEARN),
    ("*.pickle", Framework.SCIKIT_LEARN),
    ("*.cloudpickle", Framework.SCIKIT_LEARN),
    # Common names of text formats, last: anything may end in .json or .txt.
    ("model.json", Framework.XGBOOST),
    ("model.txt", Framework.LIGHTGBM),
)

# Where a framework is named, and none of its own files is there. Their wrappers are scikit-learn's estimators, which
# people pickle; ml.v1 takes such for XGBOOST too.
_PICKLES = ("*.skops", "*.joblib", "*.pkl", "*.pickle", "*.cloudpickle")
_ALSO: dict[Framework, tuple[str, ...]] = {
    Framework.XGBOOST: ("*.model", "*.json", *_PICKLES),
    Framework.LIGHTGBM: ("*.txt", "*.model", *_PICKLES),
    Framework.CATBOOST: ("model.json", "*.json", *_PICKLES),
}

# What the text formats, and those without a customary ending, begin with; bytes that stand near the start.
_BEGINNINGS: tuple[tuple[bytes, Framework], ...] = (
    (b"CBM1", Framework.CATBOOST),
    (b"tree\nversion=", Framework.LIGHTGBM),
    (b"tree\r\nversion=", Framework.LIGHTGBM),
)
_WITHIN: tuple[tuple[bytes, Framework], ...] = (
    (b'"learner"', Framework.XGBOOST),  # JSON
    (b"\x07learner", Framework.XGBOOST),  # UBJSON: the name and its length
    (b'"ctr_data"', Framework.CATBOOST),
    (b'"features_info"', Framework.CATBOOST),
    (b'"oblivious_trees"', Framework.CATBOOST),
)
_NEAR = 256


def framework_named(text: str) -> Framework | None:
    """Return the framework that `text` means (`SCIKIT_LEARN`, `sklearn`, `scikit-learn`), or None."""
    name = text.strip().upper().replace("-", "_")
    if name in Framework.__members__:
        return Framework[name]
    return _ALIASES.get(name.replace("_", ""))


def framework_of(names: Iterable[str]) -> Framework | None:
    """Return the framework whose files these are, by the names at the root of a model folder; None when unknown."""
    paths = [PurePosixPath(name) for name in names]
    return next((framework for pattern, framework in _FILES if any(path.match(pattern) for path in paths)), None)


def framework_of_content(head: bytes) -> Framework | None:
    """Return the framework that wrote a file which begins with `head`; None where that does not tell.

    It knows what file names do not tell: JSON and text. A few hundred bytes are enough.
    """
    if found := next((framework for start, framework in _BEGINNINGS if head.startswith(start)), None):
        return found
    near = head[:_NEAR]
    return next((framework for part, framework in _WITHIN if near.startswith(b"{") and part in near), None)


def model_files(names: Iterable[str], framework: Framework) -> tuple[str, ...]:
    """Return the names among `names` that a model of this framework is stored under, most telling first."""
    paths = sorted(PurePosixPath(name) for name in names)
    own = [pattern for pattern, owner in _FILES if owner is framework]
    return _matching(paths, own) or _matching(paths, _ALSO.get(framework, ()))


def _matching(paths: Sequence[PurePosixPath], patterns: Iterable[str]) -> tuple[str, ...]:
    found = [str(path) for pattern in patterns for path in paths if path.match(pattern)]
    return tuple(dict.fromkeys(found))

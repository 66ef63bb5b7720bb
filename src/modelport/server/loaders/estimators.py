"""What an estimator in scikit-learn's manner says about itself: its parts, its columns, how it may be called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from modelport.server.loaders.columns import Columns

# Methods that give one prediction for each row. Others give pairs, generators or a score of all rows.
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")

# Their estimators predict each row from that row alone, which nobody knows of code of the user's own.
_KNOWN = ("sklearn", "xgboost", "lightgbm", "catboost", "imblearn", "numpy", "scipy")
_OWN_THREADS = ("xgboost", "lightgbm")
_PLAIN = (str, bytes, int, float, np.generic)
# They factorise all rows of a call together, until the whole is near enough.
_JOINT = ("NMF", "MiniBatchNMF")
# They pick columns by name, or hand the table to a function that may.
_BY_NAME = ("ColumnTransformer", "FunctionTransformer")


def parts(estimator: Any) -> Iterator[Any]:
    """Give the estimator and all that it consists of: steps of a pipeline, members of an ensemble."""
    seen: set[int] = set()
    waiting = [estimator]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if _is_part(part):
            yield part
            waiting.extend(vars(part).values())
        else:
            waiting.extend(_members(part))


def is_estimator(value: Any) -> bool:
    """Return whether it is an estimator in scikit-learn's manner rather than a library's own kind of model."""
    return hasattr(value, "get_params") and hasattr(value, "fit")


def methods(estimator: Any) -> tuple[str, ...]:
    """Return the methods that may be called on it."""
    return tuple(name for name in METHODS if callable(getattr(estimator, name, None)))


def is_row_wise(estimator: Any) -> bool:
    """Return whether each row's prediction certainly depends on that row alone."""
    return all(_is_known(part) and type(part).__name__ not in _JOINT for part in parts(estimator))


def columns(estimator: Any) -> Columns | None:
    """Return the columns that it was fitted on; None where its rows are no table, such as texts."""
    count = getattr(estimator, "n_features_in_", None)
    if count is None:
        return None
    names = getattr(estimator, "feature_names_in_", None)
    return Columns(() if names is None else tuple(str(name) for name in names), int(count))


def wants_frame(estimator: Any) -> bool:
    """Return whether it, fitted on named columns, must be given them with their names again."""
    return (
        any(type(part).__name__ in _BY_NAME or not _is_known(part) for part in parts(estimator))
        and getattr(estimator, "feature_names_in_", None) is not None
    )


def limit_threads(estimator: Any, threads: int) -> None:
    """Give the estimator, which may have been trained on all CPUs of another machine, as many threads as are ours."""
    for part in parts(estimator):
        # Where scikit-learn's estimators leave it open they use one; those of the other libraries use all.
        if getattr(part, "n_jobs", None) is not None or (hasattr(part, "n_jobs") and _root(part) in _OWN_THREADS):
            part.n_jobs = threads
        if _root(part) == "xgboost" and hasattr(part, "set_param"):
            part.set_param({"nthread": threads})


def _is_part(value: Any) -> bool:
    if isinstance(value, type) or not hasattr(value, "__dict__"):
        return False
    return hasattr(value, "get_params") or hasattr(value, "transform") or hasattr(value, "predict")


def _members(value: Any) -> list[Any]:
    """Return what a container holds; nothing of one of plain values, such as a vocabulary of a million words."""
    if isinstance(value, dict):
        members = list(value.values())
    elif isinstance(value, (list, tuple)):
        members = list(value)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        members = value.ravel().tolist()
    else:
        return []
    plain = not isinstance(value, tuple) and members and isinstance(members[0], _PLAIN)
    return [] if plain else members


def _is_known(part: Any) -> bool:
    if _root(part) not in _KNOWN:
        return False
    function = getattr(part, "func", None)
    return type(part).__name__ != "FunctionTransformer" or function is None or isinstance(function, np.ufunc)


def _root(part: Any) -> str:
    return type(part).__module__.partition(".")[0]

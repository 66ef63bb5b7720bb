"""Estimators of scikit-learn as the array operations that they are, to the bit, without the checks around them.

`LogisticRegression.predict` for one row is two operations on arrays and ten times their time in checks; a forest
spends most of a small call on handing trees to threads. What is known of common estimators is done directly here, with
scikit-learn's own code for all that matters. Whatever the checks would refuse or convert goes the ordinary way, so that
it gets the ordinary error, and a model whose direct call gives other bits than its own, on rows made up at load,
keeps its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from modelport.server.model import Array

Call = Callable[[Any], Any]

_SAMPLE_ROWS = (1, 2, 16)
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


def direct_call(estimator: Any, method: str) -> Call:
    """Return a call that does what `estimator.METHOD` does; directly, where that is known to give the same bits."""
    own: Call = getattr(estimator, method)
    features = getattr(estimator, "n_features_in_", None)
    operation = _operation(estimator, method)
    if operation is None or features is None:
        return own
    known: Call = operation

    def call(rows: Any) -> Any:
        if _is_plain(rows, features):
            return known(rows)
        return own(rows)

    return call if _gives_the_same(call, own, features) else own


def _operation(estimator: Any, method: str) -> Call | None:
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.pipeline import Pipeline

    kind = type(estimator)
    if kind is Pipeline:
        return _pipeline(estimator, method)
    if kind in (RandomForestClassifier, ExtraTreesClassifier):
        return _forest_classifier(estimator, method)
    if kind in (RandomForestRegressor, ExtraTreesRegressor):
        return _forest_regressor(estimator, method)
    if kind.__module__.startswith("sklearn.linear_model.") or kind.__module__ == "sklearn.svm._classes":
        return _linear(estimator, method)
    return None


def _linear(estimator: Any, method: str) -> Call | None:
    """Return the method of a copy whose scores are computed without checks; the rest of it stays scikit-learn's."""
    from sklearn.linear_model._base import LinearClassifierMixin, LinearModel

    coefficients, intercept = getattr(estimator, "coef_", None), getattr(estimator, "intercept_", None)
    if not isinstance(coefficients, np.ndarray) or intercept is None:
        return None
    transposed = coefficients.T

    def scores(rows: Array) -> Array:
        found: Array = rows @ transposed + intercept
        return found.reshape(-1) if found.ndim > 1 and found.shape[1] == 1 else found

    bare = copy.copy(estimator)
    if isinstance(estimator, LinearClassifierMixin) and _inherits(
        estimator, "decision_function", LinearClassifierMixin
    ):
        bare.decision_function = scores
        if method == "predict" and _inherits(estimator, "predict", LinearClassifierMixin):
            return _classes_of(scores, estimator.classes_)
    elif _inherits(estimator, "_decision_function", LinearModel):
        bare._decision_function = lambda rows: rows @ transposed + intercept
    else:
        return None
    return getattr(bare, method, None)


def _inherits(estimator: Any, method: str, base: type) -> bool:
    return isinstance(estimator, base) and getattr(type(estimator), method, None) is getattr(base, method, None)


def _classes_of(scores: Call, classes: Array) -> Call:
    def predict(rows: Array) -> Array:
        found = scores(rows)
        chosen: Array = found.argmax(axis=1) if found.ndim > 1 else (found > 0).astype(int)
        return classes.take(chosen, axis=0)

    return predict


def _forest_classifier(forest: Any, method: str) -> Call | None:
    if forest.n_outputs_ != 1 or method not in ("predict", "predict_proba"):
        return None
    trees = [tree.tree_ for tree in forest.estimators_]
    count = forest.n_classes_

    def probabilities(rows: Array) -> Array:
        narrow = rows.astype(np.float32)
        total = np.zeros((len(rows), count))
        for tree in trees:
            total += tree.predict(narrow)[:, :count]
        total /= len(trees)
        return total

    if method == "predict_proba":
        return probabilities
    return lambda rows: forest.classes_.take(probabilities(rows).argmax(axis=1), axis=0)


def _forest_regressor(forest: Any, method: str) -> Call | None:
    if forest.n_outputs_ != 1 or method != "predict":
        return None
    trees = [tree.tree_ for tree in forest.estimators_]

    def predict(rows: Array) -> Array:
        narrow = rows.astype(np.float32)
        total = np.zeros(len(rows))
        for tree in trees:
            total += tree.predict(narrow)[:, 0]
        total /= len(trees)
        return total

    return predict


def _pipeline(pipeline: Any, method: str) -> Call | None:
    """Return the steps one after the other; a step that is not known directly is called as it is."""
    *transformers, (_, last) = pipeline.steps
    final = _operation(last, method)
    if final is None or getattr(pipeline, "transform_input", None):
        return None
    steps = [_transform(step) for _, step in transformers if step not in (None, "passthrough")]

    def call(rows: Array) -> Any:
        for step in steps:
            rows = step(rows)
        # What a transformer made may be what the checks exist for.
        return final(rows) if _is_plain(rows, rows.shape[-1]) else last_call(rows)

    last_call = getattr(last, method)
    return call


def _transform(transformer: Any) -> Call:
    from sklearn.preprocessing import StandardScaler

    if type(transformer) is not StandardScaler:
        return transformer.transform  # type: ignore[no-any-return]
    mean = transformer.mean_ if transformer.with_mean else None
    scale = transformer.scale_ if transformer.with_std else None

    def standardise(rows: Array) -> Array:
        scaled = rows.astype(np.float64)
        if mean is not None:
            scaled -= mean
        if scale is not None:
            scaled /= scale
        return scaled

    return standardise


def _is_plain(rows: Any, features: int) -> bool:
    """Return whether the checks would let an array pass as it is; float32 is what trees compute in."""
    return (
        type(rows) is np.ndarray
        and rows.ndim == 2
        and rows.shape[1] == features
        and len(rows) > 0
        and rows.dtype.char in "dl"
        and bool((np.abs(rows) <= _LARGEST_FLOAT32).all())
    )


def _gives_the_same(call: Call, own: Call, features: int) -> bool:
    random = np.random.default_rng(20260101)
    for count in _SAMPLE_ROWS:
        for rows in (
            random.normal(size=(count, features)),
            random.normal(scale=100, size=(count, features)),
            random.integers(-9, 10, size=(count, features)),
        ):
            try:
                with np.errstate(all="ignore"):
                    expected, found = own(rows), call(rows)
            except Exception:  # a model that refuses made-up rows tells nothing
                return False
            if type(found) is not type(expected) or found.dtype != expected.dtype:
                return False
            if not np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"):
                return False
    return True

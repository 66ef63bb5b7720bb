"""Direct calls give what scikit-learn gives: the same bits, the same types, the same errors."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC

from modelport.server.loaders.sklearn_direct import direct_call

ROWS, CLASSES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[CLASSES]


def fitted(estimator: Any, target: Any = CLASSES) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(ROWS, target)


DIRECT = {
    "logistic": (fitted(LogisticRegression(max_iter=500)), ("predict", "predict_proba", "decision_function")),
    "logistic, texts": (fitted(LogisticRegression(max_iter=500), NAMES), ("predict", "predict_log_proba")),
    "logistic, two classes": (fitted(LogisticRegression(), CLASSES == 1), ("predict", "predict_proba")),
    "sgd": (fitted(SGDClassifier(random_state=0)), ("predict", "decision_function")),
    "ridge classifier": (fitted(RidgeClassifier()), ("predict",)),
    "linear svc": (fitted(LinearSVC(random_state=0)), ("predict",)),
    "linear": (fitted(LinearRegression()), ("predict",)),
    "ridge, two outputs": (fitted(Ridge(), np.c_[CLASSES, ROWS[:, 0]]), ("predict",)),
    "forest": (fitted(RandomForestClassifier(20, random_state=0), NAMES), ("predict", "predict_proba")),
    "extra trees": (fitted(ExtraTreesClassifier(20, random_state=0)), ("predict",)),
    "forest regressor": (fitted(RandomForestRegressor(20, random_state=0)), ("predict",)),
    "scaled": (fitted(make_pipeline(StandardScaler(), LogisticRegression())), ("predict", "predict_proba")),
    "scaled otherwise": (fitted(make_pipeline(MinMaxScaler(), Ridge())), ("predict",)),
}
CASES = [pytest.param(model, method, id=f"{name}: {method}") for name, (model, ms) in DIRECT.items() for method in ms]
NUMBERS = st.floats(-1e6, 1e6, width=64) | st.sampled_from([0.0, -0.0, 1e30, -1e30, 5e-324])


@pytest.mark.parametrize(("model", "method"), CASES)
@given(rows=arrays(np.float64, st.tuples(st.integers(1, 20), st.just(4)), elements=NUMBERS))
@settings(max_examples=25, deadline=None)
def test_a_direct_call_gives_the_same_bits(model: Any, method: str, rows: Any) -> None:
    own, direct = getattr(model, method), direct_call(model, method)
    assert direct != own
    before = rows.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numbers may overflow, on both ways alike
        expected, found = own(rows), direct(rows)
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes() or found.tolist() == expected.tolist()
    assert (rows == before).all()


@pytest.mark.parametrize(("model", "method"), CASES)
def test_whole_numbers_and_other_widths_give_the_same(model: Any, method: str) -> None:
    own, direct = getattr(model, method), direct_call(model, method)
    for rows in (ROWS.astype(int), ROWS.astype(np.float32), np.asfortranarray(ROWS), ROWS[::3], ROWS > 3):
        assert direct(rows).tolist() == own(rows).tolist()


@pytest.mark.parametrize(("model", "method"), CASES)
@pytest.mark.parametrize(
    "rows",
    [
        np.array([[1.0, np.nan, 1.0, 1.0]]),
        np.array([[1.0, np.inf, 1.0, 1.0]]),
        np.array([[1.0, 1e300, 1.0, 1.0]]),
        np.ones((2, 3)),
        np.ones(4),
        np.ones((0, 4)),
        np.array([["a", "b", "c", "d"]]),
        [[1.0, 2.0, 3.0, 4.0]],
    ],
    ids=["nan", "infinite", "too large for a tree", "three columns", "no rows", "empty", "texts", "a list"],
)
def test_what_the_checks_would_say_is_said(model: Any, method: str, rows: Any) -> None:
    def outcome(call: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                return call(rows).tolist()
        except Exception as error:
            return type(error), str(error)

    assert outcome(direct_call(model, method)) == outcome(getattr(model, method))


@pytest.mark.parametrize("model", [fitted(ElasticNet()), fitted(HistGradientBoostingClassifier(max_iter=5))])
def test_what_is_not_known_directly_stays_as_it_is(model: Any) -> None:
    assert direct_call(model, "predict") == model.predict


def test_a_subclass_that_overrides_the_scores_stays_as_it_is() -> None:
    class Biased(LogisticRegression):
        def decision_function(self, X: Any) -> Any:
            return super().decision_function(X) + 100

    model = fitted(Biased(max_iter=500))
    assert direct_call(model, "predict") == model.predict


def test_a_call_that_gives_other_bits_is_not_taken() -> None:
    model, noise = fitted(LinearRegression()), np.random.default_rng(0)
    own = model.predict
    model.predict = lambda rows: own(rows) + noise.normal()
    assert direct_call(model, "predict") is model.predict

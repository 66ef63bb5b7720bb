"""Estimators of scikit-learn: predictions to the bit, methods, columns, and what is said of rows that do not fit."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import joblib
import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import NMF, PCA
from sklearn.ensemble import HistGradientBoostingRegressor, IsolationForest, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.server.loaders.base import LoadOptions, load
from modelport.server.model import LibraryVersion, Model, TensorInfo
from tests.server.predicting import predictions

RANDOM = np.random.default_rng(0)
X = RANDOM.random((150, 4))
CLASSES = np.array(["low", "middle", "high"])[(X[:, 0] * 3).astype(int)]
ESTIMATORS: dict[str, Any] = {
    "logistic": LogisticRegression().fit(X, CLASSES),
    "pipeline": make_pipeline(StandardScaler(), PCA(2), SVC()).fit(X, CLASSES),
    "forest": RandomForestClassifier(5, n_jobs=-1, random_state=0).fit(X, CLASSES),
    "boosting": HistGradientBoostingRegressor(max_iter=5).fit(X, X[:, 0]),
    "neighbours": KNeighborsRegressor().fit(X, X[:, :2]),
    "search": GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2).fit(X, CLASSES),
    "outliers": IsolationForest(n_estimators=5, random_state=0).fit(X),
}
ROWS = arrays.arrays(
    st.sampled_from([np.float64, np.float32, np.int64]),
    st.tuples(st.integers(1, 20), st.just(4)),
    elements=st.integers(-1000, 1000),
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in the server; and threads that outnumber the cores of a busy machine take seconds over a small array."""
    with threadpool_limits(1):
        yield


def stored(value: Any, folder: Path, **options: Any) -> Model:
    joblib.dump(value, folder / "model.joblib")
    return load(folder, "", LoadOptions(**options))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_predictions_are_those_of_the_estimator_to_the_bit(name: str, tmp_path: Path) -> None:
    estimator = ESTIMATORS[name]
    model = stored(estimator, tmp_path)
    assert model.info.row_wise
    assert model.info.warm_up == [[0.0] * 4]

    @given(ROWS)
    @settings(max_examples=10, deadline=None)
    def same(rows: Any) -> None:
        expected, found = estimator.predict(rows), predictions(model, rows)
        assert found.dtype == expected.dtype
        assert found.tolist() == expected.tolist()

    same()


@pytest.mark.parametrize("suffix", ["joblib", "pkl", "pickle"])
@pytest.mark.parametrize("compress", [0, 3, ("lzma", 3)])
def test_every_common_way_to_store_one_is_read(suffix: str, compress: Any, tmp_path: Path) -> None:
    joblib.dump(ESTIMATORS["logistic"], tmp_path / f"churn.{suffix}", compress=compress)
    model = load(tmp_path, "", LoadOptions())
    assert predictions(model, X).tolist() == ESTIMATORS["logistic"].predict(X).tolist()


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba", "decision_function"])
def test_another_method_is_called_by_setting_or_by_request(method: str, tmp_path: Path) -> None:
    expected = getattr(ESTIMATORS["logistic"], method)(X)
    assert predictions(stored(ESTIMATORS["logistic"], tmp_path, method=method), X).tobytes() == expected.tobytes()
    by_request = stored(ESTIMATORS["logistic"], tmp_path)
    assert predictions(by_request, X, {"method": method}).tobytes() == expected.tobytes()


@pytest.mark.parametrize("method", ["fit", "score", "__class__", "set_params", 3, None, ["predict"]])
def test_a_request_cannot_call_what_is_no_prediction(method: Any, tmp_path: Path) -> None:
    model = stored(ESTIMATORS["logistic"], tmp_path)
    with pytest.raises(InvalidArgument, match=r"`parameters.method` is .*; the model has `predict`, `predict_proba`"):
        predictions(model, X, {"method": method})


def test_parameters_that_mean_nothing_to_it_are_passed_over(tmp_path: Path) -> None:
    assert predictions(stored(ESTIMATORS["logistic"], tmp_path), X[:1], {"content_type": "np"}).shape == (1,)


def test_a_method_that_it_does_not_have_is_refused_at_load(tmp_path: Path) -> None:
    with pytest.raises(ModelCannotBeLoaded, match=r"`SVC` in `model.joblib` has no method `predict_proba`; it has"):
        stored(SVC().fit(X, CLASSES), tmp_path, method="predict_proba")
    with pytest.raises(ModelCannotBeLoaded, match="has no method `predict`; it has `transform`") as raised:
        stored(StandardScaler().fit(X), tmp_path)
    assert "--method transform" in raised.value.hint
    with pytest.raises(ModelCannotBeLoaded, match="has no method `fit`"):
        stored(SVC().fit(X, CLASSES), tmp_path, method="fit")


@pytest.mark.parametrize("value", [{"model": 1}, [1, 2], np.zeros(3), "text"])
def test_a_pickle_of_something_else_is_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelCannotBeLoaded, match=r"`model.joblib` holds a `.*`, which has none of the methods"):
        stored(value, tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((2, 3)), "instances[0] has 3 values; the model takes 4"),
        (np.zeros(4), "instances[0] is 0.0; the model takes a list of 4"),
        (np.zeros((2, 2, 2)), "instances[0] is a list of lists; the model takes a list of 4"),
        ([[1, 2, 3, 4], [1, 2, 3]], "instances[1] has 3 values; the model takes 4"),
        ([[1, 2, 3, 4], "text"], 'instances[1] is the text "text"; the model takes a list of 4'),
        ([{"a": 1}], "instances[0] is an object; the model takes a list of 4"),
        ([[1, 2, 3, [4]]], "instances[0] has a list for column 3; a single value is wanted"),
        ([[[1], [2], [3], [4]]], "instances[0] has a list for column 0; a single value is wanted"),
    ],
)
def test_rows_of_another_shape_are_named(rows: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as raised:
        predictions(stored(ESTIMATORS["logistic"], tmp_path), rows)
    assert raised.value.message == message
    assert raised.value.metadata["row"] == message[10]


@pytest.mark.parametrize("rows", [[[1, 2, 3, 4], [1, 2, None, 4]], np.array([[1, 2, 3, 4], [1, 2, np.nan, 4]])])
def test_a_missing_value_is_named_where_the_model_takes_none(rows: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"instances\[1\] has nan for column 2: Input X contains NaN"):
        predictions(stored(ESTIMATORS["logistic"], tmp_path), rows)


def test_a_missing_value_is_predicted_where_the_model_takes_it(tmp_path: Path) -> None:
    expected = ESTIMATORS["boosting"].predict([[1, 2, np.nan, 4]])
    assert predictions(stored(ESTIMATORS["boosting"], tmp_path), [[1, 2, None, 4]]).tolist() == expected.tolist()


def test_texts_are_no_table(tmp_path: Path) -> None:
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good film", "bad film"], [1, 0])
    model = stored(estimator, tmp_path)
    assert model.info.warm_up == []
    assert model.info.inputs == ()
    assert predictions(model, ["a good one", "a bad one"]).tolist() == [1, 0]
    with pytest.raises(InvalidArgument, match=r"instances\[1\] is a list; a text is wanted"):
        predictions(model, ["good", ["good"]])


def test_objects_go_to_a_vectoriser_as_they_are(tmp_path: Path) -> None:
    estimator = make_pipeline(DictVectorizer(), LogisticRegression()).fit([{"a": 1.0}, {"b": 2.0}], [0, 1])
    assert predictions(stored(estimator, tmp_path), [{"b": 3.0}, {"a": 1.0, "c": 3}]).tolist() == [1, 0]


def test_words_and_numbers_in_one_row_keep_their_types(tmp_path: Path) -> None:
    table = np.array([["a", 1], ["b", 2], ["a", 2]], dtype=object)
    estimator = make_pipeline(OneHotEncoder(), LinearRegression()).fit(table, [0, 1, 2])
    model = stored(estimator, tmp_path)
    assert predictions(model, [["a", 1], ["b", 2]]).tolist() == estimator.predict(table[:2]).tolist()
    assert model.info.warm_up == []
    with pytest.raises(ValueError, match="unknown categories"):
        predictions(model, [["c", 1]])


def named() -> Any:
    estimator = LinearRegression().fit(X[:, :3], X[:, 0])
    estimator.feature_names_in_ = np.array(["b", "a", "c"], dtype=object)
    return estimator


def test_objects_are_put_in_the_order_of_the_columns_without_a_warning(tmp_path: Path) -> None:
    estimator = named()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = estimator.predict([[1.0, 2.0, 3.0]]).tolist()
    model = stored(estimator, tmp_path)
    assert predictions(model, [{"a": 2, "b": 1, "c": 3}]).tolist() == expected
    assert predictions(model, [[1, 2, 3]]).tolist() == expected
    assert predictions(model, np.array([[1.0, 2.0, 3.0]])).tolist() == expected
    assert predictions(model, {"a": np.array([2]), "b": [1.0], "c": np.array([3])}).tolist() == expected
    assert predictions(model, {"input": np.array([[1.0, 2.0, 3.0]])}).tolist() == expected


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": 1}], "instances[0] lacks the columns `b`, `c`"),
        ([{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2, "d": 3}], "instances[1] lacks the column `c` and has `d`"),
        ([{"a": 1, "b": 2, "c": 3, "d": 4}], "instances[0] has `d`, which the model was not fitted with"),
        ({"a": np.zeros(2), "b": np.zeros(2)}, "The request lacks the column `c`"),
    ],
)
def test_columns_that_do_not_fit_are_named(rows: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as raised:
        predictions(stored(named(), tmp_path), rows)
    assert raised.value.message.startswith(message)
    assert raised.value.hint == "Send every column of the model: `b`, `a`, `c`"


class Centred(TransformerMixin, BaseEstimator):
    """A transformer of the user's own; this one makes rows depend on each other."""

    def fit(self, X: Any, y: Any = None) -> Any:
        self.n_features_in_ = 4
        return self

    def transform(self, X: Any) -> Any:
        return X - np.mean(X, axis=0)


@pytest.mark.parametrize(
    ("estimator", "row_wise"),
    [
        (make_pipeline(FunctionTransformer(np.log1p), LinearRegression()), True),
        (make_pipeline(FunctionTransformer(), LinearRegression()), True),
        (make_pipeline(FunctionTransformer(np.sort), LinearRegression()), False),
        (make_pipeline(Centred(), LinearRegression()), False),
        (make_pipeline(NMF(2, max_iter=500), LinearRegression()), False),
        (VotingClassifier([("a", make_pipeline(Centred(), LogisticRegression()))]), False),
        (VotingClassifier([("a", LogisticRegression())]), True),
    ],
)
def test_rows_of_several_callers_meet_only_where_that_changes_nothing(
    estimator: Any, row_wise: bool, tmp_path: Path
) -> None:
    target = CLASSES if isinstance(estimator, VotingClassifier) else X[:, 0]
    assert stored(estimator.fit(X, target), tmp_path).info.row_wise is row_wise


def test_threads_are_those_of_this_machine(tmp_path: Path) -> None:
    inner = RandomForestClassifier(3, n_jobs=-1)
    estimator = VotingClassifier([("a", inner)]).fit(X, CLASSES).set_params(n_jobs=8)
    model = stored(estimator, tmp_path, threads=2)
    voting = model.predict.__self__._methods["predict"].__self__  # type: ignore[attr-defined]
    assert voting.n_jobs == 2
    assert voting.estimators_[0].n_jobs == 2


def test_several_targets_are_one_list_for_each_row(tmp_path: Path) -> None:
    targets = np.c_[CLASSES, X[:, 1] > 0.5]
    estimator = RandomForestClassifier(3, random_state=0).fit(X, targets)
    first, second = estimator.predict_proba(X[:2])
    found = predictions(stored(estimator, tmp_path, method="predict_proba"), X[:2])
    assert found == [[first[0].tolist(), second[0].tolist()], [first[1].tolist(), second[1].tolist()]]


def test_sparse_outputs_become_arrays(tmp_path: Path) -> None:
    encoder = OneHotEncoder().fit([["a"], ["b"]])
    assert predictions(stored(encoder, tmp_path, method="transform"), [["b"]]).tolist() == [[0.0, 1.0]]


def test_it_says_what_goes_in_and_out(tmp_path: Path) -> None:
    info = stored(ESTIMATORS["logistic"], tmp_path).info
    assert info.inputs == (TensorInfo("instances", "FP64", (-1, 4)),)
    assert info.outputs == (TensorInfo("predictions", "BYTES", (-1,)),)
    assert LibraryVersion("scikit-learn", "", sklearn.__version__) in info.libraries
    info = stored(ESTIMATORS["logistic"], tmp_path, method="predict_proba").info
    assert info.outputs == (TensorInfo("predictions", "FP64", (-1, 3)),)


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (b"cxgboost.nowhere\nBooster\n.", "pip install 'modelport[xgboost]'"),
        (b"cmy_steps\nStep\n.", "if it is a module of your own, serve it with a predictor's package"),
        (b"csklearn.nowhere\nEstimator\n.", "Install the version of sklearn"),
        (b"c__main__\nMyModel\n.", "Move the class into a module"),
        (b"\x80\x04\x95", "check that it is whole"),
        (b"version https://git-lfs", "check that it is whole"),
        (b"", "Copy the file again, whole"),
    ],
)
def test_a_pickle_that_does_not_load_comes_with_a_remedy(pickled: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickled)
    with pytest.raises(ModelCannotBeLoaded, match=r"`model.pkl` cannot be loaded") as raised:
        load(tmp_path, "", LoadOptions())
    assert said in raised.value.hint
    assert raised.value.__cause__ is not None

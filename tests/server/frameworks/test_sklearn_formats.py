"""Estimators in formats and with tables that need more than scikit-learn: skops, cloudpickle, pandas."""

import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import hypothesis.strategies as st
import joblib
import lightgbm
import numpy as np
import pandas
import pytest
import skops.io
from hypothesis import given, settings
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, load
from tests.server.predicting import predictions

RANDOM = np.random.default_rng(0)
X = RANDOM.random((200, 4))
CLASSES = np.array(["low", "middle", "high"])[(X[:, 0] * 3).astype(int)]
ESTIMATOR = LogisticRegression().fit(X, CLASSES)
KINDS = ("train", "ship", "plane")
TABLE = pandas.DataFrame(
    {
        "age": np.where(X[:, 1] < 0.1, np.nan, X[:, 1] * 80),
        "kind": pandas.Series(RANDOM.choice([*KINDS, None], 200)),
        "seats": (X[:, 2] * 5).astype(int),
    }
)


def by_columns() -> Pipeline:
    """A pipeline as people write it for passengers, houses and customers."""
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    steps = ColumnTransformer([("numbers", numbers, ["age", "seats"]), ("words", words, ["kind"])])
    return make_pipeline(steps, LogisticRegression()).fit(TABLE, CLASSES)


COLUMNS = by_columns()


def instances(table: pandas.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON has them, in another order of columns."""
    rows = table[["seats", "kind", "age"]].astype(object).to_dict("records")
    return [{name: None if value != value else value for name, value in row.items()} for row in rows]


def test_skops_is_served_where_its_types_are_harmless(tmp_path: Path) -> None:
    skops.io.dump(ESTIMATOR, tmp_path / "model.skops")
    model = load(tmp_path, "", LoadOptions())
    assert predictions(model, X).tolist() == ESTIMATOR.predict(X).tolist()


def test_types_that_are_not_known_to_be_harmless_must_be_trusted(tmp_path: Path) -> None:
    skops.io.dump(lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, CLASSES), tmp_path / "model.skops")
    with pytest.raises(
        ModelCannotBeLoaded, match=r"not known to be harmless: `.*lightgbm\.sklearn\.LGBMClassifier`"
    ) as no:
        load(tmp_path, "", LoadOptions())
    wanted = no.value.hint.partition("--trusted-types ")[2].split(",")
    model = load(tmp_path, "", LoadOptions(trusted_types=tuple(wanted)))
    assert model.info.framework == Framework.LIGHTGBM
    assert predictions(model, X[:3]).shape == (3,)


def test_cloudpickle_brings_functions_along(tmp_path: Path) -> None:
    doubled = make_pipeline(FunctionTransformer(lambda rows: rows * 2), LogisticRegression()).fit(X, CLASSES)
    (tmp_path / "model.cloudpickle").write_bytes(cloudpickle.dumps(doubled))
    model = load(tmp_path, "", LoadOptions())
    assert predictions(model, X).tolist() == doubled.predict(X).tolist()
    assert not model.info.row_wise  # who knows what a function does


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_served(protocol: int, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(ESTIMATOR, protocol))
    assert predictions(load(tmp_path, "", LoadOptions()), X).tolist() == ESTIMATOR.predict(X).tolist()


def test_a_column_transformer_gets_a_table_with_its_names(tmp_path: Path) -> None:
    joblib.dump(COLUMNS, tmp_path / "model.joblib")
    model = load(tmp_path, "", LoadOptions(method="predict_proba"))
    expected = COLUMNS.predict_proba(TABLE)
    assert predictions(model, instances(TABLE)).tobytes() == expected.tobytes()
    in_order = [[row["age"], row["kind"], row["seats"]] for row in instances(TABLE)]
    assert predictions(model, in_order).tobytes() == expected.tobytes()
    assert predictions(model, instances(TABLE)[:3], {"method": "predict"}).tolist() == (
        COLUMNS.predict(TABLE[:3]).tolist()
    )


CELLS = st.fixed_dictionaries(
    {
        "age": st.none() | st.floats(-1e3, 1e3) | st.integers(-100, 100),
        "kind": st.none() | st.sampled_from(KINDS) | st.text(max_size=3),
        "seats": st.integers(0, 9) | st.none(),
    }
)


def test_a_row_is_predicted_alike_alone_and_among_others(tmp_path: Path) -> None:
    joblib.dump(COLUMNS, tmp_path / "model.joblib")
    model = load(tmp_path, "", LoadOptions(method="predict_proba"))

    @given(st.lists(CELLS, min_size=1, max_size=6))
    @settings(max_examples=10, deadline=None)
    def same(rows: list[dict[str, Any]]) -> None:
        together = predictions(model, rows)
        alone = np.concatenate([predictions(model, [row]) for row in rows])
        assert together.shape == (len(rows), 3)
        assert np.allclose(together, alone, rtol=1e-12, atol=1e-12)

    same()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"age": 1, "kind": "ship"}], "instances[0] lacks the column `seats`"),
        (
            [{"age": 1, "kind": "ship", "seats": 1}, {"age": 1, "kynd": "ship", "seats": 1}],
            "instances[1] lacks the column `kind` and has `kynd`, which the model was not fitted with",
        ),
        ([[1, "ship"]], "instances[0] has 2 values; the model takes 3 (`age`, `kind`, `seats`)"),
        ([["x", "ship", [1]]], "instances[0] has a list for `seats`; a single value is wanted"),
        (["ship"], 'instances[0] is the text "ship"; the model takes a list of 3 (`age`, `kind`, `seats`)'),
    ],
)
def test_columns_that_do_not_fit_are_named(rows: Any, message: str, tmp_path: Path) -> None:
    joblib.dump(COLUMNS, tmp_path / "model.joblib")
    with pytest.raises(InvalidArgument) as raised:
        predictions(load(tmp_path, "", LoadOptions()), rows)
    assert raised.value.message == message
    assert raised.value.metadata["row"] == message[10]


def test_names_alone_do_not_cost_a_table(tmp_path: Path) -> None:
    frame = pandas.DataFrame(X, columns=list("abcd"))
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, CLASSES)
    joblib.dump(estimator, tmp_path / "model.joblib")
    model = load(tmp_path, "", LoadOptions())
    assert isinstance(model.preprocess(X, {}), np.ndarray)
    assert predictions(model, X).tolist() == estimator.predict(frame).tolist()
    by_name = frame[list("dbca")].to_dict("records")
    assert predictions(model, by_name).tolist() == estimator.predict(frame).tolist()
    assert predictions(model, {name: X[:, at] for at, name in enumerate("abcd")}).tolist() == (
        estimator.predict(frame).tolist()
    )


def test_tables_that_come_out_are_arrays(tmp_path: Path) -> None:
    frame = pandas.DataFrame(X, columns=list("abcd"))
    scaler = StandardScaler().set_output(transform="pandas").fit(frame)
    joblib.dump(scaler, tmp_path / "model.joblib")
    model = load(tmp_path, "", LoadOptions(method="transform"))
    assert predictions(model, X[:3]).tolist() == scaler.transform(frame[:3]).to_numpy().tolist()


def test_categories_of_pandas_are_made_again(tmp_path: Path) -> None:
    table = TABLE.assign(kind=TABLE["kind"].astype("category"))
    estimator = HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype").fit(table, CLASSES)
    joblib.dump(estimator, tmp_path / "model.joblib")
    model = load(tmp_path, "", LoadOptions(method="predict_proba"))
    assert np.allclose(predictions(model, instances(TABLE)[:20]), estimator.predict_proba(table[:20]))

"""Boosters of XGBoost: predictions to the bit in every format, columns by name, categories, versions, refusals."""

from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import joblib
import numpy as np
import pandas
import pytest
import xgboost
from hypothesis import given, settings

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, load
from modelport.server.loaders.xgboost import written_by
from modelport.server.model import LibraryVersion
from modelport.server.skew import report
from tests.server.predicting import predictions

NUMBERS = st.floats(-1e6, 1e6, width=64) | st.sampled_from([np.nan, 0.0, -0.0, 0.5, 1e-30])
ROWS = arrays.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(4)), elements=NUMBERS)
WHOLE = arrays.arrays(np.int64, st.tuples(st.integers(1, 20), st.just(4)), elements=st.integers(-(2**40), 2**40))
RANDOM = np.random.default_rng(0)
X = RANDOM.random((300, 4))
CLASSES = (X[:, 0] * 3).astype(int)
OBJECTIVES: dict[str, dict[str, Any]] = {
    "squared error": {"objective": "reg:squarederror"},
    "two classes": {"objective": "binary:logistic"},
    "three classes": {"objective": "multi:softprob", "num_class": 3},
    "class labels": {"objective": "multi:softmax", "num_class": 3},
    "linear": {"objective": "reg:squarederror", "booster": "gblinear"},
    "dart": {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5},
    "counts": {"objective": "count:poisson"},
}


def trained(name: str) -> xgboost.Booster:
    target = CLASSES if "num_class" in OBJECTIVES[name] else CLASSES > 0
    return xgboost.train({**OBJECTIVES[name], "nthread": 1}, xgboost.DMatrix(X, target), 10)


BOOSTERS = {name: trained(name) for name in OBJECTIVES}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_predictions_are_those_of_the_booster_to_the_bit(name: str, tmp_path: Path) -> None:
    booster = BOOSTERS[name]
    booster.save_model(tmp_path / "model.ubj")
    model = load(tmp_path, "", LoadOptions())

    @given(ROWS | WHOLE)
    @settings(max_examples=30, deadline=None)
    def same(rows: Any) -> None:
        expected = booster.predict(xgboost.DMatrix(rows))
        found = predictions(model, rows)
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert found.tobytes() == expected.tobytes()

    same()


@pytest.mark.parametrize("file", ["model.ubj", "model.json", "churn.json", "model.bst", "churn.model"])
def test_every_name_and_format_is_found_by_itself(file: str, tmp_path: Path) -> None:
    form = "json" if file.endswith(".json") else "ubj"
    (tmp_path / file).write_bytes(BOOSTERS["two classes"].save_raw(form))
    model = load(tmp_path, "", LoadOptions())
    assert model.info.framework == Framework.XGBOOST
    assert predictions(model, X[:3]).tolist() == BOOSTERS["two classes"].predict(xgboost.DMatrix(X[:3])).tolist()


@pytest.mark.parametrize("file", ["model.joblib", "model.pkl"])
def test_a_pickled_booster_gives_what_its_objective_gives(file: str, tmp_path: Path) -> None:
    joblib.dump(BOOSTERS["two classes"], tmp_path / file)
    for framework in ("", "xgboost"):
        model = load(tmp_path, framework, LoadOptions())
        assert model.info.framework == Framework.XGBOOST
        assert predictions(model, X[:3]).tolist() == BOOSTERS["two classes"].predict(xgboost.DMatrix(X[:3])).tolist()


def test_a_pickled_wrapper_gives_classes_and_probabilities(tmp_path: Path) -> None:
    wrapper = xgboost.XGBClassifier(n_estimators=5).fit(pandas.DataFrame(X, columns=list("abcd")), CLASSES)
    joblib.dump(wrapper, tmp_path / "model.joblib")
    model = load(tmp_path, "XGBOOST", LoadOptions())
    assert model.info.framework == Framework.XGBOOST
    assert model.info.row_wise
    by_name = [dict(zip("dcba", row[::-1], strict=True)) for row in X[:5].tolist()]
    assert predictions(model, by_name).tolist() == wrapper.predict(X[:5]).tolist()
    asked = {"method": "predict_proba"}
    assert predictions(model, by_name, asked).tobytes() == wrapper.predict_proba(X[:5]).tobytes()


def test_columns_are_ordered_by_their_names(tmp_path: Path) -> None:
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(X, X[:, 0], feature_names=list("abcd")), 3)
    booster.save_model(tmp_path / "model.json")
    model = load(tmp_path, "", LoadOptions())
    by_name = [dict(zip("dcba", row[::-1], strict=True)) for row in X[:5].tolist()]
    expected = booster.predict(xgboost.DMatrix(X[:5], feature_names=list("abcd"))).tolist()
    assert predictions(model, by_name).tolist() == predictions(model, X[:5]).tolist() == expected


def test_categories_are_those_of_the_training(tmp_path: Path) -> None:
    kinds = RANDOM.choice(["x", "y", "z"], 300)
    frame = pandas.DataFrame({"a": X[:, 0], "kind": pandas.Categorical(kinds)})
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(frame, kinds == "y", enable_categorical=True), 5)
    booster.save_model(tmp_path / "model.ubj")
    model = load(tmp_path, "", LoadOptions())
    expected = booster.predict(xgboost.DMatrix(frame, enable_categorical=True))
    for index in range(20):
        row = {"kind": str(kinds[index]), "a": float(X[index, 0])}
        assert predictions(model, [row]).tolist() == [expected[index]]
    assert len(set(expected[:20].tolist())) > 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((2, 3)), "instances[0] has 3 values; the model takes 4"),
        ([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0]], "instances[1] has 2 values; the model takes 4"),
        (
            [[1.0, 2.0, 3.0, 4.0], [1.0, "x", 3.0, 4.0]],
            'instances[1] has the text "x" for column 1; a number is wanted',
        ),
        (np.zeros(4), "instances[0] is 0.0; the model takes a list of 4"),
    ],
)
def test_what_does_not_fit_is_named(rows: Any, message: str, tmp_path: Path) -> None:
    BOOSTERS["two classes"].save_model(tmp_path / "model.ubj")
    model = load(tmp_path, "", LoadOptions())
    with pytest.raises(InvalidArgument) as raised:
        predictions(model, rows)
    assert raised.value.message == message
    assert raised.value.metadata["row"] == message[10]


def test_null_is_a_missing_value(tmp_path: Path) -> None:
    booster = BOOSTERS["squared error"]
    booster.save_model(tmp_path / "model.ubj")
    model = load(tmp_path, "", LoadOptions())
    expected = booster.predict(xgboost.DMatrix(np.array([[np.nan, 1, 2, 3]])))
    assert predictions(model, [[None, 1, 2, 3]]).tolist() == expected.tolist()


@pytest.mark.parametrize("file", ["model.json", "model.ubj"])
def test_the_version_that_wrote_it_is_read_from_the_file(file: str, tmp_path: Path) -> None:
    BOOSTERS["two classes"].save_model(tmp_path / file)
    assert written_by(tmp_path / file) == xgboost.__version__
    assert report(load(tmp_path, "", LoadOptions()).info.libraries) == ""


def test_another_version_is_told_at_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BOOSTERS["two classes"].save_model(tmp_path / "model.json")
    text = (tmp_path / "model.json").read_text()
    current = ",".join(xgboost.__version__.split("."))
    (tmp_path / "model.json").write_text(text.replace(f'"version":[{current}]', '"version":[2,1,4]'))
    model = load(tmp_path, "", LoadOptions())
    assert LibraryVersion("xgboost", "2.1.4", xgboost.__version__) in model.info.libraries
    assert f"trained with xgboost 2.1.4, serving with {xgboost.__version__}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"binf" + bytes(100), "binary format"),
        (b'{"learner":', "ends too early"),
        (b'{"learner":{}}', "cannot read"),
        (BOOSTERS["two classes"].save_raw("ubj")[:-9], "ends too early"),
        (b"", "is no model of XGBoost"),
        (b"version https://git-lfs.github.com/spec/v1", "is no model of XGBoost"),
    ],
)
def test_a_file_that_is_none_of_its_own_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "model.bst").write_bytes(content)
    with pytest.raises(ModelCannotBeLoaded, match=said) as raised:
        load(tmp_path, "", LoadOptions())
    assert "`model.bst`" in raised.value.message
    assert "Stack trace" not in raised.value.message


def test_a_booster_has_no_other_method(tmp_path: Path) -> None:
    BOOSTERS["two classes"].save_model(tmp_path / "model.ubj")
    with pytest.raises(ModelCannotBeLoaded, match="no method `predict_proba`"):
        load(tmp_path, "", LoadOptions(method="predict_proba"))

"""Boosters of LightGBM: predictions to the bit, columns by name, categories, versions, refusals."""

from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import joblib
import lightgbm
import numpy as np
import pandas
import pytest
from hypothesis import given, settings

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, load
from tests.server.predicting import predictions

NUMBERS = st.floats(-1e6, 1e6, width=64) | st.sampled_from([np.nan, 0.0, -0.0, 0.5, 1e-30])
ROWS = arrays.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(4)), elements=NUMBERS)
RANDOM = np.random.default_rng(0)
X = RANDOM.random((300, 4))
CLASSES = (X[:, 0] * 3).astype(int)
SETTINGS: dict[str, dict[str, Any]] = {
    "regression": {"objective": "regression"},
    "two classes": {"objective": "binary"},
    "three classes": {"objective": "multiclass", "num_class": 3},
    "forest": {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7},
}


def trained(name: str) -> lightgbm.Booster:
    target = CLASSES if name == "three classes" else (CLASSES > 0).astype(int)
    parameters = {**SETTINGS[name], "verbose": -1, "num_threads": 1}
    return lightgbm.train(parameters, lightgbm.Dataset(X, target), 10)


BOOSTERS = {name: trained(name) for name in SETTINGS}


@pytest.mark.parametrize("name", SETTINGS)
def test_predictions_are_those_of_the_booster_to_the_bit(name: str, tmp_path: Path) -> None:
    BOOSTERS[name].save_model(tmp_path / "model.txt")
    booster = lightgbm.Booster(model_file=tmp_path / "model.txt")
    model = load(tmp_path, "", LoadOptions())

    @given(ROWS)
    @settings(max_examples=30, deadline=None)
    def same(rows: Any) -> None:
        expected, found = booster.predict(rows), predictions(model, rows)
        assert found.dtype == expected.dtype
        assert found.tobytes() == expected.tobytes()

    same()


def test_whole_numbers_keep_all_their_digits(tmp_path: Path) -> None:
    large = np.array([[16777216.0], [16777217.0]] * 50)
    booster = lightgbm.train(
        {"verbose": -1, "min_data_in_leaf": 1}, lightgbm.Dataset(large, large[:, 0] == 16777217), 1
    )
    booster.save_model(tmp_path / "model.txt")
    model = load(tmp_path, "", LoadOptions())
    found = predictions(model, np.array([[16777216], [16777217]]))
    assert found.tolist() == booster.predict(large[:2]).tolist()
    assert found[0] != found[1]


@pytest.mark.parametrize("file", ["model.txt", "churn.txt", "model.lgb"])
def test_every_name_is_found_by_itself(file: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing of a model")
    BOOSTERS["two classes"].save_model(tmp_path / file)
    model = load(tmp_path, "", LoadOptions())
    assert model.info.framework == Framework.LIGHTGBM
    assert predictions(model, X[:3]).tolist() == BOOSTERS["two classes"].predict(X[:3]).tolist()


def test_a_pickled_booster_and_a_pickled_wrapper_are_served(tmp_path: Path) -> None:
    joblib.dump(BOOSTERS["two classes"], tmp_path / "model.pkl")
    assert predictions(load(tmp_path, "", LoadOptions()), X[:3]).tolist() == (
        BOOSTERS["two classes"].predict(X[:3]).tolist()
    )
    frame = pandas.DataFrame(X, columns=list("abcd"))
    wrapper = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(frame, CLASSES)
    joblib.dump(wrapper, tmp_path / "model.pkl")
    model = load(tmp_path, "lightgbm", LoadOptions(method="predict_proba"))
    assert model.info.framework == Framework.LIGHTGBM
    by_name = [dict(zip("dcba", row[::-1], strict=True)) for row in X[:5].tolist()]
    assert predictions(model, by_name).tobytes() == wrapper.predict_proba(frame[:5]).tobytes()
    assert predictions(model, by_name, {"method": "predict"}).tolist() == wrapper.predict(frame[:5]).tolist()


@pytest.mark.parametrize("wrapped", [False, True], ids=["booster", "wrapper"])
def test_categories_are_those_of_the_training(wrapped: bool, tmp_path: Path) -> None:
    kinds = RANDOM.choice(["x", "y", "z"], 300)
    frame = pandas.DataFrame({"a": X[:, 0], "kind": pandas.Categorical(kinds), "b": X[:, 1]})
    wrapper = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(frame, kinds == "y")
    if wrapped:
        joblib.dump(wrapper, tmp_path / "model.joblib")
    else:
        wrapper.booster_.save_model(tmp_path / "model.txt")
    model = load(tmp_path, "", LoadOptions())
    expected = wrapper.predict(frame)
    for index in range(20):
        row = {"kind": str(kinds[index]), "a": float(X[index, 0]), "b": float(X[index, 1])}
        assert predictions(model, [row]).tolist() == [expected[index]]
    assert predictions(model, [{"kind": "never seen", "a": 0.5, "b": 0.5}]).shape == (1,)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    BOOSTERS["two classes"].save_model(tmp_path / "model.txt")
    model = load(tmp_path, "", LoadOptions())
    with pytest.raises(InvalidArgument, match=r"instances\[0\] has 3 values; the model takes 4"):
        predictions(model, np.zeros((2, 3)))
    with pytest.raises(InvalidArgument, match=r"instances\[1\] has null|instances\[1\] has the text"):
        predictions(model, [[1, 2, 3, 4], [1, 2, 3, "x"]])


def test_an_older_format_is_told_at_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BOOSTERS["two classes"].save_model(tmp_path / "model.txt")
    load(tmp_path, "", LoadOptions())
    assert "trained with" not in capsys.readouterr().err
    text = (tmp_path / "model.txt").read_text()
    (tmp_path / "model.txt").write_text(text.replace("version=v4", "version=v3"))
    load(tmp_path, "", LoadOptions())
    assert f"trained with lightgbm 3, serving with {lightgbm.__version__}" in capsys.readouterr().err


def test_a_file_that_is_none_of_its_own_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("tree\nversion=v4\nand no more")
    with pytest.raises(ModelCannotBeLoaded, match=r"LightGBM .* cannot read `model.txt`"):
        load(tmp_path, "", LoadOptions())

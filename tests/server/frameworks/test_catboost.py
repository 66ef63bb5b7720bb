"""Models of CatBoost: predictions to the bit, classes by the loss function, categories, versions, refusals."""

from pathlib import Path
from typing import Any

import catboost
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import joblib
import numpy as np
import pytest
from hypothesis import given, settings

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, load
from modelport.server.model import Form, LibraryVersion
from tests.server.predicting import predictions

NUMBERS = st.floats(-1e6, 1e6, width=64) | st.sampled_from([np.nan, 0.0, -0.0, 0.5, 1e-30])
ROWS = arrays.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(4)), elements=NUMBERS)
RANDOM = np.random.default_rng(0)
X = RANDOM.random((200, 4))
CLASSES = np.array(["low", "middle", "high"])[(X[:, 0] * 3).astype(int)]
QUIET: dict[str, Any] = {"iterations": 5, "verbose": 0, "allow_writing_files": False, "thread_count": 1}

MODELS = {
    "three classes": catboost.CatBoostClassifier(**QUIET).fit(X, CLASSES),
    "two classes": catboost.CatBoostClassifier(**QUIET).fit(X, X[:, 0] > 0.5),
    "regression": catboost.CatBoostRegressor(**QUIET).fit(X, X[:, 0]),
    "ranking": catboost.CatBoostRanker(loss_function="QueryRMSE", **QUIET).fit(X, X[:, 0], group_id=[0] * 200),
}


@pytest.mark.parametrize("file", ["model.cbm", "model.json"])
@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_those_of_the_model_to_the_bit(name: str, file: str, tmp_path: Path) -> None:
    form = file.rpartition(".")[2]
    MODELS[name].save_model(str(tmp_path / file), format=form)
    own = type(MODELS[name])().load_model(str(tmp_path / file), format=form)  # JSON drops a bit here and there
    model = load(tmp_path, "", LoadOptions())
    assert model.info.framework == Framework.CATBOOST

    @given(ROWS)
    @settings(max_examples=20, deadline=None)
    def same(rows: Any) -> None:
        expected, found = own.predict(rows), predictions(model, rows)
        assert found.tolist() == expected.tolist()
        assert found.shape == expected.shape

    same()


def test_probabilities_are_to_be_had_by_setting_and_by_request(tmp_path: Path) -> None:
    MODELS["three classes"].save_model(str(tmp_path / "model.cbm"))
    expected = MODELS["three classes"].predict_proba(X[:5])
    by_setting = load(tmp_path, "", LoadOptions(method="predict_proba"))
    assert predictions(by_setting, X[:5]).tobytes() == expected.tobytes()
    by_request = load(tmp_path, "", LoadOptions())
    assert predictions(by_request, X[:5], {"method": "predict_proba"}).tobytes() == expected.tobytes()
    with pytest.raises(InvalidArgument, match=r'parameters.method` is the text "fit"'):
        predictions(by_request, X[:5], {"method": "fit"})
    MODELS["regression"].save_model(str(tmp_path / "model.cbm"))
    with pytest.raises(ModelCannotBeLoaded, match="no method `predict_proba`"):
        load(tmp_path, "", LoadOptions(method="predict_proba"))


def test_a_pickled_model_is_served(tmp_path: Path) -> None:
    joblib.dump(MODELS["three classes"], tmp_path / "model.joblib")
    model = load(tmp_path, "", LoadOptions())
    assert model.info.framework == Framework.CATBOOST
    assert predictions(model, X[:5]).tolist() == MODELS["three classes"].predict(X[:5]).tolist()


def test_categories_stay_what_they_were_in_json(tmp_path: Path) -> None:
    rows = [[float(a), int(b), str(c)] for a, b, c in zip(X[:, 0], X[:, 1] * 5, CLASSES, strict=True)]
    pool = catboost.Pool(rows, [row[1] for row in rows], cat_features=[1, 2], feature_names=["a", "code", "kind"])
    own = catboost.CatBoostRegressor(**QUIET).fit(pool)
    own.save_model(str(tmp_path / "model.cbm"))
    model = load(tmp_path, "", LoadOptions())
    assert model.info.form is Form.PYTHON
    assert predictions(model, rows[:9]).tolist() == own.predict(rows[:9]).tolist()
    by_name = [{"kind": kind, "code": code, "a": a} for a, code, kind in rows[:9]]
    assert predictions(model, by_name).tolist() == own.predict(rows[:9]).tolist()
    missing = [[None, 1, "low"]]
    assert predictions(model, missing).tolist() == own.predict([[float("nan"), 1, "low"]]).tolist()
    with pytest.raises(ValueError, match="must be integer or string"):
        predictions(model, [[0.5, 1.5, "low"]])
    with pytest.raises(InvalidArgument, match=r"instances\[1\] lacks the column `kind`"):
        predictions(model, [by_name[0], {"a": 1.0, "code": 1}])


def test_versions_are_told(tmp_path: Path) -> None:
    MODELS["two classes"].save_model(str(tmp_path / "model.cbm"))
    version = LibraryVersion("catboost", catboost.__version__, catboost.__version__)
    assert version in load(tmp_path, "", LoadOptions()).info.libraries


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    MODELS["two classes"].save_model(str(tmp_path / "model.cbm"))
    model = load(tmp_path, "", LoadOptions())
    with pytest.raises(InvalidArgument, match=r"instances\[0\] has 3 values; the model takes 4"):
        predictions(model, np.zeros((2, 3)))
    (tmp_path / "model.cbm").write_bytes(b"CBM1 and no more")
    with pytest.raises(ModelCannotBeLoaded, match=r"CatBoost .* cannot read `model.cbm`"):
        load(tmp_path, "", LoadOptions())

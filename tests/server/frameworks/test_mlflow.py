"""Folders written by MLflow: predictions to the bit by our own loaders and by MLflow's, and what is refused."""

from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.server.loaders import mlflow as loader
from modelport.server.loaders.base import LoadOptions
from modelport.server.loaders.mlflow_file import instances
from modelport.server.model import Batch, TensorInfo

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of its own types and of pickles
_COLUMNS = ["width", "height", "depth"]


def predicted(model: Any, batch: Batch, **parameters: Any) -> Any:
    return model.postprocess(model.predict(model.preprocess(batch, parameters), parameters), parameters)


def data() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    random = np.random.default_rng(3)
    rows = random.normal(size=(60, 3))
    return rows, (rows.sum(1) > 0).astype(int)


def save(flavor: Any, folder: Path, *model: Any, **options: Any) -> Path:
    flavor.save_model(*model, path=str(folder / "model"), pip_requirements=["scikit-learn==0.1"], **options)
    return folder / "model"


@pytest.mark.parametrize("named", [True, False], ids=["fitted on a table", "fitted on an array"])
def test_an_estimator_is_served_by_our_own_loader(named: bool, tmp_path: Path) -> None:
    rows, labels = data()
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    estimator = LogisticRegression().fit(frame if named else rows, labels)
    folder = save(
        mlflow.sklearn,
        tmp_path,
        estimator,
        signature=infer_signature(frame, labels),
        input_example=frame.head(2),
        serialization_format="cloudpickle",
    )

    model = loader.load(folder, LoadOptions(method="predict_proba"))

    assert isinstance(model, loader.NativeModel)
    wanted = estimator.predict_proba(rows)  # a table's columns lie otherwise in memory: another last bit
    shuffled = [{name: row[name] for name in reversed(_COLUMNS)} for row in frame.to_dict("records")]
    assert predicted(model, shuffled).tobytes() == wanted.tobytes()
    assert predicted(model, rows).tobytes() == wanted.tobytes()
    assert model.info.inputs == tuple(TensorInfo(name, "FP64", (-1,)) for name in _COLUMNS)
    assert model.info.warm_up == frame.head(2).to_dict("records")
    assert predicted(model, model.info.warm_up).tobytes() == wanted[:2].tobytes()
    assert "0.1" in {one.trained for one in model.info.libraries if one.name == "scikit-learn"}


def test_a_booster_is_served_by_our_own_loader(tmp_path: Path) -> None:
    rows, labels = data()
    booster = xgboost.train({"objective": "binary:logistic", "seed": 1}, xgboost.DMatrix(rows, labels), 4)
    folder = save(mlflow.xgboost, tmp_path, booster)

    model = loader.load(folder, LoadOptions())

    assert isinstance(model, loader.NativeModel)
    assert predicted(model, rows).tobytes() == booster.predict(xgboost.DMatrix(rows)).tobytes()


class Scaled(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    # Without type hints: MLflow reads them as the signature.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        factor = (params or {}).get("factor", 1.0)
        if isinstance(model_input, np.ndarray):
            return model_input.sum(1) * factor
        return pd.DataFrame(
            {"area": model_input["width"] * model_input["height"] * factor, "kind": model_input["kind"]}
        )


def test_code_of_the_users_own_is_called_with_a_table(tmp_path: Path) -> None:
    example = pd.DataFrame({"width": [1.5], "height": [2], "kind": ["a"]})
    signature = infer_signature(example, params={"factor": 1.0})
    folder = save(mlflow.pyfunc, tmp_path, python_model=Scaled(), signature=signature)

    model = loader.load(folder, LoadOptions())

    rows = [{"kind": "a", "height": 3, "width": 2}, {"width": 0.5, "height": 4, "kind": "b"}]
    assert not model.info.row_wise
    assert predicted(model, rows) == [{"area": 6.0, "kind": "a"}, {"area": 2.0, "kind": "b"}]
    assert predicted(model, rows[:1], factor=10.0) == [{"area": 60.0, "kind": "a"}]
    with pytest.raises(InvalidArgument, match=r"instances\[1\].*`height`"):
        predicted(model, [rows[0], {"width": 1.0, "kind": "a"}])
    with pytest.raises(InvalidArgument, match=r'instances\[1\]: the input `height` holds the text "x"'):
        predicted(model, [rows[0], {"width": 1.0, "height": "x", "kind": "a"}])


def test_code_of_the_users_own_is_called_with_a_tensor(tmp_path: Path) -> None:
    signature = infer_signature(np.zeros((2, 3), np.float32))
    folder = save(mlflow.pyfunc, tmp_path, python_model=Scaled(), signature=signature)

    model = loader.load(folder, LoadOptions())

    assert predicted(model, [[1, 2, 3], [4, 5, 6]]).tolist() == [6.0, 15.0]
    with pytest.raises(InvalidArgument, match=r"instances\[0\]: .* has shape \[2\]; FP32 of shape \[3\]"):
        predicted(model, [[1, 2]])


@pytest.mark.parametrize(
    ("document", "rows"),
    [
        ({"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}, [{"a": 1}, {"a": 2}]),
        ({"columns": ["a"], "data": [[1]]}, [{"a": 1}]),
        ({"columns": [0, 1], "data": [[1, 2]]}, [[1, 2]]),
        ({"inputs": [[1, 2]]}, [[1, 2]]),
        ({"inputs": {"x": [1, 2], "y": [3, 4]}}, [{"x": 1, "y": 3}, {"x": 2, "y": 4}]),
        ("text", []),
    ],
)
def test_an_example_is_read_in_each_of_its_forms(document: Any, rows: list[Any]) -> None:
    assert instances(document) == rows


@pytest.mark.parametrize(
    ("content", "message"),
    [("flavors: {spark: {}}", "no flavor `python_function`; it has `spark`"), ("{", "cannot be read")],
)
def test_a_file_of_another_form_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text(content)
    with pytest.raises(ModelCannotBeLoaded, match=message):
        loader.load(tmp_path, LoadOptions())

"""Makes the models that are served; run with the libraries' own interpreter: python -m bench.server_models FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

FEATURES = 1024


def make(folder: Path) -> None:
    """Write `iris`, `linear`, `xgboost` and `onnx`, each a folder with one model file."""
    import joblib
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LinearRegression, LogisticRegression

    for name in ("iris", "linear", "xgboost", "onnx"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows, classes = load_iris(return_X_y=True)
    iris = LogisticRegression(max_iter=500).fit(rows, classes)
    joblib.dump(iris, folder / "iris/model.joblib")
    random = np.random.default_rng(0)
    block = random.normal(size=(256, FEATURES))
    joblib.dump(LinearRegression().fit(block, block[:, 0]), folder / "linear/model.joblib")
    _xgboost(rows, classes, folder / "xgboost/model.ubj")
    _onnx(iris.coef_.T, iris.intercept_, folder / "onnx/model.onnx")


def _xgboost(rows: np.ndarray, classes: np.ndarray, file: Path) -> None:
    import xgboost

    xgboost.XGBRegressor(n_estimators=50, max_depth=3).fit(rows, classes).save_model(file)


def _onnx(weights: np.ndarray, bias: np.ndarray, file: Path) -> None:
    from onnx import TensorProto, checker, helper, numpy_helper, save

    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["rows", "weights"], ["weighted"]),
            helper.make_node("Add", ["weighted", "bias"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["class"], axis=1, keepdims=0),
        ],
        "iris",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", len(weights)])],
        [helper.make_tensor_value_info("class", TensorProto.INT64, ["n"])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "weights"),
            numpy_helper.from_array(bias.astype(np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    save(model, str(file))


if __name__ == "__main__":
    make(Path(sys.argv[1]))

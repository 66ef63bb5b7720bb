"""The job that every server does: rows in, predictions out, with the model that the folder named in JOB holds.

Runs in the environments of the peers: imports nothing of modelport.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]


def load(folder: Path | None = None) -> Predict:
    """Return the model's function from an array of rows to an array of predictions."""
    folder = folder or Path(os.environ["JOB"])
    file = next(folder.glob("model.*"))
    if file.suffix == ".joblib":
        import joblib

        return joblib.load(file).predict
    if file.suffix == ".ubj":
        import xgboost

        booster = xgboost.Booster(model_file=str(file))
        booster.set_param({"nthread": 1})
        return booster.inplace_predict
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"rows": np.asarray(rows, np.float32)})[0]


def answers(predict: Predict, instances: list[Any]) -> list[Any]:
    """Predict rows that came as JSON, and give what JSON can hold."""
    return predict(np.asarray(instances, dtype=np.float64)).tolist()

"""Trains the iris classifier with scikit-learn and writes it as model.onnx into a folder: `python train.py FOLDER`.

Small and reproducible: the data set comes with scikit-learn, and the solver draws no random numbers. What serves the
model needs no scikit-learn.
"""

import sys
from pathlib import Path

from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(folder: Path) -> Path:
    iris = load_iris()
    rows = iris.data.astype("float32")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, iris.target)
    # An array of probabilities, not a list of dicts; the first axis stays open for any number of rows.
    converted = to_onnx(model, rows[:1], options={"zipmap": False})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(converted.SerializeToString())
    return path


if __name__ == "__main__":
    print(f"wrote {train(Path(sys.argv[1] if len(sys.argv) > 1 else 'model'))}")

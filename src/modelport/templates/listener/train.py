"""Trains the iris classifier and writes it as model.joblib into a folder: `python train.py FOLDER`.

Small and reproducible: the data set comes with scikit-learn, and the solver draws no random numbers.
"""

import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(folder: Path) -> Path:
    iris = load_iris()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(iris.data, iris.target)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.joblib"
    joblib.dump(model, path)
    return path


if __name__ == "__main__":
    print(f"wrote {train(Path(sys.argv[1] if len(sys.argv) > 1 else 'model'))}")

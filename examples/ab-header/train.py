"""Trains two classifiers of irises and writes them into a folder: `python train.py FOLDER`.

`a/model.joblib` is what serves today, `b/model.joblib` what may replace it. Small and reproducible: the data set comes
with scikit-learn, and the random numbers begin with a fixed one.
"""

import sys
from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

VARIANTS = {
    "a": make_pipeline(StandardScaler(), LogisticRegression()),
    "b": RandomForestClassifier(25, max_depth=3, random_state=0),
}


def train(folder: Path) -> None:
    iris = load_iris()
    labels = iris.target_names[iris.target]
    for name, model in VARIANTS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        joblib.dump(model.fit(iris.data, labels), folder / name / "model.joblib")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "model")
    train(target)
    print(f"wrote {target}")

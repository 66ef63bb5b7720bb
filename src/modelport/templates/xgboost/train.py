"""Trains the iris classifier and writes it as model.ubj into a folder: `python train.py FOLDER`.

Small and reproducible. The measurements are drawn around the means of the three species; put your own data here.
"""

import sys
from pathlib import Path

import numpy as np
import xgboost

# Length and width of sepal and petal in cm: setosa, versicolor, virginica.
MEANS = [[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]]
FLOWERS = 50


def train(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    rows = np.concatenate([generator.normal(mean, 0.3, (FLOWERS, 4)) for mean in MEANS])
    species = np.repeat(np.arange(3), FLOWERS)
    parameters = {"objective": "multi:softprob", "num_class": 3, "max_depth": 3, "nthread": 1}
    booster = xgboost.train(parameters, xgboost.DMatrix(rows, species), num_boost_round=20)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.ubj"
    booster.save_model(path)
    return path


if __name__ == "__main__":
    print(f"wrote {train(Path(sys.argv[1] if len(sys.argv) > 1 else 'model'))}")

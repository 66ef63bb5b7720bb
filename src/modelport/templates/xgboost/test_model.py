"""Trains the model into a new folder and asks it: `pip install pytest`, then `pytest`."""

import numpy as np
import xgboost
from train import train


def test_it_tells_the_species_apart(tmp_path):
    booster = xgboost.Booster(model_file=train(tmp_path))

    predictions = booster.predict(xgboost.DMatrix(np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])))

    assert predictions.argmax(axis=1).tolist() == [0, 2]

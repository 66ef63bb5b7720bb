"""Trains the model into a new folder and asks it: `pip install pytest`, then `pytest`."""

import joblib
from train import train


def test_it_tells_the_species_apart(tmp_path):
    model = joblib.load(train(tmp_path))

    assert model.predict([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]).tolist() == ["setosa", "virginica"]

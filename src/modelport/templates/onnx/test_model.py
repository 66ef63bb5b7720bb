"""Trains the model into a new folder and asks it: `pip install pytest -r requirements-train.txt`, then `pytest`."""

import numpy as np
import onnxruntime
from train import train


def test_it_tells_the_species_apart(tmp_path):
    session = onnxruntime.InferenceSession(train(tmp_path))

    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], np.float32)
    labels, _probabilities = session.run(None, {session.get_inputs()[0].name: rows})

    assert labels.tolist() == [0, 2]

"""Trains the model into a new folder and asks it: `pip install pytest`, then `pytest`."""

import tensorflow
from train import train


def test_it_knows_what_lies_in_the_circle(tmp_path):
    model = tensorflow.saved_model.load(train(tmp_path / "model"))

    scores = model.serve(tensorflow.constant([[0.1, 0.2], [1.4, -1.4]])).numpy()

    assert scores[0, 0] > 0.9
    assert scores[1, 0] < 0.1

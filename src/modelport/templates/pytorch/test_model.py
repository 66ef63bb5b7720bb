"""Trains the model into a new folder and asks it: `pip install pytest`, then `pytest`."""

import torch
from train import train


def test_it_knows_what_lies_in_the_circle(tmp_path):
    network = torch.export.load(train(tmp_path)).module()

    scores = network(torch.tensor([[0.1, 0.2], [1.4, -1.4]]))

    assert scores[0] > 0.9
    assert scores[1] < 0.1

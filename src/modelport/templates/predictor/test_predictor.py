"""Asks the predictor without a server: `pip install pytest`, then `pytest`."""

from pathlib import Path

import pytest
from predictor import Predictor


@pytest.fixture
def predictor():
    loaded = Predictor()
    loaded.load(Path(__file__).parent / "model")
    return loaded


def test_it_tells_pleasant_texts_from_others(predictor):
    words = predictor.preprocess(predictor.example)

    predictions = predictor.postprocess(predictor.predict(words))

    assert [one["pleasant"] for one in predictions] == [True, False]

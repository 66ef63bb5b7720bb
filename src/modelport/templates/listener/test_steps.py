"""Takes flowers through the steps and the model, without a server: `pip install pytest`, then `pytest`."""

import joblib
import pytest
from steps import label, measures
from train import train

FLOWERS = [
    {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2},
    {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": 2.3},
]


def test_it_tells_the_species_apart(tmp_path):
    model = joblib.load(train(tmp_path))

    predictions = label(model.predict_proba(measures(FLOWERS)))

    assert [one["species"] for one in predictions] == ["setosa", "virginica"]


@pytest.mark.parametrize("flower", [None, "rose", [5.1, 3.5, 1.4, 0.2], {}, {**FLOWERS[0], "petal_width": "thin"}])
def test_a_flower_without_all_measures_is_refused_with_its_place(flower):
    with pytest.raises(ValueError, match=r"instances\[1\]"):
        measures([FLOWERS[0], flower])

"""Trains the model and asks the server without a network: `pip install pytest`, then `pytest`."""

import pytest
from server import create_app
from train import train


@pytest.fixture
def client(tmp_path, monkeypatch):
    train(tmp_path)
    monkeypatch.setenv("AIP_STORAGE_URI", str(tmp_path))
    return create_app().test_client()


def test_it_tells_the_species_apart(client):
    assert client.get("/health").status_code == 200

    answer = client.post("/predict", json={"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]})

    assert answer.get_json() == {"predictions": ["setosa", "virginica"]}


def test_it_says_which_row_is_wrong(client):
    answer = client.post("/predict", json={"instances": [[5.1, 3.5, 1.4, 0.2], [6.7]]})

    assert answer.status_code == 400
    assert "instances[1]" in answer.get_json()["error"]

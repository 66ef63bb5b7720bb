"""Trains the model and asks the server without a network: `pip install pytest httpx`, then `pytest`."""

import time

import pytest
from fastapi.testclient import TestClient
from server import app
from train import train


@pytest.fixture
def client(tmp_path, monkeypatch):
    train(tmp_path)
    monkeypatch.setenv("AIP_STORAGE_URI", str(tmp_path))
    with TestClient(app) as started:
        deadline = time.monotonic() + 30
        while started.get("/health").status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.01)
        yield started


def test_it_tells_the_species_apart(client):
    answer = client.post("/predict", json={"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]})

    assert answer.json() == {"predictions": ["setosa", "virginica"]}


def test_it_says_which_row_is_wrong(client):
    answer = client.post("/predict", json={"instances": [[5.1, 3.5, 1.4, 0.2], [6.7]]})

    assert answer.status_code == 400
    assert "instances.1" in answer.json()["error"]

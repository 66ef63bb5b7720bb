"""The server with a model on a GPU: concurrent callers, several workers, and a request that takes the GPU away."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch

from tests.server.server_process import ServerProcess

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:`torch.jit:DeprecationWarning")


class Words(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(100, 32)
        self.linear = torch.nn.Linear(32, 3)

    def forward(self, word: torch.Tensor) -> torch.Tensor:
        return self.linear(self.embedding(word))


def predict(server: ServerProcess, instances: list) -> httpx.Response:
    return server.client.post("/predict", json={"instances": instances}, timeout=60)


@pytest.fixture
def words(tmp_path: Path) -> Words:
    torch.manual_seed(2)
    module = Words().eval()
    torch.jit.script(module).save(tmp_path / "model.pt")
    return module.to("cuda")


@pytest.fixture
def servers() -> Iterator[list[ServerProcess]]:
    started: list[ServerProcess] = []
    yield started
    for one in started:
        one.end()
        assert one.process.returncode == 0


def test_concurrent_callers_of_two_workers_get_their_own_rows(
    words: Words, servers: list[ServerProcess], tmp_path: Path
) -> None:
    server = ServerProcess(tmp_path, str(tmp_path), "--workers", "2", "--device", "gpu")
    servers.append(server)
    server.says(f"is ready on {torch.cuda.get_device_name()}", times=2)
    with torch.inference_mode():
        table = words(torch.arange(100, device="cuda")).cpu()
    wrong: list[object] = []

    def call(first: int) -> None:
        for start in range(first, first + 40):
            ids = [(start * 7 + offset) % 100 for offset in range(start % 5 + 1)]
            given = torch.tensor(predict(server, ids).json()["predictions"])
            if not torch.allclose(given, table[ids], atol=1e-6):
                wrong.append((ids, given))

    callers = [threading.Thread(target=call, args=(number * 40,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_a_request_that_takes_the_gpu_away_costs_a_worker_and_no_more(
    words: Words, servers: list[ServerProcess], tmp_path: Path
) -> None:
    server = ServerProcess(tmp_path, str(tmp_path))
    servers.append(server)
    server.says("is ready on")
    assert predict(server, [1, 2]).status_code == 200

    broken = predict(server, [1_000_000])  # beyond the table: on a GPU that is an assertion in a kernel

    assert broken.status_code == 503
    (information,) = broken.json()["error"]["details"]
    assert information["reason"] == "MODEL_UNUSABLE"
    server.says("is ready on", times=2)
    assert "another is started" in server.log.read_text()
    assert predict(server, [1, 2]).status_code == 200

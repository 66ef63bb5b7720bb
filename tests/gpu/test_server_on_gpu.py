"""The server with a model on a GPU: concurrent callers, several workers, and a request that takes the GPU away."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:`torch.jit:DeprecationWarning")


class Words(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(100, 32)
        self.linear = torch.nn.Linear(32, 3)

    def forward(self, word: torch.Tensor) -> torch.Tensor:
        return self.linear(self.embedding(word))


class Server:
    def __init__(self, folder: Path, *flags: str) -> None:
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "modelport.server", str(folder), "--host", "127.0.0.1", "--port", "0", *flags],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stderr=self.log.open("wb"),
        )
        until = time.monotonic() + 60
        while not (found := re.search(r"listening on 127\.0\.0\.1:(\d+)", self.log.read_text())):
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)
        self.url = f"http://127.0.0.1:{found[1]}"

    def says(self, text: str, times: int = 1) -> None:
        until = time.monotonic() + 120
        while self.log.read_text().count(text) < times:
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def predict(self, instances: list) -> httpx.Response:
        return httpx.post(f"{self.url}/predict", json={"instances": instances}, timeout=60)


@pytest.fixture
def words(tmp_path: Path) -> Words:
    torch.manual_seed(2)
    module = Words().eval()
    torch.jit.script(module).save(tmp_path / "model.pt")
    return module.to("cuda")


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for one in started:
        one.process.terminate()
        assert one.process.wait(30) == 0


def test_concurrent_callers_of_two_workers_get_their_own_rows(
    words: Words, servers: list[Server], tmp_path: Path
) -> None:
    server = Server(tmp_path, "--workers", "2", "--device", "gpu")
    servers.append(server)
    server.says(f"is ready on {torch.cuda.get_device_name()}", times=2)
    with torch.inference_mode():
        table = words(torch.arange(100, device="cuda")).cpu()
    wrong: list[object] = []

    def call(first: int) -> None:
        for start in range(first, first + 40):
            ids = [(start * 7 + offset) % 100 for offset in range(start % 5 + 1)]
            given = torch.tensor(server.predict(ids).json()["predictions"])
            if not torch.allclose(given, table[ids], atol=1e-6):
                wrong.append((ids, given))

    callers = [threading.Thread(target=call, args=(number * 40,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_a_request_that_takes_the_gpu_away_costs_a_worker_and_no_more(
    words: Words, servers: list[Server], tmp_path: Path
) -> None:
    server = Server(tmp_path)
    servers.append(server)
    server.says("is ready on")
    assert server.predict([1, 2]).status_code == 200

    broken = server.predict([1_000_000])  # beyond the table: on a GPU that is an assertion in a kernel

    assert broken.status_code == 503
    (information,) = broken.json()["error"]["details"]
    assert information["reason"] == "MODEL_UNUSABLE"
    server.says("is ready on", times=2)
    assert "another is started" in server.log.read_text()
    assert server.predict([1, 2]).status_code == 200

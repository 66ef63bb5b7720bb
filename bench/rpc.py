"""The prediction server over gRPC beside REST: the same model, the same tensors in binary form, one connection."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from bench.listener_processes import Running, running
from bench.processes import free_port
from bench.report import Part, Table, median
from modelport.server.rpc.messages import SERVICE, message_types

_ROW = [[5.1, 3.5, 1.4, 0.2]]
_SIZES = {"one row": 1, "100 KB": 3200, "1 MB": 32768}
_TYPES = message_types()
_WARM_UP = 50

Ask = Callable[[], object]


def rpc(folder: Path, *, quick: bool) -> Part:
    """Ask one worker over both, in turn, and look at what a caller waits and what the server's processes take."""
    rounds, times = (2, 200) if quick else (5, 1000)
    rows: list[tuple[str | float, ...]] = []
    with _serving(folder) as (server, grpc_port):
        for size, count in _SIZES.items():
            instances = np.repeat(np.array(_ROW), count, axis=0)
            ways = {"REST": _rest(server.port, instances), "gRPC": _grpc(grpc_port, instances)}
            found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, ask in ways.items():
                    found[way].append(_measured(ask, server, max(50, times // (1 + count // 1000))))
            waits = {way: median([wait for wait, _ in taken]) * 1e3 for way, taken in found.items()}
            works = {way: median([work for _, work in taken]) * 1e3 for way, taken in found.items()}
            rows.append(
                (size, *waits.values(), waits["gRPC"] / waits["REST"], *works.values(), works["gRPC"] / works["REST"])
            )
    columns = ("tensor", "REST ms", "gRPC ms", "ratio", "REST server CPU ms", "gRPC server CPU ms", "ratio ")
    return Part("grpc", (Table("grpc: one connection, median, callers in Python", columns, tuple(rows)),))


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[Running, int]]:
    features, classes = load_iris(return_X_y=True)
    (folder / "iris").mkdir()
    joblib.dump(LogisticRegression(max_iter=500).fit(features, classes), folder / "iris/model.joblib")
    http_port, grpc_port = free_port(), free_port()
    ports = [f"--port={http_port}", f"--grpc-port={grpc_port}"]
    command = [sys.executable, "-m", "modelport.server", "iris", "--host=127.0.0.1", "--workers=1", *ports]
    with running(command, folder, http_port, "/health") as server:
        yield server, grpc_port


def _rest(port: int, instances: np.ndarray) -> Ask:
    tensor = {"name": "x", "datatype": "FP64", "shape": instances.shape}
    told = {**tensor, "parameters": {"binary_data_size": instances.nbytes}}
    head = json.dumps({"inputs": [told], "parameters": {"binary_data_output": True}}).encode()
    body, headers = head + instances.tobytes(), {"inference-header-content-length": str(len(head))}
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask() -> object:
        connection.request("POST", "/v2/models/model/infer", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        return answer

    return ask


def _grpc(port: int, instances: np.ndarray) -> Ask:
    message = _TYPES["ModelInferRequest"](model_name="model")
    message.inputs.add(name="x", datatype="FP64", shape=instances.shape)
    message.raw_input_contents.append(instances.tobytes())
    infer = grpc.insecure_channel(f"127.0.0.1:{port}").unary_unary(
        f"/{SERVICE}/ModelInfer",
        request_serializer=_TYPES["ModelInferRequest"].SerializeToString,
        response_deserializer=_TYPES["ModelInferResponse"].FromString,
    )
    return lambda: infer(message)


def _measured(ask: Ask, server: Running, times: int) -> tuple[float, float]:
    """Return the median wait and the server's CPU time for a request, in seconds."""
    for _ in range(_WARM_UP):
        ask()
    before = server.cpu_s()
    waits = []
    for _ in range(times):
        start = time.perf_counter()
        ask()
        waits.append(time.perf_counter() - start)
    return median(waits), (server.cpu_s() - before) / times

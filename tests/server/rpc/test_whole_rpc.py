"""The protocol over gRPC as the callers of Triton use it: the real client against the real server."""

import concurrent.futures
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import joblib
import numpy as np
import pytest
import tritonclient.grpc as triton
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from tritonclient.utils import InferenceServerException

from modelport.server.rpc.messages import SERVICE, message_types
from tests.ports import free_port
from tests.server.server_process import ServerProcess, start

__all__ = ["start"]  # the fixture

ROWS, CLASSES = load_iris(return_X_y=True)
CODE = """
import sys
import time

class Echo:
    example = [1.0]

    def predict(self, instances, seconds=0.02, fails=False):  # long enough for a thread
        print("predicting", len(instances), file=sys.stderr)
        time.sleep(seconds)
        if fails:
            raise RuntimeError("as it was told to")
        return instances
"""

pytestmark = pytest.mark.slow


@dataclass
class Served:
    process: ServerProcess
    port: int

    def client(self, number: int = 0) -> triton.InferenceServerClient:
        """Return a client; those of different numbers share no connection."""
        return triton.InferenceServerClient(f"127.0.0.1:{self.port}", channel_args=[("apart", number)])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def serve(start: Callable[..., ServerProcess], tmp_path: Path, port: int) -> Callable[..., Served]:
    def begin(*flags: str) -> Served:
        process = start(tmp_path, *flags, "--grpc-port", str(port))
        process.ready()
        return Served(process, port)

    return begin


@pytest.fixture
def echo(serve: Callable[..., Served], tmp_path: Path) -> Served:
    (tmp_path / "echo.py").write_text(CODE)
    return serve("--predictor", "echo.py:Echo", "--drain-s", "20", "--max-body-bytes", "100000")


def tensor(array: np.ndarray, datatype: str, name: str = "x") -> triton.InferInput:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def values(answer: triton.InferResult) -> np.ndarray:
    (output,) = answer.get_response().outputs
    return answer.as_numpy(output.name)


def save(folder: Path, model: object) -> None:
    folder.mkdir(parents=True)
    joblib.dump(model, folder / "model.joblib")


def test_predictions_are_those_of_the_model_from_every_worker(serve: Callable[..., Served], tmp_path: Path) -> None:
    model = LogisticRegression(max_iter=500).fit(ROWS, CLASSES)
    save(tmp_path / "iris", model)
    served = serve("iris", "--workers", "2", "--access-log", "--model-name", "my iris", "--model-version", "v1")
    client = served.client()
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("my iris")
    assert client.is_model_ready("my iris", "v1")
    assert client.get_server_metadata().name == "modelport"
    told = client.get_model_metadata("my iris", as_json=True)
    assert (told["name"], told["versions"], told["inputs"][0]["shape"]) == ("my iris", ["v1"], ["-1", "4"])

    def ask(number: int) -> bool:
        rows = ROWS[number : number + 1 + number % 7]
        with served.client(number) as own:
            answer = own.infer("my iris", [tensor(rows, "FP64")], request_id=str(number))
        assert answer.get_response().id == str(number)
        return np.array_equal(values(answer), model.predict(rows))

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(100)))
    metrics = served.process.client.get("/metrics").text
    assert 'modelport_server_requests_total{code="200"} 100.0' in metrics
    served.process.end()  # which writes the last lines of the log
    assert served.process.output.read_text().count('"path":"/v2/models/my%20iris/infer"') == 100


def test_every_datatype_comes_back_as_it_was_sent(echo: Served) -> None:
    client = echo.client()
    for datatype, dtype in {"INT64": np.int64, "FP64": np.float64, "BOOL": np.bool_}.items():
        sent = np.array([[0, 1], [1, 1]], dtype)
        got = values(client.infer("model", [tensor(sent, datatype)]))
        assert got.dtype == sent.dtype
        assert np.array_equal(got, sent)
    words = np.array([b"a", "ä".encode()], object)
    assert values(client.infer("model", [tensor(words, "BYTES")])).tolist() == words.tolist()
    large = np.array([2**63 - 1, -(2**63)])
    assert np.array_equal(values(client.infer("model", [tensor(large, "INT64")])), large)


def test_where_the_time_went_is_told_behind_the_answer(echo: Served) -> None:
    types = message_types()
    asked = types["ModelInferRequest"](model_name="model")
    asked.inputs.add(name="x", datatype="INT64", shape=[1]).contents.int64_contents.append(7)
    with grpc.insecure_channel(f"127.0.0.1:{echo.port}") as channel:
        infer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=types["ModelInferRequest"].SerializeToString,
            response_deserializer=types["ModelInferResponse"].FromString,
        )
        answer, call = infer.with_call(asked)
    assert list(answer.raw_output_contents) == [(7).to_bytes(8, "little")]
    timing = dict(call.trailing_metadata())["server-timing"]
    assert {"parse", "queue", "predict", "serialise"} <= {part.partition(";")[0] for part in timing.split(", ")}


def test_what_a_caller_does_wrong_is_told_with_the_right_code(echo: Served) -> None:
    client = echo.client()
    one = tensor(np.array([1.0]), "FP64")

    def refused(name: str, *inputs: triton.InferInput, **more) -> tuple[str, str]:
        with pytest.raises(InferenceServerException) as failed:
            client.infer(name, list(inputs), **more)
        return failed.value.status().removeprefix("StatusCode."), failed.value.message()

    code, words = refused("other", one)
    assert code == "NOT_FOUND"
    assert "/v2/models/model/infer" in words
    code, words = refused("model", tensor(np.ones(2), "FP64", "a"), tensor(np.ones(3), "FP64", "b"))
    assert code == "INVALID_ARGUMENT"
    assert "`a` 2, `b` 3" in words
    code, words = refused("model", one, outputs=[triton.InferRequestedOutput("nothing")])
    assert code == "INVALID_ARGUMENT"
    assert "`nothing`" in words
    code, words = refused("model", tensor(np.zeros(20_000), "FP64"))
    assert code == "RESOURCE_EXHAUSTED"
    code, words = refused("model", one, parameters={"fails": True})
    assert code == "INTERNAL"
    assert "as it was told to" in words
    assert values(client.infer("model", [one])).tolist() == [1.0]


def test_rows_of_a_caller_who_waits_no_longer_are_not_predicted(echo: Served) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        long = threads.submit(echo.client(1).infer, "model", [tensor(np.ones(1), "FP64")], parameters={"seconds": 4.0})
        echo.process.says("predicting 1", times=2)  # the first is the warm-up's
        with pytest.raises(InferenceServerException) as failed:
            echo.client(2).infer("model", [tensor(np.ones(5), "FP64")], client_timeout=0.2)
        assert failed.value.status() == "StatusCode.DEADLINE_EXCEEDED"
        assert values(long.result()).tolist() == [1.0]
    assert values(echo.client(3).infer("model", [tensor(np.ones(2), "FP64")])).tolist() == [1.0, 1.0]
    assert re.findall(r"predicting (\d+)", echo.process.log.read_text()) == ["1", "1", "2"]


def test_a_running_call_is_answered_when_the_server_is_told_to_end(echo: Served) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        running = threads.submit(
            echo.client().infer, "model", [tensor(np.ones(1), "FP64")], parameters={"seconds": 1.0}
        )
        echo.process.says("predicting 1", times=2)
        echo.process.process.terminate()
        assert values(running.result()).tolist() == [1.0]
    assert echo.process.process.wait(20) == 0


def test_several_models_are_loaded_when_they_are_asked_for(serve: Callable[..., Served], tmp_path: Path) -> None:
    for number in range(3):
        model = DummyClassifier(strategy="constant", constant=number).fit([[0.0]] * 2, [number, number + 1])
        save(tmp_path / "models" / f"m{number}", model)
    client = serve("models", "--multi-model").client()
    assert client.is_server_live()
    assert client.is_server_ready()
    for number in (2, 0, 1):
        answer = client.infer(f"m{number}", [tensor(np.zeros((2, 1)), "FP64")])
        assert answer.get_response().model_name == f"m{number}"
        assert values(answer).tolist() == [number, number]
    with pytest.raises(InferenceServerException, match="Name one of `m0`, `m1`, `m2`"):
        client.infer("m9", [tensor(np.zeros((2, 1)), "FP64")])


def test_a_port_that_is_taken_ends_the_server_before_it_loads_anything(tmp_path: Path) -> None:
    save(tmp_path / "iris", LogisticRegression(max_iter=500).fit(ROWS, CLASSES))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "modelport.server", "iris", "--host=127.0.0.1", "--port=0", f"--grpc-port={port}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 2
    assert f"cannot listen on `127.0.0.1:{port}` for gRPC: Address already in use" in ended.stderr
    assert "--grpc-port" in ended.stderr

"""`run` serves code on this machine and follows its changes; `dry-run` tries it once without a server."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelport.cli.local_model import LocalModel, read_model, snapshot
from modelport.cli.run import curl_line, environment
from modelport.cli.usage import UsageProblem
from tests.cli.conftest import Ran

CODE = """
class Predictor:
    example = [[1, 2], [3, 4]]

    def predict(self, instances: list[list[float]], factor: float = 1) -> list[float]:
        return [sum(row) * factor for row in instances]

class Silent:
    def predict(self, instances):
        return instances[:1]

class Words:
    example = ["a b", ""]

    async def predict(self, instances):
        for word in instances[0].split():
            yield word

class Waiting:
    example = [b"ab", {"b64": "YWI="}]

    async def predict(self, instances):
        return [len(one) for one in instances]

class Failing:
    example = [{}]

    def preprocess(self, instances):
        return [one["age"] for one in instances]

    def predict(self, ages):
        return ages

class Loading:
    example = [1]

    @classmethod
    def from_path(cls, model_dir):
        cls.bias = int(open(model_dir + "/bias.txt").read())
        return cls()

    def predict(self, instances, **kwargs):
        return [self.bias + one for one in instances]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "tried.py"
    path.write_text(CODE)
    (tmp_path / "bias.txt").write_text("10")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield path
    sys.modules.pop("tried", None)


@pytest.mark.parametrize(
    ("name", "options", "predictions"),
    [
        ("Predictor", (), [3.0, 7.0]),
        ("Predictor", ("--instances", "rows.json"), [5.0]),
        ("Predictor", ("--parameters", "parameters.json"), [6.0, 14.0]),
        ("Words", (), ["ab", []]),
        ("Waiting", (), [2, 2]),
        ("Loading", ("--model-dir", "."), [11]),
    ],
)
def test_the_example_is_predicted_without_a_server(
    cli: Callable[..., Ran], file: Path, name: str, options: tuple[str, ...], predictions: list[Any]
) -> None:
    (file.parent / "rows.json").write_text("[[2, 3]]")
    (file.parent / "parameters.json").write_text('{"factor": 2}')
    ran = cli("dry-run", f"tried.py:{name}", *options, "--output", "json")

    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert said["predictions"] == predictions
    assert list(said["seconds"])[:3] == ["load", "preprocess", "predict"]


def test_people_read_predictions_and_times(cli: Callable[..., Ran], file: Path) -> None:
    first, second = cli("dry-run", "tried.py:Predictor").out.splitlines()

    assert first == '{"predictions": [3.0, 7.0]}'
    assert [part.split()[0] for part in second.split("   ")] == ["load", "preprocess", "predict", "postprocess"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("tried.py:Predicter",), 1, "error: `tried.py` holds no `Predicter`; there are `Predictor`,"),
        (("tried.py:Silent",), 2, "error: There is nothing to predict: `tried.py:Silent` shows no example"),
        (("tried.py:Silent", "--instances", "two.json"), 1, "error: The model gave 1 predictions for 2 instances"),
        (("tried.py:Predictor", "--instances", "bad.json"), 1, 'error: instances[0][0]: "x" is a text, a num'),
        (("tried.py:Failing",), 1, "error: `preprocess` failed: KeyError: 'age' ("),
        (("tried.py:Loading",), 1, "error: `Loading.from_path` wants the folder of the model, and none was named"),
        (("tried.py:Loading", "--model-dir", "nowhere"), 2, "error: `--model-dir nowhere` is no folder"),
        (("./nowhere",), 2, "error: `./nowhere` does not exist"),
        (("tried.py", "--framework", "sklearn"), 2, "error: `--framework` is for a folder of model files"),
        ((".", "--model-dir", "."), 2, "error: `.` is a folder already"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_clearly(
    cli: Callable[..., Ran], file: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    (file.parent / "two.json").write_text("[[1], [2]]")
    (file.parent / "bad.json").write_text('[["x"]]')
    ran = cli("dry-run", *arguments)

    assert ran.code == code
    assert ran.out == ""
    assert says in ran.err


def test_the_place_of_a_failure_is_named(cli: Callable[..., Ran], file: Path) -> None:
    assert cli("dry-run", "tried.py:Failing").err.endswith(f"hint: Correct it at {file}:29\n")


def test_the_server_hears_of_the_model_and_of_nothing_around() -> None:
    model = LocalModel("mine.py:Predictor", None, "")
    variables = environment(model, "127.0.0.1", 8080, {"AIP_HTTP_PORT": "1", "HOME": "/home/me"})

    assert variables["MODELPORT_SERVER_PREDICTOR"] == "mine.py:Predictor"
    assert variables["MODELPORT_SERVER_PORT"] == "8080"
    assert "MODELPORT_SERVER_MODEL_DIR" not in variables
    assert "AIP_HTTP_PORT" not in variables
    assert variables["HOME"] == "/home/me"


def test_the_command_to_try_sends_the_servers_own_example() -> None:
    media = {"schema": {}, "example": {"instances": [{"it's": 1}]}}
    document = {"paths": {"/predict": {"post": {"requestBody": {"content": {"application/json": media}}}}}}
    line = curl_line("http://127.0.0.1:8080", document)

    said = subprocess.run(
        ["sh", "-c", line.replace("curl", "printf '%s\\n'")], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[:3] == ["-X", "POST", "http://127.0.0.1:8080/predict"]
    assert json.loads(said.stdout.splitlines()[-1]) == {"instances": [{"it's": 1}]}


def test_a_change_of_the_code_is_seen_and_nothing_else(tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text("a")
    for name in (".venv", "__pycache__", "env"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "other.py").touch()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    model = LocalModel(f"{code}:Predictor", None, "")
    before = snapshot(model)
    (tmp_path / "data.csv").write_text("new")
    assert snapshot(model) == before

    code.write_text("ab")
    assert snapshot(model) != before
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "more.py").touch()
    assert len(snapshot(model)) == 2


def test_a_folder_is_watched_with_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").touch()

    assert list(snapshot(read_model(str(tmp_path), None, ""))) == [str(tmp_path / "model.joblib")]


def test_a_module_needs_no_file() -> None:
    assert read_model("package.module.Class", None, "").predictor == "package.module.Class"
    with pytest.raises(UsageProblem):
        read_model("some/where", None, "")


def test_a_port_that_is_taken_is_refused(cli: Callable[..., Ran], file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = cli("run", "tried.py:Predictor", "--port", str(taken.getsockname()[1]))

    assert ran.code == 1
    assert "address already in use" in ran.err


BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in {"httptools", "msgspec", "orjson", "uvloop"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())

from modelport.cli.main import main

main()
"""


@pytest.mark.parametrize("command", ["run", "dry-run"])
def test_without_the_server_it_says_what_to_install(file: Path, command: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", BLOCKED, command, "tried.py:Predictor"], capture_output=True, text=True, timeout=60
    )

    assert ran.returncode == 1
    assert ran.stderr.endswith("is missing\n\nhint: Run `pip install 'modelport[server]'`\n")


@pytest.mark.slow
def test_code_is_served_and_its_changes_are_followed(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = file.parent / "log.txt"
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "modelport", "run", "tried.py:Predictor", "--port", str(port)]
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environ)

    def until(done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not done():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def predicts(*predictions: float) -> bool:
        try:
            answer = httpx.post(f"http://127.0.0.1:{port}/predict", json={"instances": [[1, 2]]})
        except httpx.HTTPError:
            return False
        return bool(answer.json().get("predictions") == list(predictions))

    try:
        until(lambda: predicts(3.0))
        until(lambda: f"curl -X POST http://127.0.0.1:{port}/predict" in log.read_text())
        file.write_text(CODE + "broken = (\n")
        until(lambda: "waiting for a change" in log.read_text())
        assert f"hint: Correct it at {file}:" in log.read_text()
        file.write_text(CODE.replace("sum", "max"))
        until(lambda: predicts(2.0))
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(15) == 130
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/health")

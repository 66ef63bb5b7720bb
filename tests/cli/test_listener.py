"""`modelport listener`: draws and checks what listener.yaml declares; nothing is started."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from modelport.cli.local_model import read_served, snapshot
from modelport.cli.run import environment
from modelport.cli.usage import UsageProblem
from tests.cli.conftest import Ran
from tests.cli.test_base_install import run as run_base
from tests.server.listener.declared import SENTIMENT

Cli = Callable[..., Ran]

CODE = """\
def clean(rows: list[str]) -> list[str]:
    return [row.strip() for row in rows]


def language(rows: list[str]) -> list[str]:
    return ["de" for _ in rows]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "listener.yaml").write_text(SENTIMENT)
    (tmp_path / "text.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_listener_of_the_folder_is_drawn(cli: Cli, folder: Path) -> None:
    ran = cli("listener", "graph")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("            ┌─────────────────────┐\n            │      requests       │\n")
    assert ran.out.endswith("started here: tritonserver --model-repository=$(AIP_STORAGE_URI) --http-port=8001\n")


def test_the_picture_is_written_as_svg(cli: Cli, folder: Path) -> None:
    shown = cli("listener", "graph", "listener.yaml", "--output", "svg")
    ran = cli("listener", "graph", str(folder), "--svg", "graph.svg")
    assert (ran.code, ran.out) == (0, "wrote graph.svg\n")
    assert (folder / "graph.svg").read_text() == shown.out
    assert shown.out.startswith("<svg ")


def test_a_picture_that_cannot_be_written_is_told(cli: Cli, folder: Path) -> None:
    ran = cli("listener", "graph", "--svg", "none/graph.svg")
    assert (ran.code, ran.err) == (2, "error: `--svg none/graph.svg` cannot be written: no such file or directory\n")


def test_the_picture_is_data_for_programs(cli: Cli, folder: Path) -> None:
    document = json.loads(cli("listener", "graph", "--output", "json").out)
    assert {one["role"] for one in document["nodes"]} == {
        "requests", "stack", "python", "asks", "merge", "model", "server"
    }  # fmt: skip


def test_a_listener_that_can_work_passes(cli: Cli, folder: Path) -> None:
    ran = cli("listener", "check")
    assert (ran.code, ran.out, ran.err) == (0, "✓ listener.yaml: 1 server, 3 models, 1 stack, 6 steps\n", "")
    ran = cli("listener", "check", ".", "--output", "json")
    assert json.loads(ran.out) == {"ok": True, "listener": ".", "servers": 1, "models": 3, "stacks": 1, "steps": 6}


def test_everything_that_is_wrong_is_told(cli: Cli, folder: Path) -> None:
    (folder / "text.py").write_text(
        CODE.replace("def language(", "def langage(").replace("clean(rows: list[str])", "clean(rows: list[int]) ")
    )
    (folder / "listener.yaml").write_text(SENTIMENT.replace("health:", "helth:"))
    ran = cli("listener", "check")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        "error: 2 fields are wrong; nothing was changed",
        "  listener.yaml:5: servers.triton.helth: There is no such key; did you mean `health`?",
        "  listener.yaml:20: stacks.sentiment.language.python:"
        " `text.py` holds no `language`; there are `clean`, `langage`",
    ]


def test_an_error_is_data_for_programs(cli: Cli, folder: Path) -> None:
    (folder / "listener.yaml").write_text("servers: 1\n")
    ran = cli("listener", "check", "--output", "json")
    error = json.loads(ran.err)["error"]
    assert (ran.code, ran.out, error["status"]) == (1, "", "INVALID_ARGUMENT")


def test_without_the_server_extra_it_says_what_to_install() -> None:
    ran = run_base("listener", "check")
    assert ran.returncode == 1
    assert ran.stderr.endswith("hint: Run `pip install 'modelport[server]'`\n")


def test_a_listener_is_run_as_one(folder: Path) -> None:
    (folder / "model").mkdir()
    model = read_served(".", Path("model"), "")
    assert (str(model), model.watched) == ("listener.yaml", Path())
    assert {Path(one).name for one in snapshot(model)} == {"listener.yaml", "text.py"}
    environ = environment(model, "127.0.0.1", 8090, {"AIP_HTTP_PORT": "1", "HOME": "/h"})
    assert environ == {
        "HOME": "/h",
        "AIP_STORAGE_URI": str(folder / "model"),
        "MODELPORT_LISTENER_TARGET": "listener.yaml",
        "MODELPORT_LISTENER_HOST": "127.0.0.1",
        "MODELPORT_LISTENER_PORT": "8090",
        "MODELPORT_LISTENER_PREDICT_ROUTE": "/predict",
        "MODELPORT_LISTENER_HEALTH_ROUTE": "/health",
        "MODELPORT_LISTENER_DRAIN_S": "2",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.yaml", None, ""), "`none.yaml` does not exist"),
        (("listener.yaml", Path("none"), ""), "`--model-dir none` is no folder"),
        (("listener.yaml", None, "XGBOOST"), "`--framework` is for a folder of model files"),
    ],
)
def test_what_cannot_be_run_is_told(folder: Path, arguments: tuple[str, Path | None, str], said: str) -> None:
    with pytest.raises(UsageProblem, match=said):
        read_served(*arguments)


def test_a_folder_without_a_listener_is_run_as_before(folder: Path) -> None:
    (folder / "listener.yaml").unlink()
    assert read_served(".", None, "").listener is None

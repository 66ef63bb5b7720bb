from pathlib import Path

import pytest

from modelport.core.errors import InvalidArgument
from modelport.server.config import settings
from modelport.server.listener.listener_config import (
    ListenerConfig,
    configure_listener,
    listener_parser,
    listener_settings,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "listener.yaml").touch()
    return tmp_path


def refused(arguments: list[str], environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        configure_listener(arguments, environ)
    return {one.field: one.description for one in caught.value.violations}


def test_the_contract_is_enough_where_a_listener_lies_in_the_working_directory(folder: Path) -> None:
    environ = {"AIP_HTTP_PORT": "9000", "AIP_PREDICT_ROUTE": "/v1/m:predict", "AIP_MODEL_NAME": "m"}
    config = configure_listener([], environ)
    assert (config.port, config.predict_route, config.model_name) == (9000, "/v1/m:predict", "m")
    assert config == ListenerConfig("listener.yaml", "m", port=9000, predict_route="/v1/m:predict")


def test_flags_win_over_variables_and_these_over_the_contract(folder: Path) -> None:
    environ = {"MODELPORT_LISTENER_PORT": "2", "AIP_HTTP_PORT": "3", "MODELPORT_LISTENER_DRAIN_S": "1"}
    config = configure_listener(["--port", "1"], environ)
    assert (config.port, config.drain_s) == (1, 1.0)


def test_variables_of_the_server_are_its_own(folder: Path) -> None:
    assert configure_listener([], {"MODELPORT_SERVER_PORT": "2", "MODELPORT_SERVER_NONSENSE": "x"}).port == 8080


def test_a_listener_is_found_among_the_artifacts_where_there_is_none_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no `listener.yaml`" in refused([], {"AIP_STORAGE_URI": "gs://bucket/model"})["target"]
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    assert "nor" in refused([], {"AIP_STORAGE_URI": str(artifacts)})["target"]
    (artifacts / "listener.yaml").touch()
    for uri in (str(artifacts), f"file://{artifacts}"):
        assert configure_listener([], {"AIP_STORAGE_URI": uri}).target == str(artifacts / "listener.yaml")


@pytest.mark.parametrize("target", ["listener.yaml", ".", "mine.py:listener", "package.module:listener"])
def test_a_listener_is_a_file_a_folder_or_an_object_in_code(folder: Path, target: str) -> None:
    (folder / "mine.py").touch()
    assert configure_listener([target], {}).target == target
    assert configure_listener(["--target", target], {}).target == target
    assert configure_listener([], {"MODELPORT_LISTENER_TARGET": target}).target == target


def test_everything_wrong_is_reported_at_once_with_where_it_stands(folder: Path) -> None:
    said = refused(["other.py:it", "--prot=1", "--drain-s=soon"], {"MODELPORT_LISTENER_HOTS": "x", "PORT": "99999"})
    assert "`other.py` does not exist" in said["--target"]
    assert "did you mean `--port`" in said["--prot"]
    assert "did you mean `MODELPORT_LISTENER_HOST`" in said["MODELPORT_LISTENER_HOTS"]
    assert "a number is wanted" in said["--drain-s"]
    assert "from 0 to 65535" in said["PORT"]


def test_what_it_shares_with_the_server_means_the_same() -> None:
    text = listener_parser().format_help()
    for name, setting in listener_settings().items():
        assert setting.flag in text
        assert setting.help.endswith(".")
        assert setting.variable == f"MODELPORT_LISTENER_{name.upper()}"
        if name != "target":
            assert (setting.help, setting.default) == (settings()[name].help, settings()[name].default)

import dataclasses
from pathlib import Path

import pytest

from modelport.core.errors import InvalidArgument
from modelport.server.config import ServerConfig, settings
from modelport.server.configure import configure, parser


def refused(arguments: list[str], environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        configure(arguments, environ)
    return {one.field: one.description for one in caught.value.violations}


def test_a_folder_is_enough(tmp_path: Path) -> None:
    assert configure([str(tmp_path)], {}) == ServerConfig(model_dir=tmp_path)
    assert configure(["--model-dir", str(tmp_path)], {}) == ServerConfig(model_dir=tmp_path)


def test_flags_win_over_variables_these_over_the_file_and_that_over_the_contract(tmp_path: Path) -> None:
    (tmp_path / "modelport.yaml").write_text("server: {port: 3, workers: 3, max-queue: 3, model_name: file}\n")
    environ = {
        "MODELPORT_SERVER_PORT": "2",
        "MODELPORT_SERVER_WORKERS": "2",
        "AIP_HTTP_PORT": "4",
        "PORT": "5",
        "AIP_MODEL_NAME": "contract",
        "AIP_VERSION_NAME": "v4",
    }
    config = configure([str(tmp_path), "--port", "1"], environ)
    assert (config.port, config.workers, config.max_queue, config.model_name) == (1, 2, 3, "file")
    assert config.model_version == "v4"


def test_the_variables_of_the_contract_are_enough(tmp_path: Path) -> None:
    environ = {
        "AIP_STORAGE_URI": f"file://{tmp_path}",
        "AIP_HTTP_PORT": "9000",
        "PORT": "1",
        "AIP_HEALTH_ROUTE": "/v1/models/m/versions/v",
        "AIP_PREDICT_ROUTE": "/v1/models/m/versions/v:predict",
    }
    config = configure([], environ)
    assert (config.model_dir, config.port) == (tmp_path, 9000)
    assert config.predict_route == "/v1/models/m/versions/v:predict"


def test_a_bucket_is_refused_with_what_to_do() -> None:
    said = refused([], {"AIP_STORAGE_URI": "gs://bucket/model"})
    assert "mount or copy" in said["AIP_STORAGE_URI"]


def test_everything_wrong_is_reported_at_once_with_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "modelport.yaml").write_text("server: {worker: 1, max_queue: [1]}\n")
    said = refused(
        [str(tmp_path), "--prot", "80", "--nan=zero", "--port", "99999"],
        {"MODELPORT_SERVER_TREADS": "2", "MODELPORT_SERVER_DRAIN_S": "soon", "AIP_HEALTH_ROUTE": "health"},
    )
    assert "did you mean `--port`" in said["--prot"]
    assert "one of null, error" in said["--nan"]
    assert "from 0 to 65535" in said["--port"]
    assert "did you mean `MODELPORT_SERVER_THREADS`" in said["MODELPORT_SERVER_TREADS"]
    assert "a number is wanted" in said["MODELPORT_SERVER_DRAIN_S"]
    assert "begins with `/`" in said["AIP_HEALTH_ROUTE"]
    file = tmp_path / "modelport.yaml"
    assert "did you mean `workers`" in said[f"{file}: server.worker"]
    assert "a whole number is wanted" in said[f"{file}: server.max_queue"]
    assert len(said) == 8


def test_a_framework_is_known_by_any_of_its_names(tmp_path: Path) -> None:
    assert configure([str(tmp_path), "--framework", "sklearn"], {}).framework == "sklearn"
    assert "SCIKIT_LEARN" in refused([str(tmp_path), "--framework", "scikit_lern"], {})["--framework"]


def test_a_server_of_nothing_is_refused_and_a_predictor_needs_no_folder() -> None:
    assert "model_dir" in refused([], {})
    assert configure(["--predictor", "mine:Predictor"], {}).predictor == "mine:Predictor"
    assert "does not exist" in refused(["/nowhere"], {})["--model-dir"]


def test_a_predictor_decides_itself_where_it_computes(tmp_path: Path) -> None:
    assert configure([str(tmp_path), "--device", "gpu"], {}).device == "gpu"
    assert "one of auto, cpu, gpu is wanted" in refused([str(tmp_path), "--device", "tpu"], {})["--device"]
    assert "own code decides" in " ".join(refused(["--predictor", "mine:Predictor", "--device", "gpu"], {}).values())


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "modelport.yaml").write_text("server: [")
    assert "It is not YAML" in refused([str(tmp_path)], {})[str(tmp_path / "modelport.yaml")]
    (tmp_path / "modelport.yaml").write_text("name: v1\n")
    assert configure([str(tmp_path)], {}) == ServerConfig(model_dir=tmp_path)


def test_switches_and_lists_are_understood_from_every_source(tmp_path: Path) -> None:
    assert configure([str(tmp_path), "--access-log"], {}).access_log
    assert configure([str(tmp_path)], {"MODELPORT_SERVER_ACCESS_LOG": "true"}).access_log
    assert not configure([str(tmp_path), "--no-access-log"], {"MODELPORT_SERVER_ACCESS_LOG": "true"}).access_log
    (tmp_path / "modelport.yaml").write_text("server: {trusted_types: [a.B, c.D], access_log: yes}\n")
    config = configure([str(tmp_path)], {})
    assert (config.trusted_types, config.access_log) == (("a.B", "c.D"), True)
    assert configure([str(tmp_path), "--trusted-types", "a.B, c.D"], {}).trusted_types == ("a.B", "c.D")


def test_every_field_is_a_flag_with_a_sentence_of_help() -> None:
    text = parser().format_help()
    for one in dataclasses.fields(ServerConfig):
        setting = settings()[one.name]
        assert setting.help.endswith(".")
        assert setting.flag in text

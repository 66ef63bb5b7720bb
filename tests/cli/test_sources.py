from datetime import date
from pathlib import Path

import pytest

from modelport.cli.sources import (
    Overrides,
    Source,
    chosen_driver,
    model_id,
    next_version_id,
    override,
    plan,
    with_image,
)
from modelport.cli.specs import FolderSpec
from modelport.cli.usage import UsageProblem

EMPTY = FolderSpec({})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "churn-model"
    path.mkdir()
    (path / "Dockerfile").write_text("FROM scratch")
    return path


def test_an_image_is_deployed_as_it_is() -> None:
    assert plan("registry/churn:1", EMPTY, driver="docker") == Source({"container": {"image": "registry/churn:1"}})


def test_a_folder_is_built_where_an_engine_runs(folder: Path) -> None:
    source = plan(str(folder), FolderSpec({"routes": {"health": "/h"}}), driver="docker")

    assert source == Source({"routes": {"health": "/h"}, "container": {}}, build=folder)
    assert with_image(source, "localhost/churn:1").version["container"] == {"image": "localhost/churn:1"}


def test_a_folder_is_the_image_without_an_engine(folder: Path) -> None:
    source = plan(str(folder), FolderSpec({"container": {"command": ["x"]}}), driver="process")

    assert source == Source({"container": {"command": ["x"], "image": str(folder)}})


def test_an_image_named_in_the_spec_is_not_built(folder: Path) -> None:
    assert plan(str(folder), FolderSpec({"container": {"image": "r/i"}}), driver="docker").build is None


def test_a_folder_without_a_dockerfile_cannot_be_built(folder: Path) -> None:
    (folder / "Dockerfile").unlink()

    with pytest.raises(UsageProblem, match="has no Dockerfile"):
        plan(str(folder), EMPTY, driver="docker")


@pytest.mark.parametrize("target", ["./absent", "/absent", "~absent/x"])
def test_a_path_that_is_no_folder_is_not_taken_for_an_image(target: str) -> None:
    with pytest.raises(UsageProblem, match="is not a folder"):
        plan(target, EMPTY, driver="docker")


def test_options_win_over_the_spec() -> None:
    spec = {
        "container": {"image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        "routes": {"predict": "/p", "health": "/h"},
        "deployment_uri": "gs://old",
        "machine_type": "n1-standard-4",
    }
    options = Overrides(
        health_route="/ok",
        port=9000,
        machine_type="n1-standard-1",
        deployment_uri="/model",
        env=(("B", "3"), ("C", "")),
        command=("run",),
        args=("--fast",),
    )

    assert override(Source(spec), options).version == {
        "container": {
            "image": "i",
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": ""}],
            "command": ["run"],
            "args": ["--fast"],
            "ports": [{"containerPort": 9000}],
        },
        "routes": {"predict": "/p", "health": "/ok"},
        "deploymentUri": "/model",
        "machineType": "n1-standard-1",
    }


def test_without_options_only_the_machine_type_is_added() -> None:
    assert override(Source({"container": {"image": "i"}}), Overrides()).version == {
        "container": {"image": "i"},
        "machineType": "n1-standard-2",
    }
    kept = override(Source({"container": {}, "machine_type": "n1-highmem-2"}), Overrides()).version
    assert "machineType" not in kept


@pytest.mark.parametrize(
    ("target", "name"),
    [("registry:5000/team/churn-model:1.2", "churn_model"), ("churn@sha256:00", "churn"), ("localhost/a.b", "a_b")],
)
def test_an_image_names_its_model(target: str, name: str) -> None:
    assert model_id(target) == name


def test_a_folder_names_its_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    assert model_id(str(folder)) == model_id(".") == "churn_model"


def test_a_name_that_cannot_be_made_is_asked_for() -> None:
    with pytest.raises(UsageProblem, match="gives no name"):
        model_id("registry/123")


def test_version_names_count_up_within_a_day() -> None:
    today = date(2026, 11, 21)

    assert next_version_id(set(), today) == "v20261121_1"
    assert next_version_id({"v20261121_1", "v20261121_3", "v1"}, today) == "v20261121_2"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "iris"
    path.mkdir()
    (path / "model.joblib").touch()
    return path


@pytest.mark.parametrize("driver", ["docker", "process"])
def test_a_folder_of_model_files_is_served_by_modelports_own_server(model: Path, driver: str) -> None:
    source = plan(str(model), FolderSpec({"labels": {"a": "b"}}), driver=driver)

    assert source.version == {"labels": {"a": "b"}, "deploymentUri": str(model)}
    assert source.note == "SCIKIT_LEARN model recognised by model.joblib"


@pytest.mark.parametrize("file", ["Dockerfile", "serve.py"])
def test_a_folder_with_a_program_is_not_taken_for_model_files(model: Path, file: str) -> None:
    (model / file).write_text("FROM scratch")

    assert plan(str(model), EMPTY, driver="process").version == {"container": {"image": str(model)}}


def test_a_spec_with_a_container_keeps_its_folder_an_image(model: Path) -> None:
    spec = FolderSpec({"container": {"command": ["serve"]}})

    assert plan(str(model), spec, driver="process").version["container"]["image"] == str(model)


def test_a_framework_that_is_named_outweighs_a_program(model: Path) -> None:
    (model / "main.py").touch()
    options = Overrides(
        framework="sklearn",
        runtime_version="2026.11",
        python_version="3.11",
        packages=("/srv/code-1.whl",),
        prediction_class="code.Predictor",
    )
    source = override(plan(str(model), EMPTY, options, driver="process"), options)

    assert source.version == {
        "deploymentUri": str(model),
        "framework": "SCIKIT_LEARN",
        "runtimeVersion": "2026.11",
        "pythonVersion": "3.11",
        "packageUris": ["/srv/code-1.whl"],
        "predictionClass": "code.Predictor",
        "machineType": "n1-standard-2",
    }


def test_options_replace_fields_of_the_runtime_in_either_spelling(model: Path) -> None:
    spec = FolderSpec({"framework": "XGBOOST", "runtime_version": "1", "deployment_uri": "gs://b/m"})
    options = Overrides(runtime_version="2")

    version = override(plan(str(model), spec, options, driver="docker"), options).version
    assert version == {
        "framework": "XGBOOST",
        "runtimeVersion": "2",
        "deployment_uri": "gs://b/m",
        "machineType": "n1-standard-2",
    }


def test_model_files_in_a_store_are_named_by_their_uri() -> None:
    assert plan("gs://b/iris", EMPTY, driver="docker").version == {"deploymentUri": "gs://b/iris"}
    assert model_id("gs://b/iris") == "iris"


def test_an_image_has_no_framework() -> None:
    with pytest.raises(UsageProblem, match="neither a folder with model files nor a URI"):
        plan("registry/iris:1", EMPTY, Overrides(framework="sklearn"), driver="docker")


def test_model_files_are_tried_where_the_platform_would_run_them(model: Path) -> None:
    assert chosen_driver(str(model), EMPTY, driver="auto", engine=True) == "docker"
    assert chosen_driver(str(model), EMPTY, driver="auto", engine=False) == "process"
    assert chosen_driver(str(model), EMPTY, driver="process", engine=True) == "process"

from datetime import date
from pathlib import Path

import pytest

from modelport.cli.sources import Overrides, Source, model_id, next_version_id, override, plan, with_image
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

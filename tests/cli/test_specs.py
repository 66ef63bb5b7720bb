import io
from pathlib import Path

import pytest

from modelport.cli.specs import read_folder_spec, read_instances, read_object
from modelport.cli.usage import UsageProblem


def written(folder: Path, text: str, name: str = "file") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "instances"),
    [
        ("[1, 2]\n[3, 4]\n", [[1, 2], [3, 4]]),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ('[\n  {"a": 1},\n  {"a": 2}\n]', [{"a": 1}, {"a": 2}]),
        ("[1, 2]", [[1, 2]]),
        ('{"a": 1}\n\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ('"text"', ["text"]),
        ("[]", [[]]),
    ],
)
def test_instances_are_lines_or_one_array(tmp_path: Path, text: str, instances: list[object]) -> None:
    assert read_instances(written(tmp_path, text)) == instances


@pytest.mark.parametrize(("text", "message"), [("", "is empty"), ("{oops", "is not JSON")])
def test_instances_that_are_none_are_a_usage_problem(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        read_instances(written(tmp_path, text))


def test_specs_are_json_or_yaml_or_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"container": {"image": "a"}}

    assert read_object(written(tmp_path, '{"container":\t{"image": "a"}}')) == wanted
    assert read_object(written(tmp_path, "container:\n  image: a\n")) == wanted
    monkeypatch.setattr("sys.stdin", io.StringIO("container: {image: a}"))
    assert read_object("-") == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "neither JSON nor YAML"), ("- a", "holds a list"), ("", "holds nothing"), ("text", "holds a text")],
)
def test_a_spec_that_is_none_says_what_it_is(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        read_object(written(tmp_path, text))


def test_a_file_that_is_not_there_is_a_usage_problem(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no such file or directory"):
        read_object(str(tmp_path / "absent"))


def test_relative_paths_start_at_the_folder_of_the_spec(tmp_path: Path) -> None:
    spec = read_folder_spec(
        Path(written(tmp_path, "container: {image: ./server}\ndeploymentUri: model\nsample: [[1]]", "modelport.yaml"))
    )

    assert spec.version == {"container": {"image": f"{tmp_path}/server"}, "deploymentUri": f"{tmp_path}/model"}
    assert spec.sample == [[1]]


@pytest.mark.parametrize("uri", ["gs://bucket/model", "/srv/model", "s3://b/m"])
def test_other_paths_stay_as_they_are(tmp_path: Path, uri: str) -> None:
    file = Path(written(tmp_path, f"container: {{image: registry/name:tag}}\ndeployment_uri: {uri}"))

    assert read_folder_spec(file).version == {"container": {"image": "registry/name:tag"}, "deployment_uri": uri}


def test_a_sample_that_is_no_list_is_a_usage_problem(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="must be a list of instances"):
        read_folder_spec(Path(written(tmp_path, "sample: {instances: []}")))

from pathlib import Path

import pytest

from modelport.core.errors import ModelCannotBeLoaded
from modelport.server.multi_model.catalogue import catalogue, size_on_disk


def test_subfolders_and_model_files_are_models(tmp_path: Path) -> None:
    (tmp_path / "churn").mkdir()
    (tmp_path / "churn" / "model.joblib").write_bytes(b"12345")
    (tmp_path / "iris.onnx").write_bytes(b"123")
    (tmp_path / "README.md").write_text("not a model")
    (tmp_path / ".cache").mkdir()
    found = catalogue(tmp_path)
    assert found == {"churn": tmp_path / "churn", "iris": tmp_path / "iris.onnx"}
    assert [size_on_disk(path) for path in found.values()] == [5, 3]


def test_a_name_that_no_url_can_hold_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "good").mkdir()
    assert list(catalogue(tmp_path)) == ["good"]
    assert "`a b` is passed over" in capsys.readouterr().err


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "iris").mkdir()
    (tmp_path / "iris.onnx").write_bytes(b"")
    with pytest.raises(ModelCannotBeLoaded, match="are called `iris`"):
        catalogue(tmp_path)


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_models_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelCannotBeLoaded):
        catalogue(tmp_path / name)

"""Which loader is taken, which file it reads, and what is said where neither is plain."""

from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.frameworks import Framework
from modelport.server.loaders.base import LoadOptions, extra, load, required
from modelport.server.loaders.device import Device
from modelport.server.loaders.files import detected, model_file
from tests.server.predicting import predictions

DOUBLING = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])


def write(folder: Path, **files: bytes) -> None:
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)


@pytest.mark.parametrize("framework", ["", "sklearn", "SCIKIT_LEARN", "scikit-learn"])
def test_a_model_is_loaded_by_its_framework_or_by_its_files(framework: str, tmp_path: Path) -> None:
    joblib.dump(DOUBLING, tmp_path / "churn.joblib")
    model = load(tmp_path, framework, LoadOptions())
    assert model.info.framework == Framework.SCIKIT_LEARN
    assert predictions(model, np.array([[3.0]])).tolist() == pytest.approx([6.0])


def test_a_file_is_as_good_as_its_folder(tmp_path: Path) -> None:
    joblib.dump(DOUBLING, tmp_path / "a.joblib")
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 3.0]), tmp_path / "b.joblib")
    assert predictions(load(tmp_path / "b.joblib", "", LoadOptions()), np.array([[3.0]])).tolist() == pytest.approx(
        [9.0]
    )


@pytest.mark.parametrize(
    ("files", "framework"),
    [
        ({"model__json": b'{"learner":{'}, Framework.XGBOOST),
        ({"model__json": b'{\n "features_info": {'}, Framework.CATBOOST),
        ({"churn__json": b'{"learner":{', "columns__json": b"[]"}, Framework.XGBOOST),
        ({"churn__txt": b"tree\nversion=v4\n", "requirements__txt": b"numpy\n"}, Framework.LIGHTGBM),
        ({"model__bin": b"CBM1..."}, Framework.CATBOOST),
        ({"model__json": b"{}"}, Framework.XGBOOST),
        ({"columns__json": b'{"learner":{', "model__joblib": b"\x80"}, Framework.SCIKIT_LEARN),
    ],
)
def test_contents_tell_where_names_do_not(files: dict[str, bytes], framework: Framework, tmp_path: Path) -> None:
    write(tmp_path, **files)
    assert detected(tmp_path) is framework


def test_versions_as_tensorflow_serving_keeps_them_are_known(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    assert detected(tmp_path) is Framework.TENSORFLOW


def test_files_of_no_framework_are_named(tmp_path: Path) -> None:
    write(tmp_path, weights__dat=b"?")
    with pytest.raises(
        ModelCannotBeLoaded, match=r"No framework is known for the files of .*: `weights.dat`"
    ) as raised:
        load(tmp_path, "", LoadOptions())
    assert raised.value.hint.startswith("Name it with --framework: TENSORFLOW, SCIKIT_LEARN")


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelCannotBeLoaded, match="nothing"):
        load(tmp_path, "", LoadOptions())
    with pytest.raises(ModelCannotBeLoaded, match="no model file of XGBOOST: nothing"):
        model_file(tmp_path, Framework.XGBOOST)


@pytest.mark.parametrize("framework", ["", "sklearn"])
def test_a_model_one_folder_deeper_is_pointed_at(framework: str, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "model.joblib").touch()
    with pytest.raises(ModelCannotBeLoaded) as raised:
        load(tmp_path, framework, LoadOptions())
    assert raised.value.hint == f"The model lies one folder deeper: name `{tmp_path / 'export'}`"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelCannotBeLoaded, match=r"`.*missing` does not exist"):
        load(tmp_path / "missing", "", LoadOptions())


def test_an_unknown_framework_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ModelCannotBeLoaded, match="`caffe` is not known") as raised:
        load(tmp_path, "caffe", LoadOptions())
    assert "LIGHTGBM" in raised.value.hint


@pytest.mark.parametrize(
    ("files", "framework", "file"),
    [
        (("model.joblib", "scaler.joblib"), Framework.SCIKIT_LEARN, "model.joblib"),
        (("model.pkl", "model.bst"), Framework.XGBOOST, "model.bst"),
        (("model.pkl",), Framework.XGBOOST, "model.pkl"),
    ],
)
def test_of_several_files_the_one_called_model_is_taken(
    files: tuple[str, ...], framework: Framework, file: str, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert model_file(tmp_path, framework) == tmp_path / file


def test_of_several_files_the_one_whose_contents_tell_is_taken(tmp_path: Path) -> None:
    write(tmp_path, model__json=b"{}", churn__json=b'{"learner":{')
    assert model_file(tmp_path, Framework.XGBOOST) in {tmp_path / "model.json", tmp_path / "churn.json"}
    write(tmp_path, requirements__txt=b"numpy", churn__txt=b"tree\nversion=v4\n")
    assert model_file(tmp_path, Framework.LIGHTGBM) == tmp_path / "churn.txt"


def test_several_files_that_could_be_it_are_named_with_the_way_to_choose(tmp_path: Path) -> None:
    for name in ("model.joblib", "model.pkl"):
        joblib.dump(DOUBLING, tmp_path / name)
    with pytest.raises(ModelCannotBeLoaded) as raised:
        load(tmp_path, "", LoadOptions())
    assert "2 model files of SCIKIT_LEARN: `model.joblib`, `model.pkl`" in raised.value.message
    assert "--model-file model.joblib" in raised.value.hint
    assert load(tmp_path, "", LoadOptions(model_file="model.pkl")).info.framework == Framework.SCIKIT_LEARN
    with pytest.raises(ModelCannotBeLoaded, match=r"has no file `other.pkl`; it has `model.joblib`, `model.pkl`"):
        model_file(tmp_path, Framework.SCIKIT_LEARN, "other.pkl")


def test_a_library_that_is_not_installed_is_named_with_its_extra() -> None:
    with pytest.raises(ModelCannotBeLoaded, match="`no_such_module`, which is not installed") as raised:
        required("no_such_module", Framework.XGBOOST)
    assert raised.value.hint == "Install it with `pip install 'modelport[xgboost]'`"


def test_what_a_library_itself_lacks_is_not_taken_for_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        required("half_installed", Framework.XGBOOST)


def test_every_framework_has_an_extra_and_a_loader() -> None:
    import tomllib

    from modelport.server.loaders.base import _MODULES

    root = Path(__file__).parents[3]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {extra(framework) for framework in Framework} <= extras.keys()
    assert _MODULES.keys() == set(Framework)


def test_a_gpu_is_refused_where_the_framework_makes_no_use_of_one(tmp_path: Path) -> None:
    joblib.dump(DOUBLING, tmp_path / "model.joblib")
    with pytest.raises(ModelCannotBeLoaded, match="Models of SCIKIT_LEARN compute on the processors"):
        load(tmp_path, "", LoadOptions(device=Device.GPU))

"""A model's files are enough: from a folder to predictions, by framework, and with code of one's own around it."""

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import pytest
from google.auth.credentials import AnonymousCredentials
from googleapiclient import discovery
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tests.e2e.platform import Platform, eventually, platform

# With the engines' tests, also what needs none: all share what was installed.
pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(900)]

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_BUILD_S = 600
_FEATURES, _CLASSES = load_iris(return_X_y=True)
_ROWS = _FEATURES[::25].tolist()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of all platforms here: each set of libraries is installed once, whatever runs them."""
    environments = tmp_path_factory.mktemp("environments")
    return {"MODELPORT_ENVIRONMENT_DIR": str(environments), "MODELPORT_CREATE_DEADLINE_S": "240"}


@pytest.fixture(scope="module")
def mp(settings: dict[str, str]) -> Iterator[Platform]:
    with platform("process", **settings) as one:
        yield one


@pytest.fixture(scope="module")
def in_containers(settings: dict[str, str], docker_engine: str) -> Iterator[Platform]:
    """A platform that makes images of this machine's own Python, as it does where no registry answers."""
    images = {"MODELPORT_RUNTIME_IMAGES": "host", "DOCKER_HOST": docker_engine}
    with platform("docker", **settings, **images) as one:
        yield one


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a classifier of scikit-learn."""
    folder = tmp_path_factory.mktemp("sklearn") / "iris"
    folder.mkdir()
    joblib.dump(LogisticRegression(max_iter=500).fit(_FEATURES, _CLASSES), folder / "model.joblib")
    return folder


def modelport(mp: Platform, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelport", "--endpoint", mp.url, "--project", "p", *arguments]
    return subprocess.run(command, env=mp.environ, capture_output=True, text=True, timeout=_BUILD_S)


def predictions(mp: Platform, name: str, instances: list) -> list:
    answer = mp.predict(name, {"instances": instances})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def test_a_folder_with_a_model_of_scikit_learn_is_deployed_by_one_command(mp: Platform, iris: Path) -> None:
    done = modelport(mp, "deploy", str(iris), "--framework", "sklearn")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installed scikit-learn" in done.stdout
    assert f"{mp.url}/v1/projects/p/models/iris:predict" in done.stdout
    expected = joblib.load(iris / "model.joblib").predict(_ROWS).tolist()
    assert predictions(mp, "models/iris", _ROWS) == expected

    (version,) = mp.get("models/iris/versions")["versions"]
    assert (version["framework"], version["runtimeVersion"]) == ("SCIKIT_LEARN", "2026.11")
    assert version["deploymentUri"] == str(iris)
    assert "container" not in version


def test_the_framework_is_recognised_and_the_libraries_are_not_installed_again(mp: Platform, iris: Path) -> None:
    done = modelport(mp, "deploy", str(iris), "--model", "again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SCIKIT_LEARN model recognised by model.joblib" in done.stdout
    assert len(predictions(mp, "models/again", _ROWS)) == len(_ROWS)


def test_a_folder_is_checked_with_the_libraries_that_it_would_have(mp: Platform, iris: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps(_ROWS))
    done = modelport(
        mp, "check", str(iris), "--driver", mp.driver, "--instances", str(rows), "--timeout", "200"
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


_TRAINING = {
    "XGBOOST": """
import xgboost
model = xgboost.XGBClassifier(n_estimators=5).fit(features, classes)
model.save_model(folder + "/model.ubj")
expected = xgboost.Booster(model_file=folder + "/model.ubj").predict(xgboost.DMatrix(rows)).tolist()
""",
    "TENSORFLOW": """
import tensorflow as tf

class Doubling(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    def serve(self, x):
        return tf.reduce_sum(2 * x, axis=1)

model = Doubling()
tf.saved_model.save(model, folder, signatures={"serving_default": model.serve})
expected = model.serve(tf.constant(rows, tf.float32)).numpy().tolist()
""",
}


@pytest.fixture
def trained(frameworks_python: Path, tmp_path: Path) -> Callable[[str], tuple[Path, list]]:
    """Train in an interpreter that has the framework; return the folder, and what it predicts there."""

    def train(framework: str) -> tuple[Path, list]:
        folder = tmp_path / "model"
        folder.mkdir()
        given = {"features": _FEATURES.tolist(), "classes": _CLASSES.tolist(), "rows": _ROWS, "folder": str(folder)}
        script = f"import json, sys; globals().update(json.load(sys.stdin))\n{_TRAINING[framework]}"
        command = [str(frameworks_python), "-c", f"{script}\nprint(json.dumps(expected))"]
        done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return folder, json.loads(done.stdout)

    return train


@pytest.mark.parametrize("framework", _TRAINING)
def test_a_model_of_another_framework_predicts_as_it_does_at_home(
    mp: Platform, trained: Callable[[str], tuple[Path, list]], framework: str
) -> None:
    predicts_as_at_home(mp, *trained(framework), framework)


@pytest.mark.parametrize("framework", ["SCIKIT_LEARN", *_TRAINING])
def test_a_model_is_served_from_a_container_all_the_same(
    in_containers: Platform, iris: Path, trained: Callable[[str], tuple[Path, list]], framework: str
) -> None:
    if framework in _TRAINING:
        folder, expected = trained(framework)
    else:
        folder, expected = iris, joblib.load(iris / "model.joblib").predict(_ROWS).tolist()
    predicts_as_at_home(in_containers, folder, expected, framework)


def predicts_as_at_home(mp: Platform, folder: Path, expected: list, framework: str) -> None:
    model = framework.lower()
    mp.post("models", {"name": model})
    operation = mp.post(f"models/{model}/versions", {"name": "v1", "deploymentUri": str(folder)})
    done = mp.wait(operation, within_s=_BUILD_S)
    assert "error" not in done, done["error"]
    assert done["response"]["framework"] == framework
    np.testing.assert_allclose(predictions(mp, f"models/{model}", _ROWS), expected, rtol=1e-6)


_ROUTINE = '''
import os

import joblib


class IrisPredictor(object):
    """As in the old service's own guide."""

    def __init__(self, model, names):
        self._model = model
        self._names = names

    def predict(self, instances, **kwargs):
        return [self._names[index] for index in self._model.predict(instances)]

    @classmethod
    def from_path(cls, model_dir):
        with open(os.path.join(model_dir, "names.txt")) as file:
            names = file.read().split()
        return cls(joblib.load(os.path.join(model_dir, "model.joblib")), names)
'''


def source_distribution(folder: Path) -> Path:
    file = folder / "iris_routine-0.1.tar.gz"
    setup = 'from setuptools import setup\nsetup(name="iris_routine", version="0.1", packages=["iris_routine"])\n'
    information = "Metadata-Version: 1.0\nName: iris_routine\nVersion: 0.1\n"
    contents = {
        "setup.py": setup,
        "PKG-INFO": information,
        "iris_routine/__init__.py": "",
        "iris_routine/prediction.py": _ROUTINE,
    }
    with tarfile.open(file, "w:gz") as archive:
        for path, text in contents.items():
            entry = tarfile.TarInfo(f"iris_routine-0.1/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return file


def test_a_custom_prediction_routine_works_through_googles_client(mp: Platform, iris: Path, tmp_path: Path) -> None:
    names = load_iris().target_names
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    (model_dir / "model.joblib").write_bytes((iris / "model.joblib").read_bytes())
    (model_dir / "names.txt").write_text(" ".join(names))
    body = {
        "name": "v1",
        "deploymentUri": str(model_dir),
        "machineType": "mls1-c1-m2",
        "runtimeVersion": "2026.11",
        "pythonVersion": _PYTHON,
        "packageUris": [str(source_distribution(tmp_path))],
        "predictionClass": "iris_routine.prediction.IrisPredictor",
    }
    with discovery.build(
        "ml",
        "v1",
        static_discovery=True,
        client_options={"api_endpoint": mp.url},
        credentials=AnonymousCredentials(),
    ) as ml:
        models = ml.projects().models()
        models.create(parent="projects/p", body={"name": "routine"}).execute()
        operation = models.versions().create(parent="projects/p/models/routine", body=body).execute()
        operations = ml.projects().operations()
        done = eventually(
            lambda: (now := operations.get(name=operation["name"]).execute()).get("done") and now,
            within_s=_BUILD_S,
            what="the version is not ready",
        )
        assert "error" not in done, done["error"]["message"]
        shown = models.versions().get(name="projects/p/models/routine/versions/v1").execute()
        assert {name: shown[name] for name in body if name != "name"} == {n: v for n, v in body.items() if n != "name"}
        answer = ml.projects().predict(name="projects/p/models/routine", body={"instances": _ROWS}).execute()
    expected = joblib.load(iris / "model.joblib").predict(_ROWS)
    assert answer == {"predictions": [str(names[index]) for index in expected]}


def test_libraries_that_cannot_be_installed_fail_the_version_with_the_installers_words(
    mp: Platform, iris: Path, tmp_path: Path
) -> None:
    package = tmp_path / "old_code-1.0-py3-none-any.whl"
    with zipfile.ZipFile(package, "w") as archive:
        information = "Metadata-Version: 2.1\nName: old-code\nVersion: 1.0\nRequires-Dist: numpy<2\n"
        archive.writestr("old_code-1.0.dist-info/METADATA", information)
        archive.writestr("old_code-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("old_code-1.0.dist-info/RECORD", "")
    mp.post("models", {"name": "broken"})
    body = {"name": "v1", "deploymentUri": str(iris), "packageUris": [str(package)]}
    done = mp.wait(mp.post("models/broken/versions", body), within_s=_BUILD_S)
    message = done["error"]["message"]
    assert "old-code==1.0" in message, message
    reasons = {detail.get("reason") for detail in done["error"]["details"]}
    assert "ENVIRONMENT_BUILD_FAILED" in reasons

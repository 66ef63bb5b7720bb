"""Versions at training against versions here: compared, told in one line, and recognised where a load fails."""

import bz2
import gzip
import lzma
import platform
import sys
import zlib
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import joblib
import numpy
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression

from modelport.core.errors import ModelCannotBeLoaded
from modelport.core.replicas import Exit, LogLine
from modelport.doctor.evidence import Evidence, Phase
from modelport.doctor.rules.imports import library_version_skew
from modelport.doctor.rules.model_files import pickle_main_class
from modelport.server.loaders.base import LoadOptions, load
from modelport.server.model import LibraryVersion
from modelport.server.notices import complaint
from modelport.server.skew import compared, differing, noted_beside, pins, report


@pytest.mark.parametrize(
    ("trained", "serving", "same"),
    [
        ("1.2.0", "1.2.0", True),
        ("1.2.0", "1.2.1", False),
        ("1.2.0", "1.9.1", False),
        ("1.2", "1.2.0", True),
        ("1.2.0", "1.2", True),
        ("4", "4.7.0", True),
        ("4", "40.1", False),
        ("3", "4.7.0", False),
        ("2.8.0+cpu", "2.8.0", True),
        ("1.10.0", "1.1.0", False),
        ("", "1.0", True),
        ("1.0", "", True),
    ],
)
def test_versions_differ_as_far_as_they_are_known(trained: str, serving: str, same: bool) -> None:
    assert (differing([LibraryVersion("library", trained, serving)]) == ()) is same


def test_patch_releases_of_python_do_not_differ() -> None:
    assert differing([LibraryVersion("Python", "3.11.2", "3.11.9")]) == ()
    assert differing([LibraryVersion("Python", "3.10.2", "3.11.9")]) != ()


def test_the_report_names_libraries_and_versions_in_one_line() -> None:
    assert report([LibraryVersion("numpy", "2.0.0", "2.0.0")]) == ""
    assert report([LibraryVersion("scikit-learn", "1.2.0", "1.9.1")]) == (
        "warning: trained with scikit-learn 1.2.0, serving with 1.9.1: predictions may differ;"
        " install scikit-learn==1.2.0, or train again"
    )
    several = [LibraryVersion("scikit-learn", "1.2.0", "1.9.1"), LibraryVersion("Python", "3.9", "3.11.4")]
    assert report(several) == (
        "warning: trained with scikit-learn 1.2.0, Python 3.9, serving with scikit-learn 1.9.1, Python 3.11.4:"
        " predictions may differ; install scikit-learn==1.2.0, or train again"
    )


def test_pins_are_read_and_ranges_are_not() -> None:
    text = """
    # of the training
    scikit_learn==1.2.0   # pinned
    NumPy == 1.26.4
    xgboost[plotting]===2.0.3 ; python_version > "3.8"
    pandas>=2
    joblib
    -r other.txt
    git+https://example.com/package.git@1.0==2
    """
    assert pins(text) == {"scikit-learn": "1.2.0", "numpy": "1.26.4", "xgboost": "2.0.3"}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("MLmodel", "flavors:\n  python_function:\n    python_version: 3.8.18\n"),
        ("python_env.yaml", "python: 3.8.18\nbuild_dependencies:\n- pip==24\n"),
        ("conda.yaml", "dependencies:\n- python=3.8.18\n- pip\n"),
    ],
)
def test_the_python_of_the_training_is_read_from_what_mlflow_writes(file: str, text: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(text)
    assert noted_beside(tmp_path) == {"Python": "3.8.18"}
    assert compared(tmp_path, ()) == (LibraryVersion("Python", "3.8.18", platform.python_version()),)


def test_what_is_pinned_and_not_installed_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==1.0.0\nno-such-library==1.0\n")
    assert compared(tmp_path, ("scikit-learn",), {"scikit-learn": "1.0.0"}) == (
        LibraryVersion("scikit-learn", "1.0.0", sklearn.__version__),
        LibraryVersion("numpy", "1.0.0", numpy.__version__),
    )


def older(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = "1.2.0") -> Path:
    """Store an estimator as an older scikit-learn would have."""
    with monkeypatch.context() as patched:
        patched.setattr("sklearn.base.__version__", version)
        joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), folder / "model.pkl")
    return folder / "model.pkl"


def test_an_older_pickle_is_served_and_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    older(tmp_path, monkeypatch)
    model = load(tmp_path, "", LoadOptions())
    assert LibraryVersion("scikit-learn", "1.2.0", sklearn.__version__) in model.info.libraries
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: trained with scikit-learn 1.2.0, serving with {sklearn.__version__}")


def test_the_same_version_is_not_worth_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / "model.pkl")
    load(tmp_path, "", LoadOptions())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3)])
def test_a_pickle_that_fails_for_its_age_is_told_with_both_versions(
    compress: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = older(tmp_path, monkeypatch, "0.21.3")
    # The module was private, then renamed: what an old pickle asks for is not there.
    data = file.read_bytes().replace(b"sklearn.linear_model._logistic", b"sklearn.linear_model.logistik_")
    assert b"logistik_" in data
    file.write_bytes(_compressed(data, compress))

    with pytest.raises(ModelCannotBeLoaded) as raised:
        load(tmp_path, "", LoadOptions())

    assert "No module named 'sklearn.linear_model.logistik_'" in raised.value.message
    assert f"from version 0.21.3 when using version {sklearn.__version__}" in raised.value.message
    assert "pip install scikit-learn==0.21.3" in raised.value.hint
    found = library_version_skew(_died(capsys.readouterr().err + complaint(raised.value)))
    assert found is not None
    assert "scikit-learn==0.21.3" in str(found.remedy)


def test_a_class_of_the_training_script_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04\x8c\x08__main__\x8c\x07MyModel\x93.")
    with pytest.raises(ModelCannotBeLoaded, match="MyModel") as raised:
        load(tmp_path, "", LoadOptions())
    assert pickle_main_class(_died(capsys.readouterr().err + complaint(raised.value))) is not None


def _compressed(data: bytes, compress: object) -> bytes:
    kind = compress[0] if isinstance(compress, tuple) else compress
    return {0: bytes, 3: zlib.compress, "gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[kind](data)


def _died(text: str) -> Evidence:
    """What the doctor sees of a server that ended with these words."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    lines = tuple(LogLine(now, "stderr", line) for line in text.splitlines())
    return Evidence("projects/p/models/m/versions/v", Phase.START, "process", now, 1.0, exits=(Exit(1),), log=lines)

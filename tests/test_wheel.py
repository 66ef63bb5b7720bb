"""Our own wheel: what runs is what is installed from it, and the same files give the same bytes."""

import csv
import hashlib
import io
import subprocess
import sys
import venv
import zipfile
from base64 import urlsafe_b64encode
from email.parser import Parser
from pathlib import Path

import pytest

from modelport import __version__
from modelport.wheel import write_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that has the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--disable-pip-version-check", "--quiet", str(wheel)], check=True, timeout=60)
    return python


def run(python: Path, program: str) -> str:
    return subprocess.run(
        [python, "-I", "-c", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def test_the_same_files_give_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    again = write_wheel(tmp_path)

    assert again.name == wheel.name == f"modelport-{__version__}-py3-none-any.whl"
    assert again.read_bytes() == wheel.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [again.name]
    with zipfile.ZipFile(wheel) as archive:
        # Both were written within one tick of a zip file's clock.
        assert {(one.date_time, one.external_attr) for one in archive.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), 0o100644 << 16)
        }


def test_it_runs_where_nothing_else_is_installed(installed: Path) -> None:
    assert run(installed, "import modelport.server; print(modelport.__version__)") == __version__
    assert (installed.parent / "modelport-server").is_file()


def test_what_was_installed_writes_the_wheel_that_it_came_from(wheel: Path, installed: Path, tmp_path: Path) -> None:
    written = run(
        installed, f"import pathlib, modelport.wheel as w; print(w.write_wheel(pathlib.Path({str(tmp_path)!r})))"
    )

    with zipfile.ZipFile(written) as again, zipfile.ZipFile(wheel) as first:
        assert {name: again.read(name) for name in again.namelist()} == {
            name: first.read(name) for name in first.namelist()
        }


def test_every_file_is_recorded_with_its_digest(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        record = next(name for name in names if name.endswith("/RECORD"))
        rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
        digests = {name: urlsafe_b64encode(hashlib.sha256(archive.read(name)).digest()).decode() for name in names}

    assert [row[0] for row in rows] == names
    for name, digest, size in rows:
        assert (name == record) is (digest == size == "")
        if digest:
            assert digest == f"sha256={digests[name].rstrip('=')}"
    assert "modelport/server/main.py" in names
    assert not [name for name in names if "cache" in Path(name).parent.name and name.endswith((".pyc", ".db"))]


def test_its_metadata_names_what_each_extra_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())

    required = metadata.get_all("Requires-Dist", [])
    assert metadata["Version"] == __version__
    assert {"server", "platform"} <= set(metadata.get_all("Provides-Extra", []))
    assert [one for one in required if one.startswith("pyyaml")] == ["pyyaml>=6.0"]
    assert next(one for one in required if one.startswith("uvloop")).endswith(
        "sys_platform != 'win32' and extra == \"server\""
    )

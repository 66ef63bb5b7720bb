"""`modelport init` writes a folder that is complete, says what to do next, and never overwrites anything."""

import ast
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from modelport import __version__
from modelport.cli.init import TEMPLATES
from modelport.cli.sources import plan
from modelport.cli.specs import find_spec, read_folder_spec
from modelport.wheel import write_wheel
from tests.cli.conftest import Ran

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "modelport" / "templates"
EXAMPLES = ROOT / "examples"
WHEEL = f"modelport-{__version__}-py3-none-any.whl"
ALWAYS = {".dockerignore", "Dockerfile", "README.md", "modelport.yaml", "requirements.txt"}

Cli = Callable[..., Ran]


def test_without_a_template_they_are_listed(cli: Cli) -> None:
    ran = cli("init")

    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == ["TEMPLATE", *TEMPLATES]
    assert {path.name for path in SOURCES.iterdir()} == set(TEMPLATES)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_folder_is_written_with_everything_that_a_check_needs(cli: Cli, tmp_path: Path, template: str) -> None:
    folder = tmp_path / "new" / "iris"

    ran = cli("init", template, str(folder), "--output", "json")

    assert ran.code == 0
    document = json.loads(ran.out)
    files = set(document["files"])
    assert files == {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files > ALWAYS
    assert [name for name in files if name.startswith("test_") and name.endswith(".py")]
    assert (WHEEL in files) is (template not in ("flask", "fastapi"))
    assert document["next"] == f"modelport check {folder}"
    spec_file = find_spec(folder)
    assert spec_file is not None
    spec = read_folder_spec(spec_file)
    assert spec.sample
    assert plan(str(folder), spec, driver="docker").build == folder
    for path in folder.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_the_wheel_is_named_where_it_is_installed(cli: Cli, tmp_path: Path) -> None:
    cli("init", "sklearn", str(tmp_path))

    assert (tmp_path / "requirements.txt").read_text() == f"./{WHEEL}[sklearn]\n"
    assert (tmp_path / WHEEL).read_bytes() == write_wheel(tmp_path / "again").read_bytes()


def test_every_extra_that_a_template_installs_exists(tmp_path: Path, cli: Cli) -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for template in TEMPLATES:
        requirements = (SOURCES / template / "requirements.txt").read_text()
        if "{wheel}" in requirements:
            assert requirements.partition("{wheel}[")[2].partition("]")[0] in extras, template


def test_the_folder_is_named_after_the_template_by_default(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    ran = cli("init", "flask")

    assert ran.out.startswith("wrote flask:\n  .dockerignore\n  Dockerfile\n")
    assert ran.out.endswith("\n\nnext: modelport check flask\n")
    assert (tmp_path / "flask" / "server.py").is_file()


@pytest.mark.parametrize("existing", ["Dockerfile", "model"])
def test_nothing_is_overwritten(cli: Cli, tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")

    ran = cli("init", "predictor", str(tmp_path))

    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(existing, "mine")]


def test_other_files_in_the_folder_are_left_alone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    assert cli("init", "flask", str(tmp_path)).code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("arguments", [("django",), ("flask", "file"), ("flask", "file/in/it")])
def test_what_cannot_be_written_is_refused_in_words(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")

    ran = cli("init", *arguments)

    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("template", ["flask", "fastapi"])
def test_servers_are_those_of_the_examples(template: str) -> None:
    for name in ("server.py", "train.py", "Dockerfile", "requirements.txt"):
        assert (SOURCES / template / name).read_bytes() == (EXAMPLES / f"{template}-iris" / name).read_bytes()

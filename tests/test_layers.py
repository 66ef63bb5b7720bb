"""The layers point one way, modules stay small, and names say what they are."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "modelport"

# What each area may import beside itself, `settings` for composition only.
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "store": {"core"},
    "artifacts": {"core"},
    "drivers": {"core"},
    "gateway": {"core"},
    "doctor": {"core"},
    "server": {"core"},
    "control": {"core", "store", "artifacts", "drivers", "gateway", "doctor"},
    "api": {"core", "store", "drivers", "gateway", "control"},
    "sdk": {"core", "settings"},
    "cli": {"core", "sdk", "settings", "control_plane", "check", "doctor", "server", "wheel", "engine_socket"},
    "settings": set(),
    "engine_socket": set(),
    "data_dir": {"core"},
    "wheel": set(),
    "check": {
        "core",
        "artifacts",
        "drivers",
        "gateway",
        "doctor",
        "control",
        "api",
        "settings",
        "build",
        "engine_socket",
    },
    "build": {
        "core",
        "store",
        "artifacts",
        "drivers",
        "gateway",
        "control",
        "api",
        "settings",
        "data_dir",
        "wheel",
        "engine_socket",
    },
    "control_plane": {"core", "drivers", "api", "settings", "data_dir", "build"},
    "__main__": {"cli"},
    "__init__": set(),
}
# What `modelport init` writes is a program of its own, and no part of the package.
MODULES = sorted(path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] != "templates")


def area(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_areas(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "modelport" else [f"modelport.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("modelport.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    if area(path) == "store" and "migrations" in path.parts:
        return
    assert imported_areas(path) - {area(path), "__version__"} <= ALLOWED[area(path)]


def test_the_server_sees_of_the_core_what_a_model_container_needs_and_no_more() -> None:
    allowed = {"modelport.core.errors", "modelport.core.expansion", "modelport.core.frameworks"}
    for path in (path for path in MODULES if area(path) == "server"):
        named = {
            node.module
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module
        }
        assert {name for name in named if name.startswith("modelport.core")} <= allowed, path


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_has_at_most_500_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "common", "misc", "manager"}
    assert not [path for path in MODULES if path.stem in drawers]


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name != "__init__.py"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_module_says_its_duty_first(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":", "::"))

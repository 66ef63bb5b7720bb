"""What pip was told of indexes, in uv's words; and the real uv, which finds what only pip was told of."""

import os
import sys
from pathlib import Path

import anyio
import pytest

from modelport.core.environments import Environment
from modelport.drivers.package_index import pip_options, uv_variables
from modelport.drivers.python_environment import build
from tests.conformance.environments import package


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder whose pip.conf is the only one."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "nowhere"))
    return tmp_path


def environ_of(home: Path, **variables: str) -> dict[str, str]:
    return {"HOME": str(home), "XDG_CONFIG_DIRS": str(home / "etc"), **variables}


def configure(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pip.conf").write_text(text)


# /etc/pip.conf of the machine counts too, so only what it cannot know is asked for.
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"PIP_INDEX_URL": "https://a.invalid/simple"}, {"UV_DEFAULT_INDEX": "https://a.invalid/simple"}),
        (
            {"PIP_EXTRA_INDEX_URL": "https://a.invalid https://b.invalid"},
            {"UV_INDEX": "https://a.invalid https://b.invalid", "UV_INDEX_STRATEGY": "unsafe-best-match"},
        ),
        ({"PIP_FIND_LINKS": "/usr https://a.invalid/x"}, {"UV_FIND_LINKS": "/usr,https://a.invalid/x"}),
        ({"PIP_FIND_LINKS": "/not/there file:///not/there file:///usr"}, {"UV_FIND_LINKS": "file:///usr"}),
        ({"PIP_NO_INDEX": "on"}, {"UV_NO_INDEX": "1"}),
        ({"PIP_TRUSTED_HOST": "a b:81"}, {"UV_INSECURE_HOST": "a b:81"}),
        ({"PIP_CERT": "/x.pem", "PIP_PROXY": "http://p:1"}, {"SSL_CERT_FILE": "/x.pem", "ALL_PROXY": "http://p:1"}),
        ({"PIP_DEFAULT_TIMEOUT": "90"}, {"UV_HTTP_TIMEOUT": "90"}),
        ({"PIP_DEFAULT_TIMEOUT": "90", "PIP_TIMEOUT": "20"}, {"UV_HTTP_TIMEOUT": "20"}),
    ],
)
def test_a_variable_of_pip_is_one_of_uv(home: Path, given: dict[str, str], expected: dict[str, str]) -> None:
    found = uv_variables(environ_of(home, **given))
    assert {name: found.get(name) for name in expected} == expected


def test_what_uv_itself_was_told_stays(home: Path) -> None:
    environ = environ_of(home, PIP_INDEX_URL="https://a.invalid", UV_DEFAULT_INDEX="https://b.invalid")
    assert "UV_DEFAULT_INDEX" not in uv_variables(environ)


@pytest.mark.parametrize("given", [{"PIP_NO_INDEX": "0"}, {"PIP_TIMEOUT": "1.5"}, {"PIP_FIND_LINKS": "/not/there"}])
def test_what_uv_does_not_take_is_not_said(home: Path, given: dict[str, str]) -> None:
    names = {"UV_NO_INDEX", "UV_HTTP_TIMEOUT", "UV_FIND_LINKS"}
    environ = environ_of(home, PIP_CONFIG_FILE=os.devnull, **given)
    assert not names & uv_variables(environ).keys()


def test_a_later_file_wins_and_variables_win_over_files(home: Path) -> None:
    configure(home / "etc/pip", "[global]\nindex-url = https://etc.invalid\nproxy = http://etc.invalid\n")
    configure(home / ".config/pip", "[global]\nindex_url = https://home.invalid\ncert = /home.pem\n")
    configure(home / "own", "[install]\nclient-cert = /own.pem\n")
    environ = environ_of(home, PIP_CONFIG_FILE=str(home / "own/pip.conf"), PIP_CERT="/variable.pem")
    found = pip_options(environ)
    assert found["index-url"] == "https://home.invalid"
    assert found["proxy"] == "http://etc.invalid"
    assert (found["cert"], found["client-cert"]) == ("/variable.pem", "/own.pem")


def test_the_section_of_installing_wins(home: Path) -> None:
    configure(home / ".pip", "[install]\nproxy = http://install.invalid\n")
    configure(home / ".config/pip", "[global]\nproxy = http://global.invalid\n[freeze]\nproxy = http://x.invalid\n")
    assert pip_options(environ_of(home))["proxy"] == "http://install.invalid"


def test_a_file_that_is_none_is_passed_over(home: Path) -> None:
    configure(home / ".pip", "index-url = https://a.invalid\n")
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_bytes(b"\xff\xfe[global]")
    assert pip_options(environ_of(home, PIP_PROXY="http://p:1"))["proxy"] == "http://p:1"


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_real_installer_finds_a_package_where_only_pip_was_told_of_it(home: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    package(wheels, "tiny_thing")
    configure(home / ".config/pip", f"[global]\nfind-links = {wheels}\nno-index = true\n")
    unsaid = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environ = {**unsaid, **environ_of(home), "UV_CACHE_DIR": str(tmp_path / "cache")}
    wanted = Environment("", ("tiny-thing==1.0",))
    folder = await build(tmp_path / "environments", wanted, python=Path(sys.executable), environ=environ)
    command = [folder / ".venv/bin/python", "-c", "import tiny_thing; print(tiny_thing.__doc__)"]
    assert (await anyio.run_process(command)).stdout == b"tiny_thing\n"

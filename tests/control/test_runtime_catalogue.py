"""The catalogue's file: what it means, and what is said of one that means nothing."""

from pathlib import Path

import pytest

from modelport.control.runtime_catalogue import SHIPPED, library, read_catalogue
from modelport.core.errors import FailedPrecondition
from modelport.core.frameworks import Framework

GOOD = """
[[runtime]]
name = "b"
python = ["3.11", "3.12"]
server = ["numpy==2.4.6", "orjson==3.13.0"]
[runtime.frameworks]
SCIKIT_LEARN = ["scikit-learn==1.9.1", "NumPy==2.3.0"]

[[runtime]]
name = "a"
python = ["3.11"]
server = ["numpy==2.0.0"]
"""


def read(folder: Path, text: str):
    file = folder / "runtimes.toml"
    file.write_text(text)
    return read_catalogue(file)


def test_the_first_is_the_newest_and_a_framework_wins_over_the_server(tmp_path: Path) -> None:
    catalogue = read(tmp_path, GOOD)
    assert [version.name for version in catalogue.versions] == ["b", "a"]
    newest = catalogue.find("")
    assert newest is catalogue.newest is catalogue.find("b")
    assert newest.pins(Framework.SCIKIT_LEARN) == ("NumPy==2.3.0", "orjson==3.13.0", "scikit-learn==1.9.1")
    assert newest.pins(None) == ("numpy==2.4.6", "orjson==3.13.0")
    assert catalogue.find("c") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("runtime = 1", "`runtime` is missing"),
        ("", "`runtime` is missing"),
        ("[[runtime", "Expected"),
        ('[[runtime]]\nname = "../x"', "has the name '../x'"),
        (GOOD.replace('"3.11", ', '"three", '), "runtime `b`: `python` has 'three'"),
        (GOOD.replace("orjson==3.13.0", "orjson>=3"), "`server` has 'orjson>=3'; wanted exact pins"),
        (GOOD.replace("orjson==3.13.0", "--index-url=http://x"), "wanted exact pins"),
        (GOOD.replace("SCIKIT_LEARN", "SCIKITS"), "`frameworks` has `SCIKITS`"),
        (GOOD.replace('name = "a"', 'name = "b"'), "has `b` twice"),
    ],
)
def test_what_is_no_catalogue_is_refused_with_the_entry(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(FailedPrecondition, match=problem) as caught:
        read(tmp_path, text)
    assert "runtimes.toml" in caught.value.message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="cannot be read"):
        read_catalogue(tmp_path / "absent.toml")


def test_the_shipped_catalogue_pins_each_library_once() -> None:
    for version in read_catalogue(SHIPPED).versions:
        for pins in (version.server, *version.frameworks.values()):
            names = [library(pin) for pin in pins]
            assert len(names) == len(set(names))

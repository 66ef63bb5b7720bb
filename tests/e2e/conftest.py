"""A platform on the process driver, made anew for each test that asks for one."""

from collections.abc import Iterator

import pytest

from tests.e2e.checked import Checked
from tests.e2e.platform import IMAGES, Platform, platform


@pytest.fixture
def mp() -> Iterator[Platform]:
    with platform() as one:
        yield one


@pytest.fixture
def echo() -> str:
    """The image folder of a server that answers with its instances."""
    return str(IMAGES / "echo")


_CHECKED = pytest.StashKey[Checked]()


@pytest.fixture(scope="session")
def checked(request: pytest.FixtureRequest) -> Checked:
    """The checks of the corpus, made once in a session."""
    made = request.config.stash[_CHECKED] = Checked(request)
    return made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell how long the checks took: a typical answer is to come within 10 seconds."""
    for engine, checks in config.stash[_CHECKED].by_engine.items() if _CHECKED in config.stash else ():
        took = sorted(((one.took_s, one.case.name) for one in checks.outcomes.values() if one.case.code), reverse=True)
        if took:
            median = took[len(took) // 2][0]
            slowest = ", ".join(f"{name} {seconds:.0f} s" for seconds, name in took[:8])
            terminalreporter.write_line(
                f"checks of {len(took)} broken containers on {engine}: {checks.took_s:.0f} s in all, several at a time;"
                f" median {median:.1f} s; slowest: {slowest}"
            )

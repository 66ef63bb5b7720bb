"""A platform on the process driver, made anew for each test that asks for one."""

from collections.abc import Iterator

import pytest

from tests.e2e.platform import IMAGES, Platform, platform


@pytest.fixture
def mp() -> Iterator[Platform]:
    with platform() as one:
        yield one


@pytest.fixture
def echo() -> str:
    """The image folder of a server that answers with its instances."""
    return str(IMAGES / "echo")

"""Fixtures for all tests: the event loop they run on, and what to do where an engine is missing."""

import os

import pytest

pytest_plugins = ["tests.engines.fixtures"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def missing(reason: str) -> None:
    """Skip at a desk, fail in CI: a machine of CI installs what the tests need."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI must have it)", pytrace=False)
    pytest.skip(reason)

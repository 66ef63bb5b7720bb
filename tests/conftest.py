"""Fixtures for all tests: the event loop they run on, and what to do where an engine is missing."""

import os

import hypothesis
import pytest

pytest_plugins = [
    "tests.engines.fixtures",
    "tests.model_servers.kserve",
    "tests.model_servers.mlflow",
    "tests.model_servers.torchserve",
    "tests.model_servers.triton",
    "tests.server.frameworks_environment",
]

# At a desk every run looks for something new; what CI decides on must be the same examples for everybody.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI") == "true":
    hypothesis.settings.load_profile("ci")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several processes begin with the files that take long: one that comes last would keep the others waiting."""
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in long)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def missing(reason: str) -> None:
    """Skip at a desk, fail in CI: a machine of CI installs what the tests need."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI must have it)", pytrace=False)
    pytest.skip(reason)

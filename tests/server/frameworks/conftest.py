"""These tests are collected only by a Python that has the frameworks; `tests/server/test_frameworks.py` starts one."""

import os
from importlib.util import find_spec

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported by whichever test comes first

collect_ignore_glob = [] if find_spec("tensorflow") else ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    # MLflow warns of the type hints of its own classes while it is imported.
    config.addinivalue_line("filterwarnings", "ignore:.*Any type hint is inferred as AnyType:UserWarning")

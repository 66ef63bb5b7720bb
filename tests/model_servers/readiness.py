"""Waits until a model server that was started is ready, or says why it is not."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import httpx
import pytest

_START_S = 120


def until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the health route answers 200; fail with the end of the log where the process ends, or in time."""
    deadline = time.monotonic() + _START_S
    while not _ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{url} is not ready:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False

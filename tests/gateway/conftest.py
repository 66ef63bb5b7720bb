"""A real HAProxy in a folder of its own, ended after the test; skipped (failed in CI) where there is none."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelport.core.errors import FailedPrecondition
from modelport.gateway.config import GatewayConfig
from modelport.gateway.supervise import find_binary
from tests.conftest import missing
from tests.ports import free_port


def pids_below(directory: Path) -> list[int]:
    """Return the processes that run in the folder; a gateway's HAProxy does."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").resolve() == directory:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture
def config() -> Iterator[GatewayConfig]:
    # MODELPORT_HAPROXY lets the whole suite run over another HAProxy.
    binary = os.environ.get("MODELPORT_HAPROXY", "")
    try:
        find_binary(binary)
    except FailedPrecondition as error:
        missing(error.message)
    # Not tmp_path: the paths of Unix sockets must be short.
    directory = Path(tempfile.mkdtemp(prefix="gw-")).resolve()
    try:
        yield GatewayConfig(
            directory=directory / "gateway",
            listen=f"127.0.0.1:{free_port()}",
            api_socket=directory / "api.sock",
            slots=8,
            binary=binary,
        )
    finally:
        for pid in pids_below(directory / "gateway"):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(directory)

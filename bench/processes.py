"""Processes of a measurement: started here, ended by their pid."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_PATIENCE_S = 20.0


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> None:
    """Return when somebody listens on the port of loopback."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def haproxy_in(folder: Path) -> psutil.Process:
    """Return the HAProxy that runs in the folder: nobody's child, and known by that alone."""
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):  # it may end while it is looked at
            if process.info["name"] == "haproxy" and Path(process.cwd()) == folder:
                return process
    raise RuntimeError(f"No HAProxy runs in {folder}")


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU time that the process has used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def child(
    command: list[str], *, folder: Path, environ: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the foreground while the body runs; its output is kept in the folder."""
    with (folder / "output.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

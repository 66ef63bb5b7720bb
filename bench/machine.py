"""The machine that the figures are of, and the programs that measuring needs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from modelport.gateway.supervise import find_binary


class ToolMissing(Exception):
    """A program that a part needs is not installed."""

    def __init__(self, tool: str) -> None:
        super().__init__(f"`{tool}` is not on PATH, and this part measures with it")
        self.hint = (
            f"Install it: `apt-get install wrk nginx-light` on Debian and Ubuntu, or leave out what needs {tool}"
        )


@dataclass(frozen=True)
class Machine:
    """What was measured on. `load` is the one-minute load average when the run began."""

    cores: int
    processor: str
    kernel: str
    python: str
    haproxy: str
    load: float

    def __str__(self) -> str:
        return (
            f"{self.cores} cores ({self.processor}), Linux {self.kernel}, Python {self.python},"
            f" HAProxy {self.haproxy}, load {self.load:.1f} at the start"
        )


def machine() -> Machine:
    """Return this machine."""
    cpu = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.*)$", cpu.read_text() if cpu.exists() else "", re.MULTILINE)
    said = subprocess.run([find_binary(""), "-v"], capture_output=True, text=True, timeout=10, check=True).stdout
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=model[1] if model else platform.machine(),
        kernel=platform.release(),
        python=platform.python_version(),
        haproxy=said.split()[2],
        load=os.getloadavg()[0],
    )


def tool(name: str) -> str:
    """Return the path of a program; Debian keeps nginx where an ordinary user's PATH does not lead."""
    if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return found
    raise ToolMissing(name)

"""Facts of this machine that no engine tells, such as free disk space and GPUs, in the words of images."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_NVIDIA_SMI_S = 3.0
_CDI_FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))
_HOOK = "nvidia-container-runtime-hook"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def architecture(machine: str) -> str:
    """Return an architecture as images call it; `machine` is as the kernel or as an image calls it."""
    return _MACHINES.get(machine, machine)


def disk_free(path: Path) -> int | None:
    """Return the bytes that this user may still write where `path` lies, or will lie; None where nobody can tell."""
    for folder in (path, *path.parents):
        try:
            usage = os.statvfs(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return usage.f_bavail * usage.f_frsize
    return None


def gpus() -> tuple[str, ...]:
    """Return one line for each GPU of NVIDIA; takes up to three seconds where the driver hangs."""
    if program := shutil.which("nvidia-smi"):
        try:
            listed = subprocess.run(
                [program, "-L"], capture_output=True, text=True, errors="replace", timeout=_NVIDIA_SMI_S, check=True
            )
        except (OSError, subprocess.SubprocessError):  # the tool is there, the kernel module is not or hangs
            pass
        else:
            return tuple(line.strip() for line in listed.stdout.splitlines() if line.startswith("GPU "))[:64]
    return tuple(sorted(str(device) for device in Path("/dev").glob("nvidia[0-9]*")))


def has_gpu_runtime() -> bool:
    """Return whether what hands GPUs of NVIDIA to containers is installed on this machine."""
    specifications = (file for folder in _CDI_FOLDERS for file in folder.glob("*nvidia*"))
    return shutil.which(_HOOK) is not None or any(specifications)

"""Child processes as the operating system knows them: how they ended, and that they end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the parent is gone; where it cannot (not Linux), nothing happens."""
    dying_with(parent)()


def dying_with(parent: int) -> Callable[[], None]:
    """Return `die_with_parent` with all found that it needs, so that it may be called between fork and exec.

    The kernel takes the thread that forks for the parent.
    """
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before
            os.kill(os.getpid(), signal.SIGKILL)

    return bind


def ended() -> list[tuple[int, int]]:
    """Return the processes that have ended since the last call, with their status."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        found.append((pid, status))


def end_of(status: int) -> tuple[int, str]:
    """Return the exit code that stands for a `waitpid` status, and the status in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code, f"ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = f"signal {-code}"
    return 128 - code, f"was killed by {name}"


def usual_cause(code: int) -> str:
    """Return, to be added to how a process ended, what that is mostly due to."""
    return " (often: out of memory)" if code == 128 + signal.SIGKILL else ""

"""One run of a model server as a child process: started, waited for, and ended with all that it has started itself."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
from anyio import to_thread

from modelport.server.child_processes import dying_with, end_of

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127


class NotStarted(Exception):
    """A program that cannot be run: the code by which shells say so, and why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(code, why)
        self.code = code
        self.why = why


class Child:
    """A process that leads a group of its own; the kernel kills it where the listener is gone without a word.

    Attributes:
        pid: its id.
        end: how it ended: the exit code that stands for it, and in words; None while it runs.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], folder: Path | None = None) -> None:
        """Start it, in a folder; from the main thread, as the kernel takes the thread that starts it for its parent.

        Raises:
            NotStarted: there is no such program, or it cannot be run.
        """
        try:
            self._process = subprocess.Popen(
                command,
                env=environ,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                process_group=0,
                # Looked up beforehand: other threads may hold any lock while this process is forked.
                preexec_fn=dying_with(os.getpid()),
            )
        except OSError as error:
            raise NotStarted(
                _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE,
                f"could not be started: `{command[0]}`: {error.strerror or error} (`command` is run by no shell)",
            ) from error
        self.pid = self._process.pid
        self.end: tuple[int, str] | None = None
        self._ended = anyio.Event()

    async def run(self) -> tuple[int, str]:
        """Return how it ended, when it has; what it left behind of its group is killed then. To be called once."""
        # A thread, and for this process only: whoever asked for the end of any child would take the ends of the
        # processes that work for Python steps.
        await to_thread.run_sync(self._wait, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
        self.end = self._reaped()
        self._ended.set()
        return self.end

    async def ended(self) -> None:
        """Return when it has ended."""
        await self._ended.wait()

    def signal(self, number: int) -> None:
        """Send it a signal, where it still runs."""
        if self.end is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and its whole group at once."""
        if self.end is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Kill it, and wait for that; where no event loop runs any more."""
        if self.end is None:
            self.end = self._reaped()

    def _reaped(self) -> tuple[int, str]:
        self.kill()  # its group: until it is reaped its id cannot be another's, nor that of its group
        _, status = os.waitpid(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return end_of(status)

    def _wait(self) -> None:
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

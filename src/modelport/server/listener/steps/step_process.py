"""A process that makes the calls of a step, as its listener sees it: started, asked, and replaced when it has ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from modelport.core.errors import Error, Internal, ModelCannotBeLoaded, StepTimeout
from modelport.server.child_processes import usual_cause
from modelport.server.cpu_limit import thread_variables
from modelport.server.listener.declaration import Step
from modelport.server.listener.steps import frames
from modelport.server.listener.steps.python_function import failure_of
from modelport.server.model import Batch

_WORKER = "modelport.server.listener.steps.step_worker"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process is told first.

    Attributes:
        step: the step; its `python` is a text.
        folder: what files of code are relative to.
        model_dir: what `from_path` of a class is given.
        import_path: where modules are looked for.
        threads: CPUs that are its own.
    """

    step: Step
    folder: Path
    model_dir: Path
    import_path: tuple[str, ...]
    threads: int


class StepProcess:
    """Makes one call at a time, in a process of its own."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._name = setup.step.name
        self._running: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        self._stopped = False
        self._lock = Lock()

    def start(self) -> None:
        """Start the process where there is none, and wait until it has loaded its code.

        Raises:
            ModelCannotBeLoaded: it cannot load it.
            Internal: it cannot be started, or ended before that.
        """
        # A process may end while nobody asks it anything.
        if self._running is not None and self._running[0].poll() is not None:
            self._reap()
        if self._running is None and self._launch():
            try:
                self._ask(self._setup, 0, "while it loaded its code")
            except ModelCannotBeLoaded:
                self._reap()
                raise

    def call(self, inputs: Mapping[str, Batch], extras: Mapping[str, Any]) -> Any:
        """Return what the step gives.

        Raises:
            StepTimeout: it takes too long; its process is killed.
            Internal: the process ended meanwhile.
            Error: what the step raised.
        """
        self.start()
        return self._ask((inputs, extras), self._setup.step.timeout_s, "during the call")

    def stop(self) -> None:
        """Kill the process, and start no other."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                self._running[0].kill()
                self._running[0].wait()

    def _launch(self) -> bool:
        with self._lock:
            if self._stopped:
                return False
            ours, theirs = socket.socketpair()
            with theirs:
                # Neither forked, as threads run here, nor by `multiprocessing`, which would import the listener's main
                # module again.
                try:
                    process = subprocess.Popen(
                        [sys.executable, "-m", _WORKER, str(theirs.fileno()), str(os.getpid())],
                        stdin=subprocess.DEVNULL,
                        pass_fds=[theirs.fileno()],
                        env={**os.environ, **thread_variables(self._setup.threads, os.environ)},
                    )
                except OSError as error:
                    ours.close()
                    raise Internal(f"No process can be started for the step `{self._name}`: {error}") from error
            self._running = process, ours
            return True

    def _ask(self, question: Any, timeout_s: float, when: str) -> Any:
        try:
            parts = frames.packed(question)
        except Exception as error:  # the step before may have given anything
            raise self._untellable("is given cannot be told to its process", error) from error
        try:
            failed, answer = frames.unpacked(self._exchange(parts, timeout_s, when))
        except Error:
            raise
        except Exception as error:  # rows of a class that is only known there
            raise self._untellable("gives cannot be read here", error) from error
        if failed:
            assert isinstance(answer, Error)
            raise answer
        return answer

    def _exchange(self, parts: list[bytes | memoryview], timeout_s: float, when: str) -> list[bytearray]:
        if self._running is None:
            raise Internal(f"The step `{self._name}` has ended with its listener")
        _, sock = self._running
        try:
            sock.settimeout(timeout_s or None)
            frames.send(sock, parts)
            return frames.receive(sock)
        except TimeoutError:
            self._reap()
            raise StepTimeout(
                f"The step `{self._name}` has not answered within {timeout_s:g} s; its process was killed",
                hint="Give it longer with `timeout_s`, or find out why it is slow",
                step=self._name,
            ) from None
        except (EOFError, OSError):
            raise Internal(
                f"The process of the step `{self._name}` {self._reap()} {when}",
                hint="See the listener's log; another process takes its place",
                step=self._name,
            ) from None
        except MemoryError as error:
            self._reap()  # the rest of its answer is still to come
            raise failure_of(error, self._name) from error

    def _untellable(self, what: str, error: Exception) -> Internal:
        return Internal(
            f"What the step `{self._name}` {what}: {type(error).__name__}: {error}",
            hint="Pass on arrays, or lists of what JSON can say, to and from steps that run in processes",
            step=self._name,
        )

    def _reap(self) -> str:
        """Have done with the process; return how it ended, in words."""
        assert self._running is not None
        with self._lock:
            process, sock = self._running
            sock.close()
            try:
                code = process.wait(1.0)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            self._running = None
        return f"was killed by signal {-code}{usual_cause(128 - code)}" if code < 0 else f"ended with code {code}"

"""What runs in a process of a step: loads its function, then makes one call after the other until the listener ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from typing import Any

from modelport.core.errors import Error, Internal
from modelport.server.child_processes import die_with_parent
from modelport.server.foreign import as_batch
from modelport.server.listener.steps import frames
from modelport.server.listener.steps.functions import Functions
from modelport.server.listener.steps.python_function import PythonFunction, failure_of
from modelport.server.listener.steps.services import Services
from modelport.server.listener.steps.step_process import Setup
from modelport.server.model import awaited
from modelport.server.tracebacks import Tracebacks


def main(descriptor: int, parent: int) -> None:
    """Serve the listener at the other end of a socket."""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal it goes to all; the listener ends this process
    with socket.socket(fileno=descriptor) as sock, asyncio.Runner() as runner:
        setup = frames.unpacked(frames.receive(sock))
        assert isinstance(setup, Setup)
        sys.path[:] = setup.import_path
        try:
            function = PythonFunction(Functions(setup.folder, setup.model_dir).ready(setup.step.python), setup.step)
        except Error as error:
            frames.send(sock, frames.packed((True, error)))
            return
        frames.send(sock, frames.packed((False, None)))
        serve(sock, runner, function, setup.step.name)


def serve(sock: socket.socket, runner: asyncio.Runner, function: PythonFunction, step: str) -> None:
    """Answer calls until the listener is gone."""
    services, tracebacks = Services(), Tracebacks(whose=f"the step `{step}`")

    async def call(inputs: Any, extras: dict[str, Any]) -> Any:
        if "client" in function.wants:
            extras = {**extras, "client": services.client()}
        return as_batch(await awaited(function(inputs, extras)))

    def answer_to(question: list[bytearray]) -> list[bytes | memoryview]:
        try:
            inputs, extras = frames.unpacked(question)
            extras = {name: value for name, value in extras.items() if name in function.wants}
            given = runner.run(call(inputs, extras)) if function.is_async else as_batch(function(inputs, extras))
            return frames.packed((False, given))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the step's own code may raise anything
            if isinstance(error, Exception):
                tracebacks.write(error)
            return frames.packed((True, _known(failure_of(error, step))))

    while True:
        try:
            frames.send(sock, answer_to(frames.receive(sock)))
        except (EOFError, ConnectionError):  # the listener is gone
            return


def _known(error: Error) -> Error:
    """Return an error as one of a class that the listener can read, without what hangs on it."""
    kind = next(base for base in type(error).__mro__ if base.__module__ == Error.__module__)
    try:
        told: Error = kind(
            error.message, hint=error.hint, violations=error.violations, debug=error.debug, **error.metadata
        )
        frames.packed(told)
    except Exception as other:  # an error class of the user's may hold anything
        return Internal(f"An error cannot be told: {type(other).__name__}: {other}")
    return told


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

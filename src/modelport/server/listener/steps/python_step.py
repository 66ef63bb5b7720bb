"""A step that is Python code: a function or an instance, called on the event loop, in threads or in processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import anyio
from anyio import to_thread

from modelport.core.errors import Error, StepTimeout
from modelport.server.cpu_limit import available_cpus
from modelport.server.foreign import as_batch
from modelport.server.listener.declaration import Runs, Step
from modelport.server.listener.steps.functions import Functions, name_of
from modelport.server.listener.steps.python_function import PythonFunction, failure_of, runs_on_loop
from modelport.server.listener.steps.services import Services
from modelport.server.listener.steps.step_pool import StepPool, Worker
from modelport.server.listener.steps.step_process import Setup, StepProcess
from modelport.server.listener.steps.work import Context
from modelport.server.listener.wire.places import Places
from modelport.server.model import Batch, awaited
from modelport.server.tracebacks import Tracebacks


class PythonStep:
    """Calls a function on a batch.

    What it raises is told as the model's own failures are: ValueError, TypeError, KeyError and IndexError are of the
    rows (400), an `Error` is what it says, all else is a failure of the step (500). A thread that takes longer than
    `timeout_s` cannot be stopped and keeps its place among the workers; a process is killed and replaced. Inline,
    nothing else goes on before it returns, whatever the limit.
    """

    def __init__(self, step: Step, functions: Functions, services: Services) -> None:
        """Take the step, what loads its code, and the client that it may want; nothing is loaded yet."""
        self._step = step
        self._functions = functions
        self._services = services
        self._function: PythonFunction | None = None
        self._pool: StepPool | None = None
        self._places: Places | None = None
        self._tracebacks = Tracebacks(whose=f"the step `{step.name}`")

    async def start(self) -> None:
        """Load the code, and start the threads or processes.

        Raises:
            ModelCannotBeLoaded: it is not there, fails, or cannot be called as it is declared.
        """
        step = self._step
        loop = asyncio.get_running_loop()
        count = step.workers or available_cpus()
        most = step.concurrency
        workers: list[Worker]
        if step.runs is Runs.PROCESSES:
            setup = self._setup(max(1, available_cpus() // count))
            workers = [StepProcess(setup) for _ in range(min(count, most or count))]
        else:
            function = await to_thread.run_sync(self._loaded)
            self._function = function
            if runs_on_loop(step, is_async=function.is_async):
                workers = []
            else:
                workers = [_InThread(function, step.name, self._tracebacks) for _ in range(min(count, most or count))]
        if workers or most:
            self._places = Places(most or len(workers), step.max_waiting, f"the step `{step.name}`")
        if workers:
            self._pool = StepPool(step.name, workers, loop)
            await self._pool.start()

    async def close(self) -> None:
        """End the threads and processes; what they are at is lost."""
        if self._pool is not None:
            await to_thread.run_sync(self._pool.close)

    async def run(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        """Return what the function makes of the batch."""
        seconds = self._step.timeout_s
        if not seconds:
            return await self._in_place(inputs, context)
        with anyio.move_on_after(seconds):
            return await self._in_place(inputs, context)
        raise StepTimeout(
            f"The step `{self._step.name}` has not answered within {seconds:g} s",
            hint="Give it longer with `timeout_s`, or find out why it is slow",
            step=self._step.name,
        )

    async def _in_place(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        if self._places is None:
            return await self._call(inputs, context)
        async with self._places:
            return await self._call(inputs, context)

    async def _call(self, inputs: Mapping[str, Batch], context: Context) -> Batch:
        function = self._function
        if function is None:
            assert self._pool is not None, "the step was not started"
            extras = {"parameters": dict(context.parameters), "headers": dict(context.headers)}
            return await self._pool.call(inputs, extras)  # type: ignore[no-any-return]
        extras = self._extras(function, context)
        try:
            if self._pool is not None:
                return as_batch(await awaited(await self._pool.call(inputs, extras)))
            return as_batch(await awaited(function(inputs, extras)))
        except Exception as error:  # the step's own code may raise anything
            self._tracebacks.write(error)
            raise failure_of(error, self._step.name) from error
        except SystemExit as error:
            raise failure_of(error, self._step.name) from error

    def _extras(self, function: PythonFunction, context: Context) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        if "parameters" in function.wants:
            extras["parameters"] = context.parameters
        if "headers" in function.wants:
            extras["headers"] = context.headers
        if "client" in function.wants:
            extras["client"] = self._services.client()
        return extras

    def _loaded(self) -> PythonFunction:
        return PythonFunction(self._functions.ready(self._step.python), self._step)

    def _setup(self, threads: int) -> Setup:
        python = self._step.python
        step = replace(self._step, python=python if isinstance(python, str) else name_of(python))
        return Setup(step, self._functions.folder, self._functions.model_dir, tuple(sys.path), threads)


class _InThread:
    """Makes calls where it is called from."""

    def __init__(self, function: PythonFunction, step: str, tracebacks: Tracebacks) -> None:
        self._function = function
        self._step = step
        self._tracebacks = tracebacks

    def start(self) -> None:
        pass

    def call(self, inputs: Mapping[str, Batch], extras: Mapping[str, Any]) -> Any:
        try:
            given = self._function(inputs, extras)
            return given if asyncio.iscoroutine(given) else as_batch(given)
        except Error:
            raise
        except BaseException as error:  # the step's own code may raise anything
            if isinstance(error, Exception):
                self._tracebacks.write(error)
            raise failure_of(error, self._step) from error

    def stop(self) -> None:
        pass

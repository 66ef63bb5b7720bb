"""The code of all Python steps of a listener: loaded, compared with what stands around it, started, and ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from modelport.server.listener.declaration import Listener, Runs
from modelport.server.listener.steps.functions import Functions
from modelport.server.listener.steps.python_step import PythonStep
from modelport.server.listener.steps.services import Services
from modelport.server.listener.validation.violations import validate


class StepCode:
    """Holds the Python steps.

    Attributes:
        steps: by the name of their stack and their own; they answer between `start` and `close`.
    """

    def __init__(self, listener: Listener, folder: Path) -> None:
        """Take what was declared, and what files are relative to; nothing is loaded yet."""
        self._listener = listener
        self._functions = Functions(folder)
        self._services = Services()
        self.steps = {
            (stack.name, step.name): PythonStep(step, self._functions, self._services)
            for stack in listener.stacks
            for step in stack.steps
            if step.python
        }

    async def start(self) -> None:
        """Load all code, see whether it fits, and start what runs it.

        Raises:
            ModelCannotBeLoaded: a step's code is not there, or fails.
            InvalidArgument: its type hints say that it does not fit between the steps around it.
            ExceptionGroup: of these, where several steps are started.
        """
        loaded = await to_thread.run_sync(self._load, abandon_on_cancel=True)
        validate(self._listener, loaded)
        async with anyio.create_task_group() as tasks:
            for step in self.steps.values():
                tasks.start_soon(step.start)

    async def close(self) -> None:
        """End what runs the steps."""
        for step in self.steps.values():
            await step.close()
        await self._services.close()

    def _load(self) -> Mapping[tuple[str, str], Callable[..., Any]]:
        # What runs in processes is not imported here: it may well be there because it is large.
        return {
            (stack.name, step.name): self._functions.ready(step.python)
            for stack in self._listener.stacks
            for step in stack.steps
            if step.python and step.runs is not Runs.PROCESSES
        }

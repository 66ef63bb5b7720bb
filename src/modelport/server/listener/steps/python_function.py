"""A function of the user's as a step calls it: what it is given beside the rows is decided once, by its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from modelport.core.errors import Error, Internal
from modelport.server.failures import as_error
from modelport.server.listener.declaration import Runs, Step
from modelport.server.model import Batch
from modelport.server.signatures import wrong_signature

EXTRAS = ("parameters", "headers", "client")  # what it may be given beside rows, by the names of its arguments


class PythonFunction:
    """A function that takes rows.

    Attributes:
        is_async: what it returns is awaited.
        wants: those of `parameters`, `headers` and `client` that it takes.
    """

    def __init__(self, function: Callable[..., Any], step: Step) -> None:
        """Take a function and the step that it is for.

        Raises:
            ModelCannotBeLoaded: it cannot be called as the step is declared.
        """
        self._function = function
        self.is_async = _is_async(function)
        arguments = [name for name in step.sources if name]
        self.wants = _wants(function, arguments)
        _require_callable(function, arguments, self.wants)
        if "client" in self.wants and not self.is_async:
            raise wrong_signature(
                function, "takes `client`, which is asynchronous, and is not", "Write it as `async def`"
            )
        if "headers" in self.wants and step.max_rows > 1:
            raise wrong_signature(
                function,
                f"takes `headers`, and `max_rows: {step.max_rows}` gathers rows of callers with different ones",
                f"Leave out `max_rows` of the step `{step.name}`, or send what it needs as `parameters`",
            )

    def __call__(self, inputs: Mapping[str, Batch], extras: Mapping[str, Any]) -> Any:
        """Call it; of `extras` it is given all, so these must be what it wants."""
        if "" in inputs:
            return self._function(inputs[""], **extras)
        return self._function(**inputs, **extras)


def runs_on_loop(step: Step, *, is_async: bool) -> bool:
    """Return whether a step runs on the event loop: a coroutine function waits there, wherever it is told to run."""
    return step.runs is Runs.INLINE or (is_async and step.runs is Runs.THREADS)


def failure_of(error: BaseException, step: str) -> Error:
    """Return what it means that a step's own code raised, which may be anything."""
    if isinstance(error, Exception):
        return as_error(error, who=f"The step `{step}`", wants="what it takes")
    return Internal(f"The step `{step}` failed: {type(error).__name__}: {error}", hint="See the listener's log")


def _is_async(function: Any) -> bool:
    function = inspect.unwrap(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _wants(function: Callable[..., Any], arguments: list[str]) -> frozenset[str]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # written in C, and silent about it
        return frozenset()
    if not arguments:  # the rows are its first one, whatever that is called
        parameters = parameters[1:]
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return frozenset(
        one.name for one in parameters if one.name in EXTRAS and one.kind in by_name and one.name not in arguments
    )


def _require_callable(function: Callable[..., Any], arguments: list[str], wants: frozenset[str]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:
        return
    try:
        signature.bind(*([] if arguments else [None]), **dict.fromkeys((*arguments, *wants)))
    except TypeError as error:
        given = ", ".join(f"`{name}`" for name in arguments) or "one argument, the rows"
        raise wrong_signature(
            function,
            f"cannot be called with {given}: {error}",
            f"Write `def {getattr(function, '__name__', 'step')}({', '.join(arguments) or 'rows'})`; "
            f"{', '.join(f'`{name}`' for name in EXTRAS)} may follow",
        ) from error

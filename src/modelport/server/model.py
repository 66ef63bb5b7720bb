"""What the server serves: a loaded model, seen as three calls over a batch of rows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# Rows of one or more requests. The first axis, or the list, has one entry for each row:
#   an array where every row is numbers of one shape;
#   a list where rows are anything else (texts, objects with named values, bytes);
#   a dict of arrays or lists of equal length where a caller sent, or a model gives, named columns (tensors).
Array = NDArray[Any]
Batch = Array | list[Any] | dict[str, Any]
Parameters = Mapping[str, Any]


class Form(StrEnum):
    """The form in which a model wants the rows of a request."""

    ARRAY = "ARRAY"  # an array where the rows are numbers, else a list; columns where they were sent as such
    PYTHON = "PYTHON"  # always the list that the JSON was, nothing converted but {"b64": …}


class Calls(StrEnum):
    """How `Model.predict` is called and what it gives."""

    SYNC = "SYNC"  # an ordinary function
    ASYNC = "ASYNC"  # a coroutine function; `preprocess` and `postprocess` are awaited too
    STREAM = "STREAM"  # a generator, run in a thread: pairs of a row's index and the next item of its prediction
    ASYNC_STREAM = "ASYNC_STREAM"  # an asynchronous generator of such pairs


@dataclass(frozen=True)
class TensorInfo:
    """A named input or output: `datatype` as in the Open Inference Protocol (FP32, INT64, BYTES …), -1 is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class LibraryVersion:
    """A library whose version matters to the model: as it was trained with (empty: unknown) and as it is here."""

    name: str
    trained: str
    serving: str


@dataclass(frozen=True)
class ModelInfo:
    """What a model says about itself.

    Attributes:
        framework: such as `SCIKIT_LEARN`; `PREDICTOR` for code of the user's.
        inputs: named inputs; empty when the model does not tell.
        outputs: named outputs; empty when the model does not tell.
        row_wise: each row's prediction depends on that row alone, so rows of several requests may be one call.
        form: how rows are handed to it.
        calls: how `predict` is called.
        threads: how many threads may call it at the same time.
        libraries: versions at training and now, for the skew report.
        device: where it computes, in words; empty when only its own code knows.
        warm_up: rows that it must be able to predict before it counts as healthy; empty: it has not said.
        request_schema: JSON schema of one instance, where type hints gave one.
        response_schema: JSON schema of one prediction.
        parameters_schema: JSON schema of `parameters`.
    """

    framework: str
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    row_wise: bool = True
    form: Form = Form.ARRAY
    calls: Calls = Calls.SYNC
    threads: int = 1
    libraries: tuple[LibraryVersion, ...] = ()
    device: str = ""
    warm_up: Any = ()
    request_schema: Mapping[str, Any] | None = None
    response_schema: Mapping[str, Any] | None = None
    parameters_schema: Mapping[str, Any] | None = None


class Model(Protocol):
    """A loaded model. Called from one thread at a time unless the server is told otherwise.

    The three calls are timed one by one. What they raise is judged by its type: ValueError, TypeError, KeyError and
    IndexError speak of the rows (the caller's fault, 400), `core.errors.Error` is what it says, all else is the
    model's own failure (500).
    """

    info: ModelInfo

    def preprocess(self, batch: Batch, parameters: Parameters) -> Any:
        """Make of the rows what `predict` takes."""
        ...

    def predict(self, inputs: Any, parameters: Parameters) -> Any:
        """Predict. What it gives depends on `info.calls`."""
        ...

    def postprocess(self, outputs: Any, parameters: Parameters) -> Batch:
        """Make of what `predict` gave (of a stream: of one item) predictions, one for each row."""
        ...


class Direct:
    """A model, or the base of one, that takes rows as they come and gives predictions as they go."""

    def preprocess(self, batch: Batch, parameters: Parameters) -> Any:
        """Return the rows unchanged."""
        return batch

    def postprocess(self, outputs: Any, parameters: Parameters) -> Batch:
        """Return the outputs unchanged."""
        return outputs  # type: ignore[no-any-return]


async def awaited(value: Any) -> Any:
    """Return a value, or what an awaitable gives."""
    return await value if inspect.isawaitable(value) else value


def rows_of(batch: Batch) -> int:
    """Return the number of rows."""
    if isinstance(batch, dict):
        return len(next(iter(batch.values()))) if batch else 0
    return len(batch)


def take(batch: Batch, start: int, stop: int) -> Batch:
    """Return rows `start` to `stop`, without copying arrays."""
    if isinstance(batch, dict):
        return {name: values[start:stop] for name, values in batch.items()}
    return batch[start:stop]


def joined(batches: list[Batch]) -> Batch:
    """Return one batch of all rows in order; the batches are alike (see `batching.likeness`)."""
    first = batches[0]
    if len(batches) == 1:
        return first
    if isinstance(first, dict):
        return {name: _joined([batch[name] for batch in batches]) for name in first}  # type: ignore[call-overload]
    return _joined(batches)  # type: ignore[no-any-return]


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [row for part in parts for row in part]

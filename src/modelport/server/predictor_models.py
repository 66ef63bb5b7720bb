"""The verbs of a predictor as a model: validated before, timed apart, failures logged where they are the code's own."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Set
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from modelport.server.foreign import as_batch
from modelport.server.hints import NumberedRows, RowRule, Unreadable, listed, row_rule, schema_of
from modelport.server.model import Batch, Calls, Form, Model, ModelInfo, Parameters, awaited, rows_of, take
from modelport.server.signatures import ParameterRules, Verb, readable_hint, warn, wrong_signature
from modelport.server.tracebacks import Tracebacks

FRAMEWORK = "PREDICTOR"

_LOG = logging.getLogger("modelport.server")


@dataclass(frozen=True)
class Verbs:
    """The verbs that a predictor has."""

    preprocess: Verb | None
    predict: Verb
    postprocess: Verb | None

    def all(self) -> list[Verb]:
        """Return those that are there, in the order in which they are called."""
        return [verb for verb in (self.preprocess, self.predict, self.postprocess) if verb is not None]


class PredictorModel:
    """A predictor whose verbs are ordinary functions; the base of the others."""

    def __init__(self, verbs: Verbs, info: ModelInfo, rows: RowRule | None) -> None:
        self.info = info
        self._verbs = verbs
        self._rows = rows
        self._parameters = ParameterRules(verbs.all())
        self._tracebacks = Tracebacks()

    def preprocess(self, batch: Batch, parameters: Parameters) -> Any:
        """Hold the request against the hints; then the user's own, if there is one."""
        rows = self._checked(batch, parameters)
        with self._tracebacks:
            return self._verbs.preprocess(rows, parameters) if self._verbs.preprocess else rows

    def predict(self, inputs: Any, parameters: Parameters) -> Any:
        """Call the user's."""
        with self._tracebacks:
            return self._verbs.predict(inputs, parameters)

    def postprocess(self, outputs: Any, parameters: Parameters) -> Batch:
        """Call the user's, if there is one, and see that predictions come of it."""
        with self._tracebacks:
            return predictions_of(self._verbs.postprocess(outputs, parameters) if self._verbs.postprocess else outputs)

    def _checked(self, batch: Batch, parameters: Parameters) -> Any:
        if parameters or self._parameters.needed:
            self._parameters.check(parameters)
        if self._rows is not None:
            return self._rows.read(batch)
        return listed(batch)


class AsyncModel(PredictorModel):
    """A predictor with coroutine functions among its verbs: all three calls are awaited, ordinary verbs in a thread."""

    def __init__(self, verbs: Verbs, info: ModelInfo, rows: RowRule | None) -> None:
        from anyio import CapacityLimiter  # only for predictors that are asynchronous

        super().__init__(verbs, info, rows)
        self._limit = CapacityLimiter(info.threads)

    async def preprocess(self, batch: Batch, parameters: Parameters) -> Any:  # noqa: D102
        rows = self._checked(batch, parameters)
        return await self._run(self._verbs.preprocess, rows, parameters)

    async def predict(self, inputs: Any, parameters: Parameters) -> Any:  # noqa: D102
        return await self._run(self._verbs.predict, inputs, parameters)

    async def postprocess(self, outputs: Any, parameters: Parameters) -> Batch:  # type: ignore[override]  # noqa: D102
        with self._tracebacks:
            return predictions_of(await self._run(self._verbs.postprocess, outputs, parameters))

    async def _run(self, verb: Verb | None, value: Any, parameters: Parameters) -> Any:
        if verb is None:
            return value
        with self._tracebacks:
            if inspect.iscoroutinefunction(verb.function):
                return await verb(value, parameters)
            from anyio import to_thread

            return await to_thread.run_sync(verb, value, parameters, limiter=self._limit)


class StreamModel(PredictorModel):
    """A predictor that yields: `predict` gives pairs of a row's index and the next item of its prediction."""

    def preprocess(self, batch: Batch, parameters: Parameters) -> Any:
        """Hold the request against the hints; the user's own verbs run row by row, in the stream's thread."""
        return self._checked(batch, parameters)

    def predict(self, inputs: Any, parameters: Parameters) -> Iterator[tuple[int, Any]]:
        """Yield items, one row after the other."""
        before, after = self._verbs.preprocess, self._verbs.postprocess
        with self._tracebacks:
            for index in range(rows_of(inputs)):
                row = take(inputs, index, index + 1)
                items = self._verbs.predict(before(row, parameters) if before else row, parameters)
                try:
                    for item in items:
                        yield index, after(item, parameters) if after else item
                finally:
                    items.close()

    def postprocess(self, outputs: Any, parameters: Parameters) -> Any:
        """Return an item unchanged."""
        return outputs


class AsyncStreamModel(StreamModel):
    """A predictor that is an asynchronous generator."""

    async def predict(self, inputs: Any, parameters: Parameters) -> AsyncIterator[tuple[int, Any]]:  # type: ignore[override]  # noqa: D102
        before, after = self._verbs.preprocess, self._verbs.postprocess
        with self._tracebacks:
            for index in range(rows_of(inputs)):
                row = take(inputs, index, index + 1)
                prepared = await awaited(before(row, parameters)) if before else row
                async with aclosing(self._verbs.predict(prepared, parameters)) as items:
                    async for item in items:
                        yield index, await awaited(after(item, parameters)) if after else item


class VertexModel(PredictorModel):
    """A predictor of Vertex AI's custom prediction routines: its verbs take and give whole requests and answers."""

    def __init__(self, verbs: Verbs, example: list[Any]) -> None:
        info = ModelInfo(FRAMEWORK, row_wise=False, form=Form.PYTHON, warm_up=example)
        super().__init__(verbs, info, None)

    def preprocess(self, batch: Batch, parameters: Parameters) -> Any:  # noqa: D102
        request: dict[str, Any] = {"instances": listed(batch)}
        if parameters:
            request["parameters"] = dict(parameters)
        with self._tracebacks:
            own = self._verbs.preprocess
            return own(request, {}) if own else request["instances"]

    def predict(self, inputs: Any, parameters: Parameters) -> Any:  # noqa: D102
        return super().predict(inputs, {})

    def postprocess(self, outputs: Any, parameters: Parameters) -> Batch:  # noqa: D102
        return super().postprocess(outputs, {})


def model_of(verbs: Verbs, *, example: list[Any], row_wise: bool, threads: int) -> Model:
    """Return the model of verbs in our own form, or in that of AI Platform.

    Raises:
        ModelCannotBeLoaded: the verbs do not go together.
    """
    calls = _calls(verbs)
    rows = _rows(verbs)
    rules = ParameterRules(verbs.all())
    info = ModelInfo(
        FRAMEWORK,
        row_wise=row_wise and calls is Calls.SYNC,
        form=Form.ARRAY if isinstance(rows, NumberedRows) else Form.PYTHON,
        calls=calls,
        threads=threads,
        warm_up=_warm_up(example, rules),
        request_schema=rows.schema if rows else None,
        response_schema=_response_schema(verbs, calls),
        parameters_schema=rules.schema,
    )
    kinds = {Calls.SYNC: PredictorModel, Calls.ASYNC: AsyncModel, Calls.STREAM: StreamModel}
    return kinds.get(calls, AsyncStreamModel)(verbs, info, rows)


def predictions_of(result: Any) -> Batch:
    """Return what a predictor gave as predictions: lists and arrays as they are, what is like them made so.

    Raises:
        Internal: it is nothing that has one entry for each row.
    """
    if isinstance(result, Mapping) and "predictions" in result:
        result = result["predictions"]
    return as_batch(list(result) if isinstance(result, Iterator | Set) else result)


def _warm_up(example: list[Any], rules: ParameterRules) -> list[Any]:
    """Return the example, where it can be predicted without parameters: it has none."""
    if example and rules.needed:
        _LOG.warning("the example is not tried: the predictor has parameters without a default")
        return []
    return example


def _calls(verbs: Verbs) -> Calls:
    predict = verbs.predict.function
    around = [verb for verb in verbs.all() if verb is not verbs.predict]
    for verb in around:
        if inspect.isgeneratorfunction(verb.function) or inspect.isasyncgenfunction(verb.function):
            raise wrong_signature(verb.function, "is a generator; only `predict` may be one", "Return a list instead")
    coroutines = [verb for verb in around if inspect.iscoroutinefunction(verb.function)]
    if inspect.isasyncgenfunction(predict):
        return Calls.ASYNC_STREAM
    if inspect.isgeneratorfunction(predict):
        if coroutines:
            raise wrong_signature(
                coroutines[0].function,
                "is a coroutine function, and `predict` an ordinary generator",
                "Write both with `async`, or neither",
            )
        return Calls.STREAM
    return Calls.ASYNC if coroutines or inspect.iscoroutinefunction(predict) else Calls.SYNC


def _rows(verbs: Verbs) -> RowRule | None:
    """Return the rule of the verb that rows come to first."""
    first = verbs.preprocess or verbs.predict
    try:
        return row_rule(readable_hint(first.function, first.first))
    except Unreadable as error:
        warn(first.function, error)
        return None


def _response_schema(verbs: Verbs, calls: Calls) -> dict[str, Any] | None:
    """Return the schema of one prediction, or of one item of a stream, where the hint of the result has it."""
    last = verbs.postprocess or verbs.predict
    hint = readable_hint(last.function, "return")
    try:
        if calls in (Calls.STREAM, Calls.ASYNC_STREAM):
            return _schema_of_items(hint) if last is verbs.predict else schema_of(hint) or None
        rule = row_rule(hint)
    except (Unreadable, msgspec.ValidationError):
        return None  # what is given back is not held against its hint
    return rule.schema if rule else None


def _schema_of_items(hint: Any) -> dict[str, Any] | None:
    arguments = getattr(hint, "__args__", ())
    return schema_of(arguments[0]) or None if arguments else None

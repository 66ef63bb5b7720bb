"""`modelport dry-run`: loads a predictor or a model folder and predicts with it once, without a server."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelport.cli.extras import server_extra
from modelport.cli.local_model import FrameworkOption, LocalModel, ModelDirOption, TargetArgument, read_model
from modelport.cli.session import Session
from modelport.cli.specs import read_instances, read_object
from modelport.cli.usage import UsageProblem
from modelport.core.errors import Error, Internal

if TYPE_CHECKING:
    from modelport.server.model import Batch, Model

InstancesOption = Annotated[
    str, typer.Option("--instances", metavar="FILE", help="One instance in a line, or a JSON array. [default: example]")
]
ParametersOption = Annotated[
    str, typer.Option("--parameters", metavar="FILE", help="The `parameters` of the request, one JSON object.")
]


def dry_run(
    session: Session,
    target: TargetArgument,
    model_dir: ModelDirOption = None,
    framework: FrameworkOption = "",
    instances: InstancesOption = "",
    parameters: ParametersOption = "",
) -> None:
    """Load a predictor or a model folder, and predict once without a server.

    Takes the `example` of the predictor where no instances are given, and holds them against its type hints as the
    server would.
    """
    subject = read_model(target, model_dir, framework)
    given = read_instances(instances) if instances else None
    asked = read_object(parameters) if parameters else {}
    with server_extra("The prediction server"):
        import modelport.server.predictor
        import modelport.server.worker  # noqa: F401 - all that is needed below, or the error
    watch = _Watch()
    with watch.timing("load"):
        model = _load(subject)
    answer = _rehearse(model, _body(model, given, asked, subject), watch)
    times = "   ".join(f"{name} {seconds * 1e3:.1f} ms" for name, seconds in watch.seconds.items())
    session.out.show(answer | {"seconds": watch.seconds}, f"{json.dumps(answer, ensure_ascii=False)}\n{times}")


class _Watch:
    """Seconds that each part took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - started


def _load(subject: LocalModel) -> Model:
    if subject.predictor:
        from modelport.server.predictor import load_predictor

        return load_predictor(subject.predictor, subject.model_dir)
    from modelport.server.loaders.base import LoadOptions, load

    assert subject.model_dir is not None
    return load(subject.model_dir, subject.framework, LoadOptions())


def _body(model: Model, given: list[Any] | None, parameters: dict[str, Any], subject: LocalModel) -> bytes:
    """Return the request that a caller would send."""
    from modelport.server.openapi import example_of

    rows = given if given is not None else example_of(model.info.warm_up, max_bytes=sys.maxsize)
    if not rows:
        raise UsageProblem(
            f"There is nothing to predict: `{subject}` shows no example, and no instances are given",
            hint="Add --instances FILE, or `example = [...]` to the predictor",
        )
    return json.dumps({"instances": rows, "parameters": parameters}).encode()


def _rehearse(model: Model, body: bytes, watch: _Watch) -> dict[str, Any]:
    """Predict as the server does, from the request's bytes to the answer's."""
    import anyio

    from modelport.server.decoding import Decoder
    from modelport.server.encoding import encode
    from modelport.server.model import Calls, awaited, rows_of
    from modelport.server.predictor_source import cannot
    from modelport.server.streaming import collected

    request = Decoder(model.info.form)(body)
    wanted, parameters = rows_of(request.batch), request.parameters

    async def predict() -> Batch:
        with watch.timing("preprocess"):
            inputs = await awaited(model.preprocess(request.batch, parameters))
        with watch.timing("predict"):
            outputs = model.predict(inputs, parameters)
            if model.info.calls in (Calls.STREAM, Calls.ASYNC_STREAM):
                items: list[list[Any]] = [[] for _ in range(wanted)]
                async for index, item in _each(outputs):
                    items[index].append(item)
                return [collected(one) for one in items]
            outputs = await awaited(outputs)
        with watch.timing("postprocess"):
            predictions: Batch = await awaited(model.postprocess(outputs, parameters))
        return predictions

    try:
        predictions = anyio.run(predict)
    except Error:
        raise
    except Exception as error:  # the user's own code
        raise cannot(f"`{list(watch.seconds)[-1]}` failed", error) from error
    if rows_of(predictions) != wanted:
        raise Internal(
            f"The model gave {rows_of(predictions)} predictions for {wanted} instances",
            hint="Give one prediction for each instance",
        )
    answer: dict[str, Any] = json.loads(encode(predictions))
    return answer


async def _each(items: Any) -> AsyncIterator[tuple[int, Any]]:
    if hasattr(items, "__aiter__"):
        async for pair in items:
            yield pair
    else:
        for pair in items:
            yield pair

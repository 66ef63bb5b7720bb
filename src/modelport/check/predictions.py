"""The predict stage: asks a replica for predictions in several ways, as evidence for the rules; it judges nothing.

What is sent follows from what came back: a guess is corrected by what the server says, the list without its object
around it is tried where the object fails, and what works is sent again to see what the first time cost. A server whose
predict route is one of the Open Inference Protocol is asked in that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import anyio
import httpx

from modelport.check import open_inference
from modelport.check.lessons import adapted, mentions_parameters
from modelport.check.samples import Sample, encoded, first_sample
from modelport.doctor import openapi as openapi_document
from modelport.doctor.answers import Answer, answer_of, predicted
from modelport.doctor.evidence import Exchange, Prediction, Purpose, SpecFacts
from modelport.doctor.exchange import exchange

_REQUESTS = 14
_TIMEOUTS = 2  # the stage sends nothing more after as much time as these take
_LESSONS = 4
_REPEATS = 2
_COMPLETE_BODY_BYTES = 64 * 1024
_LOG_PAUSES_S = (0.02, 0.15)  # an answer can be here before the lines that were logged for it
_MOST_BYTES = 1_500_000  # the platform itself refuses more than 1.5 MiB


@dataclass(frozen=True)
class Predicted:
    """What came of it: the predictions in the order in which they were sent, and the sample that works, if one does.

    `tried` is the sample of the first prediction; its `origin` tells where its instances come from.
    """

    predictions: tuple[Prediction, ...]
    tried: Sample
    working: Sample | None


async def predict(
    client: httpx.AsyncClient,
    base_url: str,
    spec: SpecFacts,
    *,
    instances: list[Any] | None,
    openapi: Exchange | None,
    now: Callable[[], datetime],
    timeout_s: float,
    new_log: Callable[[], Awaitable[str]],
) -> Predicted:
    """Ask for predictions; at most 14, and none after as long as two of them may take.

    Args:
        client: see `http_client`.
        base_url: what the URL of the predict route begins with.
        spec: for its predict route.
        instances: the user's own.
        openapi: as `ask_openapi` returned it, for the server's own examples.
        now: the clock.
        timeout_s: longest time for one prediction.
        new_log: returns what was logged since it was last called.
    """
    native = await _native_sample(client, base_url, spec, instances, now, timeout_s)
    document = openapi_document.parsed(openapi.body) if openapi else None
    tried = native or _sendable(first_sample(instances, document, spec.predict_route))
    asking = _Asking(client, base_url + spec.predict_route, now, timeout_s, new_log)
    await new_log()  # what was said before belongs to nothing that is sent here
    working = await _find_what_works(asking, tried)
    if working is not None:
        await _look_closer(asking, working)
    return Predicted(tuple(asking.predictions), tried, working)


async def send_prediction(
    client: httpx.AsyncClient,
    url: str,
    purpose: Purpose,
    body: bytes,
    instances: int,
    *,
    native: bool = False,
    now: Callable[[], datetime],
    timeout_s: float,
    on_connect: Callable[[], None] = lambda: None,
) -> Prediction:
    """Send one prediction, as the contract has it unless it is native."""
    answer, content = await _read(client, "POST", url, now=now, timeout_s=timeout_s, body=body, on_connect=on_connect)
    complete = answer.status is not None and answer.size_bytes is not None
    text = content.decode("utf-8", errors="replace") if complete else None
    return Prediction(purpose, instances, answer, text, native)


async def _native_sample(
    client: httpx.AsyncClient,
    base_url: str,
    spec: SpecFacts,
    instances: list[Any] | None,
    now: Callable[[], datetime],
    timeout_s: float,
) -> Sample | None:
    """Return what to send to a server of the Open Inference Protocol; None for others, and where nothing is known."""
    route = open_inference.metadata_route(spec.predict_route)
    if route is None:
        return None
    if instances:
        return open_inference.given_request(instances)
    _, content = await _read(client, "GET", base_url + route, now=now, timeout_s=timeout_s)
    return open_inference.described_request(content)


async def _read(client: httpx.AsyncClient, method: str, url: str, **options: Any) -> tuple[Exchange, bytes]:
    """Make an exchange, and return it with the first 64 KiB of the answer."""
    content = b""

    def keep(received: bytes) -> None:
        nonlocal content
        content = received

    made = await exchange(client, method, url, read=_COMPLETE_BODY_BYTES, on_answer=keep, **options)
    return made, content


async def _find_what_works(asking: _Asking, sample: Sample) -> Sample | None:
    """Return a sample that the server answers as the contract has it; what else was tried is evidence."""
    answer = await asking.send(sample)
    if answer is Answer.LATE:
        # The first prediction may be the one that loads the model.
        answer = await asking.send(sample, Purpose.REPEAT)
    if sample.native:  # what else is tried are forms of the contract's own
        return sample if answer is Answer.WORKS else None
    if answer is Answer.FAILS:
        sample, answer = await _correct(asking, sample)
    if answer is Answer.FAILS and await asking.wants_parameters():
        complete = replace(sample, with_parameters=True)
        answer = await asking.send(complete)
        if answer is Answer.FAILS:
            complete, answer = await _correct(asking, complete)
        if answer is Answer.WORKS:
            return complete
    if answer is Answer.FAILS:
        await _try_bare(asking, sample)
    return sample if answer is Answer.WORKS else None


async def _correct(asking: _Asking, sample: Sample) -> tuple[Sample, Answer]:
    """Send the sample as what the server says makes of it, until it works or teaches nothing more."""
    answer = Answer.FAILS
    for _ in range(0 if sample.certain else _LESSONS):
        if answer is not Answer.FAILS or not (better := await asking.learn(sample)):
            break
        sample, answer = better, await asking.send(better)
    return sample, answer


async def _try_bare(asking: _Asking, sample: Sample) -> None:
    """Send the instances without the object around them: as a list, then, where it is an object, the first alone.

    Predictions for either prove that the server does not take the instances out of the object.
    """
    for alone in (False, True):
        for _ in range(1 if sample.certain else 1 + _LESSONS):
            item = sample.instances[0]
            if alone and not (isinstance(item, dict) and item):
                return
            answer = await asking.send(sample, Purpose.BARE, encoded(item if alone else sample.instances))
            if answer in (Answer.LATE, Answer.REFUSED) or (answer is Answer.WORKS and asking.last_predicted):
                return
            if sample.certain or not (better := await asking.learn(sample)):
                break
            sample = better


async def _look_closer(asking: _Asking, sample: Sample) -> None:
    """Send what works again: twice as much, the same for its latency, and with or without `parameters`."""
    if len(sample.instances) == 1 and not sample.native:
        await asking.send(replace(sample, instances=sample.instances * 2))
    for _ in range(_REPEATS):
        await asking.send(sample, Purpose.REPEAT)
    if sample.native:
        return
    other = Purpose.NO_PARAMETERS if sample.with_parameters else Purpose.WITH_PARAMETERS
    await asking.send(replace(sample, with_parameters=not sample.with_parameters), other)


def _sendable(sample: Sample) -> Sample:
    """Return the sample with no more instances than a request may have."""
    while len(sample.instances) > 1 and len(sample.body) > _MOST_BYTES:
        sample = replace(sample, instances=sample.instances[: len(sample.instances) // 2])
    return sample


class _Asking:
    """The requests of one stage, bounded in number and in time."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        now: Callable[[], datetime],
        timeout_s: float,
        new_log: Callable[[], Awaitable[str]],
    ) -> None:
        self.predictions: list[Prediction] = []
        self._client = client
        self._url = url
        self._now = now
        self._timeout_s = timeout_s
        self._new_log = new_log
        self._deadline = anyio.current_time() + _TIMEOUTS * timeout_s
        self._log = ""

    async def send(self, sample: Sample, purpose: Purpose | None = None, body: bytes | None = None) -> Answer:
        """Send one prediction, if there may be one more; REFUSED where not."""
        if len(self.predictions) >= _REQUESTS or anyio.current_time() >= self._deadline:
            return Answer.REFUSED
        prediction = await send_prediction(
            self._client,
            self._url,
            purpose or sample.purpose,
            sample.body if body is None else body,
            len(sample.instances),
            native=sample.native,
            now=self._now,
            timeout_s=self._timeout_s,
        )
        self.predictions.append(prediction)
        self._log = ""
        return answer_of(prediction)

    @property
    def last_predicted(self) -> bool:
        """Return whether the last answer holds predictions, whatever it calls them."""
        return bool(predicted(self.predictions[-1].complete_body))

    async def learn(self, sample: Sample) -> Sample | None:
        """Return the sample as the last answer, or else the log, shows that it should be."""
        body = self.predictions[-1].complete_body or ""
        if better := adapted(sample, body):
            return better
        for pause_s in _LOG_PAUSES_S:
            await anyio.sleep(pause_s)
            self._log += await self._new_log()
            if better := adapted(sample, body, self._log):
                return better
        return None

    async def wants_parameters(self) -> bool:
        """Return whether the last answer, or the log, may mean that `parameters` is missing."""
        last = self.predictions[-1]
        if last.exchange.status == 422:
            return True
        self._log += await self._new_log()
        return mentions_parameters(last.complete_body or "", self._log)

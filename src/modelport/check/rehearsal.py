"""The rehearsal: what a healthy replica has to show: predictions, load, and an orderly end; judged stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from modelport.build import utc_now
from modelport.check.draining import drain
from modelport.check.load import predict_concurrently, predict_large
from modelport.check.predictions import predict
from modelport.check.report import StageName
from modelport.check.samples import Sample
from modelport.check.stages import Stages
from modelport.check.subject import CheckSettings
from modelport.check.trial import Trial
from modelport.doctor.diagnose import diagnose
from modelport.doctor.evidence import Evidence, Exchange, Phase, Prediction, Purpose, Stopping
from modelport.doctor.findings import Finding, Severity
from modelport.doctor.rules import response
from modelport.doctor.sweep import ask_openapi, openapi_exchange
from modelport.drivers.base import Driver

_RESPONSE_CODES = frozenset(rule.code for rule in response.RULES)


class Rehearsal:
    """Goes through the stages behind health; `evidence` grows with them."""

    def __init__(
        self, trial: Trial, driver: Driver, limits: CheckSettings, stages: Stages, on_status: Callable[[str], None]
    ) -> None:
        self._trial = trial
        self._driver = driver
        self._limits = limits
        self._stages = stages
        self._on_status = on_status
        self._predictions: tuple[Prediction, ...] = ()
        self._health_under_load: tuple[Exchange, ...] = ()
        self._stopping: Stopping | None = None
        self._sample: Sample | None = None
        self._known: frozenset[str] = frozenset()

    @property
    def evidence(self) -> Evidence:
        """Return what is known so far."""
        seen = self._trial.evidence(Phase.DONE)
        ended = seen.exit is not None and self._stopping is None  # by itself, and so of a prediction
        return replace(
            seen,
            phase=Phase.PREDICT if ended or self._lost else Phase.DONE,
            passed=not ended and not self._lost,
            predictions=self._predictions,
            health_under_load=self._health_under_load,
            stopping=self._stopping,
        )

    @property
    def _lost(self) -> bool:
        """Return whether a prediction with the user's own instances got no answer, or a server error."""
        asked = [one.exchange.status for one in self._predictions if one.purpose is Purpose.SAMPLE]
        return any(status is None or status >= 500 for status in asked)

    async def run(self, instances: list[Any] | None) -> Evidence:
        """Try everything that can be tried; a stage whose ground is missing is skipped."""
        if await self._predict(instances) and self._sample is not None:
            await self._large_body(self._sample)
            await self._concurrency(self._sample)
        if await self._trial.alive():
            await self._stop()
        return self.evidence

    async def _predict(self, instances: list[Any] | None) -> bool:
        """Return whether there is a prediction that works, which the next stages can repeat."""
        self._on_status("predicting")
        predicted = await predict(
            self._trial.client,
            self._trial.address.base_url,
            self._trial.circumstances.spec,
            instances=instances,
            openapi=await self._openapi() if instances is None else None,
            now=utc_now,
            timeout_s=self._limits.predict_timeout_s,
            new_log=self._trial.investigation.new_log,
        )
        self._predictions, self._sample = predicted.predictions, predicted.working
        await self._trial.alive()
        if self._sample is None:
            await self._trial.sweep()  # not before: a server need not stand requests that nobody else makes
        errors = self._new_errors()
        asked = [error for error in errors if error.code not in _RESPONSE_CODES]
        if asked:
            self._stages.failed(StageName.PREDICT, asked[0].summary)
        elif self._sample is not None:
            self._stages.passed(StageName.PREDICT, _counts(self._predictions))
        elif errors:
            self._stages.passed(StageName.PREDICT, "the model was asked")
        else:
            self._stages.skipped(StageName.PREDICT, "no sample to send; give --instances FILE")
        answered = [error for error in errors if error.code in _RESPONSE_CODES]
        if answered:
            self._stages.failed(StageName.RESPONSE, answered[0].summary)
        elif self._sample is not None:
            self._stages.passed(StageName.RESPONSE, "a protocol of its own" if self._sample.native else "")
        return self._sample is not None and not errors

    async def _openapi(self) -> Exchange | None:
        """Return the server's OpenAPI document, which shows what instances are like."""
        asked = await ask_openapi(self._trial.client, self._trial.address, now=utc_now)
        return openapi_exchange([asked])

    async def _large_body(self, sample: Sample) -> None:
        self._on_status("sending a large body")
        large = await predict_large(
            self._trial.client,
            self._trial.address.base_url,
            self._trial.circumstances.spec,
            sample,
            now=utc_now,
            timeout_s=self._limits.predict_timeout_s,
        )
        self._predictions += (large,)
        await self._trial.alive()
        self._judge(StageName.LARGE_BODY, f"{large.exchange.sent_bytes / 1e6:.1f} MB")

    async def _concurrency(self, sample: Sample) -> None:
        self._on_status("predicting under load")
        load = await predict_concurrently(
            self._trial.client,
            self._trial.address.base_url,
            self._trial.circumstances.spec,
            sample,
            now=utc_now,
            timeout_s=self._limits.predict_timeout_s,
            probe_timeout_s=self._limits.probe_timeout_s,
        )
        self._predictions += load.predictions
        self._health_under_load = load.health
        await self._trial.alive()
        slowest = max((one.latency_s for one in load.health), default=0.0)
        self._judge(StageName.CONCURRENCY, f"slowest health check {slowest * 1000:.0f} ms")

    async def _stop(self) -> None:
        self._on_status("telling it to end")
        self._stopping, drained = await drain(
            self._trial.client,
            self._driver,
            self._trial.name,
            base_url=self._trial.address.base_url,
            spec=self._trial.circumstances.spec,
            sample=self._sample,
            grace_s=self._limits.stop_grace_s,
            now=utc_now,
            timeout_s=self._limits.predict_timeout_s,
        )
        self._predictions += drained
        took = "killed after" if self._stopping.killed else "ended in"
        self._judge(StageName.STOP, f"{took} {self._stopping.took_s:.1f} s")

    def _judge(self, stage: StageName, text: str) -> None:
        """Say how a stage went by what the doctor now sees and did not see before."""
        if errors := self._new_errors():
            self._stages.failed(stage, errors[0].summary)
        else:
            self._stages.passed(stage, text)

    def _new_errors(self) -> list[Finding]:
        findings = [f for f in diagnose(self.evidence).findings if f.severity is Severity.ERROR]
        new = [finding for finding in findings if finding.code not in self._known]
        self._known |= {finding.code for finding in findings}
        return new


def _counts(predictions: tuple[Prediction, ...]) -> str:
    """Return how many instances were sent at most in one request that worked."""
    if all(one.native for one in predictions):
        return "one request of the Open Inference Protocol"
    sent = max((one.instances for one in predictions if one.exchange.status == 200), default=0)
    return f"{sent} instance{'s' if sent != 1 else ''} → {sent} prediction{'s' if sent != 1 else ''}"

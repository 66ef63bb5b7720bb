"""The conformance test of the container contract: runs what is checked under production limits and reports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath

import anyio

from modelport.api.ml_v1 import messages
from modelport.api.ml_v1.convert import version_draft
from modelport.api.ml_v1.reading import parse
from modelport.build import catalogue_of, utc_now
from modelport.check.rehearsal import Rehearsal
from modelport.check.report import Report, Stage, StageName
from modelport.check.stages import Stages
from modelport.check.subject import CheckSettings, Subject
from modelport.check.trial import Trial
from modelport.check.workspace import Workspace, workspace
from modelport.control.artifact_tree import artifact_tree
from modelport.control.health import ProbeRules
from modelport.control.investigation import Circumstances
from modelport.control.probe import Prober
from modelport.control.runtimes import described, find_framework
from modelport.control.version_rules import version_from, version_violations
from modelport.core.errors import Error, InvalidArgument, listed
from modelport.core.facts import HostFacts
from modelport.core.names import ModelName
from modelport.core.resources import Version
from modelport.core.version_replicas import replica_spec
from modelport.doctor.conclusive import early_warning
from modelport.doctor.diagnose import diagnose
from modelport.doctor.evidence import Evidence, Phase, SpecFacts
from modelport.doctor.exchange import http_client
from modelport.doctor.redaction import redacted
from modelport.doctor.spec_facts import spec_facts
from modelport.drivers.base import Driver
from modelport.settings import Settings

_PROJECT = "check"
_VERSION = "v1"
_PROBE_PERIOD_S = 0.15

# The version and its circumstances as a step leaves them, and what it did in a few words; None for nothing.
_Step = tuple[Version, Circumstances, str | None]


async def check(
    subject: Subject,
    *,
    settings: Settings,
    limits: CheckSettings,
    driver_name: str = "auto",
    egress: bool = True,
    on_stage: Callable[[Stage], None] = lambda stage: None,
    on_status: Callable[[str], None] = lambda text: None,
) -> Report:
    """Try a version as the platform would, one replica of it, and report what is found.

    Nothing that is live is touched, and nothing stays behind. A container that fails is a report, not an error.

    Args:
        subject: what is checked.
        settings: the platform's limits and the engine's socket.
        limits: how long to wait.
        driver_name: auto, docker, process or fake.
        egress: whether the container may open connections to the outside.
        on_stage: told every stage as soon as it has ended.
        on_status: told what is being waited for.
    """
    examination = _Examination(subject, settings, limits, Stages(on_stage, anyio.current_time), on_status)
    evidence = redacted(await examination.run(driver_name, egress=egress))
    return Report(subject.target, examination.stages.all, evidence, diagnose(evidence))


class _Examination:
    """One run through all stages, up to the one that fails."""

    def __init__(
        self,
        subject: Subject,
        settings: Settings,
        limits: CheckSettings,
        stages: Stages,
        on_status: Callable[[str], None],
    ) -> None:
        self.stages = stages
        self._subject = subject
        self._settings = settings
        self._limits = limits
        self._on_status = on_status
        self._start = utc_now()

    async def run(self, driver_name: str, *, egress: bool) -> Evidence:
        """Return the evidence as far as the stages got."""
        draft = version_draft(parse({"name": _VERSION, **self._subject.version}, messages.Version, "version"))
        catalogue = catalogue_of(self._settings)
        model = ModelName(_PROJECT, self._subject.model)
        version = version_from(draft, model, catalogue, uid="check", now=self._start)
        circumstances = Circumstances(str(version.name), driver_name, self._spec(version))
        if violations := version_violations(draft, model, catalogue):
            error = InvalidArgument(listed(violations), violations=violations)
            return self._failure(circumstances, Phase.SPEC, StageName.SPEC, error)
        self.stages.passed(StageName.SPEC)
        try:
            image = version.spec.container.image
            async with workspace(self._settings, image, driver=driver_name, egress=egress) as place:
                return await self._beside_the_host(place, version, replace(circumstances, driver=place.driver.name))
        except Error as error:
            return self._failure(circumstances, Phase.IMAGE, StageName.IMAGE, error)

    async def _beside_the_host(self, place: Workspace, version: Version, circumstances: Circumstances) -> Evidence:
        """Examine, and look at the host meanwhile: an engine may take seconds to say what it runs on."""
        evidence: list[Evidence] = []
        host = HostFacts()

        async def look() -> None:
            nonlocal host
            host = await place.driver.host_facts()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            evidence.append(await self._on(place, version, circumstances))
        return replace(evidence[0], host=host)

    async def _on(self, place: Workspace, version: Version, circumstances: Circumstances) -> Evidence:
        driver = place.driver
        steps = [(Phase.IMAGE, StageName.IMAGE, self._pin), (Phase.ARTIFACTS, StageName.ARTIFACTS, self._copy)]
        if version.spec.runtime is not None:  # its files come first: they may have to tell which libraries it needs
            steps = [steps[1], (Phase.IMAGE, StageName.IMAGE, self._install)]
        for phase, stage, step in steps:
            try:
                version, circumstances, text = await step(place, version, circumstances)
            except Error as error:
                return self._failure(circumstances, phase, stage, error)
            if text is not None:
                self.stages.passed(stage, text)
        artifact = place.artifacts.open(version.status.artifact)
        model_dir = PurePosixPath(artifact.path) if artifact else None
        spec = replica_spec(version, 0, attempt=1, model_dir=model_dir)
        storage_uri = driver.storage_uri(model_dir) if model_dir else ""
        circumstances = replace(circumstances, spec=self._spec(version, storage_uri))
        rules = ProbeRules(timeout_s=self._limits.probe_timeout_s, start_period_s=_PROBE_PERIOD_S)
        async with http_client() as client, Prober(rules, now=utc_now) as prober:
            trial = Trial(spec, circumstances, driver, prober, client, limits=self._limits, now=utc_now)
            try:
                return await self._try(trial, driver)
            except Error as error:  # the engine went away meanwhile
                return self._failure(circumstances, Phase.START, self.stages.next, error)
            finally:
                with anyio.CancelScope(shield=True), suppress(Error):
                    await driver.stop(spec.name, grace_s=0)

    async def _pin(self, place: Workspace, version: Version, circumstances: Circumstances) -> _Step:
        self._on_status("finding the image")
        version = _with_status(version, image=await place.driver.pin(version.spec.container.image))
        image = await place.driver.image_facts(version.status.image)
        platform = f"{image.os or 'linux'}/{image.architecture}" if image and image.architecture else ""
        return version, replace(circumstances, image=image), platform

    async def _install(self, place: Workspace, version: Version, circumstances: Circumstances) -> _Step:
        artifact = place.artifacts.open(version.status.artifact)
        names = [path.name for path in artifact.path.iterdir()] if artifact else []
        framework = find_framework(version, names)
        libraries = described(version, framework, place.runtimes.catalogue)
        self._on_status(f"installing {libraries}")
        environment = await place.runtimes.environment(version, framework)
        image = await place.driver.environment(environment)
        return _with_status(version, image=image, framework=framework or ""), circumstances, libraries

    async def _copy(self, place: Workspace, version: Version, circumstances: Circumstances) -> _Step:
        uri = version.spec.deployment_uri
        if not uri:
            return version, circumstances, None
        self._on_status("copying the artifacts")
        artifact = await place.artifacts.fetch(uri)
        tree = await artifact_tree(uri, artifact, place.driver.storage_uri(PurePosixPath(artifact.path)))
        text = f"{artifact.files} files, {artifact.bytes} bytes"
        return _with_status(version, artifact=artifact.digest), replace(circumstances, artifacts=tree), text

    async def _try(self, trial: Trial, driver: Driver) -> Evidence:
        self._on_status("starting the container")
        try:
            await trial.start()
        except Error as error:
            return self._failure(trial.circumstances, Phase.START, StageName.START, error, trial.evidence(Phase.START))
        if await trial.alive():
            self.stages.passed(StageName.START)
        failed = await trial.until_healthy(self._on_status)
        evidence = trial.evidence(failed or Phase.HEALTH)
        known = {stage.name for stage in self.stages.told}
        if evidence.listening_s is not None:
            if StageName.START not in known:
                self.stages.passed(StageName.START)
            self.stages.passed(StageName.LISTEN, _address(evidence))
        if failed is not None:
            return self._not_healthy(evidence)
        last = evidence.health[-1]
        self.stages.passed(StageName.HEALTH, f"{last.outcome} in {last.latency_s * 1000:.0f} ms")
        rehearsal = Rehearsal(trial, driver, self._limits, self.stages, self._on_status)
        return await rehearsal.run(self._subject.instances)

    def _not_healthy(self, evidence: Evidence) -> Evidence:
        stage = {Phase.START: StageName.START, Phase.LISTEN: StageName.LISTEN}.get(evidence.phase, StageName.HEALTH)
        told = {one.name for one in self.stages.told}
        if stage in told:  # it had started, and ended before it listened
            stage = StageName.LISTEN if StageName.LISTEN not in told else StageName.HEALTH
        if evidence.exit is not None:
            text = f"the container {'was ' if evidence.exit.oom_killed else ''}{evidence.exit}"
        else:
            text = early_warning(evidence) or (str(evidence.health[-1]) if evidence.health else "no answer")
        self.stages.failed(stage, text)
        return evidence

    def _failure(
        self, circumstances: Circumstances, phase: Phase, stage: StageName, error: Error, seen: Evidence | None = None
    ) -> Evidence:
        self.stages.failed(stage, error.message.splitlines()[0])
        now = utc_now()
        evidence = seen or Evidence(
            version=circumstances.version,
            phase=phase,
            driver=circumstances.driver,
            now=now,
            elapsed_s=(now - self._start).total_seconds(),
            spec=circumstances.spec,
            host=circumstances.host,
            image=circumstances.image,
            artifacts=circumstances.artifacts,
        )
        return replace(evidence, error=error.message, error_reason=error.reason, hint=error.hint)

    def _spec(self, version: Version, storage_uri: str = "") -> SpecFacts:
        port = version.spec.container.port
        return spec_facts(version, port=port, storage_uri=storage_uri, dockerfile=self._subject.dockerfile)


def _with_status(version: Version, **fields: str) -> Version:
    return replace(version, status=replace(version.status, **fields))  # type: ignore[arg-type]


def _address(evidence: Evidence) -> str:
    """Return on which address it listens as it sees it itself."""
    sockets = (evidence.facts.sockets if evidence.facts else None) or ()
    own = [socket for socket in sockets if socket.port == evidence.spec.port]
    return str(own[0]).removeprefix("LISTEN ").partition(" ")[0] if own else f"port {evidence.spec.port}"

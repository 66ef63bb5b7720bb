"""Examination: makes the subject of a check, building its image where that is needed, and has it tried."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from modelport.cli import sources
from modelport.cli.building import build_image, find_engine
from modelport.cli.configuration import read_settings
from modelport.cli.extras import platform_extra
from modelport.cli.session import Session
from modelport.cli.subjects import Given
from modelport.cli.verdict import stage_line, tick
from modelport.core.errors import EngineUnreachable, Error, ImageBuildFailed
from modelport.doctor.log_text import plain

if TYPE_CHECKING:
    from modelport.check.report import Report, Stage

_WHAT = "A check"
_VERSION = "projects/check/models/{model}/versions/v1"


@dataclass(frozen=True)
class Request:
    """What was asked for; `driver` empty and `timeout_s` None leave it to the settings."""

    target: str
    given: Given
    options: sources.Overrides
    instances: list[Any] | None
    build_args: dict[str, str]
    driver: str = ""
    egress: bool = True
    timeout_s: float | None = None
    verbose: bool = False
    model: str = "model"


def examine(session: Session, request: Request) -> Report:
    """Return the report; stages are shown as they pass."""
    settings = read_settings(_WHAT)
    with platform_extra(_WHAT):
        import anyio

        from modelport.check.run import check
        from modelport.check.subject import CheckSettings, Subject
    given, engine = request.given, find_engine()
    driver = request.driver or settings.driver
    source = sources.Source(given.spec.version)
    if given.target:
        options = request.options
        driver = sources.chosen_driver(given.target, given.spec, options, driver=driver, engine=engine is not None)
        source = sources.plan(given.target, given.spec, options, driver=driver)
        if source.note:
            session.out.progress(tick("model", source.note, 0.0))
    source = sources.override(source, request.options)
    if source.preset:
        session.out.progress(tick("preset", source.preset, 0.0))
    folder = source.build
    if folder is not None:
        start = time.monotonic()
        try:
            built = build_image(
                session, folder, folder.name, engine=engine, build_args=request.build_args, verbose=request.verbose
            )
        except (ImageBuildFailed, EngineUnreachable) as error:
            return _not_built(request, folder, error, time.monotonic() - start, partial(show_stage, session))
        session.out.progress(tick("build", f"{built.image.tag} ({built.image.engine})", built.took_s))
        source = sources.with_image(source, built.image.tag)
    subject = Subject(
        request.target,
        source.version,
        request.instances or None,
        dockerfile=folder is not None,
        model=request.model,
    )
    limits = CheckSettings(**({"startup_timeout_s": request.timeout_s} if request.timeout_s else {}))
    with session.out.pending("starting") as pending:
        report = anyio.run(
            unless_told_to_end,
            partial(
                check,
                subject,
                settings=settings,
                limits=limits,
                driver_name=driver,
                egress=request.egress,
                on_stage=partial(show_stage, session),
                on_status=pending.say,
            ),
        )
    if report is None:
        raise typer.Abort
    return report


async def unless_told_to_end(run: Callable[[], Coroutine[Any, Any, Report]]) -> Report | None:
    """Return the report, or None after SIGINT or SIGTERM; then too what was started is removed first."""
    import anyio

    report: Report | None = None
    failure: Error | None = None
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _number in signals:
                    tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        try:
            report = await run()
        except Error as error:
            failure = error  # else it would leave in a group
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return report


def show_stage(session: Session, stage: Stage) -> None:
    """Write one stage."""
    if line := stage_line(stage):
        session.out.progress(line)


def _not_built(
    request: Request, folder: Path, error: Error, took_s: float, on_stage: Callable[[Stage], None]
) -> Report:
    """Return the report of an image that could not be built."""
    from modelport.check.report import Outcome, Report, Stage, StageName
    from modelport.doctor.diagnose import diagnose
    from modelport.doctor.evidence import Evidence, Phase, SpecFacts
    from modelport.doctor.redaction import is_secret_name, redacted

    secrets = {value for name, value in request.build_args.items() if is_secret_name(name)}
    evidence = redacted(
        Evidence(
            version=_VERSION.format(model=request.model),
            phase=Phase.IMAGE,
            driver="docker",
            now=datetime.now(UTC),
            elapsed_s=took_s,
            error="\n".join(line for line in plain(error.message).splitlines() if line.strip()),
            error_reason=error.reason,
            hint=error.hint,
            spec=SpecFacts(image=str(folder), dockerfile=True),
        ),
        secrets,
    )
    text = "the Dockerfile cannot be built" if isinstance(error, ImageBuildFailed) else evidence.error.splitlines()[0]
    failed = Stage(StageName.IMAGE, Outcome.FAILED, text, took_s)
    on_stage(failed)
    stages = [failed if name is failed.name else Stage(name, Outcome.SKIPPED, "", 0.0) for name in StageName]
    return Report(request.target, tuple(stages), evidence, diagnose(evidence))

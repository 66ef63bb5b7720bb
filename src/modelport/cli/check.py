"""`modelport check`: tries a container as the platform would, and says what is wrong with it, why, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from modelport import __version__
from modelport.check.report import Report
from modelport.cli import deploy, replay, sources
from modelport.cli.corrections import corrected, write_beside
from modelport.cli.examination import Request, examine, show_stage
from modelport.cli.findings import printable
from modelport.cli.junit import suite
from modelport.cli.output import Format
from modelport.cli.presets import Filled, filled
from modelport.cli.session import Session
from modelport.cli.specs import read_instances
from modelport.cli.subjects import Given, read_target
from modelport.cli.usage import UsageProblem, parse_pairs
from modelport.cli.verdict import verdict
from modelport.core.names import id_violation
from modelport.doctor.case import Case

_MODEL = "model"

TargetArgument = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="Image, spec file, folder with or without a Dockerfile, or a saved case."),
]
InstancesOption = Annotated[
    str,
    typer.Option("--instances", metavar="FILE", help="One instance in a line, or a JSON array. [default: `sample`]"),
]
ModelOption = Annotated[
    str, typer.Option("--model", metavar="MODEL", help="What the model is called, for routes with $AIP_MODEL_NAME.")
]
DriverOption = Annotated[
    Literal["auto", "docker", "process"] | None,
    typer.Option("--driver", help="What runs it; auto: docker where an engine answers. [default: auto]"),
]
NoEgressOption = Annotated[bool, typer.Option("--no-egress", help="Let it open no connection to the outside.")]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="S", min=1, help="Longest wait until it is healthy. [default: 120]"),
]
FixOption = Annotated[bool, typer.Option("--fix", help="Write the corrected spec beside the old one.")]
SaveOption = Annotated[
    Path | None, typer.Option("--save", metavar="FILE", help="Write all that was seen, without secrets, as a case.")
]
LogOption = Annotated[bool, typer.Option("--log", help="Show the last lines of the container's log on stderr.")]


def check(
    session: Session,
    target: TargetArgument,
    instances: InstancesOption = "",
    model: ModelOption = _MODEL,
    preset: deploy.PresetOption = "",
    predict_route: deploy.PredictOption = "",
    health_route: deploy.HealthOption = "",
    port: deploy.PortOption = None,
    machine_type: deploy.MachineOption = "",
    deployment_uri: deploy.UriOption = "",
    artifacts: deploy.ArtifactsOption = None,
    framework: deploy.FrameworkOption = "",
    runtime_version: deploy.RuntimeOption = "",
    python_version: deploy.PythonOption = "",
    package: deploy.PackageOption = None,
    prediction_class: deploy.ClassOption = "",
    env: deploy.EnvOption = None,
    command: deploy.CommandOption = "",
    args: deploy.ArgsOption = "",
    spec: deploy.SpecOption = None,
    build_arg: deploy.BuildArgOption = None,
    driver: DriverOption = None,
    no_egress: NoEgressOption = False,
    timeout: TimeoutOption = None,
    fix: FixOption = False,
    save: SaveOption = None,
    log: LogOption = False,
    verbose: deploy.VerboseOption = False,
) -> None:
    """Try a container as the platform would, and say what is wrong with it.

    Needs no running platform and touches nothing that is live. Exit code 0 only where the container conforms to the
    contract. A case that --save wrote is judged anew; nothing is run. --output junit is for CI.
    """
    options = deploy.overrides(
        preset=preset,
        predict_route=predict_route,
        health_route=health_route,
        port=port,
        machine_type=machine_type,
        deployment_uri=deployment_uri,
        artifacts=artifacts,
        framework=framework,
        runtime_version=runtime_version,
        python_version=python_version,
        package=package,
        prediction_class=prediction_class,
        env=env,
        command=command,
        args=args,
    )
    build_args = parse_pairs(build_arg or [], "--build-arg")
    if problem := id_violation(model, what="model"):
        raise UsageProblem(problem.rstrip("."), hint="Correct --model")
    given = read_target(target, spec)
    if isinstance(given, Case):
        if fix or instances or spec or build_args or model != _MODEL or options != sources.Overrides():
            raise UsageProblem(
                f"`{target}` is a case: what was seen is judged anew, and no option changes that",
                hint="Check the image, the spec or the folder itself",
            )
        report = replay.report_of(given)
        for stage in report.stages:
            show_stage(session, stage)
    else:
        request = Request(
            target,
            given,
            options,
            read_instances(instances) if instances else given.spec.sample,
            build_args,
            driver=driver or "",
            egress=not no_egress,
            timeout_s=timeout,
            verbose=verbose,
            model=model,
        )
        report = examine(session, request)
    known = filled(sources.overridden(given.written, options)) if isinstance(given, Given) else Filled({})
    _show(session, report, known)
    if log:
        lines = [f"    {printable(line.text)}" for line in report.evidence.log]
        session.out.note("\n".join(lines) or "    (the container wrote nothing)")
    if save is not None:
        replay.save(report, save, modelport=__version__)
        session.out.progress(f"saved {save}: judge it again with `modelport check {save}`")
    if fix and isinstance(given, Given):
        _fix(session, given, known.version, report)
    if not report.conforms:
        raise typer.Exit(1)


def _show(session: Session, report: Report, known: Filled) -> None:
    if session.out.format is Format.JUNIT:
        session.out.write(suite(report))
    else:
        preset = {"preset": {"name": known.preset, "fills": known.given}} if known.preset else {}
        session.out.show(report.document() | preset, verdict(report, session.out.width))


def _fix(session: Session, given: Given, spec: dict[str, Any], report: Report) -> None:
    better = corrected(spec, report.diagnosis)
    if better is None:
        if report.diagnosis.findings:
            session.out.progress("nothing to correct in the spec: what is wrong is in the container")
        return
    folder = Path(given.target) if Path(given.target).is_dir() else Path()
    written = write_beside(better, given.file, folder)
    session.out.progress(f"wrote {written}: check it with `modelport check {written}`")

"""`modelport deploy`: from a folder or an image to a version that answers, in one command."""

from __future__ import annotations

import json
import shlex
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from modelport.cli import sources
from modelport.cli.building import build_image, find_engine
from modelport.cli.presets import preset_named
from modelport.cli.progress import Line, seconds
from modelport.cli.session import Session
from modelport.cli.specs import FolderSpec, find_spec, read_folder_spec
from modelport.cli.usage import UsageProblem, parse_pairs, parse_target, parse_words
from modelport.cli.watch import typed, watch
from modelport.core.errors import AlreadyExists, VersionCannotBecomeReady
from modelport.sdk.client import Client, Json

TargetArgument = Annotated[
    str, typer.Argument(metavar="PATH|IMAGE", help="Folder with a Dockerfile or with a model's files, or an image.")
]
ModelOption = Annotated[str, typer.Option("--model", metavar="MODEL", help="Default: the folder's or image's name.")]
VersionOption = Annotated[
    str, typer.Option("--version", metavar="VERSION", help="Default: vYYYYMMDD_N, the next free.")
]
PresetOption = Annotated[
    str, typer.Option("--preset", metavar="P", help="Fill port and routes for a well-known server: triton, kserve …")
]
PredictOption = Annotated[
    str, typer.Option("--predict-route", "--routes-predict", metavar="PATH", help="Where the server takes predictions.")
]
HealthOption = Annotated[
    str,
    typer.Option("--health-route", "--routes-health", metavar="PATH", help="Where the server says that it is well."),
]
PortOption = Annotated[
    int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="Container port. [default: 8080]")
]
MachineOption = Annotated[
    str, typer.Option("--machine-type", metavar="T", help=f"CPU and memory. [default: {sources.DEFAULT_MACHINE_TYPE}]")
]
UriOption = Annotated[
    str, typer.Option("--deployment-uri", metavar="URI", help="Model files: gs://, s3://, az://, http(s)://, file://.")
]
ArtifactsOption = Annotated[
    Path | None, typer.Option("--artifacts", metavar="PATH", help="Model files: a local folder.")
]
FrameworkOption = Annotated[
    str,
    typer.Option(
        "--framework", metavar="F", help="Serve the folder's model: sklearn, xgboost … [default: by its files]"
    ),
]
RuntimeOption = Annotated[
    str, typer.Option("--runtime-version", metavar="V", help="Libraries for --framework. [default: the newest]")
]
PythonOption = Annotated[
    str, typer.Option("--python-version", metavar="X.Y", help="Python for --framework. [default: the one there is]")
]
PackageOption = Annotated[
    list[str] | None,
    typer.Option("--package", metavar="FILE|URI", help="Code to install: .whl or .tar.gz; repeatable."),
]
ClassOption = Annotated[
    str, typer.Option("--prediction-class", metavar="MODULE.CLASS", help="Your own code around the model.")
]
EnvOption = Annotated[list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="May be given several times.")]
CommandOption = Annotated[
    str, typer.Option("--command", metavar="TEXT", help="Instead of ENTRYPOINT, split as a shell would.")
]
ArgsOption = Annotated[str, typer.Option("--args", metavar="TEXT", help="Instead of CMD, split as a shell would.")]
SpecOption = Annotated[
    Path | None, typer.Option("--spec", metavar="FILE", help="Version in YAML or JSON. [default: PATH/modelport.yaml]")
]
NoDefaultOption = Annotated[bool, typer.Option("--no-default", help="Leave the model's default version as it is.")]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Return at once; the version comes up meanwhile.")]
BuildArgOption = Annotated[
    list[str] | None, typer.Option("--build-arg", metavar="NAME=VALUE", help="For the Dockerfile's ARG.")
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show the whole output of the build on stderr.")]


def deploy(
    session: Session,
    target: TargetArgument,
    model: ModelOption = "",
    version: VersionOption = "",
    preset: PresetOption = "",
    predict_route: PredictOption = "",
    health_route: HealthOption = "",
    port: PortOption = None,
    machine_type: MachineOption = "",
    deployment_uri: UriOption = "",
    artifacts: ArtifactsOption = None,
    framework: FrameworkOption = "",
    runtime_version: RuntimeOption = "",
    python_version: PythonOption = "",
    package: PackageOption = None,
    prediction_class: ClassOption = "",
    env: EnvOption = None,
    command: CommandOption = "",
    args: ArgsOption = "",
    spec: SpecOption = None,
    no_default: NoDefaultOption = False,
    no_wait: NoWaitOption = False,
    build_arg: BuildArgOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Make a folder or an image answer predictions.

    Builds the folder's Dockerfile where an engine runs, or serves the model in it; creates model and version, waits
    until it is READY, makes it the default, and prints a curl command. PATH/modelport.yaml says what a version needs
    beyond that.
    """
    options = overrides(
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
    name = parse_target(model or sources.model_id(target), session.project)
    found = _spec(target, spec)
    client = session.client_of(name.project)

    driver = str(client.status()["driver"]["name"])
    source = sources.override(sources.plan(target, found, options, driver=driver), options)
    if source.note:
        session.out.progress(str(Line("model", source.note)))
    if source.preset:
        session.out.progress(str(Line("preset", source.preset)))
    if source.build:
        source = _build(session, source, name.model, build_args, verbose=verbose)

    _ensure_model(client, name.model)
    operation = _create_version(client, name.model, version or name.version, source.version)
    if no_wait:
        hint = f"Watch it with `modelport operations wait {typed(operation, client)}`"
        session.out.show(operation, f"Started {operation['name']}\n{hint}")
        return

    def on_ready(ready: Json) -> str:
        if no_default:
            return ""
        if not ready.get("isDefault"):
            client.set_default_version(name.model, ready["name"].rpartition("/")[2])
        return "(now the default)"

    try:
        watch(session, client, operation, on_ready=on_ready)
    except VersionCannotBecomeReady as error:
        error.metadata["target"] = target
        raise
    created = client.get_version(name.model, operation["metadata"]["version"]["name"].rpartition("/")[2])
    address = created["name"] if no_default else created["name"].rpartition("/versions/")[0]
    session.out.show(created, f"\n{curl(client.endpoint, address, found.sample)}")


def overrides(
    *,
    preset: str,
    predict_route: str,
    health_route: str,
    port: int | None,
    machine_type: str,
    deployment_uri: str,
    artifacts: Path | None,
    framework: str,
    runtime_version: str,
    python_version: str,
    package: list[str] | None,
    prediction_class: str,
    env: list[str] | None,
    command: str,
    args: str,
) -> sources.Overrides:
    """Return what the options above say of a version."""
    if preset:
        preset_named(preset)
    if deployment_uri and artifacts:
        raise UsageProblem("--deployment-uri and --artifacts say the same thing", hint="Leave one of them out")
    return sources.Overrides(
        preset=preset,
        predict_route=predict_route,
        health_route=health_route,
        port=port,
        machine_type=machine_type,
        deployment_uri=str(artifacts.absolute()) if artifacts else deployment_uri,
        framework=framework,
        runtime_version=runtime_version,
        python_version=python_version,
        packages=tuple(_package(one) for one in package or ()),
        prediction_class=prediction_class,
        env=tuple(parse_pairs(env or [], "--env").items()),
        command=parse_words(command, "--command"),
        args=parse_words(args, "--args"),
    )


def curl(endpoint: str, name: str, sample: list[Any] | None) -> str:
    """Return a command that can be pasted into a shell; without a sample it says what to put in."""
    body = json.dumps({"instances": sample}) if sample else '{"instances": [YOUR INSTANCE]}'
    return f"curl -X POST {endpoint}/v1/{name}:predict -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def _package(text: str) -> str:
    if "://" in text:
        return text
    if not Path(text).is_file():
        raise UsageProblem(f"--package `{text}` is not a file", hint="Make one with `python -m build`, or name a URI")
    return str(Path(text).absolute())


def _spec(target: str, file: Path | None) -> FolderSpec:
    if file is None and sources.is_folder(target):
        file = find_spec(Path(target))
    return read_folder_spec(file) if file else FolderSpec({})


def _build(
    session: Session, source: sources.Source, name: str, build_args: dict[str, str], *, verbose: bool
) -> sources.Source:
    assert source.build is not None
    if not session.out.interactive:
        session.out.progress(str(Line("image", f"building {source.build / 'Dockerfile'}")))
    engine = find_engine()
    built = build_image(session, source.build, name, engine=engine, build_args=build_args, verbose=verbose)
    text = f"built {built.image.tag} ({built.image.engine}) in {seconds(built.took_s)}"
    session.out.progress(str(Line("image", text)))
    return sources.with_image(source, built.image.tag)


def _ensure_model(client: Client, model: str) -> None:
    try:
        client.create_model(model)
    except AlreadyExists:
        return  # made before, or by somebody else at this moment: either will do


def _create_version(client: Client, model: str, version: str, body: dict[str, Any]) -> Json:
    if version:
        return client.create_version(model, version, body)
    taken = {str(one["name"]).rpartition("/")[2] for one in client.list_versions(model)}
    while True:
        chosen = sources.next_version_id(taken, date.today())
        try:
            return client.create_version(model, chosen, body)
        except AlreadyExists:
            taken.add(chosen)

"""Writes docs/reference/*.md from the code: settings, errors, API, commands, conditions, findings.

`scripts/reference` runs it. Nothing is typed here that the code knows; what the code has no words for (what a variable
or a condition means) stands in a table below, and a missing entry is an error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from docs.facts import commands, gateway_rows, kinds, openapi_document
from docs.findings import finding_page, index_rows, message_rows
from docs.listener import datatype_rows, format_rows, sections
from docs.server_settings import HEADS, PREDICTION_SERVER, setting_rows
from modelport.api.errors import DOMAIN
from modelport.api.ml_v1 import messages
from modelport.api.ml_v1.convert import version_draft
from modelport.api.ml_v1.reading import parse
from modelport.api.query import SYSTEM_PARAMETERS
from modelport.cli.main import app as command_line
from modelport.cli.presets import PRESETS, filled
from modelport.control.google_runtimes import GOOGLE_RUNTIMES
from modelport.control.runtime_catalogue import SHIPPED, library, read_catalogue
from modelport.control.runtime_rules import main_pins
from modelport.control.version_rules import GPU_TYPES, version_violations
from modelport.core.conditions import ConditionType, Truth
from modelport.core.environment import invocation
from modelport.core.errors import Code, Error
from modelport.core.machine_types import GIB, MACHINE_TYPES
from modelport.core.names import ModelName, VersionName
from modelport.core.replicas import Accelerators
from modelport.core.resources import ContainerSpec, OperationType, Version, VersionSpec, VersionState
from modelport.core.version_replicas import replica_spec
from modelport.doctor.rules import RULES
from modelport.drivers.docker_spec import MODEL_DIR
from modelport.server.config import settings as server_settings
from modelport.server.listener.listener_config import listener_settings
from modelport.settings import Settings

REFERENCE = Path(__file__).parent / "reference"

_NOTE = "<!-- Written by scripts/reference from the code; change the code, then run it again. -->"

_VARIABLES = {
    "AIP_PROJECT_NUMBER": "Number of the project. The same project always has the same number.",
    "AIP_MODEL_NAME": "Name of the model.",
    "AIP_VERSION_NAME": "Name of the version.",
    "AIP_FRAMEWORK": "`CUSTOM_CONTAINER`; without a container the framework, empty where only code knows.",
    "AIP_MODE_VERSION": "Version of the container contract.",
    "AIP_MACHINE_TYPE": "`machineType` of the version; absent where it has none.",
    "AIP_ACCELERATOR_TYPE": "`acceleratorConfig.type`; absent where the version has no accelerators.",
    "AIP_HEALTH_ROUTE": "Path that must answer 200 once predictions can be served.",
    "AIP_PREDICT_ROUTE": "Path to which predictions are posted.",
    "AIP_HTTP_PORT": "Port to listen on: the first of `container.ports`, else 8080. The process driver picks one.",
    "AIP_STORAGE_URI": "Folder with the copy of `deploymentUri`, read-only in a container; empty where there is none.",
    "PORT": "The same as `AIP_HTTP_PORT`, for servers that know only this name. A `PORT` of your own in `env` wins.",
}
_CONDITIONS = {
    ConditionType.IMAGE_PINNED: "The image is known by a reference that never changes, and is on this machine. Without"
    " a container: the libraries are installed.",
    ConditionType.ARTIFACTS_COPIED: "The files below `deploymentUri` are in the cache, or there are none to copy.",
    ConditionType.STARTED: "The processes of all replicas run.",
    ConditionType.LISTENING: "All replicas accept connections on their port.",
    ConditionType.HEALTHY: "All replicas answer 200 on the health route.",
    ConditionType.ROUTED: "The gateway has confirmed that all replicas take requests.",
}
_TRUTHS = {
    Truth.TRUE: "It holds.",
    Truth.FALSE: "It does not hold; `message` says what is seen instead.",
    Truth.UNKNOWN: "Nobody has looked.",
}
_STATES = {
    VersionState.CREATING: "It is on its way to READY for the first time.",
    VersionState.READY: "It was routed with all its replicas. Later trouble shows in the conditions, not in the state.",
    VersionState.FAILED: "It will not serve; `errorMessage` says why. Delete it.",
    VersionState.DELETING: "Its routes are gone; its replicas finish their requests and stop.",
    VersionState.UPDATING: "Its number of replicas was changed, and the new number is not reached yet.",
}


def pages() -> dict[str, str]:
    """Return every page of the reference by its file name."""
    return {
        "settings.md": _page("Settings", _settings()),
        "errors.md": _page("Errors", _errors()),
        "api.md": _page("API", _api()),
        "cli.md": _page("Command line", _cli()),
        "environment-variables.md": _page("Environment of a replica", _environment()),
        "listener.md": _page("Listener", _listener()),
        "machine-types.md": _page("Machine types", _machine_types()),
        "prediction-server.md": _page(
            "Prediction server", [PREDICTION_SERVER, _table(HEADS, setting_rows(server_settings()))]
        ),
        "presets.md": _page("Presets", _presets()),
        "runtime-versions.md": _page("Runtime versions", _runtime_versions()),
        "conditions.md": _page("States and conditions", _conditions()),
        "findings.md": _page("Findings", _findings()),
        **{f"findings/{rule.code}.md": _page(rule.code, finding_page(rule)) for rule in RULES},
    }


def main() -> None:
    """Write the pages."""
    (REFERENCE / "findings").mkdir(parents=True, exist_ok=True)
    written = pages()
    for stale in {str(path.relative_to(REFERENCE)) for path in REFERENCE.rglob("*.md")} - set(written):
        (REFERENCE / stale).unlink()
    for name, text in written.items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {len(written)} pages to {REFERENCE}\n")


def _settings() -> Iterator[str]:
    yield "What `modelport serve` runs with. Each is an environment variable; three are options too, which win."
    yield "Lists are written in JSON: `MODELPORT_LOCAL_ROOTS='[\"/srv/models\"]'`."
    flags = {parameter.name for parameter in commands()["modelport serve"].params}
    rows = []
    for name, field in Settings.model_fields.items():
        flag = f"`--{name.replace('_', '-')}`" if name in flags else ""
        rows.append((f"`MODELPORT_{name.upper()}`", flag, _default(field.default), field.description or ""))
    yield _table(("variable", "option", "default", "meaning"), rows)


def _errors() -> Iterator[str]:
    yield (
        "Every error of the API has the shape of Google's APIs. Match on `reason`: it never changes, whereas messages"
        " are for people and do."
    )
    yield _fenced("json", _ERROR_EXAMPLE)
    yield (
        f"`details` holds `google.rpc.ErrorInfo` (reason, metadata; the domain is `{DOMAIN}`), `google.rpc.BadRequest`"
        " with one entry for each violation where fields are wrong, and `google.rpc.LocalizedMessage` with the hint."
    )
    yield "## Of the control plane"
    yield "The class is what the SDK raises: `modelport.core.errors`."
    rows = []
    for kind in kinds(Error):
        if kind is not Error and kind.__module__ == Error.__module__:
            rows.append(
                (f"`{kind.reason}`", f"`{kind.code.name}`", str(kind.code.http_status), kind.__name__, _first(kind))
            )
    yield _table(("reason", "code", "HTTP", "class", "meaning"), rows)
    yield "## Of the router"
    yield _table(
        ("reason", "code", "HTTP", "meaning"),
        [
            (
                "`METHOD_NOT_ALLOWED`",
                "`UNIMPLEMENTED`",
                "405",
                "The path exists, with other HTTP methods; see `Allow`.",
            ),
            ("`HTTP_ERROR`", "by status", "any", "The web framework refused the request."),
        ],
    )
    yield "## Of the gateway"
    yield "HAProxy answers these itself. What a container answers is passed on untouched, whatever its status."
    yield _table(("reason", "code", "HTTP", "message"), gateway_rows())
    yield "## Of the command line"
    yield _table(
        ("reason", "exit code", "meaning"),
        [
            ("`USAGE`", "2", "The command line, or a file that it names, is wrong; nothing was sent."),
            ("`CONTROL_PLANE_UNREACHABLE`", "3", "Nothing answers at the endpoint."),
            ("any other", "1", "The platform said no."),
        ],
    )
    yield "## Codes"
    codes = [(f"`{c.name}`", str(c.number), str(c.http_status), "yes" if c.retryable else "") for c in Code]
    yield _table(("code", "number", "HTTP", "retry the same call"), codes)


def _api() -> Iterator[str]:
    openapi = openapi_document()
    yield (
        "Methods under `/v1` are those of `ml.v1`. `GET /$discovery/rest?version=v1` is their discovery document,"
        " `GET /modelport/v1/openapi.json` the OpenAPI description of everything."
    )
    names = {"ml.": "Of ml.v1", "modelport.": "Of modelport"}
    for prefix, title in names.items():
        yield f"## {title}"
        rows = []
        for path, operations in openapi["paths"].items():
            for verb, operation in operations.items():
                if operation["operationId"].startswith(prefix):
                    query = ", ".join(f"`{p['name']}`" for p in operation.get("parameters", ()) if p["in"] == "query")
                    rows.append(
                        (f"`{operation['operationId']}`", f"`{verb.upper()} {path}`", query, _sentence(operation))
                    )
        yield _table(("method", "request", "query", "meaning"), rows)
    yield "Every method of ml.v1 also takes: " + ", ".join(f"`{name}`" for name in SYSTEM_PARAMETERS) + "."
    yield "`fields` selects parts of the response, `prettyPrint=false` leaves out white space; `alt` must be `json`."
    yield "A POST with `x-http-method-override: GET` and the query as a form counts as that GET."
    yield "## Messages"
    yield "Names may be written in camelCase or snake_case. Unknown fields are refused, all violations at once."
    for kind in _MESSAGES:
        yield f"### {kind.__name__}"
        yield _first(kind)
        properties = openapi["components"]["schemas"][kind.__name__]["properties"]
        yield _table(("field", "type"), [(f"`{name}`", _type(schema)) for name, schema in properties.items()])
    yield "### Fields of a version that are refused"
    yield _table(("field", "why"), _refused_fields())


def _cli() -> Iterator[str]:
    yield (
        "Results go to stdout, errors to stderr. Exit codes: 0 done, 1 the platform said no, 2 the command is wrong,"
        " 3 the platform is out of reach, 130 Ctrl-C (which ends the watching, not the operation)."
    )
    known = commands()
    shared = {"--endpoint", "--project", "--output", "--help"}
    yield "`--help` explains every command. Every one but `serve` takes these, before or after its name:"
    yield _table(("option", "meaning"), _options(known["modelport version"].params, only=shared))
    for name, command in known.items():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join([name, *(_metavar(p) for p in arguments)])
        yield f"## {name}"
        yield _fenced("text", usage)
        yield " ".join((command.help or "").split())
        rows = [(f"`{_metavar(p)}`", p.help or "") for p in arguments]
        if rows:
            yield _table(("argument", "meaning"), rows)
        if options := _options(command.params, without=shared):
            yield _table(("option", "meaning"), options)


def _environment() -> Iterator[str]:
    name = VersionName("demo", "iris", "v1")
    container = ContainerSpec("registry.example/iris:1")
    spec = VersionSpec(container, machine_type="n1-standard-4", accelerators=Accelerators(1, GPU_TYPES[4]))
    version = Version(name, uid="", spec=spec, create_time=datetime.now(UTC))
    env = invocation(replica_spec(version, 0, attempt=1, model_dir=None), port=8080, storage_uri=MODEL_DIR).env
    yield (
        "What every replica finds in its environment, beside `env` of its version. The values are those of"
        f" `{name}` in a container, without `ports` and `routes`."
    )
    yield _table(("variable", "example", "meaning"), [(f"`{k}`", f"`{v}`", _VARIABLES[k]) for k, v in env.items()])
    yield (
        "Names that begin with `AIP_` are refused in `env`. `AIP_MODE` is not set: some model servers switch their"
        " ordinary ports off when they see it."
    )
    yield "## References"
    yield _table(
        ("written", "replaced in", "by"),
        [
            ("`$(NAME)`", "`command`, `args`, values of `env`, `routes`", "an `AIP_*` variable or an entry of `env`"),
            ("`$AIP_NAME`, `${AIP_NAME}`", "`command`, `args`, `routes`", "an `AIP_*` variable (an extension)"),
            ("`$$(NAME)`", "the same as `$(NAME)`", "the text `$(NAME)`"),
        ],
    )
    yield "A reference to an unknown name stays as it is written. Variables of the image itself cannot be referred to."


def _listener() -> Iterator[str]:
    yield (
        "What stands in listener.yaml. The guide is [Listeners](../guides/listener.md). `modelport listener check` says"
        " what is wrong with a file, each with its line; durations are seconds unless their name says otherwise."
    )
    for title, text, rows in sections():
        yield f"## {title}"
        yield text
        yield _table(("key", "value", "default", "meaning"), rows)
    yield "## Formats"
    yield "`format` of a model, and `accepts`: each can be read and written on both sides."
    yield _table(("format", "meaning"), format_rows())
    yield "## Types"
    yield (
        "`FP32[4]`, `INT64[-1,3]`, `BYTES`: the type of one row, without the axis of the rows; -1 is any size. A single"
        " value goes where one of shape `[1]` is wanted, and whole numbers go where numbers are. What is known of what"
        " a step gives is held against what the next one takes, before anything starts."
    )
    yield _table(("elements", "hold"), datatype_rows())
    yield "## Settings"
    yield "Of `modelport-listener`, as options or variables; options win. Where no listener is named, it looks for one."
    yield _table(HEADS, setting_rows(listener_settings()))


def _machine_types() -> Iterator[str]:
    yield (
        "A machine type is a limit on CPU and memory for each replica. The docker driver enforces it; the process"
        " driver does not. Without `machineType` there is no limit."
    )
    rows = [
        (f"`{m.name}`", f"{m.cpus:g}", f"{m.memory_bytes / GIB:g} GiB", "yes" if m.accelerators else "")
        for m in MACHINE_TYPES.values()
    ]
    yield _table(("machine type", "vCPUs", "memory", "GPUs allowed"), rows)
    yield "## Accelerators"
    yield "`acceleratorConfig.type` is one of " + ", ".join(f"`{name}`" for name in GPU_TYPES) + "."


def _presets() -> Iterator[str]:
    yield (
        "`preset: NAME` in a spec, or `--preset NAME` of `modelport deploy` and `modelport check`, fills what a"
        " well-known model server needs. What the spec or another option says itself always wins, field by field;"
        " `command` and `args` count as one. The API knows no presets: it is sent the fields."
    )
    rows = [
        (f"[`{name}`](#{name})", one.title, str(one.port), f"`{one.health}`", f"`{one.predict}`")
        for name, one in PRESETS.items()
    ]
    yield _table(("preset", "server", "port", "health", "predict"), rows)
    for name, preset in PRESETS.items():
        yield f"## {name}"
        yield f"For images of {preset.title}: {preset.images}."
        if preset.files:
            yield f"Below `deploymentUri`: {preset.files}"
        if preset.remark:
            yield preset.remark
        version = filled({"preset": name, "deploymentUri": "gs://…"}).version
        yield _fenced("json", json.dumps({part: version[part] for part in ("container", "routes")}, indent=2))
        if preset.files:
            yield "What names `AIP_STORAGE_URI` is left out where the version has no `deploymentUri`."


def _runtime_versions() -> Iterator[str]:
    yield (
        "A version without a container names a `runtimeVersion`, which stands for pinned libraries; without one it gets"
        " the newest. `MODELPORT_RUNTIME_VERSIONS` names a file with others."
    )
    for version in read_catalogue(SHIPPED).versions:
        yield f"## {version.name}"
        yield f"Python {', '.join(version.pythons)}. Every environment has these, for modelport's own server:"
        yield _pins(version.server)
        for framework, pins in version.frameworks.items():
            yield f"### {framework} in {version.name}"
            main = {library(pin) for pin in main_pins(framework, pins)}
            yield _pins(sorted(pins, key=lambda pin: (library(pin) not in main, pin)))
    yield "## Of Google's old service"
    yield (
        "Their libraries are not offered: they need a Python that is no longer maintained. A version that names one is"
        " refused, with the nearest of ours in the message."
    )
    names = ", ".join(f"`{name}`" for name in GOOGLE_RUNTIMES)
    yield f"Known by name are {names}; each had the TensorFlow of its number."


def _pins(pins: Iterable[str]) -> str:
    return ", ".join(f"`{pin.replace('==', ' ')}`" for pin in pins) + "."


def _conditions() -> Iterator[str]:
    yield "`modelport versions describe` and the method `modelport.versions.inspect` show conditions."
    yield "## Conditions of a version"
    yield "In the order in which they turn true. Each has `since`, the time at which it last turned."
    yield _table(("condition", "holds when"), [(f"`{one}`", _CONDITIONS[one]) for one in ConditionType])
    yield _table(("status", "meaning"), [(f"`{one}`", _TRUTHS[one]) for one in Truth])
    yield "## States of a version"
    yield _table(("state", "meaning"), [(f"`{one}`", _STATES[one]) for one in VersionState])
    yield "## Types of operations"
    yield ", ".join(f"`{one}`" for one in OperationType) + "."


def _findings() -> Iterator[str]:
    yield (
        "What the doctor finds: in `modelport check`, in the error of a version that cannot become ready, in `modelport"
        " status`. The first error is the cause; others are its consequences. A code never changes its meaning."
    )
    yield "`modelport explain CODE` prints the page of a code. The most certain rules are asked first, in this order:"
    yield _table(("code", "severity", "meaning"), index_rows())
    yield "## What other platforms say"
    yield "The same failure in the words of others, with the codes that may stand behind it."
    yield _table(("message", "platform", "codes"), message_rows())


def _refused_fields() -> Iterator[Sequence[str]]:
    samples: dict[str, Any] = {"serviceAccount": "x", "explanationConfig": {}, "requestLoggingConfig": {}}
    for name in (field.alias or "" for field in messages.Version.model_fields.values()):
        if name in samples:
            draft = version_draft(parse({name: samples[name]}, messages.Version, "version"))
            found = version_violations(draft, ModelName("demo", "iris"))
            yield f"`{name}`", next(one.description for one in found if one.field == f"version.{name}")
    yield "`autoScaling.maxNodes`", "More than `minNodes` is not enforced yet; leave it out or make them equal."
    yield "`autoScaling.metrics`", "Scaling by metrics is not enforced yet; leave it out."


# How it is written.

_MESSAGES: tuple[type[messages.Message], ...] = (
    messages.Model,
    messages.Version,
    messages.ContainerSpec,
    messages.EnvVar,
    messages.ContainerPort,
    messages.RouteMap,
    messages.AcceleratorConfig,
    messages.AutoScaling,
    messages.ManualScaling,
    messages.Operation,
    messages.OperationMetadata,
)

_ERROR_EXAMPLE = """\
{
  "error": {
    "code": 404,
    "message": "Model `projects/demo/models/iris` does not exist",
    "status": "NOT_FOUND",
    "details": [
      {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "MODEL_NOT_FOUND",
        "domain": "modelport",
        "metadata": {"resource": "projects/demo/models/iris"}
      },
      {
        "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
        "locale": "en",
        "message": "List models with `modelport models list`"
      }
    ]
  }
}"""


def _page(title: str, parts: Iterable[str]) -> str:
    return "\n\n".join((_NOTE, f"# {title}", *parts)) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _options(params: Iterable[Any], *, only: Collection[str] = (), without: Collection[str] = ()) -> list[list[str]]:
    rows = []
    for parameter in params:
        names = set(parameter.opts)
        if parameter.param_type_name == "option" and names.isdisjoint(without) and (not only or names & set(only)):
            metavar = "" if parameter.is_flag else " " + _metavar(parameter)
            default = parameter.default
            shown = f" Default: {default}." if isinstance(default, int) and not isinstance(default, bool) else ""
            rows.append([f"`{', '.join(parameter.opts)}{metavar}`", f"{parameter.help or ''}{shown}"])
    return rows


def _metavar(parameter: Any) -> str:
    shown = parameter.metavar or parameter.display_type(typer.Context(get_command(command_line))).strip("<>")
    return "N" if shown.startswith("int") else str(shown)


def _default(value: object) -> str:
    match value:
        case "":
            return ""
        case tuple():
            return f"`[{', '.join(str(one) for one in value)}]`"
        case int() if value >= GIB:
            return f"`{value}` ({value // GIB} GiB)"
        case int() if value >= 1024**2:
            return f"`{value}` ({value // 1024**2} MiB)"
    return f"`{value}`"


def _type(schema: dict[str, Any]) -> str:
    """Return the type of a property in a few words; a property may always be absent."""
    for part in schema.get("anyOf", [schema]):
        if "$ref" in part:
            return str(part["$ref"]).rpartition("/")[2]
        match part.get("type"):
            case "null":
                continue
            case "array":
                return f"list of {_type(part['items'])}"
            case "object":
                return "object"
            case kind:
                return f"{kind} ({part['format']})" if "format" in part else str(kind)
    return "any"


def _first(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _sentence(operation: dict[str, Any]) -> str:
    return " ".join(str(operation.get("description", "")).split())


if __name__ == "__main__":
    main()

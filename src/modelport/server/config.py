"""The settings of one server, each once: what it means, what it may be, and where else it may be said.

This table makes the flags, the MODELPORT_SERVER_* variables and the keys of `server:` in modelport.yaml, which
`configure` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from modelport.core.frameworks import Framework
from modelport.server.loaders.device import Device

PREFIX = "MODELPORT_SERVER_"


@dataclass(frozen=True)
class Setting:
    """What is known of one setting.

    Attributes:
        name: of the field; `--max-queue`, MODELPORT_SERVER_MAX_QUEUE and `max_queue:` follow from `max_queue`.
        default: the value where nobody says anything; its type is the setting's.
        help: one sentence.
        otherwise: what the default leads to, where that is not plain from it.
        contract: variables of the container contract, or of custom, that are read when nothing else says anything.
        choices: the values it may have; empty: any.
        least: the smallest number it may be.
        most: the largest number it may be.
        prefix: of its environment variable.
    """

    name: str
    default: Any
    help: str
    otherwise: str = ""
    contract: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    prefix: str = PREFIX

    @property
    def flag(self) -> str:
        """Return how it is spelled on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Return the name of its environment variable."""
        return f"{self.prefix}{self.name.upper()}"

    @property
    def fallback(self) -> str:
        """Return in words what holds where nobody says anything."""
        if self.otherwise or self.default in (None, "", ()):
            return self.otherwise
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return str(self.default)


def _about(help: str, **more: Any) -> Mapping[str, Any]:
    """Return the metadata of a field: what `Setting` says beside its name and default."""
    return {"help": help, **more}


@dataclass(frozen=True)
class ServerConfig:
    """What a server was told. Zero and empty mean: chosen by the server."""

    model_dir: Path | None = field(
        default=None, metadata=_about("Folder of the model, or its one file.", contract=("AIP_STORAGE_URI",))
    )
    framework: str = field(
        default="",
        metadata=_about(f"Framework of the model files: {', '.join(Framework)}.", otherwise="recognised by the files"),
    )
    model_file: str = field(
        default="", metadata=_about("Name of the model's file in the folder, where there are several.")
    )
    trusted_types: tuple[str, ...] = field(
        default=(),
        metadata=_about("Types that a skops file may hold beside those known to be harmless, separated by commas."),
    )
    predictor: str = field(default="", metadata=_about("Code to serve: MODULE:CLASS, MODULE.CLASS or FILE.py:CLASS."))
    multi_model: bool = field(
        default=False,
        metadata=_about("The folder holds several models, one in each subfolder; they are loaded when asked for."),
    )
    memory_budget_mb: int = field(
        default=0,
        metadata=_about(
            "MiB of memory for several models; the one least recently used makes room for another.",
            otherwise="three quarters of the memory limit",
            least=0,
        ),
    )
    model_header: str = field(
        default="x-model", metadata=_about("Header that names the model on the predict route, where there are several.")
    )
    method: str = field(
        default="predict",
        metadata=_about("Method of the model, where it has several: predict, predict_proba, decision_function."),
    )
    signature: str = field(default="", metadata=_about("Signature of a SavedModel.", otherwise="serving_default"))
    device: str = field(
        default=Device.AUTO.value,
        metadata=_about(
            "Where the model computes: on a GPU where its framework finds one, never on one, or on one or not at all.",
            choices=tuple(one.value for one in Device),
        ),
    )
    model_name: str = field(default="model", metadata=_about("Name of the model.", contract=("AIP_MODEL_NAME",)))
    model_version: str = field(default="", metadata=_about("Name of the version.", contract=("AIP_VERSION_NAME",)))
    host: str = field(default="0.0.0.0", metadata=_about("Address to listen on."))
    port: int = field(
        default=8080, metadata=_about("Port to listen on.", contract=("AIP_HTTP_PORT", "PORT"), least=0, most=65535)
    )
    grpc_port: int = field(
        default=0,
        metadata=_about(
            "Port for the Open Inference Protocol over gRPC; needs modelport[grpc].",
            otherwise="no gRPC",
            least=0,
            most=65535,
        ),
    )
    health_route: str = field(
        default="/health", metadata=_about("Where health is told.", contract=("AIP_HEALTH_ROUTE",))
    )
    predict_route: str = field(
        default="/predict", metadata=_about("Where predictions are made.", contract=("AIP_PREDICT_ROUTE",))
    )
    workers: int = field(
        default=0, metadata=_about("Worker processes.", otherwise="by framework and CPU limit", least=0, most=1024)
    )
    threads: int = field(
        default=0,
        metadata=_about(
            "Threads of a worker for the model.", otherwise="by framework and CPU limit", least=0, most=1024
        ),
    )
    batch_max_rows: int = field(
        default=256, metadata=_about("Most rows in one call of the model; 1 switches batching off.", least=1)
    )
    batch_max_delay_ms: float = field(
        default=0.0,
        metadata=_about("How long a call may wait for more rows, where more are to be expected.", least=0, most=60_000),
    )
    max_queue: int = field(
        default=1024, metadata=_about("Most requests that wait for the model; more get 429.", least=1)
    )
    max_body_bytes: int = field(
        default=128 * 1024**2, metadata=_about("Largest request body; a larger one gets 413.", least=1)
    )
    nan: str = field(
        default="null",
        metadata=_about(
            "What becomes of NaN and infinity among predictions: null, or an error.", choices=("null", "error")
        ),
    )
    drain_s: float = field(
        default=25.0, metadata=_about("Time for running requests to be answered after SIGTERM.", least=0)
    )
    idle_timeout_s: float = field(
        default=620.0, metadata=_about("How long a connection is kept without a request.", least=0.01)
    )
    read_timeout_s: float = field(
        default=60.0,
        metadata=_about("How long a caller may take to send headers, or pause in sending or reading.", least=0.01),
    )
    access_log: bool = field(default=False, metadata=_about("Log each request as a line of JSON on stdout."))


def settings() -> Mapping[str, Setting]:
    """Return what is known of every setting, by the name of its field."""
    return {one.name: Setting(one.name, one.default, **one.metadata) for one in fields(ServerConfig)}

"""Every setting of the control plane, typed and frozen; from MODELPORT_* variables or `modelport serve` flags."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DriverName = Literal["auto", "docker", "process", "fake"]
RuntimeImages = Literal["auto", "base", "host"]

# Unix socket paths end at 108 bytes (104 on macOS); the longest name below the data directory needs 28 of them.
_MAX_DATA_DIR = 76


class Settings(BaseSettings):
    """What `modelport serve` runs with. The description of each field is its entry in the reference."""

    model_config = SettingsConfigDict(env_prefix="MODELPORT_", frozen=True, extra="forbid")

    data_dir: Path = Field(
        default=Path("~/.modelport"), description="Database, artifact cache, logs and sockets. One control plane each."
    )
    listen: str = Field(default="127.0.0.1:8470", description="HOST:PORT of the one public port: API and predictions.")
    driver: DriverName = Field(
        default="auto",
        description="What runs replicas. `auto`: what the data directory was used with before; at first docker where an"
        " engine's socket is, else process.",
    )
    docker_host: str = Field(
        default="", description="Engine socket, as in DOCKER_HOST (honoured too); empty: look at the usual places."
    )
    haproxy: str = Field(default="", description="HAProxy binary (2.6 or newer); empty: the bundled one, else PATH.")
    haproxy_threads: int = Field(default=1, ge=1, le=64, description="HAProxy threads.")
    slots: int = Field(default=1024, ge=1, le=8192, description="Most live versions that the gateway can hold.")

    max_concurrency: int = Field(default=64, ge=1, description="Requests at one time on one replica.")
    max_queue: int = Field(default=256, ge=0, description="Requests that may wait per version; more get 429.")
    queue_timeout_s: float = Field(
        default=30, ge=8, description="Longest wait in a version's queue; two retries of a connection must fit in."
    )
    predict_timeout_s: float = Field(default=60, gt=0, description="Longest silence of a replica during a prediction.")
    max_request_bytes: int = Field(default=10 * 1024**2, ge=1, description="Largest declared request body.")
    max_response_bytes: int = Field(default=10 * 1024**2, ge=1, description="Largest declared response body.")

    probe_period_s: float = Field(
        default=10, gt=0, description="Pause between health checks, and before liveness retries."
    )
    probe_timeout_s: float = Field(default=10, gt=0, description="Longest wait for one health answer.")
    probe_failures: int = Field(default=4, ge=1, description="Consecutive failures that count: 4 in the contract.")
    probe_start_period_s: float = Field(default=0.03, gt=0, description="Pause between probes while a replica starts.")
    prepare_deadline_s: float = Field(
        default=3600, gt=0, description="Longest time that an engine or object store may be away during create."
    )
    create_deadline_s: float = Field(default=300, gt=0, description="A version not READY by then is FAILED.")
    start_attempts: int = Field(default=2, ge=1, description="Starts that may fail before a new version is FAILED.")
    stop_grace_s: float = Field(default=10, ge=0, description="Time between SIGTERM and SIGKILL.")
    drain_s: float = Field(default=60, ge=0, description="Longest wait for a leaving replica's requests to finish.")

    artifact_max_files: int = Field(default=1000, ge=1, description="Most files below one deploymentUri.")
    artifact_max_bytes: int = Field(default=10 * 1024**3, ge=1, description="Most bytes below one deploymentUri.")
    image_folder_max_bytes: int = Field(
        default=2 * 1024**3, ge=1, description="Largest folder that the process driver takes as an image."
    )
    runtime_versions: Path | None = Field(
        default=None,
        description="Catalogue of runtime versions (TOML) instead of the one that comes with modelport.",
    )
    runtime_base_image: str = Field(
        default="python:{python}-slim",
        description="Image on which the docker driver builds environments: Python of the version `{python}`, with venv"
        " and pip. A pip.conf in it counts.",
    )
    runtime_images: RuntimeImages = Field(
        default="auto",
        description="How the docker driver makes images of environments. `base`: on the base image; `host`: out of this"
        " machine's own Python, which needs no registry; `auto`: host where the base image cannot be had.",
    )
    environment_dir: Path | None = Field(
        default=None,
        description="Folder of the process driver's environments, one for each set of libraries. By default it is part"
        " of the data directory, and what no version has used for a day is removed; a folder named here is for several"
        " to share, and nothing is removed.",
    )
    local_roots: tuple[Path, ...] = Field(
        default=(Path("/"),), description="Folders that local deploymentUri and image paths may lie in."
    )

    log_bytes: int = Field(default=10 * 1024**2, ge=4096, description="Size at which a replica's log file rotates.")
    log_files: int = Field(default=3, ge=1, description="Log files kept for each replica.")
    log_days: int = Field(default=7, ge=0, description="Days that logs of deleted versions are kept.")
    operation_days: int = Field(default=90, ge=1, description="Days that operations are kept after they have ended.")

    @field_validator("runtime_versions", "environment_dir")
    @classmethod
    def _expanded(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().absolute()

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        path = value.expanduser().absolute()
        if len(str(path)) > _MAX_DATA_DIR:
            raise ValueError(
                f"`{path}` has {len(str(path))} characters; sockets lie below it, which allows {_MAX_DATA_DIR}."
                " Choose a shorter --data-dir."
            )
        return path

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"`{value}` is not HOST:PORT, such as 127.0.0.1:8470")
        return value

    @property
    def url(self) -> str:
        """Return the base URL that clients on this machine use."""
        host, _, port = self.listen.rpartition(":")
        return f"http://{'127.0.0.1' if host in ('0.0.0.0', '*', '[::]') else host}:{port}"

    @property
    def database(self) -> Path:
        """Return the SQLite file."""
        return self.data_dir / "modelport.db"

    @property
    def cache_dir(self) -> Path:
        """Return the folder of copied artifacts and image folders."""
        return self.data_dir / "cache"

    @property
    def environments(self) -> Path:
        """Return the folder in which the process driver keeps the environments that it built."""
        return self.environment_dir or self.data_dir / "environments"

    @property
    def package_dir(self) -> Path:
        """Return the folder in which modelport itself is kept as a package, for environments."""
        return self.data_dir / "packages"

    @property
    def log_dir(self) -> Path:
        """Return the folder with one folder of logs for each replica."""
        return self.data_dir / "logs"

    @property
    def replica_dir(self) -> Path:
        """Return the folder in which the process driver keeps its replicas."""
        return self.data_dir / "replicas"

    @property
    def gateway_dir(self) -> Path:
        """Return the folder of the gateway's configuration, log and admin socket."""
        return self.data_dir / "gateway"

    @property
    def api_socket(self) -> Path:
        """Return the Unix socket on which the control plane serves the API to the gateway."""
        return self.data_dir / "api.sock"

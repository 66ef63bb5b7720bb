"""The composition root: makes every part from the settings and hands them to one another. Starts nothing."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from modelport import __version__
from modelport.api.services import Services
from modelport.artifacts.base import ArtifactLimits
from modelport.artifacts.cache import ArtifactCache
from modelport.control.actions import Actions
from modelport.control.diagnostics import Diagnostics
from modelport.control.fleet import Fleet
from modelport.control.health import ProbeRules
from modelport.control.inspect import PlatformInspector
from modelport.control.models import Models
from modelport.control.operations import Operations
from modelport.control.plan import Rules
from modelport.control.preparation import Preparation
from modelport.control.probe import Prober
from modelport.control.queue import WorkQueue
from modelport.control.reconciler import Reconciler, ReconcilerSettings
from modelport.control.runtime_catalogue import SHIPPED, RuntimeCatalogue, read_catalogue
from modelport.control.runtimes import Runtimes
from modelport.control.versions import Versions
from modelport.core.errors import FailedPrecondition
from modelport.core.routes import Limits
from modelport.data_dir import record_driver, recorded_driver
from modelport.drivers.base import Driver
from modelport.drivers.fake import FakeDriver
from modelport.drivers.process import ProcessDriver
from modelport.engine_socket import engine_socket
from modelport.gateway.config import GatewayConfig
from modelport.gateway.haproxy import HAProxyGateway
from modelport.settings import Settings
from modelport.store.store import Store
from modelport.wheel import write_wheel

_IMAGE_FOLDER_FILES = 100_000


@dataclass(frozen=True)
class Parts:
    """Everything that runs, made and not yet started."""

    settings: Settings
    store: Store
    driver: Driver
    preparation: Preparation
    gateway: HAProxyGateway
    fleet: Fleet
    prober: Prober
    diagnostics: Diagnostics
    reconciler: Reconciler
    services: Services


def utc_now() -> datetime:
    """Return the time; everything that needs a clock gets this one."""
    return datetime.now(UTC)


def build(settings: Settings, installation: str) -> Parts:
    """Make every part. Nothing is started and no network is used."""
    store = Store(settings.database)
    artifacts = build_artifacts(settings)
    driver = build_driver(settings, installation, artifacts)
    gateway = HAProxyGateway(
        GatewayConfig(
            directory=settings.gateway_dir,
            listen=settings.listen,
            api_socket=settings.api_socket,
            slots=settings.slots,
            threads=settings.haproxy_threads,
            binary=settings.haproxy,
            queue_timeout_s=settings.queue_timeout_s,
        )
    )
    rules = Rules(
        ProbeRules(
            period_s=settings.probe_period_s,
            timeout_s=settings.probe_timeout_s,
            failures=settings.probe_failures,
            start_period_s=settings.probe_start_period_s,
        ),
        create_deadline_s=settings.create_deadline_s,
        start_attempts=settings.start_attempts,
        drain_s=settings.drain_s,
    )
    limits = Limits(
        concurrency=settings.max_concurrency,
        queue=settings.max_queue,
        queue_timeout_s=settings.queue_timeout_s,
        timeout_s=settings.predict_timeout_s,
        request_bytes=settings.max_request_bytes,
        response_bytes=settings.max_response_bytes,
    )
    queue = WorkQueue()
    fleet = Fleet(driver, changed=queue.add)
    prober = Prober(rules.probe, now=utc_now, changed=queue.add)
    runtimes = build_runtimes(settings, artifacts)
    preparation = Preparation(
        store=store,
        driver=driver,
        artifacts=artifacts,
        runtimes=runtimes,
        deadline_s=settings.prepare_deadline_s,
        now=utc_now,
    )
    diagnostics = Diagnostics(driver, fleet, prober, artifacts, now=utc_now, changed=queue.add)
    reconciler = Reconciler(
        store=store,
        driver=driver,
        gateway=gateway,
        fleet=fleet,
        prober=prober,
        preparation=preparation,
        diagnostics=diagnostics,
        queue=queue,
        actions=Actions(driver, fleet, stop_grace_s=settings.stop_grace_s, done=queue.add),
        settings=ReconcilerSettings(rules, limits),
        now=utc_now,
    )
    services = Services(
        models=Models(store, utc_now, reconciler.notify),
        versions=Versions(store, utc_now, lambda: secrets.token_hex(8), reconciler.notify, runtimes.catalogue),
        operations=Operations(store, utc_now, reconciler.notify),
        inspector=PlatformInspector(
            store=store,
            driver=driver,
            gateway=gateway,
            fleet=fleet,
            prober=prober,
            version=__version__,
            listen=settings.listen,
        ),
    )
    return Parts(settings, store, driver, preparation, gateway, fleet, prober, diagnostics, reconciler, services)


def build_artifacts(settings: Settings) -> ArtifactCache:
    """Make the cache of copied artifacts; nothing is copied out of the data directory itself."""
    return ArtifactCache(
        settings.cache_dir,
        ArtifactLimits(settings.artifact_max_files, settings.artifact_max_bytes),
        os.environ,
        settings.local_roots,
        forbidden=(settings.data_dir,),
    )


def catalogue_of(settings: Settings) -> RuntimeCatalogue:
    """Return the runtime versions that there are. Raises FailedPrecondition where the settings name no catalogue."""
    return read_catalogue(settings.runtime_versions or SHIPPED)


def build_runtimes(settings: Settings, artifacts: ArtifactCache) -> Runtimes:
    """Make what finds the libraries of versions without a container. Raises what `catalogue_of` raises."""
    return Runtimes(catalogue_of(settings), artifacts, directory=settings.package_dir, write_wheel=write_wheel)


def build_driver(settings: Settings, installation: str, artifacts: ArtifactCache, *, network: str = "") -> Driver:
    """Make the driver that the settings name; containers join `network`, if one is named, at addresses of their own.

    `auto` is what the data directory was used with before, for its versions live there; at first it is docker where an
    engine's socket is, else process.
    """
    engine = engine_socket(settings.docker_host, os.environ)
    name: str = settings.driver
    if name == "auto":
        name = recorded_driver(settings.data_dir) or ("docker" if engine is not None else "process")
    record_driver(settings.data_dir, name)
    if name == "docker" and engine is None:
        raise FailedPrecondition(
            "No container engine was found", hint="Start Docker or Podman, set DOCKER_HOST, or use --driver process"
        )
    if name == "fake":
        return FakeDriver(settings.log_dir, log_bytes=settings.log_bytes, log_files=settings.log_files)
    if name == "docker" and engine is not None:
        # Imported where it is used: its HTTP library takes a fifth of the time to start, and many need none of it.
        from modelport.drivers.docker import DockerDriver
        from modelport.drivers.docker_environment import EnvironmentSettings

        return DockerDriver(
            engine,
            installation=installation,
            log_dir=settings.log_dir,
            log_bytes=settings.log_bytes,
            log_files=settings.log_files,
            stop_grace_s=settings.stop_grace_s,
            network=network,
            publish=not network,
            docker_config=Path(os.environ.get("DOCKER_CONFIG") or "~/.docker") / "config.json",
            environments=EnvironmentSettings(
                settings.environments,
                prunes=settings.environment_dir is None,
                way=settings.runtime_images,
                base_image=settings.runtime_base_image,
            ),
        )
    image_limits = ArtifactLimits(_IMAGE_FOLDER_FILES, settings.image_folder_max_bytes)

    async def snapshot(folder: Path) -> Path:
        return (await artifacts.keep_folder(folder, limits=image_limits)).path

    return ProcessDriver(
        settings.replica_dir,
        environment_dir=settings.environments,
        prunes_environments=settings.environment_dir is None,
        snapshot=snapshot,
        log_dir=settings.log_dir,
        log_bytes=settings.log_bytes,
        log_files=settings.log_files,
        local_roots=settings.local_roots,
        stop_grace_s=settings.stop_grace_s,
    )

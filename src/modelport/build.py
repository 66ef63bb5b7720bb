"""The composition root: makes every part from the settings, starts them in order, and stops them."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import uvicorn
from anyio.abc import TaskStatus

from modelport import __version__
from modelport.api.services import Services
from modelport.artifacts.base import ArtifactLimits
from modelport.artifacts.cache import ArtifactCache
from modelport.control.actions import Actions
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
from modelport.control.versions import Versions
from modelport.core.errors import Error, FailedPrecondition
from modelport.core.routes import Limits
from modelport.data_dir import held, record_driver, recorded_driver
from modelport.drivers.base import Driver
from modelport.drivers.fake import FakeDriver
from modelport.drivers.log_files import sweep
from modelport.drivers.process import ProcessDriver
from modelport.gateway.config import GatewayConfig
from modelport.gateway.haproxy import HAProxyGateway
from modelport.settings import Settings, engine_socket
from modelport.store.store import Store

_log = logging.getLogger("modelport")
_IMAGE_FOLDER_FILES = 100_000
_SWEEP_PERIOD_S = 3600.0
_API_GRACE_S = 3.0


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
    reconciler: Reconciler
    services: Services


def utc_now() -> datetime:
    """Return the time; everything that needs a clock gets this one."""
    return datetime.now(UTC)


def build(settings: Settings, installation: str) -> Parts:
    """Make every part. Nothing is started and no network is used."""
    store = Store(settings.database)
    artifacts = ArtifactCache(
        settings.cache_dir,
        ArtifactLimits(settings.artifact_max_files, settings.artifact_max_bytes),
        os.environ,
        settings.local_roots,
        forbidden=(settings.data_dir,),
    )
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
    preparation = Preparation(
        store=store, driver=driver, artifacts=artifacts, deadline_s=settings.prepare_deadline_s, now=utc_now
    )
    reconciler = Reconciler(
        store=store,
        driver=driver,
        gateway=gateway,
        fleet=fleet,
        prober=prober,
        preparation=preparation,
        queue=queue,
        actions=Actions(driver, fleet, stop_grace_s=settings.stop_grace_s, done=queue.add),
        settings=ReconcilerSettings(rules, limits),
        now=utc_now,
    )
    services = Services(
        models=Models(store, utc_now, reconciler.notify),
        versions=Versions(store, utc_now, lambda: secrets.token_hex(8), reconciler.notify),
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
    return Parts(settings, store, driver, preparation, gateway, fleet, prober, reconciler, services)


def build_driver(settings: Settings, installation: str, artifacts: ArtifactCache) -> Driver:
    """Make the driver that the settings name.

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

        return DockerDriver(
            engine,
            installation=installation,
            log_dir=settings.log_dir,
            log_bytes=settings.log_bytes,
            log_files=settings.log_files,
            stop_grace_s=settings.stop_grace_s,
            docker_config=Path(os.environ.get("DOCKER_CONFIG") or "~/.docker") / "config.json",
        )
    image_limits = ArtifactLimits(_IMAGE_FOLDER_FILES, settings.image_folder_max_bytes)

    async def snapshot(folder: Path) -> Path:
        return (await artifacts.keep_folder(folder, limits=image_limits)).path

    return ProcessDriver(
        settings.replica_dir,
        snapshot=snapshot,
        log_dir=settings.log_dir,
        log_bytes=settings.log_bytes,
        log_files=settings.log_files,
        local_roots=settings.local_roots,
        stop_grace_s=settings.stop_grace_s,
    )


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Parts]:
    """Run the control plane while the body runs. Replicas and gateway outlive it.

    Raises:
        DataDirInUse: another control plane holds the data directory.
        FailedPrecondition: HAProxy is missing or the port is taken; nothing was started.
    """
    with held(settings.data_dir) as installation:
        parts = build(settings, installation)
        try:
            async with parts.prober, anyio.create_task_group() as tasks:
                await tasks.start(_serve_api, parts)
                await tasks.start(parts.gateway.run)
                await tasks.start(parts.reconciler.run)
                tasks.start_soon(_sweep, parts)
                yield parts
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await parts.driver.close()
            parts.store.close()
            settings.api_socket.unlink(missing_ok=True)


async def serve(settings: Settings) -> None:
    """Run the control plane until SIGTERM or SIGINT."""
    async with running(settings) as parts:
        driver = parts.driver.name
        _log.info(
            "modelport %s is up: %s   driver: %s   data: %s", __version__, settings.url, driver, settings.data_dir
        )
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _signal in signals:
                break
        count = len(parts.fleet.owners())
        _log.info("control plane stopped; %d versions go on serving at %s", count, settings.url)
        if count:
            _log.info("`modelport serve` takes over again; `modelport shutdown` stops them and the gateway")


def run(settings: Settings) -> None:
    """Run `modelport serve`; errors of the start leave as they are, for the command line to print."""
    _log_to_stderr()
    with _plain_errors():
        anyio.run(serve, settings)


async def stop_everything(settings: Settings) -> int:
    """Stop the gateway and every replica of a data directory without a control plane; return how many replicas."""
    with held(settings.data_dir) as installation:
        parts = build(settings, installation)
        try:
            await parts.gateway.terminate()
            replicas = await parts.driver.list()
            async with anyio.create_task_group() as tasks:
                for replica in replicas:
                    tasks.start_soon(_stop, parts.driver, replica.name, settings.stop_grace_s)
            return len(replicas)
        finally:
            await parts.driver.close()
            parts.store.close()


def shutdown(settings: Settings) -> int:
    """Run `modelport shutdown`."""
    with _plain_errors():
        return anyio.run(stop_everything, settings)


class _ApiServer(uvicorn.Server):
    """uvicorn without signal handlers of its own: the composition root decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


async def _serve_api(parts: Parts, *, task_status: TaskStatus[None]) -> None:
    # Imported where it is used: `modelport shutdown` serves nothing and should not wait for a web framework.
    from modelport.api.app import create_app

    app = create_app(parts.services, lambda: secrets.token_hex(8))
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=int(_API_GRACE_S)
    )
    server = _ApiServer(config)
    path = parts.settings.api_socket
    path.unlink(missing_ok=True)  # left by a control plane that was killed; the data directory is ours
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(1024)

        async def stop_when_cancelled() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                server.should_exit = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop_when_cancelled)
            task_status.started()
            with anyio.CancelScope(shield=True):  # requests under way end in peace, within the grace
                await server.serve(sockets=[listener])
            tasks.cancel_scope.cancel()


async def _sweep(parts: Parts) -> None:
    """Every hour remove old logs of replicas that are gone, and cached trees that no version uses."""
    while True:
        await anyio.sleep(_SWEEP_PERIOD_S)
        older_than = utc_now() - timedelta(days=parts.settings.log_days)
        sweep_logs = partial(sweep, parts.settings.log_dir, keep=parts.fleet.names(), older_than=older_than)
        await anyio.to_thread.run_sync(sweep_logs)
        await parts.preparation.prune()


async def _stop(driver: Driver, name: str, grace_s: float) -> None:
    await driver.stop(name, grace_s=grace_s)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Let the one error that ended a group of tasks leave without the group."""
    try:
        yield
    except BaseExceptionGroup as group:
        errors = group.subgroup(Error)
        while errors is not None:
            first = errors.exceptions[0]
            if isinstance(first, Error):
                raise first from group
            errors = first
        raise


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)

"""The control plane as a process: starts the parts in order, serves the API on its socket, and stops in peace."""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial

import anyio
import anyio.to_thread
import uvicorn
from anyio.abc import TaskStatus

from modelport import __version__
from modelport.build import Parts, build, utc_now
from modelport.core.errors import Error
from modelport.data_dir import held
from modelport.drivers.log_files import sweep as sweep_logs
from modelport.settings import Settings

_log = logging.getLogger("modelport")
_SWEEP_PERIOD_S = 3600.0
_API_GRACE_S = 3.0
# The gateway keeps idle connections for a minute. It is the one to close them: were it us, a request that is on its way
# at that moment would be lost, and its sender could not know whether it was carried out.
_API_IDLE_S = 3600


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
            async with parts.prober, parts.diagnostics, anyio.create_task_group() as tasks:
                await tasks.start(_serve_api, parts)
                await tasks.start(parts.gateway.run)
                await tasks.start(parts.reconciler.run)
                tasks.start_soon(_sweep_for_ever, parts)
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
                    tasks.start_soon(partial(parts.driver.stop, replica.name, grace_s=settings.stop_grace_s))
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
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=int(_API_GRACE_S),
        timeout_keep_alive=_API_IDLE_S,
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


async def _sweep_for_ever(parts: Parts) -> None:
    while True:
        await anyio.sleep(_SWEEP_PERIOD_S)
        try:
            await _sweep(parts)
        except (Error, OSError) as error:
            _log.warning("the hourly sweep failed: %s", error)


async def _sweep(parts: Parts) -> None:
    """Remove old logs of replicas that are gone, old operations, and cached trees that no version uses."""
    settings, now = parts.settings, utc_now()
    logs_before = now - timedelta(days=settings.log_days)
    await anyio.to_thread.run_sync(
        partial(sweep_logs, settings.log_dir, keep=parts.fleet.names(), older_than=logs_before)
    )
    await parts.services.operations.sweep(ended_before=now - timedelta(days=settings.operation_days))
    await parts.preparation.prune()


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
    for name in ("httpx", "alembic", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)

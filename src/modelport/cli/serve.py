"""`modelport serve` and `modelport shutdown`: the control plane, and the end of all that outlives it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from modelport.cli.configuration import read_settings
from modelport.cli.confirm import YesOption, confirm
from modelport.cli.extras import platform_extra
from modelport.cli.session import Session
from modelport.core.errors import DataDirInUse

if TYPE_CHECKING:
    from modelport.settings import Settings

_HANDOVER_S = 10.0

DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", metavar="D", help="Database, caches, logs. [default: ~/.modelport]")
]
ListenOption = Annotated[
    str, typer.Option("--listen", metavar="HOST:PORT", help="API and predictions. [default: 127.0.0.1:8470]")
]
DriverOption = Annotated[
    Literal["auto", "docker", "process", "fake"] | None,
    typer.Option("--driver", help="What runs replicas; auto: docker where an engine answers. [default: auto]"),
]


def serve(data_dir: DataDirOption = None, listen: ListenOption = "", driver: DriverOption = None) -> None:
    """Run the platform in the foreground.

    Flags win over MODELPORT_* variables. Ctrl-C ends the control plane; replicas and the gateway go on without it,
    and the next `modelport serve` takes over. `modelport shutdown` ends them too.
    """
    settings = _settings(data_dir=data_dir, listen=listen, driver=driver)
    from modelport.control_plane import run

    run(settings)


def shutdown(
    session: Session,
    data_dir: DataDirOption = None,
    driver: DriverOption = None,
    yes: YesOption = False,
) -> None:
    """Stop the replicas and the gateway of a data directory.

    The control plane must have ended before. What is stored stays: `modelport serve` starts it all again.
    """
    settings = _settings(data_dir=data_dir, driver=driver)
    confirm(f"Stop every replica and the gateway of {settings.data_dir}?", yes=yes)
    from modelport.control_plane import shutdown as stop

    count = _patiently(lambda: stop(settings))
    replicas = "1 replica" if count == 1 else f"{count} replicas"
    session.out.show({"stoppedReplicas": count}, f"Stopped {replicas} and the gateway of {settings.data_dir}")


def _patiently(stop: Callable[[], int]) -> int:
    """Allow for a control plane that was told to end a moment ago and still holds the data directory."""
    deadline = time.monotonic() + _HANDOVER_S
    while True:
        try:
            return stop()
        except DataDirInUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _settings(**flags: Any) -> Settings:
    with platform_extra("The control plane"):
        import modelport.control_plane  # noqa: F401 - all that the control plane needs, or the error below
    return read_settings("The control plane", **flags)

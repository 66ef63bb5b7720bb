"""`modelport doctor`: whether the platform can run on this host, line by line, with what to do where it cannot."""

from __future__ import annotations

import os
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import typer

from modelport.cli.configuration import read_settings
from modelport.cli.findings import printable
from modelport.cli.serve import DataDirOption, DriverOption, ListenOption
from modelport.cli.session import Session
from modelport.cli.usage import UsageProblem
from modelport.core.errors import FailedPrecondition

if TYPE_CHECKING:
    from modelport.check.host_facts import Site
    from modelport.check.host_verdict import Line

_PLATFORM_S = 2.0


def doctor(
    session: Session,
    data_dir: DataDirOption = None,
    listen: ListenOption = "",
    driver: DriverOption = None,
) -> None:
    """Examine this host: whether the platform can run here, and what will be missed.

    No platform is needed, and nothing is changed. Exit code 1 if something is ✗.
    """
    # Imported where they are used: half of what they need is no business of the other commands.
    from modelport.check.host import survey
    from modelport.check.host_verdict import verdict, well

    site = _site(data_dir, listen, driver)
    with session.out.pending("looking at this host"):
        lines = verdict(survey(site, os.environ, lambda: _platform_skew_s(session.endpoint)))
    document = {"ok": well(lines), "lines": [line.document() for line in lines]}
    session.out.show(document, "\n".join(_text(line) for line in lines))
    if not well(lines):
        raise typer.Exit(1)


def _site(data_dir: Path | None, listen: str, driver: str | None) -> Site:
    from modelport.check.host_facts import Site

    try:
        settings = read_settings("The control plane", data_dir=data_dir, listen=listen, driver=driver)
    except UsageProblem:
        raise
    except FailedPrecondition:
        # Without the packages nothing can be read but what was said here; that they are missing is one of the lines.
        folder = data_dir or Path(os.environ.get("MODELPORT_DATA_DIR") or "~/.modelport")
        listen = listen or os.environ.get("MODELPORT_LISTEN") or "127.0.0.1:8470"
        return Site(folder.expanduser().absolute(), listen, driver=driver or "auto")
    return Site(
        settings.data_dir, settings.listen, settings.slots, settings.driver, settings.docker_host, settings.haproxy
    )


def _platform_skew_s(endpoint: str) -> float | None:
    """Return by how much this clock is ahead of the platform's; None where none answers."""
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    try:
        with httpx.Client(trust_env=False, timeout=_PLATFORM_S) as client:
            date = client.get(f"{url}/modelport/v1/status").headers.get("date", "")
        return time.time() - parsedate_to_datetime(date).timestamp()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError):
        return None


def _text(line: Line) -> str:
    text = f"{line.mark} {line.subject:<16}{printable(line.fact)}"
    return f"{text}\n{'':<18}{printable(line.remedy)}" if line.remedy else text

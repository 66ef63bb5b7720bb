"""`modelport status`: the platform on one screen, and one line of cause for whatever is not well."""

from __future__ import annotations

from datetime import UTC, datetime

from modelport.cli.output import ago, columns, parse_time
from modelport.cli.session import Session
from modelport.sdk.client import Json


def status(session: Session) -> None:
    """Show the platform at a glance."""
    found = session.client.status()
    session.out.show(found, screen(found, session.client.endpoint, datetime.now(UTC)))


def screen(found: Json, endpoint: str, now: datetime) -> str:
    """Return the whole screen."""
    driver, gateway = found["driver"], found.get("gateway", {})
    gateway_state = gateway.get("state") or ("HEALTHY" if gateway.get("running") else "UNHEALTHY")
    lines = [
        f"modelport {found['version']}   {endpoint}",
        _part("driver", f"{driver['name']} {driver.get('version', '')}".strip(), driver.get("state", ""), driver),
        _part("gateway", str(gateway.get("version", "")), gateway_state, gateway),
    ]
    versions = found.get("versions", [])
    if not versions:
        return "\n".join([*lines, "", "No versions yet", "next: modelport deploy ./your-folder --model yours"])
    rows = [
        (
            short(version["name"]),
            version["state"],
            ago(parse_time(version["since"]), now) if version.get("since") else "",
            f"{version['ready']}/{version['wanted']}",
            "yes" if version.get("isDefault") else "",
            _cause(version),
        )
        for version in versions
    ]
    table = columns(("VERSION", "STATE", "SINCE", "READY", "DEFAULT", "CAUSE"), rows)
    return "\n".join([*lines, "", table])


def short(name: str) -> str:
    """Return a version's full name as `PROJECT MODEL/VERSION` would be typed: `demo: iris/v1`."""
    match name.split("/"):
        case ["projects", project, "models", model, "versions", version]:
            return f"{project}: {model}/{version}"
    return name


def _cause(version: Json) -> str:
    """Return the first line of the cause, without the name that stands in the same row already."""
    return str(version.get("cause", "")).partition("\n")[0].removeprefix(f"Version `{version['name']}` ")


def _part(label: str, name: str, state: str, found: Json) -> str:
    line = f"{label:<9} {state:<10} {name}".rstrip()
    if message := found.get("message"):
        line += f"   {message}"
    if remedy := found.get("remedy"):
        line += f"\n{'':<20} {remedy}"
    return line

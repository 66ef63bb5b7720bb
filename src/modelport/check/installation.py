"""What is installed on a host beside the engine: packages, HAProxy, and what Docker keeps of registries."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from modelport.check.host_facts import LoginFacts, ProxyFacts, Site
from modelport.core.errors import FailedPrecondition, InvalidArgument
from modelport.gateway.config import CONFIG_FILE, MAP_FILES, GatewayConfig, render
from modelport.gateway.supervise import find_binary

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+).*;.*extra == ['\"]platform['\"]")
_VERSION = re.compile(r"HAProxy version (\S+)", re.IGNORECASE)
_MAX_CONFIG = 1024**2
_SAID = 500


def missing_packages() -> tuple[str, ...]:
    """Return what modelport[platform] names and is not installed, for this system."""
    return tuple(name for name in _wanted() if not _installed(name))


def _wanted() -> Iterator[str]:
    try:
        required = metadata.requires("modelport") or []
    except metadata.PackageNotFoundError:  # run from its source
        return
    for line in required:
        found = _REQUIREMENT.match(line)
        if found and ("sys_platform" not in line or sys.platform == "linux"):
            yield found[1]


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def gateway_proxy(site: Site, *, timeout_s: float) -> ProxyFacts:
    """Return the HAProxy that would be used, and what it says to the configuration that it would get."""
    try:
        path = find_binary(site.haproxy)
    except FailedPrecondition as error:
        return ProxyFacts(problem=error.message, remedy=error.hint)
    try:
        said = _run([path, "-v"], Path("/"), timeout_s)
        version = found[1] if (found := _VERSION.search(said.stdout)) else "unknown"
        return ProxyFacts(path, version, *_checked(path, site, timeout_s))
    except subprocess.TimeoutExpired:
        return ProxyFacts(path, problem=f"does not end within {timeout_s:g} s", remedy="Run `haproxy -v` by hand")
    except OSError as error:
        return ProxyFacts(path, problem=f"cannot be run: {error.strerror}", remedy="Install HAProxy anew")


def _checked(path: str, site: Site, timeout_s: float) -> tuple[str, str]:
    with tempfile.TemporaryDirectory(prefix="modelport-doctor-") as name:
        folder = Path(name)
        try:
            text = render(GatewayConfig(folder, site.listen, site.data_dir / "api.sock", slots=site.slots))
        except InvalidArgument as error:
            return error.message, error.hint
        for file in MAP_FILES:
            (folder / file).write_bytes(b"")
        (folder / CONFIG_FILE).write_text(text)
        done = _run([path, "-c", "-f", CONFIG_FILE], folder, timeout_s)
    if done.returncode == 0:
        return "", ""
    return f"refuses our configuration: {done.stderr.strip()[:_SAID]}", "Install HAProxy 2.6 or newer"


def _run(command: list[str], folder: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )


def docker_login(environ: Mapping[str, str]) -> LoginFacts:
    """Return the names of the registries that a login is kept for; what is secret is not looked at."""
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or "~").expanduser() / ".docker")
    file = folder / "config.json"
    try:
        with file.open("rb") as stream:
            config = json.loads(stream.read(_MAX_CONFIG))
    except FileNotFoundError:
        return LoginFacts(str(file))
    except OSError as error:
        return LoginFacts(str(file), error=f"cannot be read: {error.strerror}")
    except ValueError:
        return LoginFacts(str(file), error="is not JSON")
    if not isinstance(config, dict):
        return LoginFacts(str(file), error="is not a JSON object")
    helpers = config.get("credHelpers")
    helpers = helpers if isinstance(helpers, dict) else {}
    auths = config.get("auths")
    keys = [*(auths if isinstance(auths, dict) else ()), *helpers]
    store = config.get("credsStore")
    programs = {f"docker-credential-{name}" for name in (*helpers.values(), store) if isinstance(name, str) and name}
    return LoginFacts(
        str(file),
        registries=tuple(dict.fromkeys(_registry(key) for key in keys))[:20],
        missing_helpers=tuple(sorted(program for program in programs if shutil.which(program) is None)),
    )


def _registry(key: str) -> str:
    """Return the host of a key, which old versions of Docker wrote as a URL; a login in it would be a secret."""
    host = key.partition("://")[2] or key
    host = host.partition("/")[0].rpartition("@")[2]
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host[:100]

"""Container engines of a host: every place where one may be, and what answers there."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from modelport.check.host_facts import EngineFacts
from modelport.core.facts import HostFacts
from modelport.engine_socket import usual_sockets

_START = "Start Docker or Podman's API service (`systemctl start docker`, `systemctl --user start podman.socket`)"
_ALLOW = "Let this user use the socket, for Docker by adding the user to the group `docker`"


def survey_engines(named: str, environ: Mapping[str, str], *, timeout_s: float) -> tuple[EngineFacts, ...]:
    """Return the engine that is named, or those at the usual places where there is a socket, in order of preference."""
    if url := named or environ.get("DOCKER_HOST", ""):
        return (look_at_engine(url, named=True, timeout_s=timeout_s),)
    urls = [f"unix://{path}" for path in usual_sockets(environ) if Path(path).is_socket()]
    if not urls:
        return ()
    with ThreadPoolExecutor(len(urls)) as pool:
        return tuple(pool.map(partial(look_at_engine, named=False, timeout_s=timeout_s), urls))


def look_at_engine(url: str, *, named: bool, timeout_s: float) -> EngineFacts:
    """Ask one engine what it is."""
    scheme, _, place = url.partition("://")
    if scheme not in ("unix", "tcp", "http") or not place:
        remedy = "Give a unix:// or tcp:// address"
        return EngineFacts(url, named, error="cannot be used: no unix:// or tcp:// address", remedy=remedy)
    transport = httpx.HTTPTransport(uds=place) if scheme == "unix" else httpx.HTTPTransport()
    base = "http://engine" if scheme == "unix" else f"http://{place}"
    try:
        with httpx.Client(transport=transport, base_url=base, timeout=timeout_s) as client:
            version = _document(client.get("/version"))
            info = _info(client)
    except httpx.TimeoutException:
        return EngineFacts(url, named, error="does not answer in time", remedy="Look at the engine's own log")
    except httpx.HTTPStatusError as error:
        return EngineFacts(
            url, named, error=f"answers {error.response.status_code}", remedy="Look at the engine's own log"
        )
    except httpx.TransportError as error:
        cause = _os_error(error)
        remedy = _ALLOW if cause and cause.errno in (errno.EACCES, errno.EPERM) else _START
        said = (cause.strerror if cause else "") or "no connection"
        return EngineFacts(url, named, error=said[:1].lower() + said[1:], remedy=remedy)
    except (ValueError, httpx.InvalidURL):
        return EngineFacts(url, named, error="answers something else than an engine", remedy=_START)
    return _answered(url, named, version, info)


def _info(client: httpx.Client) -> Mapping[str, Any]:
    """Return what the engine knows of its machine; a busy one takes long to collect it, and is there nevertheless."""
    try:
        return _document(client.get("/info"))
    except httpx.TimeoutException:
        return {}


def _document(answer: httpx.Response) -> Mapping[str, Any]:
    document = answer.raise_for_status().json()
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def _answered(url: str, named: bool, version: Mapping[str, Any], info: Mapping[str, Any]) -> EngineFacts:
    try:
        # The platform's packages may be missing, and the engine be there.
        from modelport.drivers import docker_facts
    except ModuleNotFoundError:
        return EngineFacts(url, named, host=HostFacts("docker", str(version.get("Version", ""))))
    host = docker_facts.host_facts("docker", version, info, {"engine": url})
    podman = host.driver_version.startswith("Podman")
    local = url.startswith("unix://")
    return EngineFacts(
        url,
        named,
        api_version=str(version.get("ApiVersion", "")),
        podman=podman,
        reports_oom=docker_facts.Engine(podman, host.cgroup_version).reports_oom,
        knows_gpus=docker_facts.knows_gpus(info),
        data_root=str(info.get("DockerRootDir") or "") if local else "",
        host=host,
    )


def _os_error(error: BaseException) -> OSError | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno is not None:
            return seen
        seen = seen.__cause__ or seen.__context__
    return None

"""The verdict on a host: for each thing that the platform needs one line, and the remedy where it is not well. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from modelport.check.host_facts import ClockFacts, EngineFacts, FolderFacts, HostSurvey, LimitFacts, PortFacts

GIB = 1024**3

_PYTHON = (3, 11)
_HAPROXY = (2, 6)
_LITTLE_DISK = 5 * GIB
_NO_DISK = GIB // 2
# What HAProxy, the control plane and its logs need beside two descriptors for each request.
_OWN_FILES = 200
_FEW_FILES = 4096
_FEWEST_FILES = 1024
_FEW_PROCESSES = 2048
_SKEW_S = 2.0
_PLATFORM_SKEW_S = 5.0
_MOVED_S = 0.5
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "9p", "fuse.sshfs", "fuse.glusterfs")
_VOLATILE = ("tmpfs", "ramfs")


class Mark(StrEnum):
    """GOOD; POOR: it works, and something will be missed; BAD: the platform cannot run like this."""

    GOOD = "✓"
    POOR = "!"
    BAD = "✗"


@dataclass(frozen=True)
class Line:
    """One thing: the fact in a few words, and what to do where it is not well."""

    subject: str
    mark: Mark
    fact: str
    remedy: str = ""

    def document(self) -> dict[str, Any]:
        """Return the line as JSON."""
        state = {Mark.GOOD: "ok", Mark.POOR: "warning", Mark.BAD: "error"}[self.mark]
        return {"subject": self.subject, "state": state, "fact": self.fact, "remedy": self.remedy}


def verdict(survey: HostSurvey) -> tuple[Line, ...]:
    """Return a line for each thing, in the order in which the platform needs them."""
    lines = [_python(survey.python), *_packages(survey.missing_packages)]
    lines += _engines(survey)
    if survey.folder:
        lines += _folder(survey.folder)
    lines += [_disk("engine disk", root, free) for root, free in survey.engine_disk]
    lines += _proxy(survey)
    if survey.port:
        lines.append(_port(survey.port))
    if survey.limits:
        lines += _limits(survey.limits)
    lines += [*_login(survey), *_gpus(survey)]
    if survey.clock:
        lines.append(_clock(survey.clock))
    remedy = "Something there hangs: a disk of the network, a driver, a program; look at it by hand"
    lines += [Line(name, Mark.POOR, "no answer within the time allowed", remedy) for name in survey.unanswered]
    return tuple(lines)


def well(lines: tuple[Line, ...]) -> bool:
    """Return whether the platform can run here."""
    return not any(line.mark is Mark.BAD for line in lines)


def _python(version: tuple[int, int, int]) -> Line:
    text = ".".join(map(str, version))
    if version[:2] < _PYTHON:
        return Line("python", Mark.BAD, text, f"Use Python {'.'.join(map(str, _PYTHON))} or newer")
    return Line("python", Mark.GOOD, text)


def _packages(missing: tuple[str, ...] | None) -> Iterator[Line]:
    if missing:
        fact = f"not installed: {', '.join(missing)}"
        yield Line("packages", Mark.BAD, fact, "Run `pip install 'modelport[platform]'`")
    elif missing is not None:
        yield Line("packages", Mark.GOOD, "all of modelport[platform]")


def _engines(survey: HostSurvey) -> Iterator[Line]:
    if survey.engines is None:
        return
    wanted = survey.site.driver == "docker" or any(one.named for one in survey.engines)
    answering = [one for one in survey.engines if not one.error]
    if answering:
        yield from _engine(answering[0])
        others = ", ".join(f"{one.host.driver_version} at {one.url}" for one in answering[1:])
        if others:
            yield Line("engine", Mark.GOOD, f"not used: {others}; DOCKER_HOST chooses another")
        return
    for one in survey.engines:
        yield Line("engine", Mark.BAD if wanted else Mark.POOR, f"{one.url}: {one.error}", one.remedy)
    if not survey.engines:
        mark = Mark.BAD if wanted else Mark.POOR
        remedy = "Start Docker or Podman's API service, or set DOCKER_HOST; without an engine only folders can be run"
        yield Line("engine", mark, "none at the usual places", remedy)


def _engine(engine: EngineFacts) -> Iterator[Line]:
    facts = [engine.host.driver_version, f"API {engine.api_version}", engine.host.architecture, engine.url]
    yield Line("engine", Mark.GOOD, ", ".join(fact for fact in facts if fact))
    version = engine.host.cgroup_version
    if version is None:
        return
    if engine.reports_oom:
        yield Line("cgroups", Mark.GOOD, f"version {version}")
        return
    yield Line(
        "cgroups",
        Mark.POOR,
        f"version {version}: Podman does not tell here when a container was killed for memory; modelport looks at the"
        " memory cgroup itself, and may miss a container that dies at once",
        "Boot with cgroup version 2 (`systemd.unified_cgroup_hierarchy=1`)",
    )


def _folder(folder: FolderFacts) -> Iterator[Line]:
    where = folder.path if folder.exists else f"{folder.path} (will be made)"
    if folder.error:
        remedy = "Choose another with --data-dir, or give this user the right to write there"
        yield Line("data directory", Mark.BAD, f"{where}: {folder.error}", remedy)
    elif folder.file_system in _REMOTE:
        remedy = "Choose a --data-dir on a local disk: the database's locks do not hold there"
        yield Line("data directory", Mark.BAD, f"{where} lies on {folder.file_system}, over the network", remedy)
    elif folder.file_system in _VOLATILE:
        remedy = "Choose a --data-dir on a disk, if what is deployed should outlive a restart of the machine"
        yield Line("data directory", Mark.POOR, f"{where} lies in memory ({folder.file_system})", remedy)
    else:
        held = f", held by a control plane (pid {folder.holder})" if folder.holder else ""
        system = f" on {folder.file_system}" if folder.file_system else ""
        yield Line("data directory", Mark.GOOD, f"{where}{system}{held}")
    if folder.free_bytes is not None:
        yield _disk("disk", folder.path, folder.free_bytes)


def _disk(subject: str, path: str, free: int) -> Line:
    fact = f"{free / GIB:.1f} GiB free at {path}"
    remedy = "Make room: remove images, versions and logs that nobody needs"
    if free < _NO_DISK:
        return Line(subject, Mark.BAD, fact, remedy)
    return Line(subject, Mark.POOR, fact, remedy) if free < _LITTLE_DISK else Line(subject, Mark.GOOD, fact)


def _proxy(survey: HostSurvey) -> Iterator[Line]:
    if not (proxy := survey.proxy):
        return
    fact = f"{proxy.version} at {proxy.path}" if proxy.path else ""
    if proxy.problem:
        yield Line("haproxy", Mark.BAD, ": ".join(part for part in (fact, proxy.problem) if part), proxy.remedy)
    elif _numbers(proxy.version)[:2] < _HAPROXY:
        remedy = f"Install HAProxy {'.'.join(map(str, _HAPROXY))} or newer, or `pip install 'modelport[platform]'`"
        yield Line("haproxy", Mark.BAD, fact, remedy)
    else:
        yield Line("haproxy", Mark.GOOD, f"{fact}, takes our configuration")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())


def _port(port: PortFacts) -> Line:
    if port.ours:
        return Line("port", Mark.GOOD, f"{port.listen}, our own gateway (pid {port.pid})")
    if not port.error:
        return Line("port", Mark.GOOD, f"{port.listen} is free")
    if port.error == "EADDRINUSE":
        by = f"{port.program} (pid {port.pid})" if port.pid else "a program of another user or container"
        remedy = "Stop it, or choose another address with --listen"
        return Line("port", Mark.BAD, f"{port.listen} is taken by {by}", remedy)
    remedies = {"EACCES": "Choose a port above 1023 with --listen"}
    remedy = remedies.get(port.error, "Choose an address of this machine with --listen")
    return Line("port", Mark.BAD, f"{port.listen} cannot be had: {port.error}", remedy)


def _limits(limits: LimitFacts) -> Iterator[Line]:
    files = limits.open_files
    if files is None:
        yield Line("open files", Mark.GOOD, "no limit")
    else:
        fact = f"at most {files}, enough for about {max(0, files - _OWN_FILES) // 2} requests at one time"
        remedy = "Raise the hard limit of whoever starts `modelport serve` (LimitNOFILE= in systemd, `ulimit -Hn`)"
        mark = Mark.BAD if files < _FEWEST_FILES else Mark.POOR if files < _FEW_FILES else Mark.GOOD
        yield Line("open files", mark, fact, "" if mark is Mark.GOOD else remedy)
    if limits.processes is None:
        yield Line("processes", Mark.GOOD, "no limit")
    else:
        few = limits.processes < _FEW_PROCESSES
        remedy = "Raise it (LimitNPROC= in systemd, `ulimit -u`): servers have many workers and threads"
        fact = f"at most {limits.processes} of this user"
        yield Line("processes", Mark.POOR if few else Mark.GOOD, fact, remedy if few else "")


def _login(survey: HostSurvey) -> Iterator[Line]:
    if not (login := survey.login):
        return
    if login.error:
        remedy = "Repair it, or move it away and log in again (`docker login REGISTRY`)"
        yield Line("registries", Mark.POOR, f"{login.file}: {login.error}", remedy)
        return
    fact = f"logins for {', '.join(login.registries)}" if login.registries else "no logins; public images only"
    yield Line("registries", Mark.GOOD, fact)
    for helper in login.missing_helpers:
        remedy = f"Install `{helper}`, or take it out of {login.file}: its logins cannot be read"
        yield Line("registries", Mark.POOR, f"`{helper}` is named in {login.file} and not installed", remedy)


def _gpus(survey: HostSurvey) -> Iterator[Line]:
    if survey.gpus is None:
        return
    if not survey.gpus:
        yield Line("GPUs", Mark.GOOD, "none; versions with an acceleratorConfig cannot run here")
        return
    first = survey.gpus[0].partition(" (UUID")[0]
    fact = f"{len(survey.gpus)}: {first}" + (", …" if len(survey.gpus) > 1 else "")
    if survey.gpu_runtime or any(one.knows_gpus for one in survey.engines or ()):
        yield Line("GPUs", Mark.GOOD, fact)
    else:
        remedy = "Install the NVIDIA Container Toolkit: the engine cannot hand GPUs to containers"
        yield Line("GPUs", Mark.POOR, f"{fact}; no runtime for containers", remedy)


def _clock(clock: ClockFacts) -> Line:
    remedy = "Set the clock, and let NTP keep it (`timedatectl set-ntp true`)"
    if abs(clock.moved_s) > _MOVED_S:
        return Line("clock", Mark.POOR, f"was moved by {clock.moved_s:+.1f} s while it was looked at", remedy)
    if clock.of_files_s is not None and abs(clock.of_files_s) > _SKEW_S:
        return Line("clock", Mark.POOR, f"{clock.of_files_s:+.1f} s from that of the file system", remedy)
    if clock.of_platform_s is not None and abs(clock.of_platform_s) > _PLATFORM_SKEW_S:
        return Line("clock", Mark.POOR, f"{clock.of_platform_s:+.0f} s from that of the platform", remedy)
    platform = "" if clock.of_platform_s is None else ", as the platform's"
    return Line("clock", Mark.GOOD, f"steady{platform}")

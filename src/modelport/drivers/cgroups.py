"""Control groups, versions 1 and 2: which one a process is in, and what the processes in it use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

_UNIFIED = ""  # how version 2 is called where version 1 names a controller
_UNLIMITED = 2**60  # version 1 says "no limit" as the largest number of pages


@dataclass(frozen=True)
class Mount:
    """A mounted hierarchy: `root` is the group that shows at `path`."""

    root: str
    path: Path


@dataclass(frozen=True)
class Cgroup:
    """The group of one process; None where the hierarchy is not there, or not mounted where we could read it."""

    version: int
    memory: Path | None
    cpu: Path | None

    def pids(self) -> tuple[int, ...]:
        """Return its processes, none of those of groups below."""
        for folder in (self.memory, self.cpu):
            if text := _read(folder, "cgroup.procs"):
                return tuple(int(word) for word in text.split())
        return ()


@dataclass(frozen=True)
class Usage:
    """What a group uses. `memory_bytes` leaves out file pages that the kernel could drop at once, the peak does not."""

    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_s: float | None = None
    oom_kills: int | None = None


def parse_mounts(mountinfo: str) -> dict[str, Mount]:
    """Return hierarchies by controller, that of version 2 under the empty name, from /proc/self/mountinfo."""
    mounts: dict[str, Mount] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        where, what = left.split(), right.split()
        if len(where) < 5 or len(what) < 3 or what[0] not in ("cgroup", "cgroup2"):
            continue
        mount = Mount(where[3], Path(where[4]))
        names = [_UNIFIED] if what[0] == "cgroup2" else what[2].split(",")
        for name in names:
            mounts.setdefault(name, mount)
    return mounts


def parse_groups(text: str) -> dict[str, str]:
    """Return the path of the group by controller, from /proc/PID/cgroup."""
    groups = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for name in controllers.split(","):
            groups[name] = path
    return groups


def locate(groups: Mapping[str, str], mounts: Mapping[str, Mount]) -> Cgroup:
    """Return the folders of a process's group."""
    if "memory" in groups:
        return Cgroup(1, _folder("memory", groups, mounts), _folder("cpuacct", groups, mounts))
    unified = _folder(_UNIFIED, groups, mounts)
    return Cgroup(2, unified, unified)


def _folder(controller: str, groups: Mapping[str, str], mounts: Mapping[str, Mount]) -> Path | None:
    group, mount = groups.get(controller), mounts.get(controller)
    # A path that climbs lies outside of what our own namespace shows.
    if group is None or mount is None or "/.." in group:
        return None
    root = mount.root.rstrip("/")
    if root and not group.startswith(f"{root}/") and group != root:
        return None
    return mount.path / group[len(root) :].lstrip("/")


def read_groups(pid: int, proc: Path = PROC) -> str:
    """Return /proc/PID/cgroup; nothing where there is no such process."""
    return _read(proc / str(pid), "cgroup") or ""


def cgroup_of(pid: int, proc: Path = PROC) -> Cgroup:
    """Return the group of a process."""
    return locate(parse_groups(read_groups(pid, proc)), parse_mounts(_read(proc / "self", "mountinfo") or ""))


def host_version(proc: Path = PROC) -> int | None:
    """Return the version in which this machine accounts for memory; None where there are no groups."""
    mounts = parse_mounts(_read(proc / "self", "mountinfo") or "")
    if "memory" in mounts:
        return 1
    return 2 if _UNIFIED in mounts else None


def read_usage(cgroup: Cgroup) -> Usage:
    """Return what the group uses; what cannot be read is None."""
    if cgroup.version == 1:
        nanoseconds = _number(_read(cgroup.cpu, "cpuacct.usage"))
        return Usage(
            memory_bytes=_without_cache(
                _number(_read(cgroup.memory, "memory.usage_in_bytes")),
                _fields(_read(cgroup.memory, "memory.stat")).get("total_inactive_file"),
            ),
            memory_peak_bytes=_number(_read(cgroup.memory, "memory.max_usage_in_bytes")),
            memory_limit_bytes=_limit(_number(_read(cgroup.memory, "memory.limit_in_bytes"))),
            cpu_s=None if nanoseconds is None else nanoseconds / 1e9,
            oom_kills=_fields(_read(cgroup.memory, "memory.oom_control")).get("oom_kill"),
        )
    microseconds = _fields(_read(cgroup.cpu, "cpu.stat")).get("usage_usec")
    return Usage(
        memory_bytes=_without_cache(
            _number(_read(cgroup.memory, "memory.current")),
            _fields(_read(cgroup.memory, "memory.stat")).get("inactive_file"),
        ),
        memory_peak_bytes=_number(_read(cgroup.memory, "memory.peak")),
        memory_limit_bytes=_limit(_number(_read(cgroup.memory, "memory.max"))),
        cpu_s=None if microseconds is None else microseconds / 1e6,
        oom_kills=_fields(_read(cgroup.memory, "memory.events")).get("oom_kill"),
    )


def _read(folder: Path | None, name: str) -> str | None:
    try:
        return None if folder is None else (folder / name).read_text()
    except OSError:
        return None


def _number(text: str | None) -> int | None:
    word = (text or "").strip()
    return int(word) if word.isdigit() else None


def _fields(text: str | None) -> dict[str, int]:
    pairs = (line.split() for line in (text or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _limit(number: int | None) -> int | None:
    return None if number is None or number >= _UNLIMITED else number


def _without_cache(used: int | None, cache: int | None) -> int | None:
    return None if used is None else max(0, used - (cache or 0))

"""The control groups of this process: where the limits stand that it was given."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def group_folders(membership: str, controller: str) -> tuple[tuple[int, PurePosixPath], ...]:
    """Return the groups that limit what a controller gives, by a `/proc/self/cgroup`: version and path within it."""
    found = []
    for line in membership.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            found.append((2, PurePosixPath(path or "/")))
        elif controller in controllers.split(","):
            found.append((1, PurePosixPath(path or "/")))
    return tuple(found)


def up_to_root(group: PurePosixPath) -> tuple[PurePosixPath, ...]:
    """Return a group and all above it, relative to the root of its hierarchy: each of them may set a limit as well.

    Inside a container the path may be the host's and not exist here; the root is then the container's own group.
    """
    inside = group.relative_to("/") if group.is_absolute() else group
    return inside, *inside.parents


def text(path: Path) -> str:
    """Return what a file says; empty where it is not there."""
    try:
        return path.read_text()
    except OSError:
        return ""

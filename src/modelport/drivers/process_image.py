"""The images of the process driver: folders of this machine, found, allowed and looked at.

Functions block for as long as a disk takes; call them in a thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelport.core.errors import ImageNotFound, ImageUnauthorized
from modelport.drivers.process_command import Folder, parse_dockerfile

_MAX_DOCKERFILE_BYTES = 1024**2


def resolve_image(image: str, local_roots: Collection[Path]) -> Path:
    """Return the folder that `image` (an absolute path or file:///PATH) names, without symbolic links.

    Raises:
        ImageNotFound: it is no folder of this machine.
        ImageUnauthorized: it lies outside `local_roots`, or may not be read.
    """
    try:
        folder = _path_of(image).resolve()
        found = folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
    except PermissionError:
        raise ImageUnauthorized(
            f"`{image}` may not be read by the user that runs modelport", hint="Make it readable", image=image
        ) from None
    except (OSError, ValueError, RuntimeError):  # a name too long, a null byte, a loop of links
        found = False
    if not found:
        raise _not_found(image)
    if not any(folder.is_relative_to(root.expanduser().resolve()) for root in local_roots):
        roots = ", ".join(f"`{root}`" for root in local_roots)
        raise ImageUnauthorized(
            f"`{folder}` lies in none of the folders that images may come from: {roots}",
            hint="Move it there, or extend MODELPORT_LOCAL_ROOTS",
            image=image,
        )
    return folder


def look_at(image: str) -> Folder:
    """Return what matters of a pinned image for starting it.

    Raises:
        ImageNotFound: the folder is gone.
    """
    path = _path_of(image)
    try:
        files = frozenset(os.listdir(path))  # noqa: PTH208 - names, not paths
    except (FileNotFoundError, NotADirectoryError):
        raise _not_found(image) from None
    dockerfile = None
    if "Dockerfile" in files and (path / "Dockerfile").is_file():
        with (path / "Dockerfile").open(encoding="utf-8", errors="replace") as file:
            dockerfile = parse_dockerfile(file.read(_MAX_DOCKERFILE_BYTES))
    venv = path / ".venv" / "bin" / "python"
    return Folder(str(path), files, str(venv) if venv.exists() else sys.executable, dockerfile)


def _path_of(image: str) -> Path:
    try:
        parts = urlsplit(image)
    except ValueError:
        raise _not_found(image) from None
    is_url = parts.scheme == "file" and parts.netloc in ("", "localhost")
    path = Path(unquote(parts.path) if is_url else image)
    if not path.is_absolute():
        raise _not_found(image)
    return path


def _not_found(image: str) -> ImageNotFound:
    return ImageNotFound(
        f"`{image}` is not a folder of this machine, which is what the process driver runs",
        hint="Give the absolute path of a folder, or run modelport with --driver docker for container images",
        image=image,
    )

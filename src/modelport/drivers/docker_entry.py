"""The file that a container's command line starts: read from the engine's folders, else asked of the engine."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import aiodocker
import aiohttp
import anyio
import anyio.to_thread

from modelport.core.facts import EntryFile
from modelport.drivers.container_files import layers
from modelport.drivers.docker_calls import calling
from modelport.drivers.entry_file import HEAD_BYTES, candidates, described, read_entry

_MOST_LINKS = 5
_ARCHIVE_BYTES = 16 * 1024  # headers of a tar member, extended ones included, and the first bytes of its content
_GO_DIRECTORY = 1 << 31  # bits of Go's os.FileMode
_GO_LINK = 1 << 27
_MISSING = (400, 404)


async def container_entry(client: aiodocker.Docker, inspected: Mapping[str, Any], *, local: bool) -> EntryFile | None:
    """Return the file; None for a container without a command.

    Args:
        client: connection to the engine.
        inspected: `GET /containers/NAME/json`; the container need not run, or ever have run.
        local: whether the engine may be of this machine.

    Raises:
        aiodocker.DockerError, aiohttp.ClientError: it could not be looked for.
    """
    config = inspected["Config"]
    words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    if not words:
        return None
    program = str(words[0])
    variables = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
    paths = candidates(program, path=variables.get("PATH"), working_dir=str(config.get("WorkingDir") or "/"))
    if local and not _is_mounted(paths, inspected):
        try:
            return await anyio.to_thread.run_sync(_read_in_layers, inspected, program, paths)
        except OSError:  # another user's, those of a virtual machine, or another way to store images
            pass
    return await _ask_engine(client, str(inspected["Id"]), program, paths)


def _is_mounted(paths: Sequence[str], inspected: Mapping[str, Any]) -> bool:
    mounts = [str(mount.get("Destination", "")) for mount in inspected.get("Mounts") or ()]
    return any(PurePosixPath(path).is_relative_to(mount) for path in paths for mount in mounts if mount)


def _read_in_layers(inspected: Mapping[str, Any], program: str, paths: Sequence[str]) -> EntryFile:
    roots = layers(inspected)
    for root in roots:
        root.stat()
    if not roots:
        raise FileNotFoundError
    return read_entry(program, paths, roots)


async def _ask_engine(client: aiodocker.Docker, container: str, program: str, paths: Sequence[str]) -> EntryFile:
    first: tuple[str, str, int] | None = None
    for path in paths:
        if (found := await _follow(client, container, path)) is None:
            continue
        target, mode = found
        if mode & 0o111:
            return described(path, mode, await _head(client, container, target))
        first = first or (path, target, mode)
    if first is None:
        return EntryFile(program, exists=False)
    path, target, mode = first
    return described(path, mode, await _head(client, container, target))


async def _follow(client: aiodocker.Docker, container: str, path: str) -> tuple[str, int] | None:
    """Return the path behind all links and its mode; None where there is no file."""
    for _ in range(_MOST_LINKS + 1):
        found = await _stat(client, container, path)
        if found is None or int(found["mode"]) & _GO_DIRECTORY:
            return None
        if not int(found["mode"]) & _GO_LINK:
            return path, int(found["mode"])
        # Engines answer with the end of a chain of links, or with the link as written.
        path = str(PurePosixPath(path).parent / str(found["linkTarget"]))
    return None


async def _stat(client: aiodocker.Docker, container: str, path: str) -> Mapping[str, Any] | None:
    try:
        async with calling(client, "HEAD", f"containers/{container}/archive", {"path": path}) as response:
            header = response.headers["X-Docker-Container-Path-Stat"]
    except aiodocker.DockerError as error:
        if error.status in _MISSING:
            return None
        raise
    found: Mapping[str, Any] = json.loads(base64.b64decode(header))
    return found


async def _head(client: aiodocker.Docker, container: str, path: str) -> bytes:
    async with calling(client, "GET", f"containers/{container}/archive", {"path": path}) as response:
        content = await _first_bytes(response)
        response.close()  # a program of several gigabytes is not read to its end
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            member = archive.next()
            file = archive.extractfile(member) if member else None
            return file.read(HEAD_BYTES) if file else b""
    except (tarfile.TarError, KeyError):  # KeyError: a link to what is not in the archive
        return b""


async def _first_bytes(response: aiohttp.ClientResponse) -> bytes:
    content = b""
    async for chunk in response.content.iter_chunked(_ARCHIVE_BYTES):
        content += chunk
        if len(content) >= _ARCHIVE_BYTES:
            break
    return content

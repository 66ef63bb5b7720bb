"""Images: builds a folder with a Dockerfile on a container engine, over its socket, and fetches images there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import httpx

from modelport.core.errors import EngineUnreachable, FailedPrecondition, ImageBuildFailed, ImageNotFound

_TAIL = 30


@dataclass(frozen=True)
class BuiltImage:
    """A built image: its tag, and the engine that has it (`docker` or `podman`)."""

    tag: str
    engine: str


def build(
    folder: Path,
    name: str,
    *,
    engine: str,
    build_args: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda line: None,
) -> BuiltImage:
    """Build the folder's Dockerfile and return the image, tagged `localhost/NAME:DIGEST` by what went into it.

    Args:
        folder: build context; its .dockerignore is honoured.
        name: becomes the repository of the tag.
        engine: where the engine listens: `unix://PATH` or `tcp://HOST:PORT`.
        build_args: values for ARG.
        on_line: called with each line of the build's output.

    Raises:
        EngineUnreachable: nothing answers there.
        ImageBuildFailed: the build ended with an error; the message ends with its last lines.
    """
    arguments = dict(build_args or {})
    with tempfile.TemporaryFile() as context, _engine(engine) as http:
        pack(folder, context)
        tag = f"localhost/{repository(name)}:{_digest(context, arguments)}"
        tail: list[str] = []
        with http.stream(
            "POST",
            "/build",
            params={"t": tag, "rm": "true", "forcerm": "true", "buildargs": json.dumps(arguments)},
            headers={"content-type": "application/x-tar"},
            content=_chunks(context),
            timeout=httpx.Timeout(None, connect=5),
        ) as response:
            if response.status_code >= 400:
                raise _refused(folder, response.read())
            for event in _events(response):
                if problem := event.get("error"):
                    raise _failed(folder, str(problem), tail)
                for line in str(event.get("stream", event.get("status", ""))).splitlines():
                    if text := line.rstrip():
                        on_line(text)
                        tail = [*tail, text][-_TAIL:]
        return BuiltImage(tag, _engine_name(http))


def fetch(reference: str, *, engine: str, timeout_s: float = 300) -> None:
    """Make sure that the engine has an image, pulling it where it is not there.

    Raises:
        EngineUnreachable: nothing answers there.
        ImageNotFound: it is neither there nor to be had.
    """
    with _engine(engine) as http:
        if _has(http, reference):
            return
        name, _, tag = reference.partition("@") if "@" in reference else _split_tag(reference)
        with http.stream(
            "POST",
            "/images/create",
            params={"fromImage": name, "tag": tag},
            timeout=httpx.Timeout(timeout_s, connect=5),
        ) as response:
            problems = [str(event["error"]) for event in _events(response) if "error" in event]
            if response.status_code >= 400:
                problems.append(f"HTTP status {response.status_code}")
        # Podman may end the stream in peace without the image: only looking tells.
        if not _has(http, reference):
            because = f": {problems[-1]}" if problems else ""
            raise ImageNotFound(f"The image `{reference}` cannot be had{because}", hint="Check its name and registry")


def pack(folder: Path, target: IO[bytes]) -> None:
    """Write the build context as a tar file that depends on nothing but names, modes and bytes."""
    ignored = _ignore_rules(folder)
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, relative in _walk(folder):
            # The engine needs these two even where a rule leaves them out.
            if relative not in ("Dockerfile", ".dockerignore") and ignored.match_file(relative):
                continue
            archive_entry(archive, path, relative)


def archive_entry(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add one file, link or folder under `name`, without owner and times; sockets and devices are left out."""
    status = path.lstat()
    entry = tarfile.TarInfo(name)
    entry.mode = stat.S_IMODE(status.st_mode)
    if path.is_symlink():
        entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
        archive.addfile(entry)
    elif stat.S_ISDIR(status.st_mode):
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    elif stat.S_ISREG(status.st_mode):
        entry.size = status.st_size
        with path.open("rb") as file:
            archive.addfile(entry, file)


def repository(name: str) -> str:
    """Return `name` as engines allow it in a repository: lower case, digits, single hyphens between."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "image"


class _Rules(Protocol):
    def match_file(self, file: str) -> bool: ...


def _ignore_rules(folder: Path) -> _Rules:
    try:
        import pathspec
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            "Building an image needs packages that are not installed", hint="Run `pip install 'modelport[platform]'`"
        ) from error
    file = folder / ".dockerignore"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return pathspec.PathSpec.from_lines("gitignore", [rule for line in lines if (rule := _as_gitignore(line))])


def _as_gitignore(line: str) -> str:
    """Anchor a rule: in .dockerignore `data` is the one at the root, in .gitignore any."""
    rule = line.strip()
    if not rule or rule.startswith("#"):
        return ""
    negated, rule = ("!", rule[1:].strip()) if rule.startswith("!") else ("", rule)
    return f"{negated}/{PurePosixPath(rule.lstrip('/'))}"


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    for directory, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(directory) / name
            yield path, path.relative_to(folder).as_posix()


def _digest(context: IO[bytes], arguments: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode())
    for chunk in _chunks(context):
        digest.update(chunk)
    return digest.hexdigest()[:12]


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(io.DEFAULT_BUFFER_SIZE * 8):
        yield chunk


@contextmanager
def _engine(address: str) -> Iterator[httpx.Client]:
    scheme, _, rest = address.partition("://")
    if scheme == "unix":
        client = httpx.Client(transport=httpx.HTTPTransport(uds=rest), base_url="http://engine")
    else:
        client = httpx.Client(base_url=f"http://{rest}" if scheme == "tcp" else address, trust_env=False)
    with client:
        try:
            yield client
        except httpx.RequestError as error:
            raise EngineUnreachable(
                f"The container engine at `{address}` does not answer: {error}",
                hint="Start Docker or Podman, or set DOCKER_HOST to where it listens",
            ) from error


def _events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.strip():
            yield json.loads(line)


def _has(http: httpx.Client, reference: str) -> bool:
    return http.get(f"/images/{reference}/json", timeout=30).status_code == httpx.codes.OK


def _split_tag(reference: str) -> tuple[str, str, str]:
    """Split off the tag; a colon before the last slash belongs to a registry's port."""
    name, colon, tag = reference.rpartition(":")
    return (name, colon, tag) if colon and "/" not in tag else (reference, ":", "latest")


def _engine_name(http: httpx.Client) -> str:
    components = http.get("/version", timeout=10).json().get("Components") or []
    names = " ".join(str(component.get("Name", "")) for component in components)
    return "podman" if "podman" in names.lower() else "docker"


def _failed(folder: Path, problem: str, tail: list[str]) -> ImageBuildFailed:
    quoted = "".join(f"\n    {line}" for line in tail)
    return ImageBuildFailed(
        f"`{folder / 'Dockerfile'}` cannot be built: {problem.strip()}{quoted}",
        hint="Correct the step above, then try again",
    )


def _refused(folder: Path, body: bytes) -> ImageBuildFailed:
    text = body.decode(errors="replace").strip()
    with suppress(ValueError, AttributeError):
        text = str(json.loads(text).get("message", text))
    return ImageBuildFailed(f"The container engine refuses to build `{folder}`: {text}", hint="Correct the Dockerfile")

"""Images that have an environment: built on a base image, or out of this machine's own Python where there is none.

An image is made once for each environment and way of making it, and found again by its computed name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import aiodocker
import aiohttp
import anyio

from modelport.core.environments import Environment, PackageFile
from modelport.core.errors import EngineUnreachable, EnvironmentBuildFailed, ImageNotFound, ImageUnauthorized
from modelport.drivers import environment_folder, host_python, python_environment
from modelport.drivers.archive_stream import Entry, File, pack, sent
from modelport.drivers.docker_calls import calling
from modelport.drivers.docker_errors import translating
from modelport.drivers.docker_images import image_id, is_image_name, pin_image, qualified_id

Way = Literal["auto", "base", "host"]

DEFAULT_BASE_IMAGE = "python:{python}-slim"
_REPOSITORY = "localhost/modelport-environment"
# Not the label of containers: one that somebody else makes of the image inherits this.
_INSTALLATION = "modelport.environment.installation"
_TAIL = 30
_KEPT_S = 3600
_DAY_S = 24 * 3600
_INSTALL = PurePosixPath("/opt/modelport/install")
_INSTALLED = PurePosixPath("/opt/modelport/environment")
_USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOBODY = "65534:65534"
# What libraries keep in a home folder goes to the one place that anybody may write to.
_VARIABLES = {"HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnvironmentSettings:
    """How the images of environments are made.

    Attributes:
        directory: where environments of this machine's Python are built first.
        prunes: remove from there what is in an image and was not asked for in the last hour.
        way: `base`: built on a base image; `host`: out of this machine's Python; `auto`: `host` where there is no base.
        base_image: the base, with `{python}` for the version of Python; it must have Python with `venv` and `pip`.
    """

    directory: Path
    prunes: bool = True
    way: Way = "auto"
    base_image: str = DEFAULT_BASE_IMAGE


class EnvironmentImages:
    """Makes the images of environments on one engine.

    Args:
        engine: URL of the engine, for messages.
        installation: who makes them; others may use them too.
        settings: how they are made.
        docker_config: where logins to registries are kept.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        engine: str,
        settings: EnvironmentSettings,
        *,
        installation: str,
        docker_config: Path,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._installation = installation
        self._settings = settings
        self._docker_config = docker_config
        self._now = now
        self._building: dict[str, anyio.Lock] = {}
        self._asked: dict[str, float] = {}

    async def ensure(self, client: aiodocker.Docker, environment: Environment) -> str:
        """Return the id of the image, made where there is none yet.

        Raises:
            EnvironmentBuildFailed: something cannot be installed, or there is no Python of that version.
            EngineUnreachable: it may work later.
        """
        tag = image_tag(environment, self._settings)
        async with self._building.setdefault(tag, anyio.Lock()):
            if found := await self._find(client, tag):
                return found
            base = base_image(environment, self._settings.base_image)
            refusal = await self._refusal(client, base) if self._settings.way != "host" else ""
            if self._settings.way == "host" or (refusal and self._settings.way == "auto"):
                _log.warning(
                    "environment %s: made of this machine's own Python%s",
                    environment.digest[:12],
                    f", for `{base}` cannot be had: {refusal}" if refusal else "",
                )
                await self._import(client, environment, tag)
            elif refusal:
                raise EnvironmentBuildFailed(
                    f"The base image of the environment cannot be had: {refusal}",
                    hint="Name one that the engine has in MODELPORT_RUNTIME_BASE_IMAGE",
                )
            else:
                _log.info("environment %s: built on `%s`", environment.digest[:12], base)
                await self._build(client, environment, base, tag)
            if found := await self._find(client, tag):
                return found
        raise EngineUnreachable(f"The engine at `{self._engine}` has lost `{tag}` right after it was made")

    async def _find(self, client: aiodocker.Docker, tag: str) -> str | None:
        found = await image_id(client, self._engine, tag)
        if found is not None:
            self._asked[found] = self._now()
        return found

    async def prune(self, client: aiodocker.Docker, keep: frozenset[str]) -> None:
        """Remove images of environments that this installation made, but for those in `keep` and those of the last day.

        An engine keeps what any container uses, and one that is away now is asked another time.
        """
        now = self._now()
        recent = {image for image, asked in self._asked.items() if now - asked < _DAY_S}
        try:
            with translating(self._engine, doing="list images of environments"):
                filters = json.dumps({"label": [f"{_INSTALLATION}={self._installation}"]})
                async with calling(client, "GET", "images/json", {"filters": filters}) as response:
                    images = await response.json()
            for image in images:
                identity = qualified_id(image)
                if now - int(image["Created"]) > _DAY_S and identity not in keep | recent:
                    await self._remove(client, identity)
        except EngineUnreachable as error:
            _log.warning("images of environments are not cleared away: %s", error.message)

    async def _remove(self, client: aiodocker.Docker, image: str) -> None:
        with translating(self._engine, doing=f"remove image `{image}`"):
            try:
                await client.images.delete(image)
            except aiodocker.DockerError as error:
                # 404: it is gone. 409: a container uses it, or it has another name too.
                if error.status not in (404, 409):
                    raise

    async def _refusal(self, client: aiodocker.Docker, base: str) -> str:
        """Return why the base image cannot be had; empty where the engine has it, now if not before."""
        try:
            await pin_image(client, self._engine, base, docker_config=self._docker_config)
        except (ImageNotFound, ImageUnauthorized) as error:
            return error.message
        return ""

    async def _build(self, client: aiodocker.Docker, environment: Environment, base: str, tag: str) -> None:
        params = {"t": tag, "rm": "true", "forcerm": "true", "labels": json.dumps({_INSTALLATION: self._installation})}
        context = sent(pack(build_context(environment, base)))
        tail: list[str] = []
        with translating(self._engine, doing="build an environment"):
            async with calling(client, "POST", "build", params, archive=context) as response:
                async for event in _events(response):
                    if problem := str(event.get("error", "")):
                        raise _failed(problem, tail)
                    tail = [*tail, *_lines(str(event.get("stream", event.get("status", ""))))][-_TAIL:]

    async def _import(self, client: aiodocker.Docker, environment: Environment, tag: str) -> None:
        await self._require_same_architecture(client)
        python = python_environment.find_python(environment.python)
        # Compiled: nobody can write beside the modules of an image, so each start would compile them anew.
        built = await python_environment.build(self._settings.directory, environment, python=python, compiled=True)
        folder = built / ".venv"
        repository, _, name = tag.rpartition(":")
        path = f"{folder}/bin:{_USUAL_PATH}"
        variables = {"PATH": path, "SSL_CERT_FILE": str(host_python.CERTIFICATES), **_VARIABLES}
        changes = [*(f"ENV {key}={value}" for key, value in variables.items()), f"USER {_NOBODY}"]
        changes += [f"LABEL {_INSTALLATION}={self._installation}", 'CMD ["python"]']
        params = [("fromSrc", "-"), ("repo", repository), ("tag", name), *(("changes", one) for one in changes)]
        archive = sent(pack(host_python.root_file_system(folder)))
        imported = ""
        with translating(self._engine, doing="import an environment"):
            async with calling(client, "POST", "images/create", params, archive=archive) as response:
                async for event in _events(response):
                    if problem := str(event.get("error", "")):
                        raise EngineUnreachable(f"The engine at `{self._engine}` takes no image: {problem}")
                    imported = str(event.get("status", imported))
            # Podman imports without the name.
            await client.images.tag(imported, repository, tag=name)
        if self._settings.prunes:
            await environment_folder.prune(self._settings.directory, frozenset(), unused_s=_KEPT_S)

    async def _require_same_architecture(self, client: aiodocker.Docker) -> None:
        with translating(self._engine):
            version = await client.version()
        here = _ARCHITECTURES.get(platform.machine(), platform.machine())
        there = str(version.get("Arch", here))
        if platform.system() != "Linux" or here != there:
            raise EnvironmentBuildFailed(
                f"This machine's Python ({platform.system()}, {here}) does not run on the engine's (Linux, {there})",
                hint="Name a base image that the engine has in MODELPORT_RUNTIME_BASE_IMAGE",
            )


def base_image(environment: Environment, template: str) -> str:
    """Return the base image for the environment's version of Python; this process's where it asks for none."""
    version = environment.python or ".".join(platform.python_version_tuple()[:2])
    return template.replace("{python}", version)


def image_tag(environment: Environment, settings: EnvironmentSettings) -> str:
    """Return the name of the image: what is in it, and how it was to be made."""
    made = [environment.digest, settings.way, base_image(environment, settings.base_image)]
    return f"{_REPOSITORY}:{hashlib.sha256(json.dumps(made).encode()).hexdigest()}"


def build_context(environment: Environment, base: str) -> Iterator[Entry]:
    """Yield what is built: a Dockerfile, the requirements and the packages."""
    if not is_image_name(base):
        raise EnvironmentBuildFailed(f"`{base}` is not the name of an image", hint="Correct the version of Python")
    yield File(PurePosixPath("Dockerfile"), dockerfile(environment, base).encode())
    requirements = "".join(f"{requirement}\n" for requirement in environment.requirements)
    yield File(PurePosixPath("install/requirements.txt"), requirements.encode())
    for index, package in enumerate(environment.packages):
        yield File(PurePosixPath("install", str(index), package.path.name), Path(package.path))


def dockerfile(environment: Environment, base: str) -> str:
    """Return the instructions. Names of packages are the user's, so no shell sees them."""
    packages = [_installed_from(index, package) for index, package in enumerate(environment.packages)]
    pip = [str(_INSTALLED / "bin" / "python"), "-m", "pip", "install", "--no-cache-dir", "--no-input"]
    # All at once: so the pinned requirements bind what the packages ask for.
    install = [*pip, "--disable-pip-version-check", "--requirement", str(_INSTALL / "requirements.txt"), *packages]
    variables = " ".join(f"{name}={value}" for name, value in _VARIABLES.items())
    return "\n".join(
        [
            f"FROM {base}",
            "USER root",
            f"COPY install {_INSTALL}",
            f"RUN {json.dumps(['python3', '-m', 'venv', str(_INSTALLED)])}",
            f"RUN {json.dumps(install)}",
            f"ENV PATH={_INSTALLED}/bin:${{PATH:-{_USUAL_PATH}}} {variables}",
            f"USER {_NOBODY}",
            "ENTRYPOINT []",
            'CMD ["python"]',
            "",
        ]
    )


def _installed_from(index: int, package: PackageFile) -> str:
    extras = f"[{','.join(package.extras)}]" if package.extras else ""
    return f"{_INSTALL / str(index) / package.path.name}{extras}"


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for line in response.content:
        if line.strip():
            yield json.loads(line)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def _failed(problem: str, tail: list[str]) -> EnvironmentBuildFailed:
    quoted = "".join(f"\n    {line}" for line in tail)
    return EnvironmentBuildFailed(
        f"The environment cannot be installed: {problem.strip()}{quoted}",
        hint="Correct the packages, or choose another runtime version",
    )

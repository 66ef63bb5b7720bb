"""Images of the engine: what a name means now, fetched when it is not there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiodocker

from modelport.core.errors import EngineUnreachable, Error, ImageNotFound, ImageUnauthorized
from modelport.drivers.docker_errors import engine_text, translating
from modelport.drivers.registry_login import find_login, qualified

_LEGAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@-]*")
_PATH_STARTS = ("file:", "/", "./", "../", "~")


async def pin_image(client: aiodocker.Docker, engine: str, image: str, *, docker_config: Path) -> str:
    """Return the id of the image, which stays the same when the name moves on.

    The id and not the registry's digest: it is the one reference that both Docker and Podman resolve without a
    registry after another image has taken the name.
    """
    _require_image_name(image)
    found = await image_id(client, engine, image)
    if found is None:
        refusal = await _pull(client, engine, image, docker_config)
        # Podman reports errors of a pull inside a successful answer; only looking again tells.
        found = await image_id(client, engine, image)
        if found is None:
            raise _not_pulled(image, refusal)
    return found


def is_image_name(image: str) -> bool:
    """Return whether this can be the name of an image: it becomes part of a URL path of the engine."""
    return bool(_LEGAL.fullmatch(image)) and ".." not in image


def _require_image_name(image: str) -> None:
    if image.startswith(_PATH_STARTS):
        raise ImageNotFound(
            f"`{image}` is a path, and the docker driver runs container images",
            hint="Build an image of it first, as `modelport deploy FOLDER` does, or use the process driver",
            image=image,
        )
    if not is_image_name(image):
        raise ImageNotFound(
            f"`{image}` is not the name of an image",
            hint="Write REPOSITORY:TAG, such as registry.example/team/iris:1",
            image=image,
        )


async def image_id(client: aiodocker.Docker, engine: str, image: str) -> str | None:
    """Return the id of an image that the engine has; None where it has not."""
    with translating(engine, doing=f"look for image `{image}`"):
        try:
            found = await client.images.inspect(image)
        except aiodocker.DockerError as error:
            # 400: not a reference as this engine sees it; the pull then says why.
            if error.status in (400, 404):
                return None
            raise
    return qualified_id(found)


def qualified_id(image: Mapping[str, Any]) -> str:
    """Return the id of an image as every engine understands it; Podman leaves out the name of the digest."""
    identity = str(image["Id"])
    return identity if identity.startswith("sha256:") else f"sha256:{identity}"


async def _pull(client: aiodocker.Docker, engine: str, image: str, docker_config: Path) -> str:
    """Fetch the image; return the engine's words when it could not, as far as it told."""
    login = await find_login(qualified(image), docker_config)
    try:
        with translating(engine, {401: ImageUnauthorized, 403: ImageUnauthorized}, doing=f"pull image `{image}`"):
            try:
                await client.images.pull(qualified(image) if login else image, auth=login)
            except aiodocker.DockerError as error:
                # A failed pull is a 404, a 500 or text in the stream, whatever the cause: only its words differ.
                if error.status in (0, 400, 404, 500):
                    return engine_text(error)
                raise
    except EngineUnreachable as error:
        error.metadata["image"] = image
        raise
    return ""


def _not_pulled(image: str, refusal: str) -> Error:
    return ImageNotFound(
        f"Image `{image}` is not in the engine and could not be pulled: {refusal or 'the engine does not say why'}",
        hint="Correct the name, log in to its registry with `docker login`, or build the image on this machine",
        image=image,
    )

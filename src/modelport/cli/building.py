"""Building: a folder's Dockerfile on the container engine, with its progress on the screen."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from modelport.cli.session import Session
from modelport.core.errors import EngineUnreachable
from modelport.engine_socket import engine_socket
from modelport.sdk import images
from modelport.sdk.images import BuiltImage

_SHOWN_CHARACTERS = 100


@dataclass(frozen=True)
class Built:
    """The image, and how long it took to build it."""

    image: BuiltImage
    took_s: float


def find_engine() -> str | None:
    """Return where a container engine listens, or None where there is none."""
    return engine_socket(os.environ.get("MODELPORT_DOCKER_HOST", ""), os.environ)


def build_image(
    session: Session, folder: Path, name: str, *, engine: str | None, build_args: dict[str, str], verbose: bool
) -> Built:
    """Build the folder's Dockerfile; where there is no engine, raise what to do about it."""
    if engine is None:
        raise EngineUnreachable(
            f"`{folder}` has a Dockerfile, but no container engine is found from here to build it",
            hint="Start Docker or Podman, or name its socket in DOCKER_HOST",
        )
    start = time.monotonic()
    with session.out.pending(f"building {folder.name}") as pending:

        def on_line(line: str) -> None:
            pending.say(f"building {folder.name}: {line[:_SHOWN_CHARACTERS]}")
            if verbose:
                session.out.note(f"    {line}")

        image = images.build(folder, name, engine=engine, build_args=build_args, on_line=on_line)
    return Built(image, time.monotonic() - start)

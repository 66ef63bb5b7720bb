"""Turns what the engine's client raises into modelport's errors: by type, HTTP status and errno, never by words."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiodocker
import aiohttp

from modelport.core.errors import EngineUnreachable, Error, Internal

# What aiodocker reports as the status when there was no connection.
_NO_CONNECTION = 900
_NO_STATUSES: Mapping[int, type[Error]] = {}


@contextmanager
def translating(engine: str, statuses: Mapping[int, type[Error]] = _NO_STATUSES, *, doing: str = "") -> Iterator[None]:
    """Raise modelport's errors for the engine's.

    Args:
        engine: URL of the engine, for the message.
        statuses: what an HTTP status of this call means; others mean a failure of the engine (5xx) or of ours (4xx).
        doing: what was being done, such as "start replica `x`".
    """
    try:
        yield
    except aiodocker.DockerError as error:
        raise _translated(error, engine, statuses, doing) from error
    except TimeoutError as error:
        raise EngineUnreachable(
            f"The container engine at `{engine}` does not answer in time", hint="Look at the engine's own log"
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise EngineUnreachable(
            f"The container engine at `{engine}` broke the connection: {error}", hint=_remedy(error)
        ) from error


def remedy(error: BaseException) -> str:
    """Return what to do about an engine that cannot be reached."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno is not None:
            return _remedy(seen)
        seen = seen.__cause__ or seen.__context__
    return _remedy(error)


def _remedy(error: BaseException) -> str:
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.EACCES, errno.EPERM):
        return "Let this user use the engine's socket, for Docker by adding the user to the group `docker`"
    return "Start Docker or Podman's API service, or name its socket in DOCKER_HOST"


def _translated(error: aiodocker.DockerError, engine: str, statuses: Mapping[int, type[Error]], doing: str) -> Error:
    if error.status == _NO_CONNECTION:
        return EngineUnreachable(f"The container engine at `{engine}` cannot be reached", hint=remedy(error))
    task = f"could not {doing}: " if doing else f"answered {error.status}: "
    message = f"The container engine {task}{engine_text(error)}"
    if error.status in statuses:
        return statuses[error.status](message, hint=_HINTS.get(statuses[error.status].reason, ""))
    if 400 <= error.status < 500:
        return Internal(message)
    return EngineUnreachable(message, hint="Look at the engine's own log")


def engine_text(error: aiodocker.DockerError) -> str:
    """Return the engine's own words on one line, within bounds."""
    return " ".join(str(error.message).split())[:1000]


_HINTS = {
    "REPLICA_CANNOT_START": "Correct command, args, image or resources in a new version",
    "IMAGE_NOT_FOUND": "Pull or build the image again, then create a new version",
    "IMAGE_UNAUTHORIZED": "Log in to the registry with `docker login` or `podman login`",
}

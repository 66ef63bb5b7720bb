"""Extras: what to say where a command needs packages that the base install does not bring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modelport.core.errors import FailedPrecondition


@contextmanager
def platform_extra(what: str) -> Iterator[None]:
    """Let the body import what `modelport[platform]` installs; raise FailedPrecondition where that is missing."""
    with _extra(what, "platform"):
        yield


@contextmanager
def server_extra(what: str) -> Iterator[None]:
    """Let the body import what `modelport[server]` installs; raise FailedPrecondition where that is missing."""
    with _extra(what, "server"):
        yield


@contextmanager
def _extra(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("modelport"):
            raise
        raise FailedPrecondition(
            f"{what} needs packages that are not installed: {error.name} is missing",
            hint=f"Run `pip install 'modelport[{name}]'`",
        ) from error

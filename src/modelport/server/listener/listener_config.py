"""The settings of a listener's process: which listener, where it listens, and what it allows callers.

What they share with those of the server is taken from there, word for word. Their variables are of their own:
MODELPORT_SERVER_* ones are for a `modelport-server` that may be the listener's child.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from modelport.core.errors import Violation
from modelport.server.config import ServerConfig, Setting
from modelport.server.settings_reading import (
    Said,
    add_flags,
    from_contract,
    from_flags,
    from_variables,
    refuse,
    values,
)

PREFIX = "MODELPORT_LISTENER_"
DEFAULT_FILE = "listener.yaml"
_TARGET = "target"
_OF_THE_SERVER = {one.name: one for one in fields(ServerConfig)}


def _same(name: str) -> Any:
    """Return a field like that of the server."""
    one = _OF_THE_SERVER[name]
    return field(default=one.default, metadata=one.metadata)


@dataclass(frozen=True)
class ListenerConfig:
    """What a listener's process was told."""

    target: str = field(
        default="",
        metadata={
            "help": "The listener: a YAML file, a folder with a listener.yaml, FILE.py:NAME or MODULE:NAME.",
            "otherwise": "listener.yaml in the working directory, else in the folder AIP_STORAGE_URI",
        },
    )
    model_name: str = _same("model_name")
    model_version: str = _same("model_version")
    host: str = _same("host")
    port: int = _same("port")
    health_route: str = _same("health_route")
    predict_route: str = _same("predict_route")
    max_body_bytes: int = _same("max_body_bytes")
    drain_s: float = _same("drain_s")
    idle_timeout_s: float = _same("idle_timeout_s")
    read_timeout_s: float = _same("read_timeout_s")
    access_log: bool = _same("access_log")


def listener_settings() -> Mapping[str, Setting]:
    """Return what is known of every setting, by the name of its field."""
    return {one.name: Setting(one.name, one.default, prefix=PREFIX, **one.metadata) for one in fields(ListenerConfig)}


def configure_listener(arguments: Sequence[str], environ: Mapping[str, str]) -> ListenerConfig:
    """Return the settings of a listener started with these arguments in this environment.

    Raises:
        InvalidArgument: some of them cannot be used; its violations name each of them and where it stands.
    """
    table = listener_settings()
    wrong: list[Violation] = []
    flags = from_flags(listener_parser(), _TARGET, arguments, table, wrong)
    variables = from_variables(environ, PREFIX, table, wrong)
    found = values((flags, variables, from_contract(environ, table)), table, wrong, but=_TARGET)
    target = _target(flags.get(_TARGET) or variables.get(_TARGET), environ, wrong)
    refuse(wrong, "listener")
    return ListenerConfig(target=target, **found)


def listener_parser() -> argparse.ArgumentParser:
    """Return the command line, every setting a flag."""
    made = argparse.ArgumentParser(
        prog="modelport-listener",
        description="Stand before model servers: convert, route, and run what comes before and after a model.",
        epilog=f"Each setting may also be said as {PREFIX}NAME in the environment.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument(_TARGET, nargs="?", metavar="TARGET", help="The same as --target.")
    add_flags(made, listener_settings())
    return made


def _target(said: Said | None, environ: Mapping[str, str], wrong: list[Violation]) -> str:
    """Return which listener is meant; a Python one as it was written, a file as a path that exists."""
    if said is not None:
        text = str(said.value)
        place, _, name = text.rpartition(":")
        in_code = place != "" and name.isidentifier()
        path = Path(place if in_code else text)
        path = path / DEFAULT_FILE if path.is_dir() else path
        if not path.is_file() and not (in_code and path.suffix != ".py"):
            wrong.append(Violation(said.where, f"`{path}` does not exist"))
        return text
    places = [Path(DEFAULT_FILE)]
    if (folder := _folder(environ.get("AIP_STORAGE_URI", ""))) is not None:
        places.append(folder / DEFAULT_FILE)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        looked = " nor ".join(f"`{place}`" for place in places)
        wrong.append(Violation(_TARGET, f"No listener is named, and there is no {looked}: name one, or FILE.py:NAME"))
    return str(found or "")


def _folder(uri: str) -> Path | None:
    """Return the folder that a URI of a model means where it is on this machine."""
    parts = urlsplit(uri)
    if not uri or ("://" in uri and parts.scheme != "file"):
        return None
    return Path(unquote(parts.path) if "://" in uri else uri)

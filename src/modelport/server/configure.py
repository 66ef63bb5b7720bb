"""Reads a server's settings from flags, variables and modelport.yaml; the first that says something wins.

In this order: flags, MODELPORT_SERVER_* variables, `server:` in the modelport.yaml of the model's folder, and the
variables of the container contract. Everything that is wrong is reported at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelport.core.errors import Violation
from modelport.server.config import PREFIX, ServerConfig, Setting, settings
from modelport.server.loaders.device import Device
from modelport.server.settings_reading import (
    Said,
    add_flags,
    from_contract,
    from_flags,
    from_variables,
    kind_of,
    like,
    refuse,
    values,
)

_SPEC_FILES = ("modelport.yaml", "modelport.yml")
_DIRECTORY = "model_dir"


def configure(arguments: Sequence[str], environ: Mapping[str, str]) -> ServerConfig:
    """Return the settings of a server started with these arguments in this environment.

    Raises:
        InvalidArgument: some of them cannot be used; its violations name each of them and where it stands.
    """
    table = settings()
    wrong: list[Violation] = []
    flags = from_flags(parser(), _DIRECTORY, arguments, table, wrong)
    variables = from_variables(environ, PREFIX, table, wrong)
    contract = from_contract(environ, table)
    folder = _folder((flags, variables, contract), wrong)
    spec = _spec(folder, table, wrong) if folder is not None else {}
    found = values((flags, variables, spec, contract), table, wrong, but=_DIRECTORY)
    if folder is None and not wrong and not found.get("predictor"):
        wrong.append(Violation(_DIRECTORY, "No model is named: give its folder, or --predictor MODULE:CLASS"))
    if found.get("multi_model") and found.get("predictor"):
        wrong.append(Violation("multi_model", "It is for folders of model files; leave it or the predictor out"))
    if found.get("device", Device.AUTO) != Device.AUTO and found.get("predictor"):
        wrong.append(Violation("device", "It is for model files; a predictor's own code decides where it computes"))
    refuse(wrong, "server")
    return ServerConfig(model_dir=folder, **found)


def parser() -> argparse.ArgumentParser:
    """Return the command line, every setting a flag."""
    made = argparse.ArgumentParser(
        prog="modelport-server",
        description="Serve the model in a folder over HTTP.",
        epilog="Each setting may also be said as MODELPORT_SERVER_NAME in the environment, or below `server:` in the"
        " folder's modelport.yaml.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument(_DIRECTORY, nargs="?", metavar="MODEL_DIR", help="The same as --model-dir.")
    add_flags(made, settings())
    return made


def _folder(sources: Iterable[Mapping[str, Said]], wrong: list[Violation]) -> Path | None:
    said = next((source[_DIRECTORY] for source in sources if _DIRECTORY in source), None)
    if said is None:
        return None
    text = str(said.value)
    parts = urlsplit(text)
    if "://" in text and parts.scheme != "file":
        wrong.append(
            Violation(
                said.where,
                f"It is `{text}`, a folder or a file:// URI is wanted. The server does not fetch models: mount or copy"
                " them, as modelport does for the versions that it runs",
            )
        )
        return None
    path = Path(unquote(parts.path) if parts.scheme == "file" and "://" in text else text)
    if not path.exists():
        wrong.append(Violation(said.where, f"`{path}` does not exist"))
        return None
    return path


def _spec(folder: Path, table: Mapping[str, Setting], wrong: list[Violation]) -> dict[str, Said]:
    file = next((folder / name for name in _SPEC_FILES if (folder / name).is_file()), None)
    if file is None:
        return {}
    import yaml  # only where there is something to read: it takes as long to import as all else here

    try:
        document = yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        wrong.append(Violation(str(file), f"It is not YAML: {' '.join(str(error).split())}"))
        return {}
    section = document.get("server") if isinstance(document, dict) else None
    if section is None:
        return {}
    if not isinstance(section, dict):
        wrong.append(Violation(f"{file}: server", f"It is {kind_of(section)}, names with values are wanted"))
        return {}
    found = {}
    for key, value in section.items():
        name = str(key).replace("-", "_")
        where = f"{file}: server.{key}"
        if name == _DIRECTORY:
            wrong.append(Violation(where, "The folder cannot be named in a file that lies in it"))
        elif name in table:
            found[name] = Said(value, where)
        else:
            wrong.append(Violation(where, f"There is no such setting{like(name, table)}"))
    return found

"""Reads a server's settings from flags, variables and modelport.yaml; the first that says something wins.

In this order: flags, MODELPORT_SERVER_* variables, `server:` in the modelport.yaml of the model's folder, and the
variables of the container contract. Everything that is wrong is reported at once.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from modelport.core.errors import InvalidArgument, Violation
from modelport.core.frameworks import Framework, framework_named
from modelport.server.config import ServerConfig, Setting, settings

_PREFIX = "MODELPORT_SERVER_"
_SPEC_FILES = ("modelport.yaml", "modelport.yml")
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
_DIRECTORY = "model_dir"
_METAVARS = {str: "TEXT", int: "NUMBER", float: "NUMBER", tuple: "LIST"}


@dataclass(frozen=True)
class Said:
    """A value as it was written, and where."""

    value: object
    where: str


class _Wrong(Exception):
    """A value that cannot be used, and why."""


def configure(arguments: Sequence[str], environ: Mapping[str, str]) -> ServerConfig:
    """Return the settings of a server started with these arguments in this environment.

    Raises:
        InvalidArgument: some of them cannot be used; its violations name each of them and where it stands.
    """
    table = settings()
    wrong: list[Violation] = []
    sources = [_flags(arguments, table, wrong), _variables(environ, table, wrong), {}, _contract(environ, table)]
    folder = _folder(sources, wrong)
    if folder is not None:
        sources[2] = _spec(folder, table, wrong)
    values = {}
    for name, setting in table.items():
        said = next((source[name] for source in sources if name in source), None)
        if said is None or name == _DIRECTORY:
            continue
        try:
            values[name] = converted(said.value, setting)
        except _Wrong as reason:
            wrong.append(Violation(said.where, str(reason)))
    if folder is None and not wrong and not values.get("predictor"):
        wrong.append(Violation(_DIRECTORY, "No model is named: give its folder, or --predictor MODULE:CLASS"))
    if wrong:
        text = "; ".join(f"`{one.field}`: {one.description}" for one in wrong)
        raise InvalidArgument(f"The server cannot be started like this: {text}", violations=tuple(wrong))
    return ServerConfig(model_dir=folder, **values)


def converted(value: object, setting: Setting) -> Any:
    """Return a value as the setting's type, and within its bounds; text may stand for any of them."""
    default = setting.default
    if isinstance(default, tuple):
        return _texts(value)
    if isinstance(value, dict | list) or value is None:
        raise _Wrong(f"It is {_kind(value)}, {_kind(default)} is wanted")
    text = str(value).strip()
    if isinstance(default, bool):
        return _truth(text)
    if isinstance(default, int | float):
        return _number(value, text, setting)
    if setting.name == "framework" and text and framework_named(text) is None:
        raise _Wrong(f"It is `{text}`, one of {', '.join(Framework)} is wanted{_like(text.upper(), list(Framework))}")
    if setting.name.endswith("_route") and (not text.startswith("/") or any(char.isspace() for char in text)):
        raise _Wrong(f"It is `{text}`, a path that begins with `/` is wanted")
    if setting.choices and text not in setting.choices:
        raise _Wrong(f"It is `{text}`, one of {', '.join(setting.choices)} is wanted")
    return text


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
    for setting in settings().values():
        if isinstance(setting.default, bool):
            made.add_argument(setting.flag, action=argparse.BooleanOptionalAction, help=_help(setting))
        else:
            metavar = _METAVARS.get(type(setting.default), "DIR")
            made.add_argument(setting.flag, metavar=metavar, help=_help(setting))
    return made


def _help(setting: Setting) -> str:
    notes = [setting.fallback, *setting.contract]
    return (setting.help + f" [{', '.join(note for note in notes if note)}]").replace(" []", "").replace("%", "%%")


def _flags(arguments: Sequence[str], table: Mapping[str, Setting], wrong: list[Violation]) -> dict[str, Said]:
    given, unknown = parser().parse_known_args(list(arguments))
    known = [setting.flag for setting in table.values()]
    for before, argument in zip([_DIRECTORY, *unknown], unknown, strict=False):
        if argument.startswith("-") or not before.startswith("-"):  # else it is the unknown flag's value
            flag = argument.partition("=")[0]
            wrong.append(Violation(flag, f"There is no such argument{_like(flag, known)}"))
    return {name: Said(value, table[name].flag) for name, value in vars(given).items()}


def _variables(environ: Mapping[str, str], table: Mapping[str, Setting], wrong: list[Violation]) -> dict[str, Said]:
    by_variable = {setting.variable: name for name, setting in table.items()}
    found = {}
    for variable in sorted(environ):
        if variable in by_variable:
            if environ[variable]:
                found[by_variable[variable]] = Said(environ[variable], variable)
        elif variable.startswith(_PREFIX):
            wrong.append(Violation(variable, f"There is no such setting{_like(variable, by_variable)}"))
    return found


def _contract(environ: Mapping[str, str], table: Mapping[str, Setting]) -> dict[str, Said]:
    found = {}
    for name, setting in table.items():
        variable = next((one for one in setting.contract if environ.get(one)), None)
        if variable is not None:
            found[name] = Said(environ[variable], variable)
    return found


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
        wrong.append(Violation(f"{file}: server", f"It is {_kind(section)}, names with values are wanted"))
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
            wrong.append(Violation(where, f"There is no such setting{_like(name, table)}"))
    return found


def _truth(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise _Wrong(f"It is `{text}`, true or false is wanted")


def _number(value: object, text: str, setting: Setting) -> int | float:
    whole = isinstance(setting.default, int)
    wanted = "a whole number" if whole else "a number"
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = None
    if number is None or isinstance(value, bool) or number != number:
        raise _Wrong(f"It is `{text}`, {wanted} is wanted")
    if (setting.least is not None and number < setting.least) or (setting.most is not None and number > setting.most):
        bounds = f"from {setting.least:g}" + (f" to {setting.most:g}" if setting.most is not None else "")
        raise _Wrong(f"It is {text}, {wanted} {bounds} is wanted")
    return number


def _texts(value: object) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else str(value).split(",")
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _kind(value: object) -> str:
    for kind, name in ((dict, "a mapping"), (list, "a list"), (bool, "true or false"), (int, "a whole number")):
        if isinstance(value, kind):
            return name
    return {float: "a number", str: "a text"}.get(type(value), "nothing")


def _like(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""

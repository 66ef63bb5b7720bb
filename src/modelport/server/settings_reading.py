"""Reads settings of a table from flags, variables and the contract; whatever is wrong is noted with where it stands."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelport.core.errors import InvalidArgument, Violation
from modelport.core.frameworks import Framework, framework_named
from modelport.server.config import Setting

_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
_METAVARS = {str: "TEXT", int: "NUMBER", float: "NUMBER", tuple: "LIST"}

Table = Mapping[str, Setting]


@dataclass(frozen=True)
class Said:
    """A value as it was written, and where."""

    value: object
    where: str


class _Wrong(Exception):
    """A value that cannot be used, and why."""


def add_flags(made: argparse.ArgumentParser, table: Table) -> None:
    """Make every setting of a table a flag of a command line."""
    for setting in table.values():
        if isinstance(setting.default, bool):
            made.add_argument(setting.flag, action=argparse.BooleanOptionalAction, help=_help(setting))
        else:
            metavar = _METAVARS.get(type(setting.default), "DIR")
            made.add_argument(setting.flag, metavar=metavar, help=_help(setting))


def from_flags(
    parser: argparse.ArgumentParser,
    positional: str,
    arguments: Sequence[str],
    table: Table,
    wrong: list[Violation],
) -> dict[str, Said]:
    """Return what the command line says; `positional` is the setting that needs no flag."""
    given, unknown = parser.parse_known_args(list(arguments))
    known = [setting.flag for setting in table.values()]
    for before, argument in zip([positional, *unknown], unknown, strict=False):
        if argument.startswith("-") or not before.startswith("-"):  # else it is the unknown flag's value
            flag = argument.partition("=")[0]
            wrong.append(Violation(flag, f"There is no such argument{like(flag, known)}"))
    return {name: Said(value, table[name].flag) for name, value in vars(given).items()}


def from_variables(environ: Mapping[str, str], prefix: str, table: Table, wrong: list[Violation]) -> dict[str, Said]:
    """Return what the settings' own variables say; one that only looks like them is wrong."""
    by_variable = {setting.variable: name for name, setting in table.items()}
    found = {}
    for variable in sorted(environ):
        if variable in by_variable:
            if environ[variable]:
                found[by_variable[variable]] = Said(environ[variable], variable)
        elif variable.startswith(prefix):
            wrong.append(Violation(variable, f"There is no such setting{like(variable, by_variable)}"))
    return found


def from_contract(environ: Mapping[str, str], table: Table) -> dict[str, Said]:
    """Return what the variables of the container contract say."""
    found = {}
    for name, setting in table.items():
        variable = next((one for one in setting.contract if environ.get(one)), None)
        if variable is not None:
            found[name] = Said(environ[variable], variable)
    return found


def values(sources: Iterable[Mapping[str, Said]], table: Table, wrong: list[Violation], *, but: str) -> dict[str, Any]:
    """Return the value of each setting of which the sources say something, the first one that does, but for `but`."""
    sources = list(sources)
    found = {}
    for name, setting in table.items():
        said = next((source[name] for source in sources if name in source), None)
        if said is None or name == but:
            continue
        try:
            found[name] = converted(said.value, setting)
        except _Wrong as reason:
            wrong.append(Violation(said.where, str(reason)))
    return found


def refuse(wrong: Sequence[Violation], what: str) -> None:
    """Raise InvalidArgument where anything is wrong; `what` cannot be started then."""
    if wrong:
        text = "; ".join(f"`{one.field}`: {one.description}" for one in wrong)
        raise InvalidArgument(f"The {what} cannot be started like this: {text}", violations=tuple(wrong))


def converted(value: object, setting: Setting) -> Any:
    """Return a value as the setting's type, and within its bounds; text may stand for any of them."""
    default = setting.default
    if isinstance(default, tuple):
        return _texts(value)
    if isinstance(value, dict | list) or value is None:
        raise _Wrong(f"It is {kind_of(value)}, {kind_of(default)} is wanted")
    text = str(value).strip()
    if isinstance(default, bool):
        return _truth(text)
    if isinstance(default, int | float):
        return _number(value, text, setting)
    if setting.name == "framework" and text and framework_named(text) is None:
        raise _Wrong(f"It is `{text}`, one of {', '.join(Framework)} is wanted{like(text.upper(), list(Framework))}")
    if setting.name.endswith("_route") and (not text.startswith("/") or any(char.isspace() for char in text)):
        raise _Wrong(f"It is `{text}`, a path that begins with `/` is wanted")
    if setting.choices and text not in setting.choices:
        raise _Wrong(f"It is `{text}`, one of {', '.join(setting.choices)} is wanted")
    return text


def kind_of(value: object) -> str:
    """Return what a value is, in words."""
    for kind, name in ((dict, "a mapping"), (list, "a list"), (bool, "true or false"), (int, "a whole number")):
        if isinstance(value, kind):
            return name
    return {float: "a number", str: "a text"}.get(type(value), "nothing")


def like(name: str, known: Iterable[str]) -> str:
    """Return a question that names what is spelled almost like it, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _help(setting: Setting) -> str:
    notes = [setting.fallback, *setting.contract]
    return (setting.help + f" [{', '.join(note for note in notes if note)}]").replace(" []", "").replace("%", "%%")


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

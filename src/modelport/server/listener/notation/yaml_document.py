"""Values of a YAML document with the line of each; whatever is not as wanted is noted, and reading goes on.

Works on the nodes of PyYAML, so that nothing is lost on the way: lines, duplicate keys, and how a scalar was written
(`0755` and `1.10` as the value of a variable). Scalars mean what they do in YAML 1.2: `no`, `on`, `12:30` are texts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from modelport.core.errors import InvalidArgument, Violation
from modelport.server.settings_reading import like

_SHOWN = 60
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """PyYAML's, with the plain scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the base class declares it so


for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), list(_first))


class Document:
    """One document, and what is wrong with it.

    Attributes:
        root: its outermost value; None where the file is empty or is not YAML.
        wrong: what was found, by the path in the document, such as `models.embed.format`.
        unread: paths of values that could not be read; what follows from that alone is not worth telling.
    """

    def __init__(self, text: bytes, name: str) -> None:
        """Read a document; `name` is that of its file."""
        self.name = name
        self.root: Node | None = None
        self.wrong: list[Violation] = []
        self.unread: list[str] = []
        self._lines: dict[str, int] = {"": 1}
        try:
            loader = _Loader(text)
            try:
                self.root = loader.get_single_node()
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._lines[""] = mark.line + 1 if mark else 1
            self.refuse("", f"It is not YAML: {error.problem or error.context}")
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            self.refuse("", f"It is not YAML: {' '.join(str(error).split())}")

    def at(self, path: str, node: Node) -> str:
        """Note where the value at a path stands, and return the path."""
        self._lines[path] = node.start_mark.line + 1
        return path

    def note(self, path: str, text: str) -> None:
        """Note that something is wrong at a path."""
        self.wrong.append(Violation(path, text))

    def refuse(self, path: str, text: str) -> None:
        """Note that the value at a path cannot be read."""
        self.note(path, text)
        self.unread.append(path)

    def located(self, violations: Iterable[Violation]) -> tuple[Violation, ...]:
        """Return violations with `FILE:LINE: ` before their paths, in the order of the lines."""
        lined = sorted(((self._line(one.field), one) for one in violations), key=lambda pair: pair[0])
        return tuple(
            Violation(f"{self.name}:{line}" + (f": {one.field}" if one.field else ""), one.description)
            for line, one in lined
        )

    def error(self, violations: Iterable[Violation]) -> InvalidArgument:
        """Return the error of a file in which all this is wrong."""
        found = self.located(violations)
        text = "; ".join(f"{one.field}: {one.description}" for one in found)
        return InvalidArgument(text, violations=found)

    def _line(self, path: str) -> int:
        while path not in self._lines:
            # What is not there is missing in what is around it.
            path = path.rpartition(".")[0]
        return self._lines[path]

    # What a node holds, or what is noted where it does not.

    def mapping(self, node: Node, path: str, wanted: str = "names with values") -> dict[str, Node]:
        """Return the values of a mapping by their keys, each of which may be there once."""
        if not isinstance(node, MappingNode):
            self._unlike(node, path, wanted)
            return {}
        found: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or key.tag == f"{_TAG}null":
                self.refuse(self.at(path, key), f"A name is {kind_of(key)}, a text is wanted")
                continue
            place = f"{path}.{key.value}" if path else str(key.value)
            if key.value in found:
                before = self._lines[place]
                self.note(self.at(place, key), f"It is there twice, in line {before} already")
                continue
            self.at(place, key)
            found[key.value] = value
        return found

    def members(self, node: Node, path: str, known: Iterable[str]) -> dict[str, Node]:
        """Return the values of a mapping whose keys are known."""
        known = list(known)
        found = self.mapping(node, path)
        for name in [name for name in found if name not in known]:
            hint = like(name, known) or f"; there are {', '.join(known)}"
            self.note(f"{path}.{name}" if path else name, f"There is no such key{hint}")
            del found[name]
        return found

    def items(self, node: Node, path: str, wanted: str) -> list[tuple[str, Node]]:
        """Return the entries of a list with their paths."""
        if not isinstance(node, SequenceNode):
            self._unlike(node, path, wanted)
            return []
        return [(self.at(f"{path}[{index}]", one), one) for index, one in enumerate(node.value)]

    def text(self, node: Node, path: str, wanted: str = "a text") -> str:
        """Return a scalar as it is written, also where it looks like a number."""
        if not isinstance(node, ScalarNode) or node.tag == f"{_TAG}null":
            self._unlike(node, path, wanted)
            return ""
        return str(node.value)

    def number(self, node: Node, path: str, wanted: str, default: Any) -> Any:
        """Return a number of the default's type; the default where it is none."""
        value = scalar(node) if isinstance(node, ScalarNode) else None
        if isinstance(value, bool) or not isinstance(value, int | (float if isinstance(default, float) else int)):
            self._unlike(node, path, wanted)
            return default
        return type(default)(value)

    def choice(self, node: Node, path: str, choices: tuple[str, ...], default: Any) -> Any:
        """Return the one of some words that is written."""
        wanted = "one of " + ", ".join(choices)
        value = self.text(node, path, wanted)
        if value and value not in choices:
            self.refuse(path, f"It is `{value}`, {wanted} is wanted{like(value, choices)}")
        return type(default)(value) if value in choices else default

    def texts(self, node: Node, path: str) -> dict[str, str]:
        """Return texts by their names."""
        return {name: self.text(one, f"{path}.{name}") for name, one in self.mapping(node, path).items()}

    def names(self, node: Node, path: str) -> tuple[str, ...]:
        """Return the names in a list; a single one needs no list."""
        if isinstance(node, ScalarNode):
            return (self.text(node, path, "a list of names"),)
        return tuple(self.text(one, place) for place, one in self.items(node, path, "a list of names"))

    def words(self, node: Node, path: str) -> tuple[str, ...]:
        """Return the words of a command: a list, or one text that is split as a shell would."""
        if not isinstance(node, ScalarNode):
            return tuple(self.text(one, place) for place, one in self.items(node, path, "a list of words"))
        try:
            return tuple(shlex.split(self.text(node, path, "a list of words")))
        except ValueError as error:
            self.refuse(path, f"It cannot be split into words: {str(error).lower()}")
            return ()

    def _unlike(self, node: Node, path: str, wanted: str) -> None:
        verb = "are" if wanted.startswith("names") else "is"
        self.refuse(path, f"It is {kind_of(node)}, {wanted} {verb} wanted")


def scalar(node: ScalarNode) -> str | int | float | bool | None:
    """Return what a scalar means."""
    value = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "bool":
            return value.lower() == "true"
        case "int":
            return int(value)
        case "float":
            return float(value)
        case "null":
            return None
    return value


def kind_of(node: Node) -> str:
    """Return in words what a node is, with the value of a scalar."""
    if isinstance(node, MappingNode):
        return "names with values"
    if isinstance(node, SequenceNode):
        return "a list"
    value = node.value if len(node.value) <= _SHOWN else node.value[:_SHOWN] + "…"
    words: Mapping[str, str] = {"null": "nothing", "str": f"the text `{value}`"}
    return words.get(node.tag.removeprefix(_TAG), f"`{value}`")

"""listener.yaml: read into a declaration, or refused with everything that is wrong, each with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelport.core.errors import InvalidArgument, ModelCannotBeLoaded
from modelport.server.listener.declaration import Condition, Listener, RouteBy, Routes
from modelport.server.listener.notation.keys import SECTIONS, keys_of
from modelport.server.listener.notation.listener_file import read_listener
from modelport.server.listener.notation.listener_source import examine, folder_of, load_listener
from tests.server.listener.declared import SENTIMENT, sentiment

ONE_MODEL = """\
servers:
  own: {url: "http://127.0.0.1:8001"}
models:
  iris: {server: own, path: /predict}
"""


def own(more: str) -> str:
    return ONE_MODEL.replace('8001"', f'8001", {more}')


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder: Path, text: str) -> Listener:
    (folder / "listener.yaml").write_text(text, encoding="utf-8")
    return read_listener("listener.yaml")


def refused(folder: Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(InvalidArgument) as caught:
        read(folder, text)
    return [(one.field, one.description) for one in caught.value.violations]


def test_a_whole_file_is_read(folder: Path) -> None:
    assert read(folder, SENTIMENT) == sentiment()


def test_what_is_not_written_has_its_default(folder: Path) -> None:
    listener = read(folder, ONE_MODEL)
    assert (listener.accepts, listener.routes, listener.models[0].format) == (("ai-platform",), None, "ai-platform")


def test_a_command_may_be_one_text(folder: Path) -> None:
    text = ONE_MODEL.replace('8001"}', "8001\", command: serve --dir='my models' $AIP_STORAGE_URI}")
    assert read(folder, text).servers[0].command == ("serve", "--dir=my models", "$AIP_STORAGE_URI")


@pytest.mark.parametrize(
    ("written", "sources"),
    [
        ("from: one", {"": "one"}),
        ("from: [one, request]", {"one": "one", "request": "request"}),
        ("from: {left: one, right: request}", {"left": "one", "right": "request"}),
    ],
)
def test_sources_are_written_in_three_ways(folder: Path, written: str, sources: dict[str, str]) -> None:
    steps = f"stacks:\n  s:\n    - one: {{python: 'a:b'}}\n    - two: {{python: 'a:b', {written}}}\n"
    assert read(folder, ONE_MODEL + steps).stacks[0].steps[1].sources == sources


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("true", True),
        ("false", False),
        ("3", 3),
        ("0.5", 0.5),
        ("'3'", "3"),
        ("12:30", "12:30"),
        ("1e3", 1000.0),
        ("[de, 3, false]", ("de", 3, False)),
        ("[de]", ("de",)),
    ],
)
def test_conditions_mean_what_yaml_1_2_says(folder: Path, written: str, value: object) -> None:
    steps = f"stacks:\n  s:\n    - one: {{python: 'a:b'}}\n    - two: {{python: 'a:b', when: {{one: {written}}}}}\n"
    condition = read(folder, ONE_MODEL + steps).stacks[0].steps[1].when
    assert condition == Condition("one", value)
    assert type(condition.equals) is type(value)


def test_weights_name_their_targets_themselves(folder: Path) -> None:
    text = ONE_MODEL + "routes: {weights: {iris: 95}}\n"
    assert read(folder, text).routes == Routes(RouteBy.WEIGHTS, "", {"iris": "iris"}, {"iris": 95.0})


def test_everything_that_is_wrong_is_told_at_once(folder: Path) -> None:
    text = """\
servers:
  triton:
    command: [serve]
    conections: 3
    when_it_ends: restrat
models:
  embed:
    server: trton
    path: infer
    format: oip-binry
    timeout_s: soon
    concurrency: 0
    inputs: {text: "BYTE[1]"}
  embed: {}
stacks:
  s:
    - clean: {python: text.py}
    - embed: {model: embd, from: claen}
    - one: {model: embed}
      two: {model: embed}
routes:
  header: a
  field: b
accepts: [ai-platfrm]
extra: 1
"""
    assert refused(folder, text) == [
        (
            "listener.yaml:2: servers.triton.url",
            "It is missing: Where it listens: `http://HOST:PORT` or `unix:/PATH`; port 0 is any free one, for a child.",
        ),
        ("listener.yaml:4: servers.triton.conections", "There is no such key; did you mean `connections`?"),
        (
            "listener.yaml:5: servers.triton.when_it_ends",
            "It is `restrat`, one of restart, exit is wanted; did you mean `restart`?",
        ),
        ("listener.yaml:8: models.embed.server", "`trton` is no server; did you mean `triton`?"),
        ("listener.yaml:9: models.embed.path", "It is `infer`, a path that begins with `/` is wanted"),
        ("listener.yaml:10: models.embed.format", "`oip-binry` is no format; did you mean `oip-binary`?"),
        ("listener.yaml:11: models.embed.timeout_s", "It is the text `soon`, a number from 0.001 is wanted"),
        ("listener.yaml:12: models.embed.concurrency", "It is 0, a whole number from 1 is wanted"),
        (
            "listener.yaml:13: models.embed.inputs.text",
            "It is `BYTE[1]`, `BYTE` is no type of elements; did you mean `BYTES`?",
        ),
        ("listener.yaml:14: models.embed", "It is there twice, in line 7 already"),
        ("listener.yaml:17: stacks.s.clean.python", "It is `text.py`, FILE.py:NAME or MODULE:NAME is wanted"),
        ("listener.yaml:18: stacks.s.embed.model", "`embd` is no model; did you mean `embed`?"),
        ("listener.yaml:18: stacks.s.embed.from", "`claen` is no step of the stack; did you mean `clean`?"),
        (
            "listener.yaml:19: stacks.s[2]",
            "It has `one`, `two`, one step is wanted: a name, and indented below it what it does",
        ),
        (
            "listener.yaml:21: routes",
            "There is `header` and `field`, exactly one of header, field, instance_key, weights is wanted",
        ),
        ("listener.yaml:24: accepts[0]", "`ai-platfrm` is no format; did you mean `ai-platform`?"),
        (
            "listener.yaml:25: extra",
            "There is no such key; there are servers, models, stacks, routes, accepts",
        ),
    ]


@pytest.mark.parametrize(
    ("text", "field", "description"),
    [
        ("", "listener.yaml:1", "It is empty, names with values are wanted"),
        ("- a\n", "listener.yaml:1", "It is a list, names with values are wanted"),
        ("servers:\n  a: {url: x\nmodels: {}\n", "listener.yaml:3", "It is not YAML: "),
        ("servers:\n\town: 1\n", "listener.yaml:2", "It is not YAML: "),
        (ONE_MODEL + "stacks: {s: [7]}\n", "listener.yaml:5: stacks.s[0]", "It is `7`, a step with its name, "),
        (ONE_MODEL + "stacks: {s: {a: b}}\n", "listener.yaml:5: stacks.s", "It is names with values, a list of steps"),
        (ONE_MODEL + "accepts: {}\n", "listener.yaml:5: accepts", "It is names with values, a list of names is wanted"),
        (ONE_MODEL + "routes: {to: {a: iris}}\n", "listener.yaml:5: routes", "There is none of these, exactly one of"),
        ("servers: [own]\n" + ONE_MODEL[46:], "listener.yaml:1: servers", "It is a list, names with values are wanted"),
        (ONE_MODEL + "stacks:\n  s:\n    - a: {model: [iris]}\n", "listener.yaml:7: stacks.s.a.model", "It is a list"),
        (
            ONE_MODEL + "stacks:\n  s:\n    - a: {model: iris}\n    - a: {model: iris}\n",
            "listener.yaml:8: stacks.s.a",
            "Another step of the stack has this name",
        ),
        (
            ONE_MODEL + "stacks:\n  s:\n    - a: {model: iris}\n    - b: {model: iris, when: {a: [1, [2]]}}\n",
            "listener.yaml:8: stacks.s.b.when.a",
            "It is a list, a text, a number, true or false is wanted, or a list of such",
        ),
        (
            ONE_MODEL + "stacks:\n  s:\n    - a: {model: iris}\n    - b: {model: iris, when: {a: []}}\n",
            "listener.yaml:8: stacks.s.b.when.a",
            "It is a list, a text",
        ),
        (ONE_MODEL.replace('8001"', '8001", command: "a \'b"'), "listener.yaml:2: servers.own.command", "It cannot be"),
        (
            ONE_MODEL.replace('8001"', '8001", connections: 1.5'),
            "listener.yaml:2: servers.own.connections",
            "It is `1.5`",
        ),
        (
            ONE_MODEL.replace('8001"', '8001", connections: true'),
            "listener.yaml:2: servers.own.connections",
            "It is `true`",
        ),
        (ONE_MODEL.replace("path: /predict", "path: "), "listener.yaml:4: models.iris.path", "It is nothing, a text"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(folder: Path, text: str, field: str, description: str) -> None:
    seen = refused(folder, text)
    assert seen[0][0] == field
    assert seen[0][1].startswith(description)


def test_what_follows_from_what_cannot_be_read_is_not_told(folder: Path) -> None:
    seen = refused(folder, ONE_MODEL.replace("server: own", "server: [own]"))
    assert seen == [("listener.yaml:4: models.iris.server", "It is a list, a text is wanted")]


def test_what_follows_from_a_key_that_is_written_wrong_is_not_told(folder: Path) -> None:
    seen = refused(folder, ONE_MODEL + "stacks: {s: [a: {modle: iris}]}\n")
    assert seen == [("listener.yaml:5: stacks.s.a.modle", "There is no such key; did you mean `model`?")]


def test_a_file_that_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"`other\.yaml` cannot be read: no such file"):
        read_listener("other.yaml")


def test_every_key_says_what_it_is(folder: Path) -> None:
    for _, kind in SECTIONS:
        for key in keys_of(kind).values():
            assert key.help.endswith(".")
            assert key.wanted


PYTHON = """\
from modelport.server.listener.declaration import Listener, Model, Server, Stack, Step


def double(rows: list[float]) -> list[str]:
    return [str(2 * row) for row in rows]


own = Server("own", "http://127.0.0.1:8001")
listener = Listener((own,), (Model("m", "own", "/m", inputs={"x": "FP32[4]"}),))
wrong = Listener((own,), (Model("m", "owm", "/m"),))
mismatch = Listener(
    (own,), listener.models, (Stack("s", (Step("a", python=double), Step("b", model="m"))),)
)
number = 7
"""


def test_a_listener_may_be_written_in_python(folder: Path) -> None:
    (folder / "declared_here.py").write_text(PYTHON)
    assert load_listener("declared_here.py:listener").models[0].name == "m"
    assert load_listener("declared_here:listener").models[0].name == "m"
    with pytest.raises(InvalidArgument, match=r"models\.m\.server: `owm` is no server; did you mean `own`"):
        load_listener("declared_here.py:wrong")
    with pytest.raises(InvalidArgument, match="is of the type `int`, a `Listener` is wanted"):
        load_listener("declared_here.py:number")
    with pytest.raises(InvalidArgument, match="does not say which listener"):
        load_listener("declared_here.py")
    with pytest.raises(ModelCannotBeLoaded, match="holds no `listner`"):
        load_listener("declared_here.py:listner")
    with pytest.raises(InvalidArgument, match="BYTES is given, FP32"):
        load_listener("declared_here.py:mismatch")


def test_a_folder_stands_for_its_file(folder: Path) -> None:
    (folder / "listener.yaml").write_text(ONE_MODEL)
    assert load_listener(folder) == load_listener(folder / "listener.yaml")
    assert folder_of(folder) == folder_of(folder / "listener.yaml") == folder
    assert folder_of("sub/code.py:listener") == Path("sub")


def test_an_examination_loads_the_functions_too(folder: Path) -> None:
    (folder / "steps_here.py").write_text("def a(rows: list[str]) -> list[str]: ...\ndef b(rows: list[float]): ...\n")
    codes = {"a": "steps_here.py:a", "b": "steps_here.py:b", "c": "none.py:c"}
    steps = "stacks:\n  s:\n" + "".join(f"    - {name}: {{python: {code}}}\n" for name, code in codes.items())
    (folder / "listener.yaml").write_text(ONE_MODEL + steps)
    load_listener("listener.yaml")
    with pytest.raises(InvalidArgument) as caught:
        examine("listener.yaml")
    assert [(one.field, one.description.partition(";")[0]) for one in caught.value.violations] == [
        ("listener.yaml:8: stacks.s.b", "It takes its rows from `a`: BYTES is given, FP64 is wanted"),
        ("listener.yaml:9: stacks.s.c.python", f"The file `{folder}/none.py` does not exist"),
    ]

"""Whether what is declared can work: everything that is wrong, by its path."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelport.core.errors import InvalidArgument
from modelport.server.listener.declaration import Condition, Listener, Model, RouteBy, Routes, Server, Stack, Step
from modelport.server.listener.validation.graph import needed, order, sources
from modelport.server.listener.validation.violations import validate, violations
from tests.server.listener.declared import sentiment, stack_of


def wrong(listener: Listener, **functions: Any) -> list[tuple[str, str]]:
    given = {("a", name): function for name, function in functions.items()}
    return [(one.field, one.description) for one in violations(listener, given)]


def test_a_listener_that_can_work_has_nothing_wrong() -> None:
    validate(sentiment())
    assert wrong(sentiment()) == []


def test_all_that_is_wrong_is_raised_at_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate(sentiment(accepts=(), routes=replace(sentiment().routes or Routes(RouteBy.HEADER), default="z")))
    assert [one.field for one in caught.value.violations] == ["routes.default", "accepts"]


# Stacks as graphs.


def test_steps_take_their_rows_from_the_step_before() -> None:
    stack = sentiment().stacks[0]
    assert sources(stack) == {
        "clean": {"": "request"},
        "embed": {"": "clean"},
        "language": {"": "clean"},
        "german": {"": "embed"},
        "other": {"": "embed"},
        "label": {"german": "german", "other": "other"},
    }
    assert needed(stack)["german"] == ("embed", "language")
    assert needed(stack)["clean"] == ()


def test_steps_run_in_the_order_in_which_they_can() -> None:
    stack = Stack(
        "s",
        (
            Step("last", merge=("left", "right")),
            Step("left", model="m", sources={"": "first"}),
            Step("right", model="m", sources={"": "first"}, when=Condition("left", 1)),
            Step("first", python="a:b", sources={"": "request"}),
        ),
    )
    assert [step.name for step in order(stack)] == ["first", "left", "right", "last"]
    assert [step.name for step in order(sentiment().stacks[0])] == [one.name for one in sentiment().stacks[0].steps]


def test_a_circle_is_named_step_by_step() -> None:
    steps = (Step("a", model="m", sources={"": "c"}), Step("b", model="m"), Step("c", model="m"))
    assert wrong(stack_of(*steps)) == [("stacks.a.a", "These steps wait for one another: `a` -> `b` -> `c` -> `a`")]
    with pytest.raises(InvalidArgument, match="`a` -> `b` -> `c` -> `a` of the stack `a` wait for one another"):
        order(Stack("a", steps))


def test_a_condition_may_close_a_circle() -> None:
    listener = stack_of(Step("a", model="m", when=Condition("b", 1)), Step("b", model="m"))
    assert wrong(listener) == [("stacks.a.a", "These steps wait for one another: `a` -> `b` -> `a`")]


def test_a_step_may_not_wait_for_itself() -> None:
    assert wrong(stack_of(Step("b", model="m", sources={"": "b"}))) == [
        ("stacks.a.b", "These steps wait for one another: `b` -> `b`")
    ]


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ((), [("stacks.a", "It has no steps, at least one is wanted")]),
        (
            (Step("x"),),
            [("stacks.a.x", "It has none of them, exactly one of `model`, `python` and `merge` is wanted")],
        ),
        (
            (Step("x", model="m", python="a:b"),),
            [("stacks.a.x", "It has `model` and `python`, exactly one of `model`, `python` and `merge` is wanted")],
        ),
        ((Step("x", model="mm"),), [("stacks.a.x.model", "`mm` is no model; did you mean `m`?")]),
        ((Step("x", python="a"),), [("stacks.a.x.python", "It is `a`, FILE.py:NAME or MODULE:NAME is wanted")]),
        ((Step("x", python="a b:c"),), [("stacks.a.x.python", "It is `a b:c`, FILE.py:NAME or MODULE:NAME is wanted")]),
        (
            (Step("request", model="m"),),
            [("stacks.a.request", "`request` stands for the rows of the caller; give the step another name")],
        ),
        (
            (Step("x", model="m"), Step("x", model="n")),
            [
                ("stacks.a.x", "Another step of the stack has this name"),
                ("stacks.a.x", "These steps wait for one another: `x` -> `x`"),
            ],
        ),
        (
            (Step("first", model="m"), Step("x", model="n", sources={"": "frist"})),
            [("stacks.a.x.from", "`frist` is no step of the stack; did you mean `first`?")],
        ),
        (
            (Step("first", model="m"), Step("x", python="a:b", sources={"left": "first", "right": "z"})),
            [("stacks.a.x.from.right", "`z` is no step of the stack; there are `request`, `first`")],
        ),
        (
            (Step("first", model="m"), Step("x", model="n", when=Condition("request", 1))),
            [("stacks.a.x.when", "`request` is no step of the stack; there is `first`")],
        ),
        (
            (Step("first", model="m"), Step("x", merge=("first", "secnd", "first"), sources={"": "first"})),
            [
                ("stacks.a.x.from", "A merge takes what it merges; leave `from` out"),
                ("stacks.a.x.merge", "`secnd` is no step of the stack; there are `request`, `first`"),
                ("stacks.a.x.merge", "`first` is there twice"),
            ],
        ),
        (
            (Step("first", model="m"), Step("x", merge=("first",))),
            [("stacks.a.x.merge", "It is `first` alone, two steps or more are wanted")],
        ),
        (
            (Step("first", model="m"), Step("x", model="n", sources={"": "request"})),
            [("stacks.a.first", "No step takes what it gives, and the answer is that of the last one, `x`")],
        ),
        (
            (Step("-x", model="m"),),
            [("stacks.a.-x", "`-x` is no name: letters, digits and `_` are wanted, and `.` and `-` within")],
        ),
        (
            (Step("x", python="a:b", workers=-1),),
            [("stacks.a.x.workers", "It is -1, a whole number from 0 to 1024 is wanted")],
        ),
        (
            (Step("x", model="m", workers=2, max_rows=8),),
            [
                ("stacks.a.x.workers", "It is for steps with `python`"),
                ("stacks.a.x.max_rows", "It is for steps with `python`; say it of the model `m`"),
            ],
        ),
        (
            (Step("x", python="a:b", parameters=("k",)),),
            [("stacks.a.x.parameters", "It is for steps with a `model`; a function names what it takes")],
        ),
        (
            (Step("x", model="m", takes="FP23", gives={"y": "BYTE"}),),
            [
                ("stacks.a.x.takes", "It is `FP23`, `FP23` is no type of elements; did you mean `FP32`?"),
                ("stacks.a.x.gives.y", "It is `BYTE`, `BYTE` is no type of elements; did you mean `BYTES`?"),
            ],
        ),
    ],
)
def test_what_is_wrong_with_a_stack_is_told(steps: tuple[Step, ...], found: list[tuple[str, str]]) -> None:
    assert wrong(stack_of(*steps)) == found


# Types.

TYPED = (
    Model("embed", "s", "/e", inputs={"text": "BYTES[1]"}, outputs={"embedding": "FP32[384]"}),
    Model("classify", "s", "/c", inputs={"x": "FP32[384]"}, outputs={"label": "BYTES"}),
    Model("small", "s", "/s", inputs={"x": "FP32[128]"}),
    Model("pair", "s", "/p", inputs={"left": "FP32[384]", "right": "BYTES"}),
)


def typed(*steps: Step) -> Listener:
    return replace(stack_of(*steps), models=TYPED)


def texts(rows: list[str]) -> list[str]:
    return rows


def numbers(rows: list[float]) -> list[float]:
    return rows


def two(text: list[str], vector: list[list[float]], parameters: dict[str, Any]) -> list[str]:
    return text


def nothing() -> list[str]:
    return []


EMBED = Step("embed", model="embed")


@pytest.mark.parametrize(
    ("steps", "functions", "found"),
    [
        ((EMBED, Step("x", model="classify")), {}, []),
        (
            (EMBED, Step("x", model="small")),
            {},
            [("stacks.a.x", "It takes its rows from `embed`: FP32[384] is given, FP32[128] is wanted")],
        ),
        ((Step("t", python=texts), EMBED), {}, []),
        (
            (Step("n", python=numbers), EMBED),
            {},
            [("stacks.a.embed", "It takes its rows from `n`: FP64 is given, BYTES[1] is wanted")],
        ),
        (
            (Step("n", python="a:b"), EMBED),
            {"n": numbers},
            [("stacks.a.embed", "It takes its rows from `n`: FP64 is given, BYTES[1] is wanted")],
        ),
        ((Step("n", python="a:b"), EMBED), {}, []),
        (
            (Step("n", python=numbers, gives="FP32[3]"), Step("x", python=numbers, takes="FP32[4]")),
            {},
            [("stacks.a.x", "It takes its rows from `n`: FP32[3] is given, FP32[4] is wanted")],
        ),
        (
            (EMBED, Step("x", model="pair")),
            {},
            [("stacks.a.x", "It takes its rows from `embed`: `embedding` is given, `left` and `right` are wanted")],
        ),
        (
            (Step("t", python=texts), EMBED, Step("x", model="pair", sources={"left": "embed", "right": "t"})),
            {},
            [],
        ),
        (
            (Step("t", python=texts), EMBED, Step("x", model="pair", sources={"left": "t", "rigth": "embed"})),
            {},
            [
                ("stacks.a.x", "The model `pair` input `left`: BYTES is given, FP32[384] is wanted"),
                ("stacks.a.x.from", "The model `pair` has no input `rigth`; did you mean `right`?"),
                ("stacks.a.x.from", "The model `pair` wants `right` too"),
            ],
        ),
        (
            (Step("t", python=texts), EMBED, Step("x", python=two, sources={"text": "t", "vector": "embed"})),
            {},
            [],
        ),
        (
            (Step("t", python=texts), EMBED, Step("x", python=two, sources={"text": "embed", "vektor": "t"})),
            {},
            [
                ("stacks.a.x", "It takes its rows from `embed`: FP32[384] is given, BYTES is wanted"),
                ("stacks.a.x.from", "The function has no argument `vektor`; did you mean `vector`?"),
                ("stacks.a.x.from", "The function wants `vector` too"),
            ],
        ),
        (
            (EMBED, Step("x", python=two)),
            {},
            [("stacks.a.x.from", "The function wants `text`, `vector`; name a step for each of them")],
        ),
        (
            (Step("x", python=nothing),),
            {},
            [("stacks.a.x.python", "The function takes no rows, one argument for them is wanted")],
        ),
        (
            (Step("t", python=texts), Step("n", python=numbers, sources={"": "request"}), Step("x", merge=("t", "n"))),
            {},
            [("stacks.a.x.merge", "`n` does not go with `t`: FP64 is given, BYTES is wanted")],
        ),
        (
            (Step("t", python=texts), Step("x", model="classify", sources={"": "request"}, when=Condition("t", "de"))),
            {},
            [],
        ),
        (
            (Step("t", python=texts), Step("x", model="classify", sources={"": "request"}, when=Condition("t", 3))),
            {},
            [("stacks.a.x.when", "`t` gives BYTES, which is never `3`")],
        ),
        (
            (
                Step("t", python=texts),
                Step("x", model="classify", sources={"": "request"}, when=Condition("t", ("a", 3))),
            ),
            {},
            [("stacks.a.x.when", "`t` gives BYTES, which is never `3`")],
        ),
        (
            (Step("n", python=numbers), Step("x", model="classify", sources={"": "request"}, when=Condition("n", 3))),
            {},
            [],
        ),
        (
            (EMBED, Step("x", model="classify", when=Condition("embed", 0.5))),
            {},
            [("stacks.a.x.when", "`embed` gives FP32[384], which cannot be compared with one value")],
        ),
    ],
)
def test_types_are_followed_through_a_stack(
    steps: tuple[Step, ...], functions: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    assert wrong(typed(*steps), **functions) == found


# Servers, models, routes.


@pytest.mark.parametrize(
    ("server", "field", "description"),
    [
        ({"url": "https://h"}, "url", "`https://h` is no address of a model server"),
        ({"url": "http://h:port"}, "url", "`http://h:port` is no address of a model server: Port could not"),
        ({"url": "http://h:0"}, "url", "`http://h:0` names no port, and only a child can be given one"),
        ({"health": "ready"}, "health", "It is `ready`, a path that begins with `/` is wanted"),
        ({"connections": 0}, "connections", "It is 0, a whole number from 1 is wanted"),
        ({"start_timeout_s": 0, "command": ("a",)}, "start_timeout_s", "It is 0, a number from 0.001 is wanted"),
        ({"stop_timeout_s": 1.0}, "stop_timeout_s", "It is for a child, and the server has no `command`"),
        ({"env": {"A": "b"}}, "env", "It is for a child, and the server has no `command`"),
    ],
)
def test_what_is_wrong_with_a_server_is_told(server: dict[str, Any], field: str, description: str) -> None:
    listener = stack_of(Step("x", model="m"))
    seen = wrong(replace(listener, servers=(replace(listener.servers[0], **server),)))
    assert [one[0] for one in seen] == [f"servers.s.{field}"]
    assert seen[0][1].startswith(description)


def test_two_children_cannot_listen_at_one_address() -> None:
    servers = (Server("s", "http://127.0.0.1:1", ("a",)), Server("t", "http://127.0.0.1:1", ("b",)))
    seen = wrong(replace(stack_of(Step("x", model="m")), servers=servers))
    assert seen == [("servers.t.url", "`http://127.0.0.1:1` is where `s` listens; each needs its own")]


def test_names_are_there_once() -> None:
    listener = stack_of(Step("x", model="m"))
    models = (*listener.models, Model("m", "s", "/m"), Model("a", "s", "/a"))
    assert wrong(replace(listener, models=models)) == [
        ("models.m", "The name is there twice"),
        ("stacks.a", "A model has this name too; routes could not tell them apart"),
    ]


@pytest.mark.parametrize(
    ("routes", "found"),
    [
        (Routes(RouteBy.FIELD, "model", {"x": "a", "y": "m"}, default="y"), []),
        (Routes(RouteBy.WEIGHTS, "", {"a": "a", "m": "m"}, {"a": 0.5, "m": 3}), []),
        (
            Routes(RouteBy.FIELD, "model", {"x": "b"}),
            [("routes.to.x", "`b` is no stack or model; there are `a`, `m`, `n`")],
        ),
        (
            Routes(RouteBy.FIELD, "", {"x": "a"}, {"x": 1}, "y"),
            [
                ("routes.weights", "They are for chance; here `field` chooses"),
                ("routes.field", "It is empty, a name is wanted"),
                ("routes.default", "`y` is no value in `to`; there is `x`"),
            ],
        ),
        (
            Routes(RouteBy.HEADER, "X-A", {}),
            [
                ("routes.header", "`X-A` is no name of a header in lower case"),
                ("routes.to", "It is empty, names of stacks or models by value are wanted"),
            ],
        ),
        (
            Routes(RouteBy.WEIGHTS, "", {"a": "a", "z": "z"}, {"a": 0, "q": 1}, "a"),
            [
                ("routes.weights.a", "It is 0, a number above 0 is wanted"),
                ("routes.weights.q", "`q` is no name in `to`; there are `a`, `z`"),
                ("routes.to.z", "It has no weight"),
                ("routes.default", "It has no meaning where chance chooses; leave it out"),
                ("routes.weights.z", "`z` is no stack or model; there are `a`, `m`, `n`"),
            ],
        ),
        (Routes(RouteBy.WEIGHTS), [("routes.weights", "It is empty, a number for each stack or model is wanted")]),
    ],
)
def test_what_is_wrong_with_routes_is_told(routes: Routes, found: list[tuple[str, str]]) -> None:
    assert wrong(replace(stack_of(Step("x", model="m")), routes=routes)) == found


def test_without_routes_there_is_one_target() -> None:
    listener = stack_of(Step("x", model="m"))
    one, other = listener.stacks[0], replace(listener.stacks[0], name="b")
    assert wrong(replace(listener, stacks=(one, other))) == [
        ("routes", "There are 2 stacks (`a`, `b`) and no routes to them")
    ]
    assert wrong(replace(listener, stacks=())) == [("routes", "There are 2 models (`m`, `n`) and no routes to them")]
    assert wrong(replace(listener, stacks=(), models=listener.models[:1])) == []
    assert wrong(Listener()) == [("models", "There is neither a model nor a stack, so nothing can be asked")]


def test_formats_are_known_and_there_once() -> None:
    listener = replace(stack_of(Step("x", model="m")), accepts=("raw", "ai-platform", "raw", "row"))
    assert wrong(listener) == [
        ("accepts[2]", "`raw` is there twice"),
        ("accepts[3]", "`row` is no format; did you mean `raw`?"),
    ]

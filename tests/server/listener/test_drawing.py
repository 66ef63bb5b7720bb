"""A listener as a picture: text that is aligned, SVG that is whole in itself, boxes that never touch."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelport.server.listener.declaration import Condition, Listener, RouteBy, Routes, Runs, Step
from modelport.server.listener.drawing.character_canvas import DOWN, LEFT, RIGHT, UP
from modelport.server.listener.drawing.drawings import document_of, svg_of, text_of
from modelport.server.listener.drawing.layered_layout import lay_out
from modelport.server.listener.drawing.picture import Edge, Node, Picture, Role, picture
from tests.server.listener.declared import sentiment, stack_of


def test_a_listener_is_drawn_with_characters() -> None:
    assert text_of(sentiment()) == DRAWN


DRAWN = """\
            ┌─────────────────────┐
            │      requests       │
            │ raw or ai-platform  │
            │ by header x-variant │
            └──────────┬──────────┘
              ┌────────┴─────────┐
         a, default              b
              ▼                  ▼
        ┌───────────┐   ┌─────────────────┐
        │ sentiment │   │      embed      │
        │   stack   │   │ model on triton │
        └─────┬─────┘   └─────────────────┘
              │
              ▼
      ┌───────────────┐
      │     clean     │
      │ text.py:clean │
      └───────┬───────┘
            ┌─┴───────────────────────────┐
            ▼                             ▼
┌───────────────────────┐       ┌───────────────────┐
│         embed         │       │     language      │
│ model embed on triton │       │ text.py:language  │
└───────────┬───────────┘       │   in processes    │
            │                   └─────────┬─────────┘
            │    ┌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┴╌╌╌╌┐
            ├────┼────────────────────────┐    ╎
            ▼    ▼                        ▼    ▼
 ┌─────────────────────┐       ┌─────────────────────┐
 │       german        │       │        other        │
 │ model de on triton  │       │ model en on triton  │
 │  if language = de   │       │  if language = no   │
 └──────────┬──────────┘       └──────────┬──────────┘
            └─────────────────┬───────────┘
                              ▼
                          ╔═══════╗
                          ║ label ║
                          ║ merge ║
                          ╚═══════╝

models
  embed   oip-binary    /v2/models/embed/infer   on triton
  de      ai-platform   /v2/models/de/infer      on triton
  en      ai-platform   /v2/models/en/infer      on triton

servers
  triton   http://127.0.0.1:8001   started here: tritonserver --model-repository=$(AIP_STORAGE_URI) --http-port=8001
"""


def test_a_single_model_is_drawn() -> None:
    listener = stack_of(Step("x", model="m"))
    assert text_of(replace(listener, stacks=(), models=listener.models[:1])) == ONE_MODEL


ONE_MODEL = """\
 ┌─────────────┐
 │  requests   │
 │ ai-platform │
 └──────┬──────┘
        │
        ▼
 ┌─────────────┐
 │      m      │
 │ model on s  │
 └─────────────┘

models
  m   ai-platform   /m   on s

servers
  s   http://127.0.0.1:1   runs elsewhere
"""


ARMS = {glyph: arms for arms, glyph in enumerate(" ╵╷│╴┘┐┤╶└┌├─┴┬┼")}
ARMS |= {"╎": UP | DOWN, "╌": LEFT | RIGHT, "▼": UP, "║": UP | DOWN, "═": LEFT | RIGHT, "╤": LEFT | RIGHT | DOWN}
ARMS |= {"╔": DOWN | RIGHT, "╗": DOWN | LEFT, "╚": UP | RIGHT, "╝": UP | LEFT}

CROWDED = stack_of(
    Step("last", merge=("a", "b", "c")),
    Step("a", model="m", sources={"": "start"}, when=Condition("kind", 1)),
    Step("b", model="n", sources={"": "start"}, when=Condition("kind", (2, True))),
    Step("c", python="c.py:c", sources={"rows": "request", "kinds": "kind"}),
    Step("start", python="c.py:start", sources={"": "request"}),
    Step("kind", python="c.py:kind", sources={"": "request"}),
    Step("end", python="c.py:end", sources={"one": "last", "other": "request"}),
)


@pytest.mark.parametrize("listener", [sentiment(), CROWDED, stack_of(Step("x", python="a:b"), Step("y", model="m"))])
def test_no_line_ends_in_nothing(listener: Listener) -> None:
    rows = text_of(listener).partition("models\n")[0].splitlines()
    grid = {(row, column): char for row, line in enumerate(rows) for column, char in enumerate(line)}
    for (row, column), char in grid.items():
        for arm, place, back in ((DOWN, (row + 1, column), UP), (RIGHT, (row, column + 1), LEFT)):
            if ARMS.get(char, 0) & arm:
                other = grid.get(place, " ")
                on_a_box = other in "─═" and char in "│╎"
                assert ARMS.get(other, 0) & back or other.isalnum() or on_a_box, f"{char}{place}{other}"


def test_routes_by_chance_are_labelled_with_their_share() -> None:
    weights = Routes(RouteBy.WEIGHTS, "", {"a": "a", "m": "m"}, {"a": 1, "m": 3})
    shown = picture(replace(stack_of(Step("x", model="m")), routes=weights), servers=False)
    assert {edge.target: edge.label for edge in shown.edges if edge.source == "request"} == {
        "stack a": "25 %",
        "model m": "75 %",
    }


def test_values_of_one_target_share_an_arrow() -> None:
    routes = Routes(RouteBy.FIELD, "model", {"x": "a", "y": "a"}, default="y")
    shown = picture(replace(stack_of(Step("x", model="m")), routes=routes), servers=False)
    assert [edge.label for edge in shown.edges if edge.source == "request"] == ["x, y, default"]


def test_boxes_tell_where_functions_run_and_for_which_rows() -> None:
    steps = (
        Step("one", python=str.upper, runs=Runs.INLINE),
        Step("two", python="a.py:b", runs=Runs.PROCESSES, when=Condition("one", True)),
    )
    shown = {node.title: node for node in picture(stack_of(*steps), servers=True).nodes}
    assert shown["one"].notes == ("str.upper", "inline")
    assert (shown["two"].notes, shown["two"].condition) == (("a.py:b", "in processes"), "one = true")
    assert shown["two"].last
    assert not shown["one"].last


def test_the_picture_is_data_too() -> None:
    document = document_of(sentiment())
    assert {"source": "model de", "target": "server triton", "line": "call", "label": ""} in document["edges"]
    assert {"source": "request", "target": "stack sentiment", "line": "rows", "label": "a, default"} in document[
        "edges"
    ]
    languages = [one["condition"] for one in document["nodes"] if one["condition"]]
    assert languages == ["language = de", "language = no"]


def test_the_svg_is_whole_in_itself() -> None:
    text = svg_of(sentiment())
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r"href|@import|url\(|<script|<image", text)
    assert "prefers-color-scheme: dark" in text
    written = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    titles = {"requests", "sentiment", "clean", "embed", "language", "german", "other", "label", "de", "en", "triton"}
    assert titles < set(written)
    assert {"a, default", "b", "if language = de", "the answer", "starts tritonserver"} < set(written)


def test_names_cannot_break_the_svg() -> None:
    steps = (Step("one", python="a:b"), Step("two", model="m", when=Condition("one", "<b>&\"'")))
    assert "if one = <b>&\"'" in [one.text for one in ET.fromstring(svg_of(stack_of(*steps))).iter()]


def test_every_colour_is_written_out_and_has_one_for_dark_ground() -> None:
    drawn = svg_of(sentiment())
    light, _, dark = drawn.partition("<style>")[2].partition("</style>")[0].partition("@media")
    painted = re.findall(r"(\.[a-z][^{};]*) { (fill|stroke): #[0-9a-f]{6}; }", light)
    assert re.findall(r"(\.[a-z][^{};]*) { (fill|stroke): #[0-9a-f]{6}; }", dark) == painted
    assert {(f".box.{role}", "stroke") for role in Role} <= set(painted)
    assert "var(" not in drawn
    classes = {one for found in re.findall(r'class="([^"]+)"', drawn) for one in found.split()} - {"last"}
    assert all(any(one in where for where, _ in painted) for one in classes)


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    count = draw(st.integers(1, 9))
    nodes = tuple(Node(f"n{index}", Role.PYTHON, "x" * draw(st.integers(1, 30))) for index in range(count))
    pairs = [(one, other) for other in range(count) for one in range(other)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return Picture(nodes, tuple(Edge(f"n{one}", f"n{other}") for one, other in chosen))


@settings(deadline=None, max_examples=60)
@given(pictures())
def test_boxes_never_touch_and_arrows_lead_down(shown: Picture) -> None:
    widths = {node.id: float(len(node.title)) for node in shown.nodes}
    layout = lay_out(shown, lambda point: widths[point] if isinstance(point, str) else 1.0, 3.0, 6.0)
    levels = {point: level for level, layer in enumerate(layout.layers) for point in layer}
    assert sorted(point for point in levels if isinstance(point, str)) == sorted(widths)
    for layer in layout.layers:
        for left, right in pairwise(layer):
            halves = sum(widths[one] / 2 if isinstance(one, str) else 0.5 for one in (left, right))
            assert layout.centres[right] - layout.centres[left] >= halves + 3.0 - 1e-6
    for edge, parts in layout.segments.items():
        assert (parts[0].source, parts[-1].target) == (edge.source, edge.target)
        assert all(levels[part.target] == levels[part.source] + 1 for part in parts)
    assert min(layout.centres[one] - width / 2 for one, width in widths.items()) >= -1e-6


def test_a_condition_of_several_values_names_them() -> None:
    assert "if kind = 2 or true" in text_of(CROWDED)

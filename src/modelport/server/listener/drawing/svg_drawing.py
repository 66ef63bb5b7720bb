"""A listener drawn as SVG: one file with nothing outside of it, readable on light and on dark ground."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from modelport.server.listener.declaration import Listener
from modelport.server.listener.drawing.layered_layout import Point, Segment, lay_out
from modelport.server.listener.drawing.picture import Edge, Line, Node, Picture, Role, picture

_GAP, _BETWEEN, _MARGIN, _NEAR = 36.0, 62.0, 28.0, 30.0
_PADDING, _LEAST_WIDTH = 18.0, 96.0
_TITLE_PX, _NOTE_PX, _LABEL_PX = 14.0, 11.5, 11.0
_TITLE_LINE, _NOTE_LINE, _ABOVE, _BELOW = 19.0, 15.5, 10.0, 11.0
_PASSING = 10.0  # width that an arrow takes in a layer that it passes
_PORT = 16.0  # between arrows that meet a box
_HEAD = 7.0

_NARROW, _WIDE = frozenset("iljtfrI.,:;'|!()[]{}/- "), frozenset("mwMW@%")

# On light ground, on dark ground.
_COLOURS: Mapping[str, tuple[str, str]] = {
    "ground": ("#ffffff", "#10151c"),
    "box": ("#ffffff", "#18202a"),
    "ink": ("#1b2430", "#e6ebf2"),
    "faint": ("#5d6b7d", "#9aa8b9"),
    "line": ("#8593a5", "#6b7a8d"),
    "pill": ("#f1f4f8", "#222c38"),
    Role.REQUESTS: ("#64748b", "#94a3b8"),
    Role.STACK: ("#4f46e5", "#a5b4fc"),
    Role.PYTHON: ("#b45309", "#fbbf24"),
    Role.ASKS: ("#0369a1", "#7dd3fc"),
    Role.MERGE: ("#7c3aed", "#c4b5fd"),
    Role.MODEL: ("#0f766e", "#5eead4"),
    Role.SERVER: ("#475569", "#a3b1c2"),
}
# What is painted in which of them.
_PAINTED: tuple[tuple[str, str, str], ...] = (
    (".ground", "fill", "ground"),
    (".box", "fill", "box"),
    (".pill", "fill", "pill"),
    (".pill, .rows, .call", "stroke", "line"),
    (".head", "fill", "line"),
    (".title, .label", "fill", "ink"),
    (".note", "fill", "faint"),
    (".when, .condition-head", "fill", Role.MERGE),
    (".condition", "stroke", Role.MERGE),
    *((f".box.{role}", "stroke", role) for role in Role),
    *((f".wash.{role}", "fill", role) for role in Role),
)
_SHAPES = """
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
    text-anchor: middle; }
  .title { font-size: 14px; font-weight: 600; }
  .note, .when { font-size: 11.5px; }
  .label { font-size: 11px; }
  .box { stroke-width: 1.4; }
  .wash { fill-opacity: 0.10; }
  .last { stroke-width: 3; }
  .pill { stroke-width: 0.8; }
  .rows, .condition, .call { fill: none; stroke-width: 1.6; }
  .condition { stroke-dasharray: 5 4; }
  .call { stroke-width: 1.1; stroke-dasharray: 1.5 4; stroke-linecap: round; }
"""


def _style() -> str:
    # Every colour is written out: many programs that show an SVG know no variables in its style sheet.
    light, dark = (
        "".join(f"  {where} {{ {what}: {_COLOURS[colour][theme]}; }}\n" for where, what, colour in _PAINTED)
        for theme in (0, 1)
    )
    return f"{_SHAPES}{light}  @media (prefers-color-scheme: dark) {{\n{dark}  }}\n"


def svg_of(listener: Listener) -> str:
    """Return the drawing of a listener that can work, as an SVG document."""
    return _Drawing(picture(listener, servers=True)).document()


@dataclass(frozen=True)
class _Place:
    """Where a box or a passing arrow is."""

    x: float
    top: float
    bottom: float
    width: float


class _Drawing:
    """The drawing of one picture."""

    def __init__(self, shown: Picture) -> None:
        self._shown = shown
        self._nodes = {node.id: node for node in shown.nodes}
        labels = {edge.target: edge.label for edge in shown.edges if edge.line is Line.ROWS}
        widths = {node.id: _width(node, labels.get(node.id, "")) for node in shown.nodes}
        self._layout = lay_out(shown, lambda point: widths[point] if isinstance(point, str) else _PASSING, _GAP, _NEAR)
        self._places = self._placed(widths)
        self._segments = list(dict.fromkeys(one for parts in self._layout.segments.values() for one in parts))

    def document(self) -> str:
        """Return the whole document."""
        width = max(place.x + place.width / 2 for place in self._places.values()) + _MARGIN
        height = max(place.bottom for place in self._places.values()) + _MARGIN
        names = ", ".join(node.title for node in self._shown.nodes if node.role is Role.STACK)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
            f' height="{height:.0f}" role="img">',
            f"<title>{escape('Listener' + (f': {names}' if names else ''))}</title>",
            f"<style>{_style()}</style>",
            f'<rect class="ground" width="{width:.0f}" height="{height:.0f}" rx="12"/>',
            *(self._arrow(edge, parts) for edge, parts in self._layout.segments.items()),
            *(self._box(node) for node in self._shown.nodes),
            *(self._label(edge, parts[-1]) for edge, parts in self._layout.segments.items() if edge.label),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _placed(self, widths: Mapping[str, float]) -> dict[Point, _Place]:
        places: dict[Point, _Place] = {}
        top = _MARGIN
        for layer in self._layout.layers:
            height = max(_height(self._nodes[point]) if isinstance(point, str) else 0 for point in layer)
            for point in layer:
                x = self._layout.centres[point] + _MARGIN
                if isinstance(point, str):
                    own = _height(self._nodes[point])
                    places[point] = _Place(x, top, top + own, widths[point])
                else:
                    places[point] = _Place(x, top, top + height, _PASSING)
            top += height + _BETWEEN
        return places

    def _box(self, node: Node) -> str:
        place = self._places[node.id]
        left, height = place.x - place.width / 2, place.bottom - place.top
        radius = height / 2 if node.role in (Role.REQUESTS, Role.SERVER) else 9
        shape = f'x="{left:.1f}" y="{place.top:.1f}" width="{place.width:.1f}" height="{height:.1f}" rx="{radius:.1f}"'
        lines = [
            f'<rect class="box {node.role}{" last" if node.last else ""}" {shape}/>',
            f'<rect class="wash {node.role}" {shape}/>',
            _text("title", place.x, place.top + _ABOVE + 14, node.title),
        ]
        baseline = place.top + _ABOVE + _TITLE_LINE
        for index, (kind, note) in enumerate(_notes(node)):
            lines.append(_text(kind, place.x, baseline + 12 + index * _NOTE_LINE, note))
        return "\n".join(lines)

    def _arrow(self, edge: Edge, parts: Sequence[Segment]) -> str:
        points = [*self._points(parts)]
        end = points[-1][1]
        path = [f"M {points[0][0][0]:.1f} {points[0][0][1]:.1f}"]
        for index, ((x1, y1), (x2, y2)) in enumerate(points):
            last = index == len(points) - 1
            y2 = y2 - _HEAD if last else y2
            middle = (y1 + y2) / 2
            if index:
                path.append(f"L {x1:.1f} {y1:.1f}")
            path.append(f"C {x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}")
        head = "condition-head" if edge.line is Line.CONDITION else "head"
        x, y = end
        return (
            f'<path class="{edge.line}" d="{" ".join(path)}"/>\n'
            f'<path class="{head}" d="M {x:.1f} {y:.1f} l -4 {-_HEAD:.1f} h 8 z"/>'
        )

    def _points(self, parts: Sequence[Segment]) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
        for part in parts:
            yield (
                (self._port(part, leaves=True), self._places[part.source].bottom),
                (self._port(part, leaves=False), self._places[part.target].top),
            )

    def _port(self, part: Segment, *, leaves: bool) -> float:
        """Return how far right an arrow meets a box, where several do: in the order of their other ends."""
        point = part.source if leaves else part.target
        place = self._places[point]
        if not isinstance(point, str):
            return place.x
        beside = [one for one in self._segments if (one.source if leaves else one.target) == point]
        # Arrows of a kind that leave a box are one until they part.
        groups: dict[object, float] = {}
        for one in beside:
            other = one.target if leaves else one.source
            groups[one] = self._places[other].x
        ordered = sorted(groups, key=lambda one: groups[one])
        step = min(_PORT, (place.width - 2 * _PADDING) / max(len(ordered), 1))
        return place.x + (ordered.index(part) - (len(ordered) - 1) / 2) * step

    def _label(self, edge: Edge, part: Segment) -> str:
        x, y = self._port(part, leaves=False), self._places[part.target].top - 23
        width = _measure(edge.label, _LABEL_PX) + 14
        return (
            f'<rect class="pill" x="{x - width / 2:.1f}" y="{y - 9:.1f}" width="{width:.1f}" height="18" rx="9"/>\n'
            + _text("label", x, y + 4, edge.label)
        )


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _notes(node: Node) -> list[tuple[str, str]]:
    """Return the lines below the title, each with its kind."""
    notes = [("note", note) for note in node.notes]
    if node.condition:
        notes.append(("when", f"if {node.condition}"))
    return [*notes, ("note", "the answer")] if node.last else notes


def _width(node: Node, label: str) -> float:
    texts = [_measure(node.title, _TITLE_PX * 1.06), *(_measure(note, _NOTE_PX) for _, note in _notes(node))]
    return max(max(texts) + 2 * _PADDING, _measure(label, _LABEL_PX) + 14, _LEAST_WIDTH)


def _height(node: Node) -> float:
    return _ABOVE + _TITLE_LINE + len(_notes(node)) * _NOTE_LINE + _BELOW


def _measure(text: str, size: float) -> float:
    """Return about how wide a text is: whoever draws it has fonts of his own."""
    return sum(0.34 if char in _NARROW else 0.88 if char in _WIDE else 0.6 for char in text) * size

"""A listener drawn with characters, for terminals: boxes from top to bottom, and tables of the models and servers.

Dotted lines are conditions: what one step gives decides which rows another is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from modelport.server.listener.declaration import REQUEST, Listener, Server
from modelport.server.listener.drawing.character_canvas import DOWN, UP, Canvas
from modelport.server.listener.drawing.layered_layout import Layout, Point, Segment, lay_out
from modelport.server.listener.drawing.picture import Line, Node, Picture, picture

_GAP, _NEAR = 3, 6
_SIDES = "┌─┐│└┘┬"
_SIDES_OF_THE_LAST = "╔═╗║╚╝╤"


def text_of(listener: Listener) -> str:
    """Return the drawing of a listener that can work."""
    return "\n".join([*_Graph(picture(listener, servers=False)).rows(), "", *_tables(listener)]).rstrip() + "\n"


@dataclass(frozen=True)
class _Net:
    """All lines of one kind from one point to points in the next layer, with a horizontal one between them."""

    source: int
    targets: tuple[int, ...]
    dotted: bool

    @property
    def left(self) -> int:
        return min(self.source, *self.targets)

    @property
    def right(self) -> int:
        return max(self.source, *self.targets)

    @property
    def straight(self) -> bool:
        return self.left == self.right


class _Graph:
    """The drawing of one picture."""

    def __init__(self, shown: Picture) -> None:
        self._nodes = {node.id: node for node in shown.nodes}
        self._labels = {edge.target: edge.label for edge in shown.edges if edge.source == REQUEST}
        self._widths = {name: _width(node, self._labels.get(name, "")) for name, node in self._nodes.items()}
        self._layout = lay_out(shown, lambda point: self._widths[point] if isinstance(point, str) else 1, _GAP, _NEAR)
        self._segments = list(dict.fromkeys(one for parts in self._layout.segments.values() for one in parts))
        self._columns = _columns(self._layout, self._widths)
        self._canvas = Canvas()

    def rows(self) -> list[str]:
        """Return the drawing."""
        top = 0
        for level, layer in enumerate(self._layout.layers):
            height = max(2 + len(_texts(self._nodes[point])) if isinstance(point, str) else 1 for point in layer)
            for point in layer:
                if isinstance(point, str):
                    self._box(point, top, height)
                else:
                    dotted = all(one.line is Line.CONDITION for one in self._segments if one.source == point)
                    self._canvas.down(self._columns[point], top, top + height - 1, dotted=dotted)
            if level + 1 < len(self._layout.layers):
                top = self._channel(level, top + height)
        return self._canvas.rows()

    def _box(self, name: str, top: int, height: int) -> None:
        node, width = self._nodes[name], self._widths[name]
        left, inside = self._columns[name] - width // 2, width - 2
        sides = _SIDES_OF_THE_LAST if node.last else _SIDES
        self._canvas.text(top, left, sides[0] + sides[1] * inside + sides[2])
        texts = _texts(node)
        for row, text in enumerate(texts, top + 1):
            self._canvas.text(row, left, f"{sides[3]}{text:^{inside}}{sides[3]}")
        bottom = top + 1 + len(texts)
        self._canvas.text(bottom, left, sides[4] + sides[1] * inside + sides[5])
        for line in {one.line for one in self._segments if one.source == name}:
            column = self._leaves(name, line)
            self._canvas.text(bottom, column, sides[6])
            self._canvas.down(column, bottom + 1, top + height - 1, dotted=line is Line.CONDITION)

    def _channel(self, level: int, top: int) -> int:
        """Draw the arrows between two layers; return the row where the next one begins."""
        here = [one for one in self._segments if one.source in self._layout.layers[level]]
        labels = {one.target: self._labels.get(str(one.target), "") for one in here}
        nets = self._nets(here)
        tracks = _tracks(nets)
        arrow = top + max((track + 1 for track in tracks.values()), default=1) + any(labels.values())
        for net in nets:
            self._net(net, top, tracks.get(net, 0), arrow)
        for one in here:
            if isinstance(one.target, str):
                label, column = labels[one.target], self._enters(one.target, one.line)
                self._canvas.text(arrow - 1, column - len(label) // 2, label)
                self._canvas.text(arrow, column, "▼")
        return arrow + 1

    def _net(self, net: _Net, top: int, track: int, bottom: int) -> None:
        if net.straight:
            self._canvas.down(net.source, top, bottom, dotted=net.dotted)
            return
        row = top + track
        self._canvas.down(net.source, top, row - 1, dotted=net.dotted)
        self._canvas.join(row, net.source, UP, dotted=net.dotted)
        self._canvas.across(row, net.left, net.right, dotted=net.dotted)
        for target in net.targets:
            self._canvas.join(row, target, DOWN, dotted=net.dotted)
            self._canvas.down(target, row + 1, bottom, dotted=net.dotted)

    def _nets(self, here: Sequence[Segment]) -> list[_Net]:
        found: dict[tuple[int, Line], set[int]] = {}
        for one in here:
            targets = found.setdefault((self._leaves(one.source, one.line), one.line), set())
            targets.add(self._enters(one.target, one.line))
        return [
            _Net(source, tuple(sorted(targets)), line is Line.CONDITION) for (source, line), targets in found.items()
        ]

    def _leaves(self, point: Point, line: Line) -> int:
        return self._port(point, line, {one.line for one in self._segments if one.source == point})

    def _enters(self, point: Point, line: Line) -> int:
        return self._port(point, line, {one.line for one in self._segments if one.target == point})

    def _port(self, point: Point, line: Line, lines: Set[Line]) -> int:
        """Return the column where an arrow meets a box: that of a condition is beside that of the rows."""
        aside = isinstance(point, str) and line is Line.CONDITION and Line.ROWS in lines
        return self._columns[point] + (self._widths[str(point)] // 4 if aside else 0)


def _tracks(nets: Sequence[_Net]) -> dict[_Net, int]:
    """Return the row of each horizontal line, so that no two lie on each other."""
    tracks: dict[_Net, int] = {}
    waiting = [net for net in nets if not net.straight]
    while waiting:
        # A line that comes down where another one starts must turn below that one.
        free = [net for net in waiting if not any(one.source in net.targets for one in waiting if one is not net)]
        net = (free or waiting)[0]
        waiting.remove(net)
        least = max((tracks[one] + 1 for one in tracks if one.source in net.targets), default=0)
        taken = {track for one, track in tracks.items() if _collide(one, net)}
        tracks[net] = next(track for track in range(least, least + len(nets) + 1) if track not in taken)
    return tracks


def _collide(one: _Net, other: _Net) -> bool:
    """Return whether two horizontal lines need rows of their own; where they lead to one point they may be one."""
    joined = one.targets == other.targets and len(one.targets) == 1 and one.dotted == other.dotted
    return not joined and one.left <= other.right and other.left <= one.right


def _texts(node: Node) -> tuple[str, ...]:
    return (node.title, *node.notes, *([f"if {node.condition}"] if node.condition else []))


def _width(node: Node, label: str) -> int:
    """Return the width of a box: odd, so that it has a middle."""
    width = max(len(text) + 4 for text in _texts(node))
    return max(width, len(label)) | 1


def _columns(layout: Layout, widths: Mapping[str, int]) -> dict[Point, int]:
    """Return the middles as whole columns, with the gaps kept."""
    columns: dict[Point, int] = {}
    for layer in layout.layers:
        free = 0
        for point in layer:
            half = widths[point] // 2 if isinstance(point, str) else 0
            columns[point] = max(round(layout.centres[point]), free + half)
            free = columns[point] + half + 1 + _GAP
    return columns


def _tables(listener: Listener) -> list[str]:
    models = [(one.name, one.format, one.path, f"on {one.server}") for one in listener.models]
    servers = [(one.name, one.url, _run_by(one)) for one in listener.servers]
    return ["models", *_table(models), "", "servers", *_table(servers)]


def _run_by(server: Server) -> str:
    return f"started here: {' '.join(server.command)}" if server.command else "runs elsewhere"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = (["  ", *(f"{cell:<{width + 3}}" for cell, width in zip(row, widths, strict=True))] for row in rows)
    return ["".join(cells).rstrip() for cells in padded]

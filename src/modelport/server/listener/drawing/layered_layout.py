"""Places the boxes of a picture in layers, top to bottom, with few crossings and short, straight arrows; pure.

The method is the usual one: layers by the longest way from the top; a point in each layer that an arrow passes; an
order in each layer that is improved by sweeps; places across as near as can be to those of the neighbours. Units are
those of the given widths: characters or pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise

from modelport.server.listener.drawing.picture import Edge, Line, Picture, Role

_SWEEPS = 8
# How much more an arrow is to be straight where it is the only one at both its ends, and where it passes two layers.
_STRAIGHT, _PASSING = 6.0, 24.0

# A box by its id, or the point at which arrows from one box pass a layer.
Point = str | tuple[str, int]


@dataclass(frozen=True)
class Segment:
    """A part of an arrow, between two layers that follow each other."""

    source: Point
    target: Point
    line: Line


@dataclass(frozen=True)
class Layout:
    """Where everything goes.

    Attributes:
        layers: what is in each, from left to right.
        centres: how far right the middle of each is.
        segments: the parts of each arrow, from its first to its last.
    """

    layers: tuple[tuple[Point, ...], ...]
    centres: Mapping[Point, float]
    segments: Mapping[Edge, tuple[Segment, ...]]


def lay_out(picture: Picture, width_of: Callable[[Point], float], gap: float, near: float) -> Layout:
    """Return the places of the boxes.

    Args:
        picture: boxes and arrows, which form no circle.
        width_of: how wide each is; also the points where arrows pass a layer.
        gap: least room between two.
        near: how far something is moved for an arrow to be straight.
    """
    levels = _levels(picture)
    segments = {edge: _segments(edge, levels) for edge in picture.edges}
    pairs = list(dict.fromkeys((one.source, one.target) for parts in segments.values() for one in parts))
    layers: list[list[Point]] = [[] for _ in range(max(levels.values()) + 1)]
    for node in picture.nodes:
        layers[levels[node.id]].append(node.id)
    for point in dict.fromkeys(point for pair in pairs for point in pair):
        if isinstance(point, tuple):
            layers[point[1]].append(point)
    layers = _ordered(layers, pairs)
    centres = _straightened(layers, _placed(layers, pairs, width_of, gap), pairs, width_of, gap, near)
    left = min(centre - width_of(point) / 2 for point, centre in centres.items())
    centres = {point: centre - left for point, centre in centres.items()}
    return Layout(tuple(map(tuple, layers)), centres, segments)


def _levels(picture: Picture) -> dict[str, int]:
    """Return the layer of each box: below all that lead to it; stacks side by side, then models, then servers."""
    before: dict[str, set[str]] = {node.id: set() for node in picture.nodes}
    for edge in picture.edges:
        before[edge.target].add(edge.source)
    called = any(edge.line is Line.CALL for edge in picture.edges)
    for node in picture.nodes:
        if node.role is Role.STACK or (called and node.role in (Role.MODEL, Role.SERVER)):
            before[node.id] |= {one.id for one in picture.nodes if _above(one.role, node.role)}
    levels: dict[str, int] = {}
    for name in TopologicalSorter(before).static_order():
        levels[name] = max((levels[one] + 1 for one in before[name]), default=0)
    return levels


def _above(one: Role, other: Role) -> bool:
    """Return whether all boxes of one role are above all of the other."""
    if other is Role.STACK:
        return one is Role.REQUESTS
    return one is not Role.SERVER and (other is Role.SERVER or one is not Role.MODEL)


def _segments(edge: Edge, levels: Mapping[str, int]) -> tuple[Segment, ...]:
    between = range(levels[edge.source] + 1, levels[edge.target])
    # Arrows of one kind from one box are one as far as they can.
    key = f"{edge.source} {edge.line}"
    points: list[Point] = [edge.source, *((key, level) for level in between), edge.target]
    return tuple(Segment(*pair, edge.line) for pair in pairwise(points))


Pairs = Sequence[tuple[Point, Point]]


def _ordered(layers: list[list[Point]], pairs: Pairs) -> list[list[Point]]:
    """Return the layers in an order with few crossings."""
    above: dict[Point, list[Point]] = {}
    below: dict[Point, list[Point]] = {}
    for source, target in pairs:
        above.setdefault(target, []).append(source)
        below.setdefault(source, []).append(target)
    first = {point: index for layer in layers for index, point in enumerate(layer)}
    best, fewest = layers, _crossings(layers, pairs)
    for sweep in range(_SWEEPS):
        layers = [list(layer) for layer in layers]
        down = sweep % 2 == 0
        indexes = range(1, len(layers)) if down else range(len(layers) - 2, -1, -1)
        for index in indexes:
            fixed = layers[index - 1 if down else index + 1]
            places = {point: place for place, point in enumerate(fixed)}
            neighbours = above if down else below
            layers[index] = _by_neighbours(layers[index], neighbours, places)
        if (crossings := _crossings(layers, pairs)) < fewest:
            best, fewest = layers, crossings
    return _as_written(best, first, pairs)


def _as_written(layers: list[list[Point]], first: Mapping[Point, int], pairs: Pairs) -> list[list[Point]]:
    """Return the layers nearer to the order in which they were written, without more crossings."""
    mirrored = [layer[::-1] for layer in layers]
    layers = min(layers, mirrored, key=lambda one: _turned_round(one, first))
    fewest = _crossings(layers, pairs)
    for level, layer in enumerate(layers):
        for index in range(len(layer) - 1):
            left, right = layer[index : index + 2]
            swapped = [*layer[:index], right, left, *layer[index + 2 :]]
            tried = [*layers[:level], swapped, *layers[level + 1 :]]
            if first[left] > first[right] and _crossings(tried, pairs) <= fewest:
                layers, layer = tried, swapped
    return layers


def _turned_round(layers: Sequence[Sequence[Point]], first: Mapping[Point, int]) -> int:
    return sum(first[left] > first[right] for layer in layers for left, right in pairwise(layer))


def _by_neighbours(
    layer: list[Point], neighbours: Mapping[Point, list[Point]], places: Mapping[Point, int]
) -> list[Point]:
    """Return a layer in the order of the mean places of the neighbours; what has none stays where it is."""
    means: dict[Point, float] = {}
    for index, point in enumerate(layer):
        found = [places[one] for one in neighbours.get(point, ()) if one in places]
        means[point] = sum(found) / len(found) if found else float(index)
    return sorted(layer, key=lambda point: means[point])


def _crossings(layers: Sequence[Sequence[Point]], pairs: Pairs) -> int:
    places = {point: (level, place) for level, layer in enumerate(layers) for place, point in enumerate(layer)}
    by_level: dict[int, list[tuple[int, int]]] = {}
    for source, target in pairs:
        by_level.setdefault(places[source][0], []).append((places[source][1], places[target][1]))
    return sum(
        (one[0] - other[0]) * (one[1] - other[1]) < 0
        for found in by_level.values()
        for index, one in enumerate(found)
        for other in found[:index]
    )


def _placed(
    layers: list[list[Point]], pairs: Pairs, width_of: Callable[[Point], float], gap: float
) -> dict[Point, float]:
    """Return the middles of everything: in the order of each layer, near the mean of the neighbours."""
    neighbours = _weighed(pairs)
    centres: dict[Point, float] = {}
    for layer in layers:
        centres |= _apart(layer, [0.0] * len(layer), width_of, gap)
    for sweep in range(6 * _SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = []
            for point in layer:
                near = neighbours.get(point, {})
                total = sum(near.values())
                wanted.append(
                    sum(centres[one] * weight for one, weight in near.items()) / total if total else centres[point]
                )
            centres |= _apart(layer, wanted, width_of, gap)
    return centres


def _weighed(pairs: Pairs) -> dict[Point, dict[Point, float]]:
    """Return the neighbours of everything, and how much it wants to be right above or below each."""
    leave, come = Counter(source for source, _ in pairs), Counter(target for _, target in pairs)
    found: dict[Point, dict[Point, float]] = {}
    for source, target in pairs:
        alone = leave[source] == come[target] == 1
        passing = isinstance(source, tuple) and isinstance(target, tuple)
        weight = _PASSING if passing else _STRAIGHT if alone else 1.0
        found.setdefault(source, {})[target] = weight
        found.setdefault(target, {})[source] = weight
    return found


def _straightened(
    layers: Sequence[Sequence[Point]],
    centres: dict[Point, float],
    pairs: Pairs,
    width_of: Callable[[Point], float],
    gap: float,
    near: float,
) -> dict[Point, float]:
    """Return the middles with what is nearly above a neighbour moved right above it, where there is room."""
    neighbours = _weighed(pairs)
    for layer in [*layers, *reversed(layers)]:
        for index, point in enumerate(layer):
            low, high = float("-inf"), float("inf")
            if index:
                low = centres[layer[index - 1]] + (width_of(layer[index - 1]) + width_of(point)) / 2 + gap
            if index + 1 < len(layer):
                high = centres[layer[index + 1]] - (width_of(layer[index + 1]) + width_of(point)) / 2 - gap
            around = [centres[one] for one in neighbours.get(point, {})]
            places = [one for one in around if low <= one <= high and abs(one - centres[point]) <= near]
            best = max(places, key=lambda place: (around.count(place), -abs(place - centres[point])), default=None)
            if best is not None and around.count(best) > around.count(centres[point]):
                centres[point] = best
    return centres


def _apart(
    layer: list[Point], wanted: list[float], width_of: Callable[[Point], float], gap: float
) -> dict[Point, float]:
    """Return the places nearest to the wanted ones, by least squares, that keep the order and the gaps."""
    offsets = [0.0]
    for left, right in pairwise(layer):
        offsets.append(offsets[-1] + (width_of(left) + width_of(right)) / 2 + gap)
    # Without the widths it is a sequence that must not fall: neighbours that would are given their mean.
    blocks: list[list[float]] = []
    for value in (want - offset for want, offset in zip(wanted, offsets, strict=False)):
        blocks.append([value])
        while len(blocks) > 1 and _mean(blocks[-2]) > _mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    levelled = [_mean(block) for block in blocks for _ in block]
    return {point: place + offset for point, place, offset in zip(layer, levelled, offsets, strict=False)}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

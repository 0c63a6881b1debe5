"""architecture(layers): a network as boxes from left to right, the branches of a block side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from micrographia.publish.plot import INK, SOFT, figure

# what stands in a drawing only as a line: it works on each channel by itself and keeps the map
THROUGH = frozenset({"batchnorm", "relu", "activation", "dropout", "identity", "flatten", "lrn", "pad"})
SUMS = frozenset({"add", "concat"})
_FILL = {
    "conv": "#f6d9bd", "linear": "#d5e4df", "maxpool": "#d9dde6", "avgpool": "#d9dde6", "adaptive pool": "#d9dde6",
    "add": "#e6e1d6", "concat": "#e6e1d6", "input": "#ffffff",
}  # fmt: skip
_WIDE, _HIGH, _RIGHT, _DOWN = 0.98, 0.3, 1.28, 0.62  # inches: a box, and from one to the next
_COLUMNS = 12


@dataclass(frozen=True)
class Box:
    """Where a layer stands: its column from the left and its lane above (negative) or below the middle."""

    column: int
    lane: float


def layout(layers: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Box], dict[str, list[str]]]:
    """A box for every layer that is drawn, and the boxes that each one reads.

    A layer stands one column right of the last one it reads. Paths that meet in a concat lie side by side in its order;
    of those that meet in an add, the ones without a box or with the fewest stay in the middle.

    >>> layout([{"name": "a", "op": "conv", "parents": []}, {"name": "b", "op": "relu", "parents": ["a"]},
    ...     {"name": "c", "op": "conv", "parents": ["b"]}])[1]
    {'a': [], 'c': ['a']}
    """
    stands: dict[str, str] = {}  # a layer that is not drawn stands for the one above it
    parents: dict[str, list[str]] = {}
    ops = {layer["name"]: layer["op"] for layer in layers}
    for layer in layers:
        above = list(dict.fromkeys(stands[name] for name in layer["parents"] if name in stands))
        if layer["op"] in THROUGH and len(above) == 1:
            stands[layer["name"]] = above[0]
        else:
            stands[layer["name"]] = layer["name"]
            parents[layer["name"]] = above
    column: dict[str, int] = {}
    for name, above in parents.items():
        column[name] = max((column[each] + 1 for each in above), default=0)
    lane = dict.fromkeys(parents, 0.0)
    ancestors: dict[str, set[str]] = {}
    for name, above in parents.items():
        ancestors[name] = {name}.union(*(ancestors[each] for each in above))
        if ops[name] not in SUMS or len(above) < 2:
            continue
        own = [ancestors[each] - set().union(*(ancestors[other] for other in above if other != each)) for each in above]
        if ops[name] == "concat":
            places = [number - (len(own) - 1) / 2 for number in range(len(own))]
        else:
            straight = min(range(len(own)), key=lambda number: len(own[number]))
            places = [0.0 if number == straight else -1.0 for number in range(len(own))]
        for path, place in zip(own, places, strict=True):
            for each in path:
                lane[each] += place
    return {name: Box(column[name], lane[name]) for name in parents}, parents


def architecture(layers: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """The drawing of a network from its layers as `layers --json` lists them, wrapped into rows.

    >>> architecture([{"name": "a", "op": "conv", "channels": 3, "kernel": 3, "parents": []}]).axes[0].get_title()
    ''
    """
    boxes, parents = layout(layers)
    facts = {layer["name"]: layer for layer in layers}
    rows = _wrapped(boxes, parents)
    first = {row: min(box.column for name, box in boxes.items() if rows[name] == row) for row in rows.values()}
    top = {row: min(box.lane for name, box in boxes.items() if rows[name] == row) for row in first}
    bottom = {row: max(box.lane for name, box in boxes.items() if rows[name] == row) for row in first}
    base, y = {}, 0.0
    for row in sorted(first):
        base[row] = y - top[row]
        y += bottom[row] - top[row] + 1.5
    width = max(boxes[name].column - first[rows[name]] for name in boxes) + 1
    fig, axes = figure(1, 1, (width * _RIGHT + 0.4, y * _DOWN + 0.45))
    plane = axes[0, 0]
    at = {
        name: ((box.column - first[rows[name]]) * _RIGHT, (base[rows[name]] + box.lane) * _DOWN)
        for name, box in boxes.items()
    }
    for name, above in parents.items():
        for each in above:
            start = at[each]
            if rows[each] != rows[name]:  # whatever goes on in the next row comes from the one box before it
                start = (-_RIGHT, base[rows[name]] * _DOWN)
                _onward(plane, at[each], start, (base[rows[name]] + top[rows[name]] - 0.75) * _DOWN)
            _line(plane, start, at[name])
    for name in boxes:
        _box(plane, at[name], facts[name])
    plane.set_xlim(-0.5, width * _RIGHT + 0.2)
    plane.set_ylim(y * _DOWN - 0.3, -_HIGH - 0.1)
    plane.set_aspect("equal")
    plane.axis("off")
    plane.set_title(title, fontsize=11)
    return fig


def unrolled(paths: Sequence[Sequence[Mapping[str, Any]]], total: Mapping[str, Any]) -> Figure:
    """A chain of residual blocks as parallel paths: a row of layers for each value that is added, and their sum.

    >>> one, other = {"name": "a", "op": "conv"}, {"name": "b", "op": "conv"}
    >>> unrolled([[one], [other]], {"name": "c", "op": "add"}).axes[0].get_title()
    'c as a sum of 2 paths'
    """
    width = max(row + len(layers) for row, layers in enumerate(paths))
    fig, axes = figure(1, 1, ((width + 1) * _RIGHT + 0.3, len(paths) * _DOWN + 0.6))
    plane = axes[0, 0]
    end = (width * _RIGHT, (len(paths) - 1) / 2 * _DOWN)
    for row, layers in enumerate(paths):
        places = [((row + number) * _RIGHT, row * _DOWN) for number in range(len(layers))]
        for one, other in pairwise(places):
            _line(plane, one, other)
        _line(plane, places[-1], end, late=True)
        for layer, place in zip(layers, places, strict=True):
            _box(plane, place, layer)
    _box(plane, end, total)
    plane.set_xlim(-0.2, (width + 1) * _RIGHT)
    plane.set_ylim((len(paths) - 1) * _DOWN + 0.4, -0.4)
    plane.set_aspect("equal")
    plane.axis("off")
    plane.set_title(f"{total['name']} as a sum of {len(paths)} paths", fontsize=11)
    return fig


def _wrapped(boxes: Mapping[str, Box], parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The row of each box; a row ends only behind a box that all that follows goes through."""
    columns = {name: box.column for name, box in boxes.items()}
    last = max(columns.values())
    ends = []
    for column in range(last):
        crossing = {
            each for name, above in parents.items() for each in above if columns[each] <= column < columns[name]
        }
        if len(crossing) == 1 and columns[crossing.pop()] == column:
            ends.append(column)
    breaks, start = [], -1
    for column, following in pairwise([*ends, last]):
        if following - start > _COLUMNS:
            breaks.append(column)
            start = column
    return {name: sum(column > each for each in breaks) for name, column in columns.items()}


def _box(plane: Any, at: tuple[float, float], layer: Mapping[str, Any]) -> None:
    x, y = at
    small = layer["op"] in SUMS
    plane.add_patch(
        FancyBboxPatch(
            (x, y - _HIGH / 2), _WIDE, _HIGH, boxstyle="round,pad=0,rounding_size=0.07", linewidth=0.7,
            facecolor=_FILL.get(layer["op"], "#eeebe4"), edgecolor=SOFT if small else "#b9a48c", zorder=2,
        )
    )  # fmt: skip
    name = _short(layer["name"])
    large = min(5.8, 5.8 * 18 / len(name))
    plane.text(x + _WIDE / 2, y - 0.035, name, ha="center", va="center", fontsize=large, color=INK, zorder=3)
    plane.text(x + _WIDE / 2, y + 0.075, _about(layer), ha="center", va="center", fontsize=4.4, color=SOFT, zorder=3)


def _about(layer: Mapping[str, Any]) -> str:
    kernel, channels = layer.get("kernel"), layer.get("channels")
    size = "x".join(map(str, kernel)) if isinstance(kernel, (list, tuple)) else f"{kernel}x{kernel}" if kernel else ""
    return " ".join(part for part in (layer["op"], size, f"· {channels}" if channels else "") if part)


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else f"…{name[-most + 1 :]}"


def _line(plane: Any, start: tuple[float, float], end: tuple[float, float], late: bool = False) -> None:
    """From the right of one box to the left of another, bent only where no box can lie."""
    x0, y0, x1, y1 = start[0] + _WIDE, start[1], end[0], end[1]
    half = (_RIGHT - _WIDE) / 2
    if late or y0 < y1 or x1 - x0 <= 2 * half:
        points = [(x0, y0), (x1 - 2 * half, y0), (x1 - half, y0), (x1 - half, y1), (x1, y1)]
        codes = [Curve.MOVETO, Curve.LINETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
    else:
        points = [(x0, y0), (x0 + half, y0), (x0 + half, y1), (x0 + 2 * half, y1), (x1, y1)]
        codes = [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4, Curve.LINETO]
    _draw(plane, points, codes)


def _onward(plane: Any, start: tuple[float, float], end: tuple[float, float], between: float) -> None:
    """From the last box of a row down and back to the left of the next row."""
    x0, y0, x1, y1 = start[0] + _WIDE, start[1], end[0] + _WIDE, end[1]
    turn = (_RIGHT - _WIDE) / 2
    corners = [
        (x0, y0), (x0 + turn, y0), (x0 + turn, y0 + turn), (x0 + turn, between - turn), (x0 + turn, between),
        (x0, between), (x1, between), (x1 - turn, between), (x1 - turn, between + turn), (x1 - turn, y1 - turn),
        (x1 - turn, y1), (x1, y1),
    ]  # fmt: skip
    bend = [Curve.CURVE3, Curve.CURVE3, Curve.LINETO]
    _draw(plane, corners, [Curve.MOVETO, *bend, *bend, *bend, Curve.CURVE3, Curve.CURVE3])


def _draw(plane: Any, points: list[tuple[float, float]], codes: list[Any]) -> None:
    plane.add_patch(PathPatch(Curve(points, codes), facecolor="none", edgecolor="#b5afa3", linewidth=1.1, zorder=1))

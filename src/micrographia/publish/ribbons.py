"""The family view of a circuit: layers as columns, families as boxes, ribbons as wide as the share they carry."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from micrographia.errors import BadValue
from micrographia.publish.draw import COOL, WARM, Tile
from micrographia.publish.plot import INK, LINE, SERIES, SOFT, figure

_COLUMN, _BOX, _HEAD = 2.8, 1.75, 0.6  # inches: from column to column, of a box's width, above the boxes
TILES = 5  # pictures in a box
_TILE, _GAP = 0.28, 0.14
_LINE = 0.11  # from one share to the next
_SHOWN = 0.05  # smaller shares are drawn pale and without their number
REST = "remainder"
_LEGEND = (
    "Ribbon: share of all weights into a family. Warm: the target loses without it; cool: it gains; grey: the interval "
    "holds 0. Shares below 5 % are pale."
)
_WARM, _COOL = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in (WARM, COOL))


@dataclass(frozen=True, eq=False)
class Family:
    """A box: a family of one layer, how many units it has, and pictures of some of them."""

    layer: str
    name: str
    count: int
    tiles: Sequence[Tile] = ()


@dataclass(frozen=True)
class Ribbon:
    """What a family reads of another one: `share` of all that it reads of that layer, 0 to 1.

    `effect` is what the circuit's target loses without it, from `low` to `high`.
    """

    source: tuple[str, str]
    target: tuple[str, str]
    share: float
    effect: float = 0.0
    low: float = 0.0
    high: float = 0.0


def draw_families(
    layers: Sequence[str],
    families: Sequence[Family],
    ribbons: Sequence[Ribbon],
    made_of: Mapping[str, Sequence[tuple[str, float]]] | None = None,
    metric: str = "total",
    words: Sequence[str] = (),
) -> Figure:
    """The families of a circuit as a figure; `made_of` has for each layer the shares of the target, with the remainder.

    `words` stand below, such as the verdict on the circuit. A ribbon is as wide as its share, warm where the target
    loses without it and cool where it gains; it is grey where the interval holds 0. Raises BadValue where shares do
    not add up to 1, or a ribbon has an end that is no family.

    >>> draw_families(["a", "b"], [Family("a", "lines", 3), Family("b", "curves", 2)],
    ...     [Ribbon(("a", "lines"), ("b", "curves"), 1.0)]).get_size_inches()[0]  # doctest: +SKIP
    5.6
    """
    known = {(family.layer, family.name): family for family in families}
    for ribbon in ribbons:
        if ribbon.source not in known or ribbon.target not in known:
            raise BadValue(f"A ribbon joins {ribbon.source} and {ribbon.target}, of which one is no family. Name both.")
    for layer, shares in (made_of or {}).items():
        if abs(sum(share for _, share in shares) - 1) > 1e-6:
            raise BadValue(
                f"The shares of {layer} sum to {sum(share for _, share in shares):.4f}. Give the remainder too."
            )
    columns = [[family for family in families if family.layer == layer] for layer in layers]
    tallest = max(sum(_tall(family) + _GAP for family in column) for column in columns)
    across = int(len(layers) * _COLUMN * 15)
    key = textwrap.wrap(_LEGEND, across)
    lines = [*key, *(line for text in words for line in textwrap.wrap(text, across))]
    below = 0.25 + 0.17 * len(lines)
    foot = below + (0.0 if not made_of else 0.6 + 0.24 * max(len(shares) for shares in made_of.values()))
    height = max(1.6, tallest) + _HEAD
    fig, axes = figure(1, 1, (len(layers) * _COLUMN, height + foot))
    fig.set_layout_engine("none")
    axis = axes[0, 0]
    axis.set_position([0, 0, 1, 1])
    axis.set_xlim(0, len(layers) * _COLUMN)
    axis.set_ylim(0, height + foot)
    axis.axis("off")
    boxes: dict[tuple[str, str], tuple[float, float, float]] = {}
    for x, column in enumerate(columns):
        left = (x + 0.5) * _COLUMN - _BOX / 2
        axis.text(left, height + foot - 0.22, layers[x], ha="left", va="center", weight="bold", color=INK)
        axis.plot([left, left + _BOX], [height + foot - 0.38] * 2, color=LINE, lw=0.8)
        used = sum(_tall(family) + _GAP for family in column) - _GAP
        top = foot + (height - _HEAD) / 2 + used / 2
        for family in column:
            boxes[family.layer, family.name] = (left, top - _tall(family) / 2, _tall(family))
            top -= _tall(family) + _GAP
    _ribbons(axis, ribbons, boxes)
    for (layer, name), (left, middle, tall) in boxes.items():
        _box(axis, known[layer, name], left, middle, tall)
    if made_of:
        _made_of(axis, layers, made_of, foot, metric)
    for number, text in enumerate(lines):
        y = below - 0.15 - 0.17 * number
        axis.text((_COLUMN - _BOX) / 2, y, text, size=7, va="center", color=SOFT if number < len(key) else INK)
    return fig


def _tall(family: Family) -> float:
    return 0.66 if family.tiles else 0.36


def _ribbons(axis: Any, ribbons: Sequence[Ribbon], boxes: Mapping[tuple[str, str], tuple[float, float, float]]) -> None:
    """From each box's right edge to the next one's left; on either side they lie side by side, as the boxes do."""
    left_of: dict[Ribbon, float] = {}
    for source in dict.fromkeys(ribbon.source for ribbon in ribbons):
        _, middle, tall = boxes[source]
        own = sorted((r for r in ribbons if r.source == source), key=lambda r: -boxes[r.target][1])
        place = middle + sum(r.share for r in own) * tall / 2
        # what leaves a box may be more than it is high: then it is drawn over its whole height
        for ribbon in own:
            left_of[ribbon] = min(max(place - ribbon.share * tall / 2, middle - tall / 2), middle + tall / 2)
            place -= ribbon.share * tall
    entered: dict[tuple[str, str], float] = {}
    lowest: dict[tuple[str, str], float] = {}
    for ribbon in sorted(ribbons, key=lambda each: (each.target, -boxes[each.source][1])):
        x0, x1 = boxes[ribbon.source][0] + _BOX, boxes[ribbon.target][0]
        _, end, tall = boxes[ribbon.target]
        width, begin = ribbon.share * tall, left_of[ribbon]
        top = end + tall / 2 - entered.get(ribbon.target, 0.0)
        entered[ribbon.target] = entered.get(ribbon.target, 0.0) + width
        bend = (x0 + x1) / 2
        points = [
            (x0, begin + width / 2), (bend, begin + width / 2), (bend, top), (x1, top), (x1, top - width),
            (bend, top - width), (bend, begin - width / 2), (x0, begin - width / 2), (x0, begin + width / 2),
        ]  # fmt: skip
        codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
        colour = _WARM if ribbon.low > 0 else _COOL if ribbon.high < 0 else SOFT
        axis.add_patch(PathPatch(Path(points, codes), facecolor=colour, edgecolor="none", zorder=1,
                                 alpha=0.45 if ribbon.share >= _SHOWN else 0.15))  # fmt: skip
        if ribbon.share >= _SHOWN:
            # thin ribbons lie closer than lines of text can
            line = min(top - width / 2, lowest.get(ribbon.target, top) - _LINE)
            lowest[ribbon.target] = line
            axis.text(x1 - 0.04, line, f"{ribbon.share:.0%}", ha="right", va="center", size=6.5, color=INK, zorder=3)


def _box(axis: Any, family: Family, left: float, middle: float, tall: float) -> None:
    axis.add_patch(
        Rectangle((left, middle - tall / 2), _BOX, tall, facecolor="#ffffff", edgecolor=SOFT, linewidth=0.8, zorder=2)
    )
    name = family.name if len(family.name) <= 19 else family.name[:18] + "…"
    high = middle + tall / 2 - 0.18
    axis.text(left + 0.08, high, name, ha="left", va="center", size=8, weight="bold", color=INK, zorder=3)
    units = "1 unit" if family.count == 1 else f"{family.count} units"
    axis.text(left + _BOX - 0.08, high, units, ha="right", va="center", size=7, color=SOFT, zorder=3)
    for place, tile in enumerate(family.tiles[:TILES]):
        x, y = left + 0.08 + place * (_TILE + 0.045), middle - tall / 2 + 0.06
        axis.imshow(tile, extent=(x, x + _TILE, y, y + _TILE), interpolation="bilinear", aspect="auto", zorder=3)


def _made_of(
    axis: Any, layers: Sequence[str], made_of: Mapping[str, Sequence[tuple[str, float]]], foot: float, metric: str
) -> None:
    axis.text(
        (_COLUMN - _BOX) / 2, foot - 0.18, f"The target's expanded weights ({metric}) are of:", size=8, color=INK,
        va="center",
    )  # fmt: skip
    for x, layer in enumerate(layers):
        left = (x + 0.5) * _COLUMN - _BOX / 2
        for line, (name, share) in enumerate(made_of.get(layer, ())):
            y = foot - 0.48 - 0.24 * line
            axis.add_patch(Rectangle((left, y - 0.09), _BOX, 0.18, facecolor=LINE, alpha=0.6, edgecolor="none"))
            colour = SOFT if name == REST else SERIES[0]
            axis.add_patch(
                Rectangle((left, y - 0.09), _BOX * share, 0.18, facecolor=colour, alpha=0.45, edgecolor="none")
            )
            label = "other units" if name == REST else name
            axis.text(left + 0.05, y, label, size=7, va="center", color=INK)
            axis.text(left + _BOX - 0.05, y, f"{share:.0%}", size=7, va="center", ha="right", color=INK)

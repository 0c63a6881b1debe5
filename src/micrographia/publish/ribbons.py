"""The family view of a circuit: layers as columns, families as boxes, ribbons as wide as the share they carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from micrographia.errors import BadValue
from micrographia.publish.draw import Tile
from micrographia.publish.plot import ACCENT, INK, LINE, SERIES, SOFT, figure

_COLUMN, _BOX, _UNIT = 2.6, 1.5, 3.4  # inches: between columns, of a box's width, of a column's height
_TILES, _TILE, _GAP = 5, 0.26, 0.22


@dataclass(frozen=True, eq=False)
class Family:
    """A box: a family of one layer, how many units it has, and pictures of some of them."""

    layer: str
    name: str
    count: int
    tiles: Sequence[Tile] = ()


@dataclass(frozen=True)
class Ribbon:
    """What a family reads of another one: `share` of all that it reads of that layer, 0 to 1."""

    source: tuple[str, str]
    target: tuple[str, str]
    share: float


def draw_families(
    layers: Sequence[str],
    families: Sequence[Family],
    ribbons: Sequence[Ribbon],
    made_of: Mapping[str, Sequence[tuple[str, float]]] | None = None,
    metric: str = "total",
) -> Figure:
    """The families of a circuit as a figure; `made_of` has for each layer the shares of the target, with the remainder.

    Raises BadValue where shares do not add up to 1, or a ribbon has an end that is no family.

    >>> draw_families(["a", "b"], [Family("a", "lines", 3), Family("b", "curves", 2)],
    ...     [Ribbon(("a", "lines"), ("b", "curves"), 1.0)]).get_size_inches()[0]  # doctest: +SKIP
    5.2
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
    foot = 0.0 if not made_of else 0.6 + 0.2 * max(len(shares) for shares in made_of.values())
    height = max(2.2, 0.9 * max(map(len, columns), default=1)) + 0.6
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
        axis.text(left + _BOX / 2, height + foot - 0.25, layers[x], ha="center", va="center", weight="bold", color=INK)
        room = (height - 0.6) / max(len(column), 1)
        for y, family in enumerate(column):
            tall = min(0.72, room - _GAP * 0.6)
            boxes[family.layer, family.name] = (left, foot + height - 0.55 - room * (y + 0.5), tall)
    _ribbons(axis, ribbons, boxes)
    for (layer, name), (left, middle, tall) in boxes.items():
        _box(axis, known[layer, name], left, middle, tall)
    if made_of:
        _made_of(axis, layers, made_of, foot, metric)
    return fig


def _ribbons(axis: Any, ribbons: Sequence[Ribbon], boxes: Mapping[tuple[str, str], tuple[float, float, float]]) -> None:
    used: dict[tuple[str, str], float] = {}
    for ribbon in sorted(ribbons, key=lambda each: (each.target, -boxes[each.source][1])):
        left, middle, _ = boxes[ribbon.source]
        right, end, tall = boxes[ribbon.target]
        width = ribbon.share * tall
        top = end + tall / 2 - used.get(ribbon.target, 0.0)
        used[ribbon.target] = used.get(ribbon.target, 0.0) + width
        x0, x1, bend = left + _BOX, right, (right - left - _BOX) / 2
        points = [
            (x0, middle + width / 2), (x0 + bend, middle + width / 2), (x1 - bend, top), (x1, top), (x1, top - width),
            (x1 - bend, top - width), (x0 + bend, middle - width / 2), (x0, middle - width / 2),
            (x0, middle + width / 2),
        ]  # fmt: skip
        codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
        axis.add_patch(PathPatch(Path(points, codes), facecolor=ACCENT, alpha=0.35, edgecolor="none", zorder=1))
        if ribbon.share >= 0.05:
            axis.text(
                x1 - 0.05, top - width / 2, f"{ribbon.share:.0%}", ha="right", va="center", size=7, color=INK, zorder=3
            )


def _box(axis: Any, family: Family, left: float, middle: float, tall: float) -> None:
    axis.add_patch(
        Rectangle((left, middle - tall / 2), _BOX, tall, facecolor="#ffffff", edgecolor=SOFT, linewidth=0.8, zorder=2)
    )
    name = family.name if len(family.name) <= 20 else family.name[:19] + "…"
    high = middle + (0.13 if family.tiles else 0)
    axis.text(left + 0.07, high, name, ha="left", va="center", size=7.5, color=INK, zorder=3)
    axis.text(left + _BOX - 0.06, high, str(family.count), ha="right", va="center", size=7.5, color=SOFT, zorder=3)
    for place, tile in enumerate(family.tiles[:_TILES]):
        x, y = left + 0.06 + place * (_TILE + 0.02), middle - tall / 2 + 0.05
        axis.imshow(tile, extent=(x, x + _TILE, y, y + _TILE), interpolation="bilinear", aspect="auto", zorder=3)


def _made_of(
    axis: Any, layers: Sequence[str], made_of: Mapping[str, Sequence[tuple[str, float]]], foot: float, metric: str
) -> None:
    axis.text(0.1, foot - 0.12, f"The target is made of ({metric} weight):", size=8, color=INK, va="center")
    for x, layer in enumerate(layers):
        left = (x + 0.5) * _COLUMN - _BOX / 2
        for line, (name, share) in enumerate(made_of.get(layer, ())):
            y = foot - 0.38 - 0.2 * line
            axis.add_patch(Rectangle((left, y - 0.07), _BOX, 0.14, facecolor=LINE, edgecolor="none"))
            colour = SOFT if name == "remainder" else SERIES[0]
            axis.add_patch(
                Rectangle((left, y - 0.07), _BOX * share, 0.14, facecolor=colour, alpha=0.5, edgecolor="none")
            )
            axis.text(left + 0.04, y, f"{share:.0%}  {name}", size=7, va="center", color=INK)

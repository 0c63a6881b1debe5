"""factors(...): the factors of a family's weights, a row for each: the inputs it mixes, then its map for every unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from micrographia.publish.draw import Tile
from micrographia.publish.plot import INK, SOFT, figure, signed_map

MOST = 24  # units in one drawing
ALONE = 12  # units in one drawing where each has factors of its own
INPUTS = 3  # inputs drawn of each factor there


@dataclass(frozen=True, eq=False)
class Mixture:
    """What a factor mixes, strongest first: names of inputs, their weights in the mixture, and a picture of each."""

    names: tuple[str, ...]
    weights: tuple[float, ...]
    tiles: tuple[Tile, ...]


def factors(
    mixtures: Sequence[Mixture],
    units: Sequence[str],
    maps: Float[np.ndarray, "unit factor height width"],
    caption: str = "",
) -> Figure:
    """The drawing; all maps of a unit on one scale, warm where it is excited. Three factors are drawn in colour too.

    At most the first 24 units are drawn; the caption should say how many there are.

    >>> factors([Mixture(("a",), (1.0,), (np.zeros((8, 8, 3)),))], ["u"], np.zeros((1, 1, 3, 3)))  # doctest: +SKIP
    """
    units, maps = list(units)[:MOST], maps[:MOST]
    shown = max(len(each.names) for each in mixtures)
    colour = len(mixtures) == 3
    rows, columns = len(mixtures) + colour, shown + len(units)
    widths = [*(1,) * shown, 0.35, *(1,) * len(units)]
    head = 0.2 + 0.14 * len(caption.splitlines())
    fig, axes = figure(rows, columns + 1, (0.72 * columns + 0.6, 0.86 * rows + head), width_ratios=widths)
    for plane in axes.ravel():
        plane.axis("off")
    for row, mixture in enumerate(mixtures):
        for column, (name, weight, tile) in enumerate(zip(mixture.names, mixture.weights, mixture.tiles, strict=True)):
            plane = axes[row, column]
            plane.imshow(tile if tile.dtype == np.uint8 else np.clip(tile, 0, 1), interpolation="nearest")
            plane.set_title(
                f":{name.rpartition(':')[2]}  {weight:.2f}",
                fontsize=5.5,
                fontweight="normal",
                color=SOFT,
                loc="center",
                pad=2,
            )
        text = axes[row, 0].text(-0.12, 0.5, f"factor {row}", transform=axes[row, 0].transAxes, fontsize=7, color=INK)
        text.set(rotation=90, va="center", ha="right")
    for number, unit in enumerate(units):
        limit = float(np.abs(maps[number]).max()) or 1.0
        for row in range(len(mixtures)):
            plane = axes[row, shown + 1 + number]
            plane.imshow(maps[number, row], cmap=signed_map(), vmin=-limit, vmax=limit, interpolation="nearest")
            if row == 0:
                plane.set_title(
                    f":{unit.rpartition(':')[2]}", fontsize=6, fontweight="normal", color=INK, loc="center", pad=2
                )
        if colour:
            plane = axes[3, shown + 1 + number]
            plane.imshow(np.clip(0.5 + 0.5 * maps[number].transpose(1, 2, 0) / limit, 0, 1), interpolation="nearest")
    if colour:
        said = "the three as red, green, blue: grey is zero"
        text = axes[3, shown - 1].text(1, 0.5, said, transform=axes[3, shown - 1].transAxes, fontsize=6, color=SOFT)
        text.set(va="center", ha="right", in_layout=False)
    fig.suptitle(caption, fontsize=7.5, x=0.01, ha="left", color=INK)
    return fig


def each_unit(
    rows: Sequence[tuple[str, Sequence[Mixture], Float[np.ndarray, "factor height width"]]], caption: str = ""
) -> Figure:
    """A row for each unit: heading, the three strongest inputs of every factor beside its map, three maps as colours.

    A unit's maps are on one scale, warm where it is excited. At most the first 12 units are drawn.

    >>> one = Mixture(("a",), (1.0,), (np.zeros((8, 8, 3)),))
    >>> len(each_unit([("unit", [one], np.zeros((1, 3, 3)))]).axes)
    5
    """
    rows = list(rows)[:ALONE]
    count = max(len(mixtures) for _, mixtures, _ in rows)
    block = INPUTS + 1
    columns = block * count + 1
    head = 0.25 + 0.14 * (len(caption.splitlines()) + 1)
    fig, axes = figure(len(rows), columns, (0.66 * columns, 0.86 * len(rows) + head))
    for plane in axes.ravel():
        plane.axis("off")
    for row, (heading, mixtures, maps) in enumerate(rows):
        text = axes[row, 0].text(0, 1.3, heading, transform=axes[row, 0].transAxes, fontsize=7, color=INK)
        text.set(in_layout=False, va="bottom")
        limit = float(np.abs(maps).max()) or 1.0
        for number, mixture in enumerate(mixtures):
            shown = zip(mixture.names[:INPUTS], mixture.weights, mixture.tiles, strict=False)
            for column, (name, weight, tile) in enumerate(shown):
                plane = axes[row, number * block + column]
                plane.imshow(tile if tile.dtype == np.uint8 else np.clip(tile, 0, 1), interpolation="nearest")
                label = f":{name.rpartition(':')[2]}  {weight:.2f}"
                plane.set_title(label, fontsize=5, fontweight="normal", color=SOFT, loc="center", pad=1)
            plane = axes[row, number * block + INPUTS]
            plane.imshow(maps[number], cmap=signed_map(), vmin=-limit, vmax=limit, interpolation="nearest")
        if len(maps) == 3:
            plane = axes[row, -1]
            plane.imshow(np.clip(0.5 + 0.5 * maps.transpose(1, 2, 0) / limit, 0, 1), interpolation="nearest")
            plane.set_title("as RGB", fontsize=5, fontweight="normal", color=SOFT, loc="center", pad=1)
    fig.set_layout_engine("constrained", h_pad=0.11)
    fig.suptitle(f"{caption}\n", fontsize=7.5, x=0.01, ha="left", color=INK)
    return fig

"""branches(...): the units of a layer as pictures, branch by branch, in the order of a score or by family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from micrographia.publish.draw import Tile
from micrographia.publish.plot import INK, SOFT, figure

ACROSS = 20  # pictures in a row


@dataclass(frozen=True, eq=False)
class Group:
    """Some units of a branch under one heading: their channels, a picture of each, and how many there are in all."""

    heading: str
    channels: tuple[int, ...]
    tiles: tuple[Tile, ...]
    count: int


def branches(groups: Sequence[Group], caption: str = "") -> Figure:
    """The drawing: a row of at most 20 pictures for each group, with its heading above.

    >>> len(branches([Group("5x5", (1,), (np.zeros((8, 8, 3)),), 1)]).axes)
    20
    """
    head = 0.4 + 0.16 * len(caption.splitlines())
    fig, axes = figure(len(groups), ACROSS, (0.56 * ACROSS, 0.8 * len(groups) + head))
    for plane in axes.ravel():
        plane.axis("off")
    for row, group in enumerate(groups):
        shown = f"{group.heading}   {group.count} units" + (
            f", {ACROSS} shown at even distances" if group.count > ACROSS else ""
        )
        text = axes[row, 0].text(0, 1.3, shown, transform=axes[row, 0].transAxes, fontsize=8, color=INK)
        text.set(in_layout=False, va="bottom")
        for column, number in enumerate(even(len(group.channels))):
            tile, plane = group.tiles[number], axes[row, column]
            plane.imshow(tile if tile.dtype == np.uint8 else np.clip(tile, 0, 1), interpolation="nearest")
            plane.set_title(
                str(group.channels[number]), fontsize=5, fontweight="normal", color=SOFT, loc="center", pad=1
            )
    fig.set_layout_engine("constrained", h_pad=0.11)
    fig.suptitle(f"{caption}\n", fontsize=8, x=0.01, ha="left", color=INK)
    return fig


def even(count: int, most: int = ACROSS) -> list[int]:
    """At most so many numbers below `count`, at even distances: not the best of what there is.

    >>> even(10, 3)
    [1, 5, 8]
    """
    kept = min(count, most)
    return [(2 * i + 1) * count // (2 * kept) for i in range(kept)]

"""shapes(...): from a tensor of weights to its matrix and singular values, drawn with the shapes that they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon

from micrographia.publish.plot import ACCENT, INK, SOFT, figure, signed_map

_LOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_FACE, _TOP, _SIDE = "#cfe3de", "#e4efec", "#b4d2ca"


def shapes(
    kernels: tuple[int, int, int, int],
    matrix: Float[np.ndarray, "row column"],
    share: Sequence[float],
    reduction: str,
    layers: tuple[str, str] = ("", ""),
) -> Figure:
    """Filters as boxes of channels, rows and columns; what a reduction over space leaves of them; the shares of energy.

    `kernels` is the tensor's shape (filters, channels, rows, columns), `matrix` what became of it, drawn as it is, and
    `share` the share of the energy of each singular vector, largest first.

    >>> len(shapes((8, 3, 5, 5), np.ones((3, 8)), [1.0], "l1").axes)
    3
    """
    fig, axes = figure(1, 3, (9.6, 3.1), width_ratios=[1.25, 1.3, 1])
    filters, channels, rows, columns = kernels
    plane = axes[0, 0]
    plane.set_xlim(0, 4.3)
    plane.set_ylim(0, 3.4)
    plane.set_aspect("equal")
    plane.axis("off")
    for number, (x, name) in enumerate(((0.1, "f₀"), (1.25, "f₁"), (3.0, f"f{str(filters - 1).translate(_LOW)}"))):
        _box(plane, x, 1.5, columns, channels)
        plane.text(x + 0.4, 2.75, name, ha="center", fontsize=9, color=INK)
        start, end = (x + 0.4, 1.38), (1.2 + 0.5 * number, 0.62)
        plane.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, color=SOFT, linewidth=0.9))
    plane.text(2.5, 1.95, "…", ha="center", fontsize=13, color=SOFT)
    plane.text(0, 3.2, f"{filters} filters of {channels} x {rows} x {columns}", fontsize=9, fontweight="bold")
    plane.text(0, 3.0, "channels x rows x columns", fontsize=7.5, color=SOFT)
    how = "each filter a column of |weights|" if reduction == "none" else f"{reduction} over the {rows * columns} taps"
    plane.text(1.7, 0.36, how, ha="center", fontsize=8, color=ACCENT)

    plane = axes[0, 1]
    largest = float(np.abs(matrix).max()) or 1.0
    if matrix.min() < 0:
        plane.imshow(matrix, cmap=signed_map(), vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")
    else:
        plane.imshow(matrix, cmap="Greys", vmin=0, vmax=largest, aspect="auto", interpolation="nearest")
    name = "W" if reduction == "signed sum" else "|W|"
    plane.set_title(f"{name}: {matrix.shape[0]} x {matrix.shape[1]}", fontsize=9)
    plane.set_xlabel(f"units of {layers[1]}" if layers[1] else "filters")
    inputs = f"units of {layers[0]}" if layers[0] else "channels"
    plane.set_ylabel(f"{inputs} x taps" if reduction == "none" else inputs)

    plane = axes[0, 2]
    shown = list(share)[:12]
    plane.bar(range(len(shown)), [100 * each for each in shown], color=ACCENT, width=0.7)
    plane.set_title("energy of each singular vector, %", fontsize=9)
    plane.set_xlabel("singular vector")
    return fig


def _box(plane: Any, x: float, y: float, columns: int, channels: int) -> None:
    """A filter: channels side by side, each a sheet of rows and columns that goes into the depth."""
    wide, high, deep = 0.72, 0.62, 0.3
    sheets = min(channels, 6)
    plane.add_patch(
        Polygon([(x, y), (x + wide, y), (x + wide, y + high), (x, y + high)], facecolor=_FACE, edgecolor=ACCENT)
    )
    top = [(x, y + high), (x + deep, y + high + deep), (x + wide + deep, y + high + deep), (x + wide, y + high)]
    side = [(x + wide, y), (x + wide + deep, y + deep), (x + wide + deep, y + high + deep), (x + wide, y + high)]
    plane.add_patch(Polygon(top, facecolor=_TOP, edgecolor=ACCENT))
    plane.add_patch(Polygon(side, facecolor=_SIDE, edgecolor=ACCENT))
    for sheet in range(1, sheets):
        at = x + wide * sheet / sheets
        plane.plot([at, at, at + deep], [y, y + high, y + high + deep], color=ACCENT, linewidth=0.6)
    for tap in range(1, min(columns, 7)):
        part = tap / min(columns, 7)
        plane.plot([x + wide + deep * part] * 2, [y + deep * part, y + high + deep * part], color=ACCENT, linewidth=0.5)
        plane.plot([x + wide, x + wide + deep], [y + high * part, y + high * part + deep], color=ACCENT, linewidth=0.5)

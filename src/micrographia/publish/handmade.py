"""Figures of the handwritten curves: their kernels, their tuning beside a network's own, and what an implant does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from micrographia.publish.plot import ACCENT, LINE, SERIES, SOFT, figure, signed_map

Kernel = Float[np.ndarray, "height width"]
Maps = Float[np.ndarray, "unit row value"]


@dataclass(frozen=True, eq=False)
class Row:
    """Some kernels of a layer: `names` of what each reads and of what it belongs to."""

    title: str
    names: tuple[str, ...]
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True)
class Bar:
    """A change with its interval, and whether it is of the network that the figure is about."""

    name: str
    change: float
    low: float
    high: float
    subject: bool = False


def kernels_figure(rows: Sequence[Row]) -> Figure:
    """The kernels of each layer in a row, from the picture upwards; each row on its own signed scale about 0."""
    wide = max(len(row.kernels) for row in rows)
    fig, axes = figure(len(rows), wide, (1.05 * wide + 0.3, 1.5 * len(rows)))
    for line, row in zip(axes, rows, strict=True):
        limit = max(float(np.abs(kernel).max()) for kernel in row.kernels)
        for place, panel in enumerate(line):
            panel.set_axis_off()
            if place < len(row.kernels):
                panel.imshow(row.kernels[place], cmap=signed_map(), vmin=-limit, vmax=limit, interpolation="nearest")
                panel.text(0.5, -0.05, row.names[place], transform=panel.transAxes, ha="center", va="top", size=7,
                           color=SOFT)  # fmt: skip
        heading = line[0].text(0, 1.06, row.title, transform=line[0].transAxes, size=9)
        heading.set_in_layout(False)  # or the first column would grow as wide as it
    fig.set_layout_engine("constrained", h_pad=0.16)
    return fig


def beside_figure(
    names: Sequence[str],
    directions: Sequence[float | int],
    angles: Sequence[float | int],
    curvatures: Sequence[float | int],
    own: Maps,
    made: Maps,
) -> Figure:
    """Answers to curves over angle and curvature: a network's units above, the handwritten ones below them.

    Each map is divided by its own maximum; the line stands at the direction for which the unit below was written.
    """
    fig, axes = figure(2, len(names), (1.15 * len(names) + 1.2, 3.6), sharex=True, sharey=True)
    image: Any = None
    for line, maps in zip(axes, (own, made), strict=True):
        for panel, found, direction in zip(line, maps, directions, strict=True):
            top = float(found.max()) or 1.0
            image = panel.imshow(
                found / top, cmap=signed_map(), vmin=-1, vmax=1, aspect="auto", origin="lower", interpolation="nearest"
            )
            step = 360 / len(angles)
            panel.axvline(float(direction) % 360 / step, color=ACCENT, linewidth=0.8, linestyle=":")
    columns = list(range(0, len(angles), max(1, len(angles) // 2)))
    levels = list(range(0, len(curvatures), 2))
    for panel, name, direction in zip(axes[0], names, directions, strict=True):
        panel.set_title(f"{name}\n{direction:.0f}°", size=8)
        panel.set_xticks(columns, [f"{angles[i]:.0f}" for i in columns], size=7)
        panel.set_yticks(levels, [f"{curvatures[i]:g}" for i in levels], size=7)
    axes[0, 0].set_ylabel("the network's")
    axes[1, 0].set_ylabel("handwritten")
    fig.supxlabel("angle of the normal, degrees", size=8)
    fig.supylabel("curvature, field/radius", size=8)
    bar = fig.colorbar(image, ax=axes, shrink=0.8, pad=0.01, label="of the unit's best")
    bar.ax.set_ylim(0, 1)
    return fig


def changes_figure(title: str, panels: Sequence[tuple[str, Sequence[Bar]]]) -> Figure:
    """For each measure, how much it changes under each condition, with its interval; 0 is the intact network."""
    count = len(panels[0][1])
    fig, axes = figure(1, len(panels), (3.0 * len(panels) + 2.0, 0.34 * count + 1.2), sharey=True)
    for panel, (measure, bars) in zip(axes[0], panels, strict=True):
        for place, bar in enumerate(bars):
            colour = SERIES[0] if bar.subject else SERIES[5]
            panel.plot([bar.low, bar.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
            panel.plot([bar.change], [place], "o", color=colour, markersize=5)
        panel.axvline(0, color=LINE, zorder=0)
        panel.set_xlabel(measure)
        panel.locator_params(axis="x", nbins=5)
        panel.set_ylim(count - 0.5, -0.5)
        panel.set_yticks(range(count), [bar.name for bar in bars])
    fig.suptitle(title, size=10, weight="bold")
    return fig

"""Figures of tuning: all units of a set on one circle, and each unit's answers as a map over two parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

from micrographia.errors import BadValue
from micrographia.publish.plot import LINE, SERIES, SOFT, STYLE, figure, signed_map

INNER = 0.25  # radius of the circle that curves stand on, of the whole
WIDE = 4  # maps side by side


@dataclass(frozen=True, eq=False)
class Sheet:
    """What is drawn of a set of units: `curves` over `values` (degrees, even steps from 0) that repeat every `period`,
    `maps` over `rows` and the same values; `preferred` in degrees. Without a period there is no circle.
    """

    title: str
    names: tuple[str, ...]
    axis: str
    values: tuple[float | int, ...]
    period: float | int | None
    curves: Float[np.ndarray, "unit value"]
    preferred: Float[np.ndarray, " unit"]
    row_axis: str
    rows: tuple[float | int, ...]
    maps: Float[np.ndarray, "unit row value"]
    scale: str


def tuning_figure(sheet: Sheet) -> Figure:
    """The circle of a set's radial tuning curves, and the heat map of each unit beside it.

    On the circle, an answer is the distance from the inner ring, all on one scale; a unit's colour is its preferred
    direction. After Cammarata et al., Curve Detectors (Distill 2020), radial tuning. Raises BadValue for no units.

    >>> tuning_figure(Sheet("curves", (), "angle", (), 360, *[np.ones(0)] * 2, "row", (), np.ones(0), ""))
    Traceback (most recent call last):
    micrographia.errors.BadValue: There are no units to draw. Name at least one.
    """
    count = len(sheet.names)
    if not count:
        raise BadValue("There are no units to draw. Name at least one.")
    wide = min(count, WIDE)
    high = math.ceil(count / wide)
    circle = 0.0 if sheet.period is None else 3.6
    size = (circle + 2.0 * wide + 0.6, max(1.35 * high + 0.7, circle and 4.0, 2.2))
    fig, axes = figure(1, 1, size)
    fig.delaxes(axes[0, 0])
    widths = [circle, 2.0 * wide + 0.6] if circle else [1.0]
    parts: Any = fig.subfigures(1, len(widths), squeeze=False, width_ratios=widths)
    for part in parts.flat:
        part.set_facecolor(fig.get_facecolor())
    with mpl.rc_context(STYLE):
        if circle:
            _circle(parts[0, 0], sheet)
        _maps(parts[0, -1], sheet, high, wide)
    return fig


def direction_colour(degrees: float | int) -> tuple[float, float, float]:
    """The colour of a direction: once round the hues, dark enough for white paper."""
    red, green, blue = hsv_to_rgb((degrees / 360 % 1, 0.85, 0.78))
    return float(red), float(green), float(blue)


def _circle(part: Any, sheet: Sheet) -> None:
    assert sheet.period is not None
    axes = part.add_subplot(projection="polar")
    top = float(sheet.curves.max()) or 1.0
    copies = round(360 / sheet.period)
    turn = np.radians(np.arange(copies * len(sheet.values) + 1) * (sheet.period / len(sheet.values)))
    for name, curve, at in zip(sheet.names, sheet.curves, sheet.preferred, strict=True):
        closed = np.append(np.tile(curve, copies), curve[0])
        radius = INNER + (1 - INNER) * closed / top
        colour = direction_colour(float(at) * copies) if np.isfinite(at) else SERIES[5]
        axes.plot(turn, radius, color=colour, linewidth=1.3, label=name)
        axes.fill_between(turn, INNER, radius, color=colour, alpha=0.14, linewidth=0)
        if np.isfinite(at):
            high = min(INNER + (1 - INNER) * float(curve.max()) / top + 0.05, 1.08)
            axes.text(np.radians(at), high, name.rpartition(":")[2], ha="center", va="center", size=7, color=colour)
    axes.set_ylim(0, 1.12)
    axes.set_yticks([INNER, 1.0], ["", ""])
    axes.grid(color=LINE)
    axes.spines["polar"].set_visible(False)
    axes.set_thetagrids(range(0, 360, 45))
    axes.set_title(sheet.title, pad=14)
    note = f"outer ring {top:.3g} {sheet.scale}"
    axes.text(0.5, -0.17, note, transform=axes.transAxes, ha="center", size=8, color=SOFT)


def _maps(part: Any, sheet: Sheet, high: int, wide: int) -> None:
    axes = part.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
    limit = float(sheet.maps.max()) or 1.0
    image = None
    for place, panel in enumerate(axes.flat):
        if place >= len(sheet.names):
            panel.set_visible(False)
            continue
        image = panel.imshow(
            sheet.maps[place], cmap=signed_map(), vmin=-limit, vmax=limit, aspect="auto", origin="lower",
            interpolation="nearest",
        )  # fmt: skip
        panel.set_title(sheet.names[place], size=8)
        columns, rows = _ticks(sheet.values, 4), _ticks(sheet.rows, 4)
        panel.set_xticks(columns, [f"{sheet.values[i]:.3g}" for i in columns], size=7)
        panel.set_yticks(rows, [f"{sheet.rows[i]:.3g}" for i in rows], size=7)
    part.supxlabel(sheet.axis, size=8)
    part.supylabel(sheet.row_axis, size=8)
    if sheet.period is None:
        part.suptitle(sheet.title, size=10, weight="bold", x=0.02, ha="left")
    bar = part.colorbar(image, ax=axes, shrink=0.8, pad=0.02, label=sheet.scale)
    bar.ax.set_ylim(0, limit)


def _ticks(values: Sequence[float | int], most: int) -> list[int]:
    step = max(1, math.ceil(len(values) / most))
    return list(range(0, len(values), step))

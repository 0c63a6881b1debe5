"""The figure of a family: its members in group order, and how each agrees with the others at each step of the group."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image

from micrographia.publish.draw import Tile, sheet
from micrographia.publish.plot import LINE, SOFT, STYLE, figure, signed_map

COLUMNS = 8
SIDE = 72  # px of a member's picture


@mpl.rc_context(STYLE)
def family_figure(
    title: str,
    group: str,
    units: Sequence[str],
    elements: Sequence[float],
    tiles: Sequence[Tile],
    curves: Float[np.ndarray, "member step"],
    steps: Float[np.ndarray, " step"],
    caption: str = "",
) -> Figure:
    """A family: pictures of its members in the order of their elements, and the curve of each on one circle.

    `curves` are correlations with the mean of the other members at each of the `steps` (degrees, octaves, or 0 and 1);
    each has its top where the member's element is. Groups that are no circle are drawn along a line.

    >>> flat = [np.zeros((8, 8, 3))] * 3
    >>> fig = family_figure("a", "hue", ["x:0", "x:1", "x:2"], [0, 9, 50], flat, np.ones((3, 36)), np.arange(36.0))
    """
    order = np.argsort(np.asarray(elements, float), kind="stable")
    names = [f"{units[i].rpartition(':')[2]}  {_words(elements[i], group)}" for i in order]
    picture = sheet([_enlarged(tiles[i]) for i in order], COLUMNS, names)
    high = picture.shape[0] / 95 + 0.7
    fig, axes = figure(1, 2, (10.4, max(3.6, high)), width_ratios=[2.2, 1])
    axes[0, 0].imshow(picture)
    # a small family is drawn in the same size as a large one
    axes[0, 0].set_xlim(0, max(picture.shape[1], COLUMNS * (SIDE + 6)))
    axes[0, 0].set_axis_off()
    axes[0, 0].set_anchor("NW")  # of a small family, beside the top of the circle
    axes[0, 0].set_title(title)
    if caption:
        axes[0, 0].text(0, -0.02, caption, transform=axes[0, 0].transAxes, va="top", color=SOFT, wrap=True)
    colours = _hues(len(order))
    if group in ("rotation", "hue"):
        _circle(axes[0, 1], curves[order], steps, colours)
        return fig
    for i, colour in zip(order, colours, strict=True):
        axes[0, 1].plot(steps, curves[i], color=colour, marker="o" if len(steps) < 5 else "")
    if group == "reflection":
        axes[0, 1].set_xticks([0, 1], ["as it is", "mirrored"])
    else:
        axes[0, 1].set_xlabel("octaves")
    axes[0, 1].set_ylabel("correlation with the others")
    axes[0, 1].set_ylim(-1, 1.05)
    return fig


def _circle(
    axes: Any, curves: Float[np.ndarray, "member step"], steps: Float[np.ndarray, " step"], colours: Any
) -> None:
    """Curves around a circle: as far out as they are high, nothing where they are below zero."""
    turn = np.deg2rad(np.linspace(0, 360, 181))
    for radius in (0.5, 1.0):
        axes.plot(radius * np.cos(turn), radius * np.sin(turn), color=LINE, linewidth=0.8)
        axes.text(0, radius, f" {radius:g}", color=SOFT, fontsize=7, va="bottom")
    for degrees in range(0, 360, 45):
        x, y = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        axes.plot([0, x], [0, y], color=LINE, linewidth=0.8)
        axes.text(1.14 * x, 1.14 * y, f"{degrees}°", color=SOFT, fontsize=8, ha="center", va="center")
    around = np.deg2rad(np.append(steps, steps[0] + 360))
    for curve, colour in zip(curves, colours, strict=True):
        radius = np.maximum(np.append(curve, curve[0]), 0)
        axes.plot(radius * np.cos(around), radius * np.sin(around), color=colour)
    axes.set_aspect("equal")
    axes.set_xlim(-1.3, 1.3)
    axes.set_ylim(-1.3, 1.3)
    axes.set_axis_off()
    axes.set_title("Correlation with the others")


@mpl.rc_context(STYLE)
def circuit_figure(
    title: str,
    kernels: Float[np.ndarray, "out in height width"],
    rows: Sequence[str],
    columns: Sequence[str],
    caption: str = "",
) -> Figure:
    """The kernels from one family (columns) to another (rows) in group order, on one signed scale.

    >>> fig = circuit_figure("a", np.zeros((3, 2, 5, 5)), ["0", "90", "180"], ["HF", "LF"])
    """
    outs, ins, height, width = kernels.shape
    # one picture with empty cells between the kernels: a box for each would take seconds to draw
    mosaic = np.full((outs, height + 1, ins, width + 1), np.nan)
    mosaic[:, :height, :, :width] = kernels.transpose(0, 2, 1, 3)
    picture = mosaic.reshape(outs * (height + 1), ins * (width + 1))[:-1, :-1]
    fig, axes = figure(1, 1, (max(4.0, 0.55 * ins + 1.6), max(2.4, 0.55 * outs + 1.3)))
    limit = float(np.abs(kernels).max()) or 1.0
    box = axes[0, 0]
    box.imshow(picture, cmap=signed_map(), vmin=-limit, vmax=limit, interpolation="nearest")
    box.set_xticks(np.arange(ins) * (width + 1) + (width - 1) / 2, columns)
    box.set_yticks(np.arange(outs) * (height + 1) + (height - 1) / 2, rows)
    box.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    box.spines[["left", "bottom"]].set_visible(False)
    fig.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    if caption:
        wrapped = textwrap.fill(caption, max(30, int(14 * fig.get_figwidth())))
        fig.supxlabel(wrapped, x=0.01, ha="left", fontsize=8, color=SOFT)
    return fig


def _words(element: float, group: str) -> str:
    if group == "reflection":
        return "mirrored" if element else ""
    return f"{element:.0f}°" if group in ("rotation", "hue") else f"{2**element:.2f} x"


def _enlarged(tile: Tile) -> Tile:
    pixels = np.asarray(tile)
    if pixels.dtype != np.uint8:
        pixels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    small = max(pixels.shape[:2]) < SIDE
    how = Image.Resampling.NEAREST if small else Image.Resampling.BOX
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), how))


def _hues(count: int) -> list[tuple[float, float, float]]:
    """A colour for each place on the circle, all about equally light."""
    turn = 2 * np.pi * np.arange(count)[:, None] / max(count, 1) - 2 * np.pi * np.arange(3) / 3
    return [(float(r), float(g), float(b)) for r, g, b in 0.46 + 0.32 * np.cos(turn)]

"""The circuit card of a unit as one figure: its pictures, its strongest inputs with their kernels, its users."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from micrographia.publish import words
from micrographia.publish.draw import COOL, WARM, Tile
from micrographia.publish.plot import ACCENT, INK, LINE, SOFT, encoded, figure, signed_map

Inches = float | int

WIDTH = 13.0  # inches, as all lengths here
_EDGE, _LEFT, _PICTURE, _CELL = 0.4, 3.0, 0.86, 1.88
_MIDDLE, _RIGHT = 3.85, 9.85
_TOP, _ROW, _LINE = 1.15, 1.66, 0.175
WARM_INK, COOL_INK = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in (WARM, COOL))


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A unit beside the one on the card: its picture (None: there is none), and its weights by mass and sign.

    `share` is the part of the squared norm of all that the reading unit reads. A neighbour with a `kernel` is drawn
    with it.
    """

    name: str
    picture: Tile | None
    share: float
    positive: float
    negative: float
    sign: str
    cancelling: bool
    kernel: Float[np.ndarray, "height width"] | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """The share explained by the first `steps` inputs, and the null's median and middle 95 %; `k` are on the card."""

    steps: Sequence[int]
    share: Sequence[float]
    low: Sequence[float]
    middle: Sequence[float]
    high: Sequence[float]
    k: int


@dataclass(frozen=True, eq=False)
class Sheet:
    """All that the figure shows. `own` is the kernel in colour of a unit that reads pixels; `facts` are sentences."""

    title: str
    lead: Sequence[str]
    portrait: Tile | None
    portrait_note: str
    examples: Sequence[Tile]
    examples_note: str
    heading: str
    inputs: Sequence[Neighbour]
    users_heading: str
    users: Sequence[Neighbour]
    facts: Sequence[str]
    own: Tile | None = None
    curve: Curve | None = None


def draw_card(sheet: Sheet, kind: str = "png", dpi: int = 160) -> bytes:
    """The figure as PNG, SVG or PDF, all kernels on one signed scale; equal sheets have equal bytes.

    Raises BadValue for another kind of file.

    >>> draw_card(sheet, "svg")[:5]  # doctest: +SKIP
    b'<?xml'
    """
    lines = [line for fact in sheet.facts for line in textwrap.wrap(fact, 88 if sheet.curve is None else 46)]
    rows = -(-len(sheet.inputs) // 3)
    above = _TOP + 0.4 + (1.75 if sheet.own is not None else 0.0) + rows * _ROW + 0.55
    left = _TOP + _LEFT + 0.5 + -(-len(sheet.examples) // 3) * 1.02 + 0.5
    height = max(above + max(2.3, len(lines) * _LINE + 0.35), left, _TOP + 0.7 + len(sheet.users) * 0.72)
    fig, axes = figure(size=(WIDTH, height))
    axes[0, 0].remove()
    fig.set_layout_engine("none")  # every place is given in inches
    page = _Page(fig, height)
    page.text(_EDGE, 0.52, sheet.title, 22, family="DejaVu Serif")
    for number, line in enumerate(sheet.lead):
        page.text(_EDGE, 0.76 + number * 0.19, line, 9, SOFT)
    _self(page, sheet)
    below = _inputs(page, sheet)
    _users(page, sheet)
    if sheet.curve is not None:
        _curve(page, sheet.curve, below)
    across = _MIDDLE + (2.95 if sheet.curve is not None else 0)
    for number, line in enumerate(lines):
        page.text(across, below + 0.2 + number * _LINE, line, 8.5)
    return encoded(fig, kind, dpi)


@dataclass(frozen=True)
class _Page:
    """A figure on which places are counted in inches from the top left corner."""

    fig: Figure
    height: Inches

    def box(self, left: Inches, top: Inches, width: Inches, height: Inches) -> tuple[float, float, float, float]:
        return left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height

    def text(self, left: Inches, base: Inches, text: str, size: Inches, colour: str = INK, **more: Any) -> None:
        self.fig.text(left / WIDTH, 1 - base / self.height, text, fontsize=size, color=colour, **more)

    def picture(self, left: Inches, top: Inches, side: Inches, tile: Tile | None) -> None:
        axes = self.fig.add_axes(self.box(left, top, side, side))
        if tile is None:
            axes.set(xlim=(0, 1), ylim=(0, 1))
            axes.text(0.5, 0.5, "no picture", ha="center", va="center", fontsize=7, color=SOFT)
        else:
            axes.imshow(tile, interpolation="bilinear" if tile.shape[0] > 16 else "nearest")
        _framed(axes)

    def kernel(self, left: Inches, top: Inches, side: Inches, kernel: Float[np.ndarray, "_ _"], limit: float) -> None:
        axes = self.fig.add_axes(self.box(left, top, side, side))
        axes.imshow(kernel, cmap=signed_map(), vmin=-limit, vmax=limit, interpolation="nearest")
        _framed(axes)

    def mass(self, left: Inches, top: Inches, width: Inches, each: Neighbour) -> None:
        """A bar of the positive and the negative mass."""
        share = each.positive / ((each.positive + each.negative) or 1.0)
        for start, size, colour in ((0.0, share, WARM_INK), (share, 1 - share, COOL_INK)):
            x, y, w, h = self.box(left + start * width, top, size * width, 0.05)
            self.fig.add_artist(Rectangle((x, y), w, h, color=colour, linewidth=0))


def _framed(axes: Any) -> None:
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=LINE, linewidth=0.6)


def _self(page: _Page, sheet: Sheet) -> None:
    page.picture(_EDGE, _TOP, _LEFT, sheet.portrait)
    page.text(_EDGE, _TOP + _LEFT + 0.2, sheet.portrait_note, 8.5, SOFT)
    top = _TOP + _LEFT + 0.4
    for number, tile in enumerate(sheet.examples):
        page.picture(_EDGE + number % 3 * 1.02, top + number // 3 * 1.02, 0.96, tile)
    if sheet.examples:
        page.text(_EDGE, top + -(-len(sheet.examples) // 3) * 1.02 + 0.14, sheet.examples_note, 8.5, SOFT)


def _inputs(page: _Page, sheet: Sheet) -> float:
    """Draw the inputs and the scale of their kernels; returns where they end."""
    page.text(_MIDDLE, _TOP + 0.13, sheet.heading, 10, weight="bold")
    top = _TOP + 0.35
    if sheet.own is not None:
        page.picture(_MIDDLE, top, 1.6, sheet.own)
        page.text(_MIDDLE + 1.75, top + 0.15, "The kernel in the colours it looks for; grey is zero.", 8.5, SOFT)
        top += 1.75
    limit = max((float(np.abs(e.kernel).max()) for e in sheet.inputs if e.kernel is not None), default=0.0) or 1.0
    for number, each in enumerate(sheet.inputs):
        left, row = _MIDDLE + number % 3 * _CELL, top + number // 3 * _ROW
        beside = sheet.own is None
        if beside:
            page.picture(left, row, _PICTURE, each.picture)
        if each.kernel is not None:
            page.kernel(left + (0.9 if beside else 0.0), row, _PICTURE, each.kernel, limit)
        page.mass(left, row + 0.91, 1.76 if beside else _PICTURE, each)
        page.text(left, row + 1.11, each.name, 8.5)
        page.text(left, row + 1.25, f"{words.percent(each.share)} of the squared norm", 7.5, SOFT)
        page.text(left, row + 1.38, _sign(each), 7.5, WARM_INK if each.sign == "excitatory" else COOL_INK)
        page.text(left, row + 1.51, "spatially cancelling" if each.cancelling else "", 7.5)
    bottom = top + -(-len(sheet.inputs) // 3) * _ROW
    _scale(page, bottom + 0.05, limit)
    return bottom + 0.5


def _sign(each: Neighbour) -> str:
    mass = each.positive if each.sign == "excitatory" else each.negative
    share = words.percent(mass / ((each.positive + each.negative) or 1.0))
    return f"{each.sign} {share}"


def _scale(page: _Page, top: Inches, limit: float) -> None:
    axes = page.fig.add_axes(page.box(_MIDDLE, top, 2.4, 0.1))
    axes.imshow(np.linspace(-1, 1, 255)[None], cmap=signed_map(), aspect="auto", interpolation="nearest")
    _framed(axes)
    page.text(_MIDDLE, top + 0.25, f"{words.number(-limit)} inhibits", 7.5, SOFT)
    page.text(_MIDDLE + 1.2, top + 0.25, "0", 7.5, SOFT, ha="center")
    page.text(_MIDDLE + 2.4, top + 0.25, f"excites {words.number(limit)}", 7.5, SOFT, ha="right")
    page.text(_MIDDLE + 2.55, top + 0.09, "one scale for all kernels", 7.5, SOFT)


def _users(page: _Page, sheet: Sheet) -> None:
    page.text(_RIGHT, _TOP + 0.13, sheet.users_heading, 10, weight="bold")
    for number, each in enumerate(sheet.users):
        top = _TOP + 0.35 + number * 0.72
        page.picture(_RIGHT, top, 0.62, each.picture)
        page.text(_RIGHT + 0.74, top + 0.15, each.name, 8.5)
        page.text(_RIGHT + 0.74, top + 0.3, f"{words.percent(each.share)} of what it reads", 7.5, SOFT)
        page.text(_RIGHT + 0.74, top + 0.43, _sign(each), 7.5, WARM_INK if each.sign == "excitatory" else COOL_INK)
        page.mass(_RIGHT + 0.74, top + 0.52, 1.6, each)


def _curve(page: _Page, curve: Curve, top: Inches) -> None:
    axes = page.fig.add_axes(page.box(_MIDDLE + 0.42, top + 0.22, 2.1, 1.3))
    axes.fill_between(curve.steps, curve.low, curve.high, color=SOFT, alpha=0.2, linewidth=0, label="null, 95 %")
    axes.plot(curve.steps, curve.middle, color=SOFT, linewidth=1, linestyle="--", label="drawn at random")
    axes.plot(curve.steps, curve.share, color=ACCENT, linewidth=1.6, label="strongest first")
    at = curve.share[list(curve.steps).index(curve.k)] if curve.k in curve.steps else None
    if at is not None:
        axes.plot([curve.k], [at], "o", color=ACCENT, markersize=5)
    low = min(0.0, *curve.share, *curve.low)
    axes.set(xscale="log", xlim=(1, max(curve.steps[-1], 2)), ylim=(max(low, -1.0) - 0.03, 1.05))
    axes.set_xlabel("inputs", fontsize=7.5, labelpad=1)
    ticks = sorted({1, curve.k, curve.steps[-1]})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.tick_params(labelsize=7, colors=SOFT, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("explained (R²)", fontsize=8, loc="left", color=INK)
    axes.legend(fontsize=6.5, frameon=False, loc="upper left", handlelength=1.4, borderaxespad=0.1)

"""Figures with axes: matplotlib in the house's own colours, the same bytes for the same numbers."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from micrographia.errors import BadValue
from micrographia.publish.draw import COOL, GROUND, WARM

PAPER, INK, SOFT, LINE, ACCENT = "#fbfaf7", "#1d1c1a", "#66625a", "#e2ded4", "#1f6458"
SERIES = ("#1f6458", "#d64520", "#2678c4", "#b8860b", "#7a4f9a", "#5a5a55", "#c2558f", "#3f8f3f")
"""Colours of lines and marks, in order; told apart with any colour vision for the first five."""
FORMATS = ("png", "svg", "pdf")

STYLE: Any = {
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": "#ffffff",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "grid.color": LINE,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "svg.hashsalt": "micrographia",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (6.4, 4.0), **grid: Any) -> tuple[Figure, Any]:
    """A figure of `size` inches and its axes (rows, columns), drawn without a screen and without global state.

    More words go to `Figure.subplots` (sharex, width_ratios, subplot_kw, ...). The axes are always a matrix.

    >>> fig, axes = figure(1, 2)
    >>> axes.shape
    (1, 2)
    """
    with mpl.rc_context({**STYLE, "axes.prop_cycle": cycler(color=SERIES)}):
        fig = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(fig)
        return fig, fig.subplots(rows, columns, squeeze=False, **grid)


def encoded(fig: Figure, kind: str = "png", dpi: int = 160) -> bytes:
    """The figure as a PNG, SVG or PDF file; no date in it, so that the same figure has the same bytes.

    Raises BadValue for another kind.
    """
    if kind not in FORMATS:
        raise BadValue(f"A figure cannot be written as '{kind}'. Choose {', '.join(FORMATS)}.")
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    out = io.BytesIO()
    with mpl.rc_context(STYLE):
        fig.savefig(out, format=kind, dpi=dpi, metadata=metadata)
    return out.getvalue()


def signed_map() -> Any:
    """The colour map of signed numbers, as everywhere in the package: blue below zero, paper at zero, warm above."""
    ends = [np.array(colour) / 255 for colour in (COOL, GROUND, WARM)]
    return LinearSegmentedColormap.from_list("signed", ends, N=511)

"""A circuit drawn: layers as columns, pictures as nodes, warm edges excite and cool ones inhibit, wide ones matter.

Beside it stands what it is worth: faithfulness against size with its controls, and the verdict in words.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from micrographia.publish.draw import COOL, WARM, Tile
from micrographia.publish.plot import ACCENT, INK, LINE, SERIES, SOFT, figure

_WARM, _COOL = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in (WARM, COOL))
_COLUMN, _ROW = 2.0, 0.78  # inches between columns and rows
_TILE = 0.62  # inches of a picture; the target's is twice as large
_SWEEPS = 8


def order(document: Mapping[str, Any]) -> list[list[str]]:
    """The nodes of each layer from top to bottom, so that few edges cross: each near what it is joined to.

    >>> order({"layers": ["a"], "nodes": [{"id": "a:1", "layer": "a"}], "edges": []})
    [['a:1']]
    """
    columns = [[node["id"] for node in document["nodes"] if node["layer"] == layer] for layer in document["layers"]]
    joined: dict[str, list[tuple[str, float]]] = {node["id"]: [] for node in document["nodes"]}
    for edge in document["edges"]:
        size = abs(_value(edge)) + 1e-12
        joined[edge["source"]].append((edge["target"], size))
        joined[edge["target"]].append((edge["source"], size))
    place = {name: (i + 0.5) / len(column) for column in columns for i, name in enumerate(column)}
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 else columns[::-1]:
            wanted = {
                name: np.average([place[other] for other, _ in joined[name]], weights=[w for _, w in joined[name]])
                if joined[name]
                else place[name]
                for name in column
            }
            column.sort(key=lambda name: (wanted[name], name))
            place.update({name: (i + 0.5) / len(column) for i, name in enumerate(column)})
    return columns


def draw_circuit(
    document: Mapping[str, Any], pictures: Mapping[str, Tile] | None = None, words: Sequence[str] = ()
) -> Figure:
    """A circuit's document as a figure; `pictures` of nodes by id, `words` below.

    An edge whose interval holds zero is drawn pale; the width of every other is its effect. Encode with `plot.encoded`.

    >>> encoded(draw_circuit(circuit.to_json()), "svg")  # doctest: +SKIP
    """
    columns = order(document)
    rows = max(len(column) for column in columns)
    height = max(3.6, rows * _ROW + 0.9)
    across = len(columns) * _COLUMN
    curve = document["scores"].get("curve")
    panel = 3.6 if curve else 0.0
    foot = 0.2 + 0.18 * sum(len(_wrapped(line, across + panel)) for line in words)
    fig, axes = figure(
        1, 2 if curve else 1, (across + panel, height + foot), width_ratios=[across, panel] if curve else [1]
    )
    fig.set_layout_engine("none")
    total = height + foot
    main = axes[0, 0]
    main.set_position([0, foot / total, across / (across + panel), height / total])
    main.set_xlim(0, across)
    main.set_ylim(0, height)
    main.axis("off")
    places = {
        name: ((x + 0.5) * _COLUMN, (height - 0.55) * (1 - (y + 0.5) / len(column)))
        for x, column in enumerate(columns)
        for y, name in enumerate(column)
    }
    sizes = {name: _TILE * (2 if name == document["target"] else 1) for name in places}
    _edges(main, document, places, sizes)
    for column, layer in enumerate(document["layers"]):
        main.text((column + 0.5) * _COLUMN, height - 0.22, layer, ha="center", va="center", weight="bold", color=INK)
    for name, (x, y) in places.items():
        _node(main, name, x, y, sizes[name], (pictures or {}).get(name))
    if curve:
        _curve(axes[0, 1], document["scores"], across, total, panel)
    line = foot - 0.16
    for text in words:
        for part in _wrapped(text, across + panel):
            fig.text(0.15 / (across + panel), line / total, part, va="center", color=INK, size=8.5)
            line -= 0.18
    return fig


def _wrapped(text: str, inches: float) -> list[str]:
    return textwrap.wrap(text, max(40, int(inches * 14.5)))


def _value(edge: Mapping[str, Any]) -> float:
    return float(edge["attribution"] if edge["effect"] is None else edge["effect"]["value"])


def _edges(
    axes: Any, document: Mapping[str, Any], places: Mapping[str, tuple[float, float]], sizes: Mapping[str, float]
) -> None:
    largest = max((abs(_value(edge)) for edge in document["edges"]), default=1.0) or 1.0
    for edge in sorted(document["edges"], key=lambda each: abs(_value(each))):
        (x0, y0), (x1, y1) = places[edge["source"]], places[edge["target"]]
        x0, x1 = x0 + sizes[edge["source"]] / 2, x1 - sizes[edge["target"]] / 2
        bend = (x1 - x0) / 2
        path = Path(
            [(x0, y0), (x0 + bend, y0), (x1 - bend, y1), (x1, y1)], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
        )
        effect = edge["effect"]
        sure = effect is None or effect["low"] > 0 or effect["high"] < 0
        axes.add_patch(
            PathPatch(
                path, fill=False, edgecolor=_WARM if _value(edge) >= 0 else _COOL, alpha=0.85 if sure else 0.3,
                linewidth=0.6 + 6 * abs(_value(edge)) / largest, linestyle="-" if sure else (0, (2, 1.5)),
                capstyle="butt", zorder=1,
            )
        )  # fmt: skip


def _node(axes: Any, name: str, x: float, y: float, size: float, picture: Tile | None) -> None:
    half = size / 2
    box = (x - half, x + half, y - half, y + half)
    if picture is not None:
        axes.imshow(picture, extent=box, interpolation="bilinear", aspect="auto", zorder=2)
    axes.add_patch(
        Rectangle((box[0], box[2]), size, size, facecolor="#ffffff" if picture is None else "none", edgecolor=SOFT,
                  linewidth=0.8, zorder=2 if picture is None else 3)
    )  # fmt: skip
    label = name.rpartition(":")[2]
    if picture is None:
        axes.text(x, y, label, ha="center", va="center", size=8, color=INK, zorder=4)
    else:
        axes.text(x, y - half - 0.02, label, ha="center", va="top", size=7, color=INK, zorder=4,
                  bbox={"facecolor": "#fbfaf7", "edgecolor": "none", "pad": 0.4, "alpha": 0.85})  # fmt: skip


def _curve(axes: Any, scores: Mapping[str, Any], left: float, top: float, width: float) -> None:
    """The panel of the curve, in inches from the left and the top of the figure."""
    whole = left + width
    tall = min(2.6, top - 1.9)
    axes.set_position([(left + 0.5) / whole, (top - 0.5 - tall) / top, (width - 0.75) / whole, tall / top])
    points = scores["curve"]
    sizes = [point["size"] for point in points]
    names = (("faithfulness", "this circuit", SERIES[0], "o"), ("magnitude", "largest weights", SERIES[4], "s"),
             ("random", "random circuits", SERIES[5], "^"))  # fmt: skip
    lowest = -0.5
    for key, label, colour, mark in names:
        heights = np.maximum([point[key] for point in points], lowest)
        axes.plot(sizes, heights, marker=mark, ms=3.5, color=colour, label=label)
    axes.axhline(1, color=LINE, lw=1, zorder=0)
    axes.axhline(0, color=LINE, lw=1, zorder=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(min(-0.05, *(max(lowest, point[key]) - 0.05 for point in points for key, *_ in names)), 1.05)
    axes.set_xlabel("size", size=9, color=INK)
    axes.tick_params(labelsize=8, colors=SOFT)
    axes.set_title("faithfulness", loc="left", size=10, weight="bold", color=INK)
    verdict = "supported" if scores["supported"] else "unsupported"
    colour = ACCENT if scores["supported"] else _WARM
    axes.set_title(verdict, loc="right", size=10, weight="bold", color=colour)
    marks = [
        Line2D([], [], color=_WARM, lw=3), Line2D([], [], color=_COOL, lw=3),
        Line2D([], [], color=SOFT, lw=1.5, linestyle=(0, (2, 1.5))),
    ]  # fmt: skip
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        [*handles, *marks], [*labels, "edge excites", "edge inhibits", "interval holds 0"], loc="upper left",
        bbox_to_anchor=(-0.14, -0.16), ncols=2, columnspacing=1.2, handlelength=1.6, frameon=False, fontsize=8,
    )  # fmt: skip

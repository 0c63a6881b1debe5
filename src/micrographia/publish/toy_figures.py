"""Figures of the later toy experiments: curves over density, neurons as stacked bars, hidden points in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from micrographia.publish.plot import ACCENT, INK, LINE, SERIES, SOFT, encoded, figure, signed_map

Curve = tuple[str, Float[np.ndarray, " point"]]
FEATURES = (*SERIES, "#2a9d9d", "#8c6d46", "#a0b04c", "#4a4a8f")
"""Colours of up to twelve features."""
SLIVER = 0.02


def vulnerability(
    features_per_dimension: Float[np.ndarray, " model"],
    density: Float[np.ndarray, " model"],
    each: Float[np.ndarray, " model"],
    one: Float[np.ndarray, " model"],
    counted: Bool[np.ndarray, " model"],
) -> bytes:
    """How easily models are fooled, over density and over features per dimension, as PNG; hollow marks: saturated."""
    fig, axes = figure(1, 2, (7.4, 3.2))
    left, right = axes[0]
    left.plot(1 / density, each, "o-", markersize=3.5, label="worst attack on each input")
    left.plot(1 / density, one, "s-", markersize=3.5, label="one attack for all inputs")
    left.plot(1 / density, features_per_dimension, "--", color=SOFT, label="features per dimension")
    left.set(xscale="log", yscale="log", xlabel="1 / density")
    _title(left, "Vulnerability")
    _plain(left.xaxis, (1, 2, 5, 10, 20))
    _plain(left.yaxis, (1, 2, 5, 10, 20))
    left.legend(frameon=False, fontsize=8)
    for values, colour, mark in ((each, SERIES[0], "o"), (one, SERIES[1], "s")):
        right.plot(features_per_dimension[counted], values[counted], mark, color=colour, markersize=4.5)
        right.plot(features_per_dimension[~counted], values[~counted], mark, color=colour, markersize=4.5, mfc="none")
    right.set(xlabel="features per dimension, 1 / D*", ylim=(0, None))
    _title(right, "Vulnerability over superposition")
    return encoded(fig)


def stacks(
    weights: Sequence[Float[np.ndarray, "neuron feature"]],
    meanings: Sequence[Sequence[int]],
    titles: Sequence[str],
    columns: int = 3,
    named: bool = True,
) -> bytes:
    """Neurons as stacked bars of their weights' sizes, negative ones below the axis, as PNG.

    Colour is the feature (`named`: a legend tells which); a neuron that means several has a tinted ground.
    """
    rows = -(-len(weights) // columns)
    fig, axes = figure(rows, columns, (3.0 * columns, 1.9 * rows + 0.4), sharey=named)
    for at, axis in enumerate(axes.flat):
        if at >= len(weights):
            axis.set_axis_off()
            continue
        # slivers cost time and cannot be seen
        table = np.where(np.abs(weights[at]) > SLIVER * np.abs(weights[at]).max(), weights[at], 0.0)
        count = table.shape[1]
        for neuron, meant in enumerate(meanings[at]):
            if meant > 1:
                axis.axvspan(neuron - 0.5, neuron + 0.5, color="#f3e6d2", linewidth=0, zorder=0)
        up, down = np.zeros(len(table)), np.zeros(len(table))
        for i in range(count):
            height, shown = table[:, i], _colour(i, count)
            for part, base in ((np.maximum(height, 0), up), (np.minimum(height, 0), down)):
                seen = np.flatnonzero(part)
                axis.bar(seen, part[seen], 0.8, base[seen], color=shown, linewidth=0)
            up, down = up + np.maximum(height, 0), down + np.minimum(height, 0)
        axis.axhline(0, color=INK, linewidth=0.7)
        axis.set(xlim=(-0.6, len(table) - 0.4), xticks=[])
        axis.set_title(titles[at], fontsize=8.5, fontweight="normal")
    if named:
        labels = [str(i) for i in range(weights[0].shape[1])]
        handles = [Patch(color=_colour(i, len(labels))) for i in range(len(labels))]
        fig.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=len(labels),
            title="feature",
            handlelength=1,
            frameon=False,
            fontsize=8,
        )
    return encoded(fig)


def sweeps(
    density: Sequence[float],
    losses: Sequence[Curve],
    monosemantic: Sequence[Curve],
    neurons: int,
) -> bytes:
    """Loss and the number of monosemantic neurons of the ways to train, over density, as PNG."""
    fig, axes = figure(1, 2, (7.4, 3.0))
    for at, ((name, loss), (_, mono)) in enumerate(zip(losses, monosemantic, strict=True)):
        axes[0, 0].plot(density, loss, "os^"[at] + "-", markersize=4, label=name)
        axes[0, 1].plot(density, mono, "os^"[at] + "-", markersize=4, label=name)
    for axis in axes[0]:
        axis.set(xscale="log", xlabel="density", xlim=(1.3, min(density) / 1.3))
        _plain(axis.xaxis, density)
    axes[0, 0].set(yscale="log")
    _title(axes[0, 0], "Loss")
    axes[0, 1].set(ylim=(-0.03 * neurons, 1.03 * neurons))
    _title(axes[0, 1], f"Monosemantic neurons of {neurons}")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return encoded(fig)


def descent(
    points: Sequence[int],
    train: Float[np.ndarray, " set"],
    test: Float[np.ndarray, " set"],
    point_dimensions: Sequence[Float[np.ndarray, " _point"]],
    feature_dimensions: Float[np.ndarray, "set feature"],
    hidden: Sequence[Float[np.ndarray, "_point 2"]],
    weights: Float[np.ndarray, "set 2 feature"],
    shown: Sequence[int],
) -> bytes:
    """Losses and dimensionalities over the number of points; below, points' vectors and features' columns; as PNG."""
    fig, axes = figure(3, len(shown), (1.75 * len(shown), 6.2), height_ratios=(1.5, 1, 1))
    grid = axes[0, 0].get_gridspec()
    for axis in axes[0]:
        axis.remove()
    half = len(shown) // 2
    left, right = fig.add_subplot(grid[0, :half]), fig.add_subplot(grid[0, half:])
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.set(xscale="log", xlabel="points in the training set, T")
        _plain(axis.xaxis, [10**k for k in range(6) if points[0] <= 10**k <= points[-1]])
    left.plot(points, train, "o-", color=SERIES[0], markersize=3.5, label="training data")
    left.plot(points, test, "s-", color=SERIES[1], markersize=3.5, label="new data")
    _title(left, "Loss")
    left.legend(frameon=False, fontsize=8)
    for at, (of_points, of_features) in enumerate(zip(point_dimensions, feature_dimensions, strict=True)):
        some = np.sort(of_points)[:: -max(1, len(of_points) // 300)]
        right.plot(np.full(len(some), points[at]) / 1.05, some, ".", color=SERIES[1], markersize=3, alpha=0.5)
        right.plot(
            np.full(len(of_features), points[at]) * 1.05, of_features, ".", color=ACCENT, markersize=3, alpha=0.5
        )
    right.axhline(0.4, color=LINE, zorder=0)
    _title(right, "Dimensionality")
    right.plot([], [], "o", color=SERIES[1], markersize=4, label="a point")
    right.plot([], [], "o", color=ACCENT, markersize=4, label="a feature")
    right.legend(frameon=False, fontsize=8)
    for column, at in enumerate(shown):
        for row, (vectors, colour) in enumerate(((hidden[at][:1500], SERIES[1]), (weights[at].T, ACCENT))):
            axis = axes[row + 1, column]
            limit = 1.1 * float(np.abs(vectors).max())
            lines = np.stack([np.zeros_like(vectors), vectors, np.full_like(vectors, np.nan)], 1).reshape(-1, 2)
            axis.plot(*lines.T, color=colour, linewidth=0.6, alpha=0.35)
            axis.plot(*vectors.T, ".", color=colour, markersize=3)
            axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if column == 0:
                axis.set_ylabel("points" if row == 0 else "features")
        axes[1, column].set_title(f"T = {points[at]}", fontsize=8.5, fontweight="normal", loc="center")
    return encoded(fig)


def recoveries(
    density: Sequence[float],
    penalties: Sequence[float],
    cosine: Float[np.ndarray, "density penalty"],
    found: Float[np.ndarray, "density penalty"],
    random: Float[np.ndarray, "density 2"],
    data: Float[np.ndarray, "density 2"],
) -> bytes:
    """How well autoencoders find the features, over density, one line for each penalty; nulls in grey, as PNG."""
    fig, axes = figure(1, 2, (7.6, 3.2), sharex=True)
    for axis, values, which, title in (
        (axes[0, 0], cosine, 0, "Mean cosine with the true features"),
        (axes[0, 1], found, 1, "Share of features found"),
    ):
        for at, penalty in enumerate(penalties):
            axis.plot(density, values[:, at], "o-", color=SERIES[at % len(SERIES)], markersize=4, label=f"{penalty:g}")
        axis.plot(density, data[:, which], "--", color=INK, linewidth=1.2, label="vectors of the data")
        axis.plot(density, random[:, which], ":", color=INK, linewidth=1.2, label="random directions")
        axis.set(xscale="log", xlabel="density", xlim=(1.2 * max(density), min(density) / 1.2), ylim=(-0.02, 1.03))
        _title(axis, title)
        _plain(axis.xaxis, density)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside right center", title="penalty, null (95 %)", frameon=False, fontsize=8)
    return encoded(fig)


def kernels(
    density: Sequence[float],
    sizes: Sequence[int],
    loss: Float[np.ndarray, "size density"],
    represented: Float[np.ndarray, "size density"],
    overlap: Float[np.ndarray, "size density"],
    examples: Float[np.ndarray, "feature hidden tall wide"],
    example: str,
) -> bytes:
    """Loss over kernel 1's, features held and largest overlaps by kernel size; below, one model's codes; as PNG."""
    count = min(6, len(examples))
    channels = examples.shape[1]
    fig = figure(1, 1, (7.6, 2.9 + 0.62 * channels))[0]
    fig.clear()
    parts: Any = fig.subfigures(2, 1, height_ratios=(2.7, 0.62 * channels + 0.35))
    upper, lower = parts
    for part in (upper, lower):
        part.set_facecolor("none")
    top = upper.subplots(1, 3)
    for at, size in enumerate(sizes):
        for axis, values in zip(top, (loss[at] / loss[0], represented[at], overlap[at]), strict=True):
            axis.plot(density, values, "o-", color=SERIES[at], markersize=3.5, label=f"{size} x {size}")
    for axis, title in zip(top, ("Loss, over kernel 1 x 1", "Features represented", "Largest overlap"), strict=True):
        axis.spines[["top", "right"]].set_visible(False)
        axis.set(xscale="log", xlabel="density in space", xlim=(1.2 * max(density), min(density) / 1.2), ylim=(0, None))
        _title(axis, title)
        _plain(axis.xaxis, density)
        axis.tick_params("x", labelsize=7)
    top[0].legend(frameon=False, fontsize=8)
    cells = lower.subplots(channels, count, squeeze=False)
    limit = float(np.abs(examples).max())
    for feature in range(count):
        for channel in range(channels):
            axis = cells[channel, feature]
            axis.imshow(examples[feature, channel], cmap=signed_map(), vmin=-limit, vmax=limit)
            axis.set(xticks=[], yticks=[])
        cells[0, feature].set_title(f"feature {feature}", fontsize=8, fontweight="normal", loc="center")
    for channel in range(channels):
        cells[channel, 0].set_ylabel(f"channel {channel}", fontsize=8, rotation=0, ha="right", va="center")
    lower.suptitle(example, fontsize=9, x=0.01, ha="left", fontweight="bold")
    return encoded(fig)


def layers(
    names: Sequence[str],
    measures: Sequence[tuple[str, Float[np.ndarray, " layer"], Float[np.ndarray, "layer null"]]],
) -> bytes:
    """Each measure over a network's layers, with its nulls as grey marks, one panel below the other, as PNG."""
    fig, axes = figure(len(measures), 1, (max(4.5, 0.5 * len(names) + 2), 1.75 * len(measures) + 0.5), sharex=True)
    at = np.arange(len(names))
    for axis, (title, own, null) in zip(axes[:, 0], measures, strict=True):
        for trial in null.T:
            axis.plot(at, trial, "_", color=SOFT, markersize=12, markeredgewidth=1.6)
        axis.plot(at, own, "o-", color=ACCENT, markersize=4.5)
        axis.set(ylim=(0, None), xlim=(-0.5, len(names) - 0.5))
        _title(axis, title)
    axes[-1, 0].set_xticks(at, names, rotation=40, ha="right")
    axes[0, 0].plot([], [], "o-", color=ACCENT, markersize=4.5, label="network")
    axes[0, 0].plot([], [], "_", color=SOFT, markersize=12, markeredgewidth=1.6, label="units dealt out anew")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return encoded(fig)


def _title(axis: Any, text: str) -> None:
    axis.set_title(text, loc="left", fontsize=9.5, fontweight="bold")


def _colour(feature: int, count: int) -> Any:
    if count <= len(FEATURES):
        return FEATURES[feature]
    # too many to tell apart: from the most to the least important
    shade = feature / count
    return (0.09 + 0.75 * shade, 0.36 + 0.45 * shade, 0.32 + 0.4 * shade)


def _plain(axis: Any, ticks: Sequence[float | int]) -> None:
    """Ticks at the given places of a logarithmic axis, as plain numbers."""
    axis.set_major_locator(FixedLocator([float(each) for each in ticks]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

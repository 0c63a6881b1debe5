"""Figures of the toy models: arrows, Gram matrices, phase maps, geometry over sparsity, and learning over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.patches import Circle, Patch, Rectangle

from micrographia.publish.plot import ACCENT, INK, LINE, SERIES, SOFT, encoded, figure, signed_map

STATES = ("#f1efe9", "#d64520", "#1f6458")
"""Colours of a feature that is not learned, in superposition, and of one with a dimension of its own."""
MIXED = LinearSegmentedColormap.from_list("mixed", ["#1f6458", "#8a9a4a", "#d6a23a", "#d64520"])
"""From orthogonal to fully shared."""


def weights_in_the_plane(
    weights: Float[np.ndarray, "panel 2 feature"],
    titles: Sequence[str],
    importance: Float[np.ndarray, " feature"] | None = None,
    columns: int = 4,
    groups: Sequence[int] = (),
) -> bytes:
    """Every feature as an arrow, one panel for each model, as PNG; colour is importance, or the set it belongs to."""
    rows = -(-len(weights) // columns)
    fig, axes = figure(rows, columns, (1.75 * columns, 1.95 * rows), sharex=True, sharey=True)
    limit = max(1.25, 1.08 * float(np.abs(weights).max()))
    shade = LinearSegmentedColormap.from_list("importance", ["#c9d8a0", "#3a9a7d", "#12443c"])
    for at, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if at >= len(weights):
            continue
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axis.add_patch(Circle((0, 0), 1, fill=False, edgecolor=LINE, linewidth=0.9, zorder=1))
        for i, (x, y) in enumerate(weights[at].T):
            weight = 1.0 if importance is None else float(importance[i] / importance.max())
            colour = SERIES[groups[i] % len(SERIES)] if groups else shade(0.15 + 0.85 * weight)
            axis.plot([0, x], [0, y], color=colour, linewidth=1.8, solid_capstyle="round", zorder=3)
            axis.plot([x], [y], "o", color=colour, markersize=4.5, zorder=4)
        axis.set_title(titles[at], fontsize=8.5, fontweight="normal", loc="center")
    return encoded(fig)


def _title(axis: Any, text: str) -> None:
    axis.set_title(text, loc="left", fontsize=9.5, fontweight="bold")


def models(
    weights: Float[np.ndarray, "model hidden feature"],
    bias: Float[np.ndarray, "model feature"],
    norms: Float[np.ndarray, "model feature"],
    mixed: Float[np.ndarray, "model feature"],
    titles: Sequence[str],
) -> bytes:
    """W^T W and b on the signed scale from -1 to 1, and norms coloured by interference, one column each, as PNG."""
    count = len(weights)
    fig, axes = figure(2, count, (1.32 * count + 0.9, 3.7), height_ratios=(1, 1.1))
    colours, signed, n = Normalize(0, 1), signed_map(), weights.shape[2]
    for at in range(count):
        top, below = axes[:, at]
        # the bias stands beside W^T W, with a gap of one column or two
        gap = max(1, n // 20)
        sheet = np.full((n, n + gap + gap), np.nan)
        sheet[:, :n] = weights[at].T @ weights[at]
        sheet[:, n + gap :] = bias[at][:, None]
        top.imshow(sheet, cmap=signed, vmin=-1, vmax=1, interpolation="nearest")
        top.set_title(titles[at], fontsize=8.5, fontweight="normal", loc="center")
        top.set_axis_off()
        top.add_patch(Rectangle((-0.5, -0.5), n, n, fill=False, edgecolor=LINE, linewidth=0.8))
        below.barh(np.arange(n), norms[at], height=1.0 if n > 40 else 0.85, color=MIXED(colours(mixed[at])))
        below.set(ylim=(n - 0.5, -0.5), xlim=(0, 1.35), yticks=[], xticks=[0, 1])
        below.spines["left"].set_visible(at == 0)
    gram_scale = ScalarMappable(Normalize(-1, 1), signed)
    fig.colorbar(gram_scale, ax=axes[0].tolist(), shrink=0.85, ticks=[-1, 0, 1], pad=0.01).set_label("W'W, b")
    shared = ScalarMappable(colours, MIXED)
    fig.colorbar(shared, ax=axes[1].tolist(), shrink=0.85, ticks=[0, 1], pad=0.01).set_label("interference")
    axes[1, 0].set_ylabel("feature (norm)")
    return encoded(fig)


def phase(
    density: Float[np.ndarray, " row"],
    importance: Float[np.ndarray, " column"],
    theory: Int[np.ndarray, "row column"],
    found: Int[np.ndarray, "row column"],
    norm: Float[np.ndarray, "row column"],
    colour: Float[np.ndarray, "row column"],
    band: Bool[np.ndarray, "row column"],
    names: Sequence[str],
) -> bytes:
    """Theory, experiment, and the paper's colours side by side over importance and density, as PNG.

    A dot marks a cell that differs from theory and does not lie in the band at its borders.
    """
    fig, axes = figure(1, 3, (8.6, 3.3), sharex=True, sharey=True)
    states = ListedColormap(list(STATES))
    x, y = _edges(importance), _edges(density)
    for axis, values, title in ((axes[0, 0], theory, "Theory"), (axes[0, 1], found, "Best of the restarts")):
        axis.pcolormesh(x, y, values, cmap=states, vmin=-0.5, vmax=2.5, rasterized=True)
        _title(axis, title)
    wrong = (theory != found) & ~band
    rows, columns = np.nonzero(wrong)
    axes[0, 1].plot(importance[columns], density[rows], ".", color=INK, markersize=3)
    third = axes[0, 2]
    paper = MIXED(np.clip(colour, 0, 1))
    seen = np.clip(norm, 0, 1)[..., None]
    paper[..., :3] = paper[..., :3] * seen + (1 - seen)
    third.pcolormesh(x, y, paper, rasterized=True)
    _title(third, "All but the worst, averaged")
    for axis in axes.flat:
        axis.set(xscale="log", yscale="log", xlabel="relative importance of the extra feature")
        axis.set(xlim=(x[0], x[-1]), ylim=(y.min(), y.max()))
    axes[0, 0].set_ylabel("density 1 - S")
    handles = [Patch(facecolor=c, edgecolor=LINE, label=name) for c, name in zip(STATES, names, strict=True)]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
    return encoded(fig)


def _edges(centres: Float[np.ndarray, " cell"]) -> Float[np.ndarray, " edge"]:
    """The borders of cells that are even on a log scale."""
    logs = np.log10(centres)
    half = (logs[1] - logs[0]) / 2
    return 10.0 ** np.append(logs - half, logs[-1] + half)


def geometry(
    density: Float[np.ndarray, " instance"],
    packed: Float[np.ndarray, " instance"],
    dimensions: Sequence[Float[np.ndarray, " _"]],
    lines: Mapping[str, float],
) -> bytes:
    """D* and every feature's dimensionality over 1 / density, with the fractions of exact polytopes, as PNG."""
    fig, axes = figure(2, 1, (8.0, 6.4), sharex=True, height_ratios=(1, 2))
    x = 1 / density
    top, below = axes[:, 0]
    top.axhline(1, color=LINE, zorder=0)
    top.axhline(0.5, color=LINE, zorder=0)
    top.plot(x, packed, "-o", markersize=3, color=ACCENT)
    top.set(xscale="log", ylabel="D* = m / |W|²", ylim=(0, 1.1))
    _title(top, "Dimensions per feature")
    step = np.diff(np.log(x)).mean()
    generator = np.random.default_rng(0)
    for at, own in enumerate(dimensions):
        jitter = np.exp(generator.uniform(-0.35, 0.35, len(own)) * step)
        below.plot(x[at] * jitter, own, ".", markersize=2.4, color=ACCENT, alpha=0.55, markeredgewidth=0)
    for name, value in lines.items():
        below.axhline(value, color=LINE, zorder=0)
        below.annotate(
            name, (1, value), xycoords=("axes fraction", "data"), xytext=(5, 0), textcoords="offset points",
            va="center" if name != "square antiprism" else "top", fontsize=8, color=SOFT,
        )  # fmt: skip
    below.set(ylabel="dimensionality $D_i$", xlabel="1 / (1 - S)", ylim=(-0.02, 1.02))
    _title(below, "Each feature's dimensionality")
    ticks = [1, 2, 3, 5, 10, 20, 50]
    below.set_xticks(ticks, [str(each) for each in ticks])
    below.minorticks_off()
    return encoded(fig)


def polytopes(plates: Sequence[tuple[str, Sequence[tuple[str, Float[np.ndarray, "vertex 2"], np.ndarray]]]]) -> bytes:
    """The groups of features of some models, one row each, every group seen along its main axes, as PNG.

    A plate is its title and its groups: a name, the vertices in the plane, and the Gram matrix, whose entries are the
    edges: warm where two features excite each other, cool where they inhibit.
    """
    columns = max(1, min(10, max(len(groups) for _, groups in plates)))
    fig, axes = figure(len(plates), columns, (1.2 * columns + 0.6, 1.5 * len(plates)))
    signed = signed_map()
    for row, (title, groups) in enumerate(plates):
        for column in range(columns):
            axis = axes[row, column]
            axis.set_axis_off()
            if column >= len(groups):
                continue
            name, points, gram = groups[column]
            axis.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35), aspect="equal")
            pairs = [(i, j) for i in range(len(points)) for j in range(i) if abs(gram[i, j]) > 0.05]
            colours = signed(0.5 + 0.5 * np.clip([gram[i, j] for i, j in pairs], -1, 1)) if pairs else []
            segments = [points[[i, j]] for i, j in pairs]
            axis.add_collection(LineCollection(segments, colors=colours, linewidths=1.1))
            axis.plot(*points.T, "o", color=INK, markersize=3)
            axis.text(0, -1.45, name, ha="center", va="top", fontsize=7.5, color=SOFT)
        axes[row, 0].text(-1.3, 1.5, title, fontsize=8.5, va="bottom", fontweight="bold")
    return encoded(fig)


def uneven(
    relative: Float[np.ndarray, " instance"],
    loss: Float[np.ndarray, "instance restart"],
    kept: Int[np.ndarray, "instance restart"],
    crossing: float | None,
) -> bytes:
    """The losses of all restarts over one feature's relative density, by how many features they keep, as PNG."""
    fig, axes = figure(1, 1, (6.4, 3.4))
    axis = axes[0, 0]
    generator = np.random.default_rng(0)
    spread = np.broadcast_to(relative[:, None], loss.shape) * np.exp(generator.uniform(-0.03, 0.03, loss.shape))
    for count, name, colour in ((5, "five features (pentagon)", ACCENT), (4, "four (two pairs)", SERIES[1])):
        of = kept == count
        axis.plot(spread[of], 1e3 * loss[of], ".", markersize=4, alpha=0.5, color=colour, markeredgewidth=0)
        lowest = np.where(of, loss, np.inf).min(1)
        there = np.isfinite(lowest)
        axis.plot(relative[there], 1e3 * lowest[there], color=colour, linewidth=1.2, label=name)
    if crossing is not None:
        axis.axvline(crossing, color=SOFT, linewidth=0.8, linestyle=(0, (3, 3)))
        axis.annotate(f" {crossing:.2f}", (crossing, axis.get_ylim()[1]), va="top", fontsize=8, color=SOFT)
    axis.set(xscale="log", xlabel="density of one feature, relative to the others", ylabel="loss, thousandths")
    ticks = [each for each in (0.15, 0.25, 0.5, 1, 2, 4) if relative.min() <= each <= relative.max()]
    axis.set_xticks(ticks, [f"{each:g}" for each in ticks])
    axis.minorticks_off()
    axis.legend(frameon=False, fontsize=8)
    return encoded(fig)


def gram(weights: Float[np.ndarray, "hidden feature"], breaks: Sequence[int] = ()) -> bytes:
    """W^T W on the signed scale from -1 to 1, with lines between sets of features, as PNG."""
    fig, axes = figure(1, 1, (3.6, 3.1))
    axis = axes[0, 0]
    picture = axis.imshow(weights.T @ weights, cmap=signed_map(), vmin=-1, vmax=1, interpolation="nearest")
    for each in breaks:
        axis.axhline(each - 0.5, color=SOFT, linewidth=0.8)
        axis.axvline(each - 0.5, color=SOFT, linewidth=0.8)
    axis.set(xticks=[], yticks=[], xlabel="feature", ylabel="feature")
    fig.colorbar(picture, ticks=[-1, 0, 1], shrink=0.8).set_label("W'W")
    return encoded(fig)


def levels(
    steps: Int[np.ndarray, " time"], dimensions: Float[np.ndarray, "time feature"], loss: Float[np.ndarray, " time"]
) -> bytes:
    """Every feature's dimensionality over the steps of training, above the loss, as PNG."""
    fig, axes = figure(2, 1, (7.2, 5.0), sharex=True, height_ratios=(2, 1))
    top, below = axes[:, 0]
    top.axhline(0.5, color=LINE, zorder=0)
    shade = LinearSegmentedColormap.from_list("lines", [SERIES[0], SERIES[2], SERIES[4], SERIES[3], SERIES[1]])
    for i, line in enumerate(dimensions.T):
        top.plot(steps, line, linewidth=0.9, alpha=0.85, color=shade(i / max(1, dimensions.shape[1] - 1)))
    top.set(ylabel="dimensionality $D_i$", ylim=(-0.02, 1.02))
    below.plot(steps, loss, color=INK, linewidth=1.2)
    below.set(yscale="log", xlabel="step", ylabel="loss")
    below.set_xscale("symlog", linthresh=max(10.0, float(steps[-1]) / 200))
    below.set_xlim(0, float(steps[-1]))
    return encoded(fig)

"""An activation atlas: a layer's activations over many pictures, averaged where they are alike, each average an icon.

Carter, Armstrong, Schubert, Johnson and Olah, "Exploring Neural Networks with Activation Atlases", 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from micrographia.errors import BadImages, BadValue
from micrographia.model.capture import capture
from micrographia.model.graph import LayerGraph
from micrographia.optvis.likeness import SIDE, icons

RIDGE = 0.1  # of the mean square of a channel
Layout = Callable[[Float[np.ndarray, "sample channel"]], Float[np.ndarray, "sample 2"]]


@dataclass(frozen=True, eq=False)
class Atlas:
    """The cells of an atlas that hold anything: row and column of a `side` x `side` field, samples, mean, icon."""

    layer: str
    side: int
    places: Int[np.ndarray, "cell 2"]
    counts: Int[np.ndarray, " cell"]
    means: Float[np.ndarray, "cell channel"]
    icons: Float[np.ndarray, "cell height width 3"]

    def picture(self) -> Float[np.ndarray, "tall wide 3"]:
        """The field, white where nothing is."""
        px = self.icons.shape[1]
        field = np.ones((self.side * px, self.side * px, 3))
        for (row, column), icon in zip(self.places, self.icons, strict=True):
            field[row * px : (row + 1) * px, column * px : (column + 1) * px] = icon
        return field

    def to_json(self) -> dict[str, Any]:
        """Where each cell's icon lies in the picture, and how many activations it stands for."""
        cells = zip(self.places.tolist(), self.counts.tolist(), strict=True)
        px = int(self.icons.shape[1])
        return {"layer": self.layer, "side": self.side, "px": px, "cells": [{"place": p, "count": c} for p, c in cells]}


def samples(
    graph: LayerGraph,
    batches: Iterable[tuple[Int[np.ndarray, " _"], UInt8[np.ndarray, "_ _ _ _"]]],
    layer: str,
    seed: int = 0,
) -> Float[np.ndarray, "sample channel"]:
    """The activations of a layer at one random cell of each picture, without the cells at its edges where it has more.

    Raises BadImages for no pictures.

    >>> samples(graph, batches(source, 256, (224, 224), 32), "mixed4a").shape  # doctest: +SKIP
    (1000, 508)
    """
    name = graph.layer(layer).name
    rng = np.random.default_rng(seed)
    found = []
    for _, pictures in batches:
        values = capture(graph, torch.from_numpy(pictures).float() / 255, name)[name].double().numpy()
        if values.ndim == 4:
            spans = [(1, n - 1) if n > 2 else (0, n) for n in values.shape[2:]]
            rows, columns = (rng.integers(low, high, len(values)) for low, high in spans)
            values = values[np.arange(len(values)), :, rows, columns]
        found.append(values)
    if not found:
        raise BadImages("There are no pictures to make an atlas of. Give a source with at least one.")
    return np.concatenate(found)


def principal(values: Float[np.ndarray, "sample channel"]) -> Float[np.ndarray, "sample 2"]:
    """The two principal components; of each the sign that makes its largest weight positive.

    >>> principal(np.array([[0.0, 0], [1, 0], [2, 1]])).shape
    (3, 2)
    """
    centred = values - values.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] if len(axes) > 1 else np.concatenate([axes, np.zeros_like(axes)])
    largest = np.abs(axes).argmax(1)
    axes = axes * np.where(axes[np.arange(2), largest] < 0, -1, 1)[:, None]
    found: np.ndarray = centred @ axes.T
    return found


def binned(places: Float[np.ndarray, "sample 2"], side: int, spread: float = 2.0) -> Int[np.ndarray, "sample 2"]:
    """Row and column of each place on a `side` x `side` field of `spread` deviations each way; beyond it, its edge.

    >>> binned(np.array([[-1.0, 0.0], [1.0, 0.0]]), 4).tolist()
    [[2, 1], [2, 3]]
    """
    scale = np.where(places.std(0) > 0, places.std(0), 1.0) * spread
    unit = (places - places.mean(0)) / scale  # -1 to 1 on the field
    cells = np.clip(np.floor((unit + 1) / 2 * side), 0, side - 1).astype(np.int64)
    return np.stack([cells[:, 1], cells[:, 0]], 1)


def whitened(
    means: Float[np.ndarray, "cell channel"], values: Float[np.ndarray, "sample channel"], ridge: float
) -> Float[np.ndarray, "cell channel"]:
    """What sets each mean apart: times the inverse of the samples' second moments plus a ridge.

    Channels that are active in nearly every sample would else be seen in every icon. `ridge` is a share of the mean of
    the channels' mean squares. The article of atlases makes its icons so ("Exploring Neural Networks with Activation
    Atlases", 2019, its notebooks).

    >>> whitened(np.array([[2.0, 1.0]]), np.array([[2.0, 0.0], [0.0, 1.0]]), 0.0).round(3)
    array([[1., 2.]])
    """
    moments = values.T @ values / len(values)
    moments = moments + ridge * np.trace(moments) / len(moments) * np.eye(len(moments))
    found: np.ndarray = np.linalg.lstsq(moments, means.T)[0].T
    return found


def atlas(
    graph: LayerGraph,
    layer: str,
    values: Float[np.ndarray, "sample channel"],
    *,
    side: int = 10,
    least: int = 2,
    layout: Layout = principal,
    ridge: float | None = RIDGE,
    icon: int = SIDE,
    **options: Any,
) -> Atlas:
    """Lay activations out on a plane, average each cell of a field over it that holds at least `least`, and draw it.

    `layout` gives each sample its place, principal components by default (deterministic; any other will do). Icons show
    the means `whitened` with this `ridge`, or as they are where it is None. `options` are those of `optimise`. Raises
    BadValue where no cell holds enough.

    >>> atlas(graph, "mixed4a", samples(graph, stream, "mixed4a")).picture().shape  # doctest: +SKIP
    (640, 640, 3)
    """
    if ridge is not None and ridge <= 0:
        raise BadValue(f"A ridge of {ridge} leaves nothing to divide by. Take a share above 0, like {RIDGE}, or None.")
    if side < 1 or least < 1:
        raise BadValue(f"A field of {side} x {side} cells of {least} samples each is none. Take 1 or more of both.")
    cells = binned(layout(values), side)
    numbers = cells[:, 0] * side + cells[:, 1]
    filled, counts = np.unique(numbers, return_counts=True)
    filled, counts = filled[counts >= least], counts[counts >= least]
    if not len(filled):
        raise BadValue(
            f"No cell holds {least} of the {len(values)} activations. Give more pictures, or a smaller field."
        )
    means = np.stack([values[numbers == number].mean(0) for number in filled])
    places = np.stack([filled // side, filled % side], 1)
    name = graph.layer(layer).name
    drawn = means if ridge is None else whitened(means, values, ridge)
    return Atlas(name, side, places, counts, means, icons(graph, name, drawn, side=icon, **options).astype(np.float64))


def spritemap(
    pictures: Float[np.ndarray, "picture height width 3"],
) -> tuple[Float[np.ndarray, "tall wide 3"], Int[np.ndarray, "picture 2"]]:
    """Pictures of one size in one near-square sheet without gaps, and the top left px of each, for pages to cut up.

    >>> sheet, places = spritemap(np.zeros((5, 8, 8, 3)))
    >>> sheet.shape, places[4].tolist()
    ((16, 24, 3), [8, 8])
    """
    count, height, width, _ = pictures.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.ones((rows * height, columns * width, 3))
    places = np.array([(i // columns * height, i % columns * width) for i in range(count)])
    for (top, left), each in zip(places, pictures, strict=True):
        sheet[top : top + height, left : left + width] = each
    return sheet, places

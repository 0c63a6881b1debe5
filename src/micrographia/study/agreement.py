"""How far to trust expanded weights: held against the network's own Jacobian, averaged over real pictures.

Replacing every rectifier by a line is a choice. Where two paths cancel on paper and never run at the same time (Voss et
al., Visualizing Weights, Distill 2021, on boundary detectors), the expanded weights are near zero and the measured
ones are not. This tells such blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.model.card import normalise
from micrographia.model.graph import LayerGraph
from micrographia.model.twin import floating_type

LEAST = 0.5
"""Below this agreement a block is not to be trusted."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Expanded weights against the Jacobian averaged over pictures, on the same taps.

    `units` is the cosine between the two for each target unit over all that it reads, `pairs` the same for each pair of
    units: 1 where they differ by a positive factor, 0 where they have nothing in common, NaN where nothing was
    measured, because the unit never responded or the pair is zero in both. `measured` is the mean Jacobian, over
    `samples` places per unit.
    """

    units: Float[np.ndarray, " out"]
    pairs: Float[np.ndarray, "out in"]
    measured: Float[np.ndarray, "out in height width"]
    samples: int

    @property
    def trusted(self) -> Bool[np.ndarray, " out"]:
        """Which target units agree in at least half."""
        return self.units >= LEAST

    def to_json(self) -> dict[str, Any]:
        """Plain values; None for units that never responded."""
        return {
            "units": [None if math.isnan(each) else each for each in self.units.tolist()],
            "trusted": self.trusted.tolist(),
            "samples": self.samples,
        }


def agreement(
    graph: LayerGraph,
    src: str,
    dst: str,
    units: tuple[int, ...],
    kernels: Float[np.ndarray, "out in height width"],
    stride: tuple[int, int] | None,
    offset: tuple[int, int],
    images: Float[Tensor, "picture colour rows columns"],
) -> Agreement:
    """How well the expanded `kernels` from `src` to some `units` of `dst` fit what the network does on pictures (0..1).

    The Jacobian of a unit is taken at cells far enough from each other that their kernels do not overlap, inside the
    map, over all pictures; one backward pass per unit. Kernels, stride and offset are those of `expanded`. Raises
    BadValue for kernels that count cells from the map's corner (stride None), and for maps too small to hold a kernel.

    >>> agreement(graph, w.src, w.dst, w.units, w.kernels, w.stride, w.offset, images).units  # doctest: +SKIP
    array([0.93])
    """
    if stride is None:
        raise BadValue(
            f"{dst} reads the whole of {src}, and has no kernel to compare. Choose a layer of maps before it."
        )
    dtype, device = floating_type(graph.module)
    # the picture carries the gradient's graph, which a backward pass goes through only down to src
    picture = normalise(images.to(device, dtype), graph.card).requires_grad_(True)
    with torch.enable_grad():
        values = graph.upto((src, dst))(picture)
    cells = _cells(graph, src, dst, kernels.shape[2:], stride, offset, values[src].shape[2:], values[dst].shape[2:])
    measured = np.empty(kernels.shape)
    for place, unit in enumerate(units):
        asked = torch.zeros_like(values[dst])
        for row, column in cells:
            asked[:, unit, row, column] = 1
        (gradient,) = torch.autograd.grad(values[dst], values[src], asked, retain_graph=True)
        windows = [
            gradient[:, :, top : top + kernels.shape[2], left : left + kernels.shape[3]]
            for top, left in ((stride[0] * r + offset[0], stride[1] * c + offset[1]) for r, c in cells)
        ]
        measured[place] = torch.stack(windows).double().mean((0, 1)).cpu().numpy()
    wide = kernels.astype(np.float64)
    whole, pairs = _cosine(wide, measured, (1, 2, 3)), _cosine(wide, measured, (2, 3))
    # a rectifier that was shut everywhere says nothing for or against the expanded weights
    silent = ~measured.any((1, 2, 3))
    whole[silent], pairs[silent] = np.nan, np.nan
    return Agreement(whole, pairs, measured, len(cells) * len(images))


def _cells(
    graph: LayerGraph, src: str, dst: str, taps: tuple[int, ...], stride: tuple[int, int], offset: tuple[int, int],
    source: torch.Size, target: torch.Size,
) -> list[tuple[int, int]]:  # fmt: skip
    """Cells of dst whose taps lie inside src, so far apart that no tap is read by two of them."""
    axes = []
    for tap, step, start, extent, count in zip(taps, stride, offset, source, target, strict=True):
        first = max(0, math.ceil(-start / step))
        last = min(count - 1, (extent - tap - start) // step)
        axes.append(range(first, last + 1, math.ceil(tap / step)))
    if not all(axes):
        raise BadValue(
            f"No kernel of {taps[0]} x {taps[1]} from {src} to {dst} lies inside a map of {source[0]} x {source[1]}. "
            "Choose two layers that are nearer to each other, or larger pictures."
        )
    return [(row, column) for row in axes[0] for column in axes[1]]


def _cosine(one: np.ndarray, other: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    lengths = np.sqrt(np.square(one).sum(axes)), np.sqrt(np.square(other).sum(axes))
    product, scale = (one * other).sum(axes), lengths[0] * lengths[1]
    cosine = np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)
    return np.where((lengths[0] == 0) & (lengths[1] == 0), np.nan, cosine)

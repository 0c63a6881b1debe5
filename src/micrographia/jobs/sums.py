"""The paths that meet in an addition: each one's share of every unit, measured on pictures, and its null."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor

from micrographia.console import Stages, silent
from micrographia.errors import BadValue
from micrographia.images.bundled import open_images
from micrographia.images.source import batches
from micrographia.model.card import normalise
from micrographia.model.graph import LayerGraph
from micrographia.model.redraw import convolutions_between, redraws
from micrographia.model.residual import summands
from micrographia.model.twin import floating_type
from micrographia.study.null import Finding
from micrographia.study.shares import Shares, along, main_path, variance_shares

Measure = Callable[[LayerGraph], dict[str, Float[np.ndarray, " unit"]]]
LEAST = 4  # pictures, two for each half


@dataclass(frozen=True, eq=False)
class Paths:
    """The paths into a sum and each one's share of every unit's variance over `pictures`.

    `halves` is the rank correlation between the shares on one half of the pictures and on the other, over all paths.
    """

    names: tuple[str, ...]
    shares: Shares
    pictures: int
    halves: float

    def members(self) -> dict[str, list[int]]:
        """The units that come more from each path than from any other."""
        main = main_path(self.shares)
        return {name: np.flatnonzero(main == number).tolist() for number, name in enumerate(self.names)}

    def to_json(self) -> dict[str, Any]:
        """Plain values; None for units that never change."""
        shares = [[None if np.isnan(each) else float(each) for each in path] for path in self.shares]
        return {
            "shares": dict(zip(self.names, shares, strict=True)), "pictures": self.pictures,
            "halves": self.halves, "largest": {name: len(units) for name, units in self.members().items()},
        }  # fmt: skip

    def notes(self) -> tuple[str, ...]:
        """What to say of the shares."""
        means = np.nanmean(self.shares, axis=1)
        parts = [
            f"{name} {mean:.0%} (largest of {len(units)})"
            for (name, units), mean in zip(self.members().items(), means, strict=True)
        ]
        return (
            f"All paths write every unit. Mean share of the units' variance over {self.pictures} pictures: "
            f"{', '.join(parts)}. One half of the pictures against the other: rank correlation {self.halves:.2f}.",
        )


def path_shares(graph: LayerGraph, layer: str, source: str, images: str = "bundled", pictures: int = 64) -> Paths:
    """The shares of the paths into a sum, which start from the layer `source`, on pictures spread over `images`.

    Raises BadAddress, BadImages, and BadValue for a layer that is no sum and for too few pictures.

    >>> path_shares(graph, "block2", "block2.unit1.preact").names[0]  # doctest: +SKIP
    'block2.unit1.shortcut'
    """
    names = summands(graph, layer)
    values = _values(graph, names, _at(graph, source, images, pictures))
    shares = variance_shares(values)
    one, other = (variance_shares([each[start::2] for each in values]).ravel() for start in (0, 1))
    known = np.isfinite(one) & np.isfinite(other)
    halves = float(spearmanr(one[known], other[known]).statistic) if known.sum() > 2 else float("nan")
    return Paths(names, shares, len(values[0]), halves)


def along_paths(
    graph: LayerGraph,
    layer: str,
    source: str,
    found: Paths,
    values: Mapping[str, Float[np.ndarray, " unit"]],
    measure: Measure,
    images: str,
    trials: int,
    seed: int = 0,
    stages: Stages = silent,
) -> tuple[Finding, ...]:
    """Which scores go along with the share of a path, held against networks with the weights after `source` redealt.

    >>> along_paths(graph, "block2", source, paths, values, measure, "bundled", 99)[0].what  # doctest: +SKIP
    'colour along block2.unit1.shortcut'
    """
    modules = convolutions_between(graph, source, layer)
    others: list[tuple[Mapping[str, Float[np.ndarray, " unit"]], Shares]] = []
    if modules and trials:
        at = _at(graph, source, images, found.pictures)
        advance = stages("networks dealt out anew", trials)
        for other in redraws(graph, modules, range(seed, seed + trials)):
            others.append((measure(other), variance_shares(_values(other, found.names, at))))
            advance(1)
    return along(values, found.shares, found.names, others, seed=seed)


def _at(graph: LayerGraph, source: str, images: str, pictures: int) -> dict[str, Tensor]:
    """What `source` makes of the pictures."""
    if pictures < LEAST:
        raise BadValue(f"{pictures} pictures tell too little of a path's share. Give {LEAST} or more: --pictures 64.")
    opened, card = open_images(images), graph.card
    chosen = np.unique(np.linspace(0, len(opened) - 1, pictures).astype(int)).tolist()
    read = np.concatenate([each for _, each in batches(opened, card.resize, card.size, 32, chosen, card.interpolation)])
    if len(read) < LEAST:
        raise BadValue(f"{images} has {len(read)} pictures that can be read. Give {LEAST} or more.")
    dtype, device = floating_type(graph.module)
    batch = normalise(torch.from_numpy(read).to(device, dtype) / 255, card)
    with torch.inference_mode():
        return graph.upto(source)(batch) if source != "input" else {source: batch}


def _values(graph: LayerGraph, names: tuple[str, ...], at: dict[str, Tensor]) -> list[np.ndarray]:
    ((source, value),) = at.items()
    later = [name for name in names if name != source]
    with torch.inference_mode():
        made = dict(at) | graph.between(source, later)(value)
    return [made[name].double().cpu().numpy() for name in names]

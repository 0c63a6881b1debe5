"""What a layer holds of a picture, seen by optimising: caricature, inversion, and an activation grid.

All three start from what the picture makes a layer do. A caricature exaggerates it, an inversion reproduces it and
forgets the rest, a grid shows each cell's share in a picture of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.model.capture import capture
from micrographia.model.graph import LayerGraph
from micrographia.optvis.objective import LEAST_COSINE, Objective, Scene
from micrographia.optvis.optimise import Picture, optimise
from micrographia.optvis.parametrise import default_fourier
from micrographia.optvis.penalty import TotalVariation
from micrographia.optvis.transform import STILL, Warp

TINY = 1e-12
SIDE, BATCH = 64, 8  # px of an icon; icons that climb together
POWER = 4.0  # of the cosine, for icons
CALM = Warp(jitter=4.0, scale=0.02, rotate=2.0)  # cells must stay where they are, or nearly


@dataclass(frozen=True, eq=False)
class Alike(Objective):
    """Dot product with a layer's `target`, cell by cell, times cosine ** power; the mean over cells."""

    layer: str
    target: Float[Tensor, "channel ..."]
    power: float = 1.0

    def __repr__(self) -> str:
        return f"Alike(layer={self.layer!r}, target={tuple(self.target.shape)}, power={self.power})"

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        value = _same(scene.values[self.layer], self.target, self.layer)
        target = self.target.to(value)
        dot = (value * target).sum(1)
        length = (value.square().sum(1) + TINY).sqrt() * (target.square().sum(0) + TINY).sqrt()
        return (dot * (dot / length).clamp(min=LEAST_COSINE) ** self.power).flatten(1).mean(1)


@dataclass(frozen=True, eq=False)
class Distance(Objective):
    """Squared distance of a layer from its `target`, as a share of the target's squared length; subtract it."""

    layer: str
    target: Float[Tensor, "channel ..."]

    def __repr__(self) -> str:
        return f"Distance(layer={self.layer!r}, target={tuple(self.target.shape)})"

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        value = _same(scene.values[self.layer], self.target, self.layer)
        target = self.target.to(value)
        return (value - target).square().flatten(1).sum(1) / (target.square().sum() + TINY)


@dataclass(frozen=True, eq=False)
class Directions(Objective):
    """For each picture of a batch a direction of its own, at the middle cell: dot product times cosine ** power."""

    layer: str
    vectors: Float[np.ndarray, "batch channel"]
    power: float = POWER

    def __repr__(self) -> str:
        return f"Directions(layer={self.layer!r}, vectors={self.vectors.shape}, power={self.power})"

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        value = scene.values[self.layer]
        value = value if value.ndim == 2 else value[:, :, value.shape[2] // 2, value.shape[3] // 2]
        vectors = torch.from_numpy(self.vectors).to(value)
        dot = (value * vectors).sum(1)
        length = (value.square().sum(1) + TINY).sqrt() * (vectors.square().sum(1) + TINY).sqrt()
        return dot * (dot / length).clamp(min=LEAST_COSINE) ** self.power


def caricature(
    graph: LayerGraph,
    picture: Float[np.ndarray, "height width channel"],
    layer: str,
    *,
    power: float = 1.0,
    **options: Any,
) -> Picture:
    """A picture that makes a layer do what the given one does, only more so.

    The dot product with the picture's activations, cell by cell, grows without limit, and the cosine keeps its kind
    (Olah et al., "The Building Blocks of Interpretability", 2018; as in Lucid's caricature notebook). `options` are
    those of `optimise`. Raises what it raises.

    >>> caricature(graph, image, "mixed3b").image.shape  # doctest: +SKIP
    (224, 224, 3)
    """
    target = _target(graph, picture, layer)
    size = picture.shape[0], picture.shape[1]
    (made,) = optimise(
        graph, Alike(graph.layer(layer).name, target, power), **{"size": size, "transform": CALM, **options}
    )
    return made


def invert(
    graph: LayerGraph,
    picture: Float[np.ndarray, "height width channel"],
    layer: str,
    *,
    rough: float = 0.05,
    **options: Any,
) -> Picture:
    """A picture, from noise, that makes a layer do the very same: what it shows is what the layer has kept.

    The distance of activations and `rough` times total variation are minimised (Mahendran and Vedaldi 2015). `reached`
    is minus their sum: near 0 where the layer is reproduced. `options` are those of `optimise`.

    >>> invert(graph, image, "conv2d2").reached  # doctest: +SKIP
    -0.06
    """
    target = _target(graph, picture, layer)
    objective = -1.0 * Distance(graph.layer(layer).name, target) - rough * TotalVariation()
    size = picture.shape[0], picture.shape[1]
    (made,) = optimise(graph, objective, **{"size": size, "transform": STILL, **options})
    return made


def icons(
    graph: LayerGraph,
    layer: str,
    vectors: Float[np.ndarray, "icon channel"],
    *,
    side: int = SIDE,
    power: float = POWER,
    **options: Any,
) -> Float[np.ndarray, "icon side side 3"]:
    """A small picture of each direction in a layer, in values 0..1; a direction of zeros, or one that is dead, is grey.

    Raises BadValue for vectors of another length than the layer has channels, and what `optimise` raises.

    >>> icons(graph, "mixed4a", np.eye(508)[:7]).shape  # doctest: +SKIP
    (7, 64, 64, 3)
    """
    name, channels = graph.layer(layer).name, graph.layer(layer).channels
    if vectors.shape[1] != channels:
        raise BadValue(
            f"The directions have {vectors.shape[1]} numbers, and {name} has {channels} channels. Give one per channel."
        )
    made = np.full((len(vectors), side, side, graph.card.channels), 0.5, np.float32)
    some = np.flatnonzero(np.abs(vectors).max(1))
    for start in range(0, len(some), BATCH):
        part = some[start : start + BATCH]
        # always as many, so that an icon does not depend on how many there are
        rows = np.concatenate([part, np.repeat(part[:1], BATCH - len(part))])
        settings = {"size": (side, side), "parametrisation": default_fourier((side, side)), **options}
        objective = Directions(name, np.ascontiguousarray(vectors[rows], np.float32), power)
        for row, each in zip(part, optimise(graph, objective, pictures=BATCH, **settings), strict=False):
            made[row] = each.image
    return np.repeat(made, 3, axis=3) if graph.card.channels == 1 else made


@dataclass(frozen=True, eq=False)
class Grid:
    """One icon for each cell of a layer on one picture, and how strongly the cell is excited, 1 for the strongest."""

    layer: str
    icons: Float[np.ndarray, "rows columns side side 3"]
    strength: Float[np.ndarray, "rows columns"]

    def picture(self) -> Float[np.ndarray, "height width 3"]:
        """The icons side by side, paler where the cell is less excited."""
        share = self.strength[:, :, None, None, None]
        tiles = self.icons * share + (1 - share)
        rows, columns, side = tiles.shape[:3]
        return tiles.transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, 3)


def grid(
    graph: LayerGraph,
    picture: Float[np.ndarray, "height width channel"],
    layer: str,
    *,
    most: int = 7,
    side: int = SIDE,
    **options: Any,
) -> Grid:
    """What each cell of a layer sees in one picture: an icon of its activations (Olah et al. 2018, activation grids).

    Neighbouring cells are averaged until at most `most` are left each way. Raises BadValue for a layer without maps.

    >>> grid(graph, image, "mixed4a").picture().shape  # doctest: +SKIP
    (448, 448, 3)
    """
    target = _target(graph, picture, layer)
    if target.ndim != 3 or most < 1:
        raise BadValue(
            f"{layer} has no cells to lay out in at most {most} rows. Choose a layer of maps, 1 row or more."
        )
    shape = min(most, target.shape[1]), min(most, target.shape[2])
    cells = torch.nn.functional.adaptive_avg_pool2d(target[None].float(), shape)[0].permute(1, 2, 0)
    vectors = cells.flatten(0, 1).double().numpy()
    strength = np.linalg.norm(vectors, axis=1)
    made = icons(graph, layer, vectors, side=side, **options)
    return Grid(
        graph.layer(layer).name,
        made.reshape(*shape, side, side, 3).astype(np.float64),
        (strength / (strength.max() or 1.0)).reshape(shape),
    )


def _target(graph: LayerGraph, picture: Float[np.ndarray, "height width channel"], layer: str) -> Tensor:
    image = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32))[None]
    name = graph.layer(layer).name
    return capture(graph, image, name)[name][0]


def _same(value: Tensor, target: Tensor, layer: str) -> Tensor:
    if value.shape[1:] != target.shape:
        raise BadValue(
            f"On this canvas {layer} is {tuple(value.shape[1:])}, and its target {tuple(target.shape)}. "
            "Optimise a picture of the size that the target was taken from."
        )
    return value

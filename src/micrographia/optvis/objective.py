"""Objectives: what a picture is made to maximise, as values that can be added, subtracted and scaled.

`Channel("mixed4a", 97) + 0.5 * Neuron("mixed3b", 379) - 0.1 * TotalVariation()` is an objective again, and its
representation says exactly what it is. The negative of a target minimises it; targets that are added are joint ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadAddress, BadValue, suggest
from micrographia.model.graph import LayerGraph

LEAST_COSINE = 0.1  # below it the power of the cosine stays where it is, or nothing would pull a picture out
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Scene:
    """What objectives read: the pictures in values 0..1 before the transform, and the layers' values after it.

    `kept` names the layers of which only some channels were computed, those that are read, and which these are.
    """

    pictures: Float[Tensor, "batch channel height width"]
    values: Mapping[str, Tensor]
    opacity: Float[Tensor, "batch 1 height width"] | None = None
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class Objective(ABC):
    """One number for each picture of a batch, to be made as large as possible."""

    @property
    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """The layers whose values it reads."""

    def channels(self, layer: str) -> frozenset[int] | None:
        """Which channels of a layer it reads, so that no others need to be computed; None for all."""
        return None if layer in self.layers else frozenset()

    @abstractmethod
    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        """The objective's value for each picture."""

    def __add__(self, other: Any) -> Objective:
        if isinstance(other, (int, float)) and other == 0:
            return self  # so that sum() works
        return Weighted(_terms(self) + _terms(other)) if isinstance(other, Objective) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Any) -> Objective:
        return self + -other if isinstance(other, Objective) else NotImplemented

    def __mul__(self, factor: Any) -> Objective:
        if not isinstance(factor, (int, float)):
            return NotImplemented
        return Weighted(tuple((factor * weight, each) for weight, each in _terms(self)))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Objective:
        return self * (1 / divisor) if isinstance(divisor, (int, float)) else NotImplemented

    def __neg__(self) -> Objective:
        return self * -1.0


def _terms(objective: Objective) -> tuple[tuple[float, Objective], ...]:
    return objective.terms if isinstance(objective, Weighted) else ((1.0, objective),)


def _joined(*objectives: Objective) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for each in objectives for name in each.layers))


def _read(layer: str, *objectives: Objective) -> frozenset[int] | None:
    found: frozenset[int] = frozenset()
    for each in objectives:
        channels = each.channels(layer)
        if channels is None:
            return None
        found |= channels
    return found


@dataclass(frozen=True)
class Weighted(Objective):
    """A sum of objectives, each times its weight: what the operators return.

    >>> (Channel("a", 0) - 2 * Channel("b", 1)).terms
    ((1.0, Channel(layer='a', channel=0)), (-2.0, Channel(layer='b', channel=1)))
    """

    terms: tuple[tuple[float, Objective], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        return _joined(*(each for _, each in self.terms))

    def channels(self, layer: str) -> frozenset[int] | None:
        return _read(layer, *(each for _, each in self.terms))

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        return sum((weight * each(scene) for weight, each in self.terms), torch.zeros(()).to(scene.pictures))


@dataclass(frozen=True)
class Interpolated(Objective):
    """From one objective to another along the batch: the first picture has only the one, the last only the other."""

    first: Objective
    second: Objective

    @property
    def layers(self) -> tuple[str, ...]:
        return _joined(self.first, self.second)

    def channels(self, layer: str) -> frozenset[int] | None:
        return _read(layer, self.first, self.second)

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        batch = len(scene.pictures)
        if batch < 2:
            raise BadValue("An interpolation of 1 picture has no way to go. Take at least 2 pictures.")
        share = torch.linspace(0, 1, batch, dtype=scene.pictures.dtype, device=scene.pictures.device)
        return (1 - share) * self.first(scene) + share * self.second(scene)


class _OneLayer(Objective):
    layer: str

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)

    def _of(self, scene: Scene) -> Tensor:
        return scene.values[self.layer]

    def _at(self, scene: Scene, position: tuple[int, int] | None) -> Float[Tensor, "batch channel"]:
        """The vector of one cell, the middle one for None; of a layer without maps, all there is."""
        value = self._of(scene)
        if value.ndim != 4:
            return value
        row, column = position or (value.shape[2] // 2, value.shape[3] // 2)
        if row >= value.shape[2] or column >= value.shape[3]:
            raise BadValue(
                f"{self.layer} has no cell {row},{column}: on this picture it is {value.shape[2]} x {value.shape[3]} "
                "cells. Rows and columns are counted from 0."
            )
        return value[:, :, row, column]


class _OneChannel(_OneLayer):
    channel: int

    def channels(self, layer: str) -> frozenset[int] | None:
        return frozenset({self.channel} if layer == self.layer else ())

    def _own(self, scene: Scene, value: Tensor) -> Tensor:
        kept = scene.kept.get(self.layer)
        if kept is not None:
            return value[:, kept.index(self.channel)]
        if self.channel >= value.shape[1]:
            raise BadAddress(f"{self.layer} has no unit {self.channel}. Its units are 0 to {value.shape[1] - 1}.")
        return value[:, self.channel]


@dataclass(frozen=True)
class Neuron(_OneChannel):
    """One cell of a channel, (row, column); None is the middle one (the lower right of the middle four)."""

    layer: str
    channel: int
    position: tuple[int, int] | None = None

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        return self._own(scene, self._at(scene, self.position))


@dataclass(frozen=True)
class Channel(_OneChannel):
    """The mean of a channel's map; of a layer without maps, such as logits, the value itself."""

    layer: str
    channel: int

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        own = self._own(scene, self._of(scene))
        return own.flatten(1).mean(1) if own.ndim > 1 else own


@dataclass(frozen=True)
class Direction(_OneLayer):
    """A direction among a layer's channels: dot product times cosine ** power, the mean over all cells.

    `cell` is (row, column) for one cell alone, or "middle". A higher power asks for more of the direction and less of
    everything else (Olah et al., "The Building Blocks of Interpretability", 2018); the cosine counts as 0.1 at least.
    """

    layer: str
    vector: Sequence[float | int] | np.ndarray
    power: float = 0.0
    cell: tuple[int, int] | str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", tuple(float(each) for each in self.vector))
        if not any(self.vector):
            raise BadValue(f"The direction in {self.layer} is all zeros. Give at least one channel another weight.")
        if isinstance(self.cell, str) and self.cell != "middle":
            raise BadValue(f"There is no cell '{self.cell}'. Give (row, column), 'middle', or None for all cells.")

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        cell = None if isinstance(self.cell, str) else self.cell
        value = self._of(scene) if self.cell is None else self._at(scene, cell)
        if value.shape[1] != len(self.vector):
            raise BadValue(
                f"The direction has {len(self.vector)} numbers, and {self.layer} has {value.shape[1]} channels. "
                "Give one number per channel."
            )
        vector = torch.tensor(self.vector, dtype=value.dtype, device=value.device)
        dot = torch.einsum("bc...,c->b...", value, vector)
        if self.power:
            length = (value.square().sum(1) + TINY).sqrt() * vector.norm()
            dot = dot * (dot / length).clamp(min=LEAST_COSINE) ** self.power
        return dot.flatten(1).mean(1) if dot.ndim > 1 else dot


@dataclass(frozen=True)
class WholeLayer(_OneLayer):
    """DeepDream: the mean square of everything in a layer (Mordvintsev, Olah and Tyka, 2015)."""

    layer: str

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        return self._of(scene).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Diversity(_OneLayer):
    """How differently the pictures of a batch excite a layer: 0 is most, -1 all alike.

    Minus the mean cosine of a picture's Gram matrix of channels with those of the other pictures (Olah, Mordvintsev
    and Schubert, "Feature Visualization", 2017).
    """

    layer: str

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        value = self._of(scene).flatten(2) if self._of(scene).ndim > 2 else self._of(scene)[:, :, None]
        batch = len(value)
        if batch < 2:
            raise BadValue("Diversity of 1 picture says nothing. Take at least 2 pictures.")
        gram = (value @ value.transpose(1, 2)).flatten(1)
        gram = gram / (gram.square().sum(1, keepdim=True) + TINY).sqrt()
        likeness = gram @ gram.T
        return -(likeness.sum(1) - likeness.diagonal()) / (batch - 1)


def logit(graph: LayerGraph, label: str | int) -> Channel:
    """The objective of a class, by its number or by its label on the card, before any softmax. Raises BadValue.

    >>> logit(graph, "tabby")  # doctest: +SKIP
    Channel(layer='head', channel=281)
    """
    last = [layer for layer in graph.layers.values() if not layer.spatial and len(layer.shape) == 1]
    last = [layer for layer in last if layer.op != "softmax"]
    if not last:
        raise BadValue(f"{graph.card.name} ends in maps and has no classes. Use Channel for a unit of its last layer.")
    layer, labels = last[-1], graph.card.labels
    if isinstance(label, str):
        if label not in labels:
            raise BadValue(
                f"{graph.card.name} knows no class '{label}'. "
                + (f"Near it: {suggest(label, labels)}." if labels else "Its card has no labels: give a number.")
            )
        label = labels.index(label)
    if not 0 <= label < layer.channels:
        raise BadValue(f"{graph.card.name} has no class {label}. Its classes are 0 to {layer.channels - 1}.")
    return Channel(layer.name, label)

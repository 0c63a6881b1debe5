"""Parametrisations in space: plain px, a Laplacian pyramid, and pictures that share their coarse part."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from micrographia.optvis.parametrise import Extent, Fourier, Plain, finished, unfinished


@dataclass(frozen=True)
class Pixels:
    """One number for each px and channel, along decorrelated colour axes."""

    deviation: float = 0.01
    contrast: float | None = None
    logistic: bool = False

    def start(self, size: Extent, channels: int, generator: torch.Generator) -> Float[Tensor, "channel height width"]:
        """Gaussian noise."""
        return torch.randn((channels, *size), generator=generator) * self.deviation

    def shape(self, size: Extent) -> tuple[int, ...]:
        """What the numbers of one channel look like."""
        return size

    def plain(
        self, numbers: Float[Tensor, "batch channel height width"], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """The numbers themselves."""
        return numbers

    def __call__(
        self, numbers: Float[Tensor, "batch channel height width"], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """Pictures of a batch of numbers."""
        return finished(numbers, self.contrast, self.logistic)

    def invert(
        self, pictures: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """The numbers of given pictures, whose values are kept within 0.01 of black and white; without `contrast`."""
        return unfinished(pictures, self.logistic)


def coarse(size: Extent, factor: int) -> Extent:
    """The size of a picture that is coarser by a factor.

    >>> coarse((13, 8), 4)
    (4, 2)
    """
    return math.ceil(size[0] / factor), math.ceil(size[1] / factor)


def layered(
    numbers: Float[Tensor, "batch channel count"], size: Extent, factors: tuple[int, ...]
) -> Float[Tensor, "batch channel height width"]:
    """The sum of maps that are coarser by each factor, enlarged bilinearly; `numbers` holds one after the other."""
    sizes = [coarse(size, factor) for factor in factors]
    parts = numbers.split([h * w for h, w in sizes], dim=2)
    total = torch.zeros((*numbers.shape[:2], *size), dtype=numbers.dtype, device=numbers.device)
    for part, extent in zip(parts, sizes, strict=True):
        total = total + F.interpolate(part.unflatten(2, extent), size, mode="bilinear", align_corners=False)
    return total


def _count(size: Extent, factors: tuple[int, ...]) -> int:
    return sum(math.prod(coarse(size, factor)) for factor in factors)


@dataclass(frozen=True)
class Pyramid:
    """A Laplacian pyramid: the sum of maps each half as fine as the one before (Burt and Adelson 1983).

    A step moves coarse and fine structure alike, as in the frequencies of `Fourier`, but locally.
    """

    levels: int = 4
    deviation: float = 0.01
    contrast: float | None = None

    @property
    def factors(self) -> tuple[int, ...]:
        """How much coarser than the picture each level is."""
        return tuple(2**level for level in range(self.levels))

    def start(self, size: Extent, channels: int, generator: torch.Generator) -> Float[Tensor, "channel count"]:
        """Gaussian noise on every level."""
        return torch.randn((channels, *self.shape(size)), generator=generator) * self.deviation

    def shape(self, size: Extent) -> tuple[int, ...]:
        """What the numbers of one channel look like."""
        return (_count(size, self.factors),)

    def plain(
        self, numbers: Float[Tensor, "batch channel count"], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """The sum of the levels."""
        return layered(numbers, size, self.factors)

    def __call__(
        self, numbers: Float[Tensor, "batch channel count"], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """Pictures of a batch of pyramids."""
        return finished(self.plain(numbers, size), self.contrast)


@dataclass(frozen=True)
class Shared:
    """Pictures with a coarse part in common, so that a batch stays aligned, as in interpolations.

    The part is the mean over the batch of maps `factors` times coarser (Mordvintsev, Pezzotti, Schubert and Olah,
    "Differentiable Image Parameterizations", 2018, on aligned neurons); `own` is each picture's own.
    """

    own: Plain = field(default_factory=Fourier)
    factors: tuple[int, ...] = (4, 8, 16)
    deviation: float = 0.1
    contrast: float | None = 1.2

    def start(self, size: Extent, channels: int, generator: torch.Generator) -> Float[Tensor, "channel count"]:
        """The picture's own numbers, then its say in the common ones."""
        own = self.own.start(size, channels, generator).flatten(1)
        common = torch.randn((channels, _count(size, self.factors)), generator=generator) * self.deviation
        return torch.cat([own, common], 1)

    def __call__(
        self, numbers: Float[Tensor, "batch channel count"], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """Pictures of a batch of numbers."""
        shape = self.own.shape(size)
        own, common = numbers.split([math.prod(shape), _count(size, self.factors)], dim=2)
        plain = self.own.plain(own.unflatten(2, shape), size)
        return finished(plain + layered(common.mean(0, keepdim=True), size, self.factors), self.contrast)


@dataclass(frozen=True)
class Transparent:
    """Pictures with an opacity, the last channel: the objective sees them on a ground of another colour at each step.

    What does not matter becomes transparent where `Opacity` is subtracted from the objective (Mordvintsev, Pezzotti,
    Schubert and Olah, "Differentiable Image Parameterizations", 2018).
    """

    inner: Plain = field(default_factory=Fourier)

    def start(self, size: Extent, channels: int, generator: torch.Generator) -> Tensor:
        """The first numbers of one picture, with one channel more."""
        return self.inner.start(size, channels + 1, generator)

    def __call__(self, numbers: Tensor, size: Extent) -> Float[Tensor, "batch channel_and_opacity height width"]:
        """Pictures of a batch of numbers, the opacity last."""
        plain = self.inner.plain(numbers, size)
        contrast = getattr(self.inner, "contrast", None)
        return torch.cat([finished(plain[:, :-1], contrast), finished(plain[:, -1:], contrast)], 1)

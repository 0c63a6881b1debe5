"""MACO: the strength of every frequency is that of natural pictures, and only the phases are optimised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from micrographia.optvis.parametrise import Extent, decolour, finished, frequencies

TINY = 1e-6


def magnitude_of(
    pictures: Float[Tensor, "picture channel height width"],
) -> Float[Tensor, "channel height columns"]:
    """The mean strength of each frequency in pictures of values 0..1, along decorrelated colour axes.

    >>> magnitude_of(torch.rand(10, 3, 64, 48)).shape
    torch.Size([3, 64, 25])
    """
    plain = decolour(pictures - 0.5) if pictures.shape[1] == 3 else pictures - 0.5
    return torch.fft.rfft2(plain).abs().mean(0)


@dataclass(frozen=True, eq=False)
class Maco:
    """Phases alone, with a magnitude that stays (Fel et al. 2023, magnitude constrained optimization).

    `magnitude` is that of pictures of yours (see `magnitude_of`), resized where need be, or None for 1 / f. Phases and
    pictures are standardised at each step, pictures to a spread of `contrast` before squashing; phases move `pace`
    times as fast as the numbers.
    """

    magnitude: Float[Tensor, "channel height columns"] | None = None
    contrast: float = 1.0
    pace: float = 10.0

    def __repr__(self) -> str:
        source = "1/f" if self.magnitude is None else f"of pictures {tuple(self.magnitude.shape)}"
        return f"Maco(magnitude={source!r}, contrast={self.contrast}, pace={self.pace})"

    def start(self, size: Extent, channels: int, generator: torch.Generator) -> Float[Tensor, "channel height columns"]:
        """Gaussian phases of deviation 1."""
        return torch.randn((channels, size[0], size[1] // 2 + 1), generator=generator) / self.pace

    def __call__(
        self, numbers: Float[Tensor, "batch channel height columns"], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """Pictures of a batch of phases."""
        phase = _standard(numbers * self.pace)
        picture = torch.fft.irfft2(torch.polar(self._strength(size).to(phase).expand_as(phase), phase), s=size)
        return finished(_standard(picture) * self.contrast)

    def _strength(self, size: Extent) -> Float[Tensor, "_ height columns"]:
        if self.magnitude is None:
            return 1 / frequencies(size, torch.float64).clamp(min=1 / max(size))[None]
        columns = size[1] // 2 + 1
        if self.magnitude.shape[1:] == (size[0], columns):
            return self.magnitude
        # zero frequency goes to the middle row and back, so that neighbours are neighbouring frequencies
        centred = torch.fft.fftshift(self.magnitude, dim=1)[None]
        resized = F.interpolate(centred, (size[0], columns), mode="bilinear", align_corners=True)[0]
        return torch.fft.ifftshift(resized, dim=1)


def _standard(x: Float[Tensor, "batch channel _ _"]) -> Float[Tensor, "batch channel _ _"]:
    centred = x - x.mean((1, 2, 3), keepdim=True)
    return centred / (centred.square().mean((1, 2, 3), keepdim=True).sqrt() + TINY)

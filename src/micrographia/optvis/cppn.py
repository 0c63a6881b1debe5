"""A picture as a small network from a px' place to its colour: smooth, and the same at any size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.optvis.parametrise import Extent, finished


@dataclass(frozen=True)
class Cppn:
    """A compositional pattern-producing network (Stanley 2007) whose weights are the numbers.

    It reads a px' row and column within +-sqrt(3), through `layers` layers of `width` units whose arctangent and its
    square go on (Mordvintsev, Pezzotti, Schubert and Olah, "Differentiable Image Parameterizations", 2018). The last
    layer starts at zero, so pictures start grey. Weights move `pace` times as fast as the numbers.

    >>> make = Cppn(width=5, layers=2)
    >>> numbers = make.start((8, 8), 3, torch.Generator())[None]
    >>> make(numbers, (8, 8)).shape, make(numbers, (32, 16)).shape
    (torch.Size([1, 3, 8, 8]), torch.Size([1, 3, 32, 16]))
    """

    width: int = 24
    layers: int = 8
    pace: float = 0.02

    def start(self, size: Extent, channels: int, generator: torch.Generator) -> Float[Tensor, " count"]:
        """Gaussian weights of variance 1 / inputs, no offsets, and a last layer of zeros."""
        parts = []
        for inputs in self._inputs():
            weights = torch.randn((self.width, inputs), generator=generator) / inputs**0.5
            parts += [weights.flatten(), torch.zeros(self.width)]
        parts.append(torch.zeros(channels * (2 * self.width + 1)))
        return torch.cat(parts) / self.pace

    def __call__(
        self, numbers: Float[Tensor, "batch count"], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """Pictures of a batch of networks, at any size."""
        weights = numbers * self.pace
        longest = max(size)
        axes = [(torch.arange(n).to(numbers) - (n - 1) / 2) * (2 * 3**0.5 / longest) for n in size]
        place = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
        values, used = place.expand(len(numbers), -1, -1), 0
        for inputs in self._inputs():
            matrix, offset, used = _cut(weights, used, self.width, inputs)
            angle = torch.atan(torch.baddbmm(offset, matrix, values))
            # brought to about the same spread
            values = torch.cat([angle / 0.67, angle.square() / 0.6], 1)
        outputs = (weights.shape[1] - used) // (2 * self.width + 1)
        matrix, offset, used = _cut(weights, used, outputs, 2 * self.width)
        return finished(torch.baddbmm(offset, matrix, values).unflatten(2, size))

    def _inputs(self) -> list[int]:
        return [2] + [2 * self.width] * (self.layers - 1)


def _cut(weights: Tensor, used: int, outputs: int, inputs: int) -> tuple[Tensor, Tensor, int]:
    middle, end = used + outputs * inputs, used + outputs * (inputs + 1)
    return weights[:, used:middle].unflatten(1, (outputs, inputs)), weights[:, middle:end, None], end

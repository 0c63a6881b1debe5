"""The parts that the lecture's networks are built from: a convolution with its ReLU, a fast LRN, joining and adding."""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ConvUnit(nn.Sequential):
    """A convolution and its ReLU; the name of the block is the name of the rectified value.

    `pad` gives (left, right, top, bottom) px of zeros where the two sides differ; otherwise both get `padding`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        pad: tuple[int, int, int, int] | None = None,
    ) -> None:
        padding = kernel // 2 if padding is None else padding
        conv = nn.Conv2d(inputs, outputs, kernel, stride, 0 if pad else padding, groups=groups)
        parts: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, relu=nn.ReLU())
        if pad:
            parts = OrderedDict(pad=nn.ZeroPad2d(pad), **parts)
        super().__init__(parts)


class DenseUnit(nn.Sequential):
    """A fully connected layer and its ReLU; the name of the block is the name of the rectified value."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(OrderedDict(fc=nn.Linear(inputs, outputs), relu=nn.ReLU()))


class Concat(nn.Module):
    """Parallel branches joined along the channels."""

    def forward(self, *branches: Tensor) -> Tensor:
        return torch.cat(branches, 1)


class Add(nn.Module):
    """The unchanged path and the residual path, added."""

    def forward(self, kept: Tensor, residual: Tensor) -> Tensor:
        return kept + residual


class LRN(nn.LocalResponseNorm):
    """Local response normalisation: x / (k + alpha / size * sum of squares)**beta, over `size` neighbouring channels.

    torch finds the sum with a pooling over five axes; here the squares are shifted along the channels and added, which
    is the same in a third of the time on a CPU. `is_lrn` tells `trace` to keep the module whole.
    Source: Krizhevsky et al. 2012, section 3.3.

    >>> LRN(5, alpha=1e-4, beta=0.75, k=1.0)(torch.ones(1, 3, 2, 2))[0, 0, 0, 0].item()  # doctest: +ELLIPSIS
    0.99995...
    """

    is_lrn = True

    def forward(self, input: Float[Tensor, "batch channel *space"]) -> Float[Tensor, "batch channel *space"]:
        channels = input.shape[1]
        before, after = self.size // 2, (self.size - 1) // 2
        squares = F.pad(input * input, (0, 0) * (input.ndim - 2) + (before, after))
        total = squares[:, :channels].clone()
        for shift in range(1, self.size):
            total += squares[:, shift : shift + channels]
        return input * _power(self.k + total * (self.alpha / self.size), self.beta)


def _power(values: Tensor, beta: float) -> Tensor:
    """values ** -beta for values above 0; the usual exponents through square roots, which are cheaper than powers."""
    if beta == 0.5:
        return values.rsqrt()
    if beta == 0.75:
        root = values.rsqrt()
        return root * root.sqrt()
    return values**-beta

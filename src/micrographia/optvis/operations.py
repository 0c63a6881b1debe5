"""Operations of frozen weights that are faster on a CPU than torch's: what `quicken` puts into a graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.model.fold import BandedNorm
from micrographia.optvis.kernels.norm import local_response
from micrographia.optvis.kernels.pooled import Sides, pooled
from micrographia.optvis.kernels.threads import compiled
from micrographia.optvis.relu import redirected_gradient, redirected_relu


def square(given: int | tuple[int, ...]) -> int | None:
    """A size that is the same both ways, or None.

    >>> square((3, 3)), square((3, 2))
    (3, None)
    """
    both = given if isinstance(given, tuple) else (given, given)
    return both[0] if both[0] == both[1] else None


class Norm(nn.Module):
    """Local response normalisation by a kernel of ours where that takes the type, else as it was."""

    def __init__(self, own: BandedNorm) -> None:
        super().__init__()
        self.own = own

    def forward(self, x: Tensor) -> Tensor:
        own = self.own
        return local_response(x, own.size, own.alpha, own.beta, own.k) if compiled(x) and x.ndim == 4 else own(x)


class Pool(nn.Module):
    """Max pooling with its margin and ReLU by a kernel of ours where that takes the type, else by torch's."""

    def __init__(self, own: nn.MaxPool2d, sides: Sides, floor: str | None) -> None:
        super().__init__()
        self.own, self.sides, self.floor = own, sides, floor

    def forward(self, x: Tensor) -> Tensor:
        own, (left, right, top, bottom) = self.own, self.sides
        if not compiled(x):
            whole = F.pad(x, self.sides, value=float("-inf")) if any(self.sides) else x
            found: Tensor = own(whole)
            if self.floor is None:
                return found
            return F.relu(found) if self.floor == "plain" else redirected_relu(found)
        kernel, step, pad = (square(each) or 0 for each in (own.kernel_size, own.stride, own.padding))
        extent = [
            _windows(n + sides, kernel, step, pad, own.ceil_mode)
            for n, sides in zip(x.shape[2:], (top + bottom, left + right), strict=True)
        ]
        margin = left + pad, right + pad, top + pad, bottom + pad
        return pooled(x, kernel, step, margin, (extent[0], extent[1]), self.floor)


def _windows(length: int, kernel: int, step: int, pad: int, ceil: bool) -> int:
    """How many windows a pooling has along an axis, by torch's rule: none begins in the margin behind."""
    count = (length + 2 * pad - kernel + (step - 1 if ceil else 0)) // step + 1
    return count - 1 if ceil and (count - 1) * step >= length + pad else count


class Pointwise(nn.Module):
    """Convolutions of one cell that read the same value, and their ReLUs: matrix products for every cell."""

    def __init__(self, own: list[nn.Module], floors: list[str | None]) -> None:
        super().__init__()
        convs: list[Any] = own
        self.weights = nn.ParameterList(nn.Parameter(each.weight.detach().flatten(1), False) for each in convs)
        self.biases, self.floors = [each.bias for each in convs], floors

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = _Products.apply(x, self.floors, self.biases, *self.weights)
        return found


class _Products(torch.autograd.Function):
    """Each product with its ReLU; their gradients are summed as they are found."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, floors: list[str | None], biases: list[Tensor | None], *weights: Tensor
    ) -> tuple[Tensor, ...]:
        cells = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
        found = [F.linear(cells, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
        maps = [each.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2) for each in found]
        for each, floor in zip(found, floors, strict=True):
            if floor is not None:
                torch.relu_(each)
        ctx.shape, ctx.floors = x.shape, floors
        ctx.save_for_backward(*weights, *(each for each, floor in zip(maps, floors, strict=True) if floor is not None))
        return tuple(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        weights: list[Tensor] = [next(saved) for _ in gradients]
        total: Tensor | None = None
        for gradient, weight, floor in zip(gradients, weights, ctx.floors, strict=True):
            after: Any = None if floor is None else next(saved)
            if gradient is None:
                continue
            if floor == "redirected":
                gradient = redirected_gradient(gradient, after)
            elif floor == "plain":
                gradient = torch.ops.aten.threshold_backward(gradient, after, 0)
            rows = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight))
            total = rows @ weight if total is None else total.addmm_(rows, weight)
        count, channels, height, width = ctx.shape
        found = None if total is None else total.view(count, height, width, channels).permute(0, 3, 1, 2)
        return found, None, None, *[None for _ in gradients]


class Stem(nn.Module):
    """A convolution with a stride over few channels, whose gradient is one over blocks of stride x stride px."""

    blocks: Tensor

    def __init__(self, own: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = own.weight, own.bias
        self.stride: int = own.stride[0]
        self.padding: tuple[int, int] = (int(own.padding[0]), int(own.padding[1]))
        step = self.stride
        sides = [-side % step for side in own.kernel_size]
        whole = F.pad(own.weight.detach(), (0, sides[1], 0, sides[0]))
        outputs, inputs, tall, wide = whole.shape
        parts = whole.view(outputs, inputs, tall // step, step, wide // step, step).permute(0, 1, 3, 5, 2, 4)
        blocks = parts.reshape(outputs, inputs * step * step, tall // step, wide // step)
        self.register_buffer("blocks", blocks.contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = _StemProduct.apply(x, self.weight, self.bias, self.blocks, self.stride, self.padding)
        return found


class _StemProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, blocks: Tensor, step: int, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(blocks)
        ctx.shape, ctx.step, ctx.padding = x.shape, step, padding
        return F.conv2d(x, weight, bias, step, padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (blocks,) = ctx.saved_tensors
        turned = blocks.transpose(0, 1).flip(2, 3).contiguous(memory_format=torch.channels_last)
        margin = blocks.shape[2] - 1, blocks.shape[3] - 1
        found = F.pixel_shuffle(F.conv2d(gradient, turned, padding=margin), ctx.step)
        (top, left), (height, width) = ctx.padding, ctx.shape[2:]
        ends = height - (found.shape[2] - top), width - (found.shape[3] - left)
        return F.pad(found, (-left, ends[1], -top, ends[0])), None, None, None, None, None

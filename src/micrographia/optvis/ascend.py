"""The ascent: a batch of pictures, each of its own unit, climbs with Adam; no picture takes notice of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from micrographia.optvis.kernels.adam import adam
from micrographia.optvis.kernels.threads import compiled
from micrographia.optvis.quality import Quality

REDIRECTED_STEPS = 16
FORGET_MEAN, FORGET_SQUARE, TINY = 0.9, 0.99, 1e-12


@dataclass(frozen=True, eq=False)
class Climb:
    """What an ascent leaves behind: the numbers, the steps each picture took, its course, and whether it ever moved."""

    numbers: Float[Tensor, "batch ..."]
    steps: Int[Tensor, " batch"]
    course: Float[Tensor, "step batch"]
    moved: Tensor


def ascend(
    objective: Callable[[Tensor, int], Float[Tensor, " batch"]],
    start: Float[Tensor, "batch ..."],
    quality: Quality,
) -> Climb:
    """Maximise objective(numbers, step), one value per picture, by Adam (Kingma and Ba 2015) with a falling rate.

    A picture that has come to a plateau goes on to the settling steps, and is left alone after them.

    >>> climb = ascend(lambda x, step: -(x - 3.0).square().sum(1), torch.zeros(2, 1), Quality("x", 200, 0.1, 100))
    >>> climb.numbers.round(decimals=2)
    tensor([[3.],
            [3.]])
    """
    numbers = start.clone(memory_format=torch.contiguous_format)
    mean, square = torch.zeros_like(numbers), torch.zeros_like(numbers)
    batch = len(numbers)
    each = (-1, *[1] * (numbers.ndim - 1))
    clock = torch.zeros(batch, dtype=torch.int64, device=numbers.device)
    taken = torch.zeros_like(clock)
    moved = torch.zeros(batch, dtype=torch.bool, device=numbers.device)
    rates = _rates(quality).to(numbers)
    settling = quality.steps - quality.settle
    course: list[Tensor] = []
    for step in range(quality.steps):
        numbers.requires_grad_(True)
        values = objective(numbers, step)
        (gradient,) = torch.autograd.grad(-values.sum(), numbers)
        numbers = numbers.detach()
        course.append(values.detach())
        rate, correction = rates[clock] / (1 - FORGET_MEAN ** (step + 1)), 1 / (1 - FORGET_SQUARE ** (step + 1))
        if numbers.dtype == torch.float32 and compiled(numbers):
            moved |= adam(numbers, gradient, mean, square, rate, (FORGET_MEAN, FORGET_SQUARE), correction, TINY)
        else:
            moved |= torch.linalg.vector_norm(gradient.flatten(1), float("inf"), dim=1) > 0
            # one rounding an operation: a fused one may round otherwise at the end of a batch
            mean.mul_(FORGET_MEAN).add_(gradient * (1 - FORGET_MEAN))
            square.mul_(FORGET_SQUARE).add_((gradient * gradient).mul_(1 - FORGET_SQUARE))
            size = (square * correction).sqrt_().add_(TINY)
            numbers.sub_((mean / size).mul_(rate.view(each)))
        taken += clock < quality.steps
        clock = (clock + 1).clamp(max=quality.steps)
        if (step + 1) % quality.window == 0 and step + 1 >= 2 * quality.window:
            settled = _plateau(torch.stack(course[-2 * quality.window :]), quality.plateau)
            clock = torch.where(settled, clock.clamp(min=settling), clock)
        if bool((clock >= quality.steps).all()):
            break
    return Climb(numbers, taken, torch.stack(course), moved)


@dataclass(frozen=True)
class Normalised:
    """Plain ascent by the gradient over its root mean square: steps of one size, no momentum.

    Chollet, "Deep Learning with Python" (2017), section 5.4.2.
    """

    steps: int = 40
    rate: float = 1.0

    def __call__(
        self, objective: Callable[[Tensor, int], Float[Tensor, " batch"]], start: Float[Tensor, "batch ..."]
    ) -> Climb:
        """Maximise objective(numbers, step), one value per picture."""
        numbers = start.clone()
        moved = torch.zeros(len(numbers), dtype=torch.bool, device=numbers.device)
        course = []
        for step in range(self.steps):
            numbers.requires_grad_(True)
            values = objective(numbers, step)
            (gradient,) = torch.autograd.grad(values.sum(), numbers)
            numbers = numbers.detach()
            course.append(values.detach())
            moved |= gradient.flatten(1).any(1)
            spread = gradient.square().flatten(1).mean(1).sqrt().view(-1, *[1] * (numbers.ndim - 1))
            numbers.add_(gradient / (spread + 1e-5) * self.rate)
        return Climb(numbers, torch.full_like(moved, self.steps, dtype=torch.int64), torch.stack(course), moved)


def _rates(quality: Quality) -> Float[Tensor, " steps"]:
    """The rate at each tick of a picture's clock; the last entry, after the end, is zero."""
    ticks = torch.arange(quality.steps + 1, dtype=torch.float64)
    left = (quality.steps - ticks) / max(quality.settle, 1)
    return (quality.rate * left.clamp(0, 1)).float()


def _plateau(course: Float[Tensor, "step batch"], tolerance: float) -> Tensor:
    half = len(course) // 2
    # a plain loop of additions: a reduction's order of summation may depend on the batch
    before, after = _total(course[:half]), _total(course[half:])
    return after - before < tolerance * before.abs()


def _total(rows: Float[Tensor, "step batch"]) -> Float[Tensor, " batch"]:
    total = rows[0]
    for row in rows[1:]:
        total = total + row
    return total

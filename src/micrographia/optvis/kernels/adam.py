"""A step of Adam for a batch of pictures, each at a rate of its own, in one pass over memory."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool
from numba import njit
from torch import Tensor

from micrographia.optvis.kernels.threads import flat, spread

_ONE = np.float32(1)


@njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _step(first, last, numbers, gradient, mean, square, rates, moved, count, forget, forget_square, correction, tiny):
    fresh, fresh_square = _ONE - forget, _ONE - forget_square
    for n in range(first, last):
        rate, any_moved = rates[n], False
        for i in range(np.uintp(n * count), np.uintp((n + 1) * count)):
            g = gradient[i]
            any_moved |= g != 0
            m = mean[i] * forget + g * fresh
            s = square[i] * forget_square + g * g * fresh_square
            mean[i], square[i] = m, s
            numbers[i] -= rate * (m / (np.sqrt(s * correction) + tiny))
        moved[n] = any_moved


def adam(
    numbers: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    rates: Tensor,
    forget: tuple[float, float],
    correction: float,
    tiny: float,
) -> Bool[Tensor, " batch"]:
    """Move `numbers` against the gradient and renew the running means, in place; all of them float32 and contiguous.

    `rates` holds each picture's rate over the mean's correction, `correction` is one over that of the squares. Returns
    which pictures have a gradient at all.
    """
    constants = [np.float32(each) for each in (*forget, correction, tiny)]
    rows = [flat(each) for each in (numbers, gradient.contiguous(), mean, square, rates)]
    moved = torch.zeros(len(numbers), dtype=torch.bool)
    spread(_step, len(numbers), *rows, moved.numpy(), numbers[0].numel(), *constants)
    return moved

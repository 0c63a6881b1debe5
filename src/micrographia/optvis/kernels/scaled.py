"""What a network sees of pictures of three channels, which come last: their order, scale and offset in one pass."""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
import torch
from numba import njit
from torch import Tensor, autograd

from micrographia.optvis.kernels.bits import loaded, store
from micrographia.optvis.kernels.threads import flat, last, spread

Three = tuple[float, float, float]


@njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _forward(first, last, images, out, px, turned, scale, offset):
    three, two = np.uintp(3), np.uintp(2)
    a, b, c = scale
    d, e, f = offset
    for at in range(np.uintp(first * px), np.uintp(last * px)):
        start = three * at
        one, other = (start + two, start) if turned else (start, start + two)
        store(out, start, a * images[one] + d)
        store(out, start + np.uintp(1), b * images[start + np.uintp(1)] + e)
        store(out, start + two, c * images[other] + f)


@njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _backward(first, last, gradient, out, px, turned, scale):
    three, two = np.uintp(3), np.uintp(2)
    a, b, c = scale
    for at in range(np.uintp(first * px), np.uintp(last * px)):
        start = three * at
        one, other = (start + two, start) if turned else (start, start + two)
        out[one] = a * loaded(gradient, start)
        out[start + np.uintp(1)] = b * loaded(gradient, start + np.uintp(1))
        out[other] = c * loaded(gradient, start + two)


class _Scaled(autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, turned: bool, scale: Three, offset: Three, dtype: torch.dtype) -> Tensor:
        rows = last(images)
        out = torch.empty(rows.shape, dtype=dtype)
        ctx.arguments = rows.shape[1] * rows.shape[2], turned, tuple(np.float32(each) for each in scale)
        spread(_forward, len(rows), flat(rows), flat(out), *ctx.arguments, tuple(np.float32(each) for each in offset))
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        given = last(gradient)
        out = torch.empty(given.shape)
        spread(_backward, len(given), flat(given), flat(out), *ctx.arguments)
        return out.permute(0, 3, 1, 2), None, None, None, None


def scaled(images: Tensor, turned: bool, scale: Three, offset: Three, dtype: torch.dtype) -> Tensor:
    """Each channel of "batch 3 height width" in float32 times a scale plus an offset, in a type.

    `turned` reverses the channels first.

    >>> scaled(torch.ones(1, 3, 1, 1), False, (1.0, 2.0, 3.0), (0.0, 0.0, 1.0), torch.float32).flatten()
    tensor([1., 2., 4.])
    """
    found: Tensor = _Scaled.apply(images, turned, scale, offset, dtype)
    return found

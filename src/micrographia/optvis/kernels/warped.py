"""An affine map of each picture of three channels, which come last: bilinear, and mirrored at the edge."""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
from numba import njit
from torch import Tensor, autograd

from micrographia.optvis.kernels.threads import flat, last, spread

_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1), np.float32(0)


@njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _mirrored(place, length):
    """A place folded back between the outermost px, whose edges lie half a px outside their centres."""
    period = np.float32(2 * length)
    folded = np.float32(abs(place + _HALF) % period)
    folded = period - folded if folded > length else folded
    return min(max(folded - _HALF, _ZERO), np.float32(length - 1))


@njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _places(across, down, shares, row, a, start, tall, wide, height, width):
    """For a row of the window: of each px the index of the upper left of four, the steps to the others, the shares."""
    y = np.float32(row) - np.float32((height - 1) * 0.5)
    left, top = np.float32((wide - 1) * 0.5), np.float32((tall - 1) * 0.5)
    for column in range(width):
        x = np.float32(column) - np.float32((width - 1) * 0.5)
        u = a[0] * x + a[1] * y + a[2] + left
        v = a[3] * x + a[4] * y + a[5] + top
        if u < _ZERO or u > wide - 1:
            u = _mirrored(u, wide)
        if v < _ZERO or v > tall - 1:
            v = _mirrored(v, tall)
        i, j = np.int64(v), np.int64(u)
        shares[column, 0], shares[column, 1] = v - np.float32(i), u - np.float32(j)
        across[column] = 3 if j + 1 < wide else 0
        down[column, 0] = start + (i * wide + j) * 3
        down[column, 1] = 3 * wide if i + 1 < tall else 0


@njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _forward(first, last, images, maps, out, tall, wide, height, width):
    across, down = np.empty(width, np.int64), np.empty((width, 2), np.int64)
    shares = np.empty((width, 2), np.float32)
    for n in range(first, last):
        for row in range(height):
            _places(across, down, shares, row, maps[n], 3 * tall * wide * n, tall, wide, height, width)
            to = np.uintp(((n * height + row) * width) * 3)
            for column in range(width):
                low, side = shares[column, 0], shares[column, 1]
                at = np.uintp(down[column, 0])
                beside, below = at + np.uintp(across[column]), at + np.uintp(down[column, 1])
                both = below + np.uintp(across[column])
                p, q = (_ONE - low) * (_ONE - side), (_ONE - low) * side
                r, s = low * (_ONE - side), low * side
                for c in range(np.uintp(3)):
                    out[to + c] = (
                        p * images[at + c] + q * images[beside + c] + r * images[below + c] + s * images[both + c]
                    )
                to += np.uintp(3)


@njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _backward(first, last, gradient, maps, out, tall, wide, height, width):
    across, down = np.empty(width, np.int64), np.empty((width, 2), np.int64)
    shares = np.empty((width, 2), np.float32)
    for n in range(first, last):
        for row in range(height):
            _places(across, down, shares, row, maps[n], 3 * tall * wide * n, tall, wide, height, width)
            to = np.uintp(((n * height + row) * width) * 3)
            for column in range(width):
                low, side = shares[column, 0], shares[column, 1]
                at = np.uintp(down[column, 0])
                beside, below = at + np.uintp(across[column]), at + np.uintp(down[column, 1])
                both = below + np.uintp(across[column])
                p, q = (_ONE - low) * (_ONE - side), (_ONE - low) * side
                r, s = low * (_ONE - side), low * side
                for c in range(np.uintp(3)):
                    g = gradient[to + c]
                    out[at + c] += p * g
                    out[beside + c] += q * g
                    out[below + c] += r * g
                    out[both + c] += s * g
                to += np.uintp(3)


class _Warped(autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
        rows, maps = last(images), maps.float().contiguous().flatten(1)
        out = rows.new_empty((len(rows), *size, 3))
        ctx.save_for_backward(maps)
        ctx.shape, ctx.extents = rows.shape, (rows.shape[1], rows.shape[2], *size)
        spread(_forward, len(rows), flat(rows), maps.numpy(), flat(out), *ctx.extents)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (maps,) = ctx.saved_tensors
        out = gradient.new_zeros(ctx.shape)
        spread(_backward, len(out), flat(last(gradient)), maps.numpy(), flat(out), *ctx.extents)
        return out.permute(0, 3, 1, 2), None, None


def warped(images: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """What `warp` makes of "batch 3 tall wide" in float32 by "batch 2 3"."""
    found: Tensor = _Warped.apply(images, maps, size)
    return found

"""Local response normalisation with the channels last: one pass over memory each way."""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
from numba import njit
from torch import Tensor, autograd

from micrographia.optvis.kernels.bits import narrow, widen
from micrographia.optvis.kernels.threads import flat, last, spread

POWERS = (0.5, 0.75)  # those that are made of square roots
_ONE = np.float32(1)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _sums(row, padded, sums, before, size):
    """Of each channel the sum over the window of `size` that starts `before` channels ahead of it."""
    channels = np.uintp(len(row))
    for c in range(channels):
        padded[before + c] = row[c]
    for c in range(channels):
        sums[c] = padded[c]
    shift = np.uintp(1)
    while shift + np.uintp(1) < size:
        for c in range(channels):
            sums[c] += padded[shift + c] + padded[shift + np.uintp(1) + c]
        shift += np.uintp(2)
    if shift < size:
        for c in range(channels):
            sums[c] += padded[shift + c]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _scales(value, square, padded, total, scale, before, size, alpha, k, root):
    """k + alpha * the sum of squares in `total`, and its power in `scale`."""
    for c in range(len(value)):
        square[c] = value[c] * value[c]
    _sums(square, padded, total, before, size)
    for c in range(len(value)):
        total[c] = k + alpha * total[c]
        scale[c] = _ONE / np.sqrt(total[c])
    if root:
        for c in range(len(value)):
            scale[c] = scale[c] * np.sqrt(scale[c])


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _forward(first, last, x, out, cells, channels, before, size, alpha, k, root):
    value, square = np.empty(channels, np.float32), np.empty(channels, np.float32)
    total, scale = np.empty(channels, np.float32), np.empty(channels, np.float32)
    padded, bits = np.zeros(channels + size, np.float32), value.view(np.uint32)
    for cell in range(np.uintp(first * cells), np.uintp(last * cells)):
        start = cell * np.uintp(channels)
        widen(x, start, value, bits)
        _scales(value, square, padded, total, scale, np.uintp(before), np.uintp(size), alpha, k, root)
        for c in range(channels):
            value[c] = value[c] * scale[c]
        narrow(value, bits, out, start)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _backward(first, last, x, gradient, out, cells, channels, before, size, alpha, k, root, factor):
    value, given, square = (
        np.empty(channels, np.float32),
        np.empty(channels, np.float32),
        np.empty(channels, np.float32),
    )
    total, scale = np.empty(channels, np.float32), np.empty(channels, np.float32)
    padded, mirrored = np.zeros(channels + size, np.float32), np.zeros(channels + size, np.float32)
    bits, given_bits = value.view(np.uint32), given.view(np.uint32)
    for cell in range(np.uintp(first * cells), np.uintp(last * cells)):
        start = cell * np.uintp(channels)
        widen(x, start, value, bits)
        widen(gradient, start, given, given_bits)
        _scales(value, square, padded, total, scale, np.uintp(before), np.uintp(size), alpha, k, root)
        for c in range(channels):
            square[c] = given[c] * value[c] * scale[c] / total[c]
        _sums(square, mirrored, total, np.uintp(size - 1 - before), np.uintp(size))
        for c in range(channels):
            value[c] = given[c] * scale[c] - factor * value[c] * total[c]
        narrow(value, bits, out, start)


class _Norm(autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        rows = last(x)
        out = rows.new_empty(rows.shape)
        ctx.save_for_backward(rows)
        ctx.constants = (size // 2, size, np.float32(alpha / size), np.float32(k), beta == POWERS[1])
        ctx.factor = np.float32(2 * beta * alpha / size)
        ctx.extent = rows.shape[1] * rows.shape[2], rows.shape[3]
        spread(_forward, len(rows), flat(rows), flat(out), *ctx.extent, *ctx.constants)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        (rows,) = ctx.saved_tensors
        out = rows.new_empty(rows.shape)
        given = flat(last(gradient))
        spread(_backward, len(rows), flat(rows), given, flat(out), *ctx.extent, *ctx.constants, ctx.factor)
        return out.permute(0, 3, 1, 2), None, None, None, None


def local_response(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """x / (k + alpha / size * sum of squares) ** beta over `size` neighbouring channels, beta one of `POWERS`.

    >>> local_response(torch.ones(1, 3, 2, 2), 5, 5.0, 0.5, 1.0)[0, :, 0, 0]
    tensor([0.5000, 0.5000, 0.5000])
    """
    found: Tensor = _Norm.apply(x, size, alpha, beta, k)
    return found

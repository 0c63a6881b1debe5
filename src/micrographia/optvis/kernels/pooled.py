"""Max pooling with the channels last, its margin and the ReLU around it in one pass each way.

torch notes a place of eight bytes for each maximum, copies the picture for a margin that is not the same all around,
and passes over memory once more for the ReLU. Here a byte per maximum says which cell of the window it was, and its
upper bit that the ReLU shuts it.

Windows are at most 3 x 3, and each of their rows is one loop over channels: a loop that reads more places than three
is not made into vectors. Where the margin cuts a window, its cells outside are replaced by cells inside, which are
compared twice.
"""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
import torch
from numba import njit
from torch import Tensor, autograd

from micrographia.optvis.kernels.bits import loaded, store
from micrographia.optvis.kernels.threads import flat, last, spread

LARGEST = 3
_LEAST, _ZERO, _SHUT, _NONE = np.float32(-np.inf), np.float32(0), np.uint32(128), np.uint8(127)
Sides = tuple[int, int, int, int]  # left, right, top, bottom


@njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _forward(first, last, x, out, cells, tall, wide, height, width, channels, kernel, step, top, left, floor):
    best, cell = np.empty(channels, np.float32), np.empty(channels, np.uint32)
    count = np.uintp(channels)
    for n in range(first, last):
        for row in range(height):
            for column in range(width):
                for c in range(count):
                    best[c], cell[c] = _LEAST, 0
                for tap in range(kernel):
                    down = min(max(tap, top - row * step), tall - 1 - row * step + top)
                    line = (n * tall + row * step - top + down) * wide
                    low, high = max(0, left - column * step), min(kernel - 1, wide - 1 - column * step + left)
                    middle, base = min(max(1, low), high), column * step - left
                    p = np.uintp((line + base + low) * channels)
                    q = np.uintp((line + base + middle) * channels)
                    r = np.uintp((line + base + high) * channels)
                    a, b, d = (
                        np.uint32(down * kernel + low),
                        np.uint32(down * kernel + middle),
                        np.uint32(down * kernel + high),
                    )
                    for c in range(count):
                        most, where = best[c], cell[c]
                        one, two, three = loaded(x, p + c), loaded(x, q + c), loaded(x, r + c)
                        # NaN is greater than anything, so that it comes through
                        better = (one > most) | (one != one)
                        most = one if better else most
                        where = a if better else where
                        better = (two > most) | (two != two)
                        most = two if better else most
                        where = b if better else where
                        better = (three > most) | (three != three)
                        best[c] = three if better else most
                        cell[c] = d if better else where
                start = np.uintp(((n * height + row) * width + column) * channels)
                if floor:
                    for c in range(count):
                        most, where = best[c], cell[c]
                        shut = most <= _ZERO
                        best[c] = _ZERO if shut else most
                        cell[c] = where | _SHUT if shut else where
                for c in range(count):
                    store(out, start + c, best[c])
                for c in range(count):
                    cells[start + c] = np.uint8(cell[c])


@njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def _backward(
    first,
    last,
    gradient,
    cells,
    out,
    moved,
    tall,
    wide,
    height,
    width,
    channels,
    kernel,
    step,
    top,
    left,
    watched,
    redirected,
):
    total = np.empty(channels, np.float32)
    count, reach = np.uintp(channels), 3 if step == 1 else 2
    for n in range(first, last):
        any_moved = False
        for i in range(tall):
            for j in range(wide):
                total[:] = 0
                for window in range(reach):
                    row = (i + top) // step - window
                    down = i + top - row * step
                    if row < 0 or row >= height or down >= kernel:
                        continue
                    column = (j + left) // step
                    across = j + left - column * step
                    line = (n * height + row) * width
                    a = b = d = _NONE
                    p = q = r = np.uintp(line * channels)
                    if 0 <= column < width and across < kernel:
                        a, p = np.uint8(down * kernel + across), np.uintp((line + column) * channels)
                    if 0 <= column - 1 < width and across + step < kernel:
                        b, q = np.uint8(down * kernel + across + step), np.uintp((line + column - 1) * channels)
                    if 0 <= column - 2 < width and across + 2 * step < kernel:
                        d, r = np.uint8(down * kernel + across + 2 * step), np.uintp((line + column - 2) * channels)
                    if redirected:
                        for c in range(count):
                            # a shut ReLU lets through what opens it: the objective is minimised
                            value, cell = loaded(gradient, p + c), cells[p + c]
                            total[c] += value if cell == a or (cell == a + _SHUT and value <= _ZERO) else _ZERO
                            value, cell = loaded(gradient, q + c), cells[q + c]
                            total[c] += value if cell == b or (cell == b + _SHUT and value <= _ZERO) else _ZERO
                            value, cell = loaded(gradient, r + c), cells[r + c]
                            total[c] += value if cell == d or (cell == d + _SHUT and value <= _ZERO) else _ZERO
                    elif reach == 2:
                        for c in range(count):
                            one, two = loaded(gradient, p + c), loaded(gradient, q + c)
                            found = one if cells[p + c] == a else _ZERO
                            total[c] += found + (two if cells[q + c] == b else _ZERO)
                    else:
                        for c in range(count):
                            one, two, three = loaded(gradient, p + c), loaded(gradient, q + c), loaded(gradient, r + c)
                            found = one if cells[p + c] == a else _ZERO
                            found += two if cells[q + c] == b else _ZERO
                            total[c] += found + (three if cells[r + c] == d else _ZERO)
                start = np.uintp(((n * tall + i) * wide + j) * channels)
                for c in range(count):
                    store(out, start + c, total[c])
                if watched and not any_moved:
                    for c in range(count):
                        any_moved |= total[c] != _ZERO
        moved[n] = any_moved


class _Pooled(autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: int, step: int, sides: Sides, extent: tuple[int, int], floor: str | None
    ) -> Tensor:
        rows = last(x)
        count, tall, wide, channels = rows.shape
        out = rows.new_empty((count, *extent, channels))
        cells = torch.empty(out.shape, dtype=torch.uint8)
        ctx.plan = (tall, wide, *extent, channels, kernel, step, sides[2], sides[0])
        ctx.redirected, ctx.shape = floor == "redirected", rows.shape
        ctx.save_for_backward(cells)
        spread(_forward, count, flat(rows), flat(out), flat(cells), *ctx.plan, floor is not None)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (cells,) = ctx.saved_tensors
        given = last(gradient)
        out, moved = given.new_empty(ctx.shape), np.empty(len(given), np.bool_)
        arguments = (flat(given), flat(cells), flat(out), moved, *ctx.plan, ctx.redirected)
        spread(_backward, len(given), *arguments, False)
        if ctx.redirected:
            for n in np.flatnonzero(~moved):
                _backward(n, n + 1, *arguments, True)
        return out.permute(0, 3, 1, 2), None, None, None, None, None


def pooled(
    x: Tensor, kernel: int, step: int, sides: Sides, extent: tuple[int, int], floor: str | None = None
) -> Tensor:
    """The greatest value of each square window of at most `LARGEST` cells, `step` apart, in a result of this extent.

    `sides` is the margin, left, right, top and bottom, which never holds the greatest; `floor` is "plain" or
    "redirected" for a ReLU before or after it, which is the same.

    >>> pooled(torch.arange(4.0).view(1, 1, 2, 2) - 9, 2, 2, (0, 0, 0, 0), (1, 1), "plain")
    tensor([[[[0.]]]])
    """
    found: Tensor = _Pooled.apply(x, kernel, step, sides, extent, floor)
    return found

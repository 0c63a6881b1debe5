"""From decorrelated planes to pictures of values 0..1, channels last: colour, contrast and squashing at once."""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
from numba import njit
from torch import Tensor, autograd

from micrographia.optvis.kernels.threads import flat, last, spread

_HALF, _QUARTER, _ONE = np.float32(0.5), np.float32(0.25), np.float32(1)
LANES = 16  # partial sums of a picture, so that its order of summation is its own
Matrix = tuple[float, ...]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
@no_type_check
def _forward(first, last, planes, out, spreads, px, axes, contrast):
    a, b, c, d, e, f, g, h, i = axes
    one, two, lanes = np.uintp(px), np.uintp(2 * px), np.uintp(LANES)
    sums = np.empty(lanes, np.float32)
    for n in range(first, last):
        start = np.uintp(3 * px * n)
        scale = _ONE
        if contrast > 0:
            sums[:] = 0
            total = 0.0
            whole = np.uintp(px // LANES * LANES)
            block = np.uintp(0)
            count = 0
            while block < whole:
                for lane in range(lanes):
                    at = start + block + lane
                    x, y, z = planes[at], planes[at + one], planes[at + two]
                    red, green, blue = a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z
                    sums[lane] += red * red + green * green + blue * blue
                block += lanes
                count += 1
                if count == 64:
                    for lane in range(lanes):
                        total += sums[lane]
                    sums[:] = 0
                    count = 0
            for lane in range(lanes):
                total += sums[lane]
            for p in range(whole, one):
                at = start + p
                x, y, z = planes[at], planes[at + one], planes[at + two]
                red, green, blue = a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z
                total += red * red + green * green + blue * blue
            spreads[n] = np.sqrt(total / (3 * px))
            scale = contrast / max(spreads[n], contrast)
        scale = np.float32(scale * _HALF)
        for p in range(one):
            at = start + p
            x, y, z = planes[at] * scale, planes[at + one] * scale, planes[at + two] * scale
            red, green, blue = a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z
            to = start + np.uintp(3) * p
            out[to] = red / np.sqrt(red * red + _ONE) * _HALF + _HALF
            out[to + np.uintp(1)] = green / np.sqrt(green * green + _ONE) * _HALF + _HALF
            out[to + np.uintp(2)] = blue / np.sqrt(blue * blue + _ONE) * _HALF + _HALF


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
@no_type_check
def _backward(first, last, planes, gradient, out, spreads, px, axes, contrast):
    a, b, c, d, e, f, g, h, i = axes
    one, two, three = np.uintp(px), np.uintp(2 * px), np.uintp(3)
    for n in range(first, last):
        start = np.uintp(3 * px * n)
        scale = _ONE
        if contrast > 0:
            scale = contrast / max(spreads[n], contrast)
        scale = np.float32(scale)
        half = scale * _HALF
        limited = contrast > 0 and spreads[n] > contrast
        dot = 0.0
        row = np.uintp(0)
        while row < one:
            # the part of a picture that stays in cache: first its squashing, then its share of the dot product
            end = min(row + np.uintp(256), one)
            part = np.float32(0)
            for p in range(row, end):
                at = start + p
                x, y, z = planes[at] * half, planes[at + one] * half, planes[at + two] * half
                red, green, blue = a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z
                to = start + three * p
                r, s, t = red * red + _ONE, green * green + _ONE, blue * blue + _ONE
                red_down = gradient[to] * _QUARTER / (r * np.sqrt(r))
                green_down = gradient[to + np.uintp(1)] * _QUARTER / (s * np.sqrt(s))
                blue_down = gradient[to + np.uintp(2)] * _QUARTER / (t * np.sqrt(t))
                out[at] = a * red_down + d * green_down + g * blue_down
                out[at + one] = b * red_down + e * green_down + h * blue_down
                out[at + two] = c * red_down + f * green_down + i * blue_down
            if limited:
                for p in range(row, end):
                    at = start + p
                    part += planes[at] * out[at] + planes[at + one] * out[at + one] + planes[at + two] * out[at + two]
                dot += part
            row = end
        if not limited:
            if scale != _ONE:
                for p in range(start, start + three * one):
                    out[p] *= scale
            continue
        # the contrast falls as any value rises: back through the colours, whose square is A A^T
        back = np.float32(dot / (spreads[n] * spreads[n] * 3 * px))
        for p in range(one):
            at = start + p
            x, y, z = planes[at], planes[at + one], planes[at + two]
            red, green, blue = a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z
            out[at] = scale * (out[at] - back * (a * red + d * green + g * blue))
            out[at + one] = scale * (out[at + one] - back * (b * red + e * green + h * blue))
            out[at + two] = scale * (out[at + two] - back * (c * red + f * green + i * blue))


class _Coloured(autograd.Function):
    @staticmethod
    def forward(ctx: Any, planes: Tensor, axes: Matrix, contrast: float) -> Tensor:
        planes = planes.contiguous()
        count, _, height, width = planes.shape
        out, spreads = planes.new_empty((count, height, width, 3)), planes.new_zeros(count)
        ctx.axes, ctx.contrast = tuple(np.float32(each) for each in axes), np.float32(contrast)
        ctx.save_for_backward(planes, spreads)
        spread(_forward, count, flat(planes), flat(out), flat(spreads), height * width, ctx.axes, ctx.contrast)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        planes, spreads = ctx.saved_tensors
        out = planes.new_empty(planes.shape)
        count, _, height, width = planes.shape
        given = flat(last(gradient))
        spread(_backward, count, flat(planes), given, flat(out), flat(spreads), height * width, ctx.axes, ctx.contrast)
        return out, None, None


def coloured(planes: Tensor, axes: Matrix, contrast: float | None) -> Tensor:
    """What `finished` makes of "batch 3 height width" in float32, by nine numbers of colour axes, row by row."""
    found: Tensor = _Coloured.apply(planes, axes, contrast or 0.0)
    return found

"""Receptive fields: which px of the picture each cell of each value can see, for any directed acyclic graph.

Along one axis, cell i of a value sees px scale*i + low to scale*i + high. A convolution or pooling of kernel k, stride
s, padding p and dilation d turns (scale, low, high) into (scale*s, low - scale*p, high + scale*(d*(k-1) - p)); where
paths meet, the lowest low and the highest high count (Araujo, Norris and Sim, Distill 2019, generalised to a DAG).
Cells of a resized value do not all see equally many px; there (scale, low, high) is the narrowest that holds for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from micrographia.errors import BadValue
from micrographia.model.ops import Window

# scales like 1/3 are not exact in floating point; px are counted in whole numbers
_SLACK = 1e-6


@dataclass(frozen=True)
class Field:
    """What the cells of a value see along one axis of the picture, in px."""

    scale: float = 1.0
    low: float = 0.0
    high: float = 0.0

    @property
    def size(self) -> int:
        """Width of the field in px: the most that any cell sees."""
        return math.floor(self.high - self.low + _SLACK) + 1

    @property
    def centre(self) -> float:
        """Where the middle of cell 0's field lies, in px."""
        return (self.low + self.high) / 2

    def pixels(self, cell: int) -> tuple[int, int]:
        """First and last px that this cell sees; may lie outside the picture, in the padding.

        >>> Field(2.0, -3.0, 3.0).pixels(0)
        (-3, 3)
        """
        return (
            math.ceil(self.scale * cell + self.low - _SLACK),
            math.floor(self.scale * cell + self.high + _SLACK),
        )


def through(field: Field, window: Window, axis: int) -> Field:
    """The field after a conv, pooling or padding. `axis` is 0 for the height, 1 for the width.

    >>> through(Field(), Window((7, 7), (2, 2), (3, 3)), 0)
    Field(scale=2.0, low=-3.0, high=3.0)
    """
    reach = window.dilation[axis] * (window.kernel[axis] - 1)
    pad = window.padding[axis]
    return Field(
        field.scale * window.stride[axis], field.low - field.scale * pad, field.high + field.scale * (reach - pad)
    )


def through_transposed(field: Field, window: Window, axis: int) -> Field:
    """The field after a transposed convolution, whose cell i comes from inputs (i + p - d(k-1))/s to (i + p)/s."""
    reach = window.dilation[axis] * (window.kernel[axis] - 1)
    pad, step = window.padding[axis], field.scale / window.stride[axis]
    return Field(step, field.low + step * (pad - reach), field.high + step * pad)


def resized(
    field: Field,
    before: int,
    after: int,
    mode: str = "bilinear",
    corners: bool = False,
    antialias: bool = False,
    step: float | None = None,
) -> Field:
    """The field after resizing from `before` to `after` cells as torch's interpolate does; "area" is adaptive pooling.

    New cell i stands at old cell step*i + shift, a multiple of 1/n, and reads the old cells in an open interval around
    it. `step` is before/after unless it is given, or the corner cells are kept in place. Raises BadValue for an
    unknown mode.

    >>> resized(Field(), 5, 10, "nearest")
    Field(scale=0.5, low=-0.5, high=0.0)
    """
    pace = Fraction(before, after) if step is None else Fraction(step).limit_denominator(10_000)
    if corners:
        pace = Fraction(before - 1, after - 1) if after > 1 else Fraction(0)
    half = Fraction(1, 2)
    widths = {"bilinear": 1, "bicubic": 2}
    low: Fraction
    if mode in widths:
        shift = Fraction(0) if corners else pace * half - half
        reach = widths[mode] * max(pace, Fraction(1)) if antialias else Fraction(widths[mode])
        reach -= Fraction(1, math.lcm(pace.denominator, shift.denominator))
        low, high = shift - reach, shift + reach
    elif mode in ("nearest", "nearest-exact"):
        shift = pace * half if mode == "nearest-exact" else Fraction(0)
        # where a new cell falls right between two old ones, torch's rounding may take the one before
        inexact = pace.numerator > 1 and pace.denominator > 1
        low = shift - 1 if inexact else shift - 1 + Fraction(1, math.lcm(pace.denominator, shift.denominator))
        high = shift
    elif mode == "area":
        part = Fraction(1, pace.denominator)
        low, high = part - 1, pace - part
    else:
        raise BadValue(f"There is no resizing mode '{mode}'. It is nearest, nearest-exact, bilinear, bicubic or area.")
    scale = field.scale
    return Field(scale * float(pace), field.low + scale * float(low), field.high + scale * float(high))


def merged(fields: Sequence[Field]) -> Field:
    """The field where paths meet; raises BadValue where their strides differ, since they then cannot be one grid."""
    if not same_grid(fields):
        scales = sorted({field.scale for field in fields})
        raise BadValue(f"Paths of strides {scales} cannot meet. Look at the block's strides.")
    return Field(fields[0].scale, min(f.low for f in fields), max(f.high for f in fields))


def same_grid(fields: Sequence[Field]) -> bool:
    """Whether the cells of all these values lie on one grid."""
    return all(math.isclose(field.scale, fields[0].scale, rel_tol=1e-9) for field in fields)


@dataclass(frozen=True)
class Box:
    """A rectangle of the picture in px, last row and column included; it may reach into the padding."""

    top: int
    left: int
    bottom: int
    right: int


def field_box(
    stride: tuple[float, float], offset: tuple[float, float], size: tuple[int, int], cell: tuple[int, int]
) -> Box:
    """The rectangle that a cell (row, column) sees, from a layer's stride, offset and receptive field.

    >>> field_box((2.0, 2.0), (0.0, 0.0), (7, 7), (1, 0))
    Box(top=-1, left=-3, bottom=5, right=3)
    """
    # to the nearest px: the centre of a field of fractional width may lie off the middle of the px in it
    first = [
        math.floor(middle + step * index - (width - 1) / 2 + 0.5 + _SLACK)
        for middle, step, index, width in zip(offset, stride, cell, size, strict=True)
    ]
    return Box(first[0], first[1], first[0] + size[0] - 1, first[1] + size[1] - 1)

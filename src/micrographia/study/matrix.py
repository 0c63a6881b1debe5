"""The weights between two layers as one matrix: a row for each source unit, a column for each target unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from micrographia.errors import BadValue, suggest

Kernels = Float[np.ndarray, "out in height width"]

# each keeps the units apart and sums up what lies over space
_OVER_SPACE: dict[str, Callable[[Kernels], Float[np.ndarray, "out in"]]] = {
    "l1": lambda kernels: np.abs(kernels).sum((2, 3)),
    "l2": lambda kernels: np.sqrt(np.square(kernels).sum((2, 3))),
    "max": lambda kernels: np.abs(kernels).max((2, 3)),
    "signed sum": lambda kernels: kernels.sum((2, 3)),
}
REDUCTIONS = (*_OVER_SPACE, "none")
"""The names of the ways from a tensor to a matrix."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix of weights and where it comes from.

    Each source unit has `taps` rows, one after the other: 1, except where space was not reduced. `note` tells the
    shapes, before and after.
    """

    values: Float[np.ndarray, "row column"]
    taps: int
    reduction: str
    note: str


def as_matrix(kernels: Kernels, reduction: str = "l1") -> Matrix:
    """The weights as a matrix, source units by target units, in float64.

    `l1`, `l2` and `max` are those norms of |kernel| over space; `signed sum` adds a kernel up with its signs, so that
    the matrix may be negative; `none` keeps every tap: each filter is a column of |weights|, channel by channel, row by
    row (channels * rows * columns, by filters). Raises BadValue for another name and for weights that are not numbers.

    >>> as_matrix(np.ones((5, 3, 2, 2)), "none").note
    '5 filters of 3 x 2 x 2 -> |W|, 12 x 5: a row per channel and tap'
    """
    if reduction not in REDUCTIONS:
        near = suggest(reduction, REDUCTIONS)
        raise BadValue(f"There is no reduction '{reduction}'. Near it: {near}; all of them: {', '.join(REDUCTIONS)}.")
    wide = kernels.astype(np.float64)
    if not np.isfinite(wide).all():
        raise BadValue("Some of the weights are not finite numbers. Load weights of a network that was trained well.")
    out, channels, height, width = wide.shape
    taps = height * width
    if reduction == "none":
        values, rows = np.abs(wide).reshape(out, channels * taps).T, "a row per channel and tap"
    else:
        values, rows = _OVER_SPACE[reduction](wide).T, f"{reduction} over {height} x {width} taps"
        taps = 1
    name = "W" if reduction == "signed sum" else "|W|"
    shape = f"{out} filters of {channels} x {height} x {width}"
    note = f"{shape} -> {name}, {values.shape[0]} x {values.shape[1]}: {rows}"
    return Matrix(np.ascontiguousarray(values), taps, reduction, note)

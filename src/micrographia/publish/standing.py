"""Where a value stands among those of a data set, from the histogram that the survey kept."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def share_below(
    value: float | int, edges: Float[np.ndarray, " edge"], counts: Int[np.ndarray, " bin"], greatest: float | int
) -> float:
    """The share of all activations that lie below a value: 1 above the greatest, straight lines within a bin.

    >>> share_below(1.5, np.array([0.0, 1.0, 2.0]), np.array([6, 2]), 1.9)
    0.875
    """
    if value > greatest:
        return 1.0
    total = int(counts.sum())
    if not total or value <= edges[0]:
        return 0.0
    return float(np.interp(value, edges, np.concatenate([[0], np.cumsum(counts)])) / total)

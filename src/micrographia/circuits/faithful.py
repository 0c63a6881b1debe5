"""How faithful a circuit's values are to the target's: per picture, as a ratio of means, and over sizes as an area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

Values = Float[np.ndarray, " window"]
RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval over pictures (bootstrap, percentiles)."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def faithfulness(whole: Values, part: Values, nothing: Values) -> float:
    """1 - sum (whole - part)^2 / sum (whole - nothing)^2: the share of the target's variation that a part reproduces.

    1 where they agree on every picture, 0 where the part is no better than nothing, below 0 where it is worse. Where
    nothing is as good as the whole there is nothing to explain, and the result is 0.

    >>> faithfulness(np.array([1.0, 3.0]), np.array([1.0, 2.0]), np.zeros(2))
    0.9
    """
    left = float(np.square(whole - nothing).sum())
    return 1.0 - float(np.square(whole - part).sum()) / left if left > 0 else 0.0


def recovered(whole: Values, part: Values, nothing: Values) -> float:
    """(mean of part - mean of nothing) / (mean of whole - mean of nothing), as Mueller et al., MIB (2025) have it.

    >>> recovered(np.array([1.0, 3.0]), np.array([3.0, 1.0]), np.zeros(2))
    1.0
    """
    left = float(whole.mean() - nothing.mean())
    return float(part.mean() - nothing.mean()) / left if left != 0 else 0.0


class Draws:
    """Pictures drawn with replacement, as often as there are, picture by picture: windows of one picture stay together.

    >>> Draws([0, 0, 1, 1], seed=0).sums(np.ones(4))[:3]
    array([4., 4., 4.])
    """

    def __init__(self, pictures: Sequence[int], seed: int, count: int = RESAMPLES) -> None:
        names, self.of = np.unique(np.asarray(pictures), return_inverse=True)
        chosen = np.random.default_rng(seed).integers(len(names), size=(count, len(names)))
        # how often each draw has each picture: a sum over a draw is then a product of matrices
        cells = np.arange(count)[:, None] * len(names) + chosen
        self.often = np.bincount(cells.ravel(), minlength=count * len(names)).reshape(count, len(names)).astype(float)

    def sums(self, values: Values) -> Float[np.ndarray, " draw"]:
        """The sum over the windows of each draw."""
        found: Float[np.ndarray, " draw"] = self.often @ np.bincount(self.of, values, self.often.shape[1])
        return found


def interval(whole: Values, part: Values, nothing: Values, pictures: Sequence[int], seed: int = 0) -> Interval:
    """Faithfulness with its interval."""
    draws = Draws(pictures, seed)
    left = draws.sums(np.square(whole - nothing))
    lost = draws.sums(np.square(whole - part))
    low, high = np.quantile(np.where(left > 0, 1 - lost / np.where(left > 0, left, 1), 0.0), [0.025, 0.975])
    return Interval(faithfulness(whole, part, nothing), float(low), float(high))


def mean_interval(values: Values, pictures: Sequence[int], seed: int = 0) -> Interval:
    """A mean with its interval.

    >>> mean_interval(np.full(4, 2.0), [0, 0, 1, 1])
    Interval(value=2.0, low=2.0, high=2.0)
    """
    draws = Draws(pictures, seed)
    low, high = np.quantile(draws.sums(values) / draws.sums(np.ones(len(values))), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def better_p(whole: Values, part: Values, other: Values, pictures: Sequence[int], seed: int = 0) -> float:
    """The share of resamples of pictures in which a part is no nearer to the whole than another part is.

    >>> better_p(np.ones(4), np.ones(4), np.zeros(4), [0, 1, 2, 3])
    0.000999000999000999
    """
    gain = np.square(whole - other) - np.square(whole - part)
    sums = Draws(pictures, seed).sums(gain)
    return float((1 + np.count_nonzero(sums <= 0)) / (1 + len(sums)))


def area(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The mean of a curve over the logarithm of the size, by the trapezoidal rule; one point is its own mean.

    >>> area([1, 2, 4], [0.0, 1.0, 1.0])
    0.75
    """
    if len(sizes) < 2:
        return float(values[0])
    steps = np.log2(np.asarray(sizes, dtype=float))
    return float(np.trapezoid(np.asarray(values), steps) / (steps[-1] - steps[0]))


def jaccard(first: frozenset, second: frozenset) -> float:
    """The size of what two sets share over the size of both together; 1 for two empty sets.

    >>> jaccard(frozenset({1, 2}), frozenset({2, 3}))
    0.3333333333333333
    """
    return len(first & second) / len(first | second) if first | second else 1.0

"""Histograms of many units at once, filled in a stream whose range is not known beforehand.

A unit's bins have the width 2**k, begin at multiples of it, and merge in pairs when a value falls outside. Bins of
2**k lie within bins of 2**(k+1), so the result depends on the values alone, not on the order in which they came.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_FINEST = -40  # 2**-40: below this, values count as equal
_FINE = 2.0**52
_BLOCK = 1 << 20  # values put into bins at a time, which bounds the memory


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of `bins` bins per unit; bin i of a unit begins at (first + i) * 2**exponent."""

    exponent: Int[np.ndarray, " unit"]
    first: Int[np.ndarray, " unit"]
    counts: Int[np.ndarray, "unit bins"]

    @staticmethod
    def empty(units: int, bins: int = 64) -> Histogram:
        """Histograms with nothing in them yet."""
        return Histogram(np.full(units, _FINEST), np.zeros(units, np.int64), np.zeros((units, bins), np.int64))

    def edges(self, unit: int) -> Float[np.ndarray, " edge"]:
        """Where the unit's bins begin, and where the last ends."""
        bins = self.counts.shape[1]
        return (self.first[unit] + np.arange(bins + 1)) * 2.0 ** float(self.exponent[unit])

    def trimmed(self, unit: int) -> tuple[Float[np.ndarray, " edge"], Int[np.ndarray, " bin"]]:
        """Edges and counts without the empty bins at either end."""
        filled = np.flatnonzero(self.counts[unit])
        if not len(filled):
            return np.array([0.0, 1.0]), np.array([0])
        first, last = filled[0], filled[-1] + 1
        return self.edges(unit)[first : last + 1], self.counts[unit, first:last]

    def with_values(self, values: Float[np.ndarray, "unit value"]) -> Histogram:
        """New histograms that hold these values too.

        >>> Histogram.empty(1, 4).with_values(np.array([[0.0, 3.5]])).counts
        array([[1, 0, 0, 1]])
        """
        units, bins = self.counts.shape
        low, high = values.min(1).astype(np.float64), values.max(1).astype(np.float64)
        some = self.counts.any(1)
        old_low, old_high = _filled_range(self)
        # a filled bin stands for its first value: bins that nest keep it inside whatever is made of them
        low = np.where(some, np.minimum(low, old_low), low)
        high = np.where(some, np.maximum(high, old_high), high)
        exponent = _exponent(low, high, bins, self.exponent)
        width = np.exp2(exponent.astype(np.float64))
        first = np.floor(low / width).astype(np.int64)
        counts = np.zeros_like(self.counts)
        held = (self.first[:, None] + np.arange(bins)) >> (exponent - self.exponent)[:, None]
        unit, column = np.nonzero(self.counts)
        np.add.at(counts, (unit, held[unit, column] - first[unit]), self.counts[unit, column])
        block = max(1, _BLOCK // values.shape[1])
        for start in range(0, units, block):
            rows = slice(start, start + block)
            place = np.floor(values[rows] / width[rows, None]).astype(np.int64) - first[rows, None]
            place += np.arange(len(place))[:, None] * bins
            counts[rows] += np.bincount(place.ravel(), minlength=len(place) * bins).reshape(-1, bins)
        return Histogram(exponent, first, counts)


def _filled_range(histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    """The beginnings of the first and the last bin that hold something."""
    filled = histogram.counts > 0
    bins = filled.shape[1]
    width = np.exp2(histogram.exponent.astype(np.float64))
    first = histogram.first + filled.argmax(1)
    last = histogram.first + bins - 1 - filled[:, ::-1].argmax(1)
    return first * width, last * width


def _exponent(low: np.ndarray, high: np.ndarray, bins: int, least: np.ndarray) -> np.ndarray:
    """The smallest exponent, not below `least`, at which all values from low to high fall into `bins` bins."""
    exponent = least.copy()
    while True:
        width = np.exp2(exponent.astype(np.float64))
        wide = np.floor(high / width) - np.floor(low / width) >= bins
        # bins finer than the values' own digits would number more than an integer can count
        wide |= np.maximum(np.abs(low), np.abs(high)) / width >= _FINE
        if not wide.any():
            return exponent
        exponent = exponent + wide

"""Where a value stands in a histogram."""

from __future__ import annotations

import numpy as np
import pytest

from micrographia.publish.standing import share_below


def test_the_share_below_is_that_of_the_values_counted() -> None:
    values = np.random.default_rng(0).random(10007) * 8
    counts, edges = np.histogram(values, 64, (0, 8))
    for value in (0.3, 4.1, 7.7):
        assert share_below(value, edges, counts, values.max()) == pytest.approx((values < value).mean(), abs=0.002)


def test_the_ends() -> None:
    edges, counts = np.array([0.0, 1.0, 2.0]), np.array([3, 1])
    assert share_below(-1, edges, counts, 1.9) == 0
    assert share_below(0, edges, counts, 1.9) == 0
    assert share_below(1.95, edges, counts, 1.9) == 1
    assert share_below(1.5, edges, counts, 1.9) == 0.875
    assert share_below(1, edges, np.array([0, 0]), 5) == 0

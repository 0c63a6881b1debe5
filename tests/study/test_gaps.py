from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import norm

from micrographia.study.gaps import apart, dip, strewn


def slow_dip(values: np.ndarray) -> float:
    """Over every mode, and every chord below the curve before it and above it after it."""
    x = np.sort(values)
    y = (np.arange(len(x)) + 0.5) / len(x)
    best = 1.0
    for mode in range(len(x)):
        worst = 0.0
        for start, stop, sign in ((0, mode, 1), (mode, len(x) - 1, -1)):
            for i in range(start, stop + 1):
                for j in range(i, stop + 1):
                    for k in range(i, j + 1):
                        chord = y[i] if j == i else y[i] + (y[j] - y[i]) * (x[k] - x[i]) / (x[j] - x[i])
                        worst = max(worst, sign * (y[k] - chord))
        best = min(best, worst)
    return best


def test_the_dip_is_that_of_every_chord() -> None:
    rng = np.random.default_rng(0)
    for _ in range(6):
        values = np.concatenate([rng.normal(size=7), rng.normal(3, 1, 6)])
        assert dip(values) == pytest.approx(slow_dip(values))


def test_one_hump_of_any_form_dips_no_more_than_even_values() -> None:
    rng = np.random.default_rng(1)
    even = np.quantile([dip(rng.uniform(size=67)) for _ in range(100)], 0.9)
    for form in (rng.normal, rng.standard_cauchy, rng.exponential, lambda size: np.exp(rng.normal(size=size))):
        assert np.mean([dip(form(size=67)) > even for _ in range(60)]) <= 0.2
    assert dip(norm.ppf((np.arange(67) + 0.5) / 67)) < 1e-9


def test_points_are_strewn_on_the_tree_and_fill_its_gap() -> None:
    rng = np.random.default_rng(2)
    points = np.concatenate([rng.normal(size=(41, 2)), rng.normal([12, 0], size=(41, 2))])
    made = strewn(points, rng)
    assert made.shape == points.shape
    assert ((made[:, 0] > 4) & (made[:, 0] < 8)).sum() >= 3
    assert not ((points[:, 0] > 4) & (points[:, 0] < 8)).any()
    # no further from a point than half the longest edge, which is the gap
    assert cdist(made, points).min(1).max() < 6
    assert strewn(np.zeros((5, 2)), rng) == pytest.approx(np.zeros((5, 2)))


def test_two_clouds_are_apart_and_one_cut_in_two_is_not() -> None:
    rng = np.random.default_rng(3)
    cloud = rng.normal(size=(83, 2))
    halves = (cloud[:, 0] > 0).astype(int)
    assert apart(cloud, halves) > 0.05
    two = cloud + np.where(halves, 3.0, -3.0)[:, None] * [1, 0]
    assert apart(two, halves) == pytest.approx(1 / 200)
    # the third group is a part of the second, and tells
    assert apart(two, halves + (two[:, 0] > 4)) > 0.05

from __future__ import annotations

import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.study.following import following


def test_equal_up_to_a_turn_and_a_period() -> None:
    rng = np.random.default_rng(0)
    elements = rng.uniform(0, 360, 7)
    others = rng.uniform(0, 360, 101)
    off, finding = following(elements, (elements + 77) % 360, others)
    assert off == pytest.approx(0, abs=1e-9)
    assert finding.effect == pytest.approx(1)
    assert finding.p == 0.001
    half = (elements + 180 * rng.integers(0, 2, 7)) % 360
    assert following(elements, half, others % 180, 180)[0] == pytest.approx(0, abs=1e-9)
    assert following(elements, half, others)[1].effect < 0.999


def test_how_far_off_is_in_degrees() -> None:
    elements = np.arange(8) * 45.0
    preferred = elements + np.tile([5.0, -5.0], 4)
    assert following(elements, preferred, np.arange(100.0))[0] == pytest.approx(5)


def test_chance_is_chance() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(100):
        others = rng.uniform(0, 360, 47)
        held += following(rng.uniform(0, 360, 5), rng.choice(others, 5), others, trials=39, seed=seed)[1].holds()
    assert held <= 13  # 99.9 % of binomial counts at 5 %


def test_too_few() -> None:
    with pytest.raises(BadValue, match="2 elements and 2 preferred values of 9 units say nothing"):
        following([0, 1], [0, 1], np.arange(9.0))

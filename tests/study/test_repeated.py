from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kruskal, kstest

from micrographia.errors import BadValue
from micrographia.study.repeated import repeated

OWNER = np.repeat([0, 1, 2], [7, 11, 5])


def test_the_effect_is_kruskal_s_and_p_is_near_its_own() -> None:
    rng = np.random.default_rng(0)
    values = [rng.normal(size=23) + OWNER * 0.4, rng.integers(0, 4, 23).astype(float)]
    found = repeated(values, OWNER, ["one", "ties"])
    for each, mine in zip(values, found.each, strict=True):
        expected = kruskal(*(each[np.equal(OWNER, number)] for number in range(3)))
        assert mine.effect == pytest.approx(expected.statistic / 22)
        assert mine.p == pytest.approx(expected.pvalue, abs=0.04)
    assert found.by_chance == pytest.approx(2 / 22, abs=0.003)
    assert found.together.effect == pytest.approx(np.mean([each.effect for each in found.each]))


def test_random_networks_have_uniform_p_together() -> None:
    rng = np.random.default_rng(1)
    p = [repeated(list(rng.normal(size=(3, 23))), OWNER, "abc", trials=199, seed=s).together.p for s in range(150)]
    assert kstest(p, "uniform").pvalue > 0.01


def test_a_weak_difference_is_told_by_many_networks_whichever_branch_has_it() -> None:
    rng = np.random.default_rng(2)
    owner = np.repeat([0, 1], 16)
    values = [rng.normal(size=32) + 0.8 * (owner == seed % 2) for seed in range(9)]
    found = repeated(values, owner, [f"seed {seed}" for seed in range(9)])
    assert found.together.p < 0.001
    assert not all(each.holds() for each in found.each)
    above = found.medians[:, 1] > found.medians[:, 0]
    assert 0 < above.sum() < 9


def test_units_without_a_score_are_left_out() -> None:
    values = np.arange(23.0)
    values[[2, 20]] = np.nan
    assert repeated([values], OWNER, "a", trials=19).each[0].n == 21


def test_wrong_input_is_a_sentence() -> None:
    with pytest.raises(BadValue, match="scores of 4 units for 1 networks of 23 units"):
        repeated([np.arange(4.0)], OWNER, "a")
    with pytest.raises(BadValue, match="scores of none units"):
        repeated([], OWNER, "")
    with pytest.raises(BadValue, match="all of one branch"):
        repeated([np.where(OWNER == 1, 1.0, np.nan)], OWNER, "a")

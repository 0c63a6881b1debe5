from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, spearmanr

from micrographia.errors import BadValue
from micrographia.study.shares import along, main_path, variance_shares


def test_the_shares_are_those_of_numpy_s_covariance_and_add_up_to_one() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(5, 7, 3, 2)) * scale for scale in (1, 2, 0.5)]
    found = variance_shares(parts)
    for unit in range(7):
        flat = np.array([each[:, unit].ravel() for each in parts])
        slow = [np.cov(each, flat.sum(0))[0, 1] / np.var(flat.sum(0), ddof=1) for each in flat]
        assert found[:, unit] == pytest.approx(slow)
    assert found.sum(0) == pytest.approx(1)
    assert (found[1] > found[2]).all()


def test_a_path_that_cancels_has_a_share_below_zero_and_a_constant_none() -> None:
    one = np.random.default_rng(1).normal(size=(11, 2, 3, 3))
    found = variance_shares([one, -0.25 * one])
    assert found[0] == pytest.approx(4 / 3)
    assert found[1] == pytest.approx(-1 / 3)
    one[:, 1] = 0.1
    found = variance_shares([one, one])
    assert np.isnan(found[:, 1]).all()
    assert main_path(found).tolist() == [0, -1]


def test_a_constant_added_to_a_path_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    one, two = rng.normal(size=(2, 5, 7, 3, 3))
    assert variance_shares([one + 1000, two]) == pytest.approx(variance_shares([one, two]))


def test_the_effect_is_spearman_s_and_random_scores_have_uniform_p() -> None:
    rng = np.random.default_rng(3)
    shares = rng.dirichlet([1, 1, 1], 41).T
    values = rng.normal(size=41)
    found = along({"a": values}, shares, "xyz", trials=999)
    for each, path in zip(found, shares, strict=True):
        expected = spearmanr(values, path)
        assert each.effect == pytest.approx(expected.statistic)
        assert each.p == pytest.approx(expected.pvalue, abs=0.05)
    p = [along({"a": rng.normal(size=41)}, shares, "xyz", trials=199, seed=s)[0].p for s in range(150)]
    assert kstest(p, "uniform").pvalue > 0.01


def test_what_the_architecture_alone_makes_is_no_finding() -> None:
    rng = np.random.default_rng(4)
    names = ["pass", "block"]

    def network(strength: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
        share = rng.uniform(size=53)
        return {"a": strength * share + rng.normal(size=53) / 4}, np.stack([share, 1 - share])

    values, shares = network(1)
    others = [network(1) for _ in range(99)]
    assert along(values, shares, names)[0].holds()
    assert not along(values, shares, names, others)[0].holds()
    values, shares = network(-1)
    found = along(values, shares, names, others)
    assert found[0].holds()
    assert found[0].effect < -0.5
    assert found[1].effect == pytest.approx(-found[0].effect)


def test_units_without_a_score_or_a_share_are_left_out() -> None:
    values, shares = np.arange(13.0), np.stack([np.arange(13.0), np.arange(13.0)[::-1]])
    values[3], shares[:, 7] = np.nan, np.nan
    found = along({"a": values, "flat": np.ones(13)}, shares, "xy", trials=19)
    assert [(each.effect, each.n) for each in found] == [(pytest.approx(1), 11), (pytest.approx(-1), 11)]


def test_wrong_input_is_a_sentence() -> None:
    with pytest.raises(BadValue, match="The paths have the values 2 x 3, 2 x 4"):
        variance_shares([np.zeros((2, 3)), np.zeros((2, 4))])

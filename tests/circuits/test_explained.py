"""How much some inputs explain: slow replicas of R2, its interval and its null, and planted answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from micrographia.circuits.contributions import Contributions
from micrographia.circuits.explained import explained
from micrographia.errors import BadValue


def maps(gains: list[float], pictures: int = 11, seed: int = 0, constant: float = 0.3) -> Contributions:
    """Independent inputs of these standard deviations, and their sum."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(0, 1, (pictures, len(gains), 5, 7)) * np.array(gains)[:, None, None]
    before = parts.sum(1) + constant
    shift = np.full(before.shape, constant)
    return Contributions(*(torch.from_numpy(each) for each in (before, parts, shift)))


def halves(found: Contributions, at: int) -> list[Contributions]:
    return [Contributions(found.before[part], found.parts[part], found.constant[part])
            for part in (slice(at), slice(at, None))]  # fmt: skip


def test_the_share_is_one_minus_the_unexplained_variance_in_any_batches() -> None:
    found = maps([1.0, 0.3, 2.0, 0.5, 0.1])
    order = [2, 0, 3, 1, 4]
    y, p = found.before.numpy().ravel(), found.parts.numpy()[:, order[:2]].sum(1).ravel()
    whole, split = explained([found], order, 2), explained(halves(found, 4), order, 2)
    assert whole.share == pytest.approx(1 - np.var(y - p) / np.var(y), abs=1e-12)
    assert whole.correlation == pytest.approx(np.corrcoef(y, p)[0, 1], abs=1e-12)
    assert split.share == pytest.approx(whole.share, abs=1e-12)
    assert (split.low, split.high) == pytest.approx((whole.low, whole.high), abs=1e-9)
    assert split.curve == pytest.approx(whole.curve, abs=1e-9)
    assert whole.pictures == 11
    assert whole.cells == 11 * 35


def test_the_curve_goes_through_the_share_and_ends_at_all_of_it() -> None:
    found = maps([0.2, 3.0, 1.0, 0.7, 0.1, 0.4, 0.9])
    result = explained([found], [1, 2, 6, 3, 5, 0, 4], 3)
    assert result.curve[result.steps.index(3)] == pytest.approx(result.share, abs=1e-12)
    assert result.steps[-1] == 7
    assert result.curve[-1] == pytest.approx(1, abs=1e-12)
    assert result.residual < 1e-14
    for step, share in zip(result.steps, result.curve, strict=True):
        y, p = found.before.numpy(), found.parts.numpy()[:, [1, 2, 6, 3, 5, 0, 4][:step]].sum(1)
        assert share == pytest.approx(1 - np.var(y - p) / np.var(y), abs=1e-12)


def test_a_residual_tells_that_something_is_missing() -> None:
    found = maps([1.0, 1.0, 1.0])
    wrong = Contributions(found.before, found.parts, found.constant + 0.5)
    largest = float(found.before.abs().max())
    assert explained([wrong], [0, 1, 2], 1).residual == pytest.approx(0.5 / largest)


def test_inputs_that_work_against_others_explain_less_than_nothing() -> None:
    rng = np.random.default_rng(1)
    big, small = rng.normal(0, 5, (9, 5, 5)), rng.normal(0, 1, (9, 5, 5))
    parts = np.stack([big, -big + small, rng.normal(0, 0.1, (9, 5, 5))], 1)
    found = Contributions(torch.from_numpy(parts.sum(1)), torch.from_numpy(parts), torch.zeros(9, 5, 5))
    assert explained([found], [0, 1, 2], 1).share < -10
    assert explained([found], [0, 1, 2], 2).share > 0.9


def test_the_strong_inputs_beat_the_null_and_random_ones_do_not() -> None:
    gains = [4.0, 4.0, 4.0] + [0.3] * 40
    found = maps(gains)
    strong = explained([found], range(43), 3)
    assert strong.p == 1 / 200
    assert strong.null_95 is not None
    assert strong.share > strong.null_95
    hits = []
    for seed in range(40):
        even = maps([1.0] * 29, pictures=5, seed=seed)
        result = explained([even], np.random.default_rng(seed).permutation(29), 4, seed)
        assert result.p is not None
        hits.append(result.p <= 0.05)
    assert np.mean(hits) <= 0.15


def test_the_interval_is_over_pictures_and_holds_the_truth() -> None:
    """Inputs are independent, so the first one's share is known: its variance over the sum of all."""
    truth, inside = 4 / 5.25, 0
    for seed in range(40):
        result = explained([maps([2.0, 1.0, 0.5], 24, seed)], [0, 1, 2], 1)
        assert result.low < result.share < result.high
        inside += result.low <= truth <= result.high
    assert 33 <= inside <= 40
    few, many = (explained([maps([2.0, 1.0], n)], [0, 1], 1) for n in (6, 96))
    assert few.high - few.low > 2 * (many.high - many.low)


def test_all_inputs_have_no_null() -> None:
    result = explained([maps([1.0, 2.0])], [1, 0], 2)
    assert (result.p, result.null_median, result.null_95) == (None, None, None)
    assert result.share == pytest.approx(1)


def test_a_unit_that_does_nothing_is_refused() -> None:
    still = maps([0.0, 0.0])
    with pytest.raises(BadValue, match="does the same on all of these pictures"):
        explained([still], [0, 1], 1)
    with pytest.raises(BadValue, match="no pictures"):
        explained([], [0, 1], 1)

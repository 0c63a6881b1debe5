from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from micrographia.errors import BadValue
from micrographia.study.taxonomy import adjusted_rand, score


def test_a_perfect_match_and_what_is_left_out() -> None:
    labels = ["a"] * 5 + ["b"] * 4 + ["c"] * 3
    found = score([[0, 1, 2, 3, 4], [5, 6]], labels)
    assert (found.rand, found.v_measure) == (1.0, 1.0)
    assert found.covered == pytest.approx(7 / 12)
    assert found.everywhere[0] < 1
    assert found.finding.p < 0.1
    a, b, c = found.matches
    assert (a.found, a.f1) == (0, 1.0)
    assert (b.found, b.precision, b.recall) == (1, 1.0, 0.5)
    assert (c.found, c.f1) == (None, 0.0)
    assert found.to_json()["families"][1]["f1"] == pytest.approx(2 / 3)


def test_labels_dealt_at_random_score_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = [f"kind {each}" for each in rng.integers(0, 5, 97)]
    found = score([list(range(i, i + 9)) for i in range(0, 81, 9)], labels, trials=199)
    assert abs(found.rand) < 0.1
    # the other measure is not zero for chance
    assert found.v_measure > 0.15
    assert found.finding.p > 0.01


def test_the_index_is_the_one_of_another_implementation() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        one, other = rng.integers(0, 4, 31), rng.integers(-1, 3, 31)
        assert adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other))


def test_a_unit_of_two_families_counts_in_the_first() -> None:
    found = score([[0, 1], [1, 2, 3]], ["a", "a", "b", "b"])
    assert found.rand == 1.0


def test_no_families_and_unknown_units() -> None:
    found = score([], ["a", "b"])
    assert (found.rand, found.covered, found.finding.p) == (0.0, 0.0, 1.0)
    with pytest.raises(BadValue, match="Unit 7 has no label: there are 2"):
        score([[0, 7]], ["a", "b"])

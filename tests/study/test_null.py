from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, hypergeom, kstest

from micrographia.errors import BadValue
from micrographia.study.null import (
    Finding,
    benjamini_hochberg,
    corrected,
    holm,
    hypergeometric_tail,
    mutual_information,
    permutation_p,
    permuted_entries,
    permuted_rows,
    permuted_within_rows,
)

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=23).map(lambda values: np.array(values))


def test_the_tails_of_the_article_s_counts() -> None:
    assert hypergeometric_tail(9, 9, 32, 256) == pytest.approx(2.487e-9, rel=1e-3)
    assert hypergeometric_tail(30, 30, 96, 480) == pytest.approx(1.7e-23, rel=0.02)


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_a_tail_is_the_exact_ratio_of_counts(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 67))
    marked, drawn = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    found = data.draw(st.integers(0, min(marked, drawn)))
    ways = sum(comb(marked, k) * comb(total - marked, drawn - k) for k in range(found, min(marked, drawn) + 1))
    exact = float(Fraction(ways, comb(total, drawn)))
    assert hypergeometric_tail(found, marked, drawn, total) == pytest.approx(exact, rel=1e-11)


def test_a_tail_far_out_is_that_of_a_second_implementation() -> None:
    assert hypergeometric_tail(97, 101, 503, 2003) == pytest.approx(hypergeom.sf(96, 2003, 101, 503), rel=1e-8)


@pytest.mark.parametrize("counts", [(5, 4, 9, 20), (3, 9, 2, 20), (1, 30, 2, 20), (-1, 3, 2, 20)])
def test_counts_that_contradict_each_other_are_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(BadValue, match=r"cannot be\. Give found <= marked"):
        hypergeometric_tail(*counts)


@given(p_values)
@settings(deadline=None)
def test_corrections_against_replicas(p: np.ndarray) -> None:
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))
    slow = [max(min(1.0, q * np.sum(p >= q)) for q in p if q <= each) for each in p]
    assert np.all(holm(p) <= np.array(slow) + 1e-12)
    for level in (0.01, 0.05, 0.3):
        # Holm's procedure as he wrote it: stop at the first that fails
        rejected = 0
        for place, each in enumerate(np.sort(p)):
            if each > level / (len(p) - place):
                break
            rejected += 1
        assert np.sum(holm(p) <= level) == rejected or np.isclose(holm(p), level).any()


def test_random_labels_give_uniform_p_values() -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(101) < 43
    values = []
    for _ in range(300):
        scores = rng.normal(size=101)
        observed = scores[labels].mean()
        null = np.array([rng.permutation(scores)[labels].mean() for _ in range(99)])
        values.append(permutation_p(observed, null, both_sides=True))
    assert kstest(values, "uniform").pvalue > 0.01
    assert np.mean(np.array(values) <= 0.05) == pytest.approx(0.05, abs=0.04)


def test_random_labels_stay_within_the_tail_s_level() -> None:
    rng = np.random.default_rng(6)
    draws = rng.hypergeometric(61, 331 - 61, 83, 2000)
    p = np.array([hypergeometric_tail(int(found), 61, 83, 331) for found in draws])
    for level in (0.05, 0.2, 0.5):
        # counts come in steps, so a level is reached from below
        assert level - 0.12 < np.mean(p <= level) < level + 0.03


def test_a_permutation_p_counts_the_observation_and_ties() -> None:
    assert permutation_p(1.0, np.zeros(99)) == 0.01
    assert permutation_p(0.1 + 0.2, np.full(9, 0.3)) == 1.0
    assert permutation_p(-5.0, np.linspace(-1, 1, 99), both_sides=True) == 0.01
    with pytest.raises(BadValue, match="0 trials"):
        permutation_p(1.0, np.zeros(0))


def test_what_each_permutation_keeps() -> None:
    matrix = np.random.default_rng(1).normal(size=(11, 7))
    rng = np.random.default_rng(2)
    entries, rows, within = (f(matrix, rng) for f in (permuted_entries, permuted_rows, permuted_within_rows))
    for other in (entries, rows, within):
        assert not np.array_equal(other, matrix)
        assert np.sort(other, None) == pytest.approx(np.sort(matrix, None))
    assert sorted(map(tuple, rows)) == sorted(map(tuple, matrix))
    assert np.sort(within, 1) == pytest.approx(np.sort(matrix, 1))
    assert not np.allclose(np.sort(entries, 1), np.sort(matrix, 1))


def test_a_finding_is_plain_and_corrected_with_its_kin() -> None:
    findings = corrected([Finding("a", 0.5, "shuffled", 0.04, n=7), Finding("b", 0.1, "shuffled", 0.5, n=7)])
    assert findings[0].to_json() == {
        "what": "a", "effect": 0.5, "null": "shuffled", "p": 0.04, "corrected_p": 0.08, "n": 7,
    }  # fmt: skip
    assert not findings[0].holds()
    assert corrected([]) == ()


def test_mutual_information_is_zero_for_independence() -> None:
    assert mutual_information(np.outer([3.0, 5.0, 2.0], [7.0, 11.0])) == pytest.approx(0, abs=1e-12)
    assert mutual_information(np.diag([2.0, 2.0, 2.0, 2.0])) == pytest.approx(2)

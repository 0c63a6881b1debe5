"""Motifs: counted as a person would, found where planted, rarely found by chance, held against a null that keeps degrees."""

from __future__ import annotations

import numpy as np
import pytest

from micrographia.circuits.motifs import equivariance_pairs, motifs, signs_of, switched
from micrographia.errors import BadValue


def test_switching_keeps_the_signed_degrees() -> None:
    rng = np.random.default_rng(0)
    signs = signs_of(rng.normal(size=(11, 13)), 0.5)
    other = switched(signs, rng)
    for sign in (1, -1):
        assert ((other == sign).sum(0) == (signs == sign).sum(0)).all()
        assert ((other == sign).sum(1) == (signs == sign).sum(1)).all()
    assert (other != signs).any()


def test_planted_motifs_are_counted_and_found() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(0, 0.05, (16, 16))
    second = rng.normal(0, 0.05, (8, 16))
    for pair in range(8):
        a, b = 2 * pair, 2 * pair + 1
        first[[a, b], [a, b]] = 1.0
        first[[a, b], [b, a]] = -1.0
        second[pair, [a, b]] = 1.0
    found = motifs(first, second, trials=99)
    assert found.counts["inhibition pair"] == 8
    assert found.counts["union over cases"] == 8
    assert found.counts["opposed paths"] == 16
    by_name = {each.what: each for each in found.findings}
    assert by_name["inhibition pair"].holds()
    assert by_name["union over cases"].holds()
    assert all(each.corrected is not None for each in found.findings)


def test_equivariance_pairs_turn_together() -> None:
    turned = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    elements = [0, 1, 2, 3, 0, 1, 2, 3]
    assert equivariance_pairs(turned, elements) == 6
    assert equivariance_pairs(turned[[0, 1, 3, 2]], elements) == 1
    assert equivariance_pairs(turned, [-1] * 8) == 0
    assert motifs(turned.astype(float), elements=elements, trials=19).counts["equivariance pair"] == 6


def test_equivariance_pairs_are_of_the_same_two_families() -> None:
    edges = np.eye(4, dtype=int)
    elements = [0, 1, 0, 1, 3, 4, 5, 6]
    # steps 3, 3 between the first two families and 5, 5 between the others
    assert equivariance_pairs(edges, elements, [0, 0, 1, 1, 2, 2, 3, 3], 8) == 2
    assert equivariance_pairs(edges, elements, [0, 0, 1, 1, 2, 3, 2, 3], 8) == 0
    # a step beyond the largest element: 7 to 1 is as far as 0 to 2
    assert equivariance_pairs(np.eye(2, dtype=int), [7, 0, 1, 2], order=8) == 1


def test_a_block_that_rewrites_its_own_channels_is_a_bypass() -> None:
    weights = np.random.default_rng(2).normal(0, 0.1, (12, 12)) + np.eye(12)
    found = motifs(weights, passed=[(unit, unit) for unit in range(12)], trials=99)
    assert found.counts["residual by-pass"] == 12
    assert {each.what: each for each in found.findings}["residual by-pass"].holds()


@pytest.mark.long
def test_random_weights_have_no_motifs() -> None:
    held = sum(
        any(
            each.holds()
            for each in motifs(rng.normal(size=(9, 9)), rng.normal(size=(7, 9)), trials=39, seed=seed).findings
        )
        for seed, rng in ((seed, np.random.default_rng(seed)) for seed in range(20))
    )
    assert held <= 3  # P(4 or more of 20 at level 0.05) is 0.016


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"second": np.ones((2, 3))}, "Weights into 5 units are not followed by weights from 3."),
        ({"elements": [1, 2]}, "There are 2 elements for 9 units."),
        ({"passed": [(4, 4)]}, "A shortcut leads beyond the 5 x 4 weights."),
    ],
)
def test_what_does_not_fit_is_refused(options: dict, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        motifs(np.ones((5, 4)), **options)
    assert said in str(caught.value)

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import silhouette_score

from micrographia.errors import BadValue
from micrographia.study import factor
from micrographia.study.factor import CENTRES, clusters, connections, factors
from micrographia.study.matrix import as_matrix

RNG = np.random.default_rng(0)
RANDOM = np.abs(RNG.normal(size=(17, 13)))


def blocks(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|W| with two blocks, its units in random order, and which block each unit is of."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(19) < 8, rng.permutation(23) < 9
    return np.equal.outer(rows, columns) * 1.0 + rng.uniform(0, 0.3, (19, 23)), rows, columns


@pytest.mark.parametrize("centre", CENTRES)
def test_the_factors_make_up_the_matrix_and_have_one_sign(centre: str) -> None:
    found = factors(RANDOM, centre)
    whole = found.left * found.values @ found.right
    means = RANDOM.mean(0) + RANDOM.mean(1, keepdims=True) - RANDOM.mean()
    degrees = np.sqrt(np.outer(RANDOM.sum(1), RANDOM.sum(0)))
    assert {"raw": whole, "double": whole + means, "degree": whole * degrees}[centre] == pytest.approx(RANDOM)
    assert (found.left[np.abs(found.left).argmax(0), range(13)] > 0).all()
    assert found.share.sum() == pytest.approx(1)
    assert (factors(-RANDOM).left == pytest.approx(found.left)) or centre != "double"


def test_only_the_matrix_as_it_is_has_a_one_signed_first_vector() -> None:
    assert factors(RANDOM, "raw").one_signed
    assert factors(RANDOM, "degree").one_signed
    assert not factors(RANDOM, "double").one_signed


def test_the_trivial_vector_of_the_degrees_has_the_value_one() -> None:
    assert factors(RANDOM, "degree").values[0] == pytest.approx(1)


def test_channels_in_another_order_are_rows_in_another_order() -> None:
    order = RNG.permutation(17)
    # the last vector of a centred matrix belongs to the value zero and is any
    assert factors(RANDOM[order]).left[:, :12] == pytest.approx(factors(RANDOM).left[order, :12])


def test_two_blocks_are_the_sign_of_vector_0_and_two_clusters() -> None:
    matrix, rows, columns = blocks()
    found = connections(matrix, {"colour": rows + 0.0}, trials=39)
    above = found.factors.left[:, 0] > 0
    assert np.array_equal(above, rows) or np.array_equal(above, ~rows)
    assert found.clusters is not None
    assert len(found.clusters.mean) == 2
    same = found.clusters.rows == found.clusters.rows[np.argmax(rows)]
    assert np.array_equal(same, rows)
    assert np.array_equal(found.clusters.columns == found.clusters.rows[np.argmax(rows)], columns)
    assert found.findings[0].p == pytest.approx(1 / 40)
    assert found.alignments[0].finding.corrected < 0.01


def test_the_block_table_sums_to_the_matrix() -> None:
    matrix, *_ = blocks()
    found, _ = clusters(matrix, trials=39)
    assert found is not None
    assert found.total.sum() == pytest.approx(matrix.sum())
    slow = [[matrix[np.ix_(found.rows == i, found.columns == j)].mean() for j in range(2)] for i in range(2)]
    assert found.mean == pytest.approx(np.array(slow))


def test_three_blocks_are_three_clusters() -> None:
    rng = np.random.default_rng(3)
    matrix = np.kron(np.eye(3), np.ones((7, 5))) + rng.uniform(0, 0.2, (21, 15))
    found, finding = clusters(matrix, trials=39)
    assert found is not None
    assert found.rows.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert found.columns.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert finding.effect > 0.8


def test_random_weights_have_no_clusters_and_no_large_share() -> None:
    found, shares = 0, 0
    for seed in range(12):
        matrix = np.abs(np.random.default_rng(seed).normal(size=(13, 11)))
        found += clusters(matrix, trials=19, seed=seed)[0] is not None
        null = factor._share_null(matrix, "double", 1, factor.permuted_entries, 19, seed)
        shares += factors(matrix).share[0] > null.max()
    # each has a chance of 1 in 20 at most: 4 or more of 12 are 1 in 450
    assert found < 4
    assert shares < 4


def test_an_even_gradient_is_a_structure_without_clusters() -> None:
    slope = np.linspace(0, 1, 31)
    matrix = np.outer(slope, slope[:23]) + np.random.default_rng(2).uniform(0, 0.2, (31, 23))
    found = connections(matrix, {"place": slope}, trials=39)
    assert found.findings[0].holds()
    assert abs(found.alignments[0].r) > 0.95
    assert found.clusters is None


@pytest.mark.parametrize("kind", ["line", "strengths"])
def test_a_bent_and_a_one_sided_cloud_have_no_clusters(kind: str) -> None:
    """Both were called clusters when silhouettes were held against an even box."""
    found = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        noise = np.abs(rng.normal(size=(37, 31)))
        if kind == "line":  # units that meet where they lie near each other on a line
            nearness = np.square((rng.uniform(size=37)[:, None] - rng.uniform(size=31)) / 0.25)
            matrix = np.exp(-nearness) + noise / 2
        else:
            matrix = noise * np.exp(rng.normal(0, 0.7, 37))[:, None] * np.exp(rng.normal(0, 0.7, 31))
        found += clusters(matrix, trials=19, seed=seed)[0] is not None
    assert found < 3  # 1 in 900 where each has a chance of 1 in 20


def test_the_rank_correlations_and_their_null() -> None:
    trait = np.random.default_rng(4).normal(size=17)
    found = connections(RANDOM, {"colour": trait, "frequency": None}, trials=19)
    assert {each.trait for each in found.alignments} == {"colour"}
    for each in found.alignments:
        expected = spearmanr(found.factors.left[:, each.vector], trait)
        assert each.r == pytest.approx(expected.statistic)
        assert each.finding.p == pytest.approx(expected.pvalue, abs=0.05)
        # the 95 % quantile of |r| for 17 ranks, from tables: 0.485
        assert each.null_95 == pytest.approx(0.485, abs=0.02)


def test_a_trait_that_some_units_lack_is_read_from_the_others() -> None:
    trait = np.arange(17.0)
    trait[[2, 5]] = np.nan
    found = connections(RANDOM, {"colour": trait}, trials=19)
    known = np.isfinite(trait)
    assert found.alignments[0].r == pytest.approx(spearmanr(found.factors.left[known, 0], trait[known]).statistic)


def test_copies_of_a_tap_change_nothing_but_the_scale() -> None:
    kernels = np.random.default_rng(6).normal(size=(11, 7, 1, 1))
    one = connections(as_matrix(kernels, "l2").values, {"a": np.arange(7.0)}, trials=19)
    matrix = as_matrix(np.tile(kernels, (1, 1, 2, 3)), "none")
    many = connections(matrix.values, {"a": np.arange(7.0)}, taps=matrix.taps, trials=19)
    assert many.points == pytest.approx(one.points * 6**0.25)
    assert many.null_share_95 == pytest.approx(one.null_share_95)
    assert [each.r for each in many.alignments] == pytest.approx([each.r for each in one.alignments])


def test_the_silhouette_against_a_second_implementation() -> None:
    points = np.random.default_rng(5).normal(size=(37, 2))
    labels, score = factor._grouped(points)
    assert score == pytest.approx(silhouette_score(points, labels))


def test_the_document_has_the_promised_keys() -> None:
    plain = json.loads(
        json.dumps(connections(RANDOM, {"colour": RANDOM[:, 0], "frequency": RANDOM[:, 1]}, trials=19).to_json())
    )
    assert set(plain) == {"share", "null_share_95", "left", "clusters"}
    assert set(plain["left"][1]) == {"vector", "colour", "colour_null_95", "frequency", "frequency_null_95"}
    assert plain["left"][1]["vector"] == 1


def test_wrong_input_is_a_sentence() -> None:
    with pytest.raises(BadValue, match=r"no centring 'doubl'\. Near it: double"):
        factors(RANDOM, "doubl")
    with pytest.raises(BadValue, match="have no degrees"):
        factors(RANDOM - 1, "degree")
    with pytest.raises(BadValue, match="1 x 13 has no plane"):
        factors(RANDOM[:1])

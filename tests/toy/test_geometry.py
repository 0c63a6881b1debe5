"""Measures on hidden weights: values known by algebra, and slow replicas."""

from __future__ import annotations

import numpy as np
import pytest

from micrographia.toy.geometry import (
    capacity,
    dimensionality,
    dimensions_per_feature,
    effective_features,
    interference,
    meanings,
    norms,
    represented,
)
from micrographia.toy.polytope import POLYTOPES, groups, summary, vertices

EXACT = {
    "single": 1, "digon": 1 / 2, "triangle": 2 / 3, "tetrahedron": 3 / 4, "5-cell": 4 / 5, "pentagon": 2 / 5,
    "hexagon": 1 / 3, "heptagon": 2 / 7, "square antiprism": 3 / 8, "cube": 3 / 8, "icosahedron": 1 / 4,
}  # fmt: skip


def turned(names: list[str], hidden: int, rng: np.random.Generator, noise: float = 0.0) -> np.ndarray:
    """Polytopes in orthogonal subspaces of a space turned at random, their features shuffled."""
    turn = np.linalg.qr(rng.standard_normal((hidden, hidden)))[0]
    columns, at = [], 0
    for name in names:
        corners = vertices(name)
        columns.append(turn[:, at : at + corners.shape[1]] @ corners.T)
        at += corners.shape[1]
    weights = rng.permutation(np.concatenate(columns, 1), axis=1)
    return weights + noise * rng.standard_normal(weights.shape)


@pytest.mark.parametrize("name", EXACT)
def test_every_feature_of_a_polytope_has_its_exact_dimensionality_and_the_polytope_its_name(name: str) -> None:
    rng = np.random.default_rng(7)
    weights = 1.3 * turned([name], 11, rng)
    np.testing.assert_allclose(dimensionality(weights[None])[0], EXACT[name], atol=1e-12)
    (group,) = groups(weights)
    assert (group.name, group.dimensions) == (name, vertices(name).shape[1])
    # lengths of 1 are the pattern; the scale of the weights is not part of it
    assert group.residual == pytest.approx(0, abs=1e-9)
    assert capacity(weights[None])[0] == pytest.approx(vertices(name).shape[1])


@pytest.mark.parametrize("name", POLYTOPES)
def test_a_little_noise_does_not_hide_a_polytope(name: str) -> None:
    rng = np.random.default_rng(11)
    assert [group.name for group in groups(turned([name], 3 + vertices(name).shape[1], rng, 0.02))] == [name]


def test_a_mixture_falls_into_its_factors() -> None:
    rng = np.random.default_rng(3)
    weights = turned(["pentagon", "digon", "single", "square antiprism", "digon"], 13, rng)
    assert summary(groups(weights)) == "1 single, 2 digon, 1 pentagon, 1 square antiprism"
    assert sorted(i for group in groups(weights) for i in group.features) == list(range(weights.shape[1]))


def test_a_square_is_two_digons_and_a_triangular_bipyramid_a_triangle_and_a_digon() -> None:
    assert summary(groups(np.array([[1.0, 0, -1, 0], [0, 1, 0, -1]]))) == "2 digon"
    corners = vertices("triangle")
    bipyramid = np.zeros((3, 5))
    bipyramid[:2, :3], bipyramid[2, 3:] = corners.T, (1, -1)
    assert summary(groups(bipyramid)) == "1 digon, 1 triangle"
    np.testing.assert_allclose(dimensionality(bipyramid[None])[0], [2 / 3] * 3 + [1 / 2] * 2)


@pytest.mark.parametrize(("hidden", "features"), [(2, 5), (3, 8), (5, 20), (20, 60)])
def test_random_matrices_are_hardly_ever_called_polytopes(hidden: int, features: int) -> None:
    rng = np.random.default_rng(features)
    found = [g.name for _ in range(60) for g in groups(rng.standard_normal((hidden, features)) / np.sqrt(hidden))]
    # one lonely feature is no claim
    assert np.mean([name not in ("none", "single") for name in found]) < 0.03


def test_no_polytope_of_many_features_is_known_and_json_says_so() -> None:
    rng = np.random.default_rng(0)
    (group,) = groups(rng.standard_normal((2, 17)), least=0.0)
    assert group.to_json()["name"] == "none"
    assert group.to_json()["residual"] is None


def test_measures_equal_their_definitions_written_as_loops() -> None:
    weights = np.random.default_rng(5).standard_normal((2, 3, 7))
    for one, d, x in zip(weights, dimensionality(weights), interference(weights), strict=True):
        for i in range(7):
            unit = one[:, i] / np.linalg.norm(one[:, i])
            overlaps = [(unit @ one[:, j]) ** 2 for j in range(7)]
            assert d[i] == pytest.approx(np.sum(one[:, i] ** 2) / np.sum(overlaps))
            assert x[i] == pytest.approx(np.sum(overlaps) - overlaps[i])
    np.testing.assert_allclose(dimensions_per_feature(weights), 3 / (weights**2).sum((1, 2)))
    assert (capacity(weights) <= 3 + 1e-9).all()
    np.testing.assert_allclose(dimensionality(5 * weights), dimensionality(weights))


def test_features_of_no_length_have_nothing() -> None:
    weights = np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert dimensionality(weights).tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert interference(weights).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert represented(weights).tolist() == [[True, False], [False, False]]
    assert effective_features(weights).tolist() == [1.0, 0.0]
    assert np.isnan(dimensions_per_feature(weights)[1])
    assert norms(weights)[0].tolist() == [1.0, 0.0]


def test_neurons_are_dead_mono_or_polysemantic_by_the_rule() -> None:
    weights = np.array([[[2.0, 0.5, 0.0], [1.0, -0.31, 0.3], [0.19, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    assert meanings(weights).tolist() == [[1, 3, 0, 0]]
    assert meanings(weights, meant=0.2).tolist() == [[2, 3, 0, 0]]
    assert meanings(weights, alive=0.05).tolist() == [[1, 3, 1, 0]]

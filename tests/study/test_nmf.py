"""One-sided factors: planted mixtures come back, signs stay in the maps, and random units show nothing."""

from __future__ import annotations

import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.study.nmf import _turned, against_random, against_turned, one_sided


def planted(rng: np.random.Generator, units: int, inputs: int = 13) -> tuple[np.ndarray, np.ndarray]:
    """Units that read a mixture A on one side and a mixture B on the other, turned at random."""
    mixtures = np.zeros((2, inputs))
    mixtures[0, :5], mixtures[1, 6:11] = rng.uniform(0.5, 1, 5), rng.uniform(0.5, 1, 5)
    across = np.linspace(-1, 1, 5)
    angle = rng.uniform(0, 2 * np.pi, units)
    side = np.cos(angle)[:, None, None] * across[:, None] + np.sin(angle)[:, None, None] * across
    return np.einsum("kc,kuhw->uchw", mixtures, np.stack([1.3 * side, -side])), mixtures


def test_planted_mixtures_come_back_with_the_signs_in_the_maps() -> None:
    kernels, mixtures = planted(np.random.default_rng(0), 7)
    found = one_sided(kernels, 2)
    unit = mixtures / np.linalg.norm(mixtures, axis=1, keepdims=True)
    np.testing.assert_allclose(found.mixtures, unit, atol=0.02)
    assert (found.mixtures >= 0).all()
    assert found.explained > 0.999
    assert found.stability > 0.99
    np.testing.assert_allclose(found.correlation(), -1, atol=0.01)
    assert set(found.strongest(5)[0]) == set(range(5))
    np.testing.assert_allclose(np.einsum("kc,ukhw->uchw", found.mixtures, found.maps), kernels, atol=0.05)


def test_the_share_explained_is_that_of_the_squared_weights_and_grows_with_the_factors() -> None:
    kernels = np.random.default_rng(1).normal(size=(4, 11, 3, 3))
    shares = []
    for count in (1, 3, 11):
        found = one_sided(kernels, count)
        left = kernels - np.einsum("kc,ukhw->uchw", found.mixtures, found.maps)
        assert found.explained == pytest.approx(1 - np.square(left).sum() / np.square(kernels).sum(), abs=1e-9)
        shares.append(found.explained)
    assert shares == sorted(shares)
    assert shares[-1] > 0.9


def test_a_family_among_others_stands_out_and_random_units_do_not() -> None:
    rng = np.random.default_rng(2)
    kernels = rng.normal(size=(41, 13, 5, 5))
    kernels[:7] = planted(rng, 7)[0] + 0.2 * rng.normal(size=(7, 13, 5, 5))
    family = list(range(7))
    findings = against_random(kernels, family, 2, one_sided(kernels[family], 2, 3), trials=39)
    assert all(each.holds() for each in findings)
    assert findings[1].effect < -0.8
    others = list(range(10, 17))
    assert not any(each.holds() for each in against_random(kernels, others, 2, one_sided(kernels[others], 2, 3), 39))


def test_random_units_are_found_at_the_stated_rate_only() -> None:
    found = 0
    for seed in range(12):
        kernels = np.random.default_rng(seed).normal(size=(17, 5, 3, 3))
        found += against_random(kernels, range(4), 2, one_sided(kernels[:4], 2, 1), trials=19, seed=seed)[0].p <= 0.05
    assert found <= 3  # 12 draws at one in twenty: more than three are about one chance in 450


def test_what_cannot_be_factored_is_refused() -> None:
    kernels = np.ones((3, 5, 2, 2))
    with pytest.raises(BadValue, match="6 factors of 5 inputs"):
        one_sided(kernels, 6)
    with pytest.raises(BadValue, match="zero everywhere"):
        one_sided(kernels * 0, 2)
    with pytest.raises(BadValue, match="no others to compare"):
        against_random(kernels, [0, 1], 1, one_sided(kernels, 1))
    with pytest.raises(BadValue, match="two factors or more"):
        one_sided(kernels, 1).correlation()


def test_one_unit_that_reads_its_inputs_in_the_same_places_is_told_from_one_that_does_not() -> None:
    rng = np.random.default_rng(11)
    kernels, _ = planted(rng, 1)
    kernel = kernels[0] + rng.normal(0, 0.05, kernels[0].shape)
    found = against_turned(kernel, 2, one_sided(kernel[None], 2, 2), trials=39)
    assert found.p == pytest.approx(1 / 40)
    assert found.effect > 0.9
    # each input's map turned by itself: nothing is shared any more than in the null
    p = []
    for seed in range(20):
        loose = _turned(kernel, np.random.default_rng(seed))
        p.append(against_turned(loose, 2, one_sided(loose[None], 2, 1), trials=19, seed=100 + seed).p)
    assert np.mean(np.array(p) <= 0.1) < 0.35  # 7 of 20 where 2 are expected: 1 in 400
    assert np.mean(p) > 0.3


def test_turning_keeps_every_weight_of_every_input() -> None:
    kernel = np.random.default_rng(12).normal(size=(7, 3, 5))
    turned = _turned(kernel, np.random.default_rng(13))
    assert turned.shape == kernel.shape
    assert np.sort(turned.reshape(7, -1)) == pytest.approx(np.sort(kernel.reshape(7, -1)))
    with pytest.raises(BadValue, match="one tap has no map"):
        against_turned(kernel[:, :1, :1], 2, one_sided(kernel[None], 2, 1))

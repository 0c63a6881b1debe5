"""Banding: bands give one, their transposes minus one, and kernels without a preferred direction give nothing."""

from __future__ import annotations

import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.study.banding import banding, bandings


def test_bands_and_their_transposes() -> None:
    rng = np.random.default_rng(0)
    bands = rng.normal(size=(5, 7, 3, 1)).repeat(3, axis=3)
    np.testing.assert_allclose(banding(bands), 1)
    np.testing.assert_allclose(banding(bands.transpose(0, 1, 3, 2)), -1)
    kernels = rng.normal(size=(5, 7, 5, 5))
    np.testing.assert_allclose(banding(kernels), -banding(kernels.transpose(0, 1, 3, 2)), atol=1e-12)
    np.testing.assert_allclose(banding(kernels), banding(3.7 * kernels + 11), atol=1e-9)
    assert np.isnan(banding(np.ones((1, 2, 3, 3)))).all()


def test_the_share_is_that_of_a_regression_on_the_row() -> None:
    kernel = np.random.default_rng(1).normal(size=(1, 1, 5, 5))
    flat = kernel.ravel() - kernel.mean()
    shares = []
    for design in (np.kron(np.eye(5), np.ones((5, 1))), np.kron(np.ones((5, 1)), np.eye(5))):
        fitted = design @ np.linalg.lstsq(design, flat, rcond=None)[0]
        shares.append(np.square(fitted).sum() / np.square(flat).sum())
    assert banding(kernel)[0] == pytest.approx(shares[0] - shares[1])


def test_a_banded_layer_is_found_and_random_ones_are_not_beyond_the_rate() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(31, 11, 3, 3))
    banded = noise + 1.5 * rng.normal(size=(31, 11, 3, 1))
    findings = {each.what: each for each in bandings({"noise": noise, "banded": banded}, 999)}
    assert findings["banding of banded"].holds()
    assert findings["banding of banded"].effect > 0.2
    assert not findings["banding of noise"].holds()
    p = [bandings({"a": rng.normal(size=(13, 3, 3, 3))}, 199, seed)[0].p for seed in range(200)]
    assert np.mean(np.array(p) <= 0.05) <= 0.1  # 0.05 expected: five in a hundred more is 3.2 standard deviations
    assert 0.4 < np.mean(p) < 0.6


@pytest.mark.parametrize("shape", [(3, 2, 1, 1), (3, 2, 3, 5)])
def test_kernels_without_two_directions_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadValue, match="no bands to compare"):
        banding(np.ones(shape))

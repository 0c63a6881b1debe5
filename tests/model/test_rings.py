from __future__ import annotations

import numpy as np
import pytest

from micrographia.model.rings import log_rings, ring_samples


def test_products_of_smooth_kernels_are_those_of_their_samples() -> None:
    y, x = np.mgrid[-6:7, -6:7]
    kernels = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 9) for a, b in ((0, 0), (1, 2), (-2, 1))]
    samples = [np.einsum("tv,tvra->ra", kernel, ring_samples((13, 13), 24)) for kernel in kernels]
    for i, j in ((0, 0), (0, 1), (1, 2)):
        assert (samples[i] * samples[j]).sum() == pytest.approx((kernels[i] * kernels[j]).sum(), rel=0.06)


@pytest.mark.parametrize("size", [(3, 3), (4, 4), (7, 7)])
def test_a_right_angle_moves_the_samples_by_a_quarter(size: tuple[int, int]) -> None:
    kernel = np.random.default_rng(0).normal(size=size)
    rings = ring_samples(size, 24)
    before = np.einsum("tv,tvra->ra", kernel, rings)
    after = np.einsum("tv,tvra->ra", np.rot90(kernel), rings)
    assert after == pytest.approx(np.roll(before, 6, 1), abs=1e-12)


def test_twice_the_size_moves_samples_by_an_octave() -> None:
    y, x = np.mgrid[-15:16, -15:16].astype(float)
    rings = log_rings((31, 31), 24, 8)
    small, large = (np.einsum("tv,tvra->ar", x * np.exp(-(x**2 + y**2) / (2 * s**2)), rings) for s in (2.5, 5.0))
    mine, other = large[:, 8:], small[:, :-8]
    assert (mine * other).sum() / np.linalg.norm(mine) / np.linalg.norm(other) > 0.97


def test_the_first_angle_looks_right_and_the_next_ones_up() -> None:
    kernel = np.zeros((5, 5))
    kernel[2, 4] = 1
    assert np.einsum("tv,tvra->a", kernel, ring_samples((5, 5), 8)).argmax() == 0
    kernel = np.zeros((5, 5))
    kernel[0, 2] = 1
    assert np.einsum("tv,tvra->a", kernel, ring_samples((5, 5), 8)).argmax() == 2

from __future__ import annotations

import numpy as np
import pytest

from micrographia.study.traits import (
    colour_index,
    grating_frequencies,
    orientation_selectivity,
    spatial_frequency,
    spectral_traits,
)

GREY, RED_GREEN = np.array([1.0, 1.0, 1.0]), np.array([1.0, -1.0, 0.0])


def grating(frequency: float, degrees: float, colour: np.ndarray = GREY, size: int = 31) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    angle = np.deg2rad(degrees)
    wave = np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)))
    return colour[:, None, None] * (wave * np.exp(-(x * x + y * y) / (2 * (size / 5) ** 2)))


def test_the_colour_index_is_the_share_off_the_grey_axis() -> None:
    mixed = 2 * grating(0.1, 0) + grating(0.1, 0, RED_GREEN)
    kernels = np.stack([grating(0.1, 0), grating(0.1, 40, RED_GREEN), mixed])
    # energies: grey 2^2 * 3, colour 1 * 2
    assert colour_index(kernels) == pytest.approx([0, 1, 2 / 14])


def test_the_colour_index_does_not_know_the_order_of_channels_nor_the_scale() -> None:
    kernels = np.random.default_rng(0).normal(size=(7, 3, 5, 3))
    assert colour_index(-3.7 * kernels[:, ::-1]) == pytest.approx(colour_index(kernels))


@pytest.mark.parametrize("frequency", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("degrees", [0, 30, 90, 135])
def test_a_grating_has_its_frequency_whichever_way_it_points(frequency: float, degrees: float) -> None:
    assert spatial_frequency(grating(frequency, degrees)[None]) == pytest.approx([frequency], abs=0.01)


def test_frequency_does_not_see_colour_nor_empty_borders() -> None:
    kernels = np.random.default_rng(1).normal(size=(5, 3, 7, 7))
    tinted = kernels + 5 * RED_GREEN[:, None, None]
    assert spatial_frequency(tinted) == pytest.approx(spatial_frequency(kernels))
    padded = np.pad(kernels, ((0, 0), (0, 0), (3, 4), (1, 5)))
    assert spatial_frequency(padded) == pytest.approx(spatial_frequency(kernels), rel=0.01)


def test_orientation_is_that_of_gratings_and_not_of_discs() -> None:
    disc = grating(0.0, 0)
    assert orientation_selectivity(np.stack([grating(0.2, 20), disc])) == pytest.approx([1, 0], abs=0.05)
    plaid = grating(0.2, 20) + grating(0.2, 110)
    assert orientation_selectivity(plaid[None]) == pytest.approx([0], abs=0.05)
    turned = np.rot90(grating(0.2, 20), axes=(1, 2))
    assert orientation_selectivity(turned[None]) == pytest.approx(orientation_selectivity(grating(0.2, 20)[None]))


def test_an_empty_kernel_has_no_traits() -> None:
    empty = np.zeros((1, 3, 5, 5))
    for trait in (colour_index, spatial_frequency, orientation_selectivity):
        assert np.isnan(trait(empty)).all()


def response(kernels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: kernels.shape[2], : kernels.shape[3]]
    waves = np.exp(-2j * np.pi * (rows[:, None, None] * y + columns[:, None, None] * x))
    return np.einsum("uchw,fhw->ucf", kernels, waves)


def test_the_responses_to_gratings_tell_the_same_traits() -> None:
    kernels = np.stack(
        [
            grating(0.08, 20),
            grating(0.2, 70),
            grating(0.15, 110, RED_GREEN) + 0.5 * grating(0.15, 110),
            grating(0.1, 20) + grating(0.1, 110),
        ]
    )
    rows, columns = grating_frequencies(0.01, 32, 32)
    found = spectral_traits(response(kernels, rows, columns), rows, columns)
    assert found["colour"] == pytest.approx(colour_index(kernels), abs=0.02)
    assert found["frequency"] == pytest.approx(spatial_frequency(kernels), rel=0.05)
    assert found["orientation"] == pytest.approx(orientation_selectivity(kernels), abs=0.05)


def test_responses_of_a_grey_network_have_no_colour() -> None:
    rows, columns = grating_frequencies(0.05)
    assert np.isnan(spectral_traits(np.ones((2, 1, 192), complex), rows, columns)["colour"]).all()

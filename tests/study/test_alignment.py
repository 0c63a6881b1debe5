from __future__ import annotations

import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.images.hue import turn_hue
from micrographia.study.alignment import (
    GROUPS,
    LARGEST,
    OCTAVE,
    Alignment,
    align,
    carried,
    circle_gap,
    distinct,
    group_of,
    of_pixels,
    of_weights,
    spectrum,
    steps_of,
)
from tests.planted_families import drawn, hue

ROTATION = GROUPS["rotation"]


def top(found: Alignment, i: int, j: int) -> tuple[float, float]:
    """The element of i less that of j, and the correlation there."""
    place = int(found.pairs[i, j].argmax())
    return place * found.group.step, float(found.pairs[i, j, place])


def test_the_correlations_are_those_of_fields_moved_step_by_step() -> None:
    rng = np.random.default_rng(0)
    field = rng.normal(size=(5, 7, 36)) + rng.normal(size=(5, 7, 1))
    found = align(spectrum(field, ROTATION))
    moving = field - field.mean(2, keepdims=True)
    for i, j, step in ((0, 1, 0), (1, 4, 7), (3, 2, 35), (2, 2, 0)):
        for mine, values in ((found.whole, field), (found.varying, moving)):
            other = np.roll(values[j], step, 1)
            cosine = (values[i] * other).sum() / np.linalg.norm(values[i]) / np.linalg.norm(other)
            assert mine[i, j, step] == pytest.approx(cosine, abs=1e-4)
    share = np.square(moving).sum((1, 2)) / np.square(field).sum((1, 2))
    assert found.moving == pytest.approx(share, abs=1e-4)


def test_scales_are_compared_over_what_both_units_show() -> None:
    rng = np.random.default_rng(0)
    field = rng.normal(size=(3, 5, 23))
    group = GROUPS["scale"]
    found = align(spectrum(field, group)).whole
    for shift in (-4, 0, 3):
        low, high = max(0, shift), min(23, 23 + shift)
        mine, other = field[0, :, low:high], field[1, :, low - shift : high - shift]
        cosine = (mine * other).sum() / np.linalg.norm(mine) / np.linalg.norm(other)
        assert found[0, 1, shift % group.steps] == pytest.approx(cosine, abs=1e-4)
    # too little is left of both
    assert found[0, 1, LARGEST] == 0


def test_a_kernel_turned_by_a_right_angle_is_the_same_kernel() -> None:
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(3, 7, 7))
    found = align(of_pixels(np.stack([kernel, np.rot90(kernel, 1, (1, 2)), np.rot90(kernel, 3, (1, 2))]), ROTATION))
    assert top(found, 1, 0) == (90.0, pytest.approx(1, abs=1e-4))
    assert top(found, 2, 0) == (270.0, pytest.approx(1, abs=1e-4))
    assert top(found, 2, 1) == (180.0, pytest.approx(1, abs=1e-4))


@pytest.mark.parametrize("shape", ["edge", "curve", "corner"])
def test_a_drawn_kernel_turned_by_any_angle_is_found_at_it(shape: str) -> None:
    found = align(of_pixels(np.stack([drawn(shape, angle, 11) for angle in (23, 93, 303)]), ROTATION))
    assert top(found, 1, 0)[0] == pytest.approx(70, abs=10)
    assert top(found, 2, 0)[0] == pytest.approx(280, abs=10)
    assert min(top(found, 1, 0)[1], top(found, 2, 0)[1]) > 0.9


def test_hue_is_the_turn_of_colours_about_grey() -> None:
    rng = np.random.default_rng(2)
    kernel = rng.normal(size=(3, 5, 5))
    turned = np.einsum("dc,chw->dhw", turn_hue(70.0).numpy(), kernel)
    found = align(of_pixels(np.stack([kernel, turned]), GROUPS["hue"]))
    assert top(found, 1, 0) == (70.0, pytest.approx(1, abs=1e-4))
    coloured = np.stack([drawn("edge", 0, 7, colour=hue(angle)) for angle in (10, 130)])
    assert top(align(of_pixels(coloured, GROUPS["hue"])), 1, 0)[0] == 120
    grey = np.square(kernel.sum(0)).sum() / 3 / np.square(kernel).sum()
    assert found.moving == pytest.approx(1 - grey, abs=1e-4)


def test_mirror_images_and_their_part_that_does_not_change() -> None:
    rng = np.random.default_rng(3)
    kernel = rng.normal(size=(3, 5, 5))
    found = align(of_pixels(np.stack([kernel, kernel[:, :, ::-1], kernel + kernel[:, :, ::-1]]), GROUPS["reflection"]))
    assert top(found, 1, 0) == (1.0, pytest.approx(1, abs=1e-4))
    assert found.moving[2] == pytest.approx(0, abs=1e-6)
    assert found.pairs[2].max() == pytest.approx(0, abs=1e-3)


def test_a_kernel_of_twice_the_size_is_an_octave_away() -> None:
    small, large = drawn("edge", 30, 21, 1.5), drawn("edge", 30, 21, 3.0)
    found = align(of_pixels(np.stack([small, large]), GROUPS["scale"]))
    place, r = top(found, 1, 0)
    assert place == pytest.approx(1, abs=1.5 / OCTAVE)
    assert r > 0.95


def test_weights_on_a_family_turn_with_space_and_with_their_channels() -> None:
    # channel c answers one picture at step 9 c only: a family of four orientations, and one channel that never changes
    responses = np.zeros((5, 1, 36))
    responses[np.arange(4), 0, 9 * np.arange(4)] = 1
    inputs = carried(np.concatenate([responses, np.zeros((5, 1, 36))], 1), ROTATION)
    rng = np.random.default_rng(4)
    kernel = rng.normal(size=(5, 3, 3))
    kernel[4] = 0
    turned = np.rot90(kernel, 1, (1, 2)).copy()
    turned[:4] = np.roll(turned[:4], 1, 0)
    wrong = np.rot90(kernel, 1, (1, 2)).copy()
    wrong[:4] = np.roll(wrong[:4], -1, 0)
    found = align(of_weights(np.stack([kernel, turned, wrong]), inputs))
    assert top(found, 1, 0) == (90.0, pytest.approx(1, abs=1e-3))
    assert top(found, 2, 0)[1] < 0.9


@pytest.mark.parametrize("name", ["hue", "reflection"])
def test_weights_on_a_family_that_turns_in_itself(name: str) -> None:
    group = GROUPS[name]
    rng = np.random.default_rng(5)
    base = rng.normal(size=(3, group.steps))
    half = group.steps // 2
    responses = np.stack([base, np.roll(base, half, 1)])
    inputs = carried(responses, group)
    kernel = rng.normal(size=(2, 3, 3))
    moved = kernel[::-1] if name == "hue" else kernel[::-1, :, ::-1]
    found = align(of_weights(np.stack([kernel, moved]), inputs))
    place, r = top(found, 1, 0)
    # the few harmonics that are kept are those of both channels
    assert place == half * group.step
    assert r == pytest.approx(1, abs=1e-3)


def test_units_without_energy_correlate_with_nothing() -> None:
    field = np.random.default_rng(0).normal(size=(3, 5, 36))
    field[1] = 0
    found = align(spectrum(field, ROTATION))
    assert not found.pairs[1].any()
    assert found.moving[1] == 0


def test_gaps_and_different_elements() -> None:
    assert circle_gap(np.array([350.0, 20.0, 140.0]), 360.0) == 210
    assert distinct(np.array([0.0, 355.0, 120.0, 240.0]), ROTATION, 360.0) == 3
    assert distinct(np.array([0.0, 1.0, 1.0]), GROUPS["reflection"], 2.0) == 2
    assert distinct(np.array([0.0, 0.1, 1.0]), GROUPS["scale"], 8.0) == 2
    # a row of elements each near the next is not one element
    assert distinct(np.arange(8) * 1.2 / 7, GROUPS["scale"], 8.0) == 4
    assert distinct(10.0 * np.arange(36), ROTATION, 360.0) == 18
    assert steps_of(GROUPS["scale"])[[0, LARGEST, -1]].tolist() == [-2, 0, 2]


def test_what_a_group_cannot_do_is_said() -> None:
    with pytest.raises(BadValue, match="There is no group 'rotatoin'. Near it: rotation"):
        group_of("rotatoin")
    with pytest.raises(BadValue, match="Kernels that read 1 channel have no hue"):
        of_pixels(np.ones((2, 1, 3, 3)), GROUPS["hue"])
    with pytest.raises(BadValue, match="cannot be scaled"):
        of_weights(np.ones((2, 5, 3, 3)), carried(np.ones((5, 7, 33)), GROUPS["scale"]))

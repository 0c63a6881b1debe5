from __future__ import annotations

import pytest
import torch

from micrographia.images.hue import turn_hue
from micrographia.images.transformed import moved, transformed


def steps(pictures: torch.Tensor, group: str, number: int, step: float, side: int = 9) -> list[torch.Tensor]:
    middle = (side - 1) / 2
    return list(transformed(pictures, group, number, step, (side, side), (middle, middle)))


def test_right_angles_are_exact_and_counterclockwise() -> None:
    pictures = torch.rand(3, 3, 9, 9, dtype=torch.float64)
    turned = steps(pictures, "rotation", 4, 90)
    for quarter, each in enumerate(turned):
        assert torch.allclose(each, pictures.rot90(quarter, (2, 3)))


def test_mirror_hue_and_size() -> None:
    pictures = torch.rand(3, 3, 9, 9, dtype=torch.float64)
    same, mirrored = steps(pictures, "reflection", 2, 1)
    assert torch.allclose(same, pictures)
    assert torch.allclose(mirrored, pictures.flip(3))
    hues = steps(pictures, "hue", 3, 120)
    assert torch.allclose(hues[1], pictures.roll(1, 1))
    assert torch.allclose(hues[2].mean(1), pictures.mean(1))
    ramp = torch.arange(9.0, dtype=torch.float64).expand(1, 3, 9, 9)
    _, own, larger = steps(ramp, "scale", 3, 1.0)
    assert torch.allclose(own, ramp)
    assert torch.allclose(larger[..., 4:] - larger[..., 3:-1], torch.full((1, 3, 9, 5), 0.5, dtype=torch.float64))


def test_a_full_turn_of_hue_is_none() -> None:
    assert torch.allclose(turn_hue(200.0) @ turn_hue(160.0), torch.eye(3, dtype=torch.float64))


def test_zoom_and_an_octave_are_one_and_what_shrinks_is_smoothed() -> None:
    pictures = torch.rand(3, 3, 13, 13, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(2.0, -3, -1), torch.arange(-2.0, 3), indexing="ij")
    y, x = y.double(), x.double()
    for octaves in (1, -1):
        larger = moved(pictures, "scale", octaves, x, y)
        torch.testing.assert_close(larger, moved(pictures, "rotation", 0, x, y, 2.0**octaves))
    checks = (torch.arange(13)[:, None] + torch.arange(13)).remainder(2).double().expand(1, 3, 13, 13)
    assert moved(checks, "scale", -1, x, y).std() < 0.2 * checks.std()


@pytest.mark.parametrize("group", ["rotation", "reflection", "hue", "scale"])
def test_the_middle_stays_in_the_middle(group: str) -> None:
    pictures = torch.zeros(1, 3, 21, 21, dtype=torch.float64)
    pictures[:, :, 10, 10] = 1
    for each in transformed(pictures, group, 2, 0.5, (9, 7), (5.0, 2.0)):
        assert divmod(int(each.abs().sum(1).flatten().argmax()), 7) == (5, 2)

"""The fused warp against a slow replica that looks up every px by itself."""

from __future__ import annotations

import math

import pytest
import torch

from micrographia.optvis.transform import Warp, warp


def mirrored(position: float, length: int) -> float:
    """A coordinate folded back into the picture, whose edges lie half a px outside its outermost px' centres."""
    position = (position + 0.5) % (2 * length)
    folded = 2 * length - position if position > length else position
    return min(max(folded - 0.5, 0.0), length - 1.0)


def slow_warp(image: torch.Tensor, affine: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    channels, tall, wide = image.shape
    result = torch.zeros(channels, *size, dtype=image.dtype)
    for row in range(size[0]):
        for column in range(size[1]):
            x, y = column - (size[1] - 1) / 2, row - (size[0] - 1) / 2
            a, b, c = affine[0].tolist()
            d, e, f = affine[1].tolist()
            across = mirrored(a * x + b * y + c + (wide - 1) / 2, wide)
            down = mirrored(d * x + e * y + f + (tall - 1) / 2, tall)
            left, top = math.floor(across), math.floor(down)
            for i, weight_i in ((top, 1 - (down - top)), (top + 1, down - top)):
                for j, weight_j in ((left, 1 - (across - left)), (left + 1, across - left)):
                    if i < tall and j < wide:
                        result[:, row, column] += weight_i * weight_j * image[:, i, j]
    return result


@pytest.mark.parametrize("size", [(5, 7), (11, 13)])
def test_the_warp_equals_the_slow_replica(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 2, 11, 13, dtype=torch.float64, generator=generator)
    maps = Warp(jitter=3.0, scale=0.2, rotate=30.0).draw(3, generator).double()
    ours = warp(images, maps, size)
    for image, affine, found in zip(images, maps, ours, strict=True):
        torch.testing.assert_close(found, slow_warp(image, affine, size), rtol=1e-6, atol=1e-6)


def test_no_border_is_ever_shown() -> None:
    generator = torch.Generator().manual_seed(0)
    transform = Warp(jitter=8.0, scale=0.1, rotate=10.0)
    canvas = transform.canvas((31, 37))
    images = torch.full((50, 1, *canvas), 0.7)
    shown = warp(images, transform.draw(50, generator), (31, 37))
    torch.testing.assert_close(shown, torch.full_like(shown, 0.7))


def test_draws_stay_in_their_ranges() -> None:
    maps = Warp(jitter=2.0, scale=0.25, rotate=90.0).draw(500, torch.Generator().manual_seed(1))
    scales = 1 / maps[:, :, :2].double().det().sqrt()
    assert 0.75 <= scales.min() < 0.8 < 1.2 < scales.max() <= 1.25 + 1e-6
    assert maps[:, :, 2].abs().max() <= 2
    assert maps[:, 0, 0].min() >= -1e-6


def test_the_canvas_has_room_for_the_jitter_and_equal_margins() -> None:
    canvas = Warp(jitter=8.0, scale=0.1, rotate=10.0).canvas((59, 64))
    assert canvas[0] >= 59 + 16
    assert canvas[1] >= 64 + 16
    assert (canvas[0] - 59) % 2 == 0
    assert (canvas[1] - 64) % 2 == 0


def test_without_any_range_the_window_is_copied() -> None:
    still = Warp(jitter=0.0, scale=0.0, rotate=0.0)
    images = torch.rand(1, 3, 9, 11, dtype=torch.float64)
    maps = still.draw(1, torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(warp(images, maps, (5, 7)), images[:, :, 2:7, 2:9])

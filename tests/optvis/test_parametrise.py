"""Parametrisations: ranges, scales, and independence of the batch."""

from __future__ import annotations

import pytest
import torch

from micrographia.optvis.parametrise import Fourier, frequencies, limited, recolour, squash


def test_squash_is_a_sigmoid_with_the_logistics_slope() -> None:
    x = torch.linspace(-50, 50, 1001, dtype=torch.float64, requires_grad=True)
    y = squash(x)
    y.sum().backward()
    assert x.grad is not None
    assert y.min() > 0
    assert y.max() < 1
    assert (y.diff() > 0).all()
    torch.testing.assert_close(y + y.flip(0), torch.ones_like(y))
    assert x.grad[500].item() == pytest.approx(0.25)


def test_frequencies_against_a_loop() -> None:
    found = frequencies((5, 6), torch.float64)
    for row in range(5):
        for column in range(4):
            vertical = row if row <= 2 else row - 5
            assert found[row, column].item() == pytest.approx(((vertical / 5) ** 2 + (column / 6) ** 2) ** 0.5)


def test_lightness_is_grey_and_the_other_axes_are_colours() -> None:
    grey = recolour(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)).flatten()
    assert grey.std() < 0.02
    blue_yellow = recolour(torch.tensor([0.0, 1, 0]).view(1, 3, 1, 1)).flatten()
    assert blue_yellow[0] == -blue_yellow[2] > 0


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(7, 11), (8, 13)])
def test_fourier_pictures_do_not_depend_on_their_batch(channels: int, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    make = Fourier(deviation=3.0)
    numbers = torch.stack([make.start(size, channels, generator) for _ in range(9)])
    together = make(numbers, size)
    assert together.shape == (9, channels, *size)
    assert together.min() > 0
    assert together.max() < 1
    for first in range(8):
        # two is the smallest batch that the engine takes
        assert torch.equal(make(numbers[first : first + 2], size), together[first : first + 2])


def test_a_unit_step_of_any_coefficient_falls_off_with_its_frequency() -> None:
    make = Fourier(decay=1.0, gain=0.25, contrast=None)
    heights = []
    for row in (1, 2, 4):
        numbers = torch.zeros(1, 1, 2, 32, 17, dtype=torch.float64)
        numbers[0, 0, 0, row, 0] = 1e-4
        heights.append((make(numbers, (32, 32)) - 0.5).abs().max().item())
    assert heights[0] / heights[1] == pytest.approx(2, rel=1e-4)
    assert heights[1] / heights[2] == pytest.approx(2, rel=1e-4)


def test_contrast_is_limited_but_never_raised() -> None:
    x = torch.randn(3, 2, 5, 7, dtype=torch.float64)
    x[0] *= 10
    x[1] *= 0.1
    found = limited(x, 1.5)
    assert found[0].square().mean().sqrt().item() == pytest.approx(1.5)
    torch.testing.assert_close(found[1], x[1])


def test_the_limits_gradient_is_right() -> None:
    x = 3 * torch.randn(2, 1, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: limited(v, 0.7), (x,))

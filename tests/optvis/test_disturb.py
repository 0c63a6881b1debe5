"""Noise, blur, random crops, Lucid's order: known results, no picture taking notice of its batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.optvis.disturb import Blurred, LucidOrder, Noisy, RandomCrop
from micrographia.optvis.objective import Channel
from micrographia.optvis.optimise import optimise
from micrographia.optvis.quality import Quality
from micrographia.optvis.render import render
from micrographia.optvis.transform import STILL, Transform, Warp, middle

ALL = [Noisy(0.1), Blurred(1.5), RandomCrop(), LucidOrder(), Noisy(0.1, Blurred(1.0, RandomCrop(0.3)))]


def seen(transform: Transform, size: tuple[int, int], pictures: torch.Tensor, seed: int = 0) -> torch.Tensor:
    drawn = [transform.draw(1, torch.Generator().manual_seed(seed + i)) for i in range(len(pictures))]
    return transform(pictures, torch.cat(drawn), size)


def pictures(transform: Transform, size: tuple[int, int], count: int = 3) -> torch.Tensor:
    shape = (count, 2, *transform.canvas(size))
    return torch.rand(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_each_picture_is_treated_on_its_own(transform: Transform) -> None:
    given = pictures(transform, (29, 31))
    together = seen(transform, (29, 31), given)
    assert together.shape == (3, 2, 29, 31)
    for i in range(3):
        assert torch.equal(seen(transform, (29, 31), given[i : i + 1], seed=i)[0], together[i])
    assert not torch.equal(together, seen(transform, (29, 31), given, seed=7)), "drawn anew"


@pytest.mark.parametrize("transform", ALL[1:4], ids=repr)
def test_plain_paper_stays_plain(transform: Transform) -> None:
    paper = torch.full((5, 3, *transform.canvas((64, 64))), 0.5, dtype=torch.float64)
    shown = seen(transform, (64, 64), paper)
    if isinstance(transform, LucidOrder):  # black comes in at the corners, as in Lucid
        shown = shown[:, :, 8:-8, 8:-8]
    torch.testing.assert_close(shown, torch.full_like(shown, 0.5))


def test_noise_has_its_deviation_and_nothing_else() -> None:
    given = pictures(STILL, (101, 103))
    noise = seen(Noisy(0.05, STILL), (101, 103), given) - seen(STILL, (101, 103), given)
    assert noise.std().item() == pytest.approx(0.05, rel=0.02)
    assert abs(noise.mean().item()) < 0.001


def test_the_blur_is_a_gaussian_of_the_drawn_deviation() -> None:
    transform = Blurred(1.5, STILL)
    given = pictures(STILL, (23, 29), 1)
    drawn = transform.draw(1, torch.Generator().manual_seed(3))
    found = transform(given, drawn, (23, 29))[0, 0].numpy()
    sigma = float(drawn[0, -1])
    want = ndimage.gaussian_filter(middle(given, (23, 29))[0, 0].numpy(), sigma, mode="nearest", radius=5)
    np.testing.assert_allclose(found, want, atol=1e-6)


def test_a_crop_shows_a_part_of_the_picture() -> None:
    transform = RandomCrop(0.5, 0.5)
    row = torch.linspace(0, 1, 64, dtype=torch.float64).expand(1, 1, 64, 64)
    for seed in range(20):
        shown = seen(transform, (64, 64), row, seed)
        assert shown.min() >= 0
        assert shown.max() <= 1
        assert (shown.max() - shown.min()).item() == pytest.approx(0.5, abs=0.02)
    whole = seen(RandomCrop(1.0, 1.0), (64, 64), row)
    torch.testing.assert_close(whole, row, atol=1e-6, rtol=0)
    with pytest.raises(BadValue, match=r"A crop of 0.5 to 0.2 of the side cannot be cut"):
        RandomCrop(0.5, 0.2)


def test_lucids_order_without_scale_and_angle_is_two_crops() -> None:
    transform = LucidOrder()
    size = (40, 40)
    given = pictures(transform, size, 1)
    drawn = torch.tensor([[3.0, 5.0, 1.0, 0.0, 1.0, 4.0]])
    padded = torch.nn.functional.pad(given, (12,) * 4, value=0.5)
    first = padded[:, :, 3 : padded.shape[2] - 8 + 3, 5 : padded.shape[3] - 8 + 5]
    second = first[:, :, 1 : first.shape[2] - 4 + 1, 4:]
    torch.testing.assert_close(transform(given, drawn, size), middle(second, size), atol=0, rtol=0)


def test_lucids_rotation_is_by_the_angle() -> None:
    transform = LucidOrder(pad=0, first=0, last=0)
    given = torch.zeros(1, 1, 61, 61, dtype=torch.float64)
    given[0, 0, 30, 50] = 1  # 20 px to the right of the middle
    shown = transform(given, torch.tensor([[0, 0, 1, 9.0, 0, 0]]), (61, 61))[0, 0]
    row, column = (int(each) for each in torch.nonzero(shown)[0])
    assert (abs(row - 30), column - 30) == (round(20 * np.sin(np.radians(9))), round(20 * np.cos(np.radians(9))))


def test_lucids_order_shows_whatever_size_comes_out(small: LayerGraph) -> None:
    transform, size = LucidOrder(whole=True), (40, 44)
    given = pictures(transform, size, 1)
    assert given.shape[2:] == size
    for scale in (0.9, 1.0, 1.1):
        shown = transform(given, torch.tensor([[3.0, 5.0, scale, 0.0, 1.0, 4.0]]), size)
        assert shown.shape[2:] == tuple(round((n + 24 - 8) * scale) - 4 for n in size)
    with pytest.raises(BadValue, match="one picture at a time"):
        transform(given.expand(2, -1, -1, -1), torch.zeros(2, 6), size)
    quality = Quality("q", 12, 0.2, 4)
    (made,) = optimise(small, Channel("conv2d2", 3), quality=quality, size=size, transform=transform)
    assert made.reached > made.numbers["flat"]
    assert made.image.shape == (*size, 3)
    with pytest.raises(BadValue, match="use optimise"):
        render(small, small.units("conv2d2:3"), transform=transform)


@pytest.mark.parametrize("transform", [LucidOrder(), Noisy(0.02, Warp(1.0, 0.05, 5.0))], ids=repr)
def test_pictures_climb_under_them(small: LayerGraph, transform: Transform) -> None:
    (made,) = render(small, small.units("concat:3"), quality=Quality("q", 12, 0.2, 4), transform=transform)
    assert made.reached > made.numbers["flat"]
    assert made.settings["transform"] == {"is": repr(transform)}

"""The other parametrisations: replicas, inverses, gradients that reach every number, any number of channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from micrographia.errors import BadValue
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.optvis.accentuate import Accentuate
from micrographia.optvis.cppn import Cppn
from micrographia.optvis.maco import Maco, magnitude_of
from micrographia.optvis.objective import Channel, Interpolated
from micrographia.optvis.optimise import optimise
from micrographia.optvis.parametrise import (
    COLOUR_AXES,
    LUCID,
    Fourier,
    Parametrisation,
    decolour,
    recolour,
    squash,
    unsquash,
)
from micrographia.optvis.penalty import Opacity
from micrographia.optvis.pixels import Pixels, Pyramid, Shared, Transparent, coarse
from micrographia.optvis.quality import Quality
from micrographia.optvis.transform import STILL

QUICK = Quality("quick", steps=12, rate=0.2, settle=4)
ALL: list[Parametrisation] = [
    LUCID, Fourier(), Pixels(), Pixels(contrast=1.2, logistic=True), Pyramid(), Shared(), Shared(Pixels(), (2, 8)),
    Cppn(width=7, layers=3), Maco(),
]  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> LayerGraph:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 6, 3))
    return trace(net, Card("tiny", size=(31, 29)))


def drawn(make: Parametrisation, size: tuple[int, int], channels: int, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.stack([make.start(size, channels, generator) for _ in range(batch)]).double()


@pytest.mark.parametrize("make", ALL, ids=repr)
@pytest.mark.parametrize(("size", "channels"), [((11, 13), 3), ((8, 7), 1), ((12, 10), 5)])
def test_pictures_are_values_between_0_and_1_and_every_number_matters(
    make: Parametrisation, size: tuple[int, int], channels: int
) -> None:
    numbers = drawn(make, size, channels, 2)
    numbers = (numbers + 0.1 * torch.randn(numbers.shape, generator=torch.Generator().manual_seed(1))).requires_grad_()
    pictures = make(numbers, size)
    assert pictures.shape == (2, channels, *size)
    assert pictures.min() > 0
    assert pictures.max() < 1
    weights = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((pictures * weights).sum(), numbers)
    assert gradient.isfinite().all()
    # imaginary parts of the zero and the highest frequencies are no part of a real picture
    assert (gradient != 0).double().mean() > 0.7
    direction = torch.randn(numbers.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():
        ahead, behind = (make(numbers + sign * 1e-6 * direction, size) for sign in (1, -1))
    measured = float(((ahead - behind) * weights).sum() / 2e-6)
    assert float((gradient * direction).sum()) == pytest.approx(measured, rel=1e-4, abs=1e-6)


def test_lucids_preset_against_its_formula() -> None:
    size, generator = (7, 9), torch.Generator().manual_seed(0)
    numbers = LUCID.start(size, 3, generator).double()
    assert LUCID.start((64, 64), 3, generator).std().item() == pytest.approx(0.01, rel=0.05)
    spectrum = np.zeros((3, 7, 5), complex)
    for row in range(7):
        for column in range(5):
            f = np.hypot((row if row < 4 else row - 7) / 7, column / 9)
            scale = 1 / max(f, 1 / 9) * np.sqrt(7 * 9)
            spectrum[:, row, column] = (numbers[:, 0, row, column] + 1j * numbers[:, 1, row, column]).numpy() * scale
    picture = np.fft.irfft2(spectrum, s=size) / 4
    coloured = np.einsum("rc,chw->rhw", np.array(COLOUR_AXES), picture)
    np.testing.assert_allclose(LUCID(numbers[None], size)[0].numpy(), 1 / (1 + np.exp(-coloured)), atol=1e-12)


def test_colour_and_squashing_have_inverses() -> None:
    x = torch.randn((2, 3, 5, 7), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(decolour(recolour(x)), x)
    torch.testing.assert_close(unsquash(squash(3 * x)), 3 * x)


@pytest.mark.parametrize("inner", [Fourier(contrast=None), LUCID, Pixels(), Pixels(logistic=True)], ids=repr)
@pytest.mark.parametrize(("size", "channels"), [((11, 13), 3), ((8, 6), 1)])
def test_a_picture_is_its_own_start(inner: Fourier | Pixels, size: tuple[int, int], channels: int) -> None:
    picture = np.random.default_rng(0).uniform(0.02, 0.98, (*size, channels))
    make = Accentuate(picture, inner)
    start = make.start(size, channels, torch.Generator())
    found = make(start[None].double(), size)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, picture, atol=1e-5)
    wide = (size[0] + 3, size[1] + 5)
    found = make(make.start(wide, channels, torch.Generator())[None].double(), wide)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found[1 : 1 + size[0], 2 : 2 + size[1]], picture, atol=1e-5)
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_accentuation_stays_near_its_picture_and_excites_more(tiny: LayerGraph) -> None:
    picture = np.random.default_rng(0).uniform(0.2, 0.8, (31, 29, 3)).astype(np.float32)
    make = Accentuate(picture, Pixels())
    gentle = Quality("gentle", steps=12, rate=0.02, settle=4)
    (made,) = optimise(tiny, Channel("2", 1), quality=gentle, parametrisation=make, transform=STILL)
    assert made.reached > made.course[0]
    assert 0 < np.abs(made.image - picture).mean() < 0.1
    assert make.inner == Pixels()
    assert "sha256" in made.settings["parametrisation"]


def test_a_picture_that_cannot_be_the_start_is_refused() -> None:
    with pytest.raises(BadValue, match="7 x 7 px and 3 channels cannot be the start"):
        Accentuate(np.zeros((7, 7, 3))).start((5, 5), 3, torch.Generator())
    with pytest.raises(BadValue, match="3 channels cannot be the start"):
        Accentuate(np.zeros((7, 7, 3))).start((7, 7), 1, torch.Generator())
    with pytest.raises(BadValue, match="contrast=None"):
        Accentuate(np.zeros((7, 7, 3)), Fourier())


def test_a_pyramid_of_constant_levels_is_their_sum() -> None:
    make, size = Pyramid(levels=3), (13, 10)
    counts = [int(np.prod(coarse(size, k))) for k in (1, 2, 4)]
    assert counts == [130, 35, 12]
    numbers = torch.cat([torch.full((1, 2, n), float(value)) for n, value in zip(counts, (1, 10, 100), strict=True)], 2)
    torch.testing.assert_close(make.plain(numbers, size), torch.full((1, 2, *size), 111.0))


def test_shared_pictures_have_their_coarse_part_in_common() -> None:
    make, size = Shared(Pixels(deviation=0.0), (4,), contrast=None), (12, 8)
    numbers = drawn(make, size, 3, 3)
    pictures = make(numbers, size)
    assert torch.equal(pictures[0], pictures[1])
    numbers[0, :, :96] += 1.0
    changed = make(numbers, size)
    assert not torch.equal(changed[0], pictures[0])
    assert torch.equal(changed[1:], pictures[1:])
    numbers[0, :, 96:] += 1.0
    assert not torch.equal(make(numbers, size)[1], pictures[1])


def test_shared_pictures_are_more_alike_along_an_interpolation(tiny: LayerGraph) -> None:
    way = Interpolated(Channel("2", 0), Channel("2", 1))

    def gap(make: Parametrisation) -> float:
        first, last = optimise(tiny, way, quality=QUICK, pictures=2, parametrisation=make)
        return float(np.corrcoef(first.image.ravel(), last.image.ravel())[0, 1])

    assert gap(Shared()) > gap(Fourier())


def test_a_cppn_draws_the_same_at_any_size_and_begins_grey() -> None:
    make = Cppn(width=7, layers=3)
    numbers = drawn(make, (9, 9), 3, 2)
    assert torch.equal(make(numbers, (9, 9)), torch.full((2, 3, 9, 9), 0.5, dtype=torch.float64))
    numbers = numbers + torch.randn(numbers.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    # the centres of every third px are those of a picture a third as large
    torch.testing.assert_close(make(numbers, (27, 27))[:, :, 1::3, 1::3], make(numbers, (9, 9)))


def test_maco_keeps_the_magnitude_of_the_pictures_it_was_given() -> None:
    size = (11, 13)
    pictures = torch.rand((7, 1, *size), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    magnitude = magnitude_of(pictures)
    make = Maco(magnitude, contrast=0.5)
    found = torch.fft.rfft2(unsquash(make(drawn(make, size, 1, 2), size))).abs()
    # rows of column 0 are each other's conjugates in a real picture, and the mean is taken off
    ratio = found[:, 0, :, 1:] / magnitude[0, :, 1:]
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio))


def test_a_magnitude_is_resized_frequency_by_frequency() -> None:
    falling = Maco()._strength((16, 16))
    resized = Maco(falling)._strength((24, 20))
    assert resized.shape == (1, 24, 11)
    assert resized[0].argmax() == 0
    assert resized[0, 1, 0] == pytest.approx(float(resized[0, -1, 0]), rel=0.2)


def test_natural_magnitudes_come_with_decorrelated_colour() -> None:
    grey = torch.rand((5, 1, 8, 6), dtype=torch.float64).expand(5, 3, 8, 6)
    strength = magnitude_of(grey).square().sum((1, 2))
    assert strength[0] > 20 * strength[1:].max()


def test_transparency_shows_only_what_matters(tiny: LayerGraph) -> None:
    objective = Channel("2", 0)
    (plain,) = optimise(tiny, objective, quality=QUICK, parametrisation=Transparent())
    (clear,) = optimise(tiny, objective - 20 * Opacity(), quality=QUICK, parametrisation=Transparent())
    assert plain.image.shape == (31, 29, 3)
    assert plain.opacity is not None
    assert clear.opacity is not None
    assert clear.opacity.shape == (31, 29)
    assert clear.opacity.mean() < plain.opacity.mean()
    (opaque,) = optimise(tiny, objective, quality=QUICK)
    assert opaque.opacity is None


@pytest.mark.parametrize("make", ALL, ids=repr)
def test_every_parametrisation_climbs(tiny: LayerGraph, make: Parametrisation) -> None:
    for made in optimise(tiny, Channel("2", 0), quality=QUICK, pictures=2, parametrisation=make):
        assert made.reached > made.numbers["flat"]
        assert made.settings["parametrisation"] == repr(make)
